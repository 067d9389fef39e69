"""What is to be seen in a span of a video, whatever was seen before it.

Belongs here: reducing frames to what `tracker` needs of them, so that spans can be observed in parallel and in any
order. Of every frame that is a thumbnail; of some, on fixed grids of time, a small gray image, or a look: the faces, a
crop of each, the colors around it. Doesn't: who is who, or anything that depends on more than the last `LEAD` frames.

The one idea: a span's first `LEAD` frames are the lead of what is observed in it, and are themselves observed by the
span before, which reads on so far. So nothing is decoded that lies before a span's key frame, every frame is observed
once with its lead, and the same is found however a video is split.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cache
from itertools import islice
from pathlib import Path
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from dualface_core.engine.advance import advance
from dualface_core.engine.backend import decoder_memory
from dualface_core.engine.prefetch import prefetch
from dualface_core.engine.spans import Span, spans
from dualface_core.engine.workers import Workers
from dualface_core.errors import UnreadableVideoError
from dualface_core.faces.alignment import frontality
from dualface_core.faces.attire import COLORS, attire
from dualface_core.faces.detections import Detections
from dualface_core.faces.detector import FaceDetector
from dualface_core.faces.face_crops import SIDE, crop_square
from dualface_core.faces.yunet import CardFaceDetector
from dualface_core.media.changes import Changes
from dualface_core.media.cuda_frames import card_readers
from dualface_core.media.frames import Frame
from dualface_core.media.opening import SEND_AGAIN
from dualface_core.media.probe import VideoInfo
from dualface_core.media.reader import VideoReader
from dualface_core.media.salvage import Stretch
from dualface_core.system.cuda import card_of_process
from dualface_core.tracking.card_frames import CardFrame, card_frames
from dualface_core.tracking.heads import GRAYS_PER_SECOND, gray_size
from dualface_core.tracking.parameters import TrackParameters
from dualface_core.tracking.shots import AROUND, CutSuspicion, Thumbnail, face_goes_on, make_thumbnail

AnyFrame = Frame | CardFrame
"""A frame as it is looked at, in memory of the host or on a card."""

LEAD: Final = AROUND + 2
"""Frames before a frame on which it depends what is observed of it: `CutSuspicion` compares so many, and so many tell
whether the one before it was looked at."""

SPAN_SECONDS: Final = 6.0
"""Least seconds of a span of a long video. What is observed of a second takes some 3 MB. Encoders put key frames 250
frames apart, or less: of spans that long, no frame is decoded twice."""

_ON_CARD: Final = 3.0
"""The same on a card, which has more of them at once in work."""

_SHORTEST_SPAN: Final = 2.0
"""The same of a video that has not as many spans as there are cores. Frames between a key frame and a seam are decoded
for both of its sides, which takes less time than cores that have nothing to do."""

_SPREAD: Final = 2
"""Short spans for each core at the end of a long video, so that all cores end at about the same time."""

_ON_TIME: Final = 0.01
"""Share of a grid's step by which a frame may be early: timestamps are rounded."""

_IMAGE_SECONDS: Final = 0.3
"""Least time between two looks of the grid that carry their image; see `StageFinder`."""

_CLEARLY_FOUND: Final = 0.8
"""Score of a face that was surely detected at a size that suits the detector."""

_SMALLEST_FRAME: Final = 160
"""Longer side of the smallest image in which a face that more than fills the frame is looked for, in pixels."""


@dataclass(frozen=True)
class Look:
    """The faces of a frame.

    Attributes:
        index: number of the frame.
        time: its presentation time in seconds.
        faces: in pixels of the shrunk image, see `look_size`.
        quality: of each as a face crop, 0..1: how sure it is, and how squarely it looks at the camera.
        squares: for each face the square about it, see `crop_square`, (n, n, 3) uint8 BGR, shrunk to `SIDE` if larger.
        attire: (faces, `COLORS`) float32; see `faces.attire`.
        gray: (h, w) uint8, for `heads`.
        image: (h, w) uint8, the shrunk image without its colors; None where one was made shortly before.
        goes_on: where a cut seems likely right before, whether a face goes on across it; None if there is none.
    """

    index: int
    time: float
    faces: Detections
    quality: tuple[float, ...]
    squares: tuple[NDArray[np.uint8], ...]
    attire: NDArray[np.float32]
    gray: NDArray[np.uint8]
    image: NDArray[np.uint8] | None
    goes_on: bool | None


