"""What a shot's picture is made of: the active picture inside bars, the boxes of a composed one, what lies over it.

Belongs here: what stands still in a shot, gathered from the small images in which faces are looked for, without their
colors, so nothing is decoded or shrunk for it. A bar is still, of one color, and ends along a straight line. What a box
is, `panes` says, and what is laid over a picture, `overlays`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from dualface_core.tables.face_tracks import Box, Overlay, Shot
from dualface_core.tracking.overlays import Laid, OverlayFinder, is_one
from dualface_core.tracking.panes import Bounds, Edges, Floats, Grays, find_panes

_SECONDS: Final = 0.3
"""Least time between two images of a shot that are looked at; what stands still needs no more of them."""

_LEAST_IMAGES: Final = 4
"""Images of a shot without which nothing is said about boxes."""

_OF_BAR: Final = 6
"""Levels of luma by which a pixel of a bar may differ from its color, in any image."""

_OF_LETTERS: Final = 24
"""Range in levels of luma over a shot up to which a pixel of letters stands still, with the noise that coding adds."""

_LIVES: Final = 0.3
"""Share of the pixels of the picture's first line that move, beyond letters in a bar."""

_PLAIN: Final = 0.02
"""Share of a line of pixels that may differ more in the inside of a bar."""

_PICTURE: Final = 0.6
"""Share of the line beside a bar that differs from it at some time, where the picture begins along a straight line."""

_SHARP: Final = 6.0
"""Levels of luma between the middle pixels of a bar's last line and of the picture's first; shadows fade."""

_RINGING: Final = 3
"""Lines of the small image beside a bar that coding leaves neither plain nor clearly picture."""

_LEAST_BAR: Final = 0.012
"""Share of the picture's height or width that a bar has at least."""

_BLACK: Final = 40
"""Luma up to which a bar on one side alone is believed; those of another color come in pairs."""

_MARGIN_EDGE: Final = 0.7
"""Share of the steps from pixel to pixel along the edge of a margin that are no noise. What mirrors in the middle of a
room, such as the posts of a door, has up to as much, but then as much goes on beside it as between."""

_SMOOTHER: Final = 0.3
"""The same of all steps in both margins, letters included, by that of the picture between them: what is blurred, plain
or shaded has few; rooms have 0.7 and more."""

_LEAST_MARGIN: Final = 0.04
_MOST_MARGIN: Final = 0.42
"""Shares of the image's width or height that each of two margins has."""

_MIRROR: Final = 2
"""Pixels by which two margins may differ."""

_STAYS: Final = 0.5
"""Share of a shot's images in which a face must be found to hold a box."""

_MOVES: Final = 12.0
"""Range in levels of luma, on average, that a living face has over a shot; that of a photograph is coding noise."""


_EXACT: Final = 50_000
"""Images whose sum single precision holds to the last level."""

_CORNER: Final = 0.35
"""Share of the image's width and height beside two of its borders that is a corner, where stations have their logos."""


@dataclass
class _Face:
    """Where a face was found in the images of one shot, in pixels of the small image."""

    last: Floats
    left: float
    top: float
    right: float
    bottom: float
    count: int = 1

    def take(self, box: Floats) -> bool:
        """Take a box if its middle lies in the last one."""
        x, y = box[:2] + box[2:] / 2
        inside = self.last[0] < x < self.last[0] + self.last[2] and self.last[1] < y < self.last[1] + self.last[3]
        if inside:
            self.last = box
            self.left, self.top = min(self.left, box[0]), min(self.top, box[1])
            self.right, self.bottom = max(self.right, box[0] + box[2]), max(self.bottom, box[1] + box[3])
            self.count += 1
        return bool(inside)

    def pixels(self, width: int, height: int) -> Bounds:
        """The region of all its boxes: left, top, right, bottom, inside the image."""
        return (
            max(0, math.floor(self.left)),
            max(0, math.floor(self.top)),
            min(width, math.ceil(self.right)),
            min(height, math.ceil(self.bottom)),
        )


