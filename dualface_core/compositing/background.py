"""What is seen of a canvas where no tile is: a color, or the source, blurred.

Belongs here: which parts these are, and what is drawn there. Where tiles cover the canvas, nothing is. The blurred
source is made on a picture of a few dozen pixels and scaled up, so that it costs little beside a tile.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from dualface_core.media.color import FULL_RANGE, ColorInfo
from dualface_core.media.frames import Frame, Planes
from dualface_core.tables.layouts import BLURRED

Rectangle = tuple[int, int, int, int]
"""Left, top, width and height, in even pixels of the canvas."""

_KEPT: Final = 64
"""Arrangements of tiles that are kept: they change only while tiles move."""

_SHRUNK: Final = 40
"""Pixels of the canvas for each of the small picture that is blurred."""

_BLUR: Final = 1.5
"""Standard deviation of the blur, in pixels of the small picture: 60 of the canvas."""

_DIMMED: Final = 0.5
"""Share of its brightness that is left, so that the tiles stand out."""


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


def draw_background(
    canvas: Planes, parts: Sequence[Rectangle], background: str, frame: Frame, crop_windows: NDArray[np.float64]
) -> None:
    """Draw on parts of a canvas what lies behind the tiles.

    Args:
        canvas: Y, U and V to draw on.
        parts: where.
        background: of the layout.
        frame: the source.
        crop_windows: (tiles, 4) of what is shown of it. A blurred background is made of what holds them all, and so of
            no bar that the tiles leave out.
    """
    if not parts:
        return
    blurred = _blurred(canvas, frame, crop_windows) if background == BLURRED else None
    for number, (plane, level, scale) in enumerate(
        zip(canvas, levels(background, frame.color), (1, 2, 2), strict=True)
    ):
        for part in parts:
            x, y, width, height = (value // scale for value in part)
            place = slice(y, y + height), slice(x, x + width)
            plane[place] = level if blurred is None else blurred[number][place]


@lru_cache(_KEPT)
def levels(color: str, coded: ColorInfo) -> tuple[int, int, int]:
    """Y, U and V of a color such as "#101010"; of a blurred background, those of nothing."""
    return (0, 0, 0) if color == BLURRED else coded.yuv(color)


def _blurred(canvas: Planes, frame: Frame, crop_windows: NDArray[np.float64]) -> list[NDArray[np.uint8]]:
    """The planes of the source, of the canvas' size, blurred and dimmed."""
    height, width = canvas[0].shape
    size = max(2, round(width / _SHRUNK)), max(2, round(height / _SHRUNK))
    centers, halves = crop_windows[:, :2], crop_windows[:, 2:] / 2
    limits = np.array([frame.width, frame.height], np.float64)
    low, high = np.clip((centers - halves).min(axis=0), 0, limits), np.clip((centers + halves).max(axis=0), 0, limits)
    room = np.maximum(high - low, 2.0)
    kept = np.array([width, height]) * (room / [width, height]).min()
    corner = low + (room - kept) / 2
    black = 0 if frame.color.range == FULL_RANGE else 16
    planes = []
    for plane, drawn, scale, rest in zip(frame.planes, canvas, (1, 2, 2), (black, 128, 128), strict=True):
        left, top = np.floor(corner / scale).astype(int)
        right, bottom = np.maximum(np.ceil((corner + kept) / scale).astype(int), [left + 1, top + 1])
        small = cv2.GaussianBlur(_shrunk(plane[top:bottom, left:right], size), (0, 0), _BLUR)
        dimmed = cv2.addWeighted(small, _DIMMED, small, 0, (1 - _DIMMED) * rest)
        planes.append(np.asarray(cv2.resize(dimmed, drawn.shape[::-1], interpolation=cv2.INTER_LINEAR), np.uint8))
    return planes


def _shrunk(plane: NDArray[np.uint8], size: tuple[int, int]) -> NDArray[np.uint8]:
    # OpenCV is far quicker at averaging two by two than by any other factor.
    while plane.shape[1] >= 4 * size[0] and plane.shape[0] >= 4 * size[1]:
        half = plane.shape[1] // 2, plane.shape[0] // 2
        plane = np.asarray(cv2.resize(plane, half, interpolation=cv2.INTER_AREA), np.uint8)
    return np.asarray(cv2.resize(plane, size, interpolation=cv2.INTER_AREA), np.uint8)
