"""How a video gets from the inbox into the store: once, whole, and whatever crashes.

Belongs here: files and folders. That a partition and a run follow is `sensors`' business. The one idea: an upload is a
folder `claims/CLAIM/` whose content says how far it has come, and every tick carries on from what it finds there:

    source.json               nothing has left the inbox: dropped
    source.json, data.part    a copy from another file system that was cut short: dropped, the source is still there
    source.json, data         the video has left the inbox; its SHA-256, once worked out, gives the key
    upload.json, data         the key is known: the video goes to raw_video/KEY/
    upload.json               it is in the store; dropped when its run exists

Data moves by rename only, or, into a remote store, by being sent first and removed here when all of it has arrived. So
there is no moment at which a video is in neither place.
"""

from __future__ import annotations

import errno
import fcntl
import hashlib
import heapq
import os
import re
import shutil
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Final
from uuid import uuid4

from pydantic import BaseModel, ValidationError

from dualface_assets.settings import REPROCESS
from dualface_assets.store.files import LocalFiles, folder_below, make_folder, reading
from dualface_assets.store.partitions import DIGEST_DIGITS, partition_key, slug
from dualface_assets.store.video_store import Upload, VideoStore
from dualface_assets.uploads.inbox import TAKEN, FileState, Inbox, StabilityWindow, files_in, has_writer
from dualface_assets.uploads.resumable import ResumableTask
from dualface_core.errors import DualfaceError, MissingInputError
from dualface_core.system.atomic_files import rename_without_overwriting, sync

_CHUNK_BYTES: Final = 4 << 20
_SUFFIX_LETTERS: Final = 10
_ASIDE_BYTES: Final = 200
"""Bytes at the end of a name that are kept while its file is put aside; a name has 255 at most."""

_ASIDE: Final = re.compile(rf"^{re.escape(TAKEN)}[0-9a-f]{{8}}-")


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


class _Source(BaseModel):
    """`source.json`: what the file was called, and whether its result is to be made again."""

    name: str
    reprocess: bool = False


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
            while chunk := file.read(_CHUNK_BYTES):
                self._digest.update(chunk)
                self.offset += len(chunk)
                if self.offset < self.state.size and enough():
                    return None
        return self._digest.hexdigest()


