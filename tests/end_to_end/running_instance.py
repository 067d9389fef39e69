"""A Dagster instance as it runs in earnest: daemon, code servers and run workers, on emulated hosts.

One daemon serves several hosts. Each is a code location of its own, which the daemon starts with the host's
environment: its NVENC driver, its settings and its store. All of them load the project's own definitions; nothing is
replaced but intervals in `dagster.yaml`, so that less time is spent waiting.
"""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar
from uuid import uuid4

import dagster as dg
import yaml

from dualface_assets.store.video_store import VideoStore
from dualface_assets.uploads.intake import add
from dualface_core import pipeline
from dualface_core.encoding.sessions import NvencSessions
from dualface_core.rendering.report import EncodeReport
from tests.nvenc_emulator.driver import EmulatedDriver

REPOSITORY = Path(__file__).parents[2]
DAGSTER = "dualface_assets.service.dagster_program"
PATIENCE = 900.0
"""Seconds until a test gives up. Long, since a machine may be busy; it is not waited for where all is well."""

Found = TypeVar("Found")


@dataclass(frozen=True)
class Host:
    """A machine with a card, a store and settings of its own.

    Args:
        name: of the code location.
        folder: where its files lie.
        driver: its card.
        settings: variables that differ from the defaults.
    """

    name: str
    folder: Path
    driver: EmulatedDriver
    settings: Mapping[str, str]

    @property
    def store(self) -> VideoStore:
        return VideoStore(root=str(self.folder / "store"))

    @property
    def runtime(self) -> Path:
        return self.folder / "runtime"

    def environment(self) -> dict[str, str]:
        return {
            **self.driver.environment(),
            "DUALFACE_STORE": self.store.root,
            "DUALFACE_RUNTIME": str(self.runtime),
            "DUALFACE_CACHE": str(self.folder / "cache"),
            **self.settings,
        }

    def sessions(self) -> NvencSessions:
        """The slots of its only card."""
        (folder,) = self.runtime.glob("nvenc-*")
        return NvencSessions(self.runtime, gpu=folder.name.removeprefix("nvenc-"), timeout=PATIENCE)

    def upload(self, clip: Path, name: str) -> str:
        """Put a video into the store; the sensor starts its run. Gives the key."""
        path = self.folder / name
        path.write_bytes(unlike_any_other(clip))
        return add(self.store, path).key

    def results(self) -> list[Path]:
        """The videos that are published."""
        return [path for path in self.store.folder.glob("encoded_video/*/*.mp4") if not path.name.startswith(".")]

    def index(self) -> str:
        """The index of review pages; nothing if there is none yet."""
        index = self.store.review_folder / "index.html"
        return index.read_text() if index.exists() else ""

    def report(self, key: str) -> EncodeReport:
        """The report of a result, which is there only if the result was verified."""
        return EncodeReport.model_validate_json(pipeline.report_path(self.store.result_path(key)).read_bytes())


