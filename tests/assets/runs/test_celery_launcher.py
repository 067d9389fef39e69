"""The launcher of several hosts, with a real broker and no worker, as when every host is down."""

from __future__ import annotations

import importlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
import yaml

from deploy.local import servers
from deploy.local.servers import Server
from dualface_assets.runs.dagster_internals import LaunchRunContext, WorkerStatus, run_of_task
from dualface_assets.runs.tags import MAX_RETRIES
from dualface_assets.service import doctor
from dualface_assets.settings import ServiceSettings
from dualface_assets.store.video_store import video_store
from dualface_core.settings import Settings
from tests.own_instance import REPOSITORY, own_instance

redis = pytest.importorskip("redis", reason="redis is not installed")
task_postrun = pytest.importorskip("celery.signals", reason="celery is not installed").task_postrun
if reason := servers.why_unavailable("redis", "fleet"):
    pytest.skip(reason, allow_module_level=True)


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[tuple[Server, str]]:
    with servers.redis(tmp_path / "redis") as found:
        yield found


@pytest.fixture
def launching(
    tmp_path: Path, broker: tuple[Server, str], monkeypatch: pytest.MonkeyPatch
) -> Iterator[dg.DagsterInstance]:
    """An instance whose runs workers are to take."""
    monkeypatch.setenv("DUALFACE_BROKER", broker[1])
    launcher = yaml.safe_load((REPOSITORY / "deploy" / "hosts" / "dagster.yaml").read_text())["run_launcher"]
    with own_instance(tmp_path / "home", run_launcher=launcher) as instance:
        yield instance


@pytest.fixture
def run(launching: dg.DagsterInstance) -> dg.DagsterRun:
    """A run that a worker has begun."""
    tags = {"dagster-celery/task_id": "a-task", MAX_RETRIES: "4"}
    return launching.create_run_for_job(dg.GraphDefinition(name="made").to_job(), tags=tags)


def test_a_run_that_no_worker_has_is_ended_after_a_while_and_tried_again(
    launching: dg.DagsterInstance, run: dg.DagsterRun, monkeypatch: pytest.MonkeyPatch
) -> None:
    launcher = launching.run_launcher
    assert launcher.check_run_worker_health(run).status == WorkerStatus.RUNNING  # its worker may only be slow to answer
    monkeypatch.setattr("dualface_assets.runs.celery_launcher._PATIENCE", 0.0)
    answer = launcher.check_run_worker_health(run)
    assert answer.status == WorkerStatus.NOT_FOUND
    assert "process that worked on this run is gone" in (answer.msg or "")
    again = launching.get_run_by_id(run.run_id)
    assert again is not None
    assert again.tags[MAX_RETRIES] == "5"  # a host that goes down is no failure of the video's


def a_job() -> dg.JobDefinition:
    """A job that another process could find."""
    return dg.GraphDefinition(name="a_job").to_job()


def test_the_run_of_a_task_is_known_from_what_workers_tell(launching: dg.DagsterInstance) -> None:
    launcher: Any = launching.run_launcher
    origin = dg.reconstructable(a_job).get_python_origin()
    run = launching.create_run_for_job(a_job(), job_code_origin=origin)
    launcher.launch_run(LaunchRunContext(run, workspace=None))
    with launcher.celery.connection_for_read() as connection:
        _, arguments, _ = connection.SimpleQueue("dualface").get(timeout=60).payload
    assert run_of_task(arguments) == run.run_id


def test_a_run_that_was_lost_on_its_way_is_told_from_one_that_waits(
    launching: dg.DagsterInstance, run: dg.DagsterRun, broker: tuple[Server, str]
) -> None:
    launcher: Any = launching.run_launcher
    launched = run.with_status(dg.DagsterRunStatus.STARTING)
    launcher.celery.send_task("execute_job", queue="dualface")
    assert launcher.check_run_worker_health(launched).status == WorkerStatus.RUNNING  # this may be the one that waits
    redis.Redis.from_url(broker[1]).flushdb()
    assert launcher.check_run_worker_health(launched).status == WorkerStatus.NOT_FOUND
    broker[0].stop()
    assert launcher.check_run_worker_health(launched).status == WorkerStatus.RUNNING  # nobody can say


def test_a_worker_removes_what_runs_that_are_over_have_left(
    launching: dg.DagsterInstance, run: dg.DagsterRun, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DAGSTER_HOME", launching.root_directory)
    monkeypatch.setenv("DUALFACE_STORE", str(tmp_path / "store"))
    copy = video_store(ServiceSettings.load()).scratch(run.run_id) / "a.mp4"
    copy.touch()
    importlib.import_module("dualface_assets.service.celery_app")
    task_postrun.send(sender=None)
    assert copy.exists()
    launching.report_run_failed(run)
    task_postrun.send(sender=None)
    assert not copy.exists()


def test_the_settings_of_several_hosts_differ_from_those_of_one_where_they_say_so() -> None:
    files = (REPOSITORY / folder / "dagster.yaml" for folder in ("dagster_home", "deploy/hosts"))
    one, several = (yaml.safe_load(file.read_text()) for file in files)
    changed = {part for part in one.keys() | several.keys() if one.get(part) != several.get(part)}
    assert changed == {"storage", "run_launcher", "concurrency", "run_monitoring"}


def test_the_doctor_leaves_how_many_sessions_all_hosts_have_to_the_settings(launching: dg.DagsterInstance) -> None:
    answer = doctor.pool(launching, Settings(nvenc_max_sessions=1))
    assert answer == doctor.Diagnosis("pool", "good", "nvenc: 2 at once, over all hosts")


def test_no_run_is_ended_while_the_broker_is_away(
    launching: dg.DagsterInstance, run: dg.DagsterRun, broker: tuple[Server, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("dualface_assets.runs.celery_launcher._PATIENCE", 0.0)
    monkeypatch.setattr("dualface_assets.runs.celery_launcher._ANSWERS_LAST", 0.0)
    broker[0].stop()
    for _ in range(2):
        assert launching.run_launcher.check_run_worker_health(run).status == WorkerStatus.RUNNING
