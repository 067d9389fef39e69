"""How a video gets from where it was dropped into the store: once, whole, and whatever crashes.

Belongs here: files and folders. That a partition and a run follow is `sensors`' business. The one idea: an upload is a
folder `claims/CLAIM/` whose content says how far it has come, and every tick carries on from what it finds there:

    source.json               nothing has left its place: dropped
    source.json, data.part    a copy from elsewhere that was cut short: dropped, the original is still there
    source.json, data         the video is here; its SHA-256, once worked out, gives the key
    upload.json, data         the key is known: the video goes to raw_video/KEY/
    upload.json               it is in the store; dropped when its run exists

Data moves by rename only, or, into a remote store, by being sent first and removed here when all of it has arrived. So
there is no moment at which a video is in neither place. One out of a bucket has `original.json`, too, from the first
step until the store has it and its original is removed.
"""

from __future__ import annotations

import fcntl
import hashlib
import heapq
import os
import shutil
import time
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from dualface_assets.store.files import make_folder, reading
from dualface_assets.store.partitions import DIGEST_DIGITS, partition_key, slug
from dualface_assets.store.video_store import Upload, VideoStore
from dualface_assets.uploads.bucket import BucketInbox, remove_originals
from dualface_assets.uploads.claims import as_json, claims, made_at, new_claim, source_of, upload_of, write
from dualface_assets.uploads.folder import Folder
from dualface_assets.uploads.inbox import FileState, Inbox, StabilityWindow, files_in
from dualface_assets.uploads.resumable import ResumableTask
from dualface_assets.uploads.source import CHUNK_BYTES, Source
from dualface_core.errors import DualfaceError, MissingInputError

_SUFFIX_LETTERS: Final = 10


@dataclass(frozen=True)
class TickReport:
    """What one tick did.

    Attributes:
        taken: uploads that are in the store since then.
        waiting: names of those that are not yet, and why.
        backlog: how many more wait for their turn.
    """

    taken: list[Upload]
    waiting: dict[str, str]
    backlog: int = 0

    def reasons(self, most: int) -> list[str]:
        """Why uploads wait, a line for each of so many of them, and one for all that wait for their turn."""
        lines = [f"{name}: {why}" for name, why in heapq.nsmallest(most, self.waiting.items())]
        if self.backlog:
            lines.append(f"{self.backlog:,} more wait for their turn")
        return lines


class _Hashing:
    """The SHA-256 of one file, in hex, and how far it has come."""

    def __init__(self, path: Path) -> None:
        self.state = FileState.of(path)
        self.offset = 0
        self.work = ResumableTask(self._advance)
        self._path = path
        self._digest = hashlib.sha256()

    def _advance(self, enough: Callable[[], bool]) -> str | None:
        with reading(self._path) as file:
            file.seek(self.offset)
            while chunk := file.read(CHUNK_BYTES):
                self._digest.update(chunk)
                self.offset += len(chunk)
                if self.offset < self.state.size and enough():
                    return None
        return self._digest.hexdigest()


