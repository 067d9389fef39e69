"""What is laid over the picture of a shot: title bars, captions, pop-ups, logos.

Belongs here: finding these in the small gray images of one shot. The one idea: what is laid over a picture comes or
goes at once, stands still to the pixel meanwhile, and is a rectangle with sharp sides or a line of text. What is there
from a shot's first frame to its last can be told from what was filmed only where it is letters or a logo: so many sharp
strokes side by side, each as wide as the next, are hardly found in a room.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from dualface_core.tracking.panes import Bounds, Edges, Floats, Grays

_STILL_IMAGES: Final = 3
_APART: Final = (2, 5)
"""Images in which it stands still, and how far the one without it is from them: right before, with one in between in
which it may be on its way, or so far that it may have faded in or out meanwhile."""

_STILL: Final = 8
"""Levels of luma by which what stands still may differ from image to image: coding noise."""

_CHANGED: Final = 24
"""Levels of luma by which it differs from what was there without it."""

_FULL: Final = 0.7
"""Share of a rectangle's outermost line that has changed: what else has changed beside it is left out."""

_JOINS: Final = np.ones((5, 5), np.uint8)
_SOLID: Final = np.ones((7, 7), np.uint8)
_BOTH: Final = np.ones((11, 11), np.uint8)
_REACH: Final = 4
"""What has changed is joined over gaps that are narrower than the first, and solid where all of the second has changed;
to erode by both, one after the other, is to erode by the third; and pixels beside all that has changed from which on
neither makes a difference."""

_FILLED: Final = 0.85
"""Share of a rectangle that has changed, with what its outline encloses."""

_NARROWEST: Final = 0.12
_LOWEST: Final = 0.06
"""Share of the image's width and height that a rectangle has at least."""

_SHARP: Final = 0.68
_LEAST_SHARP: Final = 0.3
"""What has changed just inside of a rectangle's sides less what has outside, as a share of their lengths: on average,
and for each of them. People who move leave outlines that are less straight."""

_BESIDE: Final = 3
"""Lines of pixels on both sides of a side that count for that."""

_EDGE: Final = 10
"""Levels of luma from one side of a rectangle's outline to the other."""

_OUTLINED: Final = 0.5
"""Share of the outline that is such an edge while the rectangle is there."""

_OUTLINED_MORE: Final = 0.3
"""How much more of it is than without the rectangle: one that goes leaves one behind that is none."""

_LETTERS: Final = (0.035, 0.012)
"""Shares of the image's width and height between strokes of one line of text at most."""

_LINE_HEIGHTS: Final = (0.012, 0.1)
"""Shares of the image's height that a line of text, or two, may have."""

_LINE_WIDTH: Final = 0.1
_LINE_ASPECT: Final = 2.5
"""Share of the image's width, and heights, that a line of text is wide at least."""

_INK: Final = 0.42
_BROKEN_INK: Final = 0.3
"""Share of its pixels that change with a line of text; and where it has so many sides of strokes as letters that stand
(`_DENSE`) but a part of it is hardly to be seen, such as white words over a shirt."""

_JOINED: Final = 0.55
"""The same with what lies between its strokes."""

_STROKE: Final = 40
_STROKES: Final = 0.08
"""Levels of luma between neighbors at the side of a stroke, and the share of a line's pixels that are one."""

_STANDS: Final = 0.9
_STANDING_STROKE: Final = 30
"""Share of a shot's images in which the side of a stroke is at one place, and levels of luma on average, where letters
or a logo stand from the shot's first frame to its last."""

_DENSE: Final = 0.2
"""Share of their pixels that are the side of a stroke: of books on a shelf, plants and slogans on a wall, half as many
are."""

_PAIRED: Final = 0.8
"""Sides of strokes that get darker by those that get brighter, the fewer by the more: a stroke has one of each."""

_STANDING_WIDTH: Final = 0.08
_STANDING_HEIGHTS: Final = (0.012, 0.15)
"""Share of the image's width that they are wide at least, and shares of its height between which they are high."""

_SAME: Final = 0.5
"""Share of the smaller of two overlays that is in the other one, where they are one, such as captions one by one."""


@dataclass(frozen=True)
class Laid:
    """Something that is laid over a picture.

    Attributes:
        bounds: left, top, right and bottom, in pixels of the image.
        begin: time from which it may be there, in seconds; None if it is there from the shot's first frame.
        end: time up to which; None if it is there up to the shot's last frame.
    """

    bounds: Bounds
    begin: float | None
    end: float | None