@dataclass
class _Watched:
    """What the images of one shot have in common; of their sum a part is in `recent`, which is quick to add to."""

    darkest: Grays
    brightest: Grays
    recent: NDArray[np.float32]
    before: NDArray[np.int32]
    across: Edges
    down: Edges
    images: int = 0
    looks: int = 0
    last: float = -math.inf
    faces: list[_Face] = field(default_factory=list)
    overlays: OverlayFinder = field(default_factory=OverlayFinder)

    @classmethod
    def none(cls, shape: tuple[int, int]) -> _Watched:
        """Before the first image of this height and width."""
        darkest, brightest = np.full(shape, 255, np.uint8), np.zeros(shape, np.uint8)
        sums = np.zeros(shape, np.float32), np.zeros(shape, np.int32)
        return cls(darkest, brightest, *sums, Edges(shape, in_columns=False), Edges(shape, in_columns=True))

    def add(self, gray: Grays | None, boxes: Floats, time: float) -> None:
        """Take the faces of an image, and the image unless it was left out."""
        self.looks += 1
        for box in boxes:
            if not any(face.take(box) for face in self.faces):
                self.faces.append(_Face(box, box[0], box[1], box[0] + box[2], box[1] + box[3]))
        if gray is None or time - self.last < _SECONDS:
            return
        self.last = time
        self.images += 1
        np.minimum(self.darkest, gray, out=self.darkest)
        np.maximum(self.brightest, gray, out=self.brightest)
        if self.images % _EXACT == 0:
            self.total()
        cv2.accumulate(gray, self.recent)
        self.across.add(gray)
        self.down.add(gray)
        self.overlays.add(gray, time)

    def total(self) -> NDArray[np.int32]:
        """The sum of the images: (h, w)."""
        self.before += self.recent.astype(np.int32)
        self.recent[...] = 0
        return self.before

    def bars(self) -> _Bars:
        """The bars on the left, at the top, on the right and at the bottom."""
        (top, bottom), (left, right) = _plain(self.darkest, self.brightest), _plain(self.darkest.T, self.brightest.T)
        rows, columns = slice(top, bottom), slice(left, right)
        across = self.darkest[rows].T, self.brightest[rows].T
        down = self.darkest[:, columns], self.brightest[:, columns]
        return _Bars(
            _Bar.of(*across),
            _Bar.of(*down),
            _Bar.of(across[0][::-1], across[1][::-1]),
            _Bar.of(down[0][::-1], down[1][::-1]),
            self._margins(),
        )

    def _margins(self) -> Bounds:
        """The margins on the left, at the top, on the right and at the bottom, without faces."""
        if self.images < _LEAST_IMAGES:
            return 0, 0, 0, 0
        height, width = self.darkest.shape
        faces = np.array([face.pixels(width, height) for face in self.faces if face.count >= _STAYS * self.looks])
        middles = (faces.reshape(-1, 4)[:, :2] + faces.reshape(-1, 4)[:, 2:]) // 2
        across, down = self.across.share(), self.down.share()
        left, right = _margin(across, down, min((*middles[:, 0], *(width - middles[:, 0])), default=width))
        top, bottom = _margin(down.T, across.T, min((*middles[:, 1], *(height - middles[:, 1])), default=height))
        return left, top, right, bottom

    def panes(self, picture: Bounds) -> list[Bounds]:
        """The boxes that hold a face, in pixels of the small image, within the active picture."""
        height, width = self.darkest.shape
        steady = [face.pixels(width, height) for face in self.faces if face.count >= _STAYS * self.looks]
        range_ = self.brightest - self.darkest
        alive = [(x, y, right, bottom) for x, y, right, bottom in steady if range_[y:bottom, x:right].mean() >= _MOVES]
        if self.images < _LEAST_IMAGES or not alive:
            return []
        lines = self.across.lines(self.total()), self.down.lines(self.total())
        return find_panes(alive, *lines, self.darkest, self.brightest, picture)


@dataclass(frozen=True)
class _Bar:
    """One side of a shot's picture.

    Attributes:
        plain: lines from the border of the frame inwards that are still and of one color.
        depth: lines of the bar, up to a straight edge; 0 where there is none.
        color: luma.
    """

    plain: int
    depth: int
    color: float

    @classmethod
    def of(cls, darkest: Grays, brightest: Grays) -> _Bar:
        """The bar at the first line of an image."""
        color = (float(np.median(darkest[0])) + float(np.median(brightest[0]))) / 2
        if color > _BLACK and np.mean(_off(darkest[0], brightest[0], color) > _OF_BAR) > _PLAIN:
            return cls(0, 0, color)
        off = _off(darkest, brightest, color)
        differs, moves = off > _OF_BAR, brightest - darkest > _OF_LETTERS
        share, living = differs.mean(axis=1), (differs & moves).mean(axis=1)
        plain = _first(share > _PLAIN)
        depth = _edge(off, share, plain)
        if color <= _BLACK:  # it may go on beyond letters that stand in it, up to where the picture lives
            ends = np.flatnonzero((share[:-1] <= _PLAIN) & (share[1:] > _PLAIN)) + 1
            for end in ends[ends < _first(living > _PLAIN) + _RINGING].tolist():
                beyond = _edge(off, share, end)
                if beyond and living[beyond + 1] >= _LIVES:
                    return cls(plain, beyond, color)
        return cls(plain, depth, color)


