"""Locks over hosts, with a real PostgreSQL: each connection is as good as one of another host."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from datetime import UTC, datetime, timedelta
from subprocess import PIPE
from threading import Thread

import dagster as dg
import pytest
import sqlalchemy
from sqlalchemy.exc import OperationalError

from dualface_assets.runs.instance_locks import InstanceLock, attempted, holder, locked
from dualface_assets.service import doctor, only_daemon
from dualface_assets.service.only_daemon import become_the_only_daemon
from dualface_core.errors import SettingsError
from tests.dagster_internals import DaemonHeartbeat

WAITING = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted"
DAEMON = """
import sys
import dagster as dg
from dualface_assets.service.only_daemon import become_the_only_daemon

with dg.DagsterInstance.from_config(sys.argv[1]) as instance:
    become_the_only_daemon(instance)
print("up", flush=True)
sys.stdin.read()
"""
END_ALL = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name LIKE 'dualface%'"


def asked(instance: dg.DagsterInstance, query: str) -> int:
    """What the database answers, in a session that is no lock's."""
    engine = sqlalchemy.create_engine(instance.run_storage.postgres_url, poolclass=sqlalchemy.NullPool)  # type: ignore[attr-defined]  # Postgres
    with engine.connect() as connection:
        return int(connection.execute(sqlalchemy.text(query)).scalar() or 0)


def test_a_lock_is_one_host_s_until_its_connection_ends(postgres_instance: dg.DagsterInstance) -> None:
    with attempted(postgres_instance, InstanceLock.DAEMON, "one") as one:
        assert one is not None
        one()
        found = holder(postgres_instance, InstanceLock.DAEMON)
        assert found is not None
        assert found.name == "one"
        assert datetime.now(UTC) - found.since < timedelta(minutes=15)
        with attempted(postgres_instance, InstanceLock.DAEMON, "another") as another:
            assert another is None
        with attempted(postgres_instance, InstanceLock.DELETION, "another") as another:
            assert another is not None
    assert holder(postgres_instance, InstanceLock.DAEMON) is None


def test_whoever_loses_the_database_is_told_that_the_lock_is_lost(postgres_instance: dg.DagsterInstance) -> None:
    with attempted(postgres_instance, InstanceLock.DAEMON, "dualface one") as still_held:
        assert still_held is not None
        asked(postgres_instance, END_ALL)
        with pytest.raises(OperationalError):
            still_held()


def test_runs_begin_together_on_all_hosts_but_not_while_one_deletes(postgres_instance: dg.DagsterInstance) -> None:
    begun = []

    def begin() -> None:
        with locked(postgres_instance, InstanceLock.DELETION, shared=True):
            begun.append(True)

    with locked(postgres_instance, InstanceLock.DELETION, shared=True):
        begin()
    with locked(postgres_instance, InstanceLock.DELETION):
        run = Thread(target=begin)
        run.start()
        while not asked(postgres_instance, WAITING):
            assert run.is_alive(), "it did not wait"
            time.sleep(0.05)
        assert len(begun) == 1
    run.join()
    assert len(begun) == 2


def test_a_second_daemon_is_told_where_the_first_one_is_and_ends(postgres_instance: dg.DagsterInstance) -> None:
    with attempted(postgres_instance, InstanceLock.DAEMON, "dualface daemon on studio-7, process 42"):
        with pytest.raises(SettingsError, match=r"running already, on studio-7, process 42, since \d{4}-.*one only"):
            become_the_only_daemon(postgres_instance)
        command = [sys.executable, "-m", "dualface_assets.service.dagster_program", "dagster-daemon", "run"]
        environment = {**os.environ, "DAGSTER_HOME": postgres_instance.root_directory}
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
        assert done.returncode == only_daemon.REFUSED
        assert "on studio-7, process 42, since" in done.stderr


def test_a_daemon_takes_its_lock_again_when_the_database_is_back_and_ends_if_another_has_it_by_then(
    postgres_instance: dg.DagsterInstance,
) -> None:
    command = [sys.executable, "-c", DAEMON, postgres_instance.root_directory]
    with subprocess.Popen(command, stdin=PIPE, stdout=PIPE, stderr=PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        assert process.stdout.readline() == "up\n"
        first = holder(postgres_instance, InstanceLock.DAEMON)
        assert first is not None
        assert first.name == f"dualface daemon on {socket.gethostname()}, process {process.pid}"
        asked(postgres_instance, END_ALL)
        while (again := holder(postgres_instance, InstanceLock.DAEMON)) is None or again == first:
            time.sleep(0.05)
        assert again.name == first.name
        taken = None
        while not taken:  # it notices seconds later
            asked(postgres_instance, END_ALL)
            with attempted(postgres_instance, InstanceLock.DAEMON, "studio-7") as taken:
                if taken:
                    assert process.wait() == only_daemon.REFUSED
        assert "running already, on studio-7, since" in process.stderr.read()


def test_the_doctor_says_where_the_daemon_is_and_warns_of_one_that_has_no_lock(
    postgres_instance: dg.DagsterInstance,
) -> None:
    for kind in postgres_instance.get_required_daemon_types():
        postgres_instance.add_daemon_heartbeat(DaemonHeartbeat(time.time(), kind, "a daemon"))
    assert doctor.daemon(postgres_instance).verdict == "warning"
    with attempted(postgres_instance, InstanceLock.DAEMON, "dualface daemon on studio-7, process 42"):
        answer = doctor.daemon(postgres_instance)
    assert answer.verdict == "good"
    assert answer.text.startswith("running on studio-7, process 42, since ")
