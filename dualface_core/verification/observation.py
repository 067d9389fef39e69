"""What is measured of the frames of a result and of its source, one by one: a part of either may be looked at anywhere.

Belongs here: the tasks that verification is made of, and what each gives. They know no state, so that they may run side
by side, each on a span of the result or on some frames of the source. What follows from it is decided in `verify`, in
the frames' order.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass, replace
from fractions import Fraction
from itertools import islice
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from dualface_core.compositing.composed import changed
from dualface_core.compositing.cpu import Compositor
from dualface_core.engine.advance import advance
from dualface_core.engine.cores import CoreBudget
from dualface_core.engine.prefetch import helped
from dualface_core.faces.detector import FaceDetector
from dualface_core.faces.embedder import FaceEmbedder
from dualface_core.media.cuda_frames import Canvas, CudaFrame, Downloads, card_readers, in_flight
from dualface_core.media.frames import Frame
from dualface_core.media.probe import VideoInfo
from dualface_core.media.reader import VideoReader
from dualface_core.media.spans import Span
from dualface_core.system.cuda import card_of_process
from dualface_core.tables.labels import Person
from dualface_core.tables.layouts import Layout
from dualface_core.tables.tile_plan import FramePlan
from dualface_core.verification.canvas import CanvasShown, Sides, bars, canvas_shown
from dualface_core.verification.card_fingerprints import CardFingerprints, made_fingerprint
from dualface_core.verification.expected import (
    ComposedTile,
    Sample,
    Source,
    composed_tiles,
    shown_tile,
    source_frames,
    tile_frame,
)
from dualface_core.verification.findings import Finding
from dualface_core.verification.fingerprints import fingerprint, region_fingerprints
from dualface_core.verification.identity import Face, FacesShown, FacesWanted, faces_in_tiles, faces_of_source
from dualface_core.verification.streams import audio_findings

_AT_ONCE: Final = 16
"""Frames of a result that are given at once."""

_FRAMES_AHEAD: Final = 2
"""Frames that wait to be looked at where a second thread decodes."""

_ASKED_EVERY: Final = 24
"""Frames after which such a thread asks again for a core. Rendering does so about as often, and comes first."""


@dataclass(frozen=True)
class AudioTask:
    """Compare the audio of a result with that of its source."""

    result: VideoInfo
    source: VideoInfo


@dataclass(frozen=True)
class AudioSeen:
    """What is to be said of the audio."""

    findings: tuple[Finding, ...]


@dataclass(frozen=True)
class SourceTask:
    """Look at some frames of the source, and at what the compositor makes of them.

    Attributes:
        video: the source.
        layout: the canvas.
        samples: the frames, in order.
        faces: whose faces are in them, by number.
        detector: the weights of the detector.
    """

    video: VideoInfo
    layout: Layout
    samples: tuple[Sample, ...]
    faces: Mapping[int, FacesWanted]
    detector: Path | None


@dataclass(frozen=True)
class SourceSeen:
    """What was measured of a frame of the source.

    Attributes:
        number: of the frame in the plan.
        tiles: by slot, as they were composed.
        fingerprint: of the composed frame.
        faces: of known people.
        bars: the black lines around the picture; None where all of it is black.
    """

    number: int
    tiles: Mapping[int, ComposedTile]
    fingerprint: NDArray[np.uint8]
    faces: Mapping[Person, Face]
    bars: Sides | None


@dataclass(frozen=True)
class Wanted:
    """What is to be seen in a span of the result.

    Attributes:
        layout: the canvas.
        first: the number in the plan of the first of `planned`.
        planned: when frames of the plan are shown, in seconds: those among which are the ones nearest to the span's.
        shown: what the plan shows in the frames that are looked at more closely, by their numbers in the plan.
        compared: those of them that are compared with the source.
        faces: those of them in which faces are looked for.
        detector: the weights of the detector.
        embedder: the weights of the embedder.
    """

    layout: Layout
    first: int
    planned: Sequence[Fraction]
    shown: Mapping[int, FramePlan]
    compared: frozenset[int]
    faces: Mapping[int, FacesWanted]
    detector: Path | None
    embedder: Path | None


@dataclass(frozen=True)
class ResultTask:
    """Look at a span of the result.

    Attributes:
        result: the result.
        span: which frames of it; None for all.
        wanted: what is to be seen in it.
        on_card: whether a CUDA card decodes it.
        budget: whose cores a second thread may take, which decodes; None if there is to be none.
    """

    result: VideoInfo
    span: Span | None
    wanted: Wanted
    on_card: bool = False
    budget: CoreBudget | None = None


@dataclass(frozen=True)
class SampleSeen:
    """What was measured of a frame of the result that was looked at more closely.

    Attributes:
        number: of the frame in the plan.
        time: when it is shown, in seconds.
        tiles: by slot, the luma at half size of those that are drawn; none where it is not compared with the source.
        canvas: what is beside the tiles; None likewise.
        faces: those that are in the tiles; None where none are looked for.
    """

    number: int
    time: float
    tiles: Mapping[int, NDArray[np.uint8]]
    canvas: CanvasShown | None
    faces: FacesShown | None


@dataclass(frozen=True)
class ResultSeen:
    """What was measured of some frames of the result, one after the other.

    Attributes:
        numbers: those of the frames of the plan that are nearest in time.
        pts: when each is shown.
        fingerprints: (frames, samples) uint8.
        samples: the sampled ones.
    """

    numbers: tuple[int, ...]
    pts: tuple[int, ...]
    fingerprints: NDArray[np.uint8]
    samples: tuple[SampleSeen, ...]


@dataclass(frozen=True)
class ComposedTask:
    """Compose a span of the source anew.

    Attributes:
        video: the source.
        span: which frames of it.
        layout: the canvas.
        pts: of these frames.
        shown: what the plan shows in them.
    """

    video: VideoInfo
    span: Span
    layout: Layout
    pts: Sequence[int]
    shown: Sequence[FramePlan]


def without_card(task: Task) -> Task:
    """The same, with nothing done on a card."""
    return replace(task, on_card=False) if isinstance(task, ResultTask) else task


Task = AudioTask | SourceTask | ResultTask
Seen = AudioSeen | SourceSeen | ResultSeen


def observed(task: Task) -> list[Seen]:
    """All that is seen in a task, whose span is short.

    Raises UnreadableVideoError where a file cannot be read; on a card, one of `CARD_FAILURES` where it gives up.
    """
    if isinstance(task, ResultTask) and task.on_card:
        return [*_put_together(_on_card(task))]
    return list(observations(task, threads=1))


def observations(task: Task, *, threads: int = 0) -> Iterator[Seen]:
    """What is seen in a task, as it goes on; `threads` are those of the decoder, 0 for one per core."""
    match task:
        case AudioTask():
            yield AudioSeen(tuple(audio_findings(task.result, task.source)))
        case SourceTask():
            yield from _of_source(task, threads)
        case ResultTask():
            yield from _of_result(task, threads)


def composed_fingerprints(task: ComposedTask) -> NDArray[np.uint8]:
    """The fingerprints of a span as it should be: (frames, samples) uint8.

    Raises UnreadableVideoError if the source has other frames than when it was tracked.
    """
    compositor = Compositor(task.layout, task.video.width, task.video.height)
    parts = region_fingerprints(task.layout)
    fingerprints: list[NDArray[np.uint8]] = []
    with VideoReader(task.video, threads=1, span=task.span) as reader:
        for place, frame in enumerate(reader):
            if place == len(task.pts) or frame.pts != task.pts[place]:
                raise changed(task.video, frame.index)
            fingerprints.append(fingerprint(compositor.compose(frame, task.shown[place]), parts))
            advance(1)
    return np.stack(fingerprints)


def _of_source(task: SourceTask, threads: int) -> Iterator[SourceSeen]:
    detector, source = FaceDetector(task.detector), Source(task.video, task.layout)
    parts = region_fingerprints(task.layout)
    for sample, frame in source_frames(task.video, task.samples, threads=threads):
        canvas = source.composed(frame, sample.shown)
        yield SourceSeen(
            sample.number,
            composed_tiles(source, sample, frame, canvas),
            fingerprint(canvas, parts),
            faces_of_source(task.faces[sample.number], frame, detector),
            bars(frame),
        )
        advance(0)


def faces_of(task: SourceTask) -> list[dict[Person, Face]]:
    """The faces of known people in some frames of the source, and nothing else of them."""
    detector = FaceDetector(task.detector)
    return [
        faces_of_source(task.faces[sample.number], frame, detector)
        for sample, frame in source_frames(task.video, task.samples)
    ]


_Looked = tuple[int, int, NDArray[np.uint8], SampleSeen | None]
"""Of a frame of the result: its number in the plan, its pts, its fingerprint, and what is seen more closely."""


def _of_result(task: ResultTask, threads: int) -> Iterator[ResultSeen]:
    detector, parts = FaceDetector(task.wanted.detector), region_fingerprints(task.wanted.layout)
    with VideoReader(task.result, threads=threads, span=task.span) as reader, ExitStack() as stack:
        frames = iter(reader)
        if task.budget is not None:
            alone, span = (frame for frame in reader), task.span
            count = task.result.frame_count if span is None else span.stop - span.first
            ahead = helped(alone, task.budget, count=count, depth=_FRAMES_AHEAD, every=_ASKED_EVERY)
            frames = stack.enter_context(closing(ahead))
        yield from _put_together(
            _looked_at(task, detector, _number(task, frame.pts), frame.pts, fingerprint(frame.planes, parts), frame)
            for frame in frames
        )


def _put_together(looked_at: Iterator[_Looked]) -> Iterator[ResultSeen]:
    while taken := list(islice(looked_at, _AT_ONCE)):
        numbers, pts, fingerprints, samples = zip(*taken, strict=True)
        yield ResultSeen(numbers, pts, np.stack(fingerprints), tuple(each for each in samples if each is not None))


def _on_card(task: ResultTask) -> Iterator[_Looked]:
    """Of every frame the card makes the fingerprint; only those that are looked at come back whole."""
    card = card_of_process()
    card.enter()
    detector, parts = FaceDetector(task.wanted.detector), region_fingerprints(task.wanted.layout)
    prints, downloads = CardFingerprints(card, parts), Downloads(card, task.result)
    unused: list[NDArray[np.uint8]] = []

    def started(frame: CudaFrame) -> tuple[CudaFrame, int, NDArray[np.uint8], Frame | None]:
        made = unused.pop() if unused else card.locked(prints.size)
        prints.start(Canvas.of(frame), made)
        number = _number(task, frame.pts)
        return frame, number, made, downloads.start(frame) if number in task.wanted.shown else None

    whole = Span(0, task.result.frame_count, task.result.first_pts, None)
    with card_readers().of(task.result, task.span or whole, keep=task.span is not None) as reader:
        for decoded, number, made, copied in in_flight(card, map(started, reader.frames())):
            taken = made_fingerprint(made, parts)
            unused.append(made)
            yield _looked_at(task, detector, number, decoded.pts, taken, copied)


def _looked_at(
    task: ResultTask, detector: FaceDetector, number: int, pts: int, taken: NDArray[np.uint8], frame: Frame | None
) -> _Looked:
    """What is seen of a frame, which may be missing where it is not looked at more closely."""
    wanted = task.wanted
    sample = _sample(wanted, detector, number, frame) if number in wanted.shown and frame is not None else None
    advance(1)
    return number, pts, taken, sample


def _number(task: ResultTask, pts: int) -> int:
    """The number in the plan of the frame that is nearest in time."""
    return task.wanted.first + _nearest(task.wanted.planned, pts * task.result.time_base)


def _sample(wanted: Wanted, detector: FaceDetector, number: int, frame: Frame) -> SampleSeen:
    places = wanted.shown[number].tiles
    tiles = [tile_frame(frame.planes, place, frame.color) if place[2] else None for place in places]
    compared, faces = number in wanted.compared, wanted.faces.get(number)
    return SampleSeen(
        number,
        frame.time,
        {slot: shown_tile(tile) for slot, tile in enumerate(tiles) if compared and tile is not None},
        canvas_shown(frame, places, wanted.layout.background) if compared else None,
        None if faces is None else faces_in_tiles(faces, tiles, detector, FaceEmbedder(wanted.embedder)),
    )


def _nearest(planned: Sequence[Fraction], time: Fraction) -> int:
    """The place of the planned time that is nearest, so that a lost frame doesn't put off all that follow."""
    after = bisect_left(planned, time)
    return min((n for n in (after - 1, after) if 0 <= n < len(planned)), key=lambda n: abs(planned[n] - time))
