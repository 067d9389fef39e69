"""Where the video cuts, found while the frames stream by.

Belongs here: telling a cut from a flash, a quick movement, a pan and something laid over the picture. A hard cut: no
frame of the last moment looks like any frame of the next one, and the step between them stands out from the steps
around it. A dissolve, a wipe or a blended frame: each pixel goes straight from one view to the other. Both need a look
ahead, so a cut is known late: a hard one by `LOOK` frames, a slow one by two thirds of the longest.

Where only a part of the picture changes, thumbnails can't tell two people who swap places from a pop-up: such a cut is
`doubtful`, until the faces on both sides of it are known (`face_goes_on`).
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

THUMBNAIL: Final = (64, 36)
"""Width and height of the luma thumbnails that are compared."""

_ROWS: Final = 6
"""Rows of pixels that make a row of a thumbnail, at the least."""

LOOK: Final = 6
"""Frames looked at on either side of a suspected cut; flashes are shorter, shots are longer."""

_STEP: Final = 0.06
"""The least change from one frame to the next that may be a cut; see `changes`. Two people who swap sides before one
background make 0.17 to 0.3, a cut to another view 0.6 to 1."""

_STANDS_OUT: Final = 2.0
"""A cut exceeds the steps right around it by `_STEP` and this factor; movements and whipped cameras build up."""

AROUND: Final = 3
"""Frames on either side that count for that: frames shown twice or three times make every other step zero."""

_STAYS: Final = 0.6
"""After a cut the video stays different from before, by at least this share of the step itself."""

_NOISE: Final = 9.0
"""Variance of luma (levels squared) that is not counted as content, so that black equals black."""

_CONTENT: Final = 36.0
"""Variance of luma (levels squared) within a cell of a thumbnail that has something to be seen in it."""

_CELL: Final = 4
"""Side of a cell, in pixels of a thumbnail."""

_LEAST_CELLS: Final = 8
"""Cells with content without which a picture changes as a whole or not at all."""

_CORRELATED: Final = 0.5
"""Correlation of a cell with itself from which it shows the same as before."""

_WHOLE: Final = 0.5
"""Share of the cells with content that change at a cut to another view. Such cuts in edited footage have 0.7 and more,
pop-ups, title bars and jumps in one box of several up to 0.35."""

_BEYOND_DOUBT: Final = 0.9
"""The same where no face can go on: before a plain wall, a title bar changes most of what there is to be seen."""

_LONGEST: Final = 1.2
"""Longest dissolve or wipe that is found, in seconds."""

_LATEST: Final = 0.65
"""Share of `_LONGEST` before its end in which the middle of a transition is looked for."""

_STRAIGHT: Final = 0.6
"""Change from the first to the last frame of a dissolve or wipe, as a share of all changes from frame to frame."""

_STEADY: Final = 0.6
"""Change from frame to frame just before and after it, as a share of that within it."""

_UNLIKE: Final = 0.3
"""Least change from the first to the last frame of it, with a cell as a pixel: somebody who leans over before a plain
wall makes 0.2, dissolves and wipes 0.4 and more."""

_STRAY: Final = 0.2
_STRAY_LONG: Final = 0.13
_LONG: Final = (0.4, 1.0)
"""How far the frames of it may be from a mixture of the first and the last, as a share of the change between those;
what lasts longer than the first of these seconds, less and less up to the second: in a second, people in the foreground
who pass before a wall look much like a wipe."""

_GOES_ON: Final = 0.9
"""Correlation of a face's pixels across a cut that is none."""


