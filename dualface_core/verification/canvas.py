"""Findings about what is not a person: the background between tiles, and bars and seams of the source inside them.

Belongs here: what a letterbox leaves black is measured in sampled frames of the source, and looked for in the tiles of
the result. Seams are the edges of the panes of a composed picture, such as a call grid, as the tracks have them.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from dualface_core.media.color import FULL_RANGE, ColorInfo
from dualface_core.media.frames import Frame
from dualface_core.tables.face_tracks import FaceTracks
from dualface_core.tables.labels import Subject
from dualface_core.tables.layouts import BLURRED
from dualface_core.tables.tile_plan import TilePlan
from dualface_core.verification.findings import Check, Finding, clock

MOST_BACKGROUND: Final = 6.0
"""Levels of luma by which an area that no tile covers may differ from the background: tiles' edges leave some."""

_AREA: Final = 60
"""Pixels over which these are averaged, either way."""

MOST_BAR: Final = 0.01
"""Share of a tile's width or height that may be a bar of the source. Less is where the bar ends within a sample."""

MOST_SEAM: Final = 0.01
"""Share by which a tile may reach over the edge of its pane: panes are found to a pixel or two."""

REFUSED: Final = 0.05
"""Share from which on a bar or seam keeps a result from being published; less is worth a warning."""

_DARK: Final = 10
"""Levels above black up to which all of a line is black."""

_EDGE: Final = 12.0
"""Levels by which the picture is brighter than its bar, as a mean over the line that is next to it."""

_LINE: Final = 8
"""Samples of a line that are averaged before it is called black, so that noise doesn't count."""

Sides = tuple[int, int, int, int]
"""Black lines at the left, the top, the right and the bottom."""

NO_SIDES: Final = (0, 0, 0, 0)


@dataclass(frozen=True)
class _Reach:
    """How far something reaches into a tile: a share of its size, whose tile it is, and when, in seconds."""

    share: float = 0.0
    subject: str = ""
    time: float = 0.0


@dataclass(frozen=True)
class CanvasShown:
    """What was measured of a frame of the result: the black lines of each tile, and what is beside them.

    Attributes:
        sides: of each slot.
        background: levels by which an area that no tile covers differs from the background; None where there is none.
    """

    sides: tuple[Sides, ...]
    background: float | None


class CanvasCheck:
    """Takes what was measured of some frames, of the source and of the result, in the frames' order.

    Args:
        tracks: the shots of the source, with their panes.
        plan: where the tiles are, and what they show.
    """

    def __init__(self, tracks: FaceTracks, plan: TilePlan) -> None:
        self._tracks = tracks
        self._plan = plan
        self._shot = np.repeat(np.arange(len(tracks.shots)), [len(shot) for shot in tracks.shots])
        self._letterbox: dict[int, Sides] = {}
        self._shown: dict[int, tuple[Sides, ...]] = {}
        self._background: list[tuple[float, float]] = []

    def learn(self, number: int, sides: Sides | None) -> None:
        """Take the bars of a source frame, as `bars` finds them: its number in the plan."""
        if sides is not None:
            shot = int(self._shot[number])
            self._letterbox[shot] = _common(self._letterbox.get(shot, sides), sides)

    def look(self, number: int, shown: CanvasShown) -> None:
        """Take what was measured of a frame of the result: its number in the plan."""
        self._shown[number] = shown.sides
        if shown.background is not None:
            self._background.append((shown.background, float(self._tracks.times[number])))

    def findings(self) -> Iterator[Finding]:
        """What is beside the tiles, and which bars and seams are in them."""
        levels, time = max(self._background, default=(0.0, 0.0))
        where = f", at {clock(time)}" if self._background else ": tiles cover the canvas, or it is the blurred source"
        yield Finding(
            check=Check.BACKGROUND,
            passed=levels <= MOST_BACKGROUND,
            value=round(levels, 2),
            expected=f"within {MOST_BACKGROUND:g} levels of {self._plan.layout.background}",
            message=f"What no tile covers is up to {levels:.0f} levels from the background{where}.",
        )
        yield _reach_finding(
            Check.BARS, "a black bar of the source", max(self._bars(), key=_share, default=_Reach()), MOST_BAR
        )
        yield _reach_finding(
            Check.SEAMS,
            "what is beyond the edge of its pane",
            max(self._seams(), key=_share, default=_Reach()),
            MOST_SEAM,
        )

    def _bars(self) -> Iterator[_Reach]:
        """How much of every sampled tile is a bar, by what the source has there and by what the result shows."""
        frame_width, frame_height = self._plan.metadata.frame_size
        for number, shown in self._shown.items():
            left, top, right, bottom = self._letterbox.get(int(self._shot[number]), NO_SIDES)
            picture = np.array([left, top, frame_width - right, frame_height - bottom], np.float64)
            for slot, sides in enumerate(shown):
                tile = self._plan.tiles[number, slot]
                if not tile[2] or self._plan.subjects[number, slot] == Subject.FRAME:
                    continue
                beyond = _beyond(self._plan.crop_windows[number, slot], picture)
                sizes = np.tile(tile[2:], 2)
                shares = np.where(picture == (0, 0, frame_width, frame_height), 0, np.minimum(beyond, sides / sizes))
                yield self._reach(number, slot, shares)

    def _seams(self) -> Iterator[_Reach]:
        """How far every tile of one person reaches over the edge of the pane in which their face is."""
        for shot in self._tracks.shots:
            if len(shot.panes) < 2:
                continue
            panes = np.array(shot.panes, np.float64)
            corners = np.concatenate([panes[:, :2], panes[:, :2] + panes[:, 2:]], axis=1)
            for person in self._tracks.people:
                boxes = self._tracks.boxes(person)[shot.frames]
                alone = self._plan.drawn[shot.frames] & (self._plan.subjects[shot.frames] == person)
                middles = boxes[:, :2] + boxes[:, 2:] / 2
                for place, slot in np.argwhere(alone & ~np.isnan(boxes[:, :1])).tolist():
                    inside = (corners[:, :2] <= middles[place]) & (middles[place] <= corners[:, 2:])
                    for pane in corners[inside.all(axis=1)]:
                        number = shot.first + place
                        yield self._reach(number, slot, _beyond(self._plan.crop_windows[number, slot], pane))

    def _reach(self, number: int, slot: int, shares: NDArray[np.float64]) -> _Reach:
        subject = str(self._plan.subjects[number, slot])
        return _Reach(float(shares.max()), subject, float(self._tracks.times[number]))


