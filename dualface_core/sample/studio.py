"""The room that the samples are set in: a dark wall with warm lamps out of focus, and a table to sit behind.

Belongs here: backgrounds, those of shots without people among them, computed from nothing but their coordinates, and a
light that moves slowly across them. There is deliberately nothing in the room that looks like a face.
"""

from __future__ import annotations

import math
from functools import lru_cache
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy.special import expit

from dualface_core.media.frames import Planes
from dualface_core.sample.color import bgr_to_planes
from dualface_core.sample.moments import View

FloatImage = NDArray[np.float32]

_TABLE_EDGES: Final = {View.WIDE: 0.24, View.CLOSE_LEFT: 0.5, View.CLOSE_RIGHT: 0.5, View.CARD: 0.5, View.INSERT: 0.5}
"""Where the table begins, in the units of `scenes`: 0.5 is the lower edge of a picture of 16:9."""
_CLOSE_ZOOM: Final = 2.2
_CLOSE_CENTERS: Final = {View.CLOSE_LEFT: (-0.44, -0.1), View.CLOSE_RIGHT: (0.44, -0.12)}
_WOOD: Final = np.array((46, 66, 98), np.float32)
_LAMPLIGHT: Final = np.array((50, 105, 165), np.float32)
_CEILING_LIGHT: Final = np.array((9, 22, 42), np.float32)
_SLAT_LIGHT: Final = np.array((16, 13, 6), np.float32)
_LAMPS: Final = tuple(
    (0.19 * number, -0.36 - 0.03 * math.cos(2 * math.pi * 0.19 * number / 0.6), 0.021) for number in range(-5, 6)
)
"""A string of lamps, out of focus: x, y and radius of each. In a row, since three in a triangle pass for a face."""
_CARD_BLUE: Final = np.array((92, 58, 30), np.float32)
_TITLE: Final = (("Two people talk", 0.14, -0.06), ("part one", 0.07, 0.1))
"""The lines of the title card: text, height and place of each."""


