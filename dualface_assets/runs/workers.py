"""Which processes work on runs, as locks that die with them.

Belongs here: showing that a process works on a run, its priority, and seeing that it has ended. The one idea is that of
the NVENC slots: a locked file per run, in the instance's folder, which the kernel unlocks however the process ends.
Nothing else unlocks it: between its last step and its end a run is still being worked on.
"""

from __future__ import annotations

import faulthandler
import os
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import dagster as dg
import psutil

from dualface_assets.runs.tags import GRPC_INFO
from dualface_core.system.locks import FileLock

_NICER: Final = 10
"""Steps of niceness. Each is worth about a factor of 1.25 of processor time (sched(7))."""


@dataclass(frozen=True)
class Worker:
    """What is known of a run's process.

    Attributes:
        run_id: the run.
        alive: whether the process has not ended yet.
        mark: its file.
    """

    run_id: str
    alive: bool
    mark: Path

    def forget(self) -> None:
        """Remove its file."""
        self.mark.unlink(missing_ok=True)

    def kill(self) -> None:
        """End the process, if it is the one that has the file open: elsewhere the same number is another's."""
        with suppress(OSError, ValueError, psutil.Error):
            process = psutil.Process(int(self.mark.read_text()))
            if any(Path(file.path) == self.mark for file in process.open_files()):
                process.kill()


def work_on(run: dg.DagsterRun, instance: dg.DagsterInstance) -> None:
    """Show, until this process ends, that it works on a run, and let others go first.

    Dagster's code server starts the process and takes no priority for it, so it is the process that lowers its own:
    what is done here, and in processes that are started from here, may take all cores, but not from daemon, code server
    and web page. A process that no code server has started is the caller's (`make demo`, a test), who could not take
    that back without being root.
    """
    mark = _folder(instance) / run.run_id
    mark.parent.mkdir(exist_ok=True)
    # Under its name only once it is locked: a file that can be seen without a lock means that a process has ended.
    lock = FileLock.attempt(mark.with_name(f".{run.run_id}"))
    assert lock is not None, "a run has one process"
    lock.path.write_text(str(os.getpid()))
    lock.path.rename(mark)
    if GRPC_INFO in run.tags:
        os.nice(_NICER)
        faulthandler.enable()  # so that the run's stderr says where native code has crashed


def worker_of(run_id: str, instance: dg.DagsterInstance) -> Worker | None:
    """The process of this machine that works or has worked on a run; None if none has, or it was forgotten."""
    mark = _folder(instance) / run_id
    if not mark.exists():
        return None
    lock = FileLock.attempt(mark)
    if lock is not None:
        lock.release()
    return Worker(run_id, alive=lock is None, mark=mark)


def workers(instance: dg.DagsterInstance) -> Iterator[Worker]:
    """Every process of this machine that works or has worked on a run of this instance and was not forgotten."""
    for mark in sorted(_folder(instance).glob("[!.]*")):
        if worker := worker_of(mark.name, instance):
            yield worker


def _folder(instance: dg.DagsterInstance) -> Path:
    return Path(instance.root_directory) / "workers"
