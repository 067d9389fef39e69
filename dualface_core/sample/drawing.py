"""A moment of a scene as a picture, and how much of each person is to be seen in it.

Belongs here: placing people in the room, one over the other, on planes of YUV 4:2:0. The one idea: the same opacity
that blends a person into the picture is added up to say how much of them is visible, so truth and picture agree.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Final, TypeVar

import cv2
import numpy as np
from numpy.typing import NDArray

from dualface_core.media.frames import Planes
from dualface_core.sample.moments import Actor, Moment, Placement
from dualface_core.sample.people import Person, Sprite
from dualface_core.sample.studio import Studio

FloatImage = NDArray[np.float32]
T = TypeVar("T", np.uint8, np.float32)

_BLACK: Final = 16
_BANNER_COLUMNS: Final = (0.06, 0.94)
_BANNER_ROWS: Final = (0.76, 0.88)
_BANNER_TEXT: Final = "A conversation    LIVE"
_BANNER_LUMA: Final = 70
_BANNER_CHROMA: Final = (30, 236)
"""Added to U and V, modulo 256: a blue."""


@dataclass(frozen=True)
class Region:
    """What was drawn of a person.

    Attributes:
        x, y, width, height: the smallest rectangle that holds all of the person, in pixels. It may reach beyond the
            picture.
        head_x, head_y, head_height: center of the head and its height, in pixels.
        visible: the share of the person's own pixels, weighted by opacity, that is in the picture and covered by
            nothing.
        head_visible: the same of the head.
        turned: see `Placement`.
    """

    x: int
    y: int
    width: int
    height: int
    head_x: float
    head_y: float
    head_height: float
    visible: float
    head_visible: float
    turned: float


@dataclass
class _Layer:
    """A drawn person: their opacity as it is still to be seen, where it is, and all of it that there was."""

    region: tuple[int, int, int, int]
    head: tuple[float, float, float]
    turned: float
    x: int
    y: int
    alpha: FloatImage
    total: float
    head_total: float

    def seen(self) -> Region:
        """What there is of it in the end."""
        head_sum = float(self.alpha[_head_window(self.head, self.x, self.y)].sum(dtype=np.float64))
        return Region(
            *self.region,
            *self.head,
            visible=float(self.alpha.sum(dtype=np.float64) / self.total),
            head_visible=head_sum / self.head_total,
            turned=self.turned,
        )


class Painter:
    """Draws moments.

    Args:
        studio: the room; its size is the picture's.
        people: everybody who may be placed, by name.
    """

    def __init__(self, studio: Studio, people: Mapping[Actor, Person]) -> None:
        self._studio = studio
        self._people = people
        self._inside: Callable[[int, int], Painter] = lru_cache(maxsize=None)(
            lambda width, height: Painter(Studio(width, height), people)
        )

    def draw(self, moment: Moment, time: float) -> tuple[Planes, dict[Actor, Region]]:
        """The picture at `time` (seconds), and the region of each person that was placed.

        Within a fade, those of the shot that has the larger share; they are visible to its extent.
        """
        planes, regions = self._draw_panes(moment, time) if moment.panes else self._draw_view(moment, time)
        if moment.banner:
            self._draw_banner(planes, moment.banner)
        if moment.fade is None:
            return planes, regions
        before, regions_before = self.draw(moment.fade.before, time)
        share = moment.fade.share
        for plane, plane_before in zip(planes, before, strict=True):
            if moment.fade.wipe:
                edge = round(share * plane.shape[1])
                plane[:, edge:] = plane_before[:, edge:]
            else:
                plane[:] = cv2.addWeighted(plane, share, plane_before, 1 - share, 0)
        larger = max(share, 1 - share)
        return planes, {
            person: replace(region, visible=region.visible * larger, head_visible=region.head_visible * larger)
            for person, region in (regions if share >= 0.5 else regions_before).items()
        }

    def _draw_panes(self, moment: Moment, time: float) -> tuple[Planes, dict[Actor, Region]]:
        width, height = self._studio.width, self._studio.height
        chroma = np.full((height // 2, width // 2), 128, np.uint8)
        planes = (np.full((height, width), _BLACK, np.uint8), chroma, chroma.copy())
        regions = {}
        for pane in moment.panes:
            left, top, pane_width, pane_height = pane.pixels(width, height)
            picture, inside = self._inside(pane_width, pane_height).draw(pane.moment, time)
            for plane, part, scale in zip(planes, picture, (1, 2, 2), strict=True):
                x, y = left // scale, top // scale
                plane[y : y + part.shape[0], x : x + part.shape[1]] = part
            for person, region in inside.items():
                regions[person] = replace(
                    region,
                    x=region.x + left,
                    y=region.y + top,
                    head_x=region.head_x + left,
                    head_y=region.head_y + top,
                )
        return planes, regions

    def _draw_view(self, moment: Moment, time: float) -> tuple[Planes, dict[Actor, Region]]:
        planes = self._studio.film(moment.view, time)
        stage_height = self._studio.stage_height(moment.view)
        layers: dict[Actor, _Layer] = {}
        for placement in moment.placements:
            sprite = self._people[placement.person].at(time, placement.turned)
            layer = self._paint(planes, stage_height, placement, sprite)
            for hidden in layers.values():
                _cover(hidden, layer)
            layers[placement.person] = layer
        return planes, {person: layer.seen() for person, layer in layers.items()}

    def _draw_banner(self, planes: Planes, share: float) -> None:
        """A bar with two words across the lower third, as far as it has come up. It covers nobody's head."""
        width, height = self._studio.width, self._studio.height
        left, right = (2 * round(side * width / 2) for side in _BANNER_COLUMNS)
        top, bottom = (2 * round(side * height / 2) for side in _BANNER_ROWS)
        bar = np.full((bottom - top, right - left), _BANNER_LUMA, np.uint8)
        scale = (bottom - top) / 60
        place = (round(0.04 * (right - left)), round(0.68 * (bottom - top)))
        thickness = max(1, round(2 * scale))
        cv2.putText(bar, _BANNER_TEXT, place, cv2.FONT_HERSHEY_DUPLEX, scale, 235, thickness, cv2.LINE_AA)
        half = np.full((bar.shape[0] // 2, bar.shape[1] // 2), 128, np.uint8)
        colors = (bar, half + _BANNER_CHROMA[0], half + _BANNER_CHROMA[1])
        for plane, color, divisor in zip(planes, colors, (1, 2, 2), strict=True):
            window = plane[top // divisor : bottom // divisor, left // divisor : right // divisor]
            window[:] = cv2.addWeighted(color.astype(np.uint8), share, np.ascontiguousarray(window), 1 - share, 0)

    def _paint(self, planes: Planes, stage_height: int, placement: Placement, sprite: Sprite) -> _Layer:
        studio, head = self._studio, self._people[placement.person].head
        scale = placement.head * studio.unit / head.height
        center = (placement.x * studio.width, studio.height / 2 + placement.y * studio.unit)
        matrix = np.asarray(cv2.getRotationMatrix2D((head.x, head.y), placement.angle, scale), np.float64)
        matrix[:, 2] += np.subtract(center, (head.x, head.y))
        # To shrink by more than half, average first; a single interpolation would skip pixels.
        shrink = max(1, math.floor(1 / scale))
        if shrink > 1:
            sprite, matrix = _shrunk(sprite, matrix, shrink)
        height, width = sprite.alpha.shape
        corners = matrix @ np.array([[0, width, 0, width], [0, 0, height, height], [1, 1, 1, 1]])
        left, top = (int(2 * math.floor(side / 2)) - 2 for side in corners.min(axis=1))
        right, bottom = (int(2 * math.ceil(side / 2)) + 2 for side in corners.max(axis=1))
        alpha = _warped(sprite.alpha, matrix, left, top, right - left, bottom - top)
        x, y, w, h = cv2.boundingRect((alpha > 0).astype(np.uint8))
        total = float(alpha.sum(dtype=np.float64))
        # From here on only what is on the stage.
        x0, x1 = max(0, left), max(0, left, min(studio.width, right))
        y0, y1 = max(0, top), max(0, top, min(stage_height, bottom))
        head_place = (float(center[0]), float(center[1]), placement.head * studio.unit)
        head_total = float(alpha[_head_window(head_place, left, top)].sum(dtype=np.float64))
        alpha = np.ascontiguousarray(alpha[y0 - top : y1 - top, x0 - left : x1 - left])
        if alpha.size:
            half = _averaged(alpha, alpha.shape[1] // 2, alpha.shape[0] // 2)
            # A chroma sample sits in the middle of 2x2 luma samples.
            chroma_matrix = matrix.copy()
            chroma_matrix[:, 2] = (matrix @ (0.5, 0.5, 1.0) - 0.5) / 2
            luma, u, v = planes
            _blend(luma, sprite.planes[0], matrix, alpha, x0, y0)
            _blend(u, sprite.planes[1], chroma_matrix, half, x0 // 2, y0 // 2)
            _blend(v, sprite.planes[2], chroma_matrix, half, x0 // 2, y0 // 2)
        return _Layer((left + x, top + y, w, h), head_place, placement.turned, x0, y0, alpha, total, head_total)


def _head_window(head: tuple[float, float, float], x: int, y: int) -> tuple[slice, slice]:
    """Rows and columns of a head in an image whose first pixel is at x, y."""
    center_x, center_y, height = head
    rows, columns = (
        (center_y - height / 2 - y, center_y + height / 2 - y),
        (center_x - 0.4 * height - x, center_x + 0.4 * height - x),
    )
    return slice(*(max(0, round(side)) for side in rows)), slice(*(max(0, round(side)) for side in columns))


def _shrunk(sprite: Sprite, matrix: NDArray[np.float64], factor: int) -> tuple[Sprite, NDArray[np.float64]]:
    """A sprite averaged down by a factor, and the matrix that puts it in the same place."""
    height, width = sprite.alpha.shape
    w, h = max(2, width // factor // 2 * 2), max(2, height // factor // 2 * 2)
    luma, u, v = sprite.planes
    planes = (_averaged(luma, w, h), _averaged(u, w // 2, h // 2), _averaged(v, w // 2, h // 2))
    back = np.diag([width / w, height / h, 1.0])
    back[:2, 2] = (width / w - 1) / 2, (height / h - 1) / 2
    return Sprite(planes, _averaged(sprite.alpha, w, h)), matrix @ back


def _averaged(plane: NDArray[T], width: int, height: int) -> NDArray[T]:
    return np.asarray(cv2.resize(plane, (width, height), interpolation=cv2.INTER_AREA), plane.dtype)


def _warped(alpha: FloatImage, matrix: NDArray[np.float64], x: int, y: int, width: int, height: int) -> FloatImage:
    """A rectangle of the picture as the matrix fills it; 0 beyond the sprite."""
    moved = matrix.copy()
    moved[:, 2] -= (x, y)
    return np.asarray(cv2.warpAffine(alpha, moved, (width, height), flags=cv2.INTER_LINEAR), np.float32)


def _blend(
    target: NDArray[np.uint8], plane: NDArray[np.uint8], matrix: NDArray[np.float64], alpha: FloatImage, x: int, y: int
) -> None:
    """Draw a sprite's plane onto the target, where `alpha`, whose first pixel is at x, y, lets it."""
    height, width = alpha.shape
    moved = matrix.copy()
    moved[:, 2] -= (x, y)
    warped = cv2.warpAffine(plane, moved, (width, height), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    window = target[y : y + height, x : x + width]
    window[:] = cv2.blendLinear(warped, np.ascontiguousarray(window), alpha, 1 - alpha)


def _cover(hidden: _Layer, front: _Layer) -> None:
    """Take away from what is visible of one layer what another hides that was drawn over it."""
    left, right = max(hidden.x, front.x), min(hidden.x + hidden.alpha.shape[1], front.x + front.alpha.shape[1])
    top, bottom = max(hidden.y, front.y), min(hidden.y + hidden.alpha.shape[0], front.y + front.alpha.shape[0])
    if left < right and top < bottom:
        over = front.alpha[top - front.y : bottom - front.y, left - front.x : right - front.x]
        hidden.alpha[top - hidden.y : bottom - hidden.y, left - hidden.x : right - hidden.x] *= 1 - over
