"""Renders tiles: takes each tile's source rectangle out of the YUV planes with sub-pixel accuracy.

Belongs here: resampling of pictures on the CPU with OpenCV. Where the rectangles are is `camera`'s business. The one
idea: an affine warp is more than resampling needs. A tile is only scaled and shifted, so each axis is done on its own:
a windowed sinc shifts the source by the fraction of a pixel that is left over, and a bicubic resize, whose scale is
exact, does the rest. That is sharper than a bilinear warp and, where a tile enlarges, takes half the time.

Coordinates: a rectangle is given by its edges, on the scale on which the frame's luma covers 0 to its width, so that
the center of luma sample k lies at k + 0.5. Chroma of 4:2:0 is taken to be sited as MPEG-2, H.264 and HEVC have it by
default: in line with every second luma column (sample i at 2 i + 0.5), and half-way between two luma rows (sample j at
2 j + 1). Source and canvas have the same siting, so luma and chroma stay registered at any position and zoom.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from dualface_core.media.frames import Planes
from dualface_core.tables.layouts import Layout

_REACH: Final = 3
"""Samples before and after that the windowed sinc (Lanczos) looks at: six taps."""

_CUBIC_REACH: Final = 2
"""Source samples beyond the first and last position that bicubic interpolation looks at."""

_NEGLIGIBLE_SHIFT: Final = 1 / 256
"""Source samples. A smaller shift changes no 8-bit value by more than one."""

_REMEMBERED: Final = 64
"""Axes that are kept: a camera mostly stands still, and each tile has four."""


class Compositor:
    """Makes canvases out of frames. One per stream.

    OpenCV's number of threads belongs to the process and is left alone.

    Args:
        layout: canvas and tiles.
        frame_width: of the frames that will come, in luma samples.
        frame_height: likewise.
    """

    def __init__(self, layout: Layout, frame_width: int, frame_height: int) -> None:
        self._tiles = layout.tiles
        self._shape = (frame_height, frame_width)
        half = (layout.height // 2, layout.width // 2)
        self._canvas: Planes = (
            np.zeros((layout.height, layout.width), np.uint8),
            np.full(half, 128, np.uint8),
            np.full(half, 128, np.uint8),
        )

    def compose(self, planes: Planes, crop_windows: NDArray[np.float32], canvas: Planes | None = None) -> Planes:
        """Render one canvas.

        Args:
            planes: Y, U and V of the frame; Y has the size that the compositor was made for.
            crop_windows: (tiles, 4) of center x, center y, width and height in pixels of the frame. What lies outside
                the frame shows its repeated edge.
            canvas: Y, U and V to draw on, of the layout's size; the compositor's own if None.

        Returns:
            Y, U and V of the canvas. The compositor's own is overwritten by the next call.
        """
        canvas = self._canvas if canvas is None else canvas
        if planes[0].shape != self._shape:
            raise ValueError(f"The frame is {planes[0].shape}, the compositor was made for {self._shape}.")
        for tile, (center_x, center_y, width, height) in zip(self._tiles, crop_windows.astype(np.float64), strict=True):
            step_x, step_y = width / tile.width, height / tile.height
            luma_x = center_x - width / 2 + step_x / 2 - 0.5
            top = center_y - height / 2
            luma = (
                _axis(luma_x, step_x, tile.width),
                _axis(top + step_y / 2 - 0.5, step_y, tile.height),
            )
            chroma = (
                _axis(luma_x / 2, step_x, tile.width // 2),
                _axis((top + step_y - 1) / 2, step_y, tile.height // 2),
            )
            for plane, drawn, (axis_x, axis_y), scale in zip(
                planes, canvas, (luma, chroma, chroma), (1, 2, 2), strict=True
            ):
                rows = slice(tile.y // scale, (tile.y + tile.height) // scale)
                columns = slice(tile.x // scale, (tile.x + tile.width) // scale)
                _resample(plane, axis_x, axis_y, drawn[rows, columns])
        return canvas


@dataclass(frozen=True)
class _Axis:
    """Which source samples one axis of a tile is made of.

    Attributes:
        shrink: power of two by which the source is averaged first.
        first, stop: samples of the source (after that shrinking) to enlarge or decimate.
        step: distance of two output samples, in those samples.
        kernel: what shifts them by the fraction, and removes what a decimation could not hold: 2 * reach taps, or
            a single 1 where there is nothing to do.
        reach: samples before and after that the kernel looks at.
        skip: output samples made in excess at the beginning, so that edges are interpolated like the rest.
        count: output samples.
    """

    shrink: int
    first: int
    stop: int
    step: float
    kernel: NDArray[np.float32]
    reach: int
    skip: int
    count: int


@lru_cache(_REMEMBERED)
def _axis(start: float, step: float, count: int) -> _Axis:
    """Sample at `start`, `start + step`, ... in units of source samples, the first of which is at 0."""
    shrink = 1
    while step >= 2:
        shrink, step, start = shrink * 2, step / 2, (start - 0.5) / 2
    skip = int(np.ceil(_CUBIC_REACH / step))
    # cv2.resize puts output sample j at (j + 0.5) * step - 0.5; this is where its sample 0 must begin.
    origin = start - (skip + 0.5) * step + 0.5
    first = int(np.floor(origin + _NEGLIGIBLE_SHIFT))
    shift = origin - first
    stop = first + int(np.ceil((skip + count) * step)) + _CUBIC_REACH
    if step <= 1 and abs(shift) < _NEGLIGIBLE_SHIFT:
        return _Axis(shrink, first, stop, step, np.ones(1, np.float32), 0, skip, count)
    distance = np.arange(1 - _REACH, _REACH + 1) - shift
    kernel = np.sinc(distance / max(step, 1.0)) * np.sinc(distance / _REACH)
    kernel /= kernel.sum()
    # A windowed sinc misses the shift by up to 0.02 samples, which would make a slow pan uneven: put it right.
    kernel[_REACH - 1 : _REACH + 1] += np.array([1, -1]) * (kernel @ distance)
    return _Axis(shrink, first, stop, step, kernel.astype(np.float32), _REACH, skip, count)


def _resample(plane: NDArray[np.uint8], x: _Axis, y: _Axis, out: NDArray[np.uint8]) -> None:
    picture = _region(plane, x, y)
    # Two plain filters of one row and one column take half the time of OpenCV's separable one.
    if y.reach:
        column = y.kernel[:, np.newaxis]
        picture = np.asarray(cv2.filter2D(picture, cv2.CV_8U, column, anchor=(0, y.reach - 1)), np.uint8)
        picture = picture[y.reach : -y.reach]
    if x.reach:
        row = x.kernel[np.newaxis]
        picture = np.asarray(cv2.filter2D(picture, cv2.CV_8U, row, anchor=(x.reach - 1, 0)), np.uint8)
        picture = picture[:, x.reach : -x.reach]
    if x.step != 1 or y.step != 1:
        # Without a target size, the scale is taken as it is given; with one, it would be rounded to whole pixels.
        picture = np.asarray(
            cv2.resize(picture, None, fx=1 / x.step, fy=1 / y.step, interpolation=cv2.INTER_CUBIC), np.uint8
        )
    out[:] = picture[y.skip : y.skip + y.count, x.skip : x.skip + x.count]


def _region(plane: NDArray[np.uint8], x: _Axis, y: _Axis) -> NDArray[np.uint8]:
    """The source samples that two axes need, averaged where they are to be shrunk; beyond the plane, its edge."""
    left, right = x.shrink * (x.first - x.reach), x.shrink * (x.stop + x.reach)
    top, bottom = y.shrink * (y.first - y.reach), y.shrink * (y.stop + y.reach)
    height, width = plane.shape
    region = plane[max(top, 0) : max(bottom, 0), max(left, 0) : max(right, 0)]
    outside = (max(-top, 0), max(bottom - height, 0), max(-left, 0), max(right - width, 0))
    if any(outside):
        region = np.asarray(cv2.copyMakeBorder(region, *outside, cv2.BORDER_REPLICATE), np.uint8)
    if x.shrink > 1 or y.shrink > 1:
        size = (region.shape[1] // x.shrink, region.shape[0] // y.shrink)
        region = np.asarray(cv2.resize(region, size, interpolation=cv2.INTER_AREA), np.uint8)
    return region