def _off(darkest: Grays, brightest: Grays, color: float) -> NDArray[np.float32]:
    """Levels by which pixels differ from a color at most; quarters of one, which single precision holds."""
    level = np.float32(color)
    return np.asarray(np.maximum(brightest - level, level - darkest), np.float32)


def _edge(off: NDArray[np.float32], share: Floats, plain: int) -> int:
    """Lines up to the straight edge of a picture that begins where plain lines end; 0 where there is none.

    Args:
        off: (lines, pixels) levels of luma by which each differs from the color of the bar.
        share: (lines,) of the pixels of each that differ.
        plain: lines of the bar, before the edge.
    """
    edge = plain + _first(share[plain : plain + _RINGING + 1] >= _PICTURE)
    if plain < _LEAST_BAR * len(off) or edge > plain + _RINGING or edge + 1 >= len(off):
        return 0
    step = np.median(off[edge + 1]) - np.median(off[max(0, plain - 2)])
    return edge if step >= _SHARP else 0


@dataclass(frozen=True)
class _Bars:
    """What may be bars around the picture of one shot.

    Attributes:
        left, top, right, bottom: of one color.
        margins: lines on each side that are no bar of one color, and yet not the picture; see `_margin`.
    """

    left: _Bar
    top: _Bar
    right: _Bar
    bottom: _Bar
    margins: Bounds

    @property
    def sides(self) -> tuple[_Bar, _Bar, _Bar, _Bar]:
        """In the order of `Bounds`."""
        return self.left, self.top, self.right, self.bottom

    def sure(self) -> Bounds:
        """Lines of the bar on each side. Bars are believed in pairs, and one alone if it is black."""
        depths = []
        opposite = self.right, self.bottom, self.left, self.top
        for bar, other in zip(self.sides, opposite, strict=True):
            pair = other.depth and abs(bar.color - other.color) <= _OF_BAR
            depths.append(bar.depth if pair or bar.color <= _BLACK else 0)
        for one, two in ((0, 2), (1, 3)):
            if not (depths[one] and depths[two]):
                depths[one], depths[two] = (max(depths[side], self.margins[side]) for side in (one, two))
        left, top, right, bottom = depths
        return left, top, right, bottom

    def resolved(self, others: list[Bounds]) -> Bounds:
        """The same with the bars of other shots, the nearest first, where this one's picture is as plain as a bar."""
        depths = list(self.sure())
        for side, bar in enumerate(self.sides):
            if not depths[side]:
                fitting = (other[side] for other in others if 0 < other[side] <= bar.plain + _RINGING)
                depths[side] = next(fitting, 0)
        left, top, right, bottom = depths
        return left, top, right, bottom


def _margin(across: Floats, along: Floats, most: int) -> tuple[int, int]:
    """How many lines of two margins there are: columns on the left and on the right beside a picture in the middle.

    Many videos have another shape than what they show, and beside that a blurred copy of it, a color or a shading,
    often with words. Its edges are straight and mirror one another, and less is to be seen in it than between them.

    Args:
        across: (lines, columns) share of the images in which each pixel differs from the one on its left.
        along: the same, from the one above it.
        most: columns that may belong to a margin.
    """
    columns = across.shape[1]
    depths = np.arange(math.ceil(_LEAST_MARGIN * columns), min(most, math.floor(_MOST_MARGIN * columns)))
    edge = across.mean(axis=0)
    sides = np.stack([edge, np.append(0.0, edge[:0:-1])])  # from the left, and from the right
    near = np.max([sides[:, depths + shift] for shift in range(-_MIRROR, _MIRROR + 1)], axis=0)
    busy = np.cumsum((across + along).mean(axis=0) / 2)
    outside = (busy[depths - _MIRROR] + busy[-1] - busy[columns - depths + _MIRROR]) / (2 * (depths - _MIRROR))
    inside = (busy[columns - depths - 1] - busy[depths]) / (columns - 2 * depths)
    found = depths[(near >= _MARGIN_EDGE).all(axis=0) & (outside <= _SMOOTHER * inside)]
    if not len(found):
        return 0, 0
    last = int(found[-1])
    left, right = (
        last - _MIRROR + int(np.flatnonzero(side[last - _MIRROR : last + _MIRROR + 1] >= _MARGIN_EDGE)[-1])
        for side in sides
    )
    return left, right


def _first(true: NDArray[np.bool_]) -> int:
    """Index of the first that is true; their number if none is."""
    return int(np.argmax(true)) if true.any() else len(true)


def _plain(darkest: Grays, brightest: Grays) -> tuple[int, int]:
    """The first line of an image that is not plain, and one beyond the last; all lines where every one is plain."""
    top, bottom = _Bar.of(darkest, brightest).plain, _Bar.of(darkest[::-1], brightest[::-1]).plain
    return (top, len(darkest) - bottom) if top + bottom < len(darkest) else (0, len(darkest))


