"""The boxes of a composed picture: a call grid, a news split, picture in picture.

Belongs here: finding rectangles about faces whose sides stand still. The edges of a box are at the same pixel in all of
a shot and over its whole length, and nothing ever crosses them. Door frames and shelves are crossed by people in front
of them, or end somewhere; a pole that does neither makes no rectangle.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final, TypeVar

import cv2
import numpy as np
from numpy.typing import NDArray

Bounds = tuple[int, int, int, int]
"""Left, top, right and bottom, in pixels of the small image."""

Floats = NDArray[np.float64]
Grays = NDArray[np.uint8]
Number = TypeVar("Number", bound=np.number)

_STEP: Final = 3
"""Levels of luma that make an edge between two neighboring pixels of the small image."""

_PERSISTS: Final = 0.9
"""Share of a shot's images in which an edge must be at the same place, with the same sign, to be still."""

_CONTRAST: Final = 8.0
"""Mean step in levels of luma along a box's edge: slats and moldings are fainter."""

_COVERED: Final = 0.6
"""Share of each side of a box that must be a still edge; the rest may be as dark as what is beside it."""

_WELL_COVERED: Final = 0.82
"""The same for the sides of a box on average, in a picture that may not be made of boxes at all."""

_HALF_COVERED: Final = 0.68
"""The same where two other boxes are beyond doubt: banners lie over the edges of this one."""

_ALL_COVERED: Final = 0.9
"""The same where a box is alone, or has fewer than `_ENOUGH` sides and is believed for the sake of its mirror image."""

_ENOUGH: Final = 3
"""Sides of a box that are still edges, not the picture's, where no other one mirrors it."""

_BORDER: Final = 0.75
"""What a side counts for, as a covered share, that is the border of the frame; the border of a bar counts in full."""

_PARTNER: Final = 0.2
"""What a box beside another face's is worth in choosing one, and costs for each face too many, in covered shares."""

_ALIKE: Final = 3
"""Pixels of the small image by which the edges of boxes in a row may differ."""

_MIRRORED: Final = 0.015
"""Share of the picture's width by which boxes may lie otherwise than mirrored in its middle."""

_GUTTER: Final = 0.15
"""Share of a box's width or height that may lie between it and the next one."""

_BESIDE: Final = 0.5
"""Share of the height or width of a face, and as much on both sides of it, along which an edge beside it is still."""

_MARGIN: Final = 0.01
"""Share of the picture's width and height along its border in which no edges are looked for: filters leave some."""

_LINES: Final = 12
"""Lines on each side of a face that are tried as the edge of its box."""

_THICK: Final = 0.02
"""Share of the picture's width that an edge's gutter or frame line has at most, on the inside of a line."""

_LATTICE: Final = 2
"""Still edges from side to side within a box, upright as well as level, that make it part of a tiled wall."""

_LARGEST: Final = 0.9
"""Share of the picture that a box has at most."""

_BYTE: Final = 255
"""The most that a byte holds: of luma, and of images that are counted in one for each pixel, which is quick, before
their number is added to that of all."""

_FLUSH: Final = 0.25
"""Share of the picture that a box in its corner has at most, of which only two sides are edges."""

_BEYOND: Final = 0.15
_ENDS: Final = 0.5
"""How far beyond such a box's inner corner is looked, as a share of its sides, and the share of that which is a still
edge at most: its sides end there, where a wall's and a door's go on."""

_VISIBLE: Final = 0.25
"""Share of each side of a box that other boxes may not hide."""

_ONE_COLOR: Final = 12
"""Levels of luma by which the pixels of a gutter differ, over a shot and along the edge."""


