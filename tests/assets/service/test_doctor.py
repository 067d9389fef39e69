from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
import yaml

from dualface_assets.service import doctor
from dualface_assets.service.doctor import Diagnosis
from dualface_assets.settings import ServiceSettings
from dualface_assets.store.video_store import video_store
from dualface_core.engine.cores import CoreBudget
from dualface_core.settings import Settings
from tests.dagster_internals import (
    DaemonHeartbeat,
    InstigatorState,
    InstigatorStatus,
    InstigatorType,
    RegisteredCodeLocationOrigin,
    RemoteInstigatorOrigin,
    RemoteRepositoryOrigin,
)
from tests.own_instance import REPOSITORY, start

Instance = Callable[..., dg.DagsterInstance]


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(runtime=tmp_path / "runtime", cache=tmp_path / "cache")


@pytest.fixture
def service(tmp_path: Path) -> ServiceSettings:
    return ServiceSettings(store=str(tmp_path / "store"))


@pytest.fixture
def instance(tmp_path: Path) -> Iterator[Instance]:
    """Make an instance with our configuration, without some parts of it: `instance("concurrency")`."""
    home = tmp_path / "home"
    home.mkdir()

    def make(*without: str, **instead: Any) -> dg.DagsterInstance:
        configuration = yaml.safe_load((REPOSITORY / "dagster_home" / "dagster.yaml").read_text())
        kept = {name: value for name, value in configuration.items() if name not in without}
        (home / "dagster.yaml").write_text(yaml.safe_dump({**kept, **instead}))
        return opened.enter_context(dg.DagsterInstance.from_config(str(home)))

    with ExitStack() as opened:
        yield make


def beat(instance: dg.DagsterInstance, *, ago: float = 0, but: str = "") -> None:
    for kind in set(instance.get_required_daemon_types()) - {but}:
        instance.add_daemon_heartbeat(DaemonHeartbeat(time.time() - ago, kind, "a daemon"))


def test_all_is_well_where_the_daemon_runs(settings: Settings, service: ServiceSettings, instance: Instance) -> None:
    ours = instance()
    beat(ours)
    answers = list(doctor.examine(settings, service, ours))
    assert {answer.verdict for answer in answers} <= {"good", "warning"}  # a disk may be rather full
    subjects = {answer.subject for answer in answers}
    of_the_core = {"store", "inbox", "runtime", "cache", "disk space", "retention", "model", "cores", "encoder"}
    assert subjects == of_the_core | {"instance", "recovery", "pool", "daemon", "sensors", "clock", "notifications"}