@dataclass(frozen=True)
class Seen:
    """What was observed of a frame.

    Attributes:
        index: number of the frame.
        pts: its presentation timestamp.
        time: the same in seconds.
        thumbnail: for `shots`.
        gray: (h, w) uint8, for `heads`; None for most.
        looks: at the frame before, if a cut seems likely between the two, and at this one.
    """

    index: int
    pts: int
    time: float
    thumbnail: Thumbnail
    gray: NDArray[np.uint8] | None
    looks: tuple[Look, ...]


def look_size(frame_size: tuple[int, int], parameters: TrackParameters) -> tuple[int, int]:
    """Width and height of the shrunk image in which faces are looked for."""
    width, height = frame_size
    shrunk = min(width, round(parameters.max_width * min(1, width / height)))
    return shrunk, max(1, round(height * shrunk / width))


@dataclass(frozen=True)
class SpanTask:
    """What `observe` is to observe.

    Attributes:
        video: the source.
        span: of it. What is observed are the frames from `LEAD` frames after its first one (or from that, if it is the
            video's) up to as many frames after its last one.
        parameters: how faces are looked for.
        detector_weights: of the model; None for the packaged file.
        on_card: whether a CUDA card decodes and looks for faces.
    """

    video: VideoInfo
    span: Span
    parameters: TrackParameters
    detector_weights: Path | None
    on_card: bool = False


def _without_card(task: SpanTask) -> SpanTask:
    return replace(task, on_card=False)


@dataclass(frozen=True)
class Observed:
    """What was observed of some frames in a row, and what the reader says of them; see `VideoReader`."""

    frames: list[Seen]
    changes: Changes


def observe(task: SpanTask) -> Observed:
    """Observe the frames of one task.

    Raises what `VideoReader` does, and ModelError; on a card, one of `CARD_FAILURES` where it gives up.
    """
    video, span = task.video, task.span
    to_the_end = Span(span.first, video.frame_count, span.first_pts, None)
    if task.on_card:
        card = card_of_process()
        card.enter()
        with card_readers().of(video, to_the_end) as reader:
            frames = card_frames(card, video, reader.frames())
            return Observed(_seen(task, frames, _card_detector(task.detector_weights)), reader.changes)
    with VideoReader(video, threads=1, loop_filter=False, span=to_the_end) as reader:
        return Observed(_seen(task, reader, FaceDetector(task.detector_weights)), reader.changes)


def set_up_card(at_once: int) -> None:
    """Make a process ready for so many tasks at once on the card. Raises CudaError where there is none that works."""
    card_readers().most = at_once
    _card_detector(None)


@cache
def _card_detector(weights: Path | None) -> CardFaceDetector:
    return CardFaceDetector(card_of_process(), weights)


def _seen(task: SpanTask, frames: Iterable[AnyFrame], detector: FaceDetector | CardFaceDetector) -> list[Seen]:
    """What is observed of one task."""
    span, seen = task.span, []
    if span.stop_pts is not None:
        frames = _checked(frames, task.video, span)
    lead = LEAD if span.first else 0
    for each in observe_frames(frames, task.parameters, detector, lead=lead, to_end=span.stop_pts is None):
        seen.append(each)
        advance(1)
    return seen


