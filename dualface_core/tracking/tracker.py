"""From what was observed to FaceTracks: follows faces, and decides who they are.

Belongs here: the logic over the whole video, in order, with memory that doesn't grow with its length but for one table
of faces, and the making of that table. What it takes of each frame, and where faces are looked for, is `observation`'s:
a few times a second and at cuts; in between they are interpolated. A few face crops of every tracklet are kept until it
ends and become its embedding. Where a face is lost, the head is followed (`heads`). Identities are decided at the end
(`identities`).
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

import numpy as np
from numpy.typing import NDArray

from dualface_core.engine.workers import Workers
from dualface_core.faces.face_crops import FaceCrop, make_face_crop
from dualface_core.faces.portrait import Portrait
from dualface_core.faces.weights import WeightFiles
from dualface_core.tables.face_tracks import FaceTracks, TracksMetadata
from dualface_core.tracking.appearance import AT_ONCE, describe
from dualface_core.tracking.heads import HeadFollower
from dualface_core.tracking.identities import EmbeddedTracklet, identify, split
from dualface_core.tracking.observation import Look, Seen, look_size
from dualface_core.tracking.parameters import TrackParameters
from dualface_core.tracking.rows import face_rows
from dualface_core.tracking.shots import ShotDetector
from dualface_core.tracking.stage import StageFinder
from dualface_core.tracking.tracklets import Tracklet, TrackletLinker

_CROPS: Final = 6
"""Face crops of a tracklet that are embedded; more of them say little more."""

_CROP_SECONDS: Final = 0.3
"""Face crops of a tracklet are the best of stretches at least this long."""

_MOST_UNWATCHED: Final = 128
"""Looks whose images wait for `StageFinder`: some 15 MB, every other one having one."""

_LEAST_QUALITY: Final = 0.01
"""The worst face crop still counts for so much."""


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


class FaceTracker:
    """Takes what was observed of every frame of a video, in order, and then tells who was where.

    Args:
        parameters: how faces were looked for.
        weights: of the networks that describe faces.
        frame_size: width and height of the upright frame, in pixels.
        time_base: seconds per unit of `Seen.pts`.
        fingerprint: SHA-256 of the file, in hex.
        person_a: who is to be called A; None for the one on the left where both are first seen together.
        workers: processes that describe face crops; None to do it in this one.

    Raises ModelError where a model file is missing, and where it is wrong here or when faces are described.
    """

    def __init__(
        self,
        parameters: TrackParameters,
        weights: WeightFiles,
        *,
        frame_size: tuple[int, int],
        time_base: Fraction,
        fingerprint: str,
        person_a: Portrait | None = None,
        workers: Workers | None = None,
    ) -> None:
        self._parameters = parameters
        self._weights = weights
        self._sha256 = weights.sha256()
        self._frame_size = frame_size
        self._time_base = time_base
        self._fingerprint = fingerprint
        self._person_a = person_a
        self._workers = workers
        self._shots = ShotDetector()
        image_size = look_size(frame_size, parameters)
        self._shrunk = frame_size[0] / image_size[0], frame_size[1] / image_size[1]
        self._stage = StageFinder(frame_size, image_size)
        # It knows nothing of faces linked so far, so a thread of its own watches while they are linked.
        self._watching = ThreadPoolExecutor(1, "stage")
        self._watched: deque[Future[None]] = deque()
        self._linker = TrackletLinker(start_score=parameters.score_threshold)
        self._heads = HeadFollower(frame_size)
        self._pts: list[int] = []
        # Looks, until the shots that they lie in are known.
        self._waiting: deque[Look] = deque()
        self._crops: dict[int, _FaceCrops] = {}
        # Tracklets that have ended and are not described yet.
        self._ended: list[tuple[Tracklet, list[_Kept]]] = []
        self._embedded: list[EmbeddedTracklet] = []

    def add(self, seen: Seen) -> None:
        """Take the next frame."""
        self._pts.append(seen.pts)
        self._shots.add(seen.thumbnail, seen.time)
        for look in seen.looks:
            self._heads.add(look.index, look.time, look.gray)
            self._waiting.append(look)
        if seen.gray is not None:
            self._heads.add(seen.index, seen.time, seen.gray)
        self._follow(self._shots.settled)

    def finish(self, notes: Sequence[str] = (), lost: Sequence[tuple[float, float]] = ()) -> FaceTracks:
        """There are no more frames. The table is empty, and names no people, if no face was found.

        `notes` and `lost` are what the reader says of the frames (`VideoReader.notes`, `VideoReader.lost`).
        Raises PortraitError if nobody is like `person_a`.
        """
        self._shots.finish()
        self._follow(self._shots.settled)
        shots = self._watching.submit(self._stage.finish, self._shots.spans())
        self._close(())
        self._describe()
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
        pts = np.array(self._pts, np.int64)
        rows = face_rows(self._embedded, labeling, heads, pts, np.asarray(pts * float(self._time_base), np.float64))
        self._watch_until(0)
        metadata = TracksMetadata(
            fingerprint=self._fingerprint,
            time_base=f"{self._time_base.numerator}/{self._time_base.denominator}",
            frame_width=width,
            frame_height=height,
            frame_pts=self._pts,
            shots=shots.result(),
            people=list(labeling.people),
            prototypes=prototypes if self._parameters.keep_prototypes else {},
            model_sha256=self._sha256,
            parameters=self._parameters.model_dump(),
            lost=list(lost),
            notes=list(notes),
        )
        self._watching.shutdown()
        return FaceTracks(rows, metadata)

    def _follow(self, stop: int) -> None:
        """Link the faces of the looks before frame `stop`, whose shots are known."""
        while self._waiting and self._waiting[0].index < stop:
            self._link(self._waiting.popleft())

    def _link(self, look: Look) -> None:
        """Link the faces of one look, and describe the tracklets that have ended."""
        self._shots.judge(look.index, look.goes_on)
        shot = bisect_right(self._shots.starts, look.index) - 1
        clear = look.faces.scores >= self._parameters.score_threshold
        self._watched.append(
            self._watching.submit(self._stage.add, shot, look.time, look.image, look.faces.boxes[clear])
        )
        self._watch_until(_MOST_UNWATCHED)
        faces = look.faces.scaled(*self._shrunk)
        before = self._linker.open
        for tracklet, row in self._linker.add(look.index, look.time, shot, faces):
            crops = self._crops.setdefault(tracklet.number, _FaceCrops(tracklet))
            if crops.wants(look.time, look.quality[row]):
                box, landmarks, score = faces.boxes[row], faces.landmarks[row], float(faces.scores[row])
                crop = make_face_crop(look.squares[row], box, landmarks, score=score)
                crops.add(_Kept(look.quality[row], look.time, crop, look.attire[row]))
        still_open = {tracklet.number for tracklet in self._linker.open}
        self._close(still_open)
        self._heads.begin(
            [tracklet for tracklet in self._linker.open if len(tracklet.frames) == 1], self._shots.starts[shot]
        )
        self._heads.end(tracklet for tracklet in before if tracklet.number not in still_open)
        self._heads.settle(look.time, self._shots.starts, frame=look.index)

    def _watch_until(self, left: int) -> None:
        """Wait until no more than so many looks are yet to be watched."""
        while len(self._watched) > left:
            self._watched.popleft().result()

    def _close(self, still_open: Collection[int]) -> None:
        """Put the face crops of the tracklets that have ended aside, and describe them once they are many."""
        for number in [number for number in self._crops if number not in still_open]:
            closed = self._crops.pop(number)
            self._ended.append((closed.tracklet, sorted(closed.best.values(), key=lambda item: item.time)))
        if sum(len(kept) for _, kept in self._ended) >= AT_ONCE:
            self._describe()

    def _describe(self) -> None:
        """Turn the face crops of the tracklets that have ended into embeddings."""
        crops = [item.crop for _, kept in self._ended for item in kept]
        if not crops:
            return
        faces = describe(self._workers, crops, self._weights)
        quality = np.maximum(faces.quality, _LEAST_QUALITY)
        first = 0
        for tracklet, kept in self._ended:
            own = slice(first, first + len(kept))
            self._embedded += split(
                tracklet,
                times=np.array([item.time for item in kept]),
                embeddings=faces.embeddings[own],
                quality=quality[own],
                attire=np.stack([item.attire for item in kept]),
            )
            first = own.stop
        self._ended.clear()