class _Copying:
    """The copy of one file into its claim, and what the file was when it began."""

    def __init__(self, inbox: Path, source: Path, claim: Path, state: FileState) -> None:
        self.claim = claim
        self.state = state
        self.work = ResumableTask(self._advance)
        self._inbox = inbox
        self._source = source

    def _advance(self, enough: Callable[[], bool]) -> bool | None:
        """Append to `data.part` what it lacks of the source. True once it has all, on the disk itself."""
        with (
            folder_below(self._inbox, self._source.parent) as folder,
            reading(self._source.name, folder) as original,
            (self.claim / "data.part").open("ab") as copy,
        ):
            original.seek(copy.tell())
            while chunk := original.read(_CHUNK_BYTES):
                copy.write(chunk)
                if copy.tell() < self.state.size and enough():
                    return None
            copy.flush()
            os.fsync(copy.fileno())
        return True


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
        self._inbox = inbox or Inbox(StabilityWindow())
        self._claims_at_once = claims_at_once
        self._hashing: dict[Path, _Hashing] = {}
        self._copying: dict[Path, _Copying] = {}
        self._refused: dict[Path, FileState] = {}
        self._moving: dict[Path, tuple[Upload, Future[None]]] = {}

    def tick(self, store: VideoStore, *, seconds: float = 0.2) -> TickReport:
        """Claim what is complete in the inbox, and put what is claimed into the store.

        Args:
            store: whose inbox to scan. Its folders are made where they are missing.
            seconds: stop taking uploads after about so long, the scan included. A file that takes longer to read, or to
                copy, goes on beside the ticks.
        """
        begun = time.monotonic()
        inbox = store.inbox_folder
        make_folder(store.folder)
        inbox.mkdir(parents=True, exist_ok=True)
        with taking_uploads(store) as alone:
            if not alone:
                return TickReport([], {"inbox": "another process is taking uploads at this moment"})
            waiting, in_inbox = self._claim(store, begun + seconds / 2)
            taken, in_claims = self._install_upload(store, begun + seconds, waiting)
        return TickReport(taken, waiting, in_inbox + in_claims)

    def preview(self, store: VideoStore) -> TickReport:
        """What lies in the inbox, touching nothing."""
        waiting: dict[str, str] = {}
        for path, _ in files_in(store.inbox_folder, store.folder, waiting):
            waiting[path] = "taken by a later tick, when it is complete"
        return TickReport([], _named(store, waiting))

    def _claim(self, store: VideoStore, deadline: float) -> tuple[dict[str, str], int]:
        """Move complete uploads into claims of their own; say of the others why not, and how many wait their turn."""
        claims = _claims(store)
        damaged = self._tidy(claims)
        room = max(0, self._claims_at_once - len(claims))
        # Those that may not be taken must not stand in the way of others.
        scan = self._inbox.scan(store.inbox_folder, beside=store.folder, most=room + len(self._refused) if room else 0)
        if room:
            self._refused = {path: state for path, state in self._refused.items() if scan.complete.get(path) == state}
        waiting, backlog = scan.waiting | damaged, scan.backlog
        begun = {path: copying.state for path, copying in self._copying.items()}
        for number, (path, state) in enumerate({**begun, **scan.complete}.items()):
            if self._refused.get(path) == state:
                waiting[str(path)] = "no permission to take it"
                continue
            if number and path not in begun and time.monotonic() > deadline:
                backlog += 1
                continue
            try:
                if not self._move(store, path, state, deadline):
                    waiting[str(path)] = "being copied into the store"
            except FileNotFoundError:
                self._stop_copying(path)  # it was taken away again
            except PermissionError:
                self._refused[path] = state  # as in a folder where everyone may only remove what is their own
                self._stop_copying(path)
            except OSError as error:
                waiting[str(path)] = f"cannot be taken ({error.strerror})"
                self._stop_copying(path)
        return _named(store, waiting), backlog

    def _tidy(self, claims: list[Path]) -> dict[str, str]:
        """Drop claims of which nothing came. Names those with damaged notes for which nothing can be done here."""
        copies = {copying.claim for copying in self._copying.values()}
        damaged = {}
        for claim in claims:
            data, notes = (claim / "data").exists(), (claim / "upload.json").exists()
            if notes and _upload(claim) is None:
                if data:
                    (claim / "upload.json").unlink()  # and it is worked out again
                else:
                    damaged[str(claim)] = "upload.json is damaged: remove this folder, and upload the video again"
            elif claim not in copies and not data and not notes:
                shutil.rmtree(claim)
        return damaged

    def _move(self, store: VideoStore, path: Path, state: FileState, deadline: float) -> bool:
        """Claim one file. False while it is still being copied from another file system."""
        with folder_below(store.inbox_folder, path.parent) as folder:
            if path not in self._copying:
                claim = _new_claim(store, path.name, reprocess=path.is_relative_to(store.inbox_folder / REPROCESS))
                data = claim / "data"
                try:
                    os.rename(path.name, data, src_dir_fd=folder)
                except OSError as error:
                    if error.errno != errno.EXDEV:
                        raise
                    if reason := store.why_no_room(state.size):
                        raise OSError(errno.ENOSPC, reason) from None
                    self._copying[path] = _Copying(store.inbox_folder, path, claim, state)
                else:
                    if FileState.of(data).same_content(state):
                        sync(claim)
                    else:  # another one, or something else, was put in its place since the scan
                        _put_back(str(data), path.name, folder)
                    return True
            copying = self._copying[path]
            if FileState.of(path.name, folder) == copying.state:
                if not copying.work.result(deadline):
                    return False
                if self._finish(copying, path, folder):
                    return True
        self._stop_copying(path)  # it has changed: the next scan finds it as if it were new
        return False

    def _finish(self, copying: _Copying, path: Path, folder: int) -> bool:
        """Have a complete copy count as the upload, and remove the original. False if the original has changed."""
        # Under a name that no other program uses, so that what is removed is what was compared.
        aside = f"{TAKEN}{uuid4().hex[:8]}-{os.fsdecode(os.fsencode(path.name)[-_ASIDE_BYTES:])}"
        os.rename(path.name, aside, src_dir_fd=folder, dst_dir_fd=folder)
        try:
            unchanged = not has_writer(aside, folder) and FileState.of(aside, folder).same_content(copying.state)
        except OSError:
            unchanged = False
        if not unchanged:
            _put_back(aside, path.name, folder)
            return False
        del self._copying[path]
        (copying.claim / "data.part").rename(copying.claim / "data")
        sync(copying.claim)
        os.unlink(aside, dir_fd=folder)
        return True

    def _stop_copying(self, path: Path) -> None:
        """Forget a copy, if there is one; the next tick drops its claim."""
        if copying := self._copying.pop(path, None):
            copying.work.drop()

    def _install_upload(self, store: VideoStore, deadline: float, waiting: dict[str, str]) -> tuple[list[Upload], int]:
        """Find the key of every claimed video, smallest first, and put the video into the store.

        Notes in `waiting` why others are not there yet. Gives those that are, and how many wait for their turn.
        """
        taken: list[Upload] = []
        backlog = 0
        begun = False
        claims = {claim: FileState.of(claim / "data") for claim in _claims(store) if (claim / "data").exists()}
        for claim, hashing in list(self._hashing.items()):
            if claims.get(claim) != hashing.state:
                self._stop_hashing(claim)
        for claim, state in sorted(claims.items(), key=lambda item: item[1].size):
            if claim in self._moving:
                continue
            if begun and time.monotonic() > deadline:
                backlog += 1
                continue
            upload = _upload(claim)
            if upload is None:
                hashing = self._hashing.setdefault(claim, _Hashing(claim / "data"))
                try:
                    digest = hashing.work.result(deadline)
                except OSError as unreadable:
                    waiting[_source(claim).name] = f"cannot be read ({unreadable.strerror})"
                    self._stop_hashing(claim)
                    continue
                if digest is None or FileState.of(claim / "data") != state:
                    share = hashing.offset / max(1, state.size)
                    waiting[_source(claim).name] = f"being read ({share:.0%})"
                    continue
                upload = _identify(store, claim, digest)
                _write(claim / "upload.json", upload)
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


