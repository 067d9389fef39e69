"""A folder whose disk may be gone at times: a marker in it tells it from the empty folder that it is mounted on.

Belongs here: the marker, and the note in another folder (the home of whoever works here) that there was one. Where
there is neither, the folder is met for the first time.
"""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Final

from dualface_core.errors import MachineError
from dualface_core.system.atomic_files import atomic_write

MARKER: Final = ".dualface-store"
_WHAT_IT_IS: Final = "This folder is a store of dualface. Without this file nothing is written here.\n"


def why_missing(folder: Path, home: Path) -> MachineError | None:
    """Why nothing may be written to a folder: it was marked once, and is not; or its drive does not answer."""
    try:
        if (folder / MARKER).exists() or not _note(folder, home).exists():
            return None
    except OSError as error:
        return MachineError(folder, f"does not answer ({error.strerror})", action="Look at its disk or network drive.")
    action = f"Mount its disk. If you have emptied it yourself, run: mkdir -p {folder} && touch {folder / MARKER}"
    return MachineError(folder, f"is not the store: there is no {MARKER} in it", action=action)


def mark(folder: Path, home: Path) -> None:
    """Mark a folder, which is made if need be, and note in `home` that it was. Raises MachineError or OutputError."""
    if error := why_missing(folder, home):
        raise error
    note = _note(folder, home)
    if note.exists():
        return
    for path, text in ((folder / MARKER, _WHAT_IT_IS), (note, str(folder))):
        path.parent.mkdir(parents=True, exist_ok=True)
        with atomic_write(path) as temporary:
            temporary.write_text(text)


def _note(folder: Path, home: Path) -> Path:
    return home / "stores" / hashlib.sha256(str(folder).encode()).hexdigest()[:16]
