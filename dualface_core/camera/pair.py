"""The pair: what the two tiles of a split have in common, so that two people look at one another as equals.

Belongs here: one size of the faces and one eye line, as far as both sources allow. The one idea: each tile says between
what sizes it can have its face (the widest crop window and the one that leaves the other's head out; the closest one),
and the size that both can have and that is nearest to the usual one is taken; then the same for the eye line.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import median_filter

from dualface_core.camera.framing import CLOSER, Boxes, Composition, Framing, Sights, Values

_SETTLED: Final = 10.0
"""Seconds of the median of what both agree on: who leans forward for a moment changes nothing for the other."""

_STEP: Final = 0.5
"""Seconds between its samples."""


def compose(
    framings: Sequence[Framing], faces: Sequence[Boxes], eyes_in_box: Sequence[Values | float], times: Values
) -> list[Composition]:
    """What each of two tiles of a split should show of its own face.

    Args:
        framings: of the two tiles.
        faces: their people's, in the same frames; at least one of each is seen.
        eyes_in_box: of each, how far their eyes are from the top of their face's box, as a share of its height.
        times: of the frames, in seconds.
    """
    usual = [settled(times, boxes) for boxes in faces]
    least, most = [], []
    for framing, own, other in zip(framings, usual, reversed(usual), strict=True):
        widest = np.clip(framing.widest_without(own, other), framing.closest, framing.widest)
        largest = np.maximum(own[:, 3] / framing.closest, own[:, 3] / framing.widest)
        most.append(largest)
        closer = np.maximum(framing.parameters.face_height * CLOSER, own[:, 3] / framing.widest)
        least.append(np.minimum(own[:, 3] / widest, np.minimum(closer, largest)))
    common = _common(least, most, framings[0].parameters.face_height)
    sizes = [np.clip(common, *between) for between in zip(least, most, strict=True)]

    lowest, highest = [], []
    for framing, own, size, share in zip(framings, usual, sizes, eyes_in_box, strict=True):
        height = np.clip(own[:, 3] / size, framing.closest, framing.widest)
        _, top, _, tall = framing.bounds.T
        eyes = Sights.of([own], eyes_in_box=share).eyes
        lowest.append((eyes - (top + tall - height)) / height)
        highest.append((eyes - top) / height)
    line = _common(lowest, highest, framings[0].eye_line(np.mean(sizes, axis=0)))
    lines = [np.clip(line, *between) for between in zip(lowest, highest, strict=True)]
    return [Composition(size, line) for size, line in zip(sizes, lines, strict=True)]


def settled(times: Values, values: NDArray[np.float64], seconds: float = _SETTLED) -> NDArray[np.float64]:
    """The running median of (frames,) or (frames, n) over some seconds; on straight lines where there are none."""
    rows = values.reshape(len(values), -1)
    known = ~np.isnan(rows[:, 0])
    grid = times[0] + _STEP * np.arange(max(1, round((times[-1] - times[0]) / _STEP)) + 1)
    size = 2 * round(seconds / 2 / _STEP) + 1
    smooth = [median_filter(np.interp(grid, times[known], row[known]), size, mode="nearest") for row in rows.T]
    return np.stack([np.interp(times, grid, row) for row in smooth], axis=1).reshape(values.shape)


def _common(least: Sequence[Values], most: Sequence[Values], wanted: Values | float) -> Values:
    """The value nearest to the wanted one that lies within both ranges; between them where they don't meet."""
    low, high = np.max(least, axis=0), np.min(most, axis=0)
    return np.asarray(np.where(low > high, (low + high) / 2, np.clip(wanted, low, np.maximum(low, high))))