class Studio:
    """The room, filmed at one size.

    Args:
        width, height: of the picture in pixels, both even.
    """

    def __init__(self, width: int, height: int) -> None:
        self.width = width
        self.height = height
        self.unit = min(float(height), width * 9 / 16)
        self._background = lru_cache(maxsize=None)(self._render)
        self._light_grid = np.mgrid[0 : math.ceil(height / 16), 0 : math.ceil(width / 16)].astype(np.float32) * 16

    def stage_height(self, view: View) -> int:
        """Rows from the top that people can be seen in, an even number; the table hides the rest."""
        return min(self.height, 2 * round((self.height / 2 + _TABLE_EDGES[view] * self.unit) / 2))

    def film(self, view: View, time: float) -> Planes:
        """The empty room at a time in seconds; planes that the caller may draw on."""
        luma, u, v = self._background(view)
        rows, columns = self._light_grid
        x = self.width * (0.5 + 0.35 * math.sin(2 * math.pi * time / 23))
        y = self.height * (0.3 + 0.1 * math.sin(2 * math.pi * time / 31))
        distance = ((columns - x) ** 2 + (rows - y) ** 2) / (0.5 * self.unit) ** 2
        light = (10 * np.exp(-distance)).astype(np.uint8)
        light = cv2.resize(light, (self.width, self.height), interpolation=cv2.INTER_LINEAR)
        return np.asarray(cv2.add(luma, light), np.uint8), u.copy(), v.copy()

    def _render(self, view: View) -> Planes:
        rows, columns = np.mgrid[0 : self.height, 0 : self.width].astype(np.float32)
        x = (columns - self.width / 2) / self.unit
        y = (rows - self.height / 2) / self.unit
        if view is View.WIDE:
            picture = _wall(x, y)
        elif view is View.CARD:
            picture = self._card(x, y)
        elif view is View.INSERT:
            picture = self._insert(x, y)
        else:
            center_x, center_y = _CLOSE_CENTERS[view]
            picture = _wall(center_x + x / _CLOSE_ZOOM, center_y + y / _CLOSE_ZOOM)
            picture = np.asarray(cv2.GaussianBlur(picture, (0, 0), 0.012 * self.unit), np.float32)
        edge = self.stage_height(view)
        if edge < self.height:
            picture[edge:] = self._table(x[edge:], y[edge:] - _TABLE_EDGES[view])
        # A little grain keeps the gradients from showing as steps.
        grain = np.random.default_rng(0).normal(0, 1.1, (self.height, self.width, 1)).astype(np.float32)
        return bgr_to_planes(np.clip(picture + grain, 0, 255))

    def _card(self, x: FloatImage, y: FloatImage) -> FloatImage:
        """A title on a plain ground, in BGR."""
        ground = _CARD_BLUE * (1 - 0.35 * (x**2 + y**2))[..., None]
        picture = np.clip(ground, 0, 255).astype(np.uint8)
        for text, size, top in _TITLE:
            scale = size * self.unit / 30
            (width, height), _ = cv2.getTextSize(text, cv2.FONT_HERSHEY_DUPLEX, scale, 1)
            place = (round((self.width - width) / 2), round(self.height / 2 + top * self.unit + height / 2))
            thickness = max(1, round(1.6 * scale))
            cv2.putText(picture, text, place, cv2.FONT_HERSHEY_DUPLEX, scale, (225, 225, 225), thickness, cv2.LINE_AA)
        return picture.astype(np.float32)

    def _insert(self, x: FloatImage, y: FloatImage) -> FloatImage:
        """The table from above with a written sheet on it, in BGR."""
        picture = self._table(x, y + 0.5)
        along, across = x * 0.97 + y * 0.24, y * 0.97 - x * 0.24
        sheet = expit((0.3 - np.abs(along)) / 0.003) * expit((0.36 - np.abs(across)) / 0.003)
        words = (np.sin(61 * along + 9 * np.sin(13 * across)) > -0.4) & (np.abs(along) < 0.24)
        lines = words & (np.cos(2 * np.pi * across / 0.055) > 0.55) & (np.abs(across) < 0.3)
        paper = np.where(lines, np.float32(70), np.float32(205))[..., None]
        return np.asarray(picture + (paper - picture) * sheet[..., None], np.float32)

    def _table(self, x: FloatImage, depth: FloatImage) -> FloatImage:
        """The table in BGR, 0 to 255; `depth` is counted from its edge downwards."""
        rows, columns = x.shape
        coarse = np.random.default_rng(1).normal(0, 1, (rows, max(2, columns // 40)))
        grain = cv2.GaussianBlur(cv2.resize(coarse, (columns, rows)), (0, 0), 0.8)
        shine = 0.35 * np.exp(-(((np.abs(x) - 0.4) / 0.33) ** 2) - (depth / 0.13) ** 2)
        brightness = 0.28 + 0.34 * np.exp(-depth / 0.2) + shine + 0.03 * grain
        brightness[: max(1, round(0.003 * self.unit))] *= 1.7  # the light catches its edge
        return np.asarray(_WOOD * brightness[..., None], np.float32)


def _wall(x: FloatImage, y: FloatImage) -> FloatImage:
    """The wall in BGR, 0 to 255."""
    picture = np.empty((*x.shape, 3), np.float32)
    picture[:] = (37, 37, 39)
    slats = 0.5 + 0.5 * np.tanh(6 * np.cos(2 * np.pi * x / 0.052))
    picture *= (1 - 0.22 * slats * expit((0.335 - np.abs(x)) / 0.002))[..., None]
    picture += _CEILING_LIGHT * np.exp(-(((y + 0.42) / 0.4) ** 2))[..., None]
    picture += _SLAT_LIGHT * np.exp(-(x**2 + (y + 0.05) ** 2) / 0.55**2)[..., None]
    for lamp_x, lamp_y, radius in _LAMPS:
        distance = np.hypot(x - lamp_x, y - lamp_y)
        disc = expit((radius - distance) / (0.07 * radius))
        picture += _LAMPLIGHT * (0.55 * disc + 0.25 * np.exp(-((distance / (3 * radius)) ** 2)))[..., None]
    picture *= np.clip(1 - 0.18 * (x / 0.9) ** 2 - 0.1 * (y / 0.5) ** 2, 0.6, 1)[..., None]
    return picture
