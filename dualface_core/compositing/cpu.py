"""Renders tiles on the CPU with OpenCV: takes each tile's crop window out of the YUV planes with sub-pixel accuracy.

Belongs here: drawing. Which source samples a tile is made of is `sampling`'s business, where the crop windows are
`camera`'s.
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from dualface_core.compositing.background import Rectangle, draw_background, uncovered
from dualface_core.compositing.finish import Finish
from dualface_core.compositing.sampling import AXIS, Axis, plan_axes
from dualface_core.media.frames import Frame, Planes, Siting
from dualface_core.tables.layouts import Layout
from dualface_core.tables.tile_plan import FramePlan


class Compositor:
    """Makes canvases out of frames. One per stream.

    OpenCV's number of threads belongs to the process and is left alone.

    Args:
        layout: the canvas.
        frame_width: of the frames that will come, in luma samples.
        frame_height: likewise.
    """

    def __init__(self, layout: Layout, frame_width: int, frame_height: int) -> None:
        self._layout = layout
        self.finish = Finish(layout)
        """What lies over tiles."""
        self._shape = (frame_height, frame_width)
        self._last_axes: tuple[object, NDArray[np.void]] = (None, np.empty(0, AXIS))
        half = (layout.height // 2, layout.width // 2)
        self._canvas: Planes = (
            np.zeros((layout.height, layout.width), np.uint8),
            np.full(half, 128, np.uint8),
            np.full(half, 128, np.uint8),
        )

    def compose(
        self, frame: Frame, shown: FramePlan, canvas: Planes | None = None, *, axes: NDArray[np.void] | None = None
    ) -> Planes:
        """Render one canvas.

        Args:
            frame: of the size that the compositor was made for.
            shown: where the tiles are, and what of the frame each shows. They are drawn in their order, and the
                layout's background where none is. What of a crop window lies outside the frame shows its repeated edge.
            canvas: Y, U and V to draw on, of the layout's size; the compositor's own if None.
            axes: what `plan_axes` gives for these tiles, if it is known.

        Returns:
            Y, U and V of the canvas, its chroma sited `LEFT`. The compositor's own is overwritten by the next call.
        """
        canvas = self._canvas if canvas is None else canvas
        layout, planes = self._layout, frame.planes
        if planes[0].shape != self._shape:
            raise ValueError(f"The frame is {planes[0].shape}, the compositor was made for {self._shape}.")
        drawn = shown.tiles[:, 2] > 0
        tiles: list[Rectangle] = [tuple(place) for place in shown.tiles[drawn].tolist()]
        crop_windows = shown.crop_windows[drawn].astype(np.float64)
        opaque = tuple(part for tile in tiles for part in self.finish.opaque(tile))
        parts = uncovered(opaque, layout.width, layout.height)
        draw_background(canvas, parts, layout.background, frame, crop_windows)
        axes = self._axes_of(shown.tiles[drawn], crop_windows, frame.siting) if axes is None else axes[drawn]
        for tile, tile_axes, subject in zip(tiles, axes, shown.subjects[drawn].tolist(), strict=True):
            under = self.finish.corners(canvas, tile)
            x, y, width, height = tile
            (luma_x, luma_y), (chroma_x, chroma_y) = ([Axis.of(axis) for axis in plane] for plane in tile_axes)
            for plane, surface, axis_x, axis_y, scale in zip(
                planes, canvas, (luma_x, chroma_x, chroma_x), (luma_y, chroma_y, chroma_y), (1, 2, 2), strict=True
            ):
                part = surface[y // scale : (y + height) // scale, x // scale : (x + width) // scale]
                _resample(plane, axis_x, axis_y, part)
            self.finish.draw(canvas, tile, subject, under, frame.color)
        return canvas

    def _axes_of(
        self, tiles: NDArray[np.integer], crop_windows: NDArray[np.float64], siting: Siting
    ) -> NDArray[np.void]:
        """The tiles' axes; those of the frame before, where nothing has changed: a camera mostly holds."""
        asked = tiles.tobytes(), crop_windows.tobytes(), siting
        known, axes = self._last_axes
        if known != asked:
            axes = plan_axes(tiles, crop_windows, siting)
            self._last_axes = asked, axes
        return axes


def _resample(plane: NDArray[np.uint8], x: Axis, y: Axis, out: NDArray[np.uint8]) -> None:
    samples = _region(plane, x, y)
    # Two plain filters of one row and one column take half the time of OpenCV's separable one.
    if y.reach:
        column = y.kernel[:, np.newaxis]
        samples = np.asarray(cv2.filter2D(samples, cv2.CV_8U, column, anchor=(0, y.reach - 1)), np.uint8)
        samples = samples[y.reach : -y.reach]
    if x.reach:
        row = x.kernel[np.newaxis]
        samples = np.asarray(cv2.filter2D(samples, cv2.CV_8U, row, anchor=(x.reach - 1, 0)), np.uint8)
        samples = samples[:, x.reach : -x.reach]
    if x.step != 1 or y.step != 1:
        samples = _scaled(samples, x.step, y.step)
    out[:] = samples[y.skip : y.skip + y.count, x.skip : x.skip + x.count]


def _scaled(samples: NDArray[np.uint8], step_x: float, step_y: float) -> NDArray[np.uint8]:
    """Bicubic interpolation: sample j of the result lies at (j + 0.5) * step - 0.5."""
    height, width = samples.shape
    if (round(width / step_x), round(height / step_y)) == (width, height):
        # Where the rounded size stays the same, `resize` copies; `warpAffine` rounds positions to 1/32 of a sample.
        matrix = np.array([[step_x, 0, (step_x - 1) / 2], [0, step_y, (step_y - 1) / 2]])
        flags = cv2.INTER_CUBIC | cv2.WARP_INVERSE_MAP
        return np.asarray(cv2.warpAffine(samples, matrix, (width, height), flags=flags), np.uint8)
    # Without a target size, the scale is taken as it is given; with one, it would be rounded to whole samples.
    return np.asarray(cv2.resize(samples, None, fx=1 / step_x, fy=1 / step_y, interpolation=cv2.INTER_CUBIC), np.uint8)


def _region(plane: NDArray[np.uint8], x: Axis, y: Axis) -> NDArray[np.uint8]:
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
