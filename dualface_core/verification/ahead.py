"""What is seen of a result before it is written: of each span when it is encoded, by who has nothing else to do.

Belongs here: looking at a span for itself, and the proof that a result has it. The one idea: what was seen ahead
counts only where a decoder of the published file is given, packet by packet and bit by bit, what it was given then. If
anything differs, all of the file is decoded.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from fractions import Fraction
from functools import partial
from hashlib import sha256
from itertools import islice
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING, Final

import numpy as np
from numpy.typing import NDArray

from dualface_core.engine.advance import advance
from dualface_core.engine.backend import CARD_FAILURES
from dualface_core.engine.card import Asked, SpareCardTasks
from dualface_core.engine.cores import CoreBudget
from dualface_core.engine.spans import spans
from dualface_core.engine.workers import SpareTasks, Workers
from dualface_core.errors import DualfaceError
from dualface_core.media.encoder import Coding
from dualface_core.media.joining import SpanPackets, join_alone
from dualface_core.media.limits import Limits
from dualface_core.media.metadata import Metadata
from dualface_core.media.packets import decoder_input
from dualface_core.media.probe import VideoInfo, probe
from dualface_core.media.span_files import SpanFile
from dualface_core.tables.face_tracks import FaceTracks
from dualface_core.tables.tile_plan import TilePlan
from dualface_core.verification.observation import ResultSeen, ResultTask, Seen, SourceTask, Wanted, observed
from dualface_core.verification.samples import Samples

if TYPE_CHECKING:  # which loads what no task needs
    from dualface_core.settings import Settings

_SPAN: Final = 2.0
"""Seconds of the spans of a source, at the least: if it has several, its frames can be found side by side."""

_NO_FINGERPRINTS: Final = np.empty((0, 0), np.uint8)

_KINDS: Final = 8
"""Kinds of spans that a process remembers: a card's looks at several videos at once."""


class NotSeenError(Exception):
    """A result is not made of what was seen ahead, or not all of it was."""


@dataclass(frozen=True)
class AheadTask:
    """Look at a span of a result that is to be.

    Attributes:
        span: its packets, or a file of them, which is gone afterwards.
        wanted: what is to be seen in it.
        limits: what a result may have at most.
        budget: whose cores a second thread may take.
        on_card: whether a CUDA card decodes it.
    """

    span: SpanPackets | SpanFile
    wanted: Wanted
    limits: Limits
    budget: CoreBudget | None
    on_card: bool = False


@dataclass(frozen=True)
class SpanSeen:
    """A span that was looked at.

    Attributes:
        video: what it is as a file of its own, in which each frame has its time in the result.
        packets: how many its decoder was given.
        given: SHA-256 of what that is; see `decoder_input`.
        seen: of its frames, without fingerprints.
        fingerprints: a file of these, so that memory does not grow with the length of a video.
    """

    video: VideoInfo
    packets: int
    given: bytes
    seen: tuple[ResultSeen, ...]
    fingerprints: Path

    def is_shown_as(self, result: VideoInfo) -> bool:
        """Whether its frames are decoded and shown as those of a result."""
        return _how_decoded(self.video) == _how_decoded(result)

    def is_next_in(self, given: Iterator[bytes]) -> bool:
        """Whether what a decoder is given goes on with this span, from where it stands."""
        return _checksum(islice(given, self.packets)) == self.given

    def whole(self) -> list[ResultSeen]:
        """What was seen of its frames. Raises OSError if the file is gone, and ValueError or EOFError if it is cut."""
        stops = np.cumsum([len(each.pts) for each in self.seen])
        fingerprints = np.split(np.load(self.fingerprints), stops[:-1])
        return [replace(each, fingerprints=its) for each, its in zip(self.seen, fingerprints, strict=True)]


