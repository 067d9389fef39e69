"""A decoded frame as the rest of the project sees it: three planes, a timestamp, and nothing of the decoder.

Belongs here: the Frame and its cheap views. The one idea: frames stay in 8-bit YUV 4:2:0, as they were coded;
BGR is made only of what a detector or a person looks at, and only at the size needed.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from dualface_core.media.color import ColorInfo

Planes = tuple[NDArray[np.uint8], NDArray[np.uint8], NDArray[np.uint8]]
"""Y of shape (H, W), then U and V of shape ((H + 1) // 2, (W + 1) // 2), all uint8 of 4:2:0."""

Siting = tuple[float, float]
"""Where a chroma sample lies, in luma samples to the right of and below the first of the four that it belongs to."""

LEFT: Final = (0.0, 0.5)
"""The siting of MPEG-2, H.264 and HEVC unless they say otherwise, and of every result."""

CENTER: Final = (0.5, 0.5)
"""The siting of JPEG and MPEG-1."""


@dataclass(frozen=True)
class Frame:
    """One frame, upright and with square pixels.

    Attributes:
        index: its number in presentation order, from 0.
        pts: presentation timestamp in units of the stream's time base.
        time: the same in seconds.
        planes: Y, U and V; valid for as long as the Frame is referenced. Not to be written to.
        color: what the planes stand for; every frame of a video has the same.
        siting: of its chroma.
    """

    index: int
    pts: int
    time: float
    planes: Planes
    color: ColorInfo
    owner: object = field(default=None, repr=False, compare=False)
    siting: Siting = LEFT

    @property
    def width(self) -> int:
        """Pixels in a row of luma."""
        return int(self.planes[0].shape[1])

    @property
    def height(self) -> int:
        """Rows of luma."""
        return int(self.planes[0].shape[0])

    def luma(self, width: int, height: int) -> NDArray[np.uint8]:
        """Luma shrunk to (height, width) uint8, with no sample left out."""
        return self._scaled(self.planes[0], width, height)

    def bgr(self, max_width: int | None = None) -> NDArray[np.uint8]:
        """The whole frame as (h, w, 3) uint8 BGR, shrunk so that w <= max_width, with no sample left out."""
        width, height = shrunk_size((self.width, self.height), max_width)
        return self._to_bgr([self._scaled(plane, width, height) for plane in self.planes])

    def bgr_square(self, x: int, y: int, side: int, *, at_most: int) -> NDArray[np.uint8]:
        """A part as (n, n, 3) uint8 BGR, shrunk to n = `at_most` if larger; outside the frame, the edge repeats.

        `x`, `y` and `side` are even, in pixels of the frame.
        """
        size = min(side, at_most)
        parts = [
            _part(self.planes[0], x, y, side),
            *(_part(plane, x // 2, y // 2, side // 2) for plane in self.planes[1:]),
        ]
        return self._to_bgr([self._scaled(part, size, size) for part in parts])

    @staticmethod
    def _scaled(plane: NDArray[np.uint8], width: int, height: int) -> NDArray[np.uint8]:
        # OpenCV is far quicker at averaging two by two than by any other factor. What is left after that is a factor
        # below 2, for which interpolation between neighbors leaves no sample out.
        while plane.shape[0] >= 2 * height and plane.shape[1] >= 2 * width:
            half = (plane.shape[1] // 2, plane.shape[0] // 2)
            plane = np.asarray(cv2.resize(plane, half, interpolation=cv2.INTER_AREA), np.uint8)
        if plane.shape == (height, width):
            return plane
        skips = plane.shape[0] >= 2 * height or plane.shape[1] >= 2 * width
        interpolation = cv2.INTER_AREA if skips else cv2.INTER_LINEAR
        return np.asarray(cv2.resize(plane, (width, height), interpolation=interpolation), np.uint8)

    def _to_bgr(self, planes: list[NDArray[np.uint8]]) -> NDArray[np.uint8]:
        return np.asarray(cv2.transform(cv2.merge(planes), self.color.yuv_to_bgr()), np.uint8)


def shrunk_size(size: tuple[int, int], max_width: int | None) -> tuple[int, int]:
    """Width and height of an image of frames of that size: see `Frame.bgr`."""
    width, height = size
    return size if max_width is None or width <= max_width else (max_width, max(1, round(height * max_width / width)))


def _part(plane: NDArray[np.uint8], x: int, y: int, side: int) -> NDArray[np.uint8]:
    """A square of a plane, with the plane's edge repeated where it reaches beyond it."""
    above, top, bottom, below = _clipped(y, side, plane.shape[0])
    before, left, right, after = _clipped(x, side, plane.shape[1])
    part = plane[top:bottom, left:right]
    if above or below or before or after:
        part = np.asarray(cv2.copyMakeBorder(part, above, below, before, after, cv2.BORDER_REPLICATE), np.uint8)
    return part


def _clipped(first: int, count: int, size: int) -> tuple[int, int, int, int]:
    """Of `count` samples from `first`: how many lie before a plane, where they begin and stop in it, how many after.

    One lies in it at least: its edge.
    """
    before, after = min(max(-first, 0), count - 1), min(max(first + count - size, 0), count - 1)
    start = min(max(first, 0), size - 1)
    return before, start, start + count - before - after, after