def test_a_folder_that_cannot_be_is_a_problem(settings: Settings, service: ServiceSettings, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    changed = settings.model_copy(update={"runtime": tmp_path / "file" / "runtime"})
    problems = [answer for answer in doctor.folders(changed, video_store(service)) if answer.verdict == "problem"]
    assert [problem.subject for problem in problems] == ["runtime"]
    assert "Set DUALFACE_RUNTIME" in problems[0].text


def test_a_remote_store_must_answer(settings: Settings, service: ServiceSettings, tmp_path: Path) -> None:
    changed = service.model_copy(
        update={"store": "memory://videos", "inbox": tmp_path / "inbox", "work": tmp_path / "work"}
    )
    outbox = tmp_path / "outbox"
    answers = {answer.subject: answer for answer in doctor.folders(settings, video_store(changed), outbox)}
    assert answers["outbox"].text == f"{outbox} is not there, and is not made. Create it, or mount its disk."
    assert answers["store"] == Diagnosis("store", "good", "memory://videos answers: 0 videos")
    assert answers["work"].verdict == "good"
    assert str(tmp_path / "work") in answers["work"].text
    changed = changed.model_copy(update={"store": "gs://videos"})
    (problem,) = [each for each in doctor.folders(settings, video_store(changed)) if each.verdict == "problem"]
    assert problem.subject == "store"
    assert "pip install gcsfs" in problem.text


def test_what_is_deleted_by_itself_is_told(service: ServiceSettings) -> None:
    assert "kept for ever" in doctor.retention(service).text
    changed = service.model_copy(update={"keep_uploads": 30.0, "keep_results": 0.5})
    assert doctor.retention(changed).text == "uploads are kept for 30 days, results are kept for 0.5 days"


def test_the_cores_that_runs_share_are_told(settings: Settings) -> None:
    budget = CoreBudget(settings.runtime, cores=3)
    core = budget.attempt()
    assert core
    told = doctor.cores(settings.overlaid(cores=3))
    assert (told.verdict, told.text) == ("good", "3 for all videos together, 1 in use now")
    core.release()
    settings.runtime.chmod(0o777)
    assert "do not share" in doctor.cores(settings).text


def test_models_that_are_not_there_are_a_problem(settings: Settings, tmp_path: Path) -> None:
    changed = settings.model_copy(update={"detector_weights": tmp_path / "missing.onnx"})
    assert [answer.verdict for answer in doctor.models(changed)] == ["problem", "good"]


def test_nvenc_without_fallback_is_a_problem_where_there_is_none(settings: Settings) -> None:
    changed = Settings(**{**settings.model_dump(), "nvenc_max_sessions": 0, "encoder": "nvenc"})
    assert doctor.encoder(changed).verdict == "good"
    strict = changed.model_copy(update={"software_fallback": False})
    assert doctor.encoder(strict).verdict == "problem"


def test_an_instance_without_configuration_is_a_problem() -> None:
    with dg.DagsterInstance.ephemeral() as stranger:
        answers = list(doctor.configuration(stranger))
        assert [(answer.subject, answer.verdict) for answer in answers] == [
            ("instance", "problem"),
            ("recovery", "problem"),
        ]


def test_an_instance_that_keeps_the_slots_of_dead_runs_is_a_problem(instance: Instance) -> None:
    answers = list(doctor.configuration(instance("run_monitoring", run_monitoring={"enabled": True})))
    problem = next(answer for answer in answers if answer.verdict == "problem")
    assert "run_monitoring.free_slots_after_run_end_seconds" in problem.text


@pytest.mark.parametrize(
    ("concurrency", "verdict"),
    [
        ({"pools": {"default_limit": 2, "granularity": "op"}}, "good"),
        ({"pools": {"granularity": "op"}}, "problem"),
        ({"pools": {"default_limit": 2, "granularity": "run"}}, "problem"),
        ({"pools": {"default_limit": 3, "granularity": "op"}}, "warning"),
        ({"pools": {"default_limit": 1, "granularity": "op"}}, "warning"),
    ],
)
def test_the_pool_must_be_limited_and_fit_the_sessions(
    settings: Settings, instance: Instance, concurrency: dict[str, Any], verdict: str
) -> None:
    answer = doctor.pool(instance("concurrency", concurrency=concurrency), settings)
    assert (answer.subject, answer.verdict) == ("pool", verdict)


def test_a_limit_that_was_set_by_hand_counts(settings: Settings, instance: Instance) -> None:
    ours = instance()
    ours.event_log_storage.set_concurrency_slots("nvenc", 3)
    assert doctor.pool(ours, settings).verdict == "warning"
    assert doctor.pool(ours, settings.model_copy(update={"nvenc_max_sessions": 3})).verdict == "good"


def test_a_daemon_that_is_silent_is_a_problem(instance: Instance) -> None:
    ours = instance()
    assert doctor.daemon(ours).text.startswith("Not running")
    beat(ours, ago=3600)
    assert doctor.daemon(ours).verdict == "problem"
    beat(ours)
    assert doctor.daemon(ours) == Diagnosis("daemon", "good", "running")


def test_a_daemon_of_which_a_part_is_silent_is_a_problem(instance: Instance) -> None:
    ours = instance()
    beat(ours, but="SENSOR")
    assert "Parts of it do not answer: sensor." in doctor.daemon(ours).text


def test_a_sensor_that_was_switched_off_is_told(instance: Instance) -> None:
    ours = instance()
    assert doctor.sensors(ours).verdict == "good"
    location = RegisteredCodeLocationOrigin("dualface")
    origin = RemoteInstigatorOrigin(RemoteRepositoryOrigin(location, "__repository__"), "uploads")
    ours.add_instigator_state(InstigatorState(origin, InstigatorType.SENSOR, InstigatorStatus.STOPPED))
    assert doctor.sensors(ours) == Diagnosis(
        "sensors", "warning", "Switched off: uploads. Switch on under Automation in the web page."
    )


@pytest.mark.parametrize(
    ("variables", "verdict", "said"),
    [
        ({}, "good", "There is no recipient"),
        ({"URL": "https://example.com/s3cret"}, "warning", "https://example.com are not signed"),
        ({"URL": "https://example.com/s3cret", "SECRET": "s3cret"}, "good", "go to https://example.com."),
        ({"URL": "example.com/s3cret"}, "problem", "DUALFACE_WEBHOOK_URL is no address"),
    ],
)
def test_it_is_said_who_is_told_but_nothing_that_is_secret(
    variables: dict[str, str], verdict: str, said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in variables.items():
        monkeypatch.setenv(f"DUALFACE_WEBHOOK_{name}", value)
    answer = doctor.notifications()
    assert answer.verdict == verdict
    assert said in answer.text
    assert "s3cret" not in answer.text


@pytest.mark.parametrize(
    ("home", "sentence"),
    [
        ("dagster_home", "DAGSTER_HOME is 'dagster_home'; expected the full name of a folder.\n"),
        ("/there/is/none", "There is no DAGSTER_HOME '/there/is/none' yet. It is made by: make up\n"),
    ],
)
def test_an_instance_that_is_nowhere_is_told_in_a_sentence(home: str, sentence: str) -> None:
    said = start("doctor", home)
    assert (said.returncode, said.stderr) == (2, sentence)


def test_the_command_says_all_of_it_and_fails_where_there_is_a_problem(
    settings: Settings, service: ServiceSettings, tmp_path: Path
) -> None:
    shutil.copy(REPOSITORY / "dagster_home" / "dagster.yaml", tmp_path)
    folders = {"DUALFACE_RUNTIME": settings.runtime, "DUALFACE_CACHE": settings.cache}
    said = start("doctor", tmp_path, DUALFACE_STORE=service.store, **folders)
    assert said.returncode == 1, said.stderr
    assert "make up" in said.stdout
    assert "nvenc: 2 at once" in said.stdout


def test_it_is_a_command_of_dualface_too(tmp_path: Path) -> None:
    nowhere = {**os.environ, "DAGSTER_HOME": str(tmp_path / "nowhere")}
    command = [sys.executable, "-m", "dualface_core.cli", "doctor"]
    done = subprocess.run(command, env=nowhere, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 2
    assert "no DAGSTER_HOME" in done.stderr


def test_an_instance_in_postgres_is_known_and_one_whose_server_is_down_is_told_without_its_password(
    postgres_instance: dg.DagsterInstance,
) -> None:
    home = Path(postgres_instance.root_directory)
    (answer,) = [each for each in doctor.configuration(postgres_instance) if each.subject == "instance"]
    assert answer == Diagnosis("instance", "good", f"{home}, its records in Postgres")
    configuration = yaml.safe_load((home / "dagster.yaml").read_text())
    configuration["storage"]["postgres"]["postgres_url"] = "postgresql+psycopg2://ann:s3cret@/x?host=/nowhere"
    (home / "dagster.yaml").write_text(yaml.safe_dump(configuration))
    done = start("doctor", home)
    assert done.returncode == 2
    assert "dagster.yaml: the database that it names does not answer (DagsterPostgresException)" in done.stderr
    assert "Start the database" in done.stderr
    assert "s3cret" not in done.stdout + done.stderr
