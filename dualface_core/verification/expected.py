"""What a result should show: the plan, rendered again for a few frames of the source.

Belongs here: choosing those frames so that they cost little, fetching them, and comparing pictures by thumbnails. The
one idea: a wrong crop, a wrong color or a standing picture is found by comparing with the source, not by guessing
what a good picture looks like.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from dualface_core.compositing.cpu import Compositor
from dualface_core.media.frames import ColorInfo, Frame, Planes
from dualface_core.media.packets import key_frames
from dualface_core.media.probe import VideoInfo
from dualface_core.media.reader import VideoReader
from dualface_core.tables.layouts import Tile
from dualface_core.tables.tile_plan import TilePlan

_ENOUGH_KEY_FRAMES: Final = 8
"""With fewer of them in a video, other frames are looked at too, though they cost more."""

_THUMBNAIL_WIDTH: Final = 24
_WINDOW: Final = 7
"""Pixels of a thumbnail: side of the window in which two are compared."""


@dataclass(frozen=True)
class Expected:
    """One source frame, and what each tile should show at that time.

    Attributes:
        frame: the source frame; its index is that of the plan.
        tiles: for each tile a picture of its size.
    """

    frame: Frame
    tiles: list[Frame]


class Source:
    """The source and the plan, from which any frame of the result can be rendered again.

    Args:
        video: the source.
        plan: what each tile shows.
    """

    def __init__(self, video: VideoInfo, plan: TilePlan) -> None:
        self._video = video
        self._layout = plan.layout
        self._crop_windows = plan.crop_windows
        self._pts: list[int] = plan.pts.tolist()

    def cheap_frames(self, count: int) -> list[int]:
        """Up to `count` frames, spread over the video: those that can be decoded alone, as far as there are enough."""
        numbers = {pts: number for number, pts in enumerate(self._pts)}
        keys = [numbers[pts] for pts in key_frames(self._video) if pts in numbers]
        if len(keys) >= min(_ENOUGH_KEY_FRAMES, count):
            return evenly(keys, count)
        return sorted({*keys, *evenly(range(len(self._pts)), min(_ENOUGH_KEY_FRAMES, count))})

    def frames(self, numbers: Sequence[int]) -> Iterator[Frame]:
        """Frames of the source, ascending. Raises UnreadableVideoError where it cannot be read."""
        with VideoReader(self._video) as reader:
            yield from reader.at(numbers, [self._pts[number] for number in numbers])

    def render(self, numbers: Sequence[int]) -> Iterator[Expected]:
        """Frames of the source, ascending, and what the plan makes of them: until the next one, which is drawn over it.

        Raises UnreadableVideoError.
        """
        compositor = Compositor(self._layout, self._video.width, self._video.height)
        for frame in self.frames(numbers):
            canvas = compositor.compose(frame.planes, self._crop_windows[frame.index])
            yield Expected(frame, [tile_frame(canvas, tile, frame.color) for tile in self._layout.tiles])


def tile_frame(canvas: Planes, tile: Tile, color: ColorInfo) -> Frame:
    """One tile of a canvas as a picture of its own, which shares the canvas' memory."""
    planes = []
    for plane, scale in zip(canvas, (1, 2, 2), strict=True):
        rows = slice(tile.y // scale, (tile.y + tile.height) // scale)
        columns = slice(tile.x // scale, (tile.x + tile.width) // scale)
        planes.append(plane[rows, columns])
    return Frame(0, 0, 0.0, (planes[0], planes[1], planes[2]), color)


def evenly(values: Sequence[int], count: int) -> list[int]:
    """Up to `count` of `values`, evenly spread, the first and the last among them."""
    if len(values) <= count:
        return list(values)
    return [values[round(place)] for place in np.linspace(0, len(values) - 1, count)]


@dataclass(frozen=True)
class Thumbnail:
    """A picture so small that neither noise nor coding shows: luma (h, 24) and two chroma planes, float32."""

    luma: NDArray[np.float32]
    chroma: NDArray[np.float32]

    @classmethod
    def of(cls, picture: Frame) -> Thumbnail:
        """Shrink a picture by averaging."""
        size = (_THUMBNAIL_WIDTH, max(_WINDOW, round(_THUMBNAIL_WIDTH * picture.height / picture.width)))
        small = [cv2.resize(plane, size, interpolation=cv2.INTER_AREA).astype(np.float32) for plane in picture.planes]
        return cls(small[0], np.stack(small[1:]))

    def color_distance(self, other: Thumbnail) -> float:
        """Mean difference of chroma, in levels of 8 bits."""
        return float(np.abs(self.chroma - other.chroma).mean())


def ssim(one: NDArray[np.float32], other: NDArray[np.float32]) -> float:
    """Structural similarity of two luma thumbnails: 1 for equal ones, about 0 for unrelated ones.

    Wang, Bovik, Sheikh and Simoncelli, "Image quality assessment: from error visibility to structural similarity",
    2004, with a flat window.
    """

    def blurred(picture: NDArray[np.float32]) -> NDArray[np.float32]:
        return np.asarray(cv2.blur(picture, (_WINDOW, _WINDOW)), np.float32)

    mean_one, mean_other = blurred(one), blurred(other)
    variance_one = blurred(one * one) - mean_one**2
    variance_other = blurred(other * other) - mean_other**2
    covariance = blurred(one * other) - mean_one * mean_other
    small, large = (0.01 * 255) ** 2, (0.03 * 255) ** 2
    structure = (2 * covariance + large) / (variance_one + variance_other + large)
    brightness = (2 * mean_one * mean_other + small) / (mean_one**2 + mean_other**2 + small)
    return float((structure * brightness).mean())
