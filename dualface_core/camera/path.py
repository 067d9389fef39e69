"""Signals of a camera path on a uniform time grid: holds inside a dead zone, and the path of least jerk to them.

Belongs here: pure functions of arrays. Doesn't: persons, shots and tiles.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import clarabel
import numpy as np
from numpy.typing import NDArray
from scipy import sparse
from scipy.ndimage import median_filter

Signal = NDArray[np.float64]
"""One value per sample of a run."""

STEP: Final = 0.1
"""Seconds between the samples of a path. They are control points of a cubic B-spline, read at the frames' times."""

_JERK: Final = 0.1
"""Cost of jerk, in (extents/s3)2. A lone move of half a crop window takes two to three seconds, if haste is free."""

_TRAVEL: Final = 0.5
"""Cost of every extent that is traveled: no swinging beyond a target and back."""

_HASTE: Final = 5.0
"""Cost of being faster than calm, for every extent: more than it costs to be off target for some seconds."""

_NARROW: Final = 17.0
"""Cost of leaving too little room beside a face, in extents times seconds: worth some haste, but no leap."""

_LOST: Final = 1000.0
"""Cost of leaving what must be held, in extents times seconds, where being off target costs 1."""


def median(values: Signal, seconds: float) -> Signal:
    """The running median over a window of `seconds`; at the ends, the first and last value are repeated."""
    size = 2 * round(seconds / 2 / STEP) + 1
    return np.asarray(median_filter(values, size, mode="nearest"))


@dataclass(frozen=True)
class Limits:
    """Least and greatest value of each sample."""

    lower: Signal
    upper: Signal


@dataclass(frozen=True)
class Pace:
    """How fast a path may be, in its own unit per second, from each sample to the next.

    Attributes:
        calm: faster costs something.
        fastest: faster it never is, unless `walls` move faster.
    """

    calm: Signal
    fastest: Signal