def observed_ahead(task: SourceTask | AheadTask) -> list[Seen] | SpanSeen | None:
    """What is seen of frames of the source, or of a span; None where the span has not what it should have.

    What is wrong with it the result has, too, and there it is found. On a card, raises one of `CARD_FAILURES` where it
    gives up; then the span is as it was.
    """
    if isinstance(task, SourceTask):
        return observed(task)
    file = task.span.file.with_suffix(".mp4")
    try:
        seen = _span_seen(task, file)
    except (DualfaceError, OSError) as error:
        if task.on_card and isinstance(error, CARD_FAILURES):
            raise
        seen = None
    finally:
        if isinstance(task.span, SpanPackets):
            file.unlink(missing_ok=True)
    file.unlink(missing_ok=True)
    return seen


def _span_seen(task: AheadTask, file: Path) -> SpanSeen | None:
    if isinstance(task.span, SpanPackets):
        join_alone(task.span, file)
    video = _described(task, file)
    given = _checksum(decoder_input(video))
    looked_at = observed(ResultTask(video, None, task.wanted, task.on_card, task.budget))
    seen = [each for each in looked_at if isinstance(each, ResultSeen)]
    times = [pts * video.time_base for each in seen for pts in each.pts]
    if (len(times), *times[:1], *times[-1:]) != (task.span.frames, task.span.first, task.span.last):
        return None
    fingerprints = file.with_suffix(".npy")
    np.save(fingerprints, np.concatenate([each.fingerprints for each in seen]))
    without = tuple(replace(each, fingerprints=_NO_FINGERPRINTS) for each in seen)
    return SpanSeen(video, task.span.frames, given, without, fingerprints)


_firsts: list[tuple[tuple[Coding, str], VideoInfo]] = []
"""Coding and headers of the spans that this process looks at, and what the first one of each kind is."""


def _described(task: AheadTask, file: Path) -> VideoInfo:
    """What the file of a span is; of packets, what the first one of their kind is, as a result is read as its first is.

    Raises as `probe` does.
    """
    span = task.span
    if isinstance(span, SpanFile):
        return probe(file, task.limits)
    kind = span.coding, span.encoded.headers
    known = next((video for known, video in list(_firsts) if known == kind), None)
    if known is None:
        known = probe(file, task.limits)
        _firsts[:] = [(kind, known), *_firsts[: _KINDS - 1]]
    first, last = (int(time / known.time_base) for time in (span.first, span.last))
    return replace(known, path=file, frame_count=span.frames, first_pts=first, last_pts=last)


_Seen = list[Seen] | SpanSeen | None
_Spare = SpareTasks[SourceTask | AheadTask, _Seen]
_SpareCard = SpareCardTasks[SourceTask | AheadTask, _Seen]


