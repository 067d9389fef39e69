"""How tiles are finished once they are drawn: borders, rounded corners, and captions with the persons' names.

Belongs here: what lies over a tile, and where, so that a check of tiles can leave it out. A tile that covers the canvas
has neither border nor corners. Masks are made once and kept; only corners, edges and captions are touched.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from dualface_core.compositing.background import Rectangle, levels
from dualface_core.media.color import ColorInfo
from dualface_core.media.frames import Planes
from dualface_core.tables.layouts import Layout
from dualface_core.tables.tile_plan import FramePlan

_KEPT: Final = 32
"""Masks that are kept: those of one layout are a few."""

_OPAQUE: Final = 256
"""A mask's value where only what lies above is seen."""

_SUPERSAMPLED: Final = 8
"""Points in a pixel, either way, of which a mask is the mean."""

_CAPTION_HEIGHT: Final = 24
"""Of a caption's letters: the canvas' shorter side by this."""

PLATE: Final = 102
"""Of 256: how much of the picture is left behind a caption."""

TEXT: Final = "#ffffff"
"""Color of a caption's letters."""

GROUND: Final = "#000000"
"""Color of what is behind them."""

_WEIGHT: Final = 500

Corners = list[NDArray[np.uint8]]
"""What lay under the four corners of a tile in each plane."""


