"""From frames to FaceTracks: looks for faces, follows them, and decides who they are.

Belongs here: the pass over the video, with memory that doesn't grow with its length but for one table of faces, and
the making of that table. Every frame is compared with the one before it, as a thumbnail, to find cuts; faces are
looked for a few times a second and at cuts, and interpolated in between. A few pictures of every tracklet are kept
until it ends and become its embedding. Identities are decided at the end (`identities`).
"""

from __future__ import annotations

import math
from bisect import bisect_right
from collections import deque
from collections.abc import Collection
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

from dualface_core.faces.detections import Detections
from dualface_core.faces.sface import FaceEmbedder, align_face, crop_bounds, frontality
from dualface_core.faces.yunet import FaceDetector
from dualface_core.media.frames import Frame
from dualface_core.tracking.identities import Sighting, identify
from dualface_core.tracking.rows import face_rows
from dualface_core.tracking.shots import THUMBNAIL, ShotDetector
from dualface_core.tracking.table import FaceTracks, Shot, TracksMetadata
from dualface_core.tracking.tracklets import Tracklet, TrackletLinker, size

_PICTURES: Final = 6
"""Pictures of a tracklet that are embedded; more of them say little more."""

_PICTURE_SECONDS: Final = 0.3
"""Pictures of a tracklet are at least this far apart."""

_LEAST_QUALITY: Final = 0.01
"""The worst picture of a face still counts for so much."""

_CLEAR_SIZE: Final = 64.0
"""A face of so many pixels or more is as clear as it gets for the embedder."""


class TrackParameters(BaseModel):
    """How faces are looked for. The defaults suit two people who talk."""

    model_config = ConfigDict(frozen=True)

    detect_every: int | None = Field(
        default=None, ge=1, description="Look for faces in every n-th frame. Without it, `looks_per_second`."
    )
    looks_per_second: float = Field(default=6.0, gt=0, description="How often to look for faces.")
    max_width: int = Field(
        default=640, ge=64, description="Longer side of the picture in which faces are looked for, in pixels."
    )
    score_threshold: float = Field(default=0.6, ge=0, le=1, description="A face that scores less begins no track.")
    faint_threshold: float = Field(
        default=0.35, ge=0, le=1, description="A face that scores less than `score_threshold`, but this, extends one."
    )
    batch_size: int = Field(default=8, ge=1, description="Pictures given to the detector at once.")
    keep_prototypes: bool = Field(
        default=False, description="Store each person's mean embedding in the table: biometric data."
    )