@dataclass(frozen=True)
class RunningInstance:
    """What a test sees of the instance, through its database."""

    instance: dg.DagsterInstance
    log: Path

    def runs(self, key: str) -> list[dg.DagsterRun]:
        """All runs for a video, the first one first."""
        return self.instance.get_runs(dg.RunsFilter(tags={"dagster/partition": key}), ascending=True)

    def finished(self, key: str, *, runs: int = 1) -> list[dg.DagsterRun]:
        """Wait until so many runs for a video have ended."""

        def ended() -> list[dg.DagsterRun] | None:
            found = self.runs(key)
            return found if sum(map(_over, found)) >= runs else None

        return self.wait_for(ended, f"{runs} runs of {key} to end")

    def wait_for(self, look: Callable[[], Found | None], what: str, *, seconds: float = PATIENCE) -> Found:
        """Wait until `look` finds something that is true, and give that."""
        deadline = time.monotonic() + seconds
        while not (found := look()):
            if time.monotonic() > deadline:
                runs = [(run.status.value, run.tags) for run in self.instance.get_runs()]
                tail = self.log.read_text(errors="replace")[-10_000:]
                raise TimeoutError(f"gave up waiting for {what}; the runs are {runs}; the daemon said:\n{tail}")
            time.sleep(0.2)
        return found

    def steps(self, run: dg.DagsterRun) -> list[str]:
        """The steps that a run has started, in order."""
        started = self.instance.all_logs(run.run_id, of_type=dg.DagsterEventType.STEP_START)
        return [str(event.get_dagster_event().step_key) for event in started]

    def reason(self, run: dg.DagsterRun) -> str:
        """The sentence that a failed run leaves."""
        (failed,) = self.instance.all_logs(run.run_id, of_type=dg.DagsterEventType.STEP_FAILURE)
        told = failed.get_dagster_event().step_failure_data.user_failure_data
        assert told is not None
        return str(told.description)

    def slots_in_use(self) -> int:
        """Slots of the pool that are claimed."""
        return self.instance.event_log_storage.get_concurrency_info("nvenc").active_slot_count


def _over(run: dg.DagsterRun) -> bool:
    """Whether nothing more happens to a run. Of a failed one it is then known whether it is tried again."""
    return run.is_success or (run.is_failure and "dagster/will_retry" in run.tags)


def unlike_any_other(clip: Path) -> bytes:
    """The same video with other content: an MP4 may end with a box that everybody skips."""
    mark = uuid4().bytes
    return clip.read_bytes() + (8 + len(mark)).to_bytes(4, "big") + b"free" + mark


@contextmanager
def running(folder: Path, hosts: list[Host]) -> Iterator[RunningInstance]:
    """Run an instance for the length of the block."""
    home = folder / "dagster_home"
    home.mkdir()
    (home / "dagster.yaml").write_text(yaml.safe_dump(_impatient()))
    workspace = folder / "workspace.yaml"
    workspace.write_text(yaml.safe_dump({"load_from": [_location(host) for host in hosts]}))
    environment = {
        **os.environ,
        "DAGSTER_HOME": str(home),
        "DAGSTER_EVENT_LOG_CONSUMER_DAEMON_INTERVAL_SECONDS": "1",
        "PYTHONPATH": str(REPOSITORY),
    }
    log = folder / "daemon.log"
    with log.open("w") as output, dg.DagsterInstance.from_config(str(home)) as instance:
        daemon = subprocess.Popen(
            [sys.executable, "-m", DAGSTER, "dagster-daemon", "run", "--workspace", str(workspace)],
            env=environment,
            cwd=folder,
            stdout=output,
            stderr=output,
        )
        try:
            yield RunningInstance(instance, log)
        finally:
            daemon.terminate()
            daemon.wait(PATIENCE)


def _impatient() -> dict[str, object]:
    """The instance's own settings, with shorter intervals."""
    settings: dict[str, dict[str, Any]] = yaml.safe_load((REPOSITORY / "dagster_home" / "dagster.yaml").read_text())
    settings["run_monitoring"] |= {"poll_interval_seconds": 2, "free_slots_after_run_end_seconds": 1}
    settings["run_coordinator"]["config"] |= {"dequeue_interval_seconds": 1}
    return settings


def _location(host: Host) -> dict[str, object]:
    """The project's code location, in a Python that has the host's environment."""
    python = host.folder / "python"
    exports = "".join(f"export {name}={shlex.quote(value)}\n" for name, value in host.environment().items())
    # The daemon starts it as `python -m dagster ...`.
    python.write_text(f'#!/bin/sh\n{exports}shift 2\nexec {shlex.quote(sys.executable)} -m {DAGSTER} dagster "$@"\n')
    python.chmod(0o755)
    workspace = yaml.safe_load((REPOSITORY / "workspace.yaml").read_text())
    (location,) = workspace["load_from"]
    return {"python_module": {**location["python_module"], "location_name": host.name, "executable_path": str(python)}}
