"""Which processes work on runs, as locks that die with them.

Belongs here: showing that a process works on a run, and seeing that it has ended. Dagster's code server knows its own
processes, but a run whose whole machine went down has nobody who would miss it, and stays "started". The one idea is
that of the NVENC slots: a locked file per run, in the instance's folder, which the kernel unlocks however the process
ends. Nobody else unlocks it: between its last step and its end a run is still being worked on.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import dagster as dg

from dualface_core.gpu.locks import FileLock


def work_on(run_id: str, instance: dg.DagsterInstance) -> None:
    """Show, until this process ends, that it works on a run."""
    path = _folder(instance) / run_id
    path.parent.mkdir(exist_ok=True)
    # Under its name only once it is locked: a file that can be seen without a lock means that a process has ended.
    lock = FileLock.attempt(path.with_name(f".{run_id}"))
    assert lock is not None, "a run has one process"
    lock.path.rename(path)


def left(instance: dg.DagsterInstance) -> Iterator[str]:
    """Runs whose process, on this machine, has ended. What was named is not named again."""
    folder = _folder(instance)
    for path in sorted(folder.glob("[!.]*")) if folder.exists() else ():
        lock = FileLock.attempt(path)
        if lock is not None:
            try:
                yield path.name
                path.unlink(missing_ok=True)
            finally:
                lock.release()


def _folder(instance: dg.DagsterInstance) -> Path:
    return Path(instance.root_directory) / "workers"
