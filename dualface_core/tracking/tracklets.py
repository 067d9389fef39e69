"""The same face from one look to the next, within a shot.

Belongs here: linking detections into tracklets by position and size alone. The one idea: purity first. A tracklet must
never hold two people, so wherever a link could be another one (faces side by side, one behind the other, a face lost
near another) the tracklets end and new ones begin; who they are is decided later, for the whole video at once.
"""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Collection
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from dualface_core.faces.detections import Detections

LONGEST_GAP: Final = 0.5
"""Seconds without a detection after which a tracklet ends."""

_REACH: Final = 0.45
_REACH_PER_SECOND: Final = 1.5
"""A face is looked for this far from where it is expected, in face sizes: so much at once, so much more per second."""

_SIZE_WEIGHT: Final = 1.0
"""A change of size by a factor e costs as much as a distance of so many face sizes."""

_CLEARANCE: Final = 0.35
"""Face sizes by which a link is better than any other that one of its two ends could have."""

_FASTEST: Final = 2.5
"""Face sizes per second that a face may move at unnoticed: the clearance of one that was seen only once grows by it."""

_MEMORY: Final = 0.25
"""Seconds over which a face's velocity is averaged."""


@dataclass
class Tracklet:
    """One face over a short time: one entry in each list per detection.

    Attributes:
        number: unique in the video, in order of appearance.
        shot: number of the shot that it lies in.
        frames: frame numbers, ascending.
        times: seconds.
        boxes: (4,) float32 x, y, width, height in pixels.
        landmarks: (5, 2) float32 in pixels.
        scores: 0..1.
        velocity: (2,) of the center, in pixels per second.
    """

    number: int
    shot: int
    frames: list[int] = field(default_factory=list)
    times: list[float] = field(default_factory=list)
    boxes: list[NDArray[np.float32]] = field(default_factory=list)
    landmarks: list[NDArray[np.float32]] = field(default_factory=list)
    scores: list[float] = field(default_factory=list)
    velocity: NDArray[np.float64] = field(default_factory=lambda: np.zeros(2))

    def extend(self, frame: int, time: float, detections: Detections, row: int) -> None:
        """Add one detection."""
        box = detections.boxes[row]
        if self.times:
            elapsed = time - self.times[-1]
            moved = (center(box) - center(self.boxes[-1])) / elapsed
            # The first velocity is taken as it is, later ones are averaged over `_MEMORY`.
            share = 1.0 if len(self.times) == 1 else 1 - np.exp(-elapsed / _MEMORY)
            self.velocity = self.velocity + share * (moved - self.velocity)
        self.frames.append(frame)
        self.times.append(time)
        self.boxes.append(box)
        self.landmarks.append(detections.landmarks[row])
        self.scores.append(float(detections.scores[row]))

    def expected(self, time: float) -> NDArray[np.float64]:
        """Where the center would be at `time`, moving on as it did."""
        return center(self.boxes[-1]) + self.velocity * (time - self.times[-1])

    def position(self, time: float) -> NDArray[np.float64]:
        """The center at a time within the tracklet, in pixels, between the two detections around it."""
        after = min(bisect_left(self.times, time), len(self.times) - 1)
        around = slice(max(after - 1, 0), after + 1)
        centers = np.array([center(box) for box in self.boxes[around]])
        return np.array([np.interp(time, self.times[around], centers[:, axis]) for axis in range(2)])

    def part(self, begin: float, end: float) -> Tracklet:
        """A tracklet of the detections from `begin` to `end`, in seconds, both included."""
        part = Tracklet(self.number, self.shot)
        for row, time in enumerate(self.times):
            if begin <= time <= end:
                score = np.array([self.scores[row]], np.float32)
                part.extend(
                    self.frames[row], time, Detections(self.boxes[row][None], self.landmarks[row][None], score), 0
                )
        return part

    def clearance(self, time: float) -> float:
        """Face sizes by which a link at `time` must be better than any other."""
        return _CLEARANCE + (_FASTEST * (time - self.times[-1]) if len(self.times) == 1 else 0.0)


def center(box: NDArray[Any]) -> NDArray[np.float64]:
    """(2,) of a (4,) box."""
    return np.asarray(box[:2] + box[2:] / 2, np.float64)


def size(box: NDArray[Any]) -> float:
    """The geometric mean of a box's sides, in pixels."""
    return float(np.sqrt(max(box[2] * box[3], 1e-6)))


