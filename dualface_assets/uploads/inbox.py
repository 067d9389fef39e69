"""Which files in the inbox are complete uploads.

Belongs here: scanning, which moves nothing. A file is an upload once no process writes it any more. The kernel knows
that: a read lease is granted only while no process has the file open for writing. Where it cannot say (network file
systems, other users' files), two scans some seconds apart must see the same.

Who may write to the inbox may put a link in the place of a folder at any moment. So every file is named relative to
a descriptor of its folder, which was opened without following a link (`folder_below`).

There may be ten thousand of them, every few seconds. So a file is a string and a tuple until it is to be taken, what is
unchanged is kept rather than made anew (or Python would stop to collect garbage), and no more are examined closely than
can be taken.
"""

from __future__ import annotations

import errno
import fcntl
import os
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final, NamedTuple, Self

from dualface_assets.settings import REPROCESS
from dualface_assets.store.files import folder_below, reading
from dualface_assets.uploads.containers import is_unfinished
from dualface_assets.uploads.source import Scan

_OF_BROWSERS: Final = (".part", ".crdownload", ".download", ".opdownload")
_OF_OTHERS: Final = (".partial", ".tmp", ".temp", ".filepart", ".aria2", ".!ut", "~")
_TEMPORARY_SUFFIXES: Final = _OF_BROWSERS + _OF_OTHERS
_NOT_UPLOADS: Final = frozenset({"thumbs.db", "ehthumbs.db", "desktop.ini"})


TAKEN: Final = ".dualface-taken-"
"""What the name of a file begins with that was copied and is about to be removed. If that never happened, it is an
upload like any other: its content may be newer than the copy."""


class FileState(NamedTuple):
    """Two equal ones mean that the file was not touched in between. Bytes, nanoseconds."""

    size: int
    modified: int
    changed: int
    inode: int

    @classmethod
    def of(cls, path: str | Path, folder: int | None = None) -> Self:
        """The state of the file itself, not of what a link points at. Raises OSError.

        Args:
            path: the file.
            folder: descriptor of the folder that a relative path is relative to.
        """
        return cls.read(os.stat(path, dir_fd=folder, follow_symlinks=False))

    @classmethod
    def read(cls, found: os.stat_result) -> Self:
        """The state that a stat call found."""
        return cls(found.st_size, found.st_mtime_ns, found.st_ctime_ns, found.st_ino)

    def same_content(self, other: Self) -> bool:
        """Whether it is the same file with the same content, perhaps under another name."""
        return (self.size, self.modified, self.inode) == (other.size, other.modified, other.inode)


@dataclass(frozen=True)
class StabilityWindow:
    """How long a file must have been left alone before it counts as complete, in seconds.

    Attributes:
        quiet: unchanged, and open for writing in no process.
        unknown: watched and unchanged, where the kernel does not say who writes.
        empty: unchanged and empty: nearly always an upload that is about to begin.
        unfinished: unchanged, while its container says that more is to come, as between two writes of a recorder.
    """

    quiet: float = 2.0
    unknown: float = 8.0
    empty: float = 60.0
    unfinished: float = 60.0


class Inbox:
    """Scans a folder again and again, and remembers what it saw.

    Args:
        stability: how long files must have been left alone.
        clock: seconds since the epoch.
    """

    def __init__(self, stability: StabilityWindow, *, clock: Callable[[], float] = time.time) -> None:
        self.stability = stability
        self._clock = clock
        self._seen: dict[str, tuple[FileState, float]] = {}
        self._leases_work: dict[int, bool] = {}

    def scan(self, folder: Path, *, beside: Path, most: int) -> Scan[Path, FileState]:
        """Sort the files in `folder` and below into complete and waiting.

        Links, pipes and devices are no uploads, nor are hidden, temporary and half-downloaded files. The one hidden
        folder that is searched is `REPROCESS`.

        Args:
            folder: the inbox.
            beside: a folder below it to stay out of.
            most: complete files to find; those behind them are only counted.
        """
        waiting: dict[str, str] = {}
        now = self._clock()
        seen = {path: self._since(path, state, now) for path, state in files_in(folder, beside, waiting)}
        self._seen = seen
        complete: dict[Path, FileState] = {}
        for number, path in enumerate(sorted(seen, key=lambda path: seen[path][0].size)):
            if len(complete) >= most:
                return Scan(complete, waiting, backlog=len(seen) - number)
            state, since = seen[path]
            try:
                reason = self._incomplete(folder, path, state, now, watched=now - since)
            except FileNotFoundError:
                continue  # it was taken away again
            except OSError as error:
                reason = f"cannot be read ({error.strerror})"
            if reason is None:
                complete[Path(path)] = state
            else:
                waiting[path] = reason
        return Scan(complete, waiting, backlog=0)

    def _since(self, path: str, state: FileState, now: float) -> tuple[FileState, float]:
        """Its state and since when it has had it: not in the future, though the clock was set back."""
        before = self._seen.get(path)
        return (state, min(before[1], now)) if before is not None and before[0] == state else (state, now)

    def _incomplete(self, inbox: Path, path: str, state: FileState, now: float, *, watched: float) -> str | None:
        """Why this file may not be complete yet; None if it is."""
        # By the file's own clock or by ours, whichever says longer: a file server's clock may be ahead.
        quiet = max(now - max(state.changed, state.modified) / 1e9, watched)
        if state.size == 0 and quiet < self.stability.empty:
            return "empty so far"
        if quiet < self.stability.quiet:
            return "changed a moment ago"
        with folder_below(inbox, os.path.dirname(path)) as folder:  # noqa: PTH120  it is text, for speed
            if not os.access(".", os.W_OK | os.X_OK, dir_fd=folder):
                return "no permission to take files out of this folder"
            name = os.path.basename(path)  # noqa: PTH119  it is text, for speed
            writer = has_writer(name, folder) if self._kernel_knows(folder) else None
            more_to_come = False
            if quiet < self.stability.unfinished:
                with reading(name, folder) as file:
                    more_to_come = is_unfinished(file, state.size)
        if writer:
            return "another program is still writing it"
        if writer is None and watched < self.stability.unknown:
            return "being watched: it may still grow"
        if more_to_come:
            return "being watched: its container says that more is to come"
        return None

    def _kernel_knows(self, folder: int) -> bool:
        """Whether leases work on this folder's file system. Some refuse them all, as if every file were written."""
        device = os.fstat(folder).st_dev
        if device not in self._leases_work:
            self._leases_work[device] = _leases_work(folder)
        return self._leases_work[device]


