"""Findings about what the tiles show: not black, not standing still, and what the plan says.

Belongs here: pictures without faces in mind. Every frame of the result is looked at through a thumbnail of its luma;
what looks suspicious is compared with the source before anybody is told, since a source may well fade to black or
show a slide.
"""

from __future__ import annotations

import heapq
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from dualface_core.media.frames import FULL_RANGE, ColorInfo, Frame
from dualface_core.tables.layouts import Tile
from dualface_core.verification.expected import Source, Thumbnail, evenly, ssim
from dualface_core.verification.findings import Check, Finding

Cells = NDArray[np.uint8]
"""Luma of a tile, averaged over a coarse grid."""

_STRIDE: Final = 4
"""Of the luma samples, every fourth in either direction is looked at."""

_CELL: Final = 20
"""Luma samples in either direction that are averaged into one of a thumbnail."""

_BLACK: Final = 12
"""Levels above black that the brightest spot of a black tile may have."""

_STILL: Final = 2
"""Levels by which a spot may change while the tile counts as standing still: what coding it anew may do."""

_MOVING: Final = 8
"""Levels by which some spot of the source must have changed meanwhile for that to be wrong."""

FROZEN_SECONDS: Final = 2.0
"""A tile that stands still for longer is compared with the source."""

_STILL_SOURCE_SECONDS: Final = 10.0
"""A source that stands still for longer is worth telling."""

_RUNS: Final = 4
"""The longest stretches of each kind and tile that are compared with the source."""

_LOOKS: Final = 4
"""Source frames that tell whether it moved during a stretch."""

LEAST_SSIM: Final = 0.7
"""Structural similarity of thumbnails. On real clips, x264 at CRF 40 stays above 0.95 and at CRF 51 mostly above 0.8;
a tile that is a tenth of its width aside is below 0.7, and the other person's tile below 0.6."""

MOST_COLOR_DISTANCE: Final = 3.0
"""Levels. At CRF 51 it is about 2; with U and V exchanged, it is 4 and more."""


@dataclass(frozen=True, order=True)
class Run:
    """A stretch of frames, both ends included, and how many seconds it lasts."""

    seconds: float
    first: int
    last: int


@dataclass
class _Runs:
    """The longest of the stretches that were seen, and all of them in seconds."""

    longest: list[Run] = field(default_factory=list)
    seconds: float = 0.0

    def add(self, run: Run) -> None:
        self.seconds += run.seconds
        heapq.heappush(self.longest, run)
        if len(self.longest) > _RUNS:
            heapq.heappop(self.longest)


class _Stretch:
    """The frames for which something goes on: where it began, and a thumbnail of then."""

    def __init__(self) -> None:
        self._first = 0
        self._last = 0
        self._begin: float | None = None
        self.anchor: Cells | None = None

    def go_on(self, number: int, time: float, anchor: Cells) -> None:
        if self._begin is None:
            self._first, self._begin, self.anchor = number, time, anchor
        self._last = number

    def end(self, time: float) -> Run | None:
        """End the stretch; None where there was none."""
        begin, self._begin, self.anchor = self._begin, None, None
        return None if begin is None else Run(time - begin, self._first, self._last)