@dataclass(frozen=True)
class Finish:
    """How the tiles of a layout are finished, in frames of one kind of color."""

    layout: Layout

    def radius(self, tile: Rectangle) -> int:
        """Of a tile's corners, in even pixels: smaller where the tile is."""
        return 0 if self._whole(tile) else min(self.layout.corners, tile[2] // 4 * 2, tile[3] // 4 * 2)

    def opaque(self, tile: Rectangle) -> list[Rectangle]:
        """The parts of a tile behind which nothing is seen."""
        x, y, width, height = tile
        if not (radius := self.radius(tile)):
            return [tile]
        return [(x, y + radius, width, height - 2 * radius), (x + radius, y, width - 2 * radius, height)]

    def corners(self, canvas: Planes, tile: Rectangle) -> Corners:
        """What lies on the canvas where the tile's corners will be; nothing if they are not round."""
        if not self.radius(tile):
            return []
        return [patch.copy() for plane in self._patches(canvas, tile) for patch in plane]

    def draw(self, canvas: Planes, tile: Rectangle, subject: str, under: Corners, coded: ColorInfo) -> None:
        """Finish a tile that has just been drawn.

        Args:
            canvas: Y, U and V.
            tile: where it is.
            subject: whom it shows.
            under: what `corners` found before it was drawn.
            coded: what the planes stand for.
        """
        self._draw_border(canvas, tile, coded)
        if radius := self.radius(tile):
            behind = iter(under)
            for patches, scale in zip(self._patches(canvas, tile), (1, 2, 2), strict=True):
                mask = _quarter(radius, radius, scale)
                for patch, flip in zip(patches, _FLIPS, strict=True):
                    patch[:] = _over(patch, mask[flip], next(behind))
        self._draw_caption(canvas, tile, subject, coded)

    def overlaid(self, shown: FramePlan, slot: int) -> list[Rectangle]:
        """Where something else lies over a tile: a later tile, its border and corners, its caption.

        Rectangles are on the canvas, and may reach beyond the tile.
        """
        tile: Rectangle = tuple(shown.tiles[slot].tolist())
        later = [tuple(other) for other in shown.tiles[slot + 1 :].tolist() if other[2]]
        caption = self.caption_place(tile, str(shown.subjects[slot]))
        x, y, width, height = tile
        border, radius = self.border(tile), self.radius(tile)
        right, bottom = x + width, y + height
        edges = [
            (x, y, width, border),
            (x, bottom - border, width, border),
            (x, y, border, height),
            (right - border, y, border, height),
        ]
        corners = [(left, top, radius, radius) for top in (y, bottom - radius) for left in (x, right - radius)]
        return [*later, *(part for part in (*edges, *corners) if part[2] and part[3]), *([caption] if caption else [])]

    def _whole(self, tile: Rectangle) -> bool:
        return tile[2:] == (self.layout.width, self.layout.height)

    def border(self, tile: Rectangle) -> int:
        """Width of the line along a tile's edges, in pixels; 0 for none."""
        return 0 if self.layout.border is None or self._whole(tile) else self.layout.border.width

    def _patches(self, canvas: Planes, tile: Rectangle) -> list[list[NDArray[np.uint8]]]:
        """For each plane the corners: top left, top right, bottom left, bottom right."""
        x, y, width, height = tile
        patches = []
        for plane, scale in zip(canvas, (1, 2, 2), strict=True):
            side = self.radius(tile) // scale
            tops = y // scale, (y + height) // scale - side
            lefts = x // scale, (x + width) // scale - side
            patches.append([plane[top : top + side, left : left + side] for top in tops for left in lefts])
        return patches

    def _draw_border(self, canvas: Planes, tile: Rectangle, coded: ColorInfo) -> None:
        width, radius = self.border(tile), self.radius(tile)
        if self.layout.border is None or not width:
            return
        patches = self._patches(canvas, tile)
        for number, level in enumerate(levels(self.layout.border.color, coded)):
            scale = 2 if number else 1
            part, thick = _part(canvas[number], tile, scale), width // scale
            for edge in (part[:thick], part[-thick:], part[:, :thick], part[:, -thick:]):
                edge[:] = level
            mask = _quarter(radius, max(radius - width, 0), scale)
            for patch, flip in zip(patches[number], _FLIPS, strict=True):
                patch[:] = _over(patch, mask[flip], np.uint8(level))

    def _text(self, subject: str) -> str:
        return next((text for person, text in self.layout.captions.items() if person == subject), "")

    def letters(self, subject: str) -> list[NDArray[np.uint16]]:
        """The masks of a caption's letters: for luma, and for chroma."""
        return [_caption(self._text(subject), self._letters, scale) for scale in (1, 2)]

    def caption_place(self, tile: Rectangle, subject: str) -> Rectangle | None:
        """Where a tile's caption is, in its lower left corner; None where there is none, or no room."""
        if not (text := self._text(subject)):
            return None
        height, width = _caption(text, self._letters, 1).shape
        aside = max(self._letters // 4 * 2, self.radius(tile) // 4 * 2) + self.border(tile)
        if width + 2 * aside > tile[2] or height + 2 * aside > tile[3]:
            return None
        return tile[0] + aside, tile[1] + tile[3] - aside - height, width, height

    def _draw_caption(self, canvas: Planes, tile: Rectangle, subject: str, coded: ColorInfo) -> None:
        place = self.caption_place(tile, subject)
        if place is None:
            return
        whites, blacks = levels(TEXT, coded), levels(GROUND, coded)
        for plane, white, black, scale in zip(canvas, whites, blacks, (1, 2, 2), strict=True):
            part = _part(plane, place, scale)
            dark = _over(part, np.uint16(PLATE), np.uint8(black))
            letters = _caption(self._text(subject), self._letters, scale)
            part[:] = _over(np.full_like(part, white), letters, dark)

    @property
    def _letters(self) -> int:
        """Height of a caption's letters in pixels."""
        return min(self.layout.width, self.layout.height) // _CAPTION_HEIGHT


_FLIPS: Final = [(slice(None, None, down), slice(None, None, right)) for down in (1, -1) for right in (1, -1)]
"""What turns the mask of the top left corner into that of each, in the order of the patches."""


def _part(plane: NDArray[np.uint8], place: Rectangle, scale: int) -> NDArray[np.uint8]:
    x, y, width, height = (value // scale for value in place)
    return plane[y : y + height, x : x + width]


def _over(
    above: NDArray[np.uint8], mask: NDArray[np.uint16] | np.uint16, below: NDArray[np.uint8] | np.uint8
) -> NDArray[np.uint8]:
    """One picture over another, as far as the mask (0 to 256) shows it."""
    mixed = above.astype(np.uint16) * mask + below * (_OPAQUE - mask) + np.uint16(_OPAQUE // 2)
    return np.asarray(mixed // _OPAQUE, np.uint8)


@lru_cache(_KEPT)
def _quarter(side: int, radius: int, scale: int) -> NDArray[np.uint16]:
    """How far each pixel of a square lies inside a disc around its lower right corner; a sample has `scale` pixels."""
    points = (np.arange(side * _SUPERSAMPLED) + 0.5) / _SUPERSAMPLED - side
    inside = points[:, None] ** 2 + points**2 <= radius**2
    share = inside.reshape(side, _SUPERSAMPLED, side, _SUPERSAMPLED).mean(axis=(1, 3))
    return _scaled(_OPAQUE * share, scale)


def _scaled(mask: NDArray[np.floating], scale: int) -> NDArray[np.uint16]:
    rows, columns = mask.shape[0] // scale, mask.shape[1] // scale
    return np.asarray(np.rint(mask.reshape(rows, scale, columns, scale).mean(axis=(1, 3))), np.uint16)


@lru_cache(_KEPT)
def _caption(text: str, letters: int, scale: int) -> NDArray[np.uint16]:
    """The mask of a caption with some ground around it, its sides even; letters have this height in pixels.

    A sample of the mask has `scale` pixels.
    """
    font, pad = cv2.FontFace("sans"), letters // 2
    width = cv2.getTextSize((0, 0), text, (0, 0), font, letters, _WEIGHT)[2]
    drawn = np.zeros((2 * letters // 2 * 2, (width + 2 * pad + 1) // 2 * 2, 1), np.uint8)
    cv2.putText(drawn, text, (pad, round(1.35 * letters)), (255,), font, letters, _WEIGHT)
    return _scaled(drawn[..., 0] * (_OPAQUE / 255), scale)