class Edges:
    """How often each pixel differs from the one before it in its row (or in its column).

    Args:
        shape: height and width of the images.
        in_columns: whether pixels are compared along columns.
    """

    def __init__(self, shape: tuple[int, int], *, in_columns: bool) -> None:
        self._in_columns = in_columns
        # How often it is brighter, and how often darker, than the one before. A few images are counted in bytes.
        self._counts = [np.zeros(shape, np.int32) for _ in range(2)]
        self._recent = [np.zeros(shape, np.uint8) for _ in range(2)]
        self._images = 0

    def add(self, gray: Grays) -> None:
        """Count the steps of an image, (h, w) uint8."""
        if self._images % _BYTE == 0:
            self._counted()
        self._images += 1
        # Rows follow one another, so that all pixels are one line. What that makes of the first column is not counted.
        levels, above = gray.ravel(), (np.minimum(gray, _BYTE - _STEP) + _STEP).ravel()
        apart = gray.shape[1] if self._in_columns else 1
        pairs = (levels[apart:], above[:-apart]), (levels[:-apart], above[apart:])
        for recent, (brighter, darker) in zip(self._recent, pairs, strict=True):
            counted = recent.ravel()[apart:]
            counted -= np.asarray(cv2.compare(brighter, darker, cv2.CMP_GT), np.uint8).ravel()  # 255 is one less than 0

    def strokes(
        self, total: NDArray[np.int32], *, share: float, levels: float
    ) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
        """Where pixels are brighter, and darker, than the one before in so many of the images, by so many levels.

        `total` is (h, w), the sum of the images.
        """
        rises, falls = self._counted()
        strong = np.abs(self._steps(total)) > levels * self._images
        return strong & (rises >= share * self._images), strong & (falls >= share * self._images)

    def share(self) -> Floats:
        """The share of the images in which each pixel differs from the one before it: (h, w)."""
        return np.asarray(np.sum(self._counted(), axis=0, dtype=np.float64) / max(1, self._images))

    def lines(self, total: NDArray[np.int32]) -> Lines:
        """Still edges and their contrast, each summed along them: with columns in the place of rows if that is down.

        `total` is (h, w), the sum of the images.
        """
        still = np.maximum(*self._counted()) >= _PERSISTS * self._images
        contrast = np.where(still, np.abs(self._steps(total)) / self._images, 0).astype(np.float32)
        if self._in_columns:
            still, contrast = still.T, contrast.T
        beside = np.ones((1, 3), np.uint8)
        wide = [cv2.dilate(plane, beside) for plane in (still.astype(np.float32), contrast)]
        return Lines(*map(_summed, wide))

    def _counted(self) -> list[NDArray[np.int32]]:
        """How often each pixel was brighter, and how often darker."""
        for count, recent in zip(self._counts, self._recent, strict=True):
            if not self._in_columns:
                recent[:, 0] = 0
            np.add(count, recent, out=count)
            recent[...] = 0
        return self._counts

    def _steps(self, total: NDArray[np.int32]) -> NDArray[np.int32]:
        """How much brighter each pixel is than the one before it, summed over the images."""
        before, after = self._pairs(total)
        steps = np.zeros_like(total)
        self._pairs(steps)[1][...] = after - before
        return steps

    def _pairs(self, plane: NDArray[Number]) -> tuple[NDArray[Number], NDArray[Number]]:
        """The neighbor before each pixel but the first ones, and the pixel."""
        return (plane[:-1], plane[1:]) if self._in_columns else (plane[:, :-1], plane[:, 1:])


def _summed(plane: NDArray[Any]) -> Floats:
    """(height + 1, width + 1): for each row, the sums of what lies above it, and 0 beside them.

    Row by row, since `np.cumsum` goes down one column after the other, which takes four times as long.
    """
    sums = np.zeros((plane.shape[0] + 1, plane.shape[1] + 1))
    for row, values in enumerate(plane):
        np.add(sums[row, :-1], values, out=sums[row + 1, :-1])
    return sums


