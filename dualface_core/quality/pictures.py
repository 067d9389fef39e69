"""Findings about what the tiles show: not black, not standing still, and what the plan says.

Belongs here: pictures without faces in mind. Every frame of the result is looked at through a thumbnail of its luma;
what looks suspicious is compared with the source before anybody is told, since a source may well fade to black or
show a slide.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from dualface_core.media.frames import FULL_RANGE, ColorInfo, Planes
from dualface_core.quality.expected import Source, evenly, likeness, thumbnail, tile_picture
from dualface_core.quality.findings import Check, Finding
from dualface_core.tiles.layouts import Tile

Thumbnail = NDArray[np.uint8]

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

LEAST_LIKENESS: Final = 0.8
"""Of thumbnails. The coarsest quality that can be asked for stays above 0.9; another person's face is below 0.6."""


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
        self.anchor: Thumbnail | None = None

    def go_on(self, number: int, time: float, anchor: Thumbnail) -> None:
        if self._begin is None:
            self._first, self._begin, self.anchor = number, time, anchor
        self._last = number

    def end(self, time: float) -> Run | None:
        """End the stretch; None where there was none."""
        begin, self._begin, self.anchor = self._begin, None, None
        return None if begin is None else Run(time - begin, self._first, self._last)


class TileWatch:
    """Watches one tile over all frames for black and for standing still.

    Args:
        tile: where it is.
        color: colour tags of the result; they say how low black is.
    """

    def __init__(self, tile: Tile, color: ColorInfo) -> None:
        self.tile = tile
        self._darkest = _BLACK + (0 if color.range == FULL_RANGE else 16)
        self._size = (max(1, tile.width // _CELL), max(1, tile.height // _CELL))
        self._black = _Stretch()
        self._still = _Stretch()
        self.black = _Runs()
        self.frozen = _Runs()

    def look(self, number: int, time: float, canvas: Planes) -> None:
        """Take the next frame: its number in the plan, its time in seconds, and its planes."""
        tile = self.tile
        luma = canvas[0][tile.y : tile.y + tile.height : _STRIDE, tile.x : tile.x + tile.width : _STRIDE]
        small = np.asarray(cv2.resize(luma, self._size, interpolation=cv2.INTER_AREA), np.uint8)
        dark = int(small.max()) <= self._darkest
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


def standstill_findings(watches: Sequence[TileWatch], source: Source) -> Iterator[Finding]:
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
    there: dict[int, list[NDArray[np.float32]]] = {
        expected.frame.index: [thumbnail(tile) for tile in expected.tiles] for expected in source.render(sorted(looks))
    }
    for place, watch in enumerate(watches):
        seen = {number: thumbnails[place] for number, thumbnails in there.items()}
        yield _black_finding(watch, seen)
        yield from _frozen_findings(watch, seen)


def _looks(run: Run, count: int) -> list[int]:
    if count == 1:
        return [(run.first + run.last) // 2]
    return evenly(range(run.first, run.last + 1), count)


def _black_finding(watch: TileWatch, seen: Mapping[int, NDArray[np.float32]]) -> Finding:
    name = watch.tile.person
    wrong = [
        run
        for run in watch.black.longest
        for number in _looks(run, 1)
        if number in seen and seen[number].max() > 2 * _BLACK
    ]
    seconds = round(sum(run.seconds for run in wrong), 3)
    message = f"Tile {name} is never black where the source isn't."
    if wrong:
        first = min(wrong, key=lambda run: run.first)
        message = f"Tile {name} is black for {seconds:g} s, from frame {first.first} on, where the source is not."
    return Finding(check=Check.BLACK, passed=not wrong, value=seconds, expected="0 s", message=message)


def _frozen_findings(watch: TileWatch, seen: Mapping[int, NDArray[np.float32]]) -> Iterator[Finding]:
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


def _moved(run: Run, seen: Mapping[int, NDArray[np.float32]]) -> bool:
    """Whether what the tile should have shown changed during the stretch."""
    pictures = [seen[number] for number in _looks(run, _LOOKS) if number in seen]
    return any(np.abs(picture - pictures[0]).max() > _MOVING for picture in pictures[1:])


class LikenessWatch:
    """Compares frames of the result with what the plan makes of the source.

    Args:
        tiles: of the layout.
        expected: for each frame to compare, by its number in the plan, a thumbnail of each tile.
        color: colour tags of the source: for both, so that wrong tags are a finding of their own.
    """

    def __init__(
        self, tiles: Sequence[Tile], expected: Mapping[int, Sequence[NDArray[np.float32]]], color: ColorInfo
    ) -> None:
        self._tiles = tiles
        self._expected = expected
        self._color = color
        self._found: list[dict[int, float]] = [{} for _ in tiles]

    def look(self, number: int, canvas: Planes) -> None:
        """Take a frame: its number in the plan and its planes."""
        for tile, found, expected in zip(self._tiles, self._found, self._expected.get(number, ()), strict=False):
            found[number] = likeness(thumbnail(tile_picture(canvas, tile, self._color)), expected)

    def findings(self) -> Iterator[Finding]:
        """One finding per tile."""
        for tile, found in zip(self._tiles, self._found, strict=True):
            unlike = [number for number, value in found.items() if value < LEAST_LIKENESS]
            worst = min(found.values(), default=0.0)
            message = f"Tile {tile.person} shows what the plan says in all of {len(found)} frames looked at."
            if unlike or not found:
                message = (
                    f"Tile {tile.person} does not show what the plan says in {len(unlike)} of {len(found)} frames "
                    f"looked at{f', first in frame {min(unlike)}' if unlike else ''}."
                )
            yield Finding(
                check=Check.LIKENESS,
                passed=bool(found) and not unlike,
                value=round(worst, 3),
                expected=f"at least {LEAST_LIKENESS:g}",
                message=message,
            )
