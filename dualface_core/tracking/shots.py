"""Where the picture cuts, found while the frames stream by.

Belongs here: telling a cut from a flash, a quick movement and a pan, by small luma pictures alone. The one idea: at a
cut, no picture of the last moment looks like any picture of the next one, and the step between them stands out from the
steps around it. That needs a look ahead, so a cut is known `LOOK` frames late.
"""

from __future__ import annotations

from collections import deque
from typing import Final

import numpy as np
from numpy.typing import NDArray

THUMBNAIL: Final = (64, 36)
"""Width and height of the luma pictures that are compared."""

LOOK: Final = 6
"""Frames looked at on either side of a suspected cut; flashes are shorter, shots are longer."""

SUSPICIOUS: Final = 0.2
"""Change from one frame to the next from which on a cut is possible; see `change`."""

_STANDS_OUT: Final = 3.0
"""A cut changes the picture this many times as much as the steps around it do (their median)."""

_STANDS_ALONE: Final = 1.5
"""A cut changes the picture this many times as much as the steps right beside it do; a whipped camera doesn't."""

_STAYS: Final = 0.6
"""After a cut the picture stays different from before, by at least this share of the step itself."""

_NOISE: Final = 9.0
"""Variance of luma (levels squared) that is not counted as content, so that black equals black."""


def change(before: NDArray[np.float32], after: NDArray[np.float32]) -> float:
    """How much of two pictures' contrast differs: 0 for the same picture, about 1 for unrelated ones, up to 2.

    This is 1 minus the contrast and structure term of SSIM over the whole picture, so a change of brightness alone
    counts for little.
    """
    a, b = before - before.mean(), after - after.mean()
    return float(np.square(a - b).mean() / (a.var() + b.var() + _NOISE))


class ShotDetector:
    """Splits a stream of frames into shots.

    Attributes:
        starts: the first frame of every shot so far, ascending; the first is 0.
        settled: the number of frames whose shot is known.
    """

    def __init__(self) -> None:
        self.starts: list[int] = [0]
        self.settled = 0
        self._count = 0
        # The pictures from LOOK before the frame in question to LOOK after it, and the step that led to each.
        self._pictures: deque[NDArray[np.float32]] = deque(maxlen=2 * LOOK + 1)
        self._steps: deque[float] = deque(maxlen=2 * LOOK + 1)

    def add(self, thumbnail: NDArray[np.uint8]) -> bool:
        """Take the next frame's luma, (36, 64) uint8. True if there may be a cut right before it."""
        picture = thumbnail.astype(np.float32)
        step = change(self._pictures[-1], picture) if self._pictures else 0.0
        previous = self._steps[-1] if self._steps else 0.0
        self._pictures.append(picture)
        self._steps.append(step)
        self._count += 1
        if self._count > LOOK:
            self._settle(self._count - 1 - LOOK)
        return step >= max(SUSPICIOUS, _STANDS_ALONE * previous)

    def finish(self) -> None:
        """There are no more frames: settle the last ones."""
        for frame in range(self.settled, self._count):
            self._settle(frame)

    def _settle(self, frame: int) -> None:
        at = len(self._steps) - (self._count - frame)
        self.settled = frame + 1
        if at > 0 and self._is_cut(at):
            self.starts.append(frame)

    def _is_cut(self, at: int) -> bool:
        step = self._steps[at]
        if step < SUSPICIOUS:
            return False
        steps, pictures = list(self._steps), list(self._pictures)
        around = steps[max(0, at - LOOK) : at] + steps[at + 1 : at + 1 + LOOK]
        beside = steps[at - 1 : at] + steps[at + 1 : at + 2]
        if step < max(_STANDS_OUT * float(np.median(around)), _STANDS_ALONE * max(beside)):
            return False
        before, after = pictures[max(0, at - LOOK) : at], pictures[at : at + LOOK]
        return min(change(a, b) for a in before for b in after) >= _STAYS * step
