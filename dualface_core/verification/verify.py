"""Decodes a result again, from the first frame to the last, and says whether it is right.

Belongs here: the order of the checks; each has a module beside this one. What they are told is measured frame by frame
(`observation`), side by side where there are workers, and taken in the frames' order. The one idea: nothing that an
encoder says about its work counts, only what can be read back. Importing this module is cheap.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, nullcontext
from fractions import Fraction
from functools import partial
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Final

from dualface_core.errors import InputError
from dualface_core.verification.findings import Check, Finding, Verification

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from dualface_core.engine.cores import CoreBudget
    from dualface_core.engine.workers import Workers
    from dualface_core.media.probe import VideoInfo
    from dualface_core.media.spans import Span
    from dualface_core.settings import Settings
    from dualface_core.tables.face_tracks import FaceTracks
    from dualface_core.tables.tile_plan import TilePlan
    from dualface_core.verification.ahead import Ahead
    from dualface_core.verification.observation import ResultSeen, ResultTask, Seen, SourceSeen, Task
    from dualface_core.verification.samples import Samples

__all__ = ["Check", "Finding", "Verification", "verify_output"]

_ROUNDS_AHEAD: Final = 3
"""Times as many spans as a card looks at at once that it may be ahead of what is taken: for seconds, nothing is, until
the source has been looked at. What is seen of a span takes a megabyte or less."""

_SPAN_SECONDS: Final = (2.0, 3.0, 4.5, 6.0)
"""Seconds of a result that are looked at in one task, at the least: the first of these with which all seams are at key
frames, as those of spans are; or the last. Encoders that are left alone set a key frame every 250 frames."""


def verify_output(
    output: Path,
    *,
    video: VideoInfo,
    tracks: FaceTracks,
    plan: TilePlan,
    settings: Settings,
    fingerprints: Path | None = None,
    ahead: Ahead | None = None,
    probed: Callable[[VideoInfo], None] = lambda _: None,
    workers: Workers | None = None,
    suits_card: Callable[[VideoInfo], bool] = lambda _: False,
    progress: Callable[[int, int], None] | None = None,
) -> Verification:
    """Say whether a result is what the plan makes of the source.

    The result is decoded once in full, and every frame of it is compared with the fingerprint that the composed frame
    left. Of the source, only frames that are cheap to reach are decoded; without fingerprints it is decoded in full and
    composed anew. Memory does not grow with the length. The findings are the same whatever does the work.

    Args:
        output: the result.
        video: the source.
        tracks: who is where in it.
        plan: what each tile shows.
        settings: where the model files are.
        fingerprints: those that the composed frames left when the result was rendered; None to compose them anew.
        ahead: what was seen of the spans that the result should be made of; it counts where it is proven that the
            result has them. None if nothing was.
        probed: called with what the result is, where it can be read at all.
        workers: look at spans of the result, and at the source, side by side, where it can be split; None for one
            pass in this process.
        suits_card: whether processes for a card may decode the result, once it is known what it is.
        progress: called every few frames with the frames done and those in all.

    Returns:
        Findings, each with a figure. Where the result cannot be read to its end, that is the only one.

    Raises:
        UnreadableVideoError: the source cannot be read.
        MissingInputError, TableFormatError: the fingerprints are gone, or not those of this plan.
        ModelError: a model file is missing or wrong.
        Nothing for a wrong result: that is a finding.
    """
    from dualface_core.media.probe import probe
    from dualface_core.verification.samples import Samples
    from dualface_core.verification.streams import (
        audio_findings,
        metadata_finding,
        stream_findings,
        timing_findings,
    )

    layout = plan.layout
    progress = progress and _forward(progress)
    ahead = ahead if ahead and ahead.has_spans else None
    samples = Samples(video, tracks, plan, settings) if ahead is None else ahead.samples
    try:
        with nullcontext(ahead.of_source()) if ahead else _observed_by(workers, samples) as of_source:
            result = probe(output, settings.limits)
            probed(result)
            streams = list(stream_findings(result, video, layout))
            metadata = metadata_finding(result, video)
            if (result.width, result.height) != (layout.width, layout.height):
                # No tile is where it should be, so nothing can be said about tiles.
                return Verification(findings=[*streams, *audio_findings(result, video), metadata])
            with _composed(video, plan, fingerprints, workers) as composed:
                checks = partial(
                    _Checks, result, samples, tracks, plan, composed, settings, workers, suits_card(result)
                )
                seen = _looked_at(checks, output, workers, of_source, ahead, progress)
    except InputError as error:
        if Path(error.path) != output:
            raise
        return Verification(findings=[_readable(passed=False, value=None, message=str(error))])
    message = f"All {len(seen.shown)} frames of the result could be decoded."
    if lost := sum(end - begin for begin, end in tracks.metadata.lost):
        message += f" Those of {lost:.2f} s are held ones, as the source is damaged there."
    readable = _readable(passed=True, value=len(seen.shown), message=message)
    timing = timing_findings(seen.shown, samples.planned)
    return Verification(findings=[readable, *timing, *streams, *seen.audio, metadata, *seen.findings()])


def _forward(progress: Callable[[int, int], None]) -> Callable[[int, int], None]:
    """The same, told of no fewer frames than before where it begins anew."""
    most = 0

    def told(done: int, total: int) -> None:
        nonlocal most
        most = max(most, done)
        progress(most, total)

    return told


def _looked_at(
    checks: Callable[[], _Checks],
    output: Path,
    workers: Workers | None,
    of_source: Iterator[list[Seen]] | None,
    ahead: Ahead | None,
    progress: Callable[[int, int], None] | None,
) -> _Checks:
    """Let checks take all that is seen. Of a result that cannot be read in spans, one pass says what is wrong."""
    from dualface_core.verification.ahead import NotSeenError

    if workers is not None and of_source is not None:
        try:
            if ahead is not None:
                try:
                    early = checks()
                    early.take_ahead(workers, ahead, progress)
                except NotSeenError:
                    of_source = ahead.of_source()
                else:
                    return early
            spread = checks()
            if not spread.look_in_spans(workers, of_source, progress):
                spread.look_in_one_pass(of_source, progress)
        except InputError as error:
            if Path(error.path) != output:
                raise
        else:
            return spread
    whole = checks()
    whole.look_in_one_pass(None, progress)
    return whole


@contextmanager
def _observed_by(workers: Workers | None, samples: Samples) -> Iterator[Iterator[list[Seen]] | None]:
    """What is seen in the samples by workers, which begin now; None without them."""
    from dualface_core.engine.prefetch import prefetch
    from dualface_core.verification.observation import observed

    if workers is None or workers.most == 1:
        yield None
        return
    tasks = samples.of_source(split=len(_spans(samples.video)) > 1)
    with prefetch(workers.map(observed, tasks, about=samples.video.path), depth=max(1, len(tasks))) as seen:
        yield seen


@contextmanager
def _composed(
    video: VideoInfo, plan: TilePlan, fingerprints: Path | None, workers: Workers | None
) -> Iterator[NDArray[np.uint8]]:
    """The fingerprints of all composed frames: (frames, samples)."""
    from dualface_core.verification.fingerprints import read_fingerprints

    with ExitStack() as stack:
        if fingerprints is None:
            fingerprints = Path(stack.enter_context(tempfile.TemporaryDirectory())) / "fingerprints"
            _compose_anew(video, plan, fingerprints, workers)
        yield read_fingerprints(fingerprints, plan.layout, plan.metadata.frame_count)


def _compose_anew(video: VideoInfo, plan: TilePlan, path: Path, workers: Workers | None) -> None:
    """Leave the fingerprints of all frames that the plan makes of the source, in spans where there are workers."""
    from dualface_core.compositing.composed import composed_frames
    from dualface_core.verification.fingerprints import FingerprintWriter
    from dualface_core.verification.observation import ComposedTask, composed_fingerprints

    parts = _spans(video) if workers is not None and workers.most > 1 else []
    with FingerprintWriter(path, plan.layout) as writer:
        if workers is None or len(parts) < 2:
            for surface, _ in composed_frames(video, plan):
                writer.add(surface.planes)
            return
        tasks = (
            ComposedTask(
                video,
                span,
                plan.layout,
                plan.pts[span.first : span.stop].tolist(),
                [plan.frame(number) for number in range(span.first, span.stop)],
            )
            for span in parts
        )
        for composed in workers.map(composed_fingerprints, tasks, about=video.path):
            writer.write(composed)


def _spans(video: VideoInfo) -> list[Span]:
    """How a video is split, so that little is decoded twice."""
    from dualface_core.engine.spans import spans

    found: list[Span] = []
    for seconds in _SPAN_SECONDS:
        found = spans(video, seconds=seconds)
        if not any(span.to_reach for span in found):
            break
    return found


class _Checks:
    """All that is checked of the frames of a result, and of its audio.

    Attributes:
        shown: when each frame is shown, in seconds.
        audio: what is found of the audio.
    """

    def __init__(
        self,
        result: VideoInfo,
        samples: Samples,
        tracks: FaceTracks,
        plan: TilePlan,
        composed: NDArray[np.uint8],
        settings: Settings,
        workers: Workers | None,
        on_card: bool,
    ) -> None:
        from dualface_core.faces.embedding import embed
        from dualface_core.verification.canvas import CanvasCheck
        from dualface_core.verification.comparison import RegionComparison
        from dualface_core.verification.expected import CropCheck
        from dualface_core.verification.fingerprints import region_fingerprints
        from dualface_core.verification.identity import IdentityCheck

        self._result, self._samples = result, samples
        self._workers = workers
        self._on_card = on_card
        self._people = IdentityCheck(tracks, plan, partial(embed, workers, weights=settings.embedder_weights))
        self._canvas = CanvasCheck(tracks, plan)
        times = [*map(float, samples.planned), float(result.first_pts * result.time_base) + result.duration]
        parts = region_fingerprints(plan.layout)
        self._crops = [CropCheck(tile.subject, parts, composed, times) for tile in plan.layout.tiles]
        self._comparisons = [RegionComparison(part, composed, times, result.color) for part in parts]
        self.shown: list[Fraction] = []
        self.audio: Sequence[Finding] = ()

    def take_ahead(self, workers: Workers, ahead: Ahead, progress: Callable[[int, int], None] | None) -> None:
        """Take what was seen ahead. Raises NotSeenError where that is not what the result is made of."""
        from dualface_core.engine.prefetch import prefetch
        from dualface_core.verification.ahead import given_to_decoder
        from dualface_core.verification.observation import AudioTask, observed

        audio, about = [AudioTask(self._result, self._samples.video)], self._result.path
        with (
            prefetch(workers.map(given_to_decoder, [self._result], about=about), depth=1) as given,
            prefetch(workers.map(observed, audio, about=about), depth=1) as of_audio,
        ):
            for seen in ahead.of_source():
                self._take(seen)
            packets = map(bytes, chain.from_iterable(given))
            for seen_ahead in ahead.of_result(self._result, packets):
                self._take(seen_ahead)
                if progress is not None:
                    progress(len(self.shown), len(self._samples.planned))
            for seen in of_audio:
                self._take(seen)

    def look_in_spans(
        self, workers: Workers, of_source: Iterator[list[Seen]], progress: Callable[[int, int], None] | None
    ) -> bool:
        """Take all that is seen, of the source and side by side, where the result can be split; False where not."""
        from dualface_core.engine.backend import decoder_memory
        from dualface_core.engine.prefetch import prefetch
        from dualface_core.engine.spans import spans
        from dualface_core.verification.observation import AudioTask, observed, without_card

        card = workers.card if self._on_card else None
        if card is None:
            parts = _spans(self._result)
        else:
            of_each = self._result.duration / card.at_once
            parts = spans(self._result, seconds=min(max(_SPAN_SECONDS[0], of_each), _SPAN_SECONDS[-1]))
        if len(parts) < 2:
            return False
        told = None if progress is None else lambda done: progress(done, len(self._samples.planned))
        about = self._result.path
        audio: list[Task] = [AudioTask(self._result, self._samples.video)]
        of_result: Iterator[Task] = (
            self._result_task(part, workers.budget if len(parts) - place < workers.most else None)
            for place, part in enumerate(parts)
        )
        if card is not None:  # which looks at the result while the processor looks at the source
            there = workers.map_on_card(
                observed,
                list(of_result),
                memory=decoder_memory(self._result),
                without_card=without_card,
                progress=told,
                about=about,
            )
            with prefetch(there, depth=_ROUNDS_AHEAD * card.at_once) as seen_there:
                for seen in chain(of_source, workers.map(observed, audio, about=about), seen_there):
                    self._take(seen)
        else:
            there = workers.map(observed, chain(audio, of_result), progress=told, about=about)
            for seen in chain(of_source, there):
                self._take(seen)
        return True

    def look_in_one_pass(
        self, of_source: Iterator[list[Seen]] | None, progress: Callable[[int, int], None] | None
    ) -> None:
        """Take all that is seen, in this process; of the source what others see, if they do."""
        from dualface_core.verification.observation import AudioTask, observations

        here: list[Task] = [AudioTask(self._result, self._samples.video), self._result_task(None)]
        if of_source is None:
            here[:0] = self._samples.of_source(split=False)
        for taken in of_source or ():
            self._take(taken)
        for seen in chain.from_iterable(map(observations, here)):
            self._take([seen])
            if progress is not None and self.shown:
                progress(len(self.shown), len(self._samples.planned))

    def _result_task(self, span: Span | None, budget: CoreBudget | None = None) -> ResultTask:
        from dualface_core.verification.observation import ResultTask

        begin, stop = (None, None) if span is None else (span.first_pts, span.stop_pts)
        unit = self._result.time_base
        wanted = self._samples.wanted(None if begin is None else begin * unit, None if stop is None else stop * unit)
        return ResultTask(self._result, span, wanted, self._on_card, budget)

    def _take(self, seen: Sequence[Seen]) -> None:
        """Take what was seen, in the order of the tasks."""
        from dualface_core.verification.observation import AudioSeen, ResultSeen, SourceSeen

        for each in seen:
            match each:
                case AudioSeen():
                    self.audio = each.findings
                case SourceSeen():
                    self._learn(each)
                case ResultSeen():
                    if not self.shown:
                        self._know_people()
                    self._look(each)

    def _learn(self, seen: SourceSeen) -> None:
        for slot, tile in seen.tiles.items():
            self._crops[slot].learn(seen.number, tile, seen.fingerprint)
        self._people.learn(seen.faces)
        self._canvas.learn(seen.number, seen.bars)

    def _know_people(self) -> None:
        """Fetch more faces of those of whom too few are known; then the people are."""
        from dualface_core.verification.observation import faces_of

        unknown = self._people.unknown()
        tasks = [self._samples.task(numbers) for numbers in unknown.values()]
        found = map(faces_of, tasks) if self._workers is None else self._workers.map(faces_of, tasks)
        for person, frames in zip(unknown, found, strict=True):
            for faces in frames:
                self._people.learn({person: faces[person]} if person in faces else {})
        self._people.finish_learning()

    def _look(self, seen: ResultSeen) -> None:
        shown = [pts * self._result.time_base for pts in seen.pts]
        self.shown += shown
        times = list(map(float, shown))
        for comparison in self._comparisons:
            for number, time, fingerprint in zip(seen.numbers, times, seen.fingerprints, strict=True):
                comparison.look(number, time, fingerprint)
        for sample in seen.samples:
            for slot, tile in sample.tiles.items():
                self._crops[slot].look(sample.number, sample.time, tile)
            if sample.canvas is not None:
                self._canvas.look(sample.number, sample.canvas)
            if sample.faces is not None:
                self._people.look(sample.faces)

    def findings(self) -> list[Finding]:
        """What is found of the tiles."""
        found: list[Finding] = []
        for comparison in self._comparisons:
            comparison.finish()
            found += comparison.findings()
        for crop in self._crops:
            found += crop.findings()
        return [*found, *self._canvas.findings(), *self._people.findings()]


def _readable(*, passed: bool, value: int | None, message: str) -> Finding:
    return Finding(
        check=Check.READABLE, passed=passed, value=value, expected="a video that decodes to its end", message=message
    )
