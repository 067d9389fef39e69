"""Several decoders for one video, where one is slower than what is done with its frames.

Belongs here: threads that read spans in turn, and putting their frames in order. The one idea: each is ahead of the
consumer by a bounded number of frames, so that while the frames of one span are taken, others decode the next ones.
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Generator, Iterable, Sequence
from typing import Final, Generic, TypeVar

from dualface_core.media.spans import Span

Item = TypeVar("Item")

_ABANDONED_AFTER: Final = 0.1
"""Seconds between two checks whether anybody wants more."""


def read_in_turn(
    parts: Sequence[Span], read: Callable[[Span], Iterable[Item]], *, decoders: int, ahead: int
) -> Generator[Item]:
    """What `read` gives of each span, in order. It is called in threads, which have ended when this ends.

    Args:
        parts: the spans.
        read: gives the frames of a span.
        decoders: threads; each reads every so manieth span.
        ahead: frames of each that may wait for being taken.

    Raises what `read` raises, where its next frame would be.
    """
    lanes = [_Lane(parts[number::decoders], read, ahead) for number in range(decoders)]
    try:
        for number in range(len(parts)):
            yield from lanes[number % decoders].span()
    finally:
        for lane in lanes:
            lane.end()


class _Lane(Generic[Item]):
    """One thread, and what it has read."""

    def __init__(self, parts: Sequence[Span], read: Callable[[Span], Iterable[Item]], ahead: int) -> None:
        self._waiting: queue.Queue[tuple[Item] | BaseException | None] = queue.Queue(ahead)
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._read, args=(parts, read), name="decode")
        self._thread.start()

    def span(self) -> Generator[Item]:
        """The frames of its next span."""
        while (item := self._waiting.get()) is not None:
            if isinstance(item, BaseException):
                raise item
            yield item[0]

    def end(self) -> None:
        self._ended.set()
        self._thread.join()

    def _read(self, parts: Sequence[Span], read: Callable[[Span], Iterable[Item]]) -> None:
        try:
            for part in parts:
                for item in read(part):
                    if not self._hand_over((item,)):
                        return
                if not self._hand_over(None):
                    return
        except BaseException as error:  # noqa: BLE001  raised in the thread that takes
            self._hand_over(error)

    def _hand_over(self, what: tuple[Item] | BaseException | None) -> bool:
        """Put something into the queue, once there is room. False if nobody wants it any more."""
        while not self._ended.is_set():
            try:
                self._waiting.put(what, timeout=_ABANDONED_AFTER)
            except queue.Full:
                continue
            return True
        return False
