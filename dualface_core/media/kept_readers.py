"""Readers that are kept for other spans of the same video: to open one on a card takes as long as a hundred frames.

Belongs here: which readers are open, and how many. Each is used by one thread at a time.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from threading import Lock
from typing import Generic, TypeVar

from dualface_core.media.probe import VideoInfo
from dualface_core.media.reader import VideoReader
from dualface_core.media.spans import Span

Reader = TypeVar("Reader", bound=VideoReader)


class KeptReaders(Generic[Reader]):
    """Opens readers, and keeps those that nobody uses.

    Args:
        opened: opens a reader.
        most: readers that are open, unless more are in use.

    Attributes:
        most: the same; it may be changed.
    """

    def __init__(self, opened: Callable[[VideoInfo], Reader], most: int) -> None:
        self._opened = opened
        self.most = most
        self._in_use = 0
        self._kept: list[tuple[str, Reader]] = []  # by the video's fingerprint, that which was used last at the end
        self._lock = Lock()

    @contextmanager
    def of(self, video: VideoInfo, span: Span, *, keep: bool = True) -> Iterator[Reader]:
        """A reader whose frames are those of a span, to be kept unless nobody will ask for others of the video.

        One with which something fails is not used again.
        """
        key = f"{video.path} {video.fingerprint}"
        with self._lock:
            self._in_use += 1
            number = next((number for number, (kept, _) in enumerate(self._kept) if kept == key), None)
            reader = None if number is None else self._kept.pop(number)[1]
            superfluous = self._superfluous()
        try:
            for other in superfluous:
                other.__exit__()
            at_start = reader is None
            reader = reader or self._opened(video)
            try:
                yield reader if at_start and span.is_whole else reader.of(span)
            except BaseException:
                reader.__exit__()
                raise
            if not keep:
                reader.__exit__()
                return
            with self._lock:
                self._kept.append((key, reader))
        finally:
            with self._lock:
                self._in_use -= 1
                superfluous = self._superfluous()
            for other in superfluous:
                other.__exit__()

    def _superfluous(self) -> list[Reader]:
        """Those that are to be closed, which are kept no longer; the oldest ones."""
        count = max(0, min(len(self._kept), len(self._kept) + self._in_use - self.most))
        closed, self._kept = self._kept[:count], self._kept[count:]
        return [reader for _, reader in closed]
