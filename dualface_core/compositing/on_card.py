"""The composed frames of a plan that are decoded and drawn on the card: what `composed` gives, where a card is used.

Belongs here: the order of what the card is asked for. A few frames are always on their way, so that neither the card
nor Python waits for the other.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Generator
from typing import Final

from dualface_core.compositing.composed import changed
from dualface_core.compositing.cuda import CudaCompositor, Halver
from dualface_core.media.cuda_frames import CudaFrame, CudaReader, CudaSurface, Pool
from dualface_core.media.probe import VideoInfo
from dualface_core.media.spans import Span
from dualface_core.system.cuda import Card
from dualface_core.tables.tile_plan import PlanPart

_ON_THEIR_WAY: Final = 3
"""Frames that the card has yet to finish while the next is decoded."""


def composed_on_card(
    video: VideoInfo, plan: PlanPart, card: Card, *, span: Span | None = None, encoded_there: bool
) -> Generator[tuple[CudaSurface, int]]:
    """Frames of the result, not encoded, each with its pts in units of the source's time base.

    Args:
        video: the source.
        plan: what each tile shows in these frames.
        card: what decodes and composes.
        span: the frames; all of the video if None.
        encoded_there: whether NVENC takes the surfaces as they are. Otherwise they are copied to the host, and have
            planes. Those for NVENC have the regions of the layout at half their size in `host`.

    Raises:
        UnreadableVideoError: the source breaks off, or has other frames than when it was tracked.
        NotOnCardError: a frame of it is of a kind that only the CPU can deal with.
        CudaError: the card fails, or its memory runs out.
    """
    card.enter()
    canvas, times = plan.layout, plan.pts.tolist()
    compositor, halver = CudaCompositor(card, plan, video.color), Halver(card)
    beside = sum(region.halved_size for region in canvas.regions) if encoded_there else None
    pool = Pool(card, canvas.width, canvas.height, beside=beside)
    on_their_way: deque[tuple[CudaSurface, CudaFrame]] = deque()

    def finished() -> tuple[CudaSurface, int]:
        surface, frame = on_their_way.popleft()
        surface.drawn.wait()
        return surface, frame.pts

    composed = 0
    with CudaReader(video, span=span) as reader:
        for frame in reader.frames():
            if composed == len(times) or frame.pts != times[composed]:
                raise changed(video, frame.index)
            surface = pool.take()
            compositor.draw(frame, surface.canvas)
            if encoded_there:
                halver.start(surface.canvas, canvas.regions, surface.host.ctypes.data)
            else:
                card.start_download(surface.memory.address, surface.host)
            surface.drawn.set()
            on_their_way.append((surface, frame))
            composed += 1
            if len(on_their_way) > _ON_THEIR_WAY:
                yield finished()
        if composed != len(times):
            raise changed(video, plan.first + composed)
        while on_their_way:
            yield finished()