class TrackletLinker:
    """Links detections to tracklets, in the order of time.

    Args:
        start_score: a detection that scores less may extend a tracklet, but not begin one.

    Attributes:
        open: the tracklets that may still be extended.
    """

    def __init__(self, *, start_score: float) -> None:
        self.open: list[Tracklet] = []
        self._start_score = start_score
        self._made = 0
        self._last_frame = -1

    def add(self, frame: int, time: float, shot: int, detections: Detections) -> list[tuple[Tracklet, int]]:
        """Link the detections of one frame.

        Returns:
            Every tracklet that was begun or extended, with the row of its detection.
        """
        self.open = [
            tracklet
            for tracklet in self.open
            if tracklet.shot == shot
            # Where looks are rare, a face of the last one may go on all the same.
            and (time - tracklet.times[-1] <= LONGEST_GAP or tracklet.frames[-1] == self._last_frame)
        ]
        self._last_frame = frame
        costs = _costs(self.open, time, detections)
        clearance = np.array([tracklet.clearance(time) for tracklet in self.open])
        sure = np.flatnonzero(detections.scores >= self._start_score)
        faint = np.flatnonzero(detections.scores < self._start_score)
        links, unclear = _clear_links(costs, clearance, sure, taken=())
        # A faint detection only carries on what nothing better did, as in ByteTrack (Zhang and others, 2022).
        links |= _clear_links(costs, clearance, faint, taken=links)[0]

        extended = [(self.open[number], row) for number, row in links.items()]
        self.open = [tracklet for number, tracklet in enumerate(self.open) if number in links or number not in unclear]
        for row in sorted(set(sure.tolist()) - set(links.values())):
            tracklet = Tracklet(self._made, shot)
            self._made += 1
            self.open.append(tracklet)
            extended.append((tracklet, row))
        for tracklet, row in extended:
            tracklet.extend(frame, time, detections, row)
        return extended


def _costs(tracklets: list[Tracklet], time: float, detections: Detections) -> NDArray[np.float64]:
    """(tracklets, detections): face sizes between where a face is and where it was expected; infinite out of reach."""
    costs = np.full((len(tracklets), len(detections)), np.inf)
    faces = [(*center(box).tolist(), size(box)) for box in detections.boxes]
    for number, tracklet in enumerate(tracklets):
        (x, y), last = tracklet.expected(time).tolist(), size(tracklet.boxes[-1])
        reach = _REACH + _REACH_PER_SECOND * (time - tracklet.times[-1])
        for row, (face_x, face_y, side) in enumerate(faces):
            distance = math.hypot(face_x - x, face_y - y) / math.sqrt(side * last)
            cost = distance + _SIZE_WEIGHT * abs(math.log(side / last))
            if cost <= reach:
                costs[number, row] = cost
    return costs


def _clear_links(
    costs: NDArray[np.float64], clearance: NDArray[np.float64], rows: NDArray[np.intp], *, taken: Collection[int]
) -> tuple[dict[int, int], set[int]]:
    """The best assignment of some detections, where it is beyond doubt.

    Args:
        costs: (tracklets, detections), infinite where there can be no link.
        clearance: (tracklets,) by how much a link must be better than others.
        rows: the detections to assign.
        taken: tracklets that are linked already. They get no other detection, but may cast doubt on it.

    Returns:
        The row for every tracklet that gets one, and the tracklets whose links are in doubt.
    """
    links: dict[int, int] = {}
    unclear: set[int] = set()
    if not costs.size or not len(rows):
        return links, unclear
    from scipy.optimize import linear_sum_assignment  # which who only observes does not need

    near = costs[:, rows]
    finite = np.isfinite(near)
    if not taken and finite.sum(axis=0).max() <= 1 and finite.sum(axis=1).max() <= 1:  # each could be one other at most
        return {number: int(rows[column]) for number, column in np.argwhere(finite).tolist()}, unclear
    possible = near.copy()
    possible[list(taken)] = np.inf
    numbers, columns = linear_sum_assignment(np.where(np.isfinite(possible), possible, 1e6))
    for number, column in zip(numbers.tolist(), columns.tolist(), strict=True):
        limit = possible[number, column] + clearance[number]
        if not np.isfinite(limit):
            continue
        rivals = set(np.flatnonzero(near[:, column] < limit).tolist())
        if len(rivals) > 1 or np.count_nonzero(near[number] < limit) > 1:
            unclear |= rivals
        else:
            links[number] = int(rows[column])
    return links, unclear
