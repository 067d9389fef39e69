"""From frames to FaceTracks: looks for faces, follows them, and decides who they are.

Belongs here: the pass over the video, with memory that doesn't grow with its length but for one table of faces, and
the making of that table. Every frame is compared with the one before it, as a thumbnail, to find cuts; faces are
looked for a few times a second and at cuts, and interpolated in between. A few face crops of every tracklet are kept
until it ends and become its embedding. Where a face is lost, the head is followed (`heads`). Identities are decided at
the end (`identities`).
"""

from __future__ import annotations

import math
from bisect import bisect_right
from collections import deque
from collections.abc import Collection, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

from dualface_core.faces.attire import attire
from dualface_core.faces.detections import Detections
from dualface_core.faces.face_crops import SIDE, FaceCrop, crop_square, make_face_crop, upright
from dualface_core.faces.portrait import Portrait
from dualface_core.faces.sface import FaceEmbedder, frontality
from dualface_core.faces.yunet import FaceDetector
from dualface_core.media.frames import Frame
from dualface_core.tables.face_tracks import FaceTracks, TracksMetadata
from dualface_core.tracking.heads import HeadFollower
from dualface_core.tracking.identities import EmbeddedTracklet, identify, split
from dualface_core.tracking.rows import face_rows
from dualface_core.tracking.shots import ShotDetector, faces_go_on
from dualface_core.tracking.stage import StageFinder
from dualface_core.tracking.tracklets import Tracklet, TrackletLinker

_CROPS: Final = 6
"""Face crops of a tracklet that are embedded; more of them say little more."""

_CROP_SECONDS: Final = 0.3
"""Face crops of a tracklet are the best of stretches at least this long."""

_CLEARLY_FOUND: Final = 0.8
"""Score of a face that was surely detected at a size that suits the detector."""

_SMALLEST_FRAME: Final = 160
"""Longer side of the smallest image in which a face that more than fills the frame is looked for, in pixels."""

_LEAST_QUALITY: Final = 0.01
"""The worst face crop still counts for so much."""


class TrackParameters(BaseModel):
    """How faces are looked for. The defaults suit two people who talk."""

    model_config = ConfigDict(frozen=True)

    detect_every: int | None = Field(
        default=None, ge=1, description="Look for faces in every n-th frame. Without it, `looks_per_second`."
    )
    looks_per_second: float = Field(default=6.0, gt=0, description="How often to look for faces.")
    max_width: int = Field(
        default=640, ge=64, description="Longer side of the image in which faces are looked for, in pixels."
    )
    score_threshold: float = Field(default=0.6, ge=0, le=1, description="A face that scores less begins no track.")
    faint_threshold: float = Field(
        default=0.35, ge=0, le=1, description="A face that scores less than `score_threshold`, but this, extends one."
    )
    batch_size: int = Field(default=8, ge=1, description="Images given to the detector at once.")
    keep_prototypes: bool = Field(
        default=False, description="Store each person's mean embedding in the table: biometric data."
    )


@dataclass(frozen=True)
class _Kept:
    """A face crop, when it was taken, how good it seemed then, and the colors of hair and clothes."""

    quality: float
    time: float
    crop: FaceCrop
    attire: NDArray[np.float32]