def _named(store: VideoStore, waiting: dict[str, str]) -> dict[str, str]:
    """The same by the names of the files below the inbox, for people."""
    inbox = f"{store.inbox_folder}{os.sep}"
    return {printable(path.removeprefix(inbox)): reason for path, reason in waiting.items()}


def add(store: VideoStore, source: Path) -> Upload:
    """Copy a video straight into the store, as if it had come through the inbox; the copy is complete on return.

    Raises MissingInputError, or OSError where the store cannot be written.
    """
    if not source.is_file():
        raise MissingInputError(source, "there is no such file", action="Check the name and the folder.")
    with taking_uploads(store, wait=True):
        claim = _new_claim(store, source.name)
        shutil.copyfile(source, claim / "data.part")
        (claim / "data.part").rename(claim / "data")
        digest = _Hashing(claim / "data").work.result(float("inf"))
        upload = _identify(store, claim, str(digest))
        _write(claim / "upload.json", upload)
        _install(store, claim, upload).result()
        return upload


def pending(store: VideoStore) -> list[Upload]:
    """Uploads that are in the store and whose run is not known to exist yet, oldest first."""
    in_store = [claim for claim in _claims(store) if not (claim / "data").exists()]
    return [upload for upload in map(_upload, in_store) if upload is not None]


def acknowledge(store: VideoStore, upload: Upload) -> None:
    """Forget a claim: its run exists, or none is needed."""
    shutil.rmtree(store.claims_folder / upload.claim, ignore_errors=True)


def claimed_keys(store: VideoStore) -> set[str]:
    """Keys of all videos with a claim that isn't acknowledged yet, as far as the keys are known."""
    return {upload.key for upload in map(_upload, _claims(store)) if upload is not None}


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


def printable(name: str) -> str:
    """A file's name for people: one line of text, with a replacement mark for what is no visible character."""
    if name.isprintable():
        return name
    text = os.fsencode(name).decode(errors="replace")
    return "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in text)


def _identify(store: VideoStore, claim: Path, sha256: str) -> Upload:
    """Find the key of a claimed video: the one that its content has already, or a new one."""
    source = _source(claim)
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
    store.files.write(folder / "video.json", _as_json(upload))
    return store.files.upload_within(claim / "data", folder / upload.file)


def _new_claim(store: VideoStore, name: str, *, reprocess: bool = False) -> Path:
    claim = store.claims_folder / f"{datetime.now(UTC):%Y%m%dT%H%M%S.%f}-{uuid4().hex[:12]}"
    claim.mkdir()
    _write(claim / "source.json", _Source(name=printable(_ASIDE.sub("", name)), reprocess=reprocess))
    return claim


def _put_back(name: str, former: str, folder: int) -> None:
    """Give a file its former name in a folder of the inbox, or, if that is in use again, a new one."""
    try:
        rename_without_overwriting(name, former, folder=folder)
    except FileExistsError:
        rename_without_overwriting(name, f"{uuid4().hex}{Path(former).suffix}", folder=folder)


def _claims(store: VideoStore) -> list[Path]:
    return sorted(path for path in store.claims_folder.glob("*") if path.is_dir())


def _source(claim: Path) -> _Source:
    try:
        return _Source.model_validate_json((claim / "source.json").read_bytes())
    except ValidationError:  # damaged: the video need not suffer for it
        return _Source(name="video")


def _upload(claim: Path) -> Upload | None:
    """What is known of a claimed video: nothing yet, if its notes are not written, not readable, or gone by now."""
    try:
        return Upload.model_validate_json((claim / "upload.json").read_bytes())
    except (FileNotFoundError, ValidationError):
        return None


def _plain_suffix(suffix: str) -> str:
    """The suffix if it is a harmless one; `.json` would look like our own notes."""
    letters = suffix[1:].lower()
    harmless = letters.isascii() and letters.isalnum() and len(letters) <= _SUFFIX_LETTERS and letters != "json"
    return f".{letters}" if harmless else ""


def _write(path: Path, document: BaseModel) -> None:
    LocalFiles(path.parent).write(path, _as_json(document))


def _as_json(document: BaseModel) -> bytes:
    return document.model_dump_json(indent=2).encode()
