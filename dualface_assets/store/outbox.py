"""The outbox: a folder in which results arrive under the names of their uploads, for whoever fetches them.

Belongs here: the name that a result gets there, and putting it there. What lies in the outbox is its readers': it is a
copy, so that whatever they do to it leaves the store's result alone, and nothing there is ever overwritten or removed.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, Final

from dualface_assets.store.files import reading
from dualface_core.errors import MissingInputError, OutputError
from dualface_core.system.atomic_files import atomic_write
from dualface_core.system.read_errors import read_error

if TYPE_CHECKING:
    from dualface_assets.store.video_store import VideoStore

_CHUNK_BYTES: Final = 4 << 20
_STEM_BYTES: Final = 200
"""A file system allows 255 bytes in a name, and digits and suffixes follow."""


def deliver(store: VideoStore, key: str, outbox: Path) -> Path:
    """Have the verified result of a video in the outbox, whole, under a name of its own. Gives its path.

    A file of the same content under one of its names counts as delivered before.

    Raises MissingInputError for a result that is not there or not what its report says, MachineError or OutputError.
    """
    result, expected = store.result_path(key), store.result_sha256(key)
    for name in _names(store.uploaded_name(key) or key, key, result.name.partition(".")[2]):
        target = outbox / name
        if _sha256(target) == expected or (not os.path.lexists(target) and _copied(store, result, target, expected)):
            return target
    raise AssertionError("there is always another name")


def _names(upload: str, key: str, suffix: str) -> Iterator[str]:
    """Names for a result, the best one first: N.split.mp4, N-3f2a90c41d.split.mp4, N-3f2a90c41d-2.split.mp4, ..."""
    stem = os.path.splitext(upload)[0].lstrip(".")  # noqa: PTH122  a name that was given, such as "..", and no path
    stem = stem.encode()[:_STEM_BYTES].decode(errors="ignore") or "video"
    yield f"{stem}.{suffix}"
    named = f"{stem}-{key.rpartition('-')[2]}"
    yield f"{named}.{suffix}"
    yield from (f"{named}-{number}.{suffix}" for number in count(2))


def _copied(store: VideoStore, result: Path, target: Path, expected: str) -> bool:
    """Copy a result, whose SHA-256 is known; False if there is a file of this name by then."""
    digest = hashlib.sha256()
    try:
        with store.files.opened(result) as file, atomic_write(target, overwrite=False) as temporary:
            # Others may write to the outbox: a link in the place of the file must not lead us elsewhere.
            descriptor = os.open(temporary, os.O_WRONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
            with os.fdopen(descriptor, "wb") as copy:
                for chunk in _chunks(file.content, result):
                    digest.update(chunk)
                    copy.write(chunk)
            if digest.hexdigest() != expected:
                found = "its result is not what its report says"
                raise MissingInputError(result, found, action="Materialize encoded_video.")
    except FileNotFoundError:
        raise MissingInputError(result, "it is not here (any more)", action="Materialize encoded_video.") from None
    except OutputError as error:
        if not isinstance(error.__cause__, FileExistsError):
            raise
        return False
    return True


def _chunks(file: BinaryIO, path: Path) -> Iterator[bytes]:
    try:
        while chunk := file.read(_CHUNK_BYTES):
            yield chunk
    except OSError as error:
        raise read_error(path, error) from error


def _sha256(path: Path) -> str | None:
    """Of a file; None if it is none, or cannot be read."""
    try:
        with reading(path) as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError:
        return None