@dataclass(frozen=True)
class Lines:
    """Vertical edges, (height + 1, width): how much of a column is edge above a row, and its contrast in all."""

    still: Floats
    contrast: Floats

    def candidates(self, first: int, end: int, begin: int, stop: int) -> NDArray[np.intp]:
        """The columns from `first` to `end` that are the longest edges beside the rows from `begin` to `stop`."""
        beside = self.still[stop] - self.still[begin]
        length = self.still[-1] * (beside >= _BESIDE * (stop - begin))
        best = np.maximum.reduce([np.roll(length, shift) for shift in range(-2, 3)]) == length
        columns = np.flatnonzero(best & (length > 0))
        columns = columns[(columns >= first) & (columns < end) & (columns > 0)]
        return columns[np.argsort(-length[columns], kind="stable")][:_LINES]


@dataclass(frozen=True)
class _Rectangle:
    """What may be the box of a face, in pixels of the small image.

    Attributes:
        left, top, right, bottom: of the box.
        sides: how many of its sides are still edges; the others are the picture's.
        covered: share of those sides that is a still edge.
        of_columns, of_rows: whether the left or right one, and the upper or lower one is among them.
        borders: what its other sides count for.
        flush: whether it fills a corner of the picture, with two clear sides that end in one another.
        faces: faces in it.
    """

    left: int
    top: int
    right: int
    bottom: int
    sides: int
    covered: float
    of_columns: bool
    of_rows: bool
    borders: float
    flush: bool
    faces: int

    @property
    def edges(self) -> Bounds:
        """Left, top, right, bottom."""
        return self.left, self.top, self.right, self.bottom

    def mirrored(self, others: _Edges, picture: Bounds) -> bool:
        """Whether others are where a mirror in the middle of the picture would show this one.

        It takes one beside this one for still edges on the left or right, and one above or below for the others; where
        edges and bars are all around it, one of the two.
        """
        left, top, right, bottom = picture
        near = _MIRRORED * (right - left)
        others = others[~self.overlaps(others)]
        row, column = self._aligned(others)
        across = np.abs(np.array([self.left, self.right]) + others[:, [2, 0]] - left - right).max(axis=1)
        down = np.abs(np.array([self.top, self.bottom]) + others[:, [3, 1]] - top - bottom).max(axis=1)
        beside, above = bool(np.any(row & (across <= near))), bool(np.any(column & (down <= near)))
        if self.borders == 4 - self.sides:
            return beside or above
        return (beside or not self.of_columns) and (above or not self.of_rows)

    def next_to(self, others: _Edges) -> bool:
        """Whether it makes a row or a column with one of others, with no more than a gutter between the two."""
        row, column = self._aligned(others)
        across = np.maximum(self.left - others[:, 2], others[:, 0] - self.right)
        down = np.maximum(self.top - others[:, 3], others[:, 1] - self.bottom)
        beside = row & (across >= -_ALIKE) & (across <= _GUTTER * (self.right - self.left))
        above = column & (down >= -_ALIKE) & (down <= _GUTTER * (self.bottom - self.top))
        return bool(np.any(beside | above))

    def overlaps(self, others: _Edges) -> NDArray[np.bool_]:
        """(n,): whether they share more than a frame line with it."""
        common = np.minimum(self.edges[2:], others[:, 2:]) - np.maximum(self.edges[:2], others[:, :2])
        return np.asarray(common.min(axis=1) > _ALIKE)

    def _aligned(self, others: _Edges) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
        """(n,) each: whether others begin and end in the same rows, and in the same columns."""
        apart = np.abs(np.array(self.edges) - others) <= _ALIKE
        return apart[:, 1] & apart[:, 3], apart[:, 0] & apart[:, 2]


_Edges = NDArray[np.intp]
"""(n, 4) of left, top, right and bottom of rectangles: each is compared with all others, and there may be thousands."""


def _edges(boxes: Sequence[_Rectangle]) -> _Edges:
    return np.array([box.edges for box in boxes], np.intp).reshape(-1, 4)


