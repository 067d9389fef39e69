"""Where the video cuts, found while the frames stream by.

Belongs here: telling a cut from a flash, a quick movement and a pan, by luma thumbnails alone. The one idea: at a
cut, no frame of the last moment looks like any frame of the next one, and the step between them stands out from the
steps around it. That needs a look ahead, so a cut is known `LOOK` frames late.
"""

from __future__ import annotations

from collections import deque
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

_THUMBNAIL: Final = (64, 36)
"""Width and height of the luma thumbnails that are compared."""

_ROWS: Final = 6
"""Rows of pixels that make a row of a thumbnail."""

LOOK: Final = 6
"""Frames looked at on either side of a suspected cut; flashes are shorter, shots are longer."""

_STEP: Final = 0.06
"""The least change from one frame to the next that may be a cut; see `change`. Two people who swap sides before one
background make 0.17 to 0.3, a cut to another view 0.6 to 1."""

_STANDS_OUT: Final = 2.0
"""A cut exceeds the steps right around it by `_STEP` and this factor; movements and whipped cameras build up."""

_AROUND: Final = 3
"""Frames on either side that count for that: frames shown twice or three times make every other step zero."""

_STAYS: Final = 0.6
"""After a cut the video stays different from before, by at least this share of the step itself."""

_NOISE: Final = 9.0
"""Variance of luma (levels squared) that is not counted as content, so that black equals black."""


def change(before: NDArray[np.float32], after: NDArray[np.float32]) -> float:
    """How much of two thumbnails' contrast differs: 0 for the same image, about 1 for unrelated ones, up to 2.

    This is 1 minus the contrast and structure term of SSIM over the whole image, so a change of brightness alone
    counts for little.
    """
    a, b = before - before.mean(), after - after.mean()
    return float(np.square(a - b).mean() / (a.var() + b.var() + _NOISE))


def _thumbnail(luma: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Luma averaged down to (36, 64), in a fraction of the time that all of its pixels would take.

    OpenCV is quick at averaging whole numbers of pixels, and a few rows of each block do. What is left over at the
    right and lower edges is not looked at.
    """
    width, height = _THUMBNAIL
    block_height, block_width = luma.shape[0] // height, luma.shape[1] // width
    if block_height and block_width:
        of_block = min(block_height, _ROWS)
        rows = np.arange(height * of_block) * block_height // of_block
        luma = luma[rows, : width * block_width]
    return np.asarray(cv2.resize(luma, _THUMBNAIL, interpolation=cv2.INTER_AREA), np.float32)


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
        # The thumbnails from LOOK before the frame in question to LOOK after it, and the step that led to each.
        self._thumbnails: deque[NDArray[np.float32]] = deque(maxlen=2 * LOOK + 1)
        self._steps: deque[float] = deque(maxlen=2 * LOOK + 1)

    def add(self, luma: NDArray[np.uint8]) -> bool:
        """Take the next frame's luma, (height, width) uint8. True if there may be a cut right before it."""
        thumbnail = _thumbnail(luma)
        step = change(self._thumbnails[-1], thumbnail) if self._thumbnails else 0.0
        before = max(list(self._steps)[-_AROUND:], default=0.0)
        self._thumbnails.append(thumbnail)
        self._steps.append(step)
        self._count += 1
        if self._count > LOOK:
            self._settle(self._count - 1 - LOOK)
        return step >= _STEP + _STANDS_OUT * before

    def finish(self) -> None:
        """There are no more frames: settle the last ones."""
        for frame in range(self.settled, self._count):
            self._settle(frame)

    def spans(self) -> list[tuple[int, int]]:
        """First and last frame of every shot, of the frames so far."""
        ends = [start - 1 for start in self.starts[1:]] + [self._count - 1]
        return list(zip(self.starts, ends, strict=True)) if self._count else []

    def _settle(self, frame: int) -> None:
        at = len(self._steps) - (self._count - frame)
        self.settled = frame + 1
        if at > 0 and self._is_cut(at):
            self.starts.append(frame)

    def _is_cut(self, at: int) -> bool:
        steps, thumbnails = list(self._steps), list(self._thumbnails)
        around = steps[max(0, at - _AROUND) : at] + steps[at + 1 : at + 1 + _AROUND]
        if steps[at] < _STEP + _STANDS_OUT * max(around):
            return False
        before, after = thumbnails[max(0, at - LOOK) : at], thumbnails[at : at + LOOK]
        return min(change(a, b) for a in before for b in after) >= _STAYS * steps[at]
