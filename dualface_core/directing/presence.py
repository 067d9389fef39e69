"""Who is there when, as the director sees it: without glances, and without brief losses.

Belongs here: the faces of one person in one shot, made fit for decisions. A person who is lost
for no longer than the camera waits counts as there all the time; a detection that jumps away for a moment, or somebody
who is hardly seen at all, is no reason for anything.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import median_filter

from dualface_core.camera.parameters import CameraParameters

_STEADY: Final = 0.8
"""Seconds of the running median of a face's place and size."""


@dataclass(frozen=True)
class Presence:
    """One person in one shot.

    Attributes:
        there: (frames,) whether they are there, or lost for a moment only.
        boxes: (frames, 4) of their face, in pixels, also where they are not there; NaN if they never are.
    """

    there: NDArray[np.bool_]
    boxes: NDArray[np.float64]

    @classmethod
    def of(
        cls, boxes: NDArray[np.float64], times: NDArray[np.float64], camera: CameraParameters, *, lead: float
    ) -> Presence:
        """What there is of a person in a shot.

        Args:
            boxes: (frames, 4) of x, y, width, height; NaN where they are not seen.
            times: when each frame begins, and when the last one ends: (frames + 1,), in seconds.
            camera: which brief losses and appearances it passes over.
            lead: seconds by which they are there before they come back, and after they are gone, so that tiles have
                time to make room.
        """
        frames = len(boxes)
        known = np.flatnonzero(~np.isnan(boxes[:, 0]))
        there = np.zeros(frames, bool)
        for run in np.split(known, np.flatnonzero(times[known[1:]] - times[known[:-1] + 1] > camera.bridge) + 1):
            if len(run):
                first, stop = int(run[0]), int(run[-1]) + 1
                seconds = times[stop] - times[first]
                there[first:stop] = seconds >= camera.shortest_appearance or 2 * (stop - first) > frames
        known = known[there[known]]
        if not len(known):
            return cls(there, np.full((frames, 4), np.nan))

        window = 2 * round(_STEADY / 2 / max(float(np.median(np.diff(times))), 1e-3)) + 1
        steady = median_filter(boxes[known], (min(window, 2 * len(known) - 1), 1), mode="nearest")
        filled = np.stack([np.interp(np.arange(frames), known, column) for column in steady.T], axis=1)
        gaps = np.flatnonzero(np.diff(np.concatenate([[True], there, [True]]).astype(np.int8))).reshape(-1, 2)
        for first, stop in gaps.tolist():
            if times[stop] - times[first] <= camera.hold:
                there[first:stop] = True
                continue
            begin = times[first] + (lead if first else 0.0)
            end = times[stop] - (lead if stop < frames else 0.0)
            there[first:stop] = (times[first:stop] < begin) | (times[first + 1 : stop + 1] > end)
        return cls(there, filled)
