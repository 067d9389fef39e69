"""`make up` in a folder of its own, as a person starts it: and what a test may do to its processes."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import dagster as dg
import psutil

from deploy.local.servers import free_port
from dualface_core import pipeline
from dualface_core.system.atomic_files import TEMPORARY_PREFIX
from dualface_core.system.marked_folders import MARKER
from tests.end_to_end.running_instance import PATIENCE, REPOSITORY, Host, RunningInstance, unlike_any_other
from tests.own_instance import own_instance

IMPATIENT: Final[Mapping[str, Mapping[str, Any]]] = {
    "run_monitoring": {"poll_interval_seconds": 2, "free_slots_after_run_end_seconds": 1}
}
"""Shorter intervals than the instance's own, so that a test waits less."""

PROGRAMS: Final[Mapping[str, str]] = {
    "code server": "dagster api grpc",
    "daemon": "dagster-daemon run",
    "web page": "dualface_assets.service.web_page",
    "exporter": "dualface_assets.service.exporter",
    "run worker": "spawn_main",
    "everything": "",
}
"""What may be killed: a name for people, and what its command line has that no other has."""


@dataclass
class Service:
    """The processes that `python -m dualface_assets.service.serve` starts, and what is to be seen of them.

    Args:
        folder: where the instance lies.
        host: its card, store and settings.
        instance: its database.
        output: what it prints.
        port: of its web page.
    """

    folder: Path
    host: Host
    instance: dg.DagsterInstance
    output: Path
    port: int
    _serve: subprocess.Popen[bytes] | None = None

    def up(self) -> None:
        """Start it (again), and wait until it says where to put videos."""
        said = self.output.stat().st_size if self.output.exists() else 0
        environment = {
            **os.environ,
            **self.host.environment(),
            "DAGSTER_HOME": self.instance.root_directory,
            "DAGSTER_WEBSERVER_PORT": str(self.port),
            "PYTHONPATH": str(REPOSITORY),
        }
        with self.output.open("ab") as output:
            self._serve = subprocess.Popen(
                [sys.executable, "-m", "dualface_assets.service.serve"],
                env=environment,
                stdout=output,
                stderr=output,
                start_new_session=True,
            )

        def ready() -> bool:
            assert self._serve is not None
            assert self._serve.poll() is None, self.output.read_text(errors="replace")[-5000:]
            return b"Put videos into" in self.output.read_bytes()[said:]

        self.wait_for(ready, "the service to be up")

    def press_ctrl_c(self) -> int:
        """What a terminal does: interrupt all processes of its foreground group. Gives the exit status."""
        assert self._serve is not None
        os.killpg(self._serve.pid, signal.SIGINT)
        return self._serve.wait(PATIENCE)

    @property
    def is_up(self) -> bool:
        return self._serve is not None and self._serve.poll() is None

    def processes(self, what: str) -> list[psutil.Process]:
        """Processes of this service that live: of one of `PROGRAMS`."""
        found = []
        for process in psutil.process_iter():
            with suppress(psutil.Error):
                mine = process.environ().get("DAGSTER_HOME") == self.instance.root_directory
                if mine and PROGRAMS[what] in " ".join(process.cmdline()) and process.status() != "zombie":
                    found.append(process)
        return found

    def kill(self, what: str) -> int:
        """End processes by SIGKILL: one of `PROGRAMS`, or everything. Gives how many."""
        victims = self.processes(what)
        if what != "everything":
            victims = victims[-1:]
        for process in victims:
            with suppress(psutil.NoSuchProcess):
                process.kill()
        psutil.wait_procs(victims, 10)
        if self._serve is not None:
            self._serve.poll()
        return len(victims)

    def drop(self, content: bytes, name: str) -> None:
        """Put a file into the inbox as a careful program does: whole, by renaming it."""
        inbox = self.host.store.inbox_folder
        inbox.mkdir(parents=True, exist_ok=True)
        hidden = inbox / f".{time.monotonic_ns()}"
        hidden.write_bytes(content)
        hidden.rename(inbox / name)

    def drop_many(self, clip: Path, count: int) -> None:
        """Put so many different videos into the inbox."""
        for number in range(count):
            self.drop(unlike_any_other(clip), f"upload-{number:03}.mp4")

    def wait_for(self, look: Callable[[], object], what: str, *, seconds: float = PATIENCE) -> None:
        """Wait until `look` finds something that is true."""
        seen = RunningInstance(self.instance, self.output)
        seen.wait_for(look, what, seconds=seconds)

    def runs(self) -> list[dg.DagsterRun]:
        """All runs, the first one first."""
        return list(self.instance.get_runs(ascending=True))

    def at_rest(self) -> bool:
        """Whether nothing is active or about to be."""
        waiting = any(self.host.store.inbox_folder.iterdir()) or any(
            claim.is_dir() for claim in self.host.store.claims_folder.iterdir()
        )
        return not waiting and all(run.is_finished for run in self.last_runs().values())

    def last_runs(self) -> dict[str, dg.DagsterRun]:
        """The latest run of each video."""
        return {run.tags["dagster/partition"]: run for run in self.runs()}

    def verified(self) -> set[str]:
        """Keys of the videos whose result is there, decodes and was found right."""
        keys = set()
        for key in self.host.store.video_keys():
            result = self.host.store.result_path(key)
            if result.exists():
                verification = self.host.report(key).verification
                assert verification is not None
                assert verification.passed
                source = pipeline.probe(self.host.store.video_path(key))
                assert pipeline.probe(result).frame_count == source.frame_count
                keys.add(key)
        return keys

    def orphans(self) -> list[Path]:
        """Orphaned files, which should not be there once all is done."""
        store = self.host.store
        return [
            *(path for path in store.folder.rglob(f"{TEMPORARY_PREFIX}*") if path.name != MARKER),
            *store.scratch_folder.glob("*"),
            *store.claims_folder.glob("*"),
            *store.inbox_folder.glob("*"),
            *(Path(self.instance.root_directory) / "workers").glob("*"),
        ]

    def slots_taken(self) -> int:
        """Slots of the pool that are claimed or waited for."""
        pool = self.instance.event_log_storage.get_concurrency_info("nvenc")
        return pool.active_slot_count + pool.pending_step_count + pool.assigned_step_count


@contextmanager
def service(folder: Path, host: Host, settings: Mapping[str, Mapping[str, Any]]) -> Iterator[Service]:
    """A service that is not up yet; at the end of the block nothing of it is left running.

    Args:
        folder: a fresh one.
        host: where it runs.
        settings: of the instance, over its own ones.
    """
    with own_instance(folder / "home", **settings) as instance:
        started = Service(folder, host, instance, folder / "serve.log", free_port())
        try:
            yield started
        finally:
            if started.is_up:
                assert started._serve is not None
                started._serve.terminate()
                with suppress(subprocess.TimeoutExpired):
                    started._serve.wait(30)
            started.kill("everything")
