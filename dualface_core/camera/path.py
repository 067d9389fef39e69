"""Signals of a camera path on a uniform time grid: holds inside a dead zone, easing, corrections and limits.

Belongs here: pure functions of arrays, in numpy and scipy. Doesn't: persons, shots and tiles.
"""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import convolve1d, maximum_filter1d, median_filter

Signal = NDArray[np.float64]
"""One value per sample of a shot."""

STEP: Final = 0.02
"""Seconds between the samples of a path; frames are then read off at their own times."""


def median(values: Signal, seconds: float) -> Signal:
    """The running median over a window of `seconds`; at the ends, the first and last value are repeated."""
    size = 2 * round(seconds / 2 / STEP) + 1
    return np.asarray(median_filter(values, size, mode="nearest"))


def eased(path: Signal, seconds: float) -> Signal:
    """Zero-phase smoothing with a raised cosine: a step becomes an S-curve that takes `seconds` and no longer."""
    kernel = np.hanning(2 * round(seconds / 2 / STEP) + 3)[1:-1]
    return np.asarray(convolve1d(path, kernel / kernel.sum(), mode="nearest"))


def correction(violation: Signal, seconds: float) -> Signal:
    """A smooth signal, nowhere less than the violation where that is positive."""
    if not (violation > 0).any():
        return np.zeros_like(violation)
    size = 2 * round(seconds / 2 / STEP) + 1
    return eased(maximum_filter1d(np.maximum(violation, 0.0), size, mode="nearest"), seconds)


def limits(near: Signal, far: Signal, size: Signal, room: float) -> tuple[Signal, Signal]:
    """Least and greatest center with which a crop window lies in the frame and holds what is from `near` to `far`.

    What is larger than the crop window is put in its middle.

    Args:
        near: edge of what must be held, in pixels.
        far: the opposite edge.
        size: extent of the crop window.
        room: extent of the frame.
    """
    lower = np.clip(far - size / 2, size / 2, room - size / 2)
    upper = np.clip(near + size / 2, size / 2, room - size / 2)
    middle = (lower + upper) / 2
    too_large = lower > upper
    return np.where(too_large, middle, lower), np.where(too_large, middle, upper)


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