def files_in(inbox: Path, beside: Path, waiting: dict[str, str]) -> Iterator[tuple[str, FileState]]:
    """Every regular file that may be an upload, in any sub-folder."""
    folders = [str(inbox / REPROCESS), str(inbox)]
    own = str(beside)
    while folders:
        here = folders.pop()
        try:
            with folder_below(inbox, here) as folder, os.scandir(folder) as found:
                entries = list(found)
                names = [entry.name.lower() for entry in entries]
                unfinished = _unfinished(names)
                for entry, name in zip(entries, names, strict=True):
                    if is_temporary(name) or name in unfinished:
                        continue
                    path = f"{here}{os.sep}{entry.name}"
                    if entry.is_dir(follow_symlinks=False):
                        if path != own:
                            folders.append(path)
                    elif entry.is_file(follow_symlinks=False):
                        with suppress(FileNotFoundError):
                            yield path, FileState.read(entry.stat(follow_symlinks=False))
        except FileNotFoundError:
            continue
        except OSError as error:
            waiting[here] = f"this folder cannot be read ({error.strerror})"


def is_temporary(name: str) -> bool:
    """Whether a program is at work on it, by its name in lower case."""
    if name.startswith(TAKEN):
        return False
    return name.startswith((".", "~")) or name.endswith(_TEMPORARY_SUFFIXES) or name in _NOT_UPLOADS


def _unfinished(names: list[str]) -> set[str]:
    """Names on whose files a program is at work, by the name of a companion such as `x.mp4.part`."""
    companions = [name for name in names if name.endswith(_TEMPORARY_SUFFIXES)]
    return {name.removesuffix(suffix) for name in companions for suffix in _TEMPORARY_SUFFIXES if name.endswith(suffix)}


def has_writer(path: str | Path, folder: int | None = None) -> bool | None:
    """Whether any process has the file open for writing; None where the kernel does not say.

    Args:
        path: the file.
        folder: descriptor of the folder that a relative path is relative to.
    """
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=folder)
    try:
        return _is_written(descriptor)
    finally:
        os.close(descriptor)


def _leases_work(folder: int) -> bool:
    """Whether leases work on a folder's file system: tried on a file without a name, which nobody else gets at."""
    try:
        writing = os.open(".", os.O_TMPFILE | os.O_WRONLY | os.O_CLOEXEC, 0o600, dir_fd=folder)
    except OSError as error:
        if error.errno in {errno.EOPNOTSUPP, errno.EISDIR}:  # such as NFS, which knows nothing of other machines' files
            return False
        raise
    try:
        unwritten = os.open(f"/proc/self/fd/{writing}", os.O_RDONLY | os.O_CLOEXEC)
    finally:
        os.close(writing)
    try:
        return _is_written(unwritten) is False
    finally:
        os.close(unwritten)


def _is_written(descriptor: int) -> bool | None:
    try:
        # A process that opens the file for writing while we hold the lease makes the kernel send a signal. The default
        # one, SIGIO, would end this process; SIGURG is ignored by default.
        fcntl.fcntl(descriptor, fcntl.F_SETSIG, signal.SIGURG)
        fcntl.fcntl(descriptor, fcntl.F_SETLEASE, fcntl.F_RDLCK)
    except BlockingIOError:
        return True
    except OSError:
        return None
    else:
        return False
