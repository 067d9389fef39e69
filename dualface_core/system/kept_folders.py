"""Folders that outlive a process which is killed, so that the next one that does the same work goes on from there.

Belongs here: their names, whose they are, and that none stays for ever. What is in them, and whether it can be used, is
known to those who fill them. A temporary file (`atomic_files`) is of no use to others; a kept folder is.
"""

from __future__ import annotations

import os
import shutil
import stat
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from hashlib import sha256
from pathlib import Path
from typing import Final

from dualface_core.errors import MachineError, NativeCrashError
from dualface_core.system.locks import FileLock
from dualface_core.system.private_folders import make_private_folder

_PREFIX: Final = ".dualface-kept-"

_KEPT_FOR: Final = 3 * 86_400.0
"""Seconds without a change after which a folder that nobody has taken over is removed: a weekend."""

_MAY_PASS: Final = (MachineError, NativeCrashError)


def kept_folder(output: Path) -> Path:
    """The folder for work on a file: hidden, beside it, and the same each time."""
    return output.with_name(f"{_PREFIX}{sha256(output.name.encode(errors='surrogateescape')).hexdigest()[:32]}")


@contextmanager
def taken_over(folder: Path) -> Iterator[bool]:
    """Have a folder for the length of the block, made if need be, with all that a killed process has left in it.

    It stays when the block ends, until `removed_in_the_end` removes it; but an error removes it, except for what may
    pass: MachineError and NativeCrashError. Yields False, and nothing is removed, if another process has the folder.

    Raises PrivateFolderError, and touches nothing, where something of this name is not ours alone: whoever may write
    beside the output can guess the name. Raises OSError where it cannot be made.
    """
    make_private_folder(folder, action="Remove it, or choose another folder for the result.")
    lock = FileLock.attempt(folder / "lock")
    if lock is None:
        yield False
        return
    try:
        yield True
    except _MAY_PASS:
        raise
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise
    finally:
        lock.release()


@contextmanager
def removed_in_the_end(folder: Path) -> Iterator[None]:
    """Remove a folder when the block ends, if there is one and nobody has it; but not after what may pass."""
    try:
        yield
    except _MAY_PASS:
        raise
    except BaseException:
        _remove(folder)
        raise
    _remove(folder)


def remove_forgotten(place: Path) -> None:
    """Remove kept folders in `place` that nobody has, and that have not changed for days."""
    for folder in place.glob(f"{_PREFIX}*"):
        with suppress(OSError):
            if time.time() - folder.stat().st_mtime > _KEPT_FOR:
                _remove(folder)


def _remove(folder: Path) -> None:
    with suppress(OSError):
        if _is_ours(folder) and (lock := FileLock.attempt(folder / "lock")):
            shutil.rmtree(folder, ignore_errors=True)
            lock.release()


def _is_ours(folder: Path) -> bool:
    """Whether it is a folder of ours, and no link to one. Raises OSError, as where there is none."""
    found = folder.lstat()
    return stat.S_ISDIR(found.st_mode) and found.st_uid == os.geteuid()
