"""The streaming pass: decode, compose, encode.

Belongs here: the pass itself, whatever encodes. Others decode and compose while the caller's thread encodes. Memory
does not grow with the length of the video: at any moment only the frames inside the codecs and a few surfaces exist.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable
from contextlib import closing, nullcontext
from pathlib import Path
from typing import Final

from dualface_core.compositing.composed import composed_frames
from dualface_core.encoding.settings import EncoderSpec
from dualface_core.errors import TableFormatError
from dualface_core.media.encoder import Surface
from dualface_core.media.probe import VideoInfo
from dualface_core.media.writer import VideoWriter
from dualface_core.rendering.prefetch import prefetch
from dualface_core.tables.tile_plan import TilePlan
from dualface_core.verification.fingerprints import FingerprintWriter

_FRAMES_AHEAD: Final = 3
"""Frames that wait for the encoder, which takes some at once and others slowly."""


def render_stream(
    video: VideoInfo,
    plan: TilePlan,
    path: Path,
    encoder: EncoderSpec,
    *,
    decode_threads: int = 0,
    compose_threads: int = 1,
    encode_threads: int = 0,
    fingerprints: Path | None = None,
    progress: Callable[[int], None] | None = None,
) -> int:
    """Render a plan into a file.

    Args:
        video: the source.
        plan: what each tile shows in each frame.
        path: where to write; the caller publishes it.
        encoder: what encodes.
        decode_threads: CPU threads of the source's decoder; see `VideoReader`.
        compose_threads: threads that compose; see `composed_frames`.
        encode_threads: CPU threads of a software encoder; 0 lets it choose.
        fingerprints: where every composed frame leaves its fingerprint, for the verification; None for nowhere.
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
    canvas, last_pts, end = plan.layout, int(plan.pts[-1]), video.last_pts + video.last_duration
    with (
        closing(composed_frames(video, plan, threads=decode_threads, composers=compose_threads)) as composed,
        prefetch(_fingerprinted(composed, plan, fingerprints), depth=_FRAMES_AHEAD) as frames,
        VideoWriter(
            path,
            width=canvas.width,
            height=canvas.height,
            time_base=video.time_base,
            average_rate=video.average_rate,
            color=video.color,
            encoder=encoder,
            threads=encode_threads,
            audio_from=video.path,
            audio=video.audio,
            metadata=video.metadata,
        ) as writer,
    ):
        for surface, pts in frames:
            writer.encode(surface, pts, end - pts if pts == last_pts else None)
            if progress is not None:
                progress(writer.frames_written)
    return writer.frames_written


def _fingerprinted(
    composed: Iterable[tuple[Surface, int]], plan: TilePlan, path: Path | None
) -> Generator[tuple[Surface, int]]:
    """The same frames; each has left its fingerprint on the way, in the thread that asks for it."""
    with FingerprintWriter(path, plan.layout) if path else nullcontext() as writer:
        for surface, pts in composed:
            if writer is not None:
                writer.add(surface.planes)
            yield surface, pts