def _checked(frames: Iterable[AnyFrame], video: VideoInfo, span: Span) -> Iterator[AnyFrame]:
    """The frames of a span and those of the next one that are observed with it.

    Raises UnreadableVideoError where there are fewer, or the next span begins with another frame than it should.
    """
    last = span.first - 1
    for frame in islice(frames, span.stop + LEAD - span.first):
        if (frame.index == span.stop) != (frame.pts == span.stop_pts):
            found = f"frame {frame.index} is at {frame.time:.3f} s"
            expected = f"frame {span.stop} at {float((span.stop_pts or 0) * video.time_base):.3f} s"
            raise UnreadableVideoError(video.path, f"{found}, where {expected} was expected", action=SEND_AGAIN)
        yield frame
        last = frame.index
    if last + 1 < span.stop + LEAD:
        found = f"it ends with frame {last}, and {video.frame_count} were announced"
        raise UnreadableVideoError(video.path, found, action=SEND_AGAIN)


class ObservedVideo:
    """A video, observed frame by frame, in one pass or span by span.

    Args:
        video: the source.
        parameters: how faces are looked for.
        detector_weights: of the model; None for the packaged file.
        threads: of the decoder, where it is done in one pass.
        workers: processes that observe its spans; None for one pass in this process. What is observed is the same.
        on_card: whether those of them for a CUDA card do it, if there are any; see docs/gpu.md.
        progress: called with the number of frames that are done.
    """

    def __init__(
        self,
        video: VideoInfo,
        parameters: TrackParameters,
        *,
        detector_weights: Path | None = None,
        threads: int = 0,
        workers: Workers | None = None,
        on_card: bool = False,
        progress: Callable[[int], None] | None = None,
    ) -> None:
        self._on_card = on_card
        self._video = video
        self._parameters = parameters
        self._weights = detector_weights
        self._threads = threads
        self._workers = workers
        self._progress = progress
        self._changes: list[Changes] = []
        self.notes: list[str] = []
        """What the reader says of the frames, as `lost` and `concealed`; complete when all were taken."""
        self.lost: list[Stretch] = []
        self.concealed: list[Stretch] = []

    def __iter__(self) -> Iterator[Seen]:
        """Every frame, in order. Raises what `observe` does."""
        workers = self._workers
        card = workers.card if workers and self._on_card else None
        at_once = card.at_once if card else workers.most if workers else 1
        parts = self._parts(at_once, SPAN_SECONDS if card is None else _ON_CARD) if at_once > 1 else []
        if workers is None or len(parts) < 2:
            yield from self._in_one_pass()
            return
        tasks = span_tasks(self._video, parts, self._parameters, self._weights, on_card=card is not None)
        told, about = self._progress, self._video.path
        if card is None:
            yield from self._taken(workers.map(observe, tasks, progress=told, about=about))
            return
        if told is not None:
            told(0)  # as `Workers.map` does
        on_card = workers.map_on_card(
            observe,
            tasks,
            memory=decoder_memory(self._video),
            without_card=_without_card,
            progress=told,
            about=about,
        )
        # The card's processes have this video's next task also while the logic is busy with what they have seen.
        with prefetch(on_card, depth=card.at_once) as seen:
            yield from self._taken(seen)

    def _taken(self, observed: Iterable[Observed]) -> Iterator[Seen]:
        for part in observed:
            yield from part.frames
            self._changes.append(part.changes)
        self.notes = Changes.joined(self._changes).notes(self._video)

    def _parts(self, at_once: int, longest: float) -> list[Span]:
        """The spans that tasks begin with: about equally long where there are few, else short ones in the end."""
        of_each = self._video.duration / at_once
        if of_each < _SPREAD * longest:
            return spans(self._video, seconds=min(longest, max(_SHORTEST_SPAN, of_each)))
        short, least = spans(self._video, seconds=_SHORTEST_SPAN), longest / self._video.time_base
        begins: list[Span] = []
        for left, part in zip(range(len(short), 0, -1), short, strict=True):
            length = part.first_pts - begins[-1].first_pts if begins else math.inf
            is_long = length >= least and (not part.to_reach or length >= 2 * least)
            if is_long or (left <= _SPREAD * at_once and part.to_reach <= least):
                begins.append(part)
        return begins

    def _in_one_pass(self) -> Iterator[Seen]:
        with VideoReader(self._video, threads=self._threads, loop_filter=False) as reader:
            for seen in observe_frames(reader, self._parameters, FaceDetector(self._weights)):
                if self._progress is not None:
                    self._progress(seen.index + 1)
                yield seen
            self.notes, self.lost, self.concealed = reader.notes, reader.lost, reader.concealed


