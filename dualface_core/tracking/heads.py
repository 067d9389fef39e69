"""Heads whose faces cannot be seen: somebody turns away, or is seen from behind, and is in full view all the same.

Belongs here: following a head from the last face of a tracklet on, and from the first one back, by optical flow. The
one idea: a head that is followed must never end up as somebody else's, so it is given up early: where points of head
and shoulders do not come back to where they were when the flow is followed backwards (Kalal, Mikolajczyk and Matas,
"Forward-backward error", 2010), where they disagree, at any detected face, at the edge of the frame and at a cut.
Whose head it is, is decided later, with the tracklet.

Frames are kept as small gray ones, at the most `MOST_FRAMES` of them, and a head is followed for `LONGEST` seconds at
the most.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from dualface_core.tracking.tracklets import Tracklet, center, size

LONGEST: Final = 10.0
"""Seconds for which a head is followed without a face, at the most, in either direction."""

MOST_FRAMES: Final = 300
"""Gray frames that are kept: 17 MB."""

GRAYS_PER_SECOND: Final = 12.0
"""Gray frames per second, besides those in which faces are looked for."""

_SIDE: Final = 320
"""Longer side of a gray frame, in pixels."""

_SMALLEST: Final = 7.0
"""Pixels of a gray frame that a face needs at least."""

_POINTS: Final = 30
_FEWEST: Final = 8
"""Points of the head, and of the shoulders, that are followed from one frame to the next at the most, and points of
both that come back at the least."""

_COME_BACK: Final = 0.25
"""Share of them that must come back to where they were, within `_ERROR` pixels of a gray frame. Those of a face that
turns away are lost."""

_ERROR: Final = 0.6

_SPREAD: Final = 0.06
"""Face sizes by which the points, on their median, may move otherwise than the head as a whole."""

_CHANGE_OF_SIZE: Final = 0.06
"""The most by which a head grows or shrinks from one gray frame to the next."""

_COVERS: Final = 1.2
"""Face sizes between a head and a detected face, below which it is followed no further: shoulders touch."""

_OUTSIDE: Final = 0.25
"""Share of a head's box that may lie outside the frame."""

_AGREE: Final = 1.0
"""Face sizes between two ways of following one head, from before and from after, that still agree."""


@dataclass(frozen=True)
class HeadPath:
    """Where a head is between a face and where it is lost.

    Attributes:
        frames: (n,) frame numbers, ascending; the first or the last one is the face's.
        boxes: (n, 4) of x, y, width, height in pixels, where its face would be.
    """

    frames: NDArray[np.intp]
    boxes: NDArray[np.float64]

    @classmethod
    def at(cls, tracklet: Tracklet, row: int) -> HeadPath:
        """No further than one of a tracklet's detections."""
        return cls(np.array([tracklet.frames[row]]), np.array([tracklet.boxes[row]], np.float64))


def through_gap(onward: HeadPath, backward: HeadPath) -> list[HeadPath]:
    """How a head went from one face to the next: the way on from the one and the way back from the other.

    Where they meet they become one, fading into one another; if they disagree there, neither is believed.
    """
    both = np.arange(max(onward.frames[0], backward.frames[0]), min(onward.frames[-1], backward.frames[-1]) + 1)
    if not len(both):
        return [onward, backward]
    ways = [
        np.stack([np.interp(both, path.frames, column) for column in path.boxes.T], axis=1)
        for path in (onward, backward)
    ]
    apart = np.linalg.norm((ways[0] - ways[1])[:, :2] + (ways[0] - ways[1])[:, 2:] / 2, axis=1)
    if np.any(apart > _AGREE * np.sqrt(ways[1][:, 2] * ways[1][:, 3])):
        return []
    share = np.linspace(0, 1, len(both) + 2)[1:-1, None]
    parts = (
        (onward.frames, onward.boxes, onward.frames < both[0]),
        (both, (1 - share) * ways[0] + share * ways[1], np.ones(len(both), bool)),
        (backward.frames, backward.boxes, backward.frames > both[-1]),
    )
    frames, boxes = (np.concatenate([part[place][part[2]] for part in parts]) for place in range(2))
    return [HeadPath(frames, boxes)]


def gray_size(frame_size: tuple[int, int]) -> tuple[int, int]:
    """Width and height of the gray frames of frames of this width and height."""
    width, height = (max(1, round(side * _shrunk(frame_size))) for side in frame_size)
    return width, height


