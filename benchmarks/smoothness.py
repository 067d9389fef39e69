"""Figures that say how calm a camera path is.

Belongs here: measures of a plan; no thresholds, no verdict. Motion is measured as a viewer sees it, in pixels of the
tile, on the file's own timestamps and never across a cut or from one scene to the next, so that videos of any size and
frame rate compare.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from dualface_core.tables.face_tracks import FaceTracks
from dualface_core.tables.tile_plan import TilePlan

Signal = NDArray[np.float64]

STILL: Final = 1.0
"""Pixels of the tile per second. What is slower is at rest."""


@dataclass(frozen=True)
class Smoothness:
    """How the camera of one tile moves: the crop window's center, in pixels of the tile. 0 in a video of one frame.

    Attributes:
        path_length: pixels per second, on average.
        still: share of the time at rest, 0 to 1.
        acceleration: root mean square, pixels/s2.
        jerk: root mean square, pixels/s3.
    """

    path_length: float = 0.0
    still: float = 1.0
    acceleration: float = 0.0
    jerk: float = 0.0


def smoothness(plan: TilePlan, tracks: FaceTracks) -> list[Smoothness]:
    """Measure the camera of each tile, in the order of the layout's tiles."""
    crop_windows, drawn = plan.crop_windows.astype(np.float64), plan.drawn
    heights = plan.tiles[..., 3].astype(np.float64)
    begins = np.unique([part.first for parts in (tracks.shots, plan.scenes) for part in parts])
    parts = np.split(np.arange(len(drawn)), begins[1:])
    return [
        _motion(crop_windows[:, slot], heights[:, slot], tracks.times, [part[drawn[part, slot]] for part in parts])
        for slot in range(drawn.shape[1])
    ]


def _motion(crop_windows: Signal, heights: Signal, times: Signal, parts: list[NDArray[np.intp]]) -> Smoothness:
    seconds, speeds, accelerations, jerks = [], [], [], []
    for part in parts:
        step = np.diff(times[part])
        center, height = crop_windows[part, :2], crop_windows[part, 3]
        if not len(step):
            continue
        tile = heights[part]
        scale = (tile[1:] + tile[:-1]) / (height[1:] + height[:-1])
        velocity = np.diff(center, axis=0) * (scale / step)[:, None]
        middle = (times[part][1:] + times[part][:-1]) / 2
        acceleration, middle = _rate(velocity, middle)
        jerk, _ = _rate(acceleration, middle)
        seconds.append(step)
        speeds.append(np.hypot(*velocity.T))
        accelerations.append(np.hypot(*acceleration.T))
        jerks.append(np.hypot(*jerk.T))
    if not seconds:
        return Smoothness()
    time, speed = np.concatenate(seconds), np.concatenate(speeds)
    return Smoothness(
        path_length=float(np.average(speed, weights=time)),
        still=float(np.average(speed < STILL, weights=time)),
        acceleration=_rms(accelerations),
        jerk=_rms(jerks),
    )


def _rate(values: Signal, times: Signal) -> tuple[Signal, Signal]:
    """The derivative of (samples, axes), and the times at which it holds."""
    return np.diff(values, axis=0) / np.diff(times)[:, None], (times[1:] + times[:-1]) / 2


def _rms(parts: list[Signal]) -> float:
    values = np.concatenate(parts)
    return float(np.sqrt(np.mean(values**2))) if len(values) else 0.0
