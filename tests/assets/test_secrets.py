"""A store that fails with its password, and a signature, in its errors: neither may be stored or shown."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import dagster as dg
import fsspec
import pytest

from dualface_assets.definitions import build_defs
from dualface_assets.runs.failures import explanation_of
from dualface_assets.settings import ServiceSettings
from dualface_assets.store import video_store as resources
from dualface_assets.store.video_store import VideoStore, video_store
from dualface_assets.uploads.intake import add
from tests.assets.conftest import LanFileSystem
from tests.dagster_internals import (
    InProcessCodeLocationOrigin,
    InProcessTestWorkspaceLoadTarget,
    LoadableTargetOrigin,
    TickStatus,
    create_test_daemon_workspace_context,
    execute_sensor_iteration,
    get_default_daemon_logger,
)

PASSWORD = "pa55word"
SIGNATURE = "0123456789abcdefsignature"
TOKEN = "t0ken-of-the-options"


class TalkativeFileSystem(LanFileSystem):
    """A file system whose errors hold everything that it knows, and were caused by others that do, too."""

    protocol = "talkative"
    cachable = False
    broken = ""

    def __init__(self, *, password: str, token: str = TOKEN, **options: Any) -> None:
        super().__init__(password=password, token=token, **options)
        self._password = password
        self._fail("init")

    @classmethod
    def _strip_protocol(cls, path: Any) -> Any:
        return super()._strip_protocol(str(path).rpartition("@localhost")[2])

    @staticmethod
    def _get_kwargs_from_urls(path: str) -> dict[str, str]:
        return {"username": "ann", "password": path.partition("ann:")[2].partition("@")[0]}

    def _fail(self, what: str) -> None:
        if what == self.broken:
            url = f"https://ann:{self._password}@localhost/x?X-Amz-Signature={SIGNATURE}"
            cause = ValueError(f"{url}, {self._password} and {TOKEN}")
            # Most client libraries raise errors of the operating system's kind.
            raise ConnectionError(f"403, message='Forbidden', url={url!r}\x1b[31m\n") from cause

    def info(self, path: Any, **options: Any) -> Any:
        self._fail("info")
        return super().info(path, **options)

    def ls(self, path: Any, detail: bool = False, **options: Any) -> Any:
        self._fail("ls")
        return super().ls(path, detail=detail, **options)

    def cat_file(self, path: Any, *arguments: Any, **options: Any) -> Any:
        self._fail("cat_file")
        return super().cat_file(path, *arguments, **options)

    def get_file(self, path: Any, *arguments: Any, **options: Any) -> Any:
        self._fail("get_file")
        return super().get_file(path, *arguments, **options)

    def put_file(self, path: Any, *arguments: Any, **options: Any) -> Any:
        self._fail("put_file")
        return super().put_file(path, *arguments, **options)


fsspec.register_implementation("talkative", TalkativeFileSystem)


@pytest.fixture
def talkative_store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[VideoStore]:
    """The store of the settings, as `make up` would have it."""
    monkeypatch.setenv("DUALFACE_STORE", f"talkative://ann:{PASSWORD}@localhost{tmp_path}/far")
    monkeypatch.setenv("DUALFACE_INBOX", str(tmp_path / "inbox"))
    monkeypatch.setenv("DUALFACE_WORK", str(tmp_path / "work"))
    resources._remote_files.cache_clear()
    yield video_store(ServiceSettings.load())
    TalkativeFileSystem.broken = ""
    resources._remote_files.cache_clear()


def breaks(operation: str) -> None:
    TalkativeFileSystem.broken = operation
    resources._remote_files.cache_clear()


def assert_discreet(instance: dg.DagsterInstance, *, said: bytes) -> None:
    """In all that Dagster keeps (events, logs, ticks, and what the steps have printed) are these words, no secret."""
    files = [path for path in Path(instance.root_directory).rglob("*") if path.is_file()]
    everything = b"".join(path.read_bytes() for path in files)
    assert said in everything
    for secret in (PASSWORD, SIGNATURE, TOKEN):
        assert secret.encode() not in everything, secret


@pytest.mark.parametrize("operation", ["init", "info", "cat_file", "get_file", "put_file"])
def test_a_run_whose_store_fails_tells_no_secret(
    talkative_store: VideoStore, instance: dg.DagsterInstance, sample_clip: Callable[..., Path], operation: str
) -> None:
    key = add(talkative_store, sample_clip("talk", seconds=2, size=(320, 180), fps=15)).key
    instance.add_dynamic_partitions("videos", [key])
    breaks(operation)
    job = build_defs().resolve_job_def("process_video")
    run = job.execute_in_process(instance=instance, partition_key=key, raise_on_error=False)
    found = explanation_of(run.run_id, instance)
    assert found.failure == "store"
    assert "ConnectionError" in found.sentence
    assert found.sentence.isprintable()
    assert_discreet(instance, said=b"the store does not answer")


@pytest.mark.usefixtures("talkative_store")
def test_a_clean_up_whose_store_fails_says_so_and_tells_no_secret(
    instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DUALFACE_KEEP_UPLOADS", "1")
    breaks("ls")
    run = build_defs().resolve_job_def("retention_job").execute_in_process(instance=instance, raise_on_error=False)
    assert explanation_of(run.run_id, instance).failure == "store"
    assert_discreet(instance, said=b"the store does not answer")


@pytest.mark.usefixtures("talkative_store")
@pytest.mark.parametrize("operation", ["init", "ls"])
def test_a_tick_whose_store_fails_tells_no_secret(instance: dg.DagsterInstance, operation: str, tmp_path: Path) -> None:
    module = tmp_path / "definitions_of_the_settings.py"
    module.write_text("from dualface_assets.definitions import build_defs\n\ndefs = build_defs()\n")
    breaks(operation)
    origin = InProcessCodeLocationOrigin(LoadableTargetOrigin(python_file=str(module)), location_name="dualface")
    with create_test_daemon_workspace_context(InProcessTestWorkspaceLoadTarget(origin), instance) as workspace:
        list(execute_sensor_iteration(workspace, get_default_daemon_logger("SensorDaemon"), None, None))
    failed = {
        state.instigator_name
        for state in instance.all_instigator_state()
        for tick in instance.get_ticks(state.instigator_origin_id, state.selector_id)
        if tick.status is TickStatus.FAILURE
    }
    assert failed == {"uploads", "recovery"}
    assert_discreet(instance, said=b"the store does not answer")
