"""What is seen of a canvas where no tile is.

Belongs here: which parts these are, and what is drawn there. Where tiles cover the canvas, nothing is.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Final

from dualface_core.media.color import ColorInfo
from dualface_core.media.frames import Planes

Rectangle = tuple[int, int, int, int]
"""Left, top, width and height, in even pixels of the canvas."""

_KEPT: Final = 64
"""Arrangements of tiles that are kept: they change only while tiles move."""


@lru_cache(_KEPT)
def uncovered(tiles: tuple[Rectangle, ...], width: int, height: int) -> list[Rectangle]:
    """The parts of a canvas of this size that no tile covers, as rectangles that do not overlap."""
    left: list[Rectangle] = [(0, 0, width, height)]
    for tile in tiles:
        left = [part for rest in left for part in _without(rest, tile)]
    return left


def _without(part: Rectangle, tile: Rectangle) -> list[Rectangle]:
    """What of a rectangle lies outside a tile: above and below it, and then to its left and right."""
    x, y, width, height = part
    left, top = max(x, tile[0]), max(y, tile[1])
    right, bottom = min(x + width, tile[0] + tile[2]), min(y + height, tile[1] + tile[3])
    if left >= right or top >= bottom:
        return [part]
    around = (
        (x, y, width, top - y),
        (x, bottom, width, y + height - bottom),
        (x, top, left - x, bottom - top),
        (right, top, x + width - right, bottom - top),
    )
    return [rest for rest in around if rest[2] and rest[3]]


def fill(canvas: Planes, parts: list[Rectangle], color: str, coded: ColorInfo) -> None:
    """Paint parts of a canvas in a color such as "#101010"; `coded` says what the planes stand for."""
    for plane, level, scale in zip(canvas, _levels(color, coded), (1, 2, 2), strict=True):
        for x, y, width, height in parts:
            plane[y // scale : (y + height) // scale, x // scale : (x + width) // scale] = level


@lru_cache(_KEPT)
def _levels(color: str, coded: ColorInfo) -> tuple[int, int, int]:
    return coded.yuv(color)
