"""The composed frames of a plan, one after the other, as they are before an encoder sees them.

Belongs here: decoding a source and composing each of its frames, for whoever encodes them or compares with them. One
thread decodes and others compose, which takes longest and leaves Python's lock to others; frames come out in order.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Generator
from concurrent.futures import Future, ThreadPoolExecutor

from dualface_core.compositing.cpu import Compositor
from dualface_core.errors import UnreadableVideoError
from dualface_core.media.encoder import Surface
from dualface_core.media.frames import Frame
from dualface_core.media.probe import VideoInfo
from dualface_core.media.reader import VideoReader
from dualface_core.tables.tile_plan import TilePlan


def composed_frames(
    video: VideoInfo, plan: TilePlan, *, threads: int = 0, composers: int = 1
) -> Generator[tuple[Surface, int]]:
    """Every frame of the result, not encoded, with its pts in units of the source's time base.

    Args:
        video: the source.
        plan: what each tile shows.
        threads: CPU threads of the decoder; see `VideoReader`.
        composers: threads that compose. Each holds a frame of the source and one of the result.

    Raises UnreadableVideoError if the source breaks off, or has other frames than when it was tracked.
    """
    canvas, times = plan.layout, plan.pts
    compositor = Compositor(canvas, video.width, video.height)

    def composed(frame: Frame) -> tuple[Surface, int]:
        surface = Surface.blank(canvas.width, canvas.height)
        compositor.compose(frame, plan.frame(frame.index), surface.planes)
        return surface, frame.pts

    decoded = 0
    at_work: deque[Future[tuple[Surface, int]]] = deque()
    with ThreadPoolExecutor(composers, "compose") as pool, VideoReader(video, threads=threads) as reader:
        for frame in reader:
            if frame.index >= len(times) or frame.pts != times[frame.index]:
                raise changed(video, frame.index)
            decoded += 1
            at_work.append(pool.submit(composed, frame))
            if len(at_work) > composers:
                yield at_work.popleft().result()
        if decoded != len(times):
            raise changed(video, decoded)
        while at_work:
            yield at_work.popleft().result()


def changed(video: VideoInfo, frame: int) -> UnreadableVideoError:
    """The error of a video one of whose frames is not the one that its plan was made for."""
    return UnreadableVideoError(
        video.path,
        f"frame {frame} is not the one that was tracked",
        action="The file has changed or is damaged: track and plan it again.",
    )
