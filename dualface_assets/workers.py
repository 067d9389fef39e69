"""Which runs are being worked on at this moment, as locks that die with the process that works.

Belongs here: showing that a run is worked on, and seeing that it no longer is. Dagster's code server knows its own
processes, but a run whose whole machine went down has nobody who would miss it, and stays "started". The one idea is
that of the NVENC slots: a locked file per run, in the instance's folder, which the kernel unlocks however the process
ends. A process that ends as it should removes its file, so that a file without a lock tells of one that did not.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import dagster as dg

from dualface_core.gpu.locks import FileLock


@contextmanager
def working_on(run_id: str, instance: dg.DagsterInstance) -> Iterator[None]:
    """Show, for the length of the block, that this process works on a run."""
    path = _folder(instance) / run_id
    path.parent.mkdir(exist_ok=True)
    # Under its name only once it is locked: a file that can be seen without a lock means that a process has died.
    lock = FileLock.attempt(path.with_name(f".{run_id}"))
    assert lock is not None, "a run has one process"
    lock.path.rename(path)
    try:
        yield
    finally:
        path.unlink(missing_ok=True)
        lock.release()


def abandoned(instance: dg.DagsterInstance) -> Iterator[str]:
    """Runs whose process has ended before they did, on this machine. What was named is not named again."""
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