def least_jerk(
    target: Signal, weight: Signal, held: Limits, walls: Limits, pace: Pace, extent: float, roomy: Limits | None = None
) -> Signal:
    """The path with the least sum of jerk, distance to the target, haste, and distance to what should be held.

    A quadratic program. Jerk costs its square, everything else its amount: so where the target holds, the path lies on
    it exactly, and what can't be followed is given up and not jerked after (Grundmann, Kwatra and Essa, "Auto-directed
    video stabilization with robust L1 optimal camera paths", 2011).

    Args:
        target: where it should be.
        weight: how much that counts; 1 where it does, 0 where it doesn't.
        held: where it must be, if pace and walls allow; `lower` is never above `upper`.
        walls: where it is in any case.
        pace: how fast it may be.
        extent: of a crop window: the costs are those of a path in this unit.
        roomy: where it should be besides, if little haste is enough for that; as `held` if None.
    """
    samples, middle = len(target), (walls.lower + walls.upper).mean() / 2
    # In extents from the middle of the walls: the solver is at its best with numbers about 1.
    roomy = roomy or held
    target, lower, upper, left, right, low, high = (
        (signal - middle) / extent
        for signal in (target, held.lower, held.upper, walls.lower, walls.upper, roomy.lower, roomy.upper)
    )
    calm = pace.calm / extent
    fastest = np.maximum.reduce(
        [pace.fastest / extent, calm, *(np.abs(np.diff(wall)) / STEP for wall in (left, right))]
    )

    aimed = np.flatnonzero(weight)
    aim, still, zero = target[aimed], np.zeros(samples - 1), np.zeros(samples)
    # The unknowns: the path, how far it is off target, how far outside of what should be held and of what should have
    # room, its speed, its haste.
    sizes = samples, len(aimed), samples, samples, samples - 1, samples - 1
    path, off, lost, narrow, speed, haste = np.split(np.arange(sum(sizes)), np.cumsum(sizes)[:-1])
    faster = (path[1:], 1 / STEP), (path[:-1], -1 / STEP)
    slower = (path[1:], -1 / STEP), (path[:-1], 1 / STEP)
    # Each a row of inequalities: the sum of some unknowns, with their factors, is at most a bound.
    rows: list[tuple[tuple[tuple[NDArray[np.intp], float], ...], Signal]] = [
        (((path[aimed], 1), (off, -1)), aim),
        (((path[aimed], -1), (off, -1)), -aim),
        (((path, 1), (lost, -1)), upper),
        (((path, -1), (lost, -1)), -lower),
        (((lost, -1),), zero),
        (((path, 1), (narrow, -1)), high),
        (((path, -1), (narrow, -1)), -low),
        (((narrow, -1),), zero),
        (((path, 1),), right),
        (((path, -1),), -left),
        ((*faster, (speed, -1)), still),
        ((*slower, (speed, -1)), still),
        (((speed, 1), (haste, -1)), calm),
        (((speed, 1),), fastest),
        (((haste, -1),), still),
    ]
    wrong, tight = np.full(samples, _LOST), np.full(samples, _NARROW)
    traveled, hasty = np.full(samples - 1, _TRAVEL), np.full(samples - 1, _HASTE)
    linear = STEP * np.concatenate([zero, weight[aimed], wrong, tight, traveled, hasty])
    third = sparse.diags_array([-1.0, 3.0, -3.0, 1.0], offsets=[0, 1, 2, 3], shape=(samples - 3, samples))
    jerk = third * (np.sqrt(2 * _JERK * STEP) / STEP**3)
    quadratic = sparse.triu(jerk.T @ jerk, format="csc")
    quadratic.resize((len(linear), len(linear)))
    settings = clarabel.DefaultSettings()
    settings.verbose, settings.max_threads = False, 1
    bounds = np.concatenate([bound for _, bound in rows])
    ends = np.cumsum([len(bound) for _, bound in rows])
    terms = [(end, *term) for end, (sums, _) in zip(ends, rows, strict=True) for term in sums]
    row = np.concatenate([np.arange(end - len(at), end) for end, at, _ in terms])
    column = np.concatenate([at for _, at, _ in terms])
    factors = np.concatenate([np.full(len(at), factor) for _, at, factor in terms])
    matrix = sparse.csc_array((factors, (row, column)), shape=(len(bounds), len(linear)))
    cones = [clarabel.NonnegativeConeT(len(bounds))]
    solver = clarabel.DefaultSolver(quadratic, linear, matrix, bounds, cones, settings)
    solution = solver.solve()
    if solution.status not in (clarabel.SolverStatus.Solved, clarabel.SolverStatus.AlmostSolved):
        raise ArithmeticError(f"a camera path of {samples} samples was not found: {solution.status}")
    found = np.array(solution.x[:samples])
    found = np.where((weight > 0) & (np.abs(found - target) < 1e-4), target, found)
    return np.asarray(middle + extent * np.clip(found, left, right))


def hold(target: Signal, dead_zone: Signal, shortest: float) -> Signal:
    """A piecewise path: it holds as long as the target stays within the dead zone, and moves straight in between.

    The greedy longest hold, at the median of what it covers: not in the middle of its range, since that is drawn
    towards the move at its end. Holds shorter than `shortest` seconds are only points that a longer move passes.
    """
    lower, upper = target - dead_zone, target + dead_zone
    holds: list[tuple[int, int, float]] = []
    start = 0
    while start < len(target):
        stop = _longest_hold(lower, upper, start)
        holds.append((start, stop, float(np.median(target[start:stop]))))
        start = stop
    knots: list[tuple[float, float]] = []
    passed: list[tuple[float, float]] = []
    samples = shortest / STEP
    moving_since = 0
    for index, (start, stop, value) in enumerate(holds):
        if stop - start < samples and 0 < index < len(holds) - 1:
            passed.append(((start + stop - 1) / 2, value))
            continue
        if start - moving_since >= samples:
            knots += passed
        knots += [(start, value), (stop - 1, value)]
        passed, moving_since = [], stop
    at, values = np.array(knots, np.float64).T
    return np.asarray(np.interp(np.arange(len(target)), at, values))


def _longest_hold(lower: Signal, upper: Signal, start: int) -> int:
    """The end of the longest stretch from `start` in which one value lies between all lower and upper bounds."""
    length = 64
    while True:
        part = slice(start, start + length)
        possible = np.maximum.accumulate(lower[part]) <= np.minimum.accumulate(upper[part])
        if not possible[-1]:
            return start + int(np.argmin(possible))
        if start + length >= len(lower):
            return len(lower)
        length *= 4
