"""The streaming pass: decode, compose, encode, one frame after the other.

Belongs here: the pass itself, whoever encodes. Memory does not grow with the length of the video, since at any moment
only the frames inside the codecs and one canvas exist.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Final

from dualface_core.errors import TableFormatError, UnreadableVideoError
from dualface_core.media.encoders import EncoderSpec
from dualface_core.media.frames import ColorInfo
from dualface_core.media.probe import VideoInfo
from dualface_core.media.reader import VideoReader
from dualface_core.media.writer import VideoWriter
from dualface_core.tiles.compositor import Compositor
from dualface_core.tiles.layouts import layout
from dualface_core.tiles.table import TilePlan

_LIMITED_RANGE: Final = 1


def render_stream(
    video: VideoInfo,
    plan: TilePlan,
    path: Path,
    encoder: EncoderSpec,
    *,
    decode_threads: int = 0,
    progress: Callable[[int], None] | None = None,
) -> int:
    """Render a plan into a file.

    Args:
        video: the source.
        plan: what each tile shows in each frame.
        path: where to write; the caller publishes it.
        encoder: what encodes.
        decode_threads: CPU threads of the source's decoder; 0 lets FFmpeg choose.
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
    canvas = layout(plan.metadata.layout)
    sources = plan.rectangles()
    times = plan.table.column("pts").to_numpy()[:: len(canvas.tiles)]
    compositor = Compositor(canvas, video.width, video.height)
    with (
        VideoReader(video, threads=decode_threads) as reader,
        VideoWriter(
            path,
            width=canvas.width,
            height=canvas.height,
            time_base=video.time_base,
            average_rate=video.average_rate,
            color=canvas_color(video.color),
            encoder=encoder,
            audio_from=video.path if video.audio else None,
        ) as writer,
    ):
        for frame in reader:
            if frame.index >= len(times) or frame.pts != times[frame.index]:
                raise _changed(video, frame.index)
            writer.write(compositor.compose(frame.planes, sources[frame.index]), frame.pts)
            if progress is not None:
                progress(writer.frames_written)
        if writer.frames_written != len(times):
            raise _changed(video, writer.frames_written)
    return len(times)


def _changed(video: VideoInfo, frame: int) -> UnreadableVideoError:
    return UnreadableVideoError(
        video.path,
        f"frame {frame} is not the one that was tracked",
        action="The file has changed or is damaged: track and plan it again.",
    )


def canvas_color(source: ColorInfo) -> ColorInfo:
    """Colour tags of the result: the source's, since its sample values are kept; an untagged range is limited."""
    return ColorInfo(source.range or _LIMITED_RANGE, source.primaries, source.transfer, source.matrix)