@dataclass(frozen=True)
class _Summary:
    """What is kept of a shot."""

    bars: _Bars
    panes: list[Bounds]
    overlays: list[Laid]


class StageFinder:
    """Takes the small images of a video in which faces were looked for, shot by shot, and tells what each is made of.

    Args:
        frame_size: width and height of the upright frame, in pixels.
        image_size: of the small images.
    """

    def __init__(self, frame_size: tuple[int, int], image_size: tuple[int, int]) -> None:
        self._small = image_size
        self._scale = frame_size[0] / image_size[0], frame_size[1] / image_size[1]
        self._shot = -1
        self._watched: _Watched | None = None
        self._shots: dict[int, _Summary] = {}

    def add(self, shot: int, time: float, image: NDArray[np.uint8] | None, boxes: NDArray[np.floating]) -> None:
        """Take the next image.

        Args:
            shot: number of its shot; they ascend.
            time: in seconds.
            image: (h, w) uint8; None where it is left out, soon after another one.
            boxes: (n, 4) faces, x, y, width and height in pixels of the image.
        """
        if self._watched is None or shot != self._shot:
            self._close()
            self._shot, self._watched = shot, _Watched.none((self._small[1], self._small[0]))
        self._watched.add(image, np.asarray(boxes, np.float64), time)

    def finish(self, spans: Sequence[tuple[int, int]]) -> list[Shot]:
        """There are no more images: the shots, of which `spans` are the first and last frames."""
        self._close()
        known = {number: summary.bars.sure() for number, summary in self._shots.items()}
        logos = self._logos()
        shots = []
        for shot, (first, last) in enumerate(spans):
            others = [known[number] for number in sorted(known, key=lambda number: abs(number - shot))]
            summary = self._shots.get(shot)
            depths = summary.bars.resolved(others) if summary is not None else next(iter(others), (0, 0, 0, 0))
            picture = self._box(self._bounds(depths)) if any(depths) else None
            panes = tuple(self._box(pane) for pane in summary.panes) if summary is not None else ()
            laid = summary.overlays if summary is not None else []
            laid = [*laid, *(logo for logo in logos if not any(is_one(logo.bounds, other.bounds) for other in laid))]
            overlays = tuple(map(self._overlay, laid))
            shots.append(Shot(first=first, last=last, picture=picture, panes=panes, overlays=overlays))
        return shots

    def _logos(self) -> list[Laid]:
        """What stands in one corner of several shots: it is in all of them, also where it is hardly to be seen."""
        standing = [laid for summary in self._shots.values() for laid in summary.overlays if self._in_corner(laid)]
        logos: list[Laid] = []
        for number, laid in enumerate(standing):
            before = any(is_one(laid.bounds, other.bounds) for other in standing[:number])
            if before and not any(is_one(laid.bounds, logo.bounds) for logo in logos):
                logos.append(laid)
        return logos

    def _in_corner(self, laid: Laid) -> bool:
        """Whether something stands in a corner throughout its shot."""
        (left, top, right, bottom), (width, height) = laid.bounds, self._small
        aside = right < _CORNER * width or left > (1 - _CORNER) * width
        up_or_down = bottom < _CORNER * height or top > (1 - _CORNER) * height
        return aside and up_or_down and laid.begin is None and laid.end is None

    def _close(self) -> None:
        """Sum up the shot that was watched."""
        if self._watched is None:
            return
        bars = self._watched.bars()
        panes = self._watched.panes(self._bounds(bars.sure()))
        overlays = self._watched.overlays.found(self._watched.across, self._watched.total())
        self._shots[self._shot] = _Summary(bars, panes, overlays)
        self._watched = None

    def _bounds(self, depths: Bounds) -> Bounds:
        """The picture inside of bars, and of the pixels that their edges run through."""
        left, top, right, bottom = (depth + 1 if depth else 0 for depth in depths)
        width, height = self._small
        return left, top, width - right, height - bottom

    def _box(self, bounds: Bounds) -> Box:
        """In whole pixels of the frame, rounded inwards."""
        (across, down), (left, top, right, bottom) = self._scale, bounds
        x, y = math.ceil(left * across), math.ceil(top * down)
        return float(x), float(y), float(math.floor(right * across) - x), float(math.floor(bottom * down) - y)

    def _overlay(self, laid: Laid) -> Overlay:
        """In whole pixels of the frame, rounded outwards."""
        (across, down), (left, top, right, bottom) = self._scale, laid.bounds
        x, y = math.floor(left * across), math.floor(top * down)
        size = float(math.ceil(right * across) - x), float(math.ceil(bottom * down) - y)
        return Overlay(box=(float(x), float(y), *size), begin=laid.begin, end=laid.end)