class Intake:
    """Takes uploads into a store, tick by tick.

    What it keeps in memory only saves work: the last scan of the inbox, digests and copies that are half done. Another
    process, or this one after a crash, carries on from the claims on disk.

    Args:
        inbox: decides which files are complete.
        claims_at_once: uploads that may wait for their run; the others stay in the inbox, so that no tick has too much
            to do.
    """

    def __init__(self, inbox: Inbox | None = None, *, claims_at_once: int = 100) -> None:
        inbox = inbox or Inbox(StabilityWindow())
        self._sources: deque[Source[Any, Any]] = deque([Folder(inbox), BucketInbox(inbox.stability)])
        self._claims_at_once = claims_at_once
        self._hashing: dict[Path, _Hashing] = {}
        self._moving: dict[Path, tuple[Upload, Future[None]]] = {}

    def tick(self, store: VideoStore, *, seconds: float = 0.2) -> TickReport:
        """Claim what is complete in the inbox and in the bucket, and put what is claimed into the store.

        Args:
            store: whose inbox and bucket to scan. Its folders are made where they are missing.
            seconds: stop taking uploads after about so long, scans included. A file that takes longer to read, or to
                copy, goes on beside the ticks.
        """
        begun = time.monotonic()
        _ = store.inbox_folder  # which may be one that is not allowed
        make_folder(store.folder)
        with taking_uploads(store) as alone:
            if not alone:
                return TickReport([], {"inbox": "another process is taking uploads at this moment"})
            waiting, not_claimed = self._claim(store, begun + seconds / 2)
            taken, claimed = self._install_upload(store, begun + seconds, waiting)
            remove_originals(store, begun + seconds, waiting)
        return TickReport(taken, waiting, not_claimed + claimed)

    def preview(self, store: VideoStore) -> TickReport:
        """What lies in the inbox and in the bucket, touching nothing."""
        return TickReport([], {name: why for source in self._sources for name, why in source.preview(store).items()})

    def _claim(self, store: VideoStore, deadline: float) -> tuple[dict[str, str], int]:
        """Claim complete uploads; say of the others why not, and how many wait their turn."""
        waiting, backlog = self._tidy(store), 0
        self._sources.rotate()  # or one that is full would leave the others no room
        for source in self._sources:
            room = max(0, self._claims_at_once - len(claims(store)))
            why, more = source.claim(store, room, deadline)
            waiting |= why
            backlog += more
        return waiting, backlog

    def _tidy(self, store: VideoStore) -> dict[str, str]:
        """Drop claims of which nothing came. Names those with damaged notes for which nothing can be done here."""
        copies = {claim for source in self._sources for claim in source.copies}
        damaged = {}
        for claim in claims(store):
            data, notes = (claim / "data").exists(), (claim / "upload.json").exists()
            if notes and upload_of(claim) is None:
                if data:
                    (claim / "upload.json").unlink()  # and it is worked out again
                else:
                    damaged[str(claim)] = "upload.json is damaged: remove this folder, and upload the video again"
            elif claim not in copies and not data and not notes:
                shutil.rmtree(claim)
        return damaged

    def _install_upload(self, store: VideoStore, deadline: float, waiting: dict[str, str]) -> tuple[list[Upload], int]:
        """Find the key of every claimed video, smallest first, and put the video into the store.

        Notes in `waiting` why others are not there yet. Gives those that are, and how many wait for their turn.
        """
        taken: list[Upload] = []
        backlog = 0
        begun = False
        data = {claim: FileState.of(claim / "data") for claim in claims(store) if (claim / "data").exists()}
        for claim, hashing in list(self._hashing.items()):
            if data.get(claim) != hashing.state:
                self._stop_hashing(claim)
        for claim, state in sorted(data.items(), key=lambda item: item[1].size):
            if claim in self._moving:
                continue
            if begun and time.monotonic() > deadline:
                backlog += 1
                continue
            upload = upload_of(claim)
            if upload is None:
                hashing = self._hashing.setdefault(claim, _Hashing(claim / "data"))
                try:
                    digest = hashing.work.result(deadline)
                except OSError as unreadable:
                    waiting[source_of(claim).name] = f"cannot be read ({unreadable.strerror})"
                    self._stop_hashing(claim)
                    continue
                if digest is None or FileState.of(claim / "data") != state:
                    share = hashing.offset / max(1, state.size)
                    waiting[source_of(claim).name] = f"being read ({share:.0%})"
                    continue
                upload = _identify(store, claim, digest)
                write(claim / "upload.json", upload)
            self._moving[claim] = upload, _install(store, claim, upload)
            begun = True
        for claim, (upload, move) in list(self._moving.items()):
            if not move.done():
                waiting[upload.name] = "being sent to the store"
                continue
            del self._moving[claim]  # what could not be sent is sent again
            if error := move.exception():
                waiting[upload.name] = f"cannot be sent to the store ({error})"
            else:
                taken.append(upload)
        return taken, backlog

    def _stop_hashing(self, claim: Path) -> None:
        self._hashing.pop(claim).work.drop()


