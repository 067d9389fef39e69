"""Which source samples each sample of a tile is made of: pure geometry, the same for every renderer.

Belongs here: coordinates, steps and kernels. Doesn't: pixels. The one idea: an affine warp is more than resampling
needs. A tile is only scaled and shifted, so each axis is done on its own: a windowed sinc shifts the source by the
fraction of a pixel that is left over, and a bicubic resize, whose scale is exact, does the rest. That is sharper than a
bilinear warp and, where a tile enlarges, takes half the time.

Coordinates: a crop window is given by its edges, on the scale on which the frame's luma covers 0 to its width, so that
the center of luma sample k lies at k + 0.5. Chroma of the canvas is sited as MPEG-2, H.264 and HEVC have it by
default: in line with every second luma column (sample i at 2 i + 0.5), and half-way between two luma rows (sample j at
2 j + 1). That of the source may be sited in another way, as that of JPEG and of a frame that was turned; luma and
chroma stay registered at any position and zoom.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Final

import numpy as np
from numpy.typing import NDArray

from dualface_core.media.frames import LEFT, Siting

_REACH: Final = 3
"""Samples before and after that the windowed sinc (Lanczos) looks at: six taps."""

_CUBIC_REACH: Final = 2
"""Source samples beyond the first and last position that bicubic interpolation looks at."""

_NEGLIGIBLE_SHIFT: Final = 1 / 256
"""Source samples. A smaller shift changes no 8-bit value by more than one."""

_KEPT: Final = 64
"""Axes that are kept: a camera mostly holds, and each tile has four."""


@dataclass(frozen=True)
class Axis:
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


def plane_axes(
    size: tuple[int, int], crop_window: NDArray[np.float64], siting: Siting = LEFT
) -> tuple[tuple[Axis, Axis], tuple[Axis, Axis]]:
    """The horizontal and the vertical axis of a tile, for luma and for chroma.

    Args:
        size: width and height of the tile, in pixels of the canvas.
        crop_window: center x, center y, width and height of what it shows, in pixels of the frame.
        siting: of the frame's chroma.
    """
    center_x, center_y, width, height = crop_window.tolist()
    columns, rows = size
    step_x, step_y = width / columns, height / rows
    left = center_x - width / 2 + step_x / 2 - 0.5
    top = center_y - height / 2
    luma = _axis(left, step_x, columns), _axis(top + step_y / 2 - 0.5, step_y, rows)
    chroma_left, chroma_top = (left - siting[0]) / 2, (top + step_y - (0.5 + siting[1])) / 2
    chroma = _axis(chroma_left, step_x, columns // 2), _axis(chroma_top, step_y, rows // 2)
    return luma, chroma


@lru_cache(_KEPT)
def _axis(start: float, step: float, count: int) -> Axis:
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
        return Axis(shrink, first, stop, step, np.ones(1, np.float32), 0, skip, count)
    distance = np.arange(1 - _REACH, _REACH + 1) - shift
    kernel = np.sinc(distance / max(step, 1.0)) * np.sinc(distance / _REACH)
    kernel /= kernel.sum()
    # A windowed sinc misses the shift by up to 0.02 samples, which would make a slow pan uneven: put it right.
    kernel[_REACH - 1 : _REACH + 1] += np.array([1, -1]) * (kernel @ distance)
    return Axis(shrink, first, stop, step, kernel.astype(np.float32), _REACH, skip, count)
