"""The streaming pass: decode, compose, encode.

Belongs here: the pass itself, whatever encodes. Others decode and compose while the caller's thread encodes. Memory
does not grow with the length of the video: at any moment only the frames inside the codecs and a few surfaces exist.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator, Iterable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from dualface_core.compositing.composed import composed_frames
from dualface_core.compositing.on_card import composed_on_card
from dualface_core.encoding.settings import EncoderSpec
from dualface_core.engine.backend import CARD_FAILURES
from dualface_core.engine.prefetch import prefetch
from dualface_core.errors import TableFormatError
from dualface_core.media.cuda_frames import CudaSurface
from dualface_core.media.encoder import Surface
from dualface_core.media.probe import VideoInfo
from dualface_core.media.span_files import SpansWanted
from dualface_core.media.spans import Span
from dualface_core.media.writer import VideoWriter
from dualface_core.system.cuda import Card
from dualface_core.tables.layouts import Layout
from dualface_core.tables.tile_plan import TilePlan
from dualface_core.verification.card_fingerprints import CardFingerprints, made_fingerprint
from dualface_core.verification.fingerprints import (
    FingerprintWriter,
    RegionFingerprint,
    fingerprint,
    region_fingerprints,
)

_FRAMES_AHEAD: Final = 3
"""Frames that wait for the encoder, which takes some at once and others slowly."""

_FINGERPRINTS: Final = 2
"""Threads that take them: one takes as long for a frame of 1080p as NVENC does."""


def render_stream(
    video: VideoInfo,
    plan: TilePlan,
    path: Path,
    encoder: EncoderSpec,
    *,
    decode_threads: int = 0,
    compose_threads: int = 1,
    encode_threads: int = 0,
    card: Card | None = None,
    turns: Sequence[Span] = (),
    fingerprints: Path | None = None,
    spans: SpansWanted | None = None,
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
        card: what decodes and composes instead of the CPU.
        turns: spans that two decoders of the card take in turn; see `composed_on_card`.
        fingerprints: where every composed frame leaves its fingerprint, for the verification; None for nowhere.
        spans: spans that are wanted as files of their own while it is written; None for none.
        progress: called with the number of frames that have been handed to the encoder.

    Returns:
        Frames written.

    Raises:
        TableFormatError: the plan was made from another video.
        UnreadableVideoError: the source breaks off, or has other frames than when it was tracked.
        EncoderError, OutputError: as `VideoWriter` raises them.
        NotOnCardError, CudaError: the card cannot do it.
    """
    if plan.metadata.fingerprint != video.fingerprint:
        raise TableFormatError(
            video.path, "the plan was made from another video", action="Track and plan this video again."
        )
    canvas, last_pts, end = plan.layout, int(plan.pts[-1]), video.last_pts + video.last_duration
    frames_of: Generator[tuple[Surface | CudaSurface, int]] = (
        composed_frames(video, plan, threads=decode_threads, composers=compose_threads)
        if card is None
        else composed_on_card(
            video,
            plan.part(0, plan.frame_count),
            card,
            turns=turns,
            encoded_there=encoder.hardware,
            beside=card_fingerprints(plan.layout) if fingerprints else None,
        )
    )
    with (
        closing(frames_of) as composed,
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
            on_card=card is not None and encoder.hardware,
            audio_from=video.path,
            audio=video.audio,
            metadata=video.metadata,
            spans=spans,
        ) as writer,
    ):
        for surface, pts in frames:
            writer.encode(surface, pts, end - pts if pts == last_pts else None)
            if progress is not None:
                progress(writer.frames_written)
    return writer.frames_written


@dataclass(frozen=True)
class Rendered:
    """Frames written; and why the card did not do it with two decoders, or not at all, although it was to."""

    frames: int
    not_in_turn: str | None = None
    not_on_card: str | None = None


def render_on_card_or_not(
    video: VideoInfo,
    plan: TilePlan,
    path: Path,
    encoder: EncoderSpec,
    *,
    on_card: bool,
    turns: Sequence[Span] = (),
    **more: Any,
) -> Rendered:
    """Like `render_stream`, on the card of this process; if that gives up, from the start with one decoder less."""
    reasons: dict[str, str] = {}
    ways = {"not_in_turn": turns, "not_on_card": ()} if turns else {"not_on_card": ()}
    for name, spans in ways.items() if on_card else ():
        try:
            return Rendered(render_stream(video, plan, path, encoder, card=Card(), turns=spans, **more), **reasons)
        except CARD_FAILURES as error:
            reasons[name] = str(error)
    return Rendered(render_stream(video, plan, path, encoder, **more), **reasons)


def _fingerprinted(
    composed: Iterable[tuple[Surface | CudaSurface, int]], plan: TilePlan, path: Path | None
) -> Generator[tuple[Surface | CudaSurface, int]]:
    """The same frames; each leaves its fingerprint on the way: a card has made it, or a thread of its own takes it."""
    if path is None:
        yield from composed
        return
    parts = region_fingerprints(plan.layout)
    with FingerprintWriter(path, plan.layout) as writer, ThreadPoolExecutor(_FINGERPRINTS, "fingerprint") as threads:
        taken: deque[Future[NDArray[np.uint8]]] = deque()
        for surface, pts in composed:
            if isinstance(surface, CudaSurface):
                writer.write(surface_fingerprint(surface, parts))
            else:
                taken.append(threads.submit(surface_fingerprint, surface, parts))
            if len(taken) > _FRAMES_AHEAD:
                writer.write(taken.popleft().result())
            yield surface, pts
        for each in taken:
            writer.write(each.result())


def surface_fingerprint(surface: Surface | CudaSurface, parts: Sequence[RegionFingerprint]) -> NDArray[np.uint8]:
    """The fingerprint of a composed frame, (samples,) uint8: what a card has made, or it is taken of the planes."""
    if isinstance(surface, CudaSurface):
        return made_fingerprint(surface.beside, parts)
    return fingerprint(surface.planes, parts)


def card_fingerprints(layout: Layout) -> Callable[[Card], CardFingerprints]:
    """What a card makes of canvases of a layout besides, so that surfaces have fingerprints."""
    return partial(CardFingerprints, parts=region_fingerprints(layout))