def span_tasks(
    video: VideoInfo,
    parts: Sequence[Span],
    parameters: TrackParameters,
    detector_weights: Path | None = None,
    *,
    on_card: bool = False,
) -> list[SpanTask]:
    """The tasks that in sum observe every frame of a video once.

    `parts` are its spans, which need not be long; one that is left out belongs to the one before.
    """
    # A span of which little would be observed is left to the one before: where a recording ends within a frame, the
    # last ones may be missing.
    begins = [part for part in parts if part.first == 0 or part.first + 2 * LEAD < video.frame_count]
    ends = [*((part.first, part.first_pts) for part in begins[1:]), (video.frame_count, None)]
    joined = [Span(part.first, stop, part.first_pts, pts) for part, (stop, pts) in zip(begins, ends, strict=True)]
    return [SpanTask(video, span, parameters, detector_weights, on_card) for span in joined]


def observe_frames(
    frames: Iterable[AnyFrame],
    parameters: TrackParameters,
    detector: FaceDetector | CardFaceDetector,
    *,
    lead: int = 0,
    to_end: bool = True,
) -> Iterator[Seen]:
    """Observe frames that follow one another.

    Args:
        frames: in order.
        parameters: how faces are looked for.
        detector: the model.
        lead: how many of the first frames only lead up to the others, and are not observed.
        to_end: whether the last one of them is that of the video, which is always looked at.
    """
    observer = _Observer(parameters, detector)
    waiting: Seen | None = None
    for number, frame in enumerate(frames):
        if number < lead:
            observer.pass_by(frame)
            continue
        if waiting is not None:
            yield waiting
        waiting = observer.observe(frame)
    if waiting is not None:
        yield observer.at_the_end(waiting) if to_end else waiting


@dataclass(frozen=True)
class _Found:
    """The faces in a shrunk image, (h, w, 3) uint8 BGR, of a frame."""

    index: int
    image: NDArray[np.uint8]
    faces: Detections