def find_panes(
    faces: Sequence[Bounds], across: Lines, down: Lines, darkest: Grays, brightest: Grays, picture: Bounds
) -> list[Bounds]:
    """The boxes of a shot that hold a face, each once, from the upper row to the lower one and from left to right.

    Args:
        faces: regions in which a face stays.
        across: still edges between the pixels of a row.
        down: still edges between the pixels of a column.
        darkest: (h, w) uint8, the least luma of each pixel over the shot.
        brightest: likewise the largest.
        picture: where the active picture lies.
    """
    found = [_rectangles(face, faces, across, down, picture) for face in faces]
    edges = [_edges(boxes) for boxes in found]
    chosen = []
    for number, boxes in enumerate(found):
        others = np.concatenate([np.zeros((0, 4), np.intp), *edges[:number], *edges[number + 1 :]])
        chosen.append(_best(boxes, others, picture))
    kept = _apart([box for box in chosen if box is not None])
    panes = [_inside(box, across, down, darkest, brightest, picture) for box in kept]
    for face in faces if kept else ():
        if not any(_holds(box.edges, face) for box in kept):
            behind = _rectangles(face, faces, across, down, picture, hidden=[box.edges for box in kept])
            whole = [box for box in behind if box.covered >= _WELL_COVERED and box.sides >= _ENOUGH]
            best = max(whole, key=lambda box: box.covered - _PARTNER * box.faces, default=None)
            if best is not None and best.overlaps(_edges(kept)).any():
                inside = _inside(best, across, down, darkest, brightest, picture)
                panes += [part] if (part := _clear(inside, [box.edges for box in kept], face)) is not None else []
    return sorted(panes, key=lambda pane: (sum(other[3] <= pane[1] + _ALIKE for other in panes), pane[0]))


def _holds(box: Bounds, face: Bounds) -> bool:
    """Whether the middle of a face lies in a box."""
    x, y = (face[0] + face[2]) / 2, (face[1] + face[3]) / 2
    return box[0] < x < box[2] and box[1] < y < box[3]


def _clear(box: Bounds, covers: Sequence[Bounds], face: Bounds) -> Bounds | None:
    """The largest part of a box that holds a face and nothing of the boxes that lie over it."""
    for left, top, right, bottom in covers:
        if left < box[2] and right > box[0] and top < box[3] and bottom > box[1]:
            parts = [(box[0], box[1], left, box[3]), (right, box[1], box[2], box[3])]
            parts += [(box[0], box[1], box[2], top), (box[0], bottom, box[2], box[3])]
            parts = [part for part in parts if part[0] <= face[0] and part[1] <= face[1]]
            parts = [part for part in parts if part[2] >= face[2] and part[3] >= face[3]]
            if not parts:
                return None
            box = max(parts, key=lambda part: (part[2] - part[0]) * (part[3] - part[1]))
    return box


