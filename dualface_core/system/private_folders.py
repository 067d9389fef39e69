"""A folder of one's own: mode 0700, whatever others may write beside it.

Belongs here: making such a folder, and refusing one that is not. What lies in it can be trusted, and only
processes of the same user can lock files in it.
"""

from __future__ import annotations

import os
from pathlib import Path

from dualface_core.errors import FileError


class PrivateFolderError(FileError):
    """A folder that must be ours alone is another user's, or open to others."""

    permanent = True


def make_private_folder(folder: Path, *, action: str) -> Path:
    """Return `folder`, made with mode 0700 if it is missing, and closed to others' eyes if it was open to them.

    Args:
        folder: the folder; a link to one counts only if the link is ours, too.
        action: what the reader can do about a folder that is not ours.

    Raises PrivateFolderError if it is another user's, others may have written to it, or it is no folder; or OSError.
    """
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    except FileExistsError:
        raise PrivateFolderError(folder, "is no folder", action=action) from None
    found, named = folder.stat(), folder.lstat()
    owner = next((uid for uid in (named.st_uid, found.st_uid) if uid != os.geteuid()), None)
    if owner is not None:
        raise PrivateFolderError(
            folder, f"belongs to user {owner}, not to user {os.geteuid()} who runs this", action=action
        )
    if found.st_mode & 0o022:
        raise PrivateFolderError(folder, f"others may write to it (mode {found.st_mode & 0o777:o})", action=action)
    if found.st_mode & 0o077:
        folder.chmod(0o700)
    return folder
