"""Atomic publication of files: everything is written to a temporary name, checked, and renamed into place.

Belongs here: the one way in which this project makes a file visible. A temporary file lies in the folder of its
target (a rename across file systems is not atomic) and is hidden; it is removed whatever happens.
"""

from __future__ import annotations

import errno
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from uuid import uuid4

from dualface_core.errors import OutputError

TEMPORARY_PREFIX = ".dualface-"


@contextmanager
def atomic_write(target: Path) -> Iterator[Path]:
    """Yield a temporary path beside `target`; on a clean exit it becomes `target`, otherwise it is removed.

    Raises OutputError where the folder is missing, not writable or full, and lets every other error pass.
    """
    # The suffix stays, since it tells muxers and readers what the file is; a long name must not make it too long.
    temporary = target.with_name(f"{TEMPORARY_PREFIX}{uuid4().hex}{target.suffix}")
    try:
        yield temporary
        temporary.replace(target)
    except OutputError as error:
        if error.path != str(temporary):
            raise
        raise OutputError(target, error.found, action=error.action) from error
    except OSError as error:
        raise output_error(target, error) from error
    finally:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)


def output_error(target: Path, error: OSError) -> OutputError:
    """Say in a sentence why `target` could not be written."""
    match error.errno:
        case errno.ENOSPC | errno.EDQUOT:
            return OutputError(
                target, "the disk is full", action="Free some space, or write to another disk, and run again."
            )
        case errno.EACCES | errno.EPERM | errno.EROFS:
            return OutputError(
                target,
                "no permission to write here",
                action="Choose another folder, or change its permissions.",
            )
        case errno.ENOENT | errno.ENOTDIR:
            return OutputError(target, "its folder does not exist", action="Create the folder, or choose another.")
        case errno.EISDIR:
            return OutputError(target, "a folder has this name", action="Choose another name.")
        case errno.ENAMETOOLONG:
            return OutputError(target, "the name is too long", action="Choose a shorter name.")
        case _:
            return OutputError(
                target,
                f"could not be written ({error.strerror or error})",
                action="Check the disk and run again.",
            )
