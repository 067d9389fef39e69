"""Code versions: what tells assets that were made by other code from those that this release would make.

Belongs here: which rooms of the library decide what each asset holds, and the digest of their source. Dagster calls an
asset *Unsynced* whose code version is another one than when it was made. Rooms that only judge it (`verification`)
or serve it (`system`) don't count, and neither do settings and versions of dependencies, which `report.json` has. See https://docs.dagster.io/guides/build/assets/asset-versioning-and-caching.
"""

from __future__ import annotations

from collections.abc import Mapping
from hashlib import sha256
from pathlib import Path
from typing import Final

import dualface_core

MADE_BY: Final[Mapping[str, tuple[str, ...]]] = {
    "raw_video": ("media",),
    "face_tracks": ("media", "engine", "faces", "tracking", "tables"),
    "composed_tiles": ("directing", "camera", "compositing", "tables"),
    "encoded_video": ("media", "engine", "compositing", "encoding", "rendering", "tables"),
    "review_page": ("review", "advice", "media", "compositing", "tables"),
}
"""The rooms of `dualface_core` that decide what each asset holds."""

_DIGITS: Final = 12
"""Hex digits of a SHA-256, as the UI has room for."""


def code_version(asset: str, *, library: Path = Path(dualface_core.__file__).parent) -> str:
    """A version of the code that makes an asset: another one whenever a line of it is another one.

    Args:
        asset: its name.
        library: the folder of the package whose rooms make it.
    """
    digest = sha256()
    for room in MADE_BY[asset]:
        for path in sorted(path for path in (library / room).rglob("*") if path.is_file() and path.suffix != ".pyc"):
            digest.update(f"{path.relative_to(library)}\0".encode() + path.read_bytes())
    return digest.hexdigest()[:_DIGITS]