@dataclass
class _FaceCrops:
    """The best face crops of one tracklet, spread over its length: the best one of each stretch of time."""

    tracklet: Tracklet
    stretch: float = _CROP_SECONDS
    best: dict[int, _Kept] = field(default_factory=dict)

    def wants(self, time: float, quality: float) -> bool:
        """Whether a face crop would be better than the one of its stretch of time."""
        best = self.best.get(self._key(time))
        return best is None or quality > best.quality

    def add(self, kept: _Kept) -> None:
        """Keep a face crop. If there are too many, stretches of time are joined two by two."""
        self.best[self._key(kept.time)] = kept
        while len(self.best) > _CROPS:
            self.stretch *= 2
            joined: dict[int, _Kept] = {}
            for key, kept in self.best.items():
                joined[key // 2] = max(joined.get(key // 2, kept), kept, key=lambda item: item.quality)
            self.best = joined

    def _key(self, time: float) -> int:
        return int((time - self.tracklet.times[0]) / self.stretch)


_Look = tuple[Frame, NDArray[np.uint8]]
"""A frame in which faces are looked for, and the shrunk image of it that the detector gets."""


class FaceTracker:
    """Takes every frame of a video, in order, and then tells who was where.

    Args:
        parameters: how faces are looked for.
        detector, embedder: the models.
        frame_size: width and height of the upright frame, in pixels.
        time_base: seconds per unit of `Frame.pts`.
        fingerprint: SHA-256 of the file, in hex.
        person_a: who is to be called A; None for the one on the left where both are first seen together.
    """

    def __init__(
        self,
        parameters: TrackParameters,
        detector: FaceDetector,
        embedder: FaceEmbedder,
        *,
        frame_size: tuple[int, int],
        time_base: Fraction,
        fingerprint: str,
        person_a: Portrait | None = None,
    ) -> None:
        self._parameters = parameters
        self._detector = detector
        self._embedder = embedder
        self._frame_size = frame_size
        self._time_base = time_base
        self._fingerprint = fingerprint
        self._person_a = person_a
        self._shots = ShotDetector()
        self._stage = StageFinder(frame_size)
        self._linker = TrackletLinker(start_score=parameters.score_threshold)
        self._heads = HeadFollower(frame_size)
        self._pts: list[int] = []
        self._previous: Frame | None = None
        # The image that was looked at last, and the clear faces in it: the frame before, where a cut seems likely.
        self._last: tuple[NDArray[np.uint8], NDArray[np.float32]] | None = None
        self._due = -math.inf
        self._last_look = -1
        # Frames to look at, until the shots that they lie in are known and there are enough of them.
        self._waiting: deque[_Look] = deque()
        # The detector works in a thread of its own, one batch at a time.
        self._worker = ThreadPoolExecutor(1, "face-detector")
        self._running: tuple[list[_Look], Future[list[Detections]]] | None = None
        self._crops: dict[int, _FaceCrops] = {}
        self._embedded: list[EmbeddedTracklet] = []

    def add(self, frame: Frame) -> None:
        """Take the next frame."""
        self._pts.append(frame.pts)
        cut_likely = self._shots.add(frame.planes[0], frame.time)
        if cut_likely and self._previous is not None:
            self._look_at(self._previous)
        if cut_likely or self._is_due(frame):
            self._look_at(frame)
        if self._heads.wants(frame.time):
            self._heads.add(frame)
        self._previous = frame
        settled = sum(waiting.index < self._shots.settled for waiting, _ in self._waiting)
        if settled >= self._parameters.batch_size:
            self._detect(settled)

    def finish(self, notes: Sequence[str] = (), lost: Sequence[tuple[float, float]] = ()) -> FaceTracks:
        """There are no more frames. The table is empty, and names no people, if no face was found.

        `notes` and `lost` are what the reader says of the frames (`VideoReader.notes`, `VideoReader.lost`).
        Raises PortraitError if nobody is like `person_a`.
        """
        self._shots.finish()
        if self._previous is not None:
            self._look_at(self._previous)
        self._detect(len(self._waiting))
        self._collect()
        self._worker.shutdown()
        self._close(())
        self._heads.end(self._linker.open)
        self._heads.settle(math.inf, self._shots.starts)
        self._embedded.sort(key=lambda item: (item.tracklet.frames[0], item.tracklet.number))
        heads = [(self._heads.before(item.tracklet), self._heads.after(item.tracklet)) for item in self._embedded]
        for number, item in enumerate(self._embedded):
            item.tracklet.number = number
        length = float((self._pts[-1] - self._pts[0]) * self._time_base) if self._pts else 0.0
        labeling = identify(self._embedded, length, person_a=self._person_a)
        prototypes = {person: vector.tolist() for person, vector in labeling.prototypes.items()}
        width, height = self._frame_size
        metadata = TracksMetadata(
            fingerprint=self._fingerprint,
            time_base=f"{self._time_base.numerator}/{self._time_base.denominator}",
            frame_width=width,
            frame_height=height,
            frame_pts=self._pts,
            shots=self._stage.finish(self._shots.spans()),
            people=list(labeling.people),
            prototypes=prototypes if self._parameters.keep_prototypes else {},
            model_sha256={"yunet": self._detector.sha256, "sface": self._embedder.sha256},
            parameters=self._parameters.model_dump(),
            lost=list(lost),
            notes=list(notes),
        )
        pts = np.array(self._pts, np.int64)
        rows = face_rows(self._embedded, labeling, heads, pts, np.asarray(pts * float(self._time_base), np.float64))
        return FaceTracks(rows, metadata)

    def _is_due(self, frame: Frame) -> bool:
        every = self._parameters.detect_every
        return frame.index % every == 0 if every is not None else frame.time >= self._due

    def _look_at(self, frame: Frame) -> None:
        """Queue a frame for the detector, unless it is there already."""
        if frame.index <= self._last_look:
            return
        self._last_look = frame.index
        # A hundredth early is on time: timestamps are rounded.
        self._due = frame.time + 0.99 / self._parameters.looks_per_second
        self._heads.add(frame)
        width = round(self._parameters.max_width * min(1, frame.width / frame.height))
        self._waiting.append((frame, frame.bgr(width)))

    def _detect(self, count: int) -> None:
        """Look for faces in the first `count` frames that wait, while the next ones are being decoded."""
        while count > 0:
            batch = [self._waiting.popleft() for _ in range(min(count, self._parameters.batch_size))]
            count -= len(batch)
            found = self._worker.submit(self._faces, np.stack([image for _, image in batch]))
            self._collect()
            self._running = batch, found

    def _collect(self) -> None:
        """Wait for the faces of the batch that is being worked on, and follow them."""
        if self._running is None:
            return
        batch, found = self._running
        self._running = None
        for (frame, image), faces in zip(batch, found.result(), strict=True):
            self._follow(frame, image, faces)

    def _faces(self, images: NDArray[np.uint8]) -> list[Detections]:
        """Find faces in (B, H, W, 3) BGR. Where none is clear, it may be too large: look again at smaller sizes."""
        faint = self._parameters.faint_threshold
        found = self._detector.detect(images, score_threshold=faint)
        for number, image in enumerate(images):
            smaller, shrunk = image, 1
            while _best_score(found[number]) < _CLEARLY_FOUND and max(smaller.shape) >= 2 * _SMALLEST_FRAME:
                smaller = cv2.resize(smaller, None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA)
                shrunk *= 2
                (large,) = self._detector.detect(smaller[None], score_threshold=faint)
                if (
                    _best_score(large) > _best_score(found[number])
                    and max(large.boxes[0, 2:]) > min(smaller.shape[:2]) / 2
                ):
                    found[number] = large.scaled(shrunk, shrunk)
        return found

    def _follow(self, frame: Frame, image: NDArray[np.uint8], faces: Detections) -> None:
        """Link the faces of one frame, found in its shrunk image, and describe the tracklets that have ended."""
        clear = faces.boxes[faces.scores >= self._parameters.score_threshold]
        last, self._last = self._last, (image, clear)
        share = self._shots.doubtful.get(frame.index)
        if last is not None and share is not None and faces_go_on(*last, image, clear, share):
            self._shots.withdraw(frame.index)
        shot = bisect_right(self._shots.starts, frame.index) - 1
        self._stage.add(shot, frame.time, image, clear)
        before = self._linker.open
        for tracklet, row in self._linker.add(frame.index, frame.time, shot, _scaled(faces, image, frame)):
            crops = self._crops.setdefault(tracklet.number, _FaceCrops(tracklet))
            quality = float(faces.scores[row]) * frontality(faces.landmarks[row])
            if crops.wants(frame.time, quality):
                crop = _crop(frame, image, faces, row)
                crops.add(_Kept(quality, frame.time, crop, attire(image, faces.boxes[row])))
        still_open = {tracklet.number for tracklet in self._linker.open}
        self._close(still_open)
        self._heads.begin(
            [tracklet for tracklet in self._linker.open if len(tracklet.frames) == 1], self._shots.starts[shot]
        )
        self._heads.end(tracklet for tracklet in before if tracklet.number not in still_open)
        self._heads.settle(frame.time, self._shots.starts, frame=frame.index)

    def _close(self, still_open: Collection[int]) -> None:
        """Turn the face crops of the tracklets that have ended into embeddings."""
        for number in [number for number in self._crops if number not in still_open]:
            closed = self._crops.pop(number)
            kept = sorted(closed.best.values(), key=lambda item: item.time)
            crops = [upright(item.crop, self._detector) for item in kept]
            self._embedded += split(
                closed.tracklet,
                times=np.array([item.time for item in kept]),
                embeddings=self._embedder.embed(np.stack([crop.face for crop in crops])),
                quality=np.array([max(crop.quality, _LEAST_QUALITY) for crop in crops]),
                attire=np.stack([item.attire for item in kept]),
            )


def _best_score(faces: Detections) -> float:
    return float(np.max(faces.scores, initial=0))


def _crop(frame: Frame, image: NDArray[np.uint8], faces: Detections, row: int) -> FaceCrop:
    """Cut a face out of the frame, or out of its shrunk `image`, in which it was detected, if it is large there."""
    scaled = _scaled(faces, image, frame)
    score, face_size = float(faces.scores[row]), float(max(scaled.boxes[row, 2:]))
    x, y, side = crop_square(faces.boxes[row])
    if side >= SIDE:
        rows = np.clip(np.arange(y, y + side), 0, image.shape[0] - 1)
        columns = np.clip(np.arange(x, x + side), 0, image.shape[1] - 1)
        square, landmarks = image[np.ix_(rows, columns)], faces.landmarks[row]
    else:
        x, y, side = crop_square(scaled.boxes[row])
        square, landmarks = frame.bgr_region(x, y, side, side), scaled.landmarks[row]
    return make_face_crop(square, (x, y), landmarks, score=score, size=face_size)


def _scaled(faces: Detections, image: NDArray[np.uint8], frame: Frame) -> Detections:
    """Faces that were detected in the shrunk `image`, in pixels of the frame."""
    return faces.scaled(frame.width / image.shape[1], frame.height / image.shape[0])
