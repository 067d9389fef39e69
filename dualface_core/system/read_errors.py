"""Why the kernel does not let a file be read, for people: for a reason of the file, or of the machine at this moment.

Belongs here: what the kernel says. What a file holds is judged by those who read it. `atomic_files` has the same for
what is written.
"""

from __future__ import annotations

import errno
from pathlib import Path

from dualface_core.errors import FileError, InputError, MachineError, MissingInputError


def read_error(path: Path, error: OSError) -> FileError:
    """Say in a sentence why the kernel does not let a file be read: an InputError, or a MachineError that may pass."""
    match error.errno:
        case errno.ENOENT:
            return MissingInputError(path, "there is no such file", action="Check the name and the folder.")
        case errno.EACCES | errno.EPERM:
            return InputError(path, "no permission to read it", action="Change its permissions.")
        case errno.ENAMETOOLONG | errno.ENOTDIR | errno.ELOOP | errno.EINVAL:
            return InputError(path, f"cannot be read ({error.strerror})", action="Check its name and permissions.")
        case _:
            action = "The file may be fine: look at its disk or network drive, and at the memory of this machine."
            return MachineError(path, f"cannot be read ({error.strerror})", action=action)