def make_thumbnail(luma: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Luma averaged down to (36, 64) uint8, in a fraction of the time that all of its pixels would take.

    OpenCV is quick at averaging two by two and whole numbers of pixels, and a few rows of each block do. What is left
    over at the right and lower edges is not looked at.
    """
    width, height = THUMBNAIL
    block_width, block_height, rows = thumbnail_blocks(luma.shape[1], luma.shape[0])
    if block_height and block_width:
        luma = luma[: height * block_height : block_height // rows, : width * block_width]
        if rows % 2 == block_width % 2 == 0:
            half = (width * block_width // 2, height * rows // 2)
            luma = np.asarray(cv2.resize(luma, half, interpolation=cv2.INTER_AREA), np.uint8)
    return np.asarray(cv2.resize(luma, THUMBNAIL, interpolation=cv2.INTER_AREA), np.uint8)


def thumbnail_blocks(width: int, height: int) -> tuple[int, int, int]:
    """Width and height of the block of pixels that each of a thumbnail is made of, and how many rows are looked at.

    A frame that is smaller than a thumbnail has none: 0.
    """
    block_width, block_height = width // THUMBNAIL[0], height // THUMBNAIL[1]
    rows = next((rows for rows in range(_ROWS, block_height) if block_height % rows == 0), block_height)
    return block_width, block_height, rows


def changes(
    before: Sequence[NDArray[np.generic]] | NDArray[np.generic],
    after: Sequence[NDArray[np.generic]] | NDArray[np.generic],
) -> NDArray[np.float64]:
    """How much of two thumbnails' contrast differs, for each of some and each of some others: (before, after).

    0 for the same image, about 1 for unrelated ones, up to 2. This is 1 minus the contrast and structure term of SSIM
    over the whole image, so a change of brightness alone counts for little. The sums of whole numbers and of sixteenths
    are exact, whatever the order in which they are added up.
    """
    a, b = (np.array(thumbnails, np.float64).reshape(len(thumbnails), -1) for thumbnails in (before, after))
    count = a.shape[1]
    squares_a, squares_b = ((pixels * pixels).sum(axis=1) for pixels in (a, b))
    sums_a, sums_b = a.sum(axis=1), b.sum(axis=1)
    variance_a, variance_b = squares_a / count - (sums_a / count) ** 2, squares_b / count - (sums_b / count) ** 2
    squares = squares_a[:, None] + squares_b - 2 * (a @ b.T)
    differs = squares / count - ((sums_a[:, None] - sums_b) / count) ** 2
    return np.asarray(differs / (variance_a[:, None] + variance_b + _NOISE), np.float64)


def changed_share(before: NDArray[np.generic], after: NDArray[np.generic]) -> float:
    """The share of what is to be seen in two thumbnails that isn't the same, whatever its brightness and contrast."""
    a, b = (_cells(thumbnail) for thumbnail in (before, after))
    var_a, var_b = np.square(a).mean(axis=1), np.square(b).mean(axis=1)
    content = np.maximum(var_a, var_b) > _CONTENT
    if np.count_nonzero(content) < _LEAST_CELLS:
        return 1.0
    correlation = (a * b).mean(axis=1) / np.sqrt((var_a + _NOISE) * (var_b + _NOISE))
    return float(np.mean(correlation[content] < _CORRELATED))


def _cells(thumbnail: NDArray[np.generic]) -> NDArray[np.float32]:
    """The cells of a thumbnail, (144, 16), each without its mean."""
    height, width = thumbnail.shape
    cells = thumbnail.reshape(height // _CELL, _CELL, width // _CELL, _CELL).swapaxes(1, 2).reshape(-1, _CELL * _CELL)
    return np.asarray(cells - cells.mean(axis=1, keepdims=True), np.float32)


def _coarse(thumbnails: NDArray[np.float32]) -> NDArray[np.float32]:
    """The means of the cells of thumbnails, (n, 9, 16)."""
    count, height, width = thumbnails.shape
    blocks = thumbnails.reshape(count, height // _CELL, _CELL, width // _CELL, _CELL)
    return np.asarray(blocks.mean(axis=(2, 4)), np.float32)


def face_goes_on(
    before: NDArray[np.uint8],
    boxes_before: NDArray[np.floating],
    after: NDArray[np.uint8],
    boxes_after: NDArray[np.floating],
) -> bool | None:
    """Whether a face is at the same place and looks the same; None where there is none. At a cut, none is and does.

    Args:
        before: the last image before what may be a cut, (h, w, 3) uint8.
        boxes_before: (n, 4) faces in it: x, y, width and height in pixels.
        after: the first image after it, of the same size.
        boxes_after: likewise the faces in that one.
    """
    if not len(boxes_before) and not len(boxes_after):
        return None
    for x, y, width, height in boxes_before:
        left, top, right, bottom = (max(0, round(float(edge))) for edge in (x, y, x + width, y + height))
        a, b = (image[top:bottom, left:right].astype(np.float32) for image in (before, after))
        if not a.size:
            continue
        a, b = a - a.mean(), b - b.mean()
        if (a * b).mean() >= _GOES_ON * np.sqrt((np.square(a).mean() + _NOISE) * (np.square(b).mean() + _NOISE)):
            return True
    return False


@dataclass(frozen=True)
class Thumbnail:
    """What is kept of a frame to find cuts.

    Attributes:
        luma: (36, 64) uint8, see `make_thumbnail`.
        step: how much of it is not as in the frame before, see `changes`; 0 for the first frame.
        way: levels of luma by which its pixels differ from those of the frame before, on average.
        cut_likely: whether there may be a hard cut right before it. There is none where this is False.
        plain: whether there is too little to be seen in it to know it by.
    """

    luma: NDArray[np.uint8]
    step: float
    way: float
    cut_likely: bool
    plain: bool


class CutSuspicion:
    """Where there may be a hard cut, told at once and by the last `AROUND + 1` changes alone; see `ShotDetector`."""

    def __init__(self) -> None:
        self._last: NDArray[np.uint8] | None = None
        self._last_sum = self._last_variance = 0.0
        self._steps: deque[float] = deque(maxlen=AROUND)

    def add(self, luma: NDArray[np.uint8]) -> Thumbnail:
        """Take what `make_thumbnail` makes of the next frame."""
        step = way = 0.0
        count, levels = luma.size, cv2.sumElems(luma)[0]
        variance = _squares(luma) / count - (levels / count) ** 2
        if self._last is not None:  # what `changes` gives, without arrays of numbers with a point
            differs = _squares(self._last, luma) / count - ((self._last_sum - levels) / count) ** 2
            step = differs / (self._last_variance + variance + _NOISE)
            way = cv2.norm(self._last, luma, cv2.NORM_L1) / count
        likely = step >= _STEP + _STANDS_OUT * max(self._steps, default=0.0)
        self._last, self._last_sum, self._last_variance = luma, levels, variance
        self._steps.append(step)
        return Thumbnail(luma, step, way, likely, _is_plain(luma))


def _squares(image: NDArray[np.uint8], other: NDArray[np.uint8] | None = None) -> int:
    """The exact sum of the squares of an image, or of the difference of two, of which OpenCV has taken the root."""
    way = cv2.NORM_L2SQR
    return round(cv2.norm(image, way) if other is None else cv2.norm(image, other, way))


class ShotDetector:
    """Splits a stream of frames into shots.

    Attributes:
        starts: the first frame of every shot so far, ascending; the first is 0.
        doubtful: those of them at which a part of the picture doesn't change, and the share of it that does.
        settled: the number of frames whose shot is known, but for what is doubtful.
    """

    def __init__(self) -> None:
        self.starts: list[int] = [0]
        self.doubtful: dict[int, float] = {}
        self.settled = 0
        self._count = 0
        self._looked = 0
        # Of the last frames: thumbnails' luma, times, what led to each (its change, and the sum of levels of luma by
        # which the pixels of a thumbnail have changed up to it, on average), and whether it is plain.
        self._thumbnails: list[NDArray[np.uint8]] = []
        self._times: list[float] = []
        self._steps: list[float] = []
        self._ways: list[float] = []
        self._plains: list[bool] = []
        # The first frame of the last shot that shows nothing of the one before.
        self._since = 0
        # Whether the last frame that was looked at is plain, and the last one that is not: its number and thumbnail.
        self._plain = True
        self._seen: tuple[int, NDArray[np.uint8]] | None = None

    def add(self, thumbnail: Thumbnail, time: float) -> None:
        """Take the next frame's thumbnail, and its time in seconds."""
        self._thumbnails.append(thumbnail.luma)
        self._times.append(time)
        self._steps.append(thumbnail.step)
        self._ways.append((self._ways[-1] if self._ways else 0.0) + thumbnail.way)
        self._plains.append(thumbnail.plain)
        self._count += 1
        if self._count > LOOK:
            self._settle(self._count - 1 - LOOK)

    def finish(self) -> None:
        """There are no more frames: settle the last ones."""
        for frame in range(self._looked, self._count):
            self._settle(frame)
        self.settled = self._count

    def judge(self, start: int, goes_on: bool | None) -> None:
        """Withdraw what is doubtful at frame `start` if it is no cut, but something laid over a picture that goes on.

        So it is, too, with a jump in one box of several. `goes_on` is what `face_goes_on` says; where there are no
        faces, the larger part decides.
        """
        share = self.doubtful.get(start)
        if share is not None and (share < _WHOLE if goes_on is None else goes_on):
            del self.doubtful[start]
            self.starts.remove(start)

    def spans(self) -> list[tuple[int, int]]:
        """First and last frame of every shot, of the frames so far."""
        ends = [start - 1 for start in self.starts[1:]] + [self._count - 1]
        return list(zip(self.starts, ends, strict=True)) if self._count else []

    def _settle(self, frame: int) -> None:
        """Decide whether there is a hard cut before a frame, or a slow one that has just ended with it."""
        first = self._count - len(self._thumbnails)
        at = frame - first
        if at > 0 and self._is_cut(at):
            self.starts.append(frame)
            self._since = frame
            # A blended frame, on either side of it, shows half of what is gone or comes: look beyond it.
            before, after = (-2, -1), (0, 1)
            pairs = [(max(0, at + a), min(at + b, len(self._thumbnails) - 1)) for a in before for b in after]
            share = max(changed_share(self._thumbnails[a], self._thumbnails[b]) for a, b in pairs)
            if share < _BEYOND_DOUBT:
                self.doubtful[frame] = share
        elif self._fades_in(at):
            self.starts.append(frame)
            self._since = frame
        elif (middle := self._slow_cut(at)) is not None:
            self.starts.append(first + middle)
            self._since = frame
        self._looked = frame + 1
        while self.settled < frame and self._times[self.settled - first] < self._times[at] - _LATEST * _LONGEST:
            self.settled += 1
        while len(self._times) > 2 * LOOK + 1 and self._times[AROUND] < self._times[at] - _LONGEST:
            for values in (self._thumbnails, self._times, self._steps, self._ways, self._plains):
                del values[0]
            at -= 1

    def _is_cut(self, at: int) -> bool:
        steps, thumbnails = self._steps, self._thumbnails
        around = steps[max(0, at - AROUND) : at] + steps[at + 1 : at + 1 + AROUND]
        if steps[at] < _STEP + _STANDS_OUT * max(around):
            return False
        before, after = thumbnails[max(0, at - LOOK) : at], thumbnails[at : at + LOOK]
        return bool(changes(before, after).min() >= _STAYS * steps[at])

    def _fades_in(self, at: int) -> bool:
        """Whether something else than before comes up here out of a plain picture, without a hard cut."""
        plain, self._plain = self._plain, self._plains[at]
        if self._plain:
            return False
        seen, self._seen = self._seen, (self._looked, self._thumbnails[at])
        if not plain or seen is None or seen[0] < self.starts[-1]:
            return False
        return changed_share(seen[1], self._thumbnails[min(at + LOOK, len(self._thumbnails) - 1)]) >= _WHOLE

    def _slow_cut(self, at: int) -> int | None:
        """The middle of a dissolve, wipe or blended frame that ends at one of the frames that are kept."""
        ways = np.array(self._ways)
        # What led to its first frame must be known: the rest of a wipe is no wipe.
        first = self._count - len(ways)
        begins = np.arange(max(AROUND if first else 0, self._since - first), at - 1)
        if not len(begins):
            return None
        within = (ways[at] - ways[begins]) / (at - begins)
        end = min(at + AROUND, len(ways) - 1)
        after = (ways[end] - ways[at]) / max(1, end - at)
        if after > _STEADY * within.max():
            return None
        before = (ways[begins] - ways[np.maximum(begins - AROUND, 0)]) / AROUND
        begins = begins[np.maximum(before, after) <= _STEADY * within]
        if not len(begins):
            return None
        thumbnails = np.array(self._thumbnails, np.float32)
        far = np.abs(thumbnails[begins] - thumbnails[at]).mean(axis=(1, 2))
        begins = begins[far >= _STRAIGHT * (ways[at] - ways[begins])]
        begins = begins[[not self._plains[begin] for begin in begins]]
        if not len(begins) or self._plains[at]:
            return None
        unlike = changes(_coarse(thumbnails[begins]), _coarse(thumbnails[at : at + 1]))[:, 0] >= _UNLIKE
        for begin in begins[unlike][::-1]:
            allowed = np.interp(self._times[at] - self._times[begin], _LONG, (_STRAY, _STRAY_LONG))
            if all(
                changed_share(thumbnails[a], thumbnails[b]) >= _WHOLE
                for a in (begin, max(0, begin - AROUND))
                for b in (at, min(at + LOOK, len(thumbnails) - 1))
            ):
                mixed, stray = _mixture(thumbnails[begin : at + 1])
                if stray <= allowed:
                    latest = np.searchsorted(self._times, self._times[at] - _LATEST * _LONGEST)
                    return max(int(begin) + 1 + int(np.argmax(mixed >= 1 / 2)), int(latest))
        return None


def _is_plain(luma: NDArray[np.uint8]) -> bool:
    """Whether few cells have content. All means are of 16 whole numbers, and exact in single precision."""
    levels = luma.astype(np.float32)
    cells = luma.shape[1] // _CELL, luma.shape[0] // _CELL
    means, squares = (cv2.resize(each, cells, interpolation=cv2.INTER_AREA) for each in (levels, levels * levels))
    return bool(np.count_nonzero(squares - means * means > _CONTENT) < _LEAST_CELLS)


def _mixture(thumbnails: NDArray[np.float32]) -> tuple[NDArray[np.float32], float]:
    """How much of the last of some thumbnails is in each of those after the first, and how far from a mixture they are.

    In a mixture, all pixels are as far on the way from the first to the last, or each is at one of its ends.
    """
    first, last = thumbnails[0], thumbnails[-1]
    way, done = last - first, thumbnails[1:] - first
    share = (done * way).sum(axis=(1, 2)) / np.square(way).sum()
    dissolved = np.abs(done - share[:, None, None] * way).mean(axis=(1, 2))
    wiped = np.minimum(np.abs(done), np.abs(thumbnails[1:] - last)).mean(axis=(1, 2))
    return share, float(np.minimum(dissolved, wiped)[:-1].mean() / np.abs(way).mean())