@dataclass
class _Portraits:
    """The best pictures of one tracklet, spread over its length: the best one of each stretch of time."""

    tracklet: Tracklet
    stretch: float = _PICTURE_SECONDS
    best: dict[int, tuple[float, NDArray[np.uint8]]] = field(default_factory=dict)

    def offer(self, frame: Frame, landmarks: NDArray[np.float32], quality: float) -> None:
        """Take the face's picture if it is better than the one of this stretch of time."""
        key = int((frame.time - self.tracklet.times[0]) / self.stretch)
        if key in self.best and quality <= self.best[key][0]:
            return
        self.best[key] = (quality, _portrait(frame, landmarks))
        while len(self.best) > _PICTURES:
            self.stretch *= 2
            merged: dict[int, tuple[float, NDArray[np.uint8]]] = {}
            for old, picture in self.best.items():
                merged[old // 2] = max(merged.get(old // 2, picture), picture, key=lambda item: item[0])
            self.best = merged


class FaceTracker:
    """Takes every frame of a video, in order, and then tells who was where.

    Args:
        parameters: how faces are looked for.
        detector, embedder: the models.
        frame_size: width and height of the upright frame, in pixels.
        time_base: seconds per unit of `Frame.pts`.
        fingerprint: SHA-256 of the file, in hex.
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
    ) -> None:
        self._parameters = parameters
        self._detector = detector
        self._embedder = embedder
        self._frame_size = frame_size
        self._time_base = time_base
        self._fingerprint = fingerprint
        self._shots = ShotDetector()
        self._linker = TrackletLinker(start_score=parameters.score_threshold)
        self._pts: list[int] = []
        self._previous: Frame | None = None
        self._due = -math.inf
        self._last_look = -1
        # Frames to look at, until the shots that they lie in are known and there are enough of them.
        self._waiting: deque[tuple[Frame, NDArray[np.uint8]]] = deque()
        self._portraits: dict[int, _Portraits] = {}
        self._sightings: list[Sighting] = []

    def add(self, frame: Frame) -> None:
        """Take the next frame."""
        self._pts.append(frame.pts)
        cut_likely = self._shots.add(frame.luma(*THUMBNAIL))
        if cut_likely and self._previous is not None:
            self._look_at(self._previous)
        if cut_likely or self._is_due(frame):
            self._look_at(frame)
        self._previous = frame
        settled = sum(waiting.index < self._shots.settled for waiting, _ in self._waiting)
        if settled >= self._parameters.batch_size:
            self._detect(settled)

    def finish(self) -> FaceTracks:
        """There are no more frames. The table is empty, and names no people, if no face was found."""
        self._shots.finish()
        if self._previous is not None:
            self._look_at(self._previous)
        self._detect(len(self._waiting))
        self._close(())
        self._sightings.sort(key=lambda sighting: (sighting.tracklet.frames[0], sighting.tracklet.number))
        labelling = identify(self._sightings)
        starts = [start for start in self._shots.starts if start < len(self._pts)]
        width, height = self._frame_size
        metadata = TracksMetadata(
            fingerprint=self._fingerprint,
            time_base=f"{self._time_base.numerator}/{self._time_base.denominator}",
            frame_width=width,
            frame_height=height,
            frame_pts=self._pts,
            shots=[
                Shot(first=start, last=end - 1)
                for start, end in zip(starts, [*starts[1:], len(self._pts)], strict=True)
            ],
            people=list(labelling.people),
            prototypes={person: vector.tolist() for person, vector in labelling.prototypes.items()}
            if self._parameters.keep_prototypes
            else {},
            model_sha256={"yunet": self._detector.sha256, "sface": self._embedder.sha256},
            parameters=self._parameters.model_dump(),
        )
        pts = np.array(self._pts, np.int64)
        rows = face_rows(self._sightings, labelling, pts, np.asarray(pts * float(self._time_base), np.float64))
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
        width = round(self._parameters.max_width * min(1, frame.width / frame.height))
        self._waiting.append((frame, frame.bgr(width)))

    def _detect(self, count: int) -> None:
        """Look for faces in the first `count` frames that wait."""
        size_at_once = self._parameters.batch_size
        while count > 0:
            batch = [self._waiting.popleft() for _ in range(min(count, size_at_once))]
            count -= len(batch)
            found = self._faces(np.stack([image for _, image in batch]))
            for (frame, image), faces in zip(batch, found, strict=True):
                self._follow(frame, faces.scaled(frame.width / image.shape[1], frame.height / image.shape[0]))

    def _faces(self, images: NDArray[np.uint8]) -> list[Detections]:
        """Find faces in (B, H, W, 3) BGR. Where there is none, it may be too large: look again at half the size."""
        faint, sure = self._parameters.faint_threshold, self._parameters.score_threshold
        found = self._detector.detect(images, score_threshold=faint)
        for number, faces in enumerate(found):
            if not np.any(faces.scores >= sure):
                half = cv2.resize(images[number], None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA)
                (coarse,) = self._detector.detect(half[None], score_threshold=faint)
                if np.any(coarse.scores >= sure):
                    found[number] = coarse.scaled(2, 2)
        return found

    def _follow(self, frame: Frame, faces: Detections) -> None:
        """Link the faces of one frame to tracklets, and embed the tracklets that have ended."""
        shot = bisect_right(self._shots.starts, frame.index) - 1
        for tracklet, row in self._linker.add(frame.index, frame.time, shot, faces):
            box, landmarks = faces.boxes[row], faces.landmarks[row]
            quality = float(faces.scores[row]) * frontality(landmarks) * min(1.0, size(box) / _CLEAR_SIZE)
            portraits = self._portraits.setdefault(tracklet.number, _Portraits(tracklet))
            portraits.offer(frame, landmarks, quality)
        self._close({tracklet.number for tracklet in self._linker.open})

    def _close(self, still_open: Collection[int]) -> None:
        """Turn the pictures of the tracklets that have ended into embeddings."""
        for number in [number for number in self._portraits if number not in still_open]:
            portraits = self._portraits.pop(number)
            qualities, pictures = zip(*portraits.best.values(), strict=True)
            weights = np.maximum(qualities, _LEAST_QUALITY)
            mean = weights @ self._embedder.embed(np.stack(pictures))
            self._sightings.append(
                Sighting(
                    portraits.tracklet,
                    np.asarray(mean / max(float(np.linalg.norm(mean)), 1e-9), np.float32),
                    float(weights.sum()),
                )
            )


def _portrait(frame: Frame, landmarks: NDArray[np.float32]) -> NDArray[np.uint8]:
    """The aligned face, from the full-resolution frame."""
    left, top, right, bottom = crop_bounds(landmarks)
    # Landmarks of something that is no face may ask for any rectangle.
    left, right = np.clip([left, right], 0, frame.width - 1).tolist()
    top, bottom = np.clip([top, bottom], 0, frame.height - 1).tolist()
    image = frame.bgr_region(left, top, right - left + 1, bottom - top + 1)
    return align_face(image, landmarks - np.array([left, top], np.float32))
