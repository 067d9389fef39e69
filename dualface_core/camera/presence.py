"""Who is present when: the appearances of a person in a shot, the gaps between them, and the state of each frame.

Belongs here: time and presence. Doesn't: where the camera looks meanwhile (`plan`). The one idea: short losses are
bridged and wrong detections dropped first, so that the rest of the camera deals with clean stretches alone.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy.interpolate import CubicSpline

from dualface_core.camera.parameters import CameraParameters
from dualface_core.camera.path import STEP, Signal, median
from dualface_core.tables.labels import CameraState

_TRACKING, _HOLDING, WIDE = range(len(CameraState))
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
        first, end: its samples, half open.
        earliest: the sample at which a move towards the return may begin, though the person is still there.
    """

    start: float
    stop: float
    lost: bool
    back: bool
    first: int
    end: int
    earliest: int

    def opens_out(self, parameters: CameraParameters) -> bool:
        """True if there is time to open out fully, after the wait, and to close in again before they are back."""
        waiting = parameters.hold + parameters.zoom_ease if self.lost else 0.0
        return self.stop - self.start >= waiting + (parameters.zoom_ease if self.back else 0.0)

    def latest_turn(self, lead: float) -> int:
        """The sample that lies `lead` seconds before the return."""
        return max(self.end - int(np.ceil(lead / STEP)) - 1, self.earliest) if self.back else self.end


@dataclass(frozen=True)
class Take:
    """One shot in which a person appears, on the uniform time grid on which paths are smoothed.

    Attributes:
        times: of the frames, in seconds.
        followed: per frame, whether the person is present and believed to be where the box says.
        boxes: per frame, x, y, width, height of the face; between sightings on a straight line.
        grid: times of the samples; they reach from the first frame to the last, or beyond.
        before: per frame, the sample at or before it.
        runs: (n, 2) first sample of each appearance and the one after its last.
        gaps: the stretches before, between and after the appearances that have any frames.
    """

    times: Signal
    followed: NDArray[np.bool_]
    boxes: NDArray[np.float64]
    grid: Signal
    before: NDArray[np.intp]
    runs: NDArray[np.intp]
    gaps: list[Gap]

    @classmethod
    def of(cls, times: Signal, boxes: NDArray[np.float64], parameters: CameraParameters) -> Take | None:
        """The take of a person in a shot; None where they do not appear.

        Args:
            times: of the shot's frames, in seconds.
            boxes: (frames, 4) of x, y, width, height; NaN where they are not seen.
            parameters: how the camera behaves.
        """
        if (appearances := _appearances(times, boxes, parameters)) is None:
            return None
        samples = max(4, int(np.ceil((times[-1] - times[0]) / STEP - 1e-9)) + 1)
        grid = times[0] + STEP * np.arange(samples)
        before = np.clip(np.searchsorted(grid, times + 1e-9, side="right") - 1, 0, samples - 2)
        runs = before[appearances] + np.array([0, 2])

        followed = np.zeros(len(times), bool)
        for first, last in appearances:
            followed[first : last + 1] = True
        followed &= ~_outliers(times, boxes, grid, followed)
        seen = followed & ~np.isnan(boxes[:, 0])
        boxes = np.stack([np.interp(times, times[seen], column[seen]) for column in boxes.T], axis=1)

        gaps = []
        for index in range(len(runs) + 1):
            lost, back = index > 0, index < len(runs)
            start = times[appearances[index - 1, 1]] if lost else times[0]
            stop = times[appearances[index, 0]] if back else times[-1]
            first = int(runs[index - 1, 1]) if lost else 0
            end = int(runs[index, 0]) if back else samples
            earliest = int(runs[index - 1].mean()) if lost else 0
            if stop > start:
                gaps.append(Gap(float(start), float(stop), lost, back, first, end, earliest))
        return cls(times, followed, boxes, grid, before, runs, gaps)

    def sample(self, values: NDArray[np.float64]) -> NDArray[np.float64]:
        """Values per frame, on the grid, on straight lines."""
        return np.interp(self.grid, self.times, values)

    def read(self, path: Signal) -> Signal:
        """A smooth path on the grid, at the times of the frames."""
        return np.asarray(CubicSpline(self.grid, path)(self.times))

    def greatest(self, values: Signal, otherwise: float) -> Signal:
        """On the grid, the greatest value of the followed frames beside each sample."""
        result = np.full(len(self.grid), otherwise)
        for neighbor in (self.before, self.before + 1):
            np.maximum.at(result, neighbor[self.followed], values[self.followed])
        return result

    def index(self, time: float) -> int:
        """The sample nearest to a time."""
        return int(np.clip(round((time - self.grid[0]) / STEP), 0, len(self.grid)))

    def states(self, parameters: CameraParameters) -> NDArray[np.int8]:
        """State of each frame, by its place in `CameraState`."""
        result = np.where(self.followed, _TRACKING, _HOLDING).astype(np.int8)
        for gap in self.gaps:
            absent = ~self.followed & (self.times >= gap.start) & (self.times <= gap.stop)
            result[absent] = WIDE if gap.opens_out(parameters) else _HOLDING
            if gap.lost:
                result[absent & (self.times <= gap.start + parameters.hold)] = _HOLDING
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


def _outliers(
    times: Signal, boxes: NDArray[np.float64], grid: Signal, followed: NDArray[np.bool_]
) -> NDArray[np.bool_]:
    """Frames in which a face is for a moment far from where it is just before and after: a detector's mistake."""
    known = followed & ~np.isnan(boxes[:, 0])
    outlying = np.zeros(len(times), bool)
    for corner, extent in ((0, 2), (1, 3)):
        center = boxes[known, corner] + boxes[known, extent] / 2
        usual = median(np.interp(grid, times[known], center), _OUTLIER_WINDOW)
        outlying[known] |= np.abs(center - np.interp(times[known], grid, usual)) > boxes[known, 3]
    return outlying if (known & ~outlying).any() else np.zeros_like(outlying)
