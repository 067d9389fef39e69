"""The pass in spans: each is decoded, composed and encoded for itself, and their packets are joined to one MP4.

Belongs here: how a video is split for it, what a worker does with a span, and putting the spans together. A worker has
one thread, which does everything to a frame before it takes the next, so that nothing is handed over and one surface
does for all frames. Only where a core has nothing to do, a second thread helps. What is kept of spans if the job is
killed is the business of `finished_spans`.
"""

from __future__ import annotations

import math
import shutil
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from contextlib import ExitStack, closing, nullcontext
from dataclasses import dataclass, replace
from itertools import chain, islice
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from dualface_core.compositing.composed import changed
from dualface_core.compositing.cpu import Compositor
from dualface_core.compositing.on_card import composed_on_card
from dualface_core.compositing.sampling import plan_axes
from dualface_core.encoding.settings import EncoderSpec, on_one_core
from dualface_core.engine.advance import advance
from dualface_core.engine.backend import composing_memory
from dualface_core.engine.card import GivenUp
from dualface_core.engine.cores import CoreBudget
from dualface_core.engine.prefetch import helped
from dualface_core.engine.spans import Span, spans
from dualface_core.engine.workers import Workers
from dualface_core.media.cuda_frames import CudaSurface
from dualface_core.media.encoder import Coding, Surface, library_versions
from dualface_core.media.joining import SpanEncoder, SpanJoiner, SpanPackets
from dualface_core.media.probe import VideoInfo
from dualface_core.media.reader import VideoReader
from dualface_core.media.writer import Carried
from dualface_core.rendering.finished_spans import FinishedSpan, Manifest, SpanPlace, take_stock
from dualface_core.rendering.stream import card_fingerprints, surface_fingerprint
from dualface_core.system.atomic_files import output_error
from dualface_core.system.cuda import card_of_process
from dualface_core.tables.layouts import Layout
from dualface_core.tables.tile_plan import PlanPart, TilePlan
from dualface_core.verification.fingerprints import FORM, FingerprintWriter, region_fingerprints

_CORES: Final = 16
"""Spans are as many as this or a multiple of it, so that so many cores have equally much to do; it is no core count of
this machine, since a result must not depend on that."""

_LONGEST: Final = 5.0
"""Seconds of a span: what a killed job loses of the work of each core."""

_SHORTEST: Final = 2.0
"""Seconds of a span: every one costs a key frame and a rate control that begins anew."""

_MOST_DECODED_TWICE: Final = 1.0
"""Of the video: so much may be decoded again to reach seams between key frames. Decoding is a fifth of the work or
less; a video whose only key frame is its first would be decoded many times over."""


_SPREAD: Final = 2
"""Spans for each core that are decoded one by one in the end, so that all cores end at about the same time."""


_THREADS_BY_CARD: Final = 3
_CORES_BY_CARD: Final = 2
"""Threads of the encoder of a span that a card draws, and cores that they keep busy: some encode while Python, whose
lock the others of the process want, too, hands over the next frame. So few spans at a time do for many cores."""

_FRAMES_AHEAD: Final = 2
"""Frames that wait for the encoder where a second thread draws them."""

_ASKED_EVERY: Final = 8
"""Frames after which such a thread asks again for a core."""


def rendering_spans(video: VideoInfo) -> list[Span]:
    """How a video is split for rendering: the same each time for the same file; see `engine.spans.spans`.

    At key frames alone, if that gives enough spans; otherwise between them, too, unless too much is decoded twice.
    """
    parts = _CORES * math.ceil(video.duration / (_CORES * _LONGEST))
    every = spans(video, seconds=max(_SHORTEST, video.duration / parts))
    if len(every) == 1:
        return every
    at_keys = [span for span in every if not span.to_reach]
    decoded_twice = sum(span.to_reach for span in every) * video.time_base
    if len(at_keys) < _CORES and decoded_twice <= _MOST_DECODED_TWICE * video.duration:
        return every
    stops = [*((span.first, span.first_pts) for span in at_keys[1:]), (video.frame_count, None)]
    return [replace(span, stop=stop, stop_pts=pts) for span, (stop, pts) in zip(at_keys, stops, strict=True)]


def decoded_at_once(parts: Sequence[Span], left: Sequence[int], cores: int) -> Iterator[list[int]]:
    """The numbers of the spans that are left to do, in order, each with those after it that are to be decoded with it.

    A span that begins between key frames is decoded with the one before it, so that what leads to it is not decoded
    twice. But not near the end, where all cores are to find enough to do.
    """
    at_once: list[int] = []
    for place, number in enumerate(left):
        goes_on = at_once and number == at_once[-1] + 1 and parts[number].to_reach
        if at_once and not (goes_on and len(left) - place > _SPREAD * cores):
            yield at_once
            at_once = []
        at_once.append(number)
    if at_once:
        yield at_once