def _rectangles(
    face: Bounds,
    faces: Sequence[Bounds],
    columns: Lines,
    rows: Lines,
    picture: Bounds,
    *,
    hidden: Sequence[Bounds] = (),
) -> list[_Rectangle]:
    """The rectangles about a face whose sides are still edges, or the picture's, where no others lie over them."""
    x, y, end, bottom = face
    first_x, first_y, last_x, last_y = picture
    near_x, near_y = round(_MARGIN * (last_x - first_x)), round(_MARGIN * (last_y - first_y))
    wide = max(first_x, 2 * x - end), min(last_x, 2 * end - x)
    high = max(first_y, 2 * y - bottom), min(last_y, 2 * bottom - y)
    left, right, top, low = (
        axis.ravel()
        for axis in np.meshgrid(
            np.append(columns.candidates(first_x + near_x, x + 1, *high), first_x),
            np.append(columns.candidates(end, last_x - near_x, *high), last_x),
            np.append(rows.candidates(first_y + near_y, y + 1, *wide), first_y),
            np.append(rows.candidates(bottom, last_y - near_y, *wide), last_y),
            indexing="ij",
        )
    )
    real = np.stack([left > first_x, right < last_x, top > first_y, low < last_y])
    sides = (columns, left, top, low), (columns, right, top, low), (rows, top, left, right), (rows, low, left, right)
    length = np.stack([stop - begin for _, _, begin, stop in sides])
    still = np.stack([lines.still[stop, at] - lines.still[begin, at] for lines, at, begin, stop in sides])
    contrast = np.stack([lines.contrast[stop, at] - lines.contrast[begin, at] for lines, at, begin, stop in sides])
    whole = length.copy()
    for number, (lines, at, begin, stop) in enumerate(sides):
        axis = number // 2
        for box in hidden:
            over = (at >= box[axis] - _ALIKE) & (at <= box[axis + 2] + _ALIKE)
            first, end = np.maximum(begin, box[1 - axis]), np.minimum(stop, box[3 - axis])
            over &= first < end
            length[number] -= np.where(over, end - first, 0)
            still[number] -= np.where(over, lines.still[end, at] - lines.still[first, at], 0)
            contrast[number] -= np.where(over, lines.contrast[end, at] - lines.contrast[first, at], 0)
    covered = np.where(length >= _VISIBLE * whole, still / np.maximum(length, 1), 0)
    count = real.sum(axis=0)
    mean = np.where(real, covered, 0).sum(axis=0) / np.maximum(count, 1)
    good = ~real | ((covered >= _COVERED) & (contrast >= _CONTRAST * still))
    area = (right - left) * (low - top) / ((last_x - first_x) * (last_y - first_y))
    chosen = np.flatnonzero(good.all(axis=0) & (count > 0) & (mean >= _HALF_COVERED) & (area <= _LARGEST))
    height, width = columns.still.shape[0] - 1, columns.still.shape[1] - 1
    of_frame = np.array([first_x == 0, last_x == width, first_y == 0, last_y == height])
    borders = (~real * np.where(of_frame, _BORDER, 1.0)[:, None]).sum(axis=0)
    middles = np.array([((a + c) / 2, (b + d) / 2) for a, b, c, d in faces])
    boxes = []
    for i in chosen:
        across = _crossing(columns, (left[i], right[i]), (top[i], low[i]))
        if across >= _LATTICE and _crossing(rows, (top[i], low[i]), (left[i], right[i])) >= _LATTICE:
            continue
        inside = (middles > (left[i], top[i])).all(axis=1) & (middles < (right[i], low[i])).all(axis=1)
        boxes.append(
            _Rectangle(
                left=int(left[i]),
                top=int(top[i]),
                right=int(right[i]),
                bottom=int(low[i]),
                sides=int(count[i]),
                covered=float(mean[i]),
                of_columns=bool(real[:2, i].any()),
                of_rows=bool(real[2:, i].any()),
                borders=float(borders[i]),
                flush=bool(count[i] == 2 and area[i] <= _FLUSH and covered[real[:, i], i].min() >= _ALL_COVERED)
                and _ends(columns, rows, (left[i], top[i], right[i], low[i]), real[:, i]),
                faces=int(inside.sum()),
            )
        )
    return boxes


def _ends(columns: Lines, rows: Lines, box: Bounds, real: NDArray[np.bool_]) -> bool:
    """Whether the two sides of a box in the picture's corner end in one another."""
    if real[:2].sum() != 1 or real[2:].sum() != 1:
        return False
    column, row = (0 if real[0] else 2), (1 if real[2] else 3)
    for lines, at, corner, extent, outwards in (
        (columns, box[column], box[row], box[3] - box[1], -1 if row == 1 else 1),
        (rows, box[row], box[column], box[2] - box[0], -1 if column == 0 else 1),
    ):
        begin, stop = sorted((corner + outwards * _ALIKE, corner + outwards * max(3 * _ALIKE, round(_BEYOND * extent))))
        begin, stop = max(0, begin), min(lines.still.shape[0] - 1, stop)
        if stop <= begin or lines.still[stop, at] - lines.still[begin, at] > _ENDS * (stop - begin):
            return False
    return True


