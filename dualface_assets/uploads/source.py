"""Where uploads are dropped: what the intake asks of a place, and what all places have in common.

Belongs here: whose turn it is, what is refused, and copies that go on beside the ticks. How a place is searched, and
how a file leaves it, is the business of `folder` and `bucket`.
"""

from __future__ import annotations

import errno
import os
import time
from abc import ABC, abstractmethod
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Generic, Protocol, TypeVar

from dualface_assets.store.files import StoreError
from dualface_assets.store.video_store import VideoStore
from dualface_assets.uploads.resumable import ResumableTask

Name = TypeVar("Name", Path, str)
"""What names an upload in its place: a path, or an object's key."""

State = TypeVar("State")
"""What changes whenever an upload does."""

CHUNK_BYTES: Final = 4 << 20


class Readable(Protocol):
    """The content of an upload."""

    def seek(self, offset: int, /) -> int:
        """Go on from this byte."""

    def read(self, size: int, /) -> bytes:
        """The next so many bytes, or what is left of them."""


@dataclass(frozen=True)
class Scan(Generic[Name, State]):
    """What one scan of a place found.

    Attributes:
        complete: uploads that can be taken, smallest first.
        waiting: those that cannot (yet), and why.
        backlog: how many more there are, which were not examined closely.
    """

    complete: dict[Name, State]
    waiting: dict[str, str]
    backlog: int


class Copying(Generic[State]):
    """The copy of one upload into its claim, and what the upload was when it began.

    Args:
        claim: its folder, in which `data.part` grows.
        state: of the upload.
        size: of it, in bytes.
        opened: opens the upload.
    """

    def __init__(
        self, claim: Path, state: State, size: int, opened: Callable[[], AbstractContextManager[Readable]]
    ) -> None:
        self.claim = claim
        self.state = state
        self.work = ResumableTask(self._advance)
        self.size = size
        self._opened = opened

    def _advance(self, enough: Callable[[], bool]) -> bool | None:
        """Append to `data.part` what it lacks of the upload. True once it has all, on the disk itself."""
        with self._opened() as original, (self.claim / "data.part").open("ab") as copy:
            original.seek(copy.tell())
            while chunk := original.read(CHUNK_BYTES):
                copy.write(chunk)
                if copy.tell() < self.size and enough():
                    return None
            copy.flush()
            os.fsync(copy.fileno())
        return True


class Source(ABC, Generic[Name, State]):
    """A place where uploads are dropped, looked at again and again."""

    def __init__(self) -> None:
        self._copying: dict[Name, Copying[State]] = {}
        self._refused: dict[Name, State] = {}

    @property
    def copies(self) -> set[Path]:
        """Claims whose copy is not complete."""
        return {copying.claim for copying in self._copying.values()}

    def claim(self, store: VideoStore, room: int, deadline: float) -> tuple[dict[str, str], int]:
        """Claim complete uploads; say of the others why not, by name, and how many wait for their turn.

        Args:
            store: whose place it is, and whose claims.
            room: how many more claims there may be.
            deadline: begin no more of them after this (`time.monotonic`), but one at least.
        """
        # Those that may not be taken must not stand in the way of others.
        scan = self._scan(store, room + len(self._refused) if room else 0)
        if room:
            self._refused = {name: state for name, state in self._refused.items() if scan.complete.get(name) == state}
        waiting, backlog = dict(scan.waiting), scan.backlog
        begun = {name: copying.state for name, copying in self._copying.items()}
        for number, (name, state) in enumerate({**begun, **scan.complete}.items()):
            if self._refused.get(name) == state:
                waiting[str(name)] = "no permission to take it"
                continue
            if number and name not in begun and time.monotonic() > deadline:
                backlog += 1
                continue
            try:
                if not self._take(store, name, state, deadline):
                    waiting[str(name)] = "being copied into the store"
            except FileNotFoundError:
                self._stop_copying(name)  # it was taken away again
            except PermissionError:
                self._refused[name] = state  # as in a folder where everyone may only remove what is their own
                self._stop_copying(name)
            except OSError as error:
                waiting[str(name)] = f"cannot be taken ({error.strerror})"
                self._stop_copying(name)
            except StoreError as error:
                waiting[str(name)] = f"cannot be taken ({error})"
                self._stop_copying(name)
        return {self._shown(store, name): reason for name, reason in waiting.items()}, backlog

    @abstractmethod
    def preview(self, store: VideoStore) -> dict[str, str]:
        """What lies there, by name, and why it isn't taken now, touching nothing."""

    @abstractmethod
    def _scan(self, store: VideoStore, most: int) -> Scan[Name, State]:
        """Find complete uploads, so many at most."""

    @abstractmethod
    def _take(self, store: VideoStore, name: Name, state: State, deadline: float) -> bool:
        """Claim one upload. False while it is still being copied, or where it has changed."""

    @abstractmethod
    def _shown(self, store: VideoStore, name: str) -> str:
        """The name of an upload, for people."""

    def _begin(self, store: VideoStore, name: Name, copying: Copying[State]) -> None:
        """Have a copy go on tick by tick. Raises OSError where there is no room for it."""
        if reason := store.why_no_room(copying.size):
            raise OSError(errno.ENOSPC, reason)
        self._copying[name] = copying

    def _stop_copying(self, name: Name) -> None:
        """Forget a copy, if there is one; the next tick drops its claim."""
        if copying := self._copying.pop(name, None):
            copying.work.drop()
