"""Who is present when: the appearances of a person in a shot, the gaps between them, and the state of each frame.

Belongs here: time and presence. Doesn't: where the camera looks meanwhile (`film`). The one idea: short losses are
bridged and wrong detections dropped first, so that the rest of the camera deals with clean stretches alone.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy.interpolate import BSpline

from dualface_core.camera.framing import Sights
from dualface_core.camera.parameters import CameraParameters
from dualface_core.camera.path import STEP, Limits, Signal, median
from dualface_core.tables.labels import CameraState

TRACKING, HOLDING, WIDE = range(len(CameraState))
"""The states as a plan stores them, by their place in `CameraState`."""

_OUTLIER_WINDOW: Final = 0.8
"""Seconds of the median that a face is compared with; one that lies a face's height away from it is not believed."""


@dataclass(frozen=True)
class Gap:
    """A stretch of a shot without the person.

    Attributes:
        start: time of the last frame with the person, or of the shot's first frame if they were not there before.
        stop: time of the first frame with the person again, or of the shot's last frame if they don't come back.
        lost: they were there before.
        back: they come back.
        first, end: its control points, half open.
    """

    start: float
    stop: float
    lost: bool
    back: bool
    first: int
    end: int

    def opens_out(self, parameters: CameraParameters) -> bool:
        """True if there is time to open out fully, after the wait, and to close in again before they are back."""
        waiting = parameters.hold + parameters.zoom_ease if self.lost else 0.0
        return self.stop - self.start >= waiting + (parameters.zoom_ease if self.back else 0.0)


@dataclass(frozen=True)
class Take:
    """One run of frames in which a subject appears, and the uniform grid of the control points of its paths.

    Attributes:
        times: of the frames, in seconds.
        followed: per frame, whether the subject is present and believed to be where it was seen.
        sights: per frame; between two of them on a straight line.
        grid: times of the control points; they begin before the first frame and end after the last.
        before: per frame, the first of the four control points that it depends on.
        runs: (n, 2) first control point of each appearance and the one after its last.
        gaps: the stretches before, between and after the appearances that have any frames.
    """

    times: Signal
    followed: NDArray[np.bool_]
    sights: Sights
    grid: Signal
    before: NDArray[np.intp]
    runs: NDArray[np.intp]
    gaps: list[Gap]

    @classmethod
    def of(cls, times: Signal, sights: Sights, parameters: CameraParameters) -> Take | None:
        """The take of a subject; None where it does not appear.

        Args:
            times: of the frames, in seconds.
            sights: of the frames.
            parameters: how the camera behaves.
        """
        boxes = sights.boxes
        if (appearances := _appearances(times, boxes, parameters)) is None:
            return None
        steps = max(1, int(np.ceil((times[-1] - times[0]) / STEP - 1e-9)))
        grid = times[0] + STEP * np.arange(-1, steps + 2)
        before = np.clip(((times - times[0]) / STEP + 1e-9).astype(np.intp), 0, steps - 1)
        runs = np.rint((times[appearances] - grid[0]) / STEP).astype(np.intp) + np.array([0, 1])
        runs[appearances[:, 0] == 0, 0] = 0
        runs[appearances[:, 1] == len(times) - 1, 1] = len(grid)

        followed = np.zeros(len(times), bool)
        for first, last in appearances:
            followed[first : last + 1] = True
        followed &= ~_outliers(times, sights, grid, followed)
        seen = followed & ~np.isnan(boxes[:, 0])

        gaps = []
        for index in range(len(runs) + 1):
            lost, back = index > 0, index < len(runs)
            start = times[appearances[index - 1, 1]] if lost else times[0]
            stop = times[appearances[index, 0]] if back else times[-1]
            first = int(runs[index - 1, 1]) if lost else 0
            end = int(runs[index, 0]) if back else len(grid)
            if stop > start:
                gaps.append(Gap(float(start), float(stop), lost, back, first, end))
        return cls(times, followed, sights.filled(times, seen), grid, before, runs, gaps)

    def sample(self, values: Signal) -> Signal:
        """Values per frame, on the grid, on straight lines."""
        return np.interp(self.grid, self.times, values)

    def read(self, path: Signal) -> Signal:
        """A path on the grid, at the times of the frames: a mean of the four control points that they depend on."""
        knots = self.grid[0] + STEP * np.arange(-2, len(self.grid) + 2)
        return np.asarray(BSpline(knots, path, 3)(self.times))

    def between(self, lower: Signal, upper: Signal) -> Limits:
        """On the grid, the limits that keep a path between these values, where they leave room for it.

        A frame's value is a mean of four control points, so it lies between what they all lie between. Where the limits
        of one frame exclude those of another, the middle is taken.
        """
        low, high = np.full(len(self.grid), -np.inf), np.full(len(self.grid), np.inf)
        for neighbor in range(4):
            np.maximum.at(low, self.before + neighbor, lower)
            np.minimum.at(high, self.before + neighbor, upper)
        free = np.isinf(low)  # no frame depends on it
        low, high = (np.where(free, self.sample(part), values) for part, values in ((lower, low), (upper, high)))
        middle = (low + high) / 2
        return Limits(np.minimum(low, middle), np.maximum(high, middle))

    def index(self, time: float) -> int:
        """The control point nearest to a time."""
        return int(np.clip(round((time - self.grid[0]) / STEP), 0, len(self.grid)))

    def states(self, parameters: CameraParameters) -> NDArray[np.int8]:
        """State of each frame, by its place in `CameraState`."""
        result = np.where(self.followed, TRACKING, HOLDING).astype(np.int8)
        for gap in self.gaps:
            absent = ~self.followed & (self.times >= gap.start) & (self.times <= gap.stop)
            result[absent] = WIDE if gap.opens_out(parameters) else HOLDING
            if gap.lost:
                result[absent & (self.times <= gap.start + parameters.hold)] = HOLDING
        return result


def _appearances(times: Signal, boxes: NDArray[np.float64], parameters: CameraParameters) -> NDArray[np.intp] | None:
    """Stretches in which the person counts as present: (n, 2) of first and last frame, or None."""
    known = np.flatnonzero(~np.isnan(boxes[:, 0]))
    if not len(known):
        return None
    # Seconds without the person between two sightings; none if the frames are neighbors, however slow the video.
    missing = np.where(np.diff(known) > 1, np.diff(times[known]), 0.0)
    breaks = np.flatnonzero(missing > parameters.bridge)
    runs = np.stack([known[np.append(0, breaks + 1)], known[np.append(breaks, len(known) - 1)]], axis=1)
    frame = np.median(np.diff(times)) if len(times) > 1 else 0.0
    seconds = times[runs[:, 1]] - times[runs[:, 0]] + frame
    worth = (seconds >= parameters.shortest_appearance) | ((runs[:, 1] - runs[:, 0] + 1) * 2 > len(times))
    return runs[worth] if worth.any() else None


def _outliers(times: Signal, sights: Sights, grid: Signal, followed: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Frames in which a face is for a moment far from where it is just before and after: a detector's mistake."""
    boxes = sights.boxes
    known = followed & ~np.isnan(boxes[:, 0])
    outlying = np.zeros(len(times), bool)
    for corner, extent in ((0, 2), (1, 3)):
        center = boxes[known, corner] + boxes[known, extent] / 2
        usual = median(np.interp(grid, times[known], center), _OUTLIER_WINDOW)
        outlying[known] |= np.abs(center - np.interp(times[known], grid, usual)) > sights.face[known]
    return outlying if (known & ~outlying).any() else np.zeros_like(outlying)