@dataclass(frozen=True)
class SpansTask:
    """Spans to render, one after the other, so that what leads to the first is decoded once for all.

    Attributes:
        video: the source.
        spans: which frames of it; each begins where the one before ends.
        plan: what is shown in them.
        on_card: whether a card decodes and composes.
        coding: what encodes.
        places: where the files of each go.
        fingerprints: whether the frames leave their fingerprints.
        budget: whose cores a second thread may take; None if there is to be none, since other tasks wait for a core.
    """

    video: VideoInfo
    spans: Sequence[Span]
    plan: PlanPart
    on_card: bool
    coding: Coding
    places: Sequence[SpanPlace]
    fingerprints: bool
    budget: CoreBudget | None = None


def render_spans(task: SpansTask) -> list[FinishedSpan]:
    """Decode, compose and encode spans, in this thread alone, or with another one, or with a card.

    Raises UnreadableVideoError if the source has other frames than when it was tracked; EncoderError, OutputError;
    CudaError, NotOnCardError.
    """
    first, last = task.spans[0], task.spans[-1]
    span = replace(first, stop=last.stop, stop_pts=last.stop_pts)
    with ExitStack() as stack:
        if task.on_card:
            beside = card_fingerprints(task.plan.layout) if task.fingerprints else None
            card = card_of_process()
            drawn = composed_on_card(task.video, task.plan, card, span=span, encoded_there=False, beside=beside)
            surfaces: Iterator[tuple[Surface | CudaSurface, int]] = stack.enter_context(closing(drawn))
        else:
            turn = _blank(task.plan.layout, 1)
            alone = _drawn(task.video, task.plan, span, turn)
            frames = alone if task.budget is None else _helped(alone, turn, task.plan, task.budget)
            surfaces = stack.enter_context(closing(frames))
        finished = [
            _encoded(islice(surfaces, part.stop - part.first), task, place)
            for part, place in zip(task.spans, task.places, strict=True)
        ]
        assert next(surfaces, None) is None, "what draws a span ends with it, or raises"
    return finished


def _encoded(surfaces: Iterator[tuple[Surface | CudaSurface, int]], task: SpansTask, place: SpanPlace) -> FinishedSpan:
    """Encode one span."""
    packets, parts = place.draft(".packets"), region_fingerprints(task.plan.layout)
    fingerprints = place.draft(".fingerprints") if task.fingerprints else None
    with (
        SpanEncoder(packets, task.coding) as encoder,
        FingerprintWriter(fingerprints, task.plan.layout) if fingerprints else nullcontext() as prints,
    ):
        for surface, pts in surfaces:
            if prints is not None:
                prints.write(surface_fingerprint(surface, parts))
            encoder.encode(surface, pts)
            advance(1)
        encoded = encoder.finish()
    return place.finish(encoded, packets, fingerprints)


def _blank(layout: Layout, number: int) -> list[Surface]:
    return [Surface.blank(layout.width, layout.height) for _ in range(number)]


def _helped(
    drawn: Generator[tuple[Surface, int]], turn: list[Surface], plan: PlanPart, budget: CoreBudget
) -> Generator[tuple[Surface, int]]:
    """The same frames, by a second thread once a core is free. `turn` are the surfaces that they are drawn on."""

    def add_surfaces() -> None:
        turn.extend(_blank(plan.layout, _FRAMES_AHEAD + 1))

    count = len(plan.pts)
    return helped(drawn, budget, count=count, depth=_FRAMES_AHEAD, every=_ASKED_EVERY, beginning=add_surfaces)


def _drawn(video: VideoInfo, plan: PlanPart, span: Span, turn: list[Surface]) -> Generator[tuple[Surface, int]]:
    """The frames of a span, on surfaces in turn: each stays as it is until all others have been drawn on."""
    times, done = plan.pts.tolist(), 0
    compositor = Compositor(plan.layout, video.width, video.height)
    axes: NDArray[np.void] | None = None
    with VideoReader(video, threads=1, span=span) as reader:
        for frame in reader:
            if done == len(times) or frame.pts != times[done]:
                raise changed(video, frame.index)
            if axes is None:  # of all frames at once, which takes a tenth of the time of one after the other
                axes = plan_axes(plan.tiles, plan.crop_windows.astype(np.float64), frame.siting)
            surface = turn[done % len(turn)]
            compositor.compose(frame, plan.frame(frame.index), surface.planes, axes=axes[done])
            yield surface, frame.pts
            done += 1
    if done != len(times):
        raise changed(video, span.first + done)


