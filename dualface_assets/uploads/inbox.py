"""Which files in the inbox are complete uploads.

Belongs here: looking, never touching. A file is an upload once nobody writes it any more. The kernel knows that: a
read lease is granted only while no process has the file open for writing. Where it cannot say (network file systems,
other users' files), two looks some seconds apart must see the same.

There may be ten thousand of them, every few seconds. So a file is a string and a tuple until it is to be taken, what is
unchanged is kept rather than made anew (or Python would stop to look for garbage), and no more are looked at closely
than can be taken.
"""

from __future__ import annotations

import fcntl
import os
import signal
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final, NamedTuple, Self

from dualface_assets.settings import REPROCESS

_OF_BROWSERS: Final = (".part", ".crdownload", ".download", ".opdownload")
_OF_OTHERS: Final = (".partial", ".tmp", ".temp", ".filepart", ".aria2", ".!ut", "~")
_TEMPORARY_SUFFIXES: Final = _OF_BROWSERS + _OF_OTHERS
_NOT_UPLOADS: Final = frozenset({"thumbs.db", "ehthumbs.db", "desktop.ini"})


class FileState(NamedTuple):
    """Two equal ones mean that nobody has touched the file in between. Bytes, nanoseconds."""

    size: int
    modified: int
    changed: int
    inode: int

    @classmethod
    def of(cls, path: Path) -> Self:
        """The state of the file itself, not of what a link points at. Raises OSError."""
        return cls.read(path.lstat())

    @classmethod
    def read(cls, found: os.stat_result) -> Self:
        """The state that a stat call found."""
        return cls(found.st_size, found.st_mtime_ns, found.st_ctime_ns, found.st_ino)


@dataclass(frozen=True)
class StabilityWindow:
    """How long a file must have been left alone before it counts as complete, in seconds.

    Attributes:
        quiet: unchanged, and nobody has it open for writing.
        unknown: watched and unchanged, where the kernel does not say who writes.
        empty: unchanged and empty: nearly always an upload that is about to begin.
    """

    quiet: float = 2.0
    unknown: float = 8.0
    empty: float = 60.0


@dataclass(frozen=True)
class Scan:
    """What one look at the inbox found.

    Attributes:
        complete: uploads that can be taken, smallest first.
        waiting: paths of those that cannot (yet), and why.
        behind: how many more there are, which were not looked at closely.
    """

    complete: dict[Path, FileState]
    waiting: dict[str, str]
    backlog: int


class Inbox:
    """Looks at a folder again and again, and remembers what it saw.

    Args:
        patience: how long files must have been left alone.
        clock: seconds since the epoch.
    """

    def __init__(self, stability: StabilityWindow, *, clock: Callable[[], float] = time.time) -> None:
        self._stability = stability
        self._clock = clock
        self._seen: dict[str, tuple[FileState, float]] = {}
        self._leases_work: dict[int, bool] = {}

    def scan(self, folder: Path, *, beside: Path, most: int) -> Scan:
        """Sort the files in `folder` and below into complete and waiting.

        Links, pipes and devices are none of our business, nor are hidden, temporary and half-downloaded files. The one
        hidden folder that is looked into is `REPROCESS`.

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
                reason = self._incomplete(path, state, now, watched=now - since)
            except FileNotFoundError:
                continue  # whoever put it there has taken it away again
            except OSError as error:
                reason = f"cannot be read ({error.strerror})"
            if reason is None:
                complete[Path(path)] = state
            else:
                waiting[path] = reason
        return Scan(complete, waiting, backlog=0)

    def _since(self, path: str, state: FileState, now: float) -> tuple[FileState, float]:
        before = self._seen.get(path)
        return before if before is not None and before[0] == state else (state, now)

    def _incomplete(self, path: str, state: FileState, now: float, *, watched: float) -> str | None:
        """Why this file may not be complete yet; None if it is."""
        # By the file's own clock or by ours, whichever says longer: a file server's clock may be ahead.
        quiet = max(now - max(state.changed, state.modified) / 1e9, watched)
        if state.size == 0 and quiet < self._stability.empty:
            return "empty so far"
        if quiet < self._stability.quiet:
            return "changed a moment ago"
        folder = Path(path).parent
        if not os.access(folder, os.W_OK | os.X_OK):
            return "no permission to take files out of this folder"
        writer = has_writer(path) if self._kernel_knows(folder) else None
        if writer:
            return "another program is still writing it"
        if writer is None and watched < self._stability.unknown:
            return "being watched: it may still grow"
        return None

    def _kernel_knows(self, folder: Path) -> bool:
        """Whether leases work on this folder's file system. Some refuse them all, as if every file were written."""
        device = folder.stat().st_dev
        if device not in self._leases_work:
            trial = folder / ".dualface-lease"
            try:
                trial.touch()
                self._leases_work[device] = has_writer(trial) is False
            finally:
                trial.unlink(missing_ok=True)
        return self._leases_work[device]


def files_in(folder: Path, beside: Path, waiting: dict[str, str]) -> Iterator[tuple[str, FileState]]:
    """Every regular file that may be an upload, in any sub-folder."""
    folders = [str(folder / REPROCESS), str(folder)]
    own = str(beside)
    while folders:
        here = folders.pop()
        try:
            with os.scandir(here) as found:
                entries = list(found)
        except FileNotFoundError:
            continue
        except OSError as error:
            waiting[here] = f"this folder cannot be read ({error.strerror})"
            continue
        names = [entry.name.lower() for entry in entries]
        unfinished = _unfinished(names)
        for entry, name in zip(entries, names, strict=True):
            if _is_temporary(name) or name in unfinished:
                continue
            if entry.is_dir(follow_symlinks=False):
                if entry.path != own:
                    folders.append(entry.path)
            elif entry.is_file(follow_symlinks=False):
                try:
                    yield entry.path, FileState.read(entry.stat(follow_symlinks=False))
                except FileNotFoundError:
                    continue


def _is_temporary(name: str) -> bool:
    """Whether a program is at work on it, by its name in lower case."""
    return name.startswith((".", "~")) or name.endswith(_TEMPORARY_SUFFIXES) or name in _NOT_UPLOADS


def _unfinished(names: list[str]) -> set[str]:
    """Names on whose files a program is at work, by the name of a companion such as `x.mp4.part`."""
    companions = [name for name in names if name.endswith(_TEMPORARY_SUFFIXES)]
    return {name.removesuffix(suffix) for name in companions for suffix in _TEMPORARY_SUFFIXES if name.endswith(suffix)}


def has_writer(path: str | Path) -> bool | None:
    """Whether any process has the file open for writing; None where the kernel does not say."""
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        # Somebody who opens the file for writing while we hold the lease makes the kernel send a signal. The default
        # one, SIGIO, would end this process; SIGURG is ignored by default.
        fcntl.fcntl(descriptor, fcntl.F_SETSIG, signal.SIGURG)
        fcntl.fcntl(descriptor, fcntl.F_SETLEASE, fcntl.F_RDLCK)
    except BlockingIOError:
        return True
    except OSError:
        return None
    else:
        return False
    finally:
        os.close(descriptor)