@dataclass(frozen=True)
class _Image:
    """An image of a shot, and what is the same of it whatever it is compared with.

    Attributes:
        time: in seconds.
        gray: (h, w) uint8.
        sides: (h, w) of 0 and 1, the sides of strokes.
        ink: likewise what belongs to strokes.
    """

    time: float
    gray: Grays
    sides: Grays
    ink: Grays

    @classmethod
    def of(cls, gray: Grays, time: float) -> _Image:
        """The image at a time."""
        sides = np.zeros_like(gray)
        steps = cv2.absdiff(gray[:, 1:], gray[:, :-1])
        cv2.threshold(steps, _STROKE, 1, cv2.THRESH_BINARY, dst=sides[:, 1:])
        return cls(time, gray, sides, _ink(sides))


@dataclass(frozen=True)
class _Moment:
    """Some images in a row.

    Attributes:
        images: from the first to the last.
        still: (h, w) uint8, 1 where a pixel stands still in them.
    """

    images: tuple[_Image, ...]
    still: Grays

    @classmethod
    def of(cls, *images: _Image) -> _Moment:
        """That of three images."""
        first, middle, last = (image.gray for image in images)
        range_ = cv2.subtract(cv2.max(cv2.max(first, middle), last), cv2.min(cv2.min(first, middle), last))
        return cls(images, np.asarray(cv2.threshold(range_, _STILL, 1, cv2.THRESH_BINARY_INV)[1], np.uint8))


class OverlayFinder:
    """Takes the images of one shot, some tenths of a second apart."""

    def __init__(self) -> None:
        self._images: deque[_Image] = deque(maxlen=_STILL_IMAGES + max(_APART))
        self._moments: deque[_Moment] = deque(maxlen=1 + max(_APART))
        self._places: list[Laid] = []

    def add(self, gray: Grays, time: float) -> None:
        """Take the next image, (h, w) uint8, and its time in seconds."""
        self._images.append(_Image.of(gray, time))
        images = list(self._images)
        if len(images) >= _STILL_IMAGES:
            self._moments.append(_Moment.of(*images[-_STILL_IMAGES:]))
        for apart in (apart for apart in _APART if _STILL_IMAGES + apart <= len(images)):
            before = images[-_STILL_IMAGES - apart]
            come = [Laid(bounds, before.time, None) for bounds in _laid_over(before, self._moments[-1])]
            gone = [Laid(bounds, None, time) for bounds in _laid_over(images[-1], self._moments[-1 - apart])]
            for laid in (*come, *gone):
                if apart == min(_APART) or not any(is_one(laid.bounds, place.bounds) for place in self._places):
                    self._take(laid)

    def found(self, across: Edges, total: NDArray[np.int32]) -> list[Laid]:
        """All that was laid over the shot; what comes again and again at one place is there all the time.

        Args:
            across: the edges between neighbors in a row, of all images of the shot.
            total: (h, w), their sum.
        """
        standing = [
            Laid(bounds, None, None)
            for bounds in _standing(across, total)
            if not any(is_one(bounds, place.bounds) for place in self._places)
        ]
        return [*self._places, *standing]

    def _take(self, laid: Laid) -> None:
        """Take what comes or goes: what goes before anything has come at its place was there from the beginning."""
        same = [place for place in self._places if is_one(place.bounds, laid.bounds)]
        self._places = [place for place in self._places if place not in same]
        corners = np.array([place.bounds for place in (*same, laid)])
        (left, top), (right, bottom) = corners[:, :2].min(axis=0).tolist(), corners[:, 2:].max(axis=0).tolist()
        begins = [place.begin for place in same or [laid]]
        begin = None if None in begins else min(begin for begin in begins if begin is not None)
        self._places.append(Laid((left, top, right, bottom), begin, laid.end))


def _laid_over(without: _Image, moment: _Moment) -> list[Bounds]:
    """What lies over the images of a moment, and not over another one."""
    middle = moment.images[1]
    _, other = cv2.threshold(cv2.absdiff(middle.gray, without.gray), _CHANGED - 1, 1, cv2.THRESH_BINARY)
    changed = np.asarray(cv2.bitwise_and(moment.still, other), np.uint8)
    x, y, wide, high = cv2.boundingRect(changed)
    within = x, y, x + wide, y + high
    return [*_rectangles(changed, within, middle.gray, without.gray), *_lines_of_text(changed, within, middle)]


