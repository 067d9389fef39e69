"""What the doctor says of several hosts: each answer with the real server, as it is and broken."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import dagster as dg
import httpx
import pytest
import sqlalchemy
import yaml

from deploy.local import servers
from deploy.local.servers import PATIENCE, Server
from dualface_assets.service import doctor, doctor_of_hosts
from dualface_assets.service.diagnosis import Diagnosis
from dualface_assets.service.doctor_of_hosts import Host
from dualface_assets.store.remote import RemoteFiles
from dualface_assets.store.video_store import VideoStore
from tests.assets.conftest import S3Server
from tests.dagster_internals import DaemonHeartbeat
from tests.own_instance import REPOSITORY, own_instance


def ask(instance: dg.DagsterInstance, store: VideoStore) -> dict[str, Diagnosis]:
    return {answer.subject: answer for answer in doctor_of_hosts.examine(instance, store)}


def execute(instance: dg.DagsterInstance, *statements: str) -> None:
    with instance.run_storage.connect() as connection:  # type: ignore[attr-defined]  # of SQL
        for statement in statements:
            connection.execute(sqlalchemy.text(statement))
        connection.commit()


def test_tables_of_another_release_are_a_problem(postgres_instance: dg.DagsterInstance) -> None:
    assert doctor_of_hosts.database(postgres_instance).verdict == "good"
    execute(postgres_instance, "UPDATE alembic_version SET version_num = 'older'")
    answer = doctor_of_hosts.database(postgres_instance)
    assert answer.verdict == "problem"
    assert answer.text.endswith("run: dagster instance migrate")


def test_a_database_whose_clock_is_wrong_is_a_problem(postgres_instance: dg.DagsterInstance) -> None:
    answer = doctor_of_hosts.clocks(postgres_instance, None, {})
    assert answer == Diagnosis("clocks", "good", "within 5 s of this host's: the database")
    slow = "SELECT pg_catalog.clock_timestamp() - interval '1 hour'"
    first = "ALTER DATABASE %I SET search_path = public, pg_catalog"
    execute(
        postgres_instance,
        f"CREATE FUNCTION public.clock_timestamp() RETURNS timestamptz AS $${slow}$$ LANGUAGE SQL",
        f"DO $$ BEGIN EXECUTE format('{first}', current_database()); END $$",
    )
    answer = doctor_of_hosts.clocks(postgres_instance, None, {})
    assert answer.verdict == "problem"
    assert "By this host's clock the database is -36" in answer.text


@pytest.fixture
def own_bucket(tmp_path: Path, s3: S3Server, monkeypatch: pytest.MonkeyPatch) -> Iterator[VideoStore]:
    """A store in a bucket of its own, on a server that does as it should."""
    for name, value in s3.environment.items():
        monkeypatch.setenv(name, value)
    bucket = f"b-{uuid4().hex[:20]}"
    s3.create(bucket)
    yield VideoStore(root=f"s3://{bucket}/store", work=str(tmp_path / "work"), inbox_url=f"s3://{bucket}/inbox")
    s3.trouble()


def in_bucket(store: VideoStore) -> list[Diagnosis]:
    assert isinstance(store.files, RemoteFiles)
    return list(doctor_of_hosts.bucket(store.files, store))


def test_a_bucket_must_be_versioned_and_is_left_as_it_was(own_bucket: VideoStore, s3: S3Server) -> None:
    (answer,) = in_bucket(own_bucket)
    assert (answer.subject, answer.verdict) == ("bucket", "warning")
    assert "Turn on versioning" in answer.text
    assert own_bucket.files.names(own_bucket.folder) == []
    endpoint, name = s3.environment["AWS_ENDPOINT_URL"], own_bucket.root.split("/")[2]
    setting = "<VersioningConfiguration><Status>Enabled</Status></VersioningConfiguration>"
    httpx.put(f"{endpoint}/{name}?versioning", content=setting, timeout=PATIENCE).raise_for_status()
    assert in_bucket(own_bucket) == [Diagnosis("bucket", "good", "written, read and removed, keeps versions")]


def test_a_bucket_that_cannot_be_written_is_a_problem(own_bucket: VideoStore, s3: S3Server) -> None:
    s3.trouble(refuse_puts=1)
    (answer,) = in_bucket(own_bucket)
    assert answer.verdict == "problem"
    assert "Forbidden" in answer.text
    assert "look at what the credentials allow" in answer.text


def test_a_store_whose_clock_is_wrong_is_a_problem(own_bucket: VideoStore, s3: S3Server, tmp_path: Path) -> None:
    with own_instance(tmp_path / "home") as instance:
        assert isinstance(own_bucket.files, RemoteFiles)
        assert "the store" in doctor_of_hosts.clocks(instance, own_bucket.files, {}).text
        s3.trouble(ahead_s=120)
        answer = doctor_of_hosts.clocks(instance, own_bucket.files, {})
    assert answer.verdict == "problem"
    assert "the store is +1" in answer.text


def test_a_bucket_for_uploads_must_answer(own_bucket: VideoStore, s3: S3Server) -> None:
    answer = doctor_of_hosts.inbox_bucket(own_bucket)
    assert answer == Diagnosis("inbox bucket", "good", f"{own_bucket.inbox_url} answers: 0 objects")
    nowhere = own_bucket.model_copy(update={"inbox_url": "s3://no-such-bucket/inbox"})
    assert doctor_of_hosts.inbox_bucket(nowhere).verdict == "problem"


def a_host(**different: object) -> Host:
    known = {
        "runs": 2,
        "queues": ["dualface"],
        "sessions": 2,
        "slots": uuid4().hex,
        "clock": time.time(),
        "release": "1",
    }
    return Host.model_validate({"slots": uuid4().hex, "release": "1", **known, **different})


@pytest.mark.parametrize(
    ("hosts", "verdict", "said"),
    [
        ([a_host()], "good", "nvenc: 2 at once, and the hosts have 2"),
        ([a_host(), a_host()], "warning", "sessions stay unused. Run: dagster instance concurrency set nvenc 4"),
        ([a_host(sessions=1)], "warning", "1 may wait in vain"),
        ([a_host(slots="one host"), a_host(slots="one host")], "good", "the hosts have 2"),
        ([a_host(sessions=0)], "good", "software encodes"),
    ],
)
def test_the_pool_must_be_as_large_as_the_slots_of_all_hosts(
    hosts: list[Host], verdict: str, said: str, tmp_path: Path
) -> None:
    with own_instance(tmp_path / "home") as instance:
        answer = doctor_of_hosts.slots(instance, {str(number): host for number, host in enumerate(hosts)})
    assert (answer.subject, answer.verdict) == ("slots", verdict)
    assert said in answer.text


def test_a_disk_for_work_must_have_room_for_all_runs_at_once(small_disk: Path) -> None:
    small = VideoStore(root=str(small_disk))
    assert doctor_of_hosts.scratch(small, 2).verdict == "problem"
    assert doctor_of_hosts.scratch(small, 2).subject == "scratch"
    assert "Expected: 2 GiB each. Set DUALFACE_WORK" in doctor_of_hosts.scratch(small, 2).text


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[tuple[Server, str]]:
    if reason := servers.why_unavailable("redis", "fleet"):
        pytest.skip(reason)
    with servers.redis(tmp_path / "redis") as found:
        yield found


def test_broker_and_workers_are_asked_and_named_when_they_do_not_answer(
    broker: tuple[Server, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DUALFACE_BROKER", broker[1])
    launcher = yaml.safe_load((REPOSITORY / "deploy" / "hosts" / "dagster.yaml").read_text())["run_launcher"]
    store = VideoStore(root=str(tmp_path / "store"))
    store.folder.mkdir()
    with own_instance(tmp_path / "home", run_launcher=launcher) as instance:
        answers = ask(instance, store)
        assert answers["broker"] == Diagnosis("broker", "good", f"{broker[1]} answers")
        assert answers["hosts"].verdict == "problem"
        assert "No worker answers" in answers["hosts"].text
        environment = {
            **os.environ,
            "PYTHONPATH": str(REPOSITORY),
            "DAGSTER_HOME": instance.root_directory,
            "DUALFACE_STORE": store.root,
            "DUALFACE_RUNTIME": str(tmp_path / "runtime"),
        }
        command = [sys.executable, "-m", "celery", "--app", "dualface_assets.service.celery_app", "worker"]
        log = tmp_path / "worker.log"
        options = ["-Q", "cpu", "-n", "one", "--loglevel", "INFO"]
        worker = Server([*command, *options], lambda: b" ready." in log.read_bytes(), log, None, environment)
        with worker.running():
            answers = ask(instance, store)
            assert answers["hosts"].verdict == "problem"
            assert "No worker takes from the queue 'dualface'" in answers["hosts"].text
            assert answers["runs at once"].text.startswith("4 are given out, the workers have 2: runs wait in the")
            assert "software encodes" in answers["slots"].text
            assert answers["clocks"].text == "within 5 s of this host's: celery@one"
        broker[0].stop()
        answers = ask(instance, store)
        assert answers["broker"].verdict == "problem"
        assert "Start it, or look at DUALFACE_BROKER" in answers["broker"].text


def test_two_daemons_are_told_from_one_that_was_started_again(tmp_path: Path) -> None:
    with own_instance(tmp_path / "home") as instance:
        kinds = sorted(instance.get_required_daemon_types())

        def beat(number: int, daemon: str, ago: float) -> None:
            instance.add_daemon_heartbeat(DaemonHeartbeat(time.time() - ago, kinds[number], daemon))

        for number in range(len(kinds)):
            beat(number, "first", ago=30)
        beat(0, "second", ago=1)
        assert doctor.daemon(instance).verdict == "warning"
        beat(1, "first", ago=0)
        answer = doctor.daemon(instance)
    assert answer.verdict == "problem"
    assert "2 daemons have shown themselves within 120 s; expected: one" in answer.text


def test_one_host_alone_is_asked_nothing_of_this_and_imports_none_of_it(tmp_path: Path) -> None:
    program = f"""
import sys
from dualface_assets.service.doctor import examine
from dualface_assets.settings import ServiceSettings
from dualface_core.settings import Settings
from tests.own_instance import own_instance
from pathlib import Path
with own_instance(Path({str(tmp_path / "home")!r})) as instance:
    settings = Settings(runtime={str(tmp_path / "runtime")!r}, cache={str(tmp_path / "cache")!r}, encoder="software")
    service = ServiceSettings(store={str(tmp_path / "store")!r})
    print({{answer.subject for answer in examine(settings, service, instance)}})
parts = ("celery", "kombu", "redis", "psycopg2", "s3fs", "botocore", "dualface_assets.service.doctor_of_hosts")
print([part for part in parts if part in sys.modules])
"""
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY)}
    done = subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True, text=True, check=True)
    subjects, imported = done.stdout.splitlines()
    assert not {"broker", "hosts", "slots", "bucket", "database", "clocks", "scratch"} & eval(subjects)
    assert imported == "[]"