def _shrunk(frame_size: tuple[int, int]) -> float:
    return min(1.0, _SIDE / max(frame_size))


@dataclass(frozen=True)
class _Gray:
    index: int
    time: float
    image: NDArray[np.uint8]


class HeadFollower:
    """Takes the frames of a video, in order, and the tracklets that begin and end in them.

    Args:
        frame_size: width and height of the upright frame, in pixels.
    """

    def __init__(self, frame_size: tuple[int, int]) -> None:
        self._scale = _shrunk(frame_size)
        self._size = gray_size(frame_size)
        self._grays: deque[_Gray] = deque(maxlen=MOST_FRAMES)
        self._lost: list[Tracklet] = []
        self._recent: list[Tracklet] = []
        self._before: dict[tuple[int, int], HeadPath] = {}
        self._after: dict[tuple[int, int], HeadPath] = {}

    def add(self, index: int, time: float, gray: NDArray[np.uint8]) -> None:
        """Keep a gray frame of `gray_size`, unless it is kept already: those in which faces are looked for, and more.

        `index` is the frame's number, `time` in seconds.
        """
        if not self._grays or index > self._grays[-1].index:
            self._grays.append(_Gray(index, time, gray))

    def begin(self, tracklets: Sequence[Tracklet], first: int) -> None:
        """Follow the heads of tracklets that have just begun back in time, to frame `first` of the shot at most."""
        self._recent += tracklets
        for tracklet in tracklets:
            frame = tracklet.frames[0]
            grays = [gray for gray in reversed(self._grays) if first <= gray.index <= frame]
            self._before[tracklet.number, frame] = self._path(tracklet, 0, grays)

    def end(self, tracklets: Iterable[Tracklet]) -> None:
        """These tracklets have ended: their heads are to be followed once it is known what comes next."""
        self._lost += tracklets

    def settle(self, time: float, starts: Sequence[int], *, frame: float = math.inf) -> None:
        """Faces are known up to this time and frame; `starts` are the first frames of the shots.

        Follow the heads of the tracklets that ended long enough ago, or in another shot, onward.
        """
        waiting = []
        for tracklet in self._lost:
            stop = starts[tracklet.shot + 1] if tracklet.shot + 1 < len(starts) else math.inf
            last = tracklet.frames[-1]
            if frame < stop and time - tracklet.times[-1] < LONGEST:
                waiting.append(tracklet)
                continue
            grays = [gray for gray in self._grays if last <= gray.index < min(stop, frame + 1)]
            self._after[tracklet.number, last] = self._path(tracklet, -1, grays)
        self._lost = waiting
        oldest = min([time - LONGEST, *(tracklet.times[-1] for tracklet in waiting)])
        while self._grays and self._grays[0].time < oldest:
            self._grays.popleft()
        self._recent = [tracklet for tracklet in self._recent if tracklet.times[-1] >= oldest]

    def before(self, tracklet: Tracklet) -> HeadPath:
        """The head's way to a tracklet's first face."""
        return self._before.get((tracklet.number, tracklet.frames[0]), HeadPath.at(tracklet, 0))

    def after(self, tracklet: Tracklet) -> HeadPath:
        """The head's way from a tracklet's last face on."""
        return self._after.get((tracklet.number, tracklet.frames[-1]), HeadPath.at(tracklet, -1))

    def _path(self, tracklet: Tracklet, row: int, grays: Sequence[_Gray]) -> HeadPath:
        """Follow a head through gray frames, from one of a tracklet's detections, which is in the first of them."""
        box = tracklet.boxes[row].astype(np.float64) * self._scale
        if not grays or grays[0].index != tracklet.frames[row] or size(box) < _SMALLEST:
            return HeadPath.at(tracklet, row)
        rivals = [other for other in self._recent if other is not tracklet]
        boxes = [box]
        for before, after in pairwise(grays):
            found = _step(before.image, after.image, boxes[-1])
            if (
                found is None
                or abs(after.time - grays[0].time) > LONGEST
                or self._leaves(found)
                or self._is_covered(found, after.time, rivals)
            ):
                break
            boxes.append(found)
        frames = np.array([gray.index for gray in grays[: len(boxes)]], np.intp)
        order = np.argsort(frames)
        return HeadPath(frames[order], np.array(boxes)[order] / self._scale)

    def _leaves(self, box: NDArray[np.float64]) -> bool:
        """Whether too much of a box, in pixels of a gray frame, lies outside the frame."""
        inside = np.minimum(box[:2] + box[2:], self._size) - np.maximum(box[:2], 0)
        return bool(np.prod(np.maximum(inside, 0)) < (1 - _OUTSIDE) * np.prod(box[2:]))

    def _is_covered(self, box: NDArray[np.float64], time: float, rivals: Iterable[Tracklet]) -> bool:
        """Whether a face is detected where a head is: its own again, or that of somebody before it."""
        where = center(box) / self._scale
        reach = _COVERS * size(box) / self._scale
        return any(
            other.times[0] <= time <= other.times[-1] and np.linalg.norm(other.position(time) - where) < reach
            for other in rivals
        )