def _standing(across: Edges, total: NDArray[np.int32]) -> list[Bounds]:
    """Letters and logos that are there in all images of a shot."""
    rises, falls = across.strokes(total, share=_STANDS, levels=_STANDING_STROKE)
    height, width = rises.shape
    sides = (rises | falls).astype(np.uint8)
    ink = _ink(sides)
    lowest, highest = (share * height for share in _STANDING_HEIGHTS)
    found = []
    for left, top, wide, high, _ in _components(_joined(ink)):
        if not (lowest <= high <= height / 2 and wide >= _STANDING_WIDTH * width):
            continue
        bounds = x, y, right, bottom = _trimmed(
            ink, (left, top, left + wide, top + high), (_STANDING_WIDTH * width, lowest), _INK
        )
        part = slice(y, bottom), slice(x, right)
        up, down = int(rises[part].sum()), int(falls[part].sum())
        if (
            lowest <= bottom - y <= highest
            and right - x >= _STANDING_WIDTH * width
            and min(x, y, width - right, height - bottom) > 0
            and up + down >= _DENSE * (right - x) * (bottom - y)
            and min(up, down) >= _PAIRED * max(up, down)
        ):
            found.append(bounds)
    return found


def _rectangles(changed: Grays, within: Bounds, image: Grays, without: Grays) -> list[Bounds]:
    """Rectangles with sharp sides that have changed, and that have an outline which was not there before.

    All that has changed is `within` these bounds.
    """
    height, width = changed.shape
    least = _NARROWEST * width, _LOWEST * height

    def is_large(right: int, bottom: int, left: int = 0, top: int = 0) -> bool:
        return bool(right - left >= least[0] and bottom - top >= least[1])

    x, y, right, bottom = within
    if not is_large(right, bottom, x, y):
        return []
    x, y, right, bottom = max(0, x - _REACH), max(0, y - _REACH), right + _REACH, bottom + _REACH
    middles = cv2.erode(cv2.dilate(changed[y:bottom, x:right], _JOINS), _BOTH)
    _, _, wide, high = cv2.boundingRect(middles)
    if not (wide and is_large(wide + len(_SOLID) - 1, high + len(_SOLID) - 1)):
        return []
    solid = cv2.dilate(middles, _SOLID)
    outlines, _ = cv2.findContours(solid, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE, offset=(x, y))
    found = []
    for outline in outlines:
        left, top, wide, high = cv2.boundingRect(outline)
        if not is_large(wide, high):
            continue
        filled = np.asarray(cv2.drawContours(np.zeros_like(changed), [outline], -1, 1.0, cv2.FILLED), np.uint8)
        bounds = left, top, right, bottom = _trimmed(filled, (left, top, left + wide, top + high), least)
        if not is_large(right, bottom, left, top):
            continue
        sharp = [inside.mean() - outside.mean() for inside, outside in _sides(filled, bounds)]
        outlined, before = (
            np.mean(np.abs(np.concatenate([inside - outside for inside, outside in _sides(gray, bounds)])) >= _EDGE)
            for gray in (image, without)
        )
        if (
            filled[top:bottom, left:right].mean() >= _FILLED
            and np.mean(sharp) >= _SHARP
            and min(sharp) >= _LEAST_SHARP
            and outlined >= max(_OUTLINED, before + _OUTLINED_MORE)
        ):
            found.append(bounds)
    return found


def _trimmed(filled: Grays, bounds: Bounds, least: tuple[float, float], full: float = _FULL) -> Bounds:
    """The rectangle within these bounds whose outermost lines are full; the emptiest one is left out first.

    Args:
        filled: (h, w) of 0 and 1.
        bounds: of the rectangle at the most.
        least: its width and height; what is smaller is no longer trimmed.
        full: share of a line that is filled.
    """
    x, y, end, stop = bounds
    above = cv2.integral(filled[y:stop, x:end]).item  # the sum of what lies above and to the left
    left, top, right, bottom = 0, 0, end - x, stop - y

    def mean(left: int, top: int, right: int, bottom: int) -> float:
        total = above(bottom, right) - above(top, right) - above(bottom, left) + above(top, left)
        return float(total / ((right - left) * (bottom - top)))

    while right - left >= max(2, least[0]) and bottom - top >= max(2, least[1]):
        lines = [
            mean(left, top, left + 1, bottom),
            mean(left, top, right, top + 1),
            mean(right - 1, top, right, bottom),
            mean(left, bottom - 1, right, bottom),
        ]
        emptiest = lines.index(min(lines))
        if lines[emptiest] >= full:
            break
        left, top = left + (emptiest == 0), top + (emptiest == 1)
        right, bottom = right - (emptiest == 2), bottom - (emptiest == 3)
    return x + left, y + top, x + right, y + bottom


