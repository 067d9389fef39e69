"""Atomic publication of files: everything is written to a temporary name, checked, and renamed into place.

Belongs here: the one way in which this project makes a file visible. A temporary file lies in the folder of its
target (a rename across file systems is not atomic) and is hidden; it is removed whatever happens, and what a killed
process has left is removed by the next one that writes in that folder. What a file holds is on the disk before its name
is, so that after a power cut no name stands for half a file, or an empty one.
"""

from __future__ import annotations

import ctypes
import errno
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final
from uuid import uuid4

from dualface_core.errors import OutputError
from dualface_core.system.kept_folders import remove_forgotten
from dualface_core.system.locks import FileLock
from dualface_core.system.names import check_text

TEMPORARY_PREFIX = ".dualface-"
_TEMPORARY_NAME: Final = re.compile(re.escape(TEMPORARY_PREFIX) + "[0-9a-f]{32}")

_AT_FDCWD: Final = -100
_RENAME_NOREPLACE: Final = 1
_libc: Final = ctypes.CDLL(None, use_errno=True)


@contextmanager
def atomic_write(target: Path, *, overwrite: bool = True) -> Iterator[Path]:
    """Yield a temporary path beside `target`; on a clean exit it becomes `target`, otherwise it is removed.

    A target that is a temporary path of this function itself is yielded as it is: the outer block has locked it, and
    publishes or removes it. Another file in its place would have no lock, and be taken for an abandoned one.

    Args:
        target: the file to make.
        overwrite: whether it may take the place of an older one.

    Raises OutputError where the folder is missing, not writable or full, or where there is a file that must stay, and
    for a name that is no text. Lets every other error pass.
    """
    check_text(target, OutputError)
    if _TEMPORARY_NAME.match(target.name):
        yield target
        return
    try:
        # The suffix stays: it tells muxers and readers what the file is. A long name must not make it too long.
        with temporary_file(target.parent, target.suffix) as temporary:
            yield temporary
            sync(temporary)
            if overwrite:
                temporary.replace(target)
            else:
                rename_without_overwriting(temporary, target)
        with suppress(OSError):  # a folder need not be readable to be written to, and not every file system can do it
            sync(target.parent)
    except OutputError as error:
        if error.path != str(temporary):
            raise
        raise OutputError(target, error.found, action=error.action) from error
    except OSError as error:
        raise output_error(target, error) from error


@contextmanager
def temporary_file(folder: Path, suffix: str) -> Iterator[Path]:
    """Make an empty file for the length of the block; if this process is killed, the next one removes it.

    It is locked, so it may be written to, and not replaced. Raises OSError.
    """
    lock: FileLock | None = None
    try:
        remove_abandoned(folder)
        while lock is None:
            temporary = folder / f"{TEMPORARY_PREFIX}{uuid4().hex}{suffix}"
            temporary.touch(exist_ok=False)
            lock = FileLock.attempt(temporary)  # fails if it was taken for an abandoned one just now
        yield temporary
    finally:
        if lock is not None:
            with suppress(OSError):
                temporary.unlink(missing_ok=True)
            lock.release()


def remove_abandoned(folder: Path) -> list[Path]:
    """Remove the temporary files in a folder whose process has died: nothing holds their locks. Gives their paths.

    What is kept for a process that goes on where another was killed goes, too, once it has been forgotten.
    """
    remove_forgotten(folder)
    removed = []
    for path in folder.glob(f"{TEMPORARY_PREFIX}{'[0-9a-f]' * 32}*"):
        with suppress(OSError):
            if path.is_file() and (lock := FileLock.attempt(path)):
                path.unlink()
                lock.release()
                removed.append(path)
    return removed


def sync(path: Path) -> None:
    """Have a file's content, or the names in a folder, outlive a power cut. Raises OSError."""
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def rename_without_overwriting(source: str | Path, target: str | Path, *, folder: int = _AT_FDCWD) -> None:
    """Rename a file unless there is anything of the new name.

    Args:
        source: the file.
        target: its new name, on the same file system.
        folder: descriptor of the folder that relative paths are relative to; the working folder's if there is none.

    Raises FileExistsError, or another OSError.
    """
    names = os.fsencode(source), os.fsencode(target)
    if not _libc.renameat2(folder, names[0], folder, names[1], _RENAME_NOREPLACE):
        return
    error = ctypes.get_errno()
    if error not in {errno.EINVAL, errno.ENOSYS}:
        raise OSError(error, os.strerror(error), str(source), None, str(target))
    at = None if folder == _AT_FDCWD else folder  # a file system without this kind of rename, such as NFS
    os.link(source, target, src_dir_fd=at, dst_dir_fd=at, follow_symlinks=False)
    os.unlink(source, dir_fd=at)


def output_error(target: Path, error: OSError) -> OutputError:
    """Say in a sentence why `target` could not be written."""
    number = error.errno
    if number == errno.EPERM and not os.access(target.parent, os.W_OK):  # FFmpeg says so for reasons of its own, too
        number = errno.EACCES
    match number:
        case errno.ENOSPC | errno.EDQUOT:
            return OutputError(
                target, "the disk is full", action="Free some space, or write to another disk, and run again."
            )
        case errno.EACCES | errno.EROFS:
            return OutputError(
                target, "no permission to write here", action="Choose another folder, or change its permissions."
            )
        case errno.ENOENT | errno.ENOTDIR:
            return OutputError(target, "its folder does not exist", action="Create the folder, or choose another.")
        case errno.EEXIST:
            return OutputError(target, "a file of this name is there already", action="Rename yours, or wait for it.")
        case errno.EISDIR:
            return OutputError(target, "a folder has this name", action="Choose another name.")
        case errno.ENAMETOOLONG:
            return OutputError(target, "the name is too long", action="Choose a shorter name.")
        case errno.EIO | errno.ESTALE | errno.ENOTCONN | errno.ENODEV | errno.ENXIO | errno.ETIMEDOUT | errno.EREMOTEIO:
            action = "Check the disk and run again."
        case _:  # FFmpeg has numbers of its own, which say nothing of the disk
            action = "Run again. If it ends in the same way, report it with the log."
    return OutputError(target, f"could not be written ({error.strerror or error})", action=action)
