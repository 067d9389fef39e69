"""Claims: what is known of each upload until its run exists. A folder `claims/CLAIM/` per upload.

Belongs here: the notes in it, and their names. How far an upload has come is what `intake` makes of them.
"""

from __future__ import annotations

import os
import shutil
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Final
from uuid import uuid4

from pydantic import BaseModel, ValidationError

from dualface_assets.store.bucket import BucketObject
from dualface_assets.store.files import LocalFiles
from dualface_assets.store.video_store import Upload, VideoStore

_MADE_AT: Final = "%Y%m%dT%H%M%S.%f"


class Source(BaseModel):
    """`source.json`: what the file was called, and whether its result is to be made again."""

    name: str
    reprocess: bool = False


class Original(BaseModel):
    """`original.json`: what is still to be removed from a bucket, once the video is in the store."""

    bucket: str
    found: BucketObject


def new_name(at: datetime, identity: str) -> str:
    """The name of a claim: when, in UTC, and twelve hex digits. Names in order are oldest first."""
    return f"{at:{_MADE_AT}}-{identity[:12]}"


def made_at(claim: Path) -> datetime:
    """When a claim was made, by its name; or, of one out of a bucket, when its object was."""
    return datetime.strptime(claim.name.partition("-")[0], _MADE_AT).replace(tzinfo=UTC)


def new_claim(
    store: VideoStore,
    name: str,
    *,
    reprocess: bool = False,
    claim: str | None = None,
    original: Original | None = None,
) -> Path:
    """Make a claim, under a name that nothing else has unless one is given."""
    folder = store.claims_folder / (claim or new_name(datetime.now(UTC), uuid4().hex))
    folder.mkdir()
    if original is not None:
        write(folder / "original.json", original)
    write(folder / "source.json", Source(name=printable(name), reprocess=reprocess))
    return folder


def claims(store: VideoStore) -> list[Path]:
    """All of them, oldest first."""
    return sorted(path for path in store.claims_folder.glob("*") if path.is_dir())


def source_of(claim: Path) -> Source:
    """What the file of a claim was called."""
    try:
        return Source.model_validate_json((claim / "source.json").read_bytes())
    except ValidationError:  # damaged: the video need not suffer for it
        return Source(name="video")


def original_of(claim: Path) -> Original | None:
    """What is to be removed from a bucket; None if there is nothing, or a note that cannot be read."""
    with suppress(FileNotFoundError, ValidationError):
        return Original.model_validate_json((claim / "original.json").read_bytes())
    return None


def upload_of(claim: Path) -> Upload | None:
    """What is known of a claimed video: nothing yet, if its notes are not written, not readable, or gone by now."""
    try:
        return Upload.model_validate_json((claim / "upload.json").read_bytes())
    except (FileNotFoundError, ValidationError):
        return None


def pending(store: VideoStore) -> list[Upload]:
    """Uploads that are in the store and whose run is not known to exist yet, oldest first."""
    settled = [
        claim for claim in claims(store) if not (claim / "data").exists() and not (claim / "original.json").exists()
    ]
    return [upload for upload in map(upload_of, settled) if upload is not None]


def acknowledge(store: VideoStore, upload: Upload) -> None:
    """Forget a claim: its run exists, or none is needed."""
    shutil.rmtree(store.claims_folder / upload.claim, ignore_errors=True)


def claimed_keys(store: VideoStore) -> set[str]:
    """Keys of all videos with a claim that isn't acknowledged yet, as far as the keys are known."""
    return {upload.key for upload in map(upload_of, claims(store)) if upload is not None}


def write(path: Path, document: BaseModel) -> None:
    """Write a note, whole and lasting."""
    LocalFiles(path.parent).write(path, as_json(document))


def as_json(document: BaseModel) -> bytes:
    """A note's content."""
    return document.model_dump_json(indent=2).encode()


def printable(name: str) -> str:
    """A file's name for people: one line of text, with a replacement mark for what is no visible character."""
    if name.isprintable():
        return name
    text = os.fsencode(name).decode(errors="replace")
    return "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in text)