def _sides(image: Grays, bounds: Bounds) -> list[tuple[Floats, Floats]]:
    """Means of the lines just inside and just outside of each side, along it; outside of the image is nothing."""
    left, top, right, bottom = bounds
    height, width = image.shape
    upright, level = image[:, left:right], image[top:bottom].T
    sides = []
    for lines, at in ((upright, top), (upright[::-1], height - bottom), (level, left), (level[::-1], width - right)):
        outside = lines[max(0, at - 1 - _BESIDE) : max(0, at - 1)]
        inside = lines[at : at + _BESIDE].mean(axis=0)
        sides.append((inside, outside.mean(axis=0) if len(outside) else np.zeros_like(inside)))
    return sides


def _lines_of_text(changed: Grays, within: Bounds, image: _Image) -> list[Bounds]:
    """Rows of strokes that have changed, close to one another; all that has changed is `within` these bounds."""
    height, width = changed.shape
    x, y, right, bottom = within
    least = _BROKEN_INK * _LINE_WIDTH * width
    if right - x < least:
        return []
    ink = np.minimum(changed[y:bottom, x:right], image.ink[y:bottom, x:right])
    if cv2.reduce(ink, 1, cv2.REDUCE_SUM, dtype=cv2.CV_32S).max() < least:
        return []  # no row of pixels has the ink that each row of the faintest and shortest line has on average
    ink = np.minimum(changed, image.ink)
    across = np.ones((1, round(_LETTERS[0] * width) | 1))
    # Without what crosses a line, such as a lapel.
    rows = np.asarray(cv2.morphologyEx(_joined(ink), cv2.MORPH_OPEN, across), np.uint8)
    if cv2.reduce(rows, 1, cv2.REDUCE_SUM, dtype=cv2.CV_32S).max() < _JOINED * _LINE_WIDTH * width:
        return []  # likewise with what lies between strokes
    lowest, highest = (share * height for share in _LINE_HEIGHTS)
    found = []
    for left, top, wide, high, area in _components(rows):
        if not (lowest <= high <= highest and wide >= max(_LINE_WIDTH * width, _LINE_ASPECT * high)):
            continue
        part = slice(top, top + high), slice(left, left + wide)
        full = area >= _JOINED * wide * high
        filled, strokes = float(ink[part].mean()), float(image.sides[part].mean())
        if full and strokes >= _STROKES and (filled >= _INK or (filled >= _BROKEN_INK and strokes >= _DENSE)):
            found.append((left, top, left + wide, top + high))
    return found


def _ink(sides: Grays) -> Grays:
    """What belongs to strokes, by their sides."""
    return np.asarray(cv2.dilate(sides, np.ones((_BESIDE, 2 * _BESIDE + 1), np.uint8)), np.uint8)


def _joined(ink: Grays) -> Grays:
    """The same with what lies between the strokes of a line."""
    height, width = ink.shape
    across, down = (max(3, round(share * size)) | 1 for share, size in zip(_LETTERS, (width, height), strict=True))
    return np.asarray(cv2.morphologyEx(ink, cv2.MORPH_CLOSE, np.ones((down, across), np.uint8)), np.uint8)


def _components(image: Grays) -> list[tuple[int, int, int, int, int]]:
    """Left, top, width, height and area of what hangs together, not by its corners alone."""
    x, y, wide, high = cv2.boundingRect(image)
    if not wide:
        return []
    from scipy.ndimage import find_objects  # which who only observes does not need

    # OpenCV's own statistics take three times as long as finding what hangs together.
    count, labels = cv2.connectedComponents(image[y : y + high, x : x + wide], connectivity=4)
    areas = np.bincount(labels.ravel(), minlength=count)[1:].tolist()
    return [
        (x + columns.start, y + rows.start, columns.stop - columns.start, rows.stop - rows.start, area)
        for (rows, columns), area in zip(find_objects(np.asarray(labels, np.int32)), areas, strict=True)
    ]


def is_one(one: Bounds, other: Bounds) -> bool:
    """Whether two overlays are one, by their places."""
    width = min(one[2], other[2]) - max(one[0], other[0])
    height = min(one[3], other[3]) - max(one[1], other[1])
    areas = [(right - left) * (bottom - top) for left, top, right, bottom in (one, other)]
    return min(width, height) > 0 and width * height >= _SAME * min(areas)
