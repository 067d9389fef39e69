"""The streaming pass: decode, compose, encode.

Belongs here: the pass itself, whoever encodes. One thread decodes and composes while the caller's encodes. Memory does
not grow with the length of the video, since at any moment only the frames inside the codecs and a few pictures exist.
"""

from __future__ import annotations

from collections.abc import Callable, Generator
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from dualface_core.compositing.cpu import Compositor
from dualface_core.encoding.settings import EncoderSpec
from dualface_core.errors import TableFormatError, UnreadableVideoError
from dualface_core.media.frames import ColorInfo
from dualface_core.media.probe import VideoInfo
from dualface_core.media.reader import VideoReader
from dualface_core.media.writer import Surface, VideoWriter
from dualface_core.rendering.prefetch import prefetch
from dualface_core.tables.layouts import Layout
from dualface_core.tables.tile_plan import TilePlan

_LIMITED_RANGE: Final = 1

_FRAMES_AHEAD: Final = 3
"""Pictures that wait for the encoder, which takes some at once and others slowly."""


def render_stream(
    video: VideoInfo,
    plan: TilePlan,
    path: Path,
    encoder: EncoderSpec,
    *,
    decode_threads: int = 0,
    encode_threads: int = 0,
    progress: Callable[[int], None] | None = None,
) -> int:
    """Render a plan into a file.

    Args:
        video: the source.
        plan: what each tile shows in each frame.
        path: where to write; the caller publishes it.
        encoder: what encodes.
        decode_threads: CPU threads of the source's decoder; see `VideoReader`.
        encode_threads: CPU threads of a software encoder; 0 lets it choose.
        progress: called with the number of frames that have been handed to the encoder.

    Returns:
        Frames written.

    Raises:
        TableFormatError: the plan was made from another video.
        UnreadableVideoError: the source breaks off, or has other frames than when it was tracked.
        EncoderError, OutputError: as `VideoWriter` raises them.
    """
    if plan.metadata.fingerprint != video.fingerprint:
        raise TableFormatError(
            video.path, "the plan was made from another video", action="Track and plan this video again."
        )
    canvas, sources, times = plan.layout, plan.crop_windows, plan.pts
    with (
        prefetch(_pictures(video, canvas, sources, times, decode_threads), depth=_FRAMES_AHEAD) as pictures,
        VideoWriter(
            path,
            width=canvas.width,
            height=canvas.height,
            time_base=video.time_base,
            average_rate=video.average_rate,
            color=canvas_color(video.color),
            encoder=encoder,
            threads=encode_threads,
            audio_from=video.path if video.audio else None,
        ) as writer,
    ):
        for picture, pts in pictures:
            writer.encode(picture, pts)
            if progress is not None:
                progress(writer.frames_written)
    return len(times)


def _pictures(
    video: VideoInfo, canvas: Layout, sources: NDArray[np.float32], times: NDArray[np.int64], threads: int
) -> Generator[tuple[Surface, int]]:
    """Every picture of the result with its timestamp."""
    compositor = Compositor(canvas, video.width, video.height)
    drawn = 0
    with VideoReader(video, threads=threads) as reader:
        for frame in reader:
            if frame.index >= len(times) or frame.pts != times[frame.index]:
                raise _changed(video, frame.index)
            picture = Surface.blank(canvas.width, canvas.height)
            compositor.compose(frame.planes, sources[frame.index], picture.planes)
            yield picture, frame.pts
            drawn += 1
    if drawn != len(times):
        raise _changed(video, drawn)


def _changed(video: VideoInfo, frame: int) -> UnreadableVideoError:
    return UnreadableVideoError(
        video.path,
        f"frame {frame} is not the one that was tracked",
        action="The file has changed or is damaged: track and plan it again.",
    )


def canvas_color(source: ColorInfo) -> ColorInfo:
    """Color tags of the result: the source's, since its sample values are kept; an untagged range is limited."""
    return ColorInfo(source.range or _LIMITED_RANGE, source.primaries, source.transfer, source.matrix)