class Ahead:
    """What is seen of a result before it is written. To be had of `looking_ahead`.

    Args:
        samples: finds out what is looked at more closely, once the first span is there: until then, somebody waits for
            all that this process does.
        limits: what a result may have at most.
        spare: does `observed_ahead`.
        budget: whose cores a second thread of a task may take.
        card: does it of spans of the result; None if `spare` does.
    """

    def __init__(
        self,
        samples: Callable[[], Samples],
        limits: Limits,
        spare: _Spare,
        budget: CoreBudget | None,
        card: _SpareCard | None = None,
    ) -> None:
        self._budget = budget
        self._find_samples = samples
        self._limits = limits
        self._spare = spare
        self._card = card
        self._lock = Lock()  # held only while nothing is asked of workers, who may call back
        self._samples: Samples | None = None
        self._of_source: list[Asked[_Seen]] = []
        self._spans: dict[Fraction, Asked[_Seen]] = {}
        self._encoder = ""

    @property
    def samples(self) -> Samples:
        """What is looked at more closely."""
        with self._lock:
            if self._samples is not None:
                return self._samples
            samples = self._find_samples()
            tasks = samples.of_source(split=len(spans(samples.video, seconds=_SPAN)) > 1)
            self._samples = samples
        self._of_source = [self._spare.add(task) for task in tasks]
        return samples

    def add(self, span: SpanPackets | SpanFile) -> None:
        """Have a span looked at, in place of one that began with the same frame, or of all that others encoded.

        To be called from any thread. Its file must stay until the result has been verified. Nothing is looked at where
        the samples cannot be found: why, `samples` says to whoever verifies.
        """
        try:
            wanted = self.samples.wanted(span.first, span.last + self.samples.video.time_base)
        except DualfaceError:
            return
        task = AheadTask(span, wanted, self._limits, self._budget, self._card is not None)
        seen = (self._card or self._spare).add(task)
        superseded: list[Asked[_Seen]] = []
        with self._lock:
            if span.encoder != self._encoder:
                superseded, self._spans, self._encoder = [*self._spans.values()], {}, span.encoder
            elif span.first in self._spans:
                superseded = [self._spans[span.first]]
            self._spans[span.first] = seen
        for each in superseded:
            each.forget()

    @property
    def has_spans(self) -> bool:
        """Whether any was added."""
        return bool(self._spans)

    @property
    def cpu_seconds(self) -> float:
        """Of processors, until what is seen was asked for."""
        return self._spare.cpu_seconds + (self._card.cpu_seconds if self._card else 0.0)

    def of_source(self) -> Iterator[list[Seen]]:
        """What is seen of the source. Raises as `observed` does."""
        for asked in self._of_source:
            seen = asked.result()
            assert isinstance(seen, list)
            yield seen

    def of_result(self, result: VideoInfo, given: Iterator[bytes]) -> Iterator[list[ResultSeen]]:
        """What is seen of the spans that a result should be made of, in order. It counts once all of it was taken.

        Args:
            result: what it is.
            given: what its decoder is given; see `decoder_input`. Taken in the end, when it is known what it should be.

        Raises NotSeenError where it is made of something else, or a part was not seen. What has not begun then does
        not.
        """
        seen: list[SpanSeen] = []
        with ExitStack() as stack:
            for asked in self._spans.values():
                stack.callback(asked.forget)
            for first in sorted(self._spans):
                span = self._spans[first].result()
                if not isinstance(span, SpanSeen) or not span.is_shown_as(result):
                    raise NotSeenError
                try:
                    yield span.whole()
                except (OSError, ValueError, EOFError) as error:
                    raise NotSeenError from error
                seen.append(span)
            if not all(span.is_next_in(given) for span in seen) or next(given, None) is not None:
                raise NotSeenError


def given_to_decoder(result: VideoInfo) -> NDArray[np.uint8]:
    """`decoder_input` of a whole file, as a task: (packets, 32)."""
    given = bytearray()
    for packet in decoder_input(result):
        given += packet
        advance(0)
    return np.frombuffer(given, np.uint8).reshape(-1, sha256().digest_size)


@contextmanager
def looking_ahead(
    video: VideoInfo,
    tracks: FaceTracks,
    plan: TilePlan,
    settings: Settings,
    workers: Workers,
    *,
    memory: int | None = None,
) -> Iterator[Ahead]:
    """Look at each span of a result when it is added, and at the source, when cores have nothing else to do.

    With `memory`, the processes for a card look at the spans when they have nothing else to do: each takes so many
    bytes of the card's memory.
    """
    about = video.path
    with ExitStack() as stack:
        spare = stack.enter_context(workers.spare(observed_ahead, about=about))
        card: _SpareCard | None = None
        if memory is not None:
            there = workers.spare_on_card(
                observed_ahead, memory=memory, without_card=_without_card, rest=spare, about=about
            )
            card = stack.enter_context(there)
        yield Ahead(partial(Samples, video, tracks, plan, settings), settings.limits, spare, workers.budget, card)


def _without_card(task: SourceTask | AheadTask) -> SourceTask | AheadTask:
    return replace(task, on_card=False) if isinstance(task, AheadTask) else task


def _how_decoded(video: VideoInfo) -> VideoInfo:
    """How the frames of a video are read, without what it is as a whole, nor what is beside its frames."""
    return replace(
        video,
        path=Path(),
        fingerprint="",
        size_bytes=0,
        frame_count=0,
        first_pts=0,
        last_pts=0,
        last_duration=0,
        duration=0.0,
        average_rate=video.time_base,
        constant_rate=True,
        bit_rate=0,
        audio=(),
        metadata=Metadata(),
        notes=(),
    )


def _checksum(given: Iterable[bytes]) -> bytes:
    digest = sha256()
    for each in given:
        digest.update(each)
    return digest.digest()