class BlackAndFreezeDetector:
    """Watches one tile over all frames for black and for standing still.

    Args:
        tile: where it is.
        color: color tags of the result; they say how low black is.
    """

    def __init__(self, tile: Tile, color: ColorInfo) -> None:
        self.tile = tile
        self.darkest = _BLACK + (0 if color.range == FULL_RANGE else 16)
        self._size = (max(1, tile.width // _CELL), max(1, tile.height // _CELL))
        self._black = _Stretch()
        self._still = _Stretch()
        self.black = _Runs()
        self.frozen = _Runs()

    def cells(self, picture: Frame) -> Cells:
        """What is compared of a tile."""
        luma = picture.planes[0][::_STRIDE, ::_STRIDE]
        return np.asarray(cv2.resize(luma, self._size, interpolation=cv2.INTER_AREA), np.uint8)

    def look(self, number: int, time: float, picture: Frame) -> None:
        """Take the tile of the next frame, with the frame's number in the plan and its time in seconds."""
        small = self.cells(picture)
        dark = int(small.max()) <= self.darkest
        anchor = self._still.anchor
        if dark or (anchor is not None and int(cv2.absdiff(small, anchor).max()) > _STILL):
            self._end_still(time)
        if dark:
            self._black.go_on(number, time, small)
            return
        self._end_black(time)
        self._still.go_on(number, time, small)

    def finish(self, time: float) -> None:
        """Take note that the last frame ends at a time in seconds."""
        self._end_still(time)
        self._end_black(time)

    def _end_black(self, time: float) -> None:
        if run := self._black.end(time):
            self.black.add(run)

    def _end_still(self, time: float) -> None:
        if (run := self._still.end(time)) and run.seconds > FROZEN_SECONDS:
            self.frozen.add(run)


def black_and_freeze_findings(watches: Sequence[BlackAndFreezeDetector], source: Source) -> Iterator[Finding]:
    """Whether a tile is black or frozen where the source is not.

    Raises UnreadableVideoError where the source cannot be read.
    """
    looks = {
        number
        for watch in watches
        for runs, count in ((watch.black, 1), (watch.frozen, _LOOKS))
        for run in runs.longest
        for number in _looks(run, count)
    }
    there: dict[int, list[Cells]] = {
        expected.frame.index: [watch.cells(tile) for watch, tile in zip(watches, expected.tiles, strict=True)]
        for expected in source.render(sorted(looks))
    }
    for place, watch in enumerate(watches):
        seen = {number: cells[place] for number, cells in there.items()}
        yield _black_finding(watch, seen)
        yield from _frozen_findings(watch, seen)


def _looks(run: Run, count: int) -> list[int]:
    if count == 1:
        return [(run.first + run.last) // 2]
    return evenly(range(run.first, run.last + 1), count)


def _black_finding(watch: BlackAndFreezeDetector, seen: Mapping[int, Cells]) -> Finding:
    name = watch.tile.person
    wrong = [
        run
        for run in watch.black.longest
        for number in _looks(run, 1)
        if number in seen and int(seen[number].max()) > watch.darkest + _BLACK
    ]
    seconds = round(sum(run.seconds for run in wrong), 3)
    message = f"Tile {name} is never black where the source isn't."
    if wrong:
        first = min(wrong, key=lambda run: run.first)
        message = f"Tile {name} is black for {seconds:g} s, from frame {first.first} on, where the source is not."
    return Finding(check=Check.BLACK, passed=not wrong, value=seconds, expected="0 s", message=message)


def _frozen_findings(watch: BlackAndFreezeDetector, seen: Mapping[int, Cells]) -> Iterator[Finding]:
    name = watch.tile.person
    wrong = [run for run in watch.frozen.longest if _moved(run, seen)]
    seconds = round(sum(run.seconds for run in wrong), 3)
    message = f"Tile {name} never stands still for more than {FROZEN_SECONDS:g} s while the source moves."
    if wrong:
        first = min(wrong, key=lambda run: run.first)
        message = f"Tile {name} stands still for {seconds:g} s, from frame {first.first} on, while the source moves."
    yield Finding(check=Check.FROZEN, passed=not wrong, value=seconds, expected="0 s", message=message)
    calm = max((run for run in watch.frozen.longest if run not in wrong), default=None)
    if calm is not None and calm.seconds > _STILL_SOURCE_SECONDS:
        yield Finding(
            check=Check.FROZEN,
            passed=False,
            severity="warning",
            value=round(calm.seconds, 3),
            expected=f"at most {_STILL_SOURCE_SECONDS:g} s",
            message=f"Tile {name} stands still for {calm.seconds:.1f} s, as the source itself does.",
        )


def _moved(run: Run, seen: Mapping[int, Cells]) -> bool:
    """Whether what the tile should have shown changed during the stretch."""
    pictures = [seen[number] for number in _looks(run, _LOOKS) if number in seen]
    return any(int(cv2.absdiff(picture, pictures[0]).max()) > _MOVING for picture in pictures[1:])


class SimilarityCheck:
    """Compares some frames of a tile with what the plan makes of the source.

    Args:
        tile: which one.
        numbers: of the frames to compare, in the plan.
    """

    def __init__(self, tile: Tile, numbers: Collection[int]) -> None:
        self._name = tile.person
        self._numbers = numbers
        self._found: dict[int, Thumbnail] = {}

    def look(self, number: int, picture: Frame) -> None:
        """Take the tile of a frame, with the frame's number in the plan."""
        if number in self._numbers:
            self._found[number] = Thumbnail.of(picture)

    def findings(self, expected: Mapping[int, Thumbnail]) -> Iterator[Finding]:
        """Shapes, then colors. `expected` tells, by a frame's number in the plan, what the tile should show."""
        pairs = {number: (found, expected[number]) for number, found in self._found.items() if number in expected}
        similarities = {number: ssim(found.luma, wanted.luma) for number, (found, wanted) in pairs.items()}
        looked = len(similarities)
        unlike = [number for number, value in similarities.items() if value < LEAST_SSIM]
        yield Finding(
            check=Check.SSIM,
            passed=looked > 0 and not unlike,
            value=round(min(similarities.values(), default=0.0), 3),
            expected=f"at least {LEAST_SSIM:g}",
            message=(
                f"Tile {self._name} does not show what the plan says in {len(unlike)} of {looked} frames looked at, "
                f"first in frame {min(unlike)}."
                if unlike
                else f"Tile {self._name} shows what the plan says in all of {looked} frames looked at."
            ),
        )
        worst = max((found.color_distance(wanted) for found, wanted in pairs.values()), default=0.0)
        yield Finding(
            check=Check.COLOR,
            passed=worst <= MOST_COLOR_DISTANCE,
            value=round(worst, 2),
            expected=f"at most {MOST_COLOR_DISTANCE:g} levels",
            message=f"The colors of tile {self._name} are up to {worst:.1f} levels from those of the source.",
        )