def _share(reach: _Reach) -> float:
    return reach.share


def _beyond(window: NDArray[np.floating], corners: NDArray[np.float64]) -> NDArray[np.float64]:
    """Share of a crop window that lies to the left of, above, to the right of and below a rectangle."""
    center, size = window[:2].astype(np.float64), window[2:].astype(np.float64)
    low, high = center - size / 2, center + size / 2
    beyond = np.concatenate([corners[:2] - low, high - corners[2:]])
    return np.asarray(np.maximum(beyond, 0) / np.tile(size, 2), np.float64)


def _reach_finding(check: Check, what: str, reach: _Reach, most: float) -> Finding:
    message = f"No tile shows {what}."
    if reach.share > most:
        message = (
            f"Tile {reach.subject} shows {what} in {reach.share:.1%} of its width or height at {clock(reach.time)}."
        )
    return Finding(
        check=check,
        passed=reach.share <= most,
        severity="error" if reach.share >= REFUSED else "warning",
        value=round(100 * reach.share, 2),
        expected=f"at most {most:.0%}",
        message=message,
    )


def canvas_shown(frame: Frame, tiles: NDArray[np.integer], background: str) -> CanvasShown:
    """Measure a frame of the result.

    Args:
        frame: the canvas.
        tiles: (slots, 4) of x, y, width and height; the width is 0 where a tile is not drawn.
        background: of the layout.
    """
    luma, sides = frame.planes[0], []
    bare = np.ones(luma.shape, bool)
    for x, y, width, height in tiles.tolist():
        bare[y : y + height, x : x + width] = False
        part = luma[y : y + height, x : x + width]
        sides.append(_dark_sides(part, frame.color) if width else NO_SIDES)
    levels = None
    if background != BLURRED and bare.any():
        wanted = frame.color.yuv(background)[0]
        apart = cv2.blur(np.where(bare, cv2.absdiff(luma, np.full_like(luma, wanted)), 0), (_AREA, _AREA))
        levels = float(apart.max())
    return CanvasShown(tuple(sides), levels)


def bars(frame: Frame) -> Sides | None:
    """The black lines around the picture of a frame, where it begins with an edge; None where all of it is black."""
    luma, color = frame.planes[0], frame.color
    left, top, right, bottom = _dark_sides(luma, color)
    rows, columns = luma.shape
    if top == rows:
        return None
    level = _black(color) + _EDGE
    edges = (
        luma[:, min(left + 2, columns - 1)],
        luma[min(top + 2, rows - 1)],
        luma[:, max(columns - right - 3, 0)],
        luma[max(rows - bottom - 3, 0)],
    )
    left, top, right, bottom = (
        lines if float(edge.mean()) >= level else 0
        for lines, edge in zip((left, top, right, bottom), edges, strict=True)
    )
    return left, top, right, bottom


def _dark_sides(luma: NDArray[np.uint8], color: ColorInfo) -> Sides:
    """How many lines at each side are black from end to end."""
    rows, columns = luma.shape
    across = cv2.resize(luma, (max(columns // _LINE, 1), rows), interpolation=cv2.INTER_AREA).max(axis=1)
    down = cv2.resize(luma, (columns, max(rows // _LINE, 1)), interpolation=cv2.INTER_AREA).max(axis=0)
    most = _black(color) + _DARK
    sides = [
        _leading(down <= most),
        _leading(across <= most),
        _leading(down[::-1] <= most),
        _leading(across[::-1] <= most),
    ]
    return sides[0], sides[1], sides[2], sides[3]


def _leading(dark: NDArray[np.bool_]) -> int:
    return len(dark) if dark.all() else int(dark.argmin())


def _common(one: Sides, other: Sides) -> Sides:
    """The bars that two frames of a shot both have."""
    left, top, right, bottom = (min(pair) for pair in zip(one, other, strict=True))
    return left, top, right, bottom


def _black(color: ColorInfo) -> int:
    return 0 if color.range == FULL_RANGE else 16
