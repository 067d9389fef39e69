"""A moment of a scene as a picture, and how much of each person is to be seen in it.

Belongs here: placing people in the room, one over the other, on planes of YUV 4:2:0. The one idea: the same opacity
that blends a person into the picture is added up to say how much of them is visible, so truth and picture agree.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TypeVar

import cv2
import numpy as np
from numpy.typing import NDArray

from dualface_core.media.frames import Planes
from dualface_core.sample.people import Person, Sprite
from dualface_core.sample.scenes import Actor, Moment, Placement
from dualface_core.sample.studio import Studio

FloatImage = NDArray[np.float32]
T = TypeVar("T", np.uint8, np.float32)


@dataclass(frozen=True)
class Region:
    """What was drawn of a person.

    Attributes:
        x, y, width, height: the smallest rectangle that holds all of the person, in pixels. It may reach beyond the
            picture.
        visible: the share of the person's own pixels, weighted by opacity, that is in the picture and covered by
            nothing.
    """

    x: int
    y: int
    width: int
    height: int
    visible: float


@dataclass
class _Layer:
    """A drawn person: their opacity as it is still to be seen, where it is, and all of it that there was."""

    region: tuple[int, int, int, int]
    x: int
    y: int
    alpha: FloatImage
    total: float


class Painter:
    """Draws moments.

    Args:
        studio: the room; its size is the picture's.
        people: everybody who may be placed, by name.
    """

    def __init__(self, studio: Studio, people: Mapping[Actor, Person]) -> None:
        self._studio = studio
        self._people = people

    def draw(self, moment: Moment, time: float) -> tuple[Planes, dict[Actor, Region]]:
        """The picture at `time` (seconds), and the region of each person that was placed."""
        planes = self._studio.film(moment.view, time)
        stage_height = self._studio.stage_height(moment.view)
        layers: dict[Actor, _Layer] = {}
        for placement in moment.placements:
            layer = self._paint(planes, stage_height, placement, self._people[placement.person].at(time))
            for hidden in layers.values():
                _cover(hidden, layer)
            layers[placement.person] = layer
        return planes, {
            person: Region(*layer.region, visible=float(layer.alpha.sum(dtype=np.float64) / layer.total))
            for person, layer in layers.items()
        }

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
        return _Layer((left + x, top + y, w, h), x0, y0, alpha, total)


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