@dataclass(frozen=True)
class SpansRendered:
    """How many spans a video was made of, how many of them a killed job had left or a card gave up, and why it did."""

    spans: int
    found: int
    given_up: int = 0
    why: str = ""


def _without_card(task: SpansTask) -> SpansTask:
    return replace(task, on_card=False)


def render_in_spans(
    video: VideoInfo,
    plan: TilePlan,
    path: Path,
    encoder: EncoderSpec,
    parts: list[Span],
    *,
    on_card: bool,
    folder: Path,
    workers: Workers,
    fingerprints: Path | None = None,
    encoded: Callable[[SpanPackets], None] | None = None,
    progress: Callable[[int], None] | None = None,
) -> SpansRendered:
    """Render a plan into a file, span by span.

    Args:
        video: the source.
        plan: what each tile shows in each frame.
        path: where to write; the caller publishes it.
        encoder: what encodes.
        parts: the spans.
        on_card: whether a card decodes and composes, in the workers' processes for it, which encode, too. What it gives
            up the processor does.
        folder: a kept folder that is this process's: what is in it of the same job is used and not made again.
        workers: do the spans.
        fingerprints: where every composed frame leaves its fingerprint, for the verification; None for nowhere.
        encoded: called with each span as soon as it is, in any order and thread; with a card, in order.
        progress: called with the number of frames that are encoded.

    Raises:
        UnjoinableSpansError: the encoder does not code spans alike.
        UnreadableVideoError: the source breaks off, or has other frames than when it was tracked.
        EncoderError, OutputError, NativeCrashError, MachineError: as `VideoWriter` and `Workers` raise them.
    """
    from dualface_core.rendering.report import versions  # with Arrow and NVML, which who only encodes does not need

    canvas = plan.layout
    if parts[-1].stop != plan.frame_count:
        raise changed(video, min(parts[-1].stop, plan.frame_count))
    coding = Coding(
        on_one_core(encoder),
        canvas.width,
        canvas.height,
        video.time_base,
        video.average_rate,
        video.color,
        threads=_THREADS_BY_CARD if on_card else 1,
    )
    manifest = Manifest(
        source=video.fingerprint,
        plan=plan.sha256,
        coding=coding,
        spans=parts,
        fingerprints=None if fingerprints is None else FORM,
        on_card=on_card,
        versions=versions() | library_versions(),
    )
    places, finished = take_stock(folder, manifest)
    there = sum(parts[number].stop - parts[number].first for number in finished)
    left = [place.number for place in places if place.number not in finished]
    together = list(decoded_at_once(parts, left, workers.most))
    tasks = [
        SpansTask(
            video=video,
            spans=[parts[number] for number in numbers],
            plan=plan.part(parts[numbers[0]].first, parts[numbers[-1]].stop),
            on_card=on_card,
            coding=coding,
            places=[places[number] for number in numbers],
            fingerprints=fingerprints is not None,
            budget=workers.budget if len(together) - place < workers.most else None,
        )
        for place, numbers in enumerate(together)
    ]
    given_up: list[GivenUp[SpansTask]] = []

    def told(done: int) -> None:
        if progress is not None:
            progress(there + done)

    end, carried = video.last_pts + video.last_duration, Carried(video.path, video.audio, video.metadata)

    def there_are(spans: Iterable[FinishedSpan]) -> None:
        if encoded is not None:
            for span in spans:
                encoded(SpanPackets(span.encoded, span.packets, coding))

    if not on_card:
        there_are(finished.values())
    rendered = (
        workers.map_on_card(
            render_spans,
            tasks,
            memory=composing_memory(video, canvas),
            without_card=_without_card,
            cores=_CORES_BY_CARD,
            given_up=given_up.append,
            progress=told,
            about=video.path,
        )
        if on_card
        else workers.map(render_spans, tasks, progress=told, as_done=there_are, cores_each=2, about=video.path)
    )
    with (
        closing(rendered) as made,
        SpanJoiner(path, coding, carried, pts=plan.pts, end=end) as joiner,
    ):
        told(0)
        in_order = chain.from_iterable(made)
        for place in places:
            span = finished.get(place.number) or next(in_order)
            if on_card:
                there_are([span])
            joiner.add(span.encoded, span.packets)
            if fingerprints and span.fingerprints:
                _append(span.fingerprints, fingerprints, place.number)
    lost = sum(len(task.spans) for part in given_up for task in part.tasks)
    return SpansRendered(len(parts), len(finished), lost, str(given_up[0].why) if given_up else "")


def _append(part: Path, whole: Path, number: int) -> None:
    try:
        with part.open("rb") as read, whole.open("ab" if number else "wb") as write:
            shutil.copyfileobj(read, write)
    except OSError as error:
        raise output_error(whole, error) from error