def _crossing(lines: Lines, between: tuple[int, int], along: tuple[int, int]) -> int:
    """How many still edges there are between two sides of a box that reach along it from one end to the other."""
    begin, stop = along
    within = slice(between[0] + _ALIKE, between[1] - _ALIKE)
    reaching = lines.still[stop, within] - lines.still[begin, within] >= _COVERED * (stop - begin)
    return int(np.count_nonzero(np.diff(reaching.astype(np.int8), prepend=0) == 1))


def _best(boxes: list[_Rectangle], of_others: _Edges, picture: Bounds) -> _Rectangle | None:
    """The box of a face with the best evidence: still sides, a box about another face beside it, no face too many."""

    def score(box: _Rectangle) -> float:
        shares = (box.sides * box.covered + box.borders) / 4
        return shares + _PARTNER * (box.next_to(of_others) - box.faces)

    def stands(box: _Rectangle) -> bool:
        return box.sides >= _ENOUGH or box.flush or (box.covered >= _ALL_COVERED and box.mirrored(of_others, picture))

    return max(filter(stands, boxes), key=score, default=None)


def _apart(boxes: list[_Rectangle]) -> list[_Rectangle]:
    """Of the boxes of all faces those that stand, each once: none overlaps a better one, none is there by chance."""
    kept: list[_Rectangle] = []
    for box in sorted(boxes, key=lambda box: (box.faces, -box.covered)):
        if not box.overlaps(_edges(kept)).any():
            kept.append(box)
    sure = [box for box in kept if box.covered >= _WELL_COVERED]
    if any(box.next_to(_edges(sure)) for box in sure):
        return kept
    return [box for box in sure if (box.sides == 4 or box.flush) and box.covered >= _ALL_COVERED]


def _inside(box: _Rectangle, columns: Lines, rows: Lines, darkest: Grays, brightest: Grays, picture: Bounds) -> Bounds:
    """A box without the frame line along its edges, and without the pixels that the edges run through."""
    left, top, right, bottom = box.left, box.top, box.right, box.bottom
    thick = np.arange(max(1, round(_THICK * darkest.shape[1])) + 1)
    across = darkest[top:bottom].T, brightest[top:bottom].T
    down = darkest[:, left:right], brightest[:, left:right]
    left += _frame_line(left + thick, left + thick, columns, (top, bottom), across, gutter=left > picture[0])
    right -= _frame_line(right - thick, right - 1 - thick, columns, (top, bottom), across, gutter=right < picture[2])
    along = box.left, box.right
    top += _frame_line(top + thick, top + thick, rows, along, down, gutter=top > picture[1])
    bottom -= _frame_line(bottom - thick, bottom - 1 - thick, rows, along, down, gutter=bottom < picture[3])
    return left, top, right, bottom


def _frame_line(
    edges: NDArray[np.intp],
    pixels: NDArray[np.intp],
    lines: Lines,
    along: tuple[int, int],
    luma: tuple[Grays, Grays],
    *,
    gutter: bool,
) -> int:
    """How many pixels from a side of a box inwards are frame line, which is still edges, or gutter.

    Args:
        edges: those beside the side, from the outside inwards.
        pixels: likewise.
        lines: the edges of that direction.
        along: where the side begins and ends.
        luma: the least and the largest of each pixel, one line of pixels in a row.
        gutter: whether there may be one, which is still and of one color.
    """
    begin, stop = along
    inside = lines.still[stop, edges] - lines.still[begin, edges] >= _COVERED * (stop - begin)
    if gutter:
        darkest, brightest = luma[0][pixels], luma[1][pixels]
        color = np.median(darkest, axis=1, keepdims=True)
        off = np.maximum(brightest - color, color - darkest)
        plain = (off > _ONE_COLOR).mean(axis=1) <= 1 - _COVERED
        # What goes on being plain is no gutter but a wall.
        inside |= plain & ~plain[-1]
    return int(np.flatnonzero(inside)[-1]) + 1 if inside.any() else 0
