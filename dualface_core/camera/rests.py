"""Rests: where a camera holds, its crop window stands so that drawing it needs no shift by a fraction of a sample.

Belongs here: moving the rests of a finished path by a fraction of a pixel. Which places are meant is a matter of
`compositing.sampling`. The one idea: nobody sees whether a window that does not move stands a fraction of a pixel
further left, and it saves the compositor a quarter of its time.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from typing import Final

import numpy as np
from numpy.typing import NDArray

from dualface_core.camera.path import Limits, Signal
from dualface_core.compositing.sampling import unshifted_edge, unshifted_step

FARTHEST: Final = 1.0
"""Pixels of the source by which a rest is moved at most, or changes its height."""

_SHORTEST: Final = 6
"""Control points of a rest. A frame depends on four of them, so this one lasts for 0.3 s or more."""

_EASED: Final = 5
"""Control points between two rests, at least, over which their differences pass into one another."""

_STILL: Final = 1e-6
"""Extents by which a path moves from one control point to the next and still rests."""

Place = Callable[[int, float, float, float], float]
"""From a control point, the path's value there, and its least and greatest, to where the path should rest."""


def rested(path: Signal, held: Limits, still: NDArray[np.bool_], extent: float, place: Place) -> Signal:
    """The same path with each rest where it should be. Between two rests their differences pass into one another.

    Args:
        path: control points.
        held: limits that the path keeps to wherever it did before.
        still: (control points - 1,) whether nothing else about the window changes from one to the next.
        extent: of the crop window, in the path's unit.
        place: where to rest.
    """
    moves = (np.abs(np.diff(path)) > _STILL * extent) | ~still
    edges = [0, *(np.flatnonzero(moves) + 1).tolist(), len(path)]
    flat, free = path.copy(), 0
    known: list[int] = []
    offsets: list[float] = []
    for start, stop in pairwise(edges):
        first = max(start, free)
        if stop - first < _SHORTEST:
            continue
        value = float(np.median(path[first:stop]))
        lower, upper = float(held.lower[first:stop].max()), float(held.upper[first:stop].min())
        offset = 0.0
        if lower - _STILL * extent <= value <= upper + _STILL * extent:
            flat[first:stop] = value
            offset = place(first, value, lower, upper) - value
        known += [first, stop - 1]
        offsets += [offset, offset]
        free = stop + _EASED
    if not known:
        return path
    moved = flat + np.interp(np.arange(len(path)), known, offsets)
    return np.clip(moved, np.minimum(path, held.lower), np.maximum(path, held.upper))


def rested_zoom(path: Signal, held: Limits, rows: Signal) -> Signal:
    """The same for the logarithm of a window's height; `rows` has the height of its tile."""

    def place(index: int, value: float, lower: float, upper: float) -> float:
        height, count = np.exp(value), rows[index]
        least, most = max(np.exp(lower), height - FARTHEST), min(np.exp(upper), height + FARTHEST)
        return float(np.log(unshifted_step(height / count, least / count, most / count) * count))

    return rested(path, held, np.diff(rows) == 0, 1.0, place)


def rested_axis(path: Signal, held: Limits, sizes: Signal, step: Signal, axis: int) -> Signal:
    """The same for a window's center along one axis.

    Args:
        path: control points.
        held: limits that the path keeps to wherever it did before.
        sizes: of the window at the control points.
        step: pixels of the source per pixel of the tile.
        axis: 0 from side to side, 1 up and down.
    """

    def place(index: int, value: float, lower: float, upper: float) -> float:
        half = float(sizes[index]) / 2
        least, most = max(lower, value - FARTHEST) - half, min(upper, value + FARTHEST) - half
        return unshifted_edge(value - half, float(step[index]), least, most, axis) + half

    still = np.abs(np.diff(step)) < 1e-9 * step[1:]
    return rested(path, held, still, float(np.median(sizes)), place)