class _Observer:
    """Takes frames in order, and holds the last one."""

    def __init__(self, parameters: TrackParameters, detector: FaceDetector | CardFaceDetector) -> None:
        self._parameters = parameters
        self._detector = detector
        self._suspicion = CutSuspicion()
        self._previous: AnyFrame | None = None
        self._found: _Found | None = None
        self._last_look = -1

    def pass_by(self, frame: AnyFrame) -> None:
        """Take a frame of the lead."""
        thumbnail = self._suspicion.add(_thumbnail(frame))
        if thumbnail.cut_likely or self._is_due(frame):
            self._last_look = frame.index
        self._previous = frame

    def observe(self, frame: AnyFrame) -> Seen:
        """Take a frame."""
        thumbnail = self._suspicion.add(_thumbnail(frame))
        looks: tuple[Look, ...] = ()
        if thumbnail.cut_likely and self._previous is not None:
            looks = self._across(self._previous, frame)
        elif self._is_due(frame):
            looks = (self._look(frame, self._find(frame), with_image=self._wants_image(frame)),)
        gray = _gray(frame) if not looks and self._passes(frame, GRAYS_PER_SECOND) else None
        if looks:
            self._last_look = frame.index
        self._previous = frame
        return Seen(frame.index, frame.pts, frame.time, thumbnail, gray, looks)

    def at_the_end(self, seen: Seen) -> Seen:
        """The same for the last frame of all, at which a look is taken in any case."""
        last = self._previous
        if last is None or self._last_look == last.index:
            return seen
        return replace(seen, gray=None, looks=(self._look(last, self._find(last), with_image=True),))

    def _across(self, before: AnyFrame, after: AnyFrame) -> tuple[Look, ...]:
        """Looks on both sides of what may be a cut."""
        was = self._found if self._found is not None and self._found.index == before.index else self._find(before)
        now = self._find(after)
        goes_on = face_goes_on(was.image, self._clear(was), now.image, self._clear(now))
        look = self._look(after, now, with_image=True, goes_on=goes_on)
        return (look,) if self._last_look == before.index else (self._look(before, was, with_image=True), look)

    def _clear(self, found: _Found) -> NDArray[np.float32]:
        return found.faces.boxes[found.faces.scores >= self._parameters.score_threshold]

    def _is_due(self, frame: AnyFrame) -> bool:
        every = self._parameters.detect_every
        return frame.index % every == 0 if every is not None else self._passes(frame, self._parameters.looks_per_second)

    def _wants_image(self, frame: AnyFrame) -> bool:
        """Whether a look of the grid carries its image."""
        if self._parameters.detect_every is not None:
            return True
        rate = self._parameters.looks_per_second
        return self._passes(frame, rate / math.ceil(_IMAGE_SECONDS * rate))

    def _passes(self, frame: AnyFrame, per_second: float) -> bool:
        """Whether a frame is the first one at or after a point of a grid of time."""
        before = self._previous
        return before is None or _point(before.time, per_second) < _point(frame.time, per_second)

    def _find(self, frame: AnyFrame) -> _Found:
        """Look for the faces of a frame. Where none is clear, it may be too large: look again at smaller sizes."""
        image = frame.bgr(look_size((frame.width, frame.height), self._parameters)[0])
        faint = self._parameters.faint_threshold
        (faces,) = self._detector.detect(image[None], score_threshold=faint)
        smaller, shrunk = image, 1
        while _best_score(faces) < _CLEARLY_FOUND and max(smaller.shape) >= 2 * _SMALLEST_FRAME:
            smaller = np.asarray(cv2.resize(smaller, None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA), np.uint8)
            shrunk *= 2
            (large,) = self._detector.detect(smaller[None], score_threshold=faint)
            if _best_score(large) > _best_score(faces) and max(large.boxes[0, 2:]) > min(smaller.shape[:2]) / 2:
                faces = large.scaled(shrunk, shrunk)
        self._found = _Found(frame.index, image, faces)
        return self._found

    @staticmethod
    def _look(frame: AnyFrame, found: _Found, *, with_image: bool, goes_on: bool | None = None) -> Look:
        height, width = found.image.shape[:2]
        in_frame = found.faces.scaled(frame.width / width, frame.height / height)
        frontal = map(frontality, in_frame.landmarks)
        colors = [attire(found.image, box) for box in found.faces.boxes]
        return Look(
            index=frame.index,
            time=frame.time,
            faces=found.faces,
            quality=tuple(float(score) * turned for score, turned in zip(found.faces.scores, frontal, strict=True)),
            squares=tuple(frame.bgr_square(*crop_square(box), at_most=SIDE) for box in in_frame.boxes),
            attire=np.array(colors, np.float32).reshape(-1, COLORS),
            gray=_gray(frame),
            image=np.asarray(cv2.cvtColor(found.image, cv2.COLOR_BGR2GRAY), np.uint8) if with_image else None,
            goes_on=goes_on,
        )


def _thumbnail(frame: AnyFrame) -> NDArray[np.uint8]:
    return frame.thumbnail if isinstance(frame, CardFrame) else make_thumbnail(frame.planes[0])


def _gray(frame: AnyFrame) -> NDArray[np.uint8]:
    return frame.luma(*gray_size((frame.width, frame.height)))


def _point(time: float, per_second: float) -> int:
    """The number of the last point of a grid of time that has come."""
    return math.floor(time * per_second + _ON_TIME)


def _best_score(faces: Detections) -> float:
    return float(np.max(faces.scores, initial=0))
