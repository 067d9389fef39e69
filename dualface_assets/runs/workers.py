"""Which processes work on runs, as locks that die with them.

Belongs here: showing that a process works on a run, and seeing that it has ended. Dagster's code server knows its own
processes, but a run whose code server went down with it has nobody who would miss it, and stays "started". The one
idea is that of the NVENC slots: a locked file per run, in the instance's folder, which the kernel unlocks however the
process ends. Nobody else unlocks it: between its last step and its end a run is still being worked on.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import dagster as dg
import psutil

from dualface_core.system.locks import FileLock


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


def work_on(run_id: str, instance: dg.DagsterInstance) -> None:
    """Show, until this process ends, that it works on a run."""
    mark = _folder(instance) / run_id
    mark.parent.mkdir(exist_ok=True)
    # Under its name only once it is locked: a file that can be seen without a lock means that a process has ended.
    lock = FileLock.attempt(mark.with_name(f".{run_id}"))
    assert lock is not None, "a run has one process"
    lock.path.write_text(str(os.getpid()))
    lock.path.rename(mark)


def workers(instance: dg.DagsterInstance) -> Iterator[Worker]:
    """Every process of this machine that works or has worked on a run of this instance and was not forgotten."""
    folder = _folder(instance)
    for mark in sorted(folder.glob("[!.]*")) if folder.exists() else ():
        lock = FileLock.attempt(mark)
        if lock is not None:
            lock.release()
        yield Worker(mark.name, alive=lock is None, mark=mark)


def _folder(instance: dg.DagsterInstance) -> Path:
    return Path(instance.root_directory) / "workers"