def _step(before: NDArray[np.uint8], after: NDArray[np.uint8], box: NDArray[np.float64]) -> NDArray[np.float64] | None:
    """Where the head at `box` is in the next gray frame, or None if the flow does not tell."""
    side = size(box)
    left, top = np.maximum(np.floor(center(box) - 2.5 * side), 0).astype(int)
    right, bottom = np.minimum(np.ceil(center(box) + side * np.array([2.5, 3.0])), before.shape[::-1]).astype(int)
    if right - left < 8 or bottom - top < 8:
        return None
    was, now = (np.ascontiguousarray(image[top:bottom, left:right]) for image in (before, after))
    found = _points(was, box - [left, top, 0, 0])
    if len(found) < _FEWEST:
        return None
    there, ok = _flow(was, now, found)
    back, ok_too = _flow(now, was, there)
    error = np.linalg.norm((back - found)[:, 0], axis=1)
    good = ok & ok_too & (error < _ERROR)
    if good.sum() < max(_FEWEST, _COME_BACK * len(found)):
        return None
    start, stop = found[good, 0].astype(np.float64), there[good, 0].astype(np.float64)
    moved = np.median(stop - start, axis=0)
    # The head grows by as much as the distances between its points do, on their median.
    pairs = np.triu_indices(len(start), 1)
    distances = [np.linalg.norm(points[pairs[0]] - points[pairs[1]], axis=1) for points in (start, stop)]
    far = distances[0] > side / 4
    factor = float(np.median(distances[1][far] / distances[0][far])) if far.any() else 1.0
    middle = np.median(start, axis=0)
    spread = np.linalg.norm(stop - (middle + moved + factor * (start - middle)), axis=1)
    if abs(factor - 1) > _CHANGE_OF_SIZE or np.median(spread) > max(_SPREAD * side, 0.5):
        return None
    corner = middle + [left, top] + moved + factor * (box[:2] - middle - [left, top])
    return np.concatenate([corner, factor * box[2:]])


def _flow(
    before: NDArray[np.uint8], after: NDArray[np.uint8], points: NDArray[np.float32]
) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """Where (n, 1, 2) points are in the next image, and (n,) whether they were found there (Lucas and Kanade)."""
    there, found, _ = cv2.calcOpticalFlowPyrLK(before, after, points, points.copy(), winSize=(11, 11), maxLevel=2)
    return np.asarray(there, np.float32), np.asarray(found)[:, 0] == 1


def _points(image: NDArray[np.uint8], box: NDArray[np.float64]) -> NDArray[np.float32]:
    """(n, 1, 2) of what stands out on a head (an ellipse), and on the neck and the shoulders below it."""
    x, y = center(box)
    width, height = box[2:]
    head, shoulders = np.zeros((2, *image.shape), np.uint8)
    cv2.ellipse(head, ((float(x), float(y - 0.1 * height)), (float(1.4 * width), float(1.6 * height)), 0.0), 255, -1)
    corners = np.array([[x - 0.9 * width, y + 0.7 * height], [x + 0.9 * width, y + 1.6 * height]]).round().astype(int)
    cv2.rectangle(shoulders, corners[0].tolist(), corners[1].tolist(), 255, -1)
    apart = max(2.0, size(box) / 10)
    found = [cv2.goodFeaturesToTrack(image, _POINTS, 0.02, apart, mask=mask) for mask in (head, shoulders)]
    return np.concatenate([np.zeros((0, 1, 2), np.float32), *(points for points in found if points is not None)])
