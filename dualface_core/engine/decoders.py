"""Several decoders for one video, where one is slower than what is done with its frames.

Belongs here: reading spans in turn, each decoder in a thread of its own, and putting their frames in order. While the
frames of one span are taken, the others decode the next ones.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Sequence
from contextlib import ExitStack
from typing import Final, TypeVar

from dualface_core.engine.prefetch import prefetch
from dualface_core.media.spans import Span

Item = TypeVar("Item")

_TOGETHER: Final = 8
"""Frames that a decoder hands over at once."""


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
    with ExitStack() as threads:
        lanes = [
            threads.enter_context(prefetch(_with_ends(parts[number::decoders], read), depth=ahead, together=_TOGETHER))
            for number in range(decoders)
        ]
        for number in range(len(parts)):
            for item in iter(lanes[number % decoders].__next__, None):
                yield item[0]


def _with_ends(parts: Sequence[Span], read: Callable[[Span], Iterable[Item]]) -> Generator[tuple[Item] | None]:
    """The frames of some spans, and None after those of each."""
    for part in parts:
        for item in read(part):
            yield (item,)
        yield None