def add(store: VideoStore, source: Path) -> Upload:
    """Copy a video straight into the store, as if it had come through the inbox; the copy is complete on return.

    Raises MissingInputError, or OSError where the store cannot be written.
    """
    if not source.is_file():
        raise MissingInputError(source, "there is no such file", action="Check the name and the folder.")
    with taking_uploads(store, wait=True):
        claim = new_claim(store, source.name)
        shutil.copyfile(source, claim / "data.part")
        (claim / "data.part").rename(claim / "data")
        digest = _Hashing(claim / "data").work.result(float("inf"))
        upload = _identify(store, claim, str(digest))
        write(claim / "upload.json", upload)
        _install(store, claim, upload).result()
        return upload


def oldest_upload(store: VideoStore) -> float | None:
    """Since when the oldest upload without a run has waited, in the inbox or in its claim: seconds since the epoch.

    One that is still in a bucket is not seen; its claim is as old as it is.
    """
    waiting = [state.changed / 1e9 for _, state in files_in(store.inbox_folder, store.folder, {})]
    waiting += [made_at(claim).timestamp() for claim in claims(store)[:1]]
    return min(waiting, default=None)


@contextmanager
def taking_uploads(store: VideoStore, *, wait: bool = False) -> Iterator[bool]:
    """Be the only one who takes uploads. The lock dies with the process. Yields False where another process has it."""
    store.private_folder("claims")
    with (store.private_folder("locks") / "uploads").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX if wait else fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            yield False
        else:
            yield True


def _identify(store: VideoStore, claim: Path, sha256: str) -> Upload:
    """Find the key of a claimed video: the one that its content has already, or a new one."""
    source = source_of(claim)
    stem, suffix = os.path.splitext(source.name)  # noqa: PTH122  a name that was given, such as "..", and no path
    upload = Upload(
        key=partition_key(stem, sha256),
        name=source.name,
        file=slug(stem) + _plain_suffix(suffix),
        sha256=sha256,
        size_bytes=(claim / "data").stat().st_size,
        claim=claim.name,
        claimed_at=datetime.now(UTC).isoformat(timespec="seconds"),
        reprocess=source.reprocess,
    )
    for digits in DIGEST_DIGITS:
        key = partition_key(stem, sha256, digits=digits)
        alike = {name for name in store.video_keys() if name.endswith(f"-{sha256[:digits]}")}
        for name in alike | {key}:
            known = _known(store, name)
            if known is not None and known.sha256 == sha256:
                return upload.model_copy(update={"key": known.key, "file": known.file})
        if _known(store, key) is None:
            return upload.model_copy(update={"key": key})
    msg = f"Two files of different content have the SHA-256 {sha256}."
    raise AssertionError(msg)


def _known(store: VideoStore, key: str) -> Upload | None:
    with suppress(DualfaceError):
        return store.upload(key)
    return None


def _install(store: VideoStore, claim: Path, upload: Upload) -> Future[None]:
    """Move a claimed video where its key says. The same content may be there: the new copy is known to be whole."""
    folder = store.video_folder(upload.key)
    # First: while the claim has its data, a crash means that this is done again.
    store.files.write(folder / "video.json", as_json(upload))
    return store.files.upload_within(claim / "data", folder / upload.file)


def _plain_suffix(suffix: str) -> str:
    """The suffix if it is a harmless one; `.json` would look like our own notes."""
    letters = suffix[1:].lower()
    harmless = letters.isascii() and letters.isalnum() and len(letters) <= _SUFFIX_LETTERS and letters != "json"
    return f".{letters}" if harmless else ""
