"""The composed frames of a plan that are decoded and drawn on the card: what `composed` gives, where a card is used.

Belongs here: the order of what the card is asked for. A few frames are always on their way, so that neither the card
nor Python waits for the other.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator, Sequence
from contextlib import ExitStack, closing
from itertools import islice
from typing import Final, Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

from dualface_core.compositing.composed import changed
from dualface_core.compositing.cuda import CudaCompositor
from dualface_core.engine.prefetch import prefetch
from dualface_core.media.cuda_frames import Canvas, CudaFrame, CudaReader, CudaSurface, Pool, card_readers
from dualface_core.media.probe import VideoInfo
from dualface_core.media.spans import Span
from dualface_core.system.cuda import Card
from dualface_core.tables.tile_plan import PlanPart

AnyFrame = TypeVar("AnyFrame")

_ON_THEIR_WAY: Final = 3
"""Frames that the card has yet to finish while the next is decoded."""

_DECODERS: Final = 2
"""Of a video whose spans are taken in turn."""

FRAMES_AHEAD: Final = 48
"""Decoded frames that may wait on the card for each of them, until it is their turn."""


class Beside(Protocol):
    """What a card makes of each canvas besides, in page-locked memory of so many bytes."""

    size: int

    def start(self, canvas: Canvas, made: NDArray[np.uint8]) -> None:
        """Start to make it."""


def composed_on_card(
    video: VideoInfo,
    plan: PlanPart,
    card: Card,
    *,
    span: Span | None = None,
    turns: Sequence[Span] = (),
    encoded_there: bool,
    beside: Callable[[Card], Beside] | None = None,
) -> Generator[tuple[CudaSurface, int]]:
    """Frames of the result, not encoded, each with its pts in units of the source's time base.

    Args:
        video: the source.
        plan: what each tile shows in these frames.
        card: what decodes and composes.
        span: the frames, read by a decoder that the process keeps for others; all of the video if None.
        turns: all of them, in spans that two decoders take in turn; none for one decoder.
        encoded_there: whether NVENC takes the surfaces as they are. Otherwise they are copied to the host, and have
            planes.
        beside: what is to be made of each canvas besides, which surfaces have in `beside`; None for nothing.

    Raises:
        UnreadableVideoError: the source breaks off, or has other frames than when it was tracked.
        NotOnCardError: a frame of it is of a kind that only the CPU can deal with.
        CudaError: the card fails, or its memory runs out.
    """
    card.enter()
    canvas, times = plan.layout, plan.pts.tolist()
    compositor, more = CudaCompositor(card, plan, video.color), beside(card) if beside else None
    room = more.size if more is not None else 0
    pool = Pool(card, canvas.width, canvas.height, copied=not encoded_there, beside=room)
    on_their_way: deque[tuple[CudaSurface, CudaFrame]] = deque()

    def finished() -> tuple[CudaSurface, int]:
        surface, frame = on_their_way.popleft()
        surface.drawn.wait()
        return surface, frame.pts

    composed = 0
    with closing(_in_turn(video, turns, card) if turns else _decoded(video, span)) as frames:
        for frame in frames:
            if composed == len(times) or frame.pts != times[composed]:
                raise changed(video, frame.index)
            surface = pool.take()
            compositor.draw(frame, surface.canvas)
            if more is not None:
                more.start(surface.canvas, surface.beside)
            if not encoded_there:
                card.start_download(surface.memory.address, surface.picture)
            surface.drawn.set()
            on_their_way.append((surface, frame))
            composed += 1
            if len(on_their_way) > _ON_THEIR_WAY:
                yield finished()
        if composed != len(times):
            raise changed(video, plan.first + composed)
        while on_their_way:
            yield finished()


def _decoded(video: VideoInfo, span: Span | None) -> Generator[CudaFrame]:
    with CudaReader(video) if span is None else card_readers().of(video, span) as reader:
        yield from reader.frames()


def _in_turn(video: VideoInfo, turns: Sequence[Span], card: Card) -> Generator[CudaFrame]:
    def decoded(spans: Sequence[Span]) -> Generator[CudaFrame]:
        card.enter()
        with CudaReader(video) as reader:
            for span in spans:
                yield from reader.of(span).frames()

    yield from in_turn(decoded, turns)


def in_turn(decoded: Callable[[Sequence[Span]], Generator[AnyFrame]], turns: Sequence[Span]) -> Generator[AnyFrame]:
    """The frames of spans, of which two decoders, each in a thread of its own, take every other one."""
    with ExitStack() as stack:
        decoders = [
            stack.enter_context(prefetch(decoded(turns[first::_DECODERS]), depth=FRAMES_AHEAD))
            for first in range(_DECODERS)
        ]
        for number, span in enumerate(turns):
            yield from islice(decoders[number % _DECODERS], span.stop - span.first)
        for decoder in decoders:  # which have no more, unless the video is longer than it was
            yield from decoder
