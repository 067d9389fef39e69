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
from typing import Final, Self

import numpy as np
from numpy.typing import NDArray

from dualface_core.media.frames import LEFT, Siting

_REACH: Final = 3
"""Samples before and after that the windowed sinc (Lanczos) looks at: six taps."""

_CUBIC_REACH: Final = 2
"""Source samples beyond the first and last position that bicubic interpolation looks at."""

_NEGLIGIBLE_SHIFT: Final = 1 / 256
"""Source samples. A smaller shift changes no 8-bit value by more than one."""

AXIS: Final = np.dtype(
    [
        ("shrink", np.int32),
        ("first", np.int32),
        ("stop", np.int32),
        ("skip", np.int32),
        ("count", np.int32),
        ("reach", np.int32),
        ("step", np.float64),
        ("kernel", np.float32, 2 * _REACH),
    ]
)
"""The fields of an `Axis` as they lie in memory."""


@dataclass(frozen=True)
class Axis:
    """Which source samples one axis of a tile is made of.

    Attributes:
        shrink: power of two by which the source is averaged first.
        first, stop: samples of the source (after that shrinking) to enlarge or decimate.
        skip: output samples made in excess at the beginning, so that edges are interpolated like the rest.
        count: output samples.
        reach: samples before and after that the kernel looks at; 0 where there is nothing for it to do.
        step: distance of two output samples, in those samples.
        kernel: what shifts them by the fraction, and removes what a decimation could not hold: six taps, the third for
            the sample itself.
    """

    shrink: int
    first: int
    stop: int
    skip: int
    count: int
    reach: int
    step: float
    kernel: NDArray[np.float32]

    @classmethod
    def of(cls, record: np.void) -> Self:
        """An element of what `plan_axes` gives."""
        shrink, first, stop, skip, count, reach, step, _ = record.item()
        return cls(shrink, first, stop, skip, count, reach, step, record["kernel"])


def plan_axes(
    tiles: NDArray[np.integer], crop_windows: NDArray[np.floating], siting: Siting = LEFT
) -> NDArray[np.void]:
    """The axes of any number of tiles: of those of a frame, or of a whole plan.

    Args:
        tiles: (..., 4) of x, y, width and height on the canvas. Those that are not drawn, of the width 0, have axes
            without a meaning.
        crop_windows: (..., 4) of center x, center y, width and height of what they show, in pixels of the frame.
        siting: of the frame's chroma.

    Returns:
        (..., 2, 2) of `AXIS`: of luma and of chroma the horizontal and the vertical axis.
    """
    drawn = tiles[..., 2:3] > 0
    count = np.where(drawn, tiles[..., 2:], 2)
    center, size = np.split(np.where(drawn, crop_windows, 2).astype(np.float64), 2, axis=-1)
    step = size / count
    luma = center - size / 2 + step / 2 - 0.5
    # Chroma of the canvas begins in line with the first column of luma, and half-way between the first two rows.
    chroma = (luma + [0.0, 0.5] * step - siting) / 2
    return _axes(np.stack([luma, chroma], -2), np.stack([step, step], -2), np.stack([count, count // 2], -2))


def _origin(start: NDArray[np.float64], step: NDArray[np.float64], skip: NDArray[np.float64]) -> NDArray[np.float64]:
    """Where the samples of the source must begin: cv2.resize puts output sample j at (j + 0.5) * step - 0.5."""
    return start - (skip + 0.5) * step + 0.5


def _axes(start: NDArray[np.float64], step: NDArray[np.float64], count: NDArray[np.integer]) -> NDArray[np.void]:
    """Sample at `start`, `start + step`, ... in units of source samples, the first of which is at 0."""
    shrink = np.ones(step.shape, np.int32)
    while (coarse := step >= 2).any():
        shrink = np.where(coarse, shrink * 2, shrink)
        start, step = np.where(coarse, (start - 0.5) / 2, start), np.where(coarse, step / 2, step)
    skip = np.ceil(_CUBIC_REACH / step)
    origin = _origin(start, step, skip)
    first = np.floor(origin + _NEGLIGIBLE_SHIFT)
    shift = origin - first
    idle = (step <= 1) & (np.abs(shift) < _NEGLIGIBLE_SHIFT)
    distance = np.arange(1 - _REACH, _REACH + 1) - np.where(idle, 0, shift)[..., np.newaxis]
    kernel = np.sinc(distance / np.maximum(step, 1)[..., np.newaxis]) * np.sinc(distance / _REACH)
    kernel /= kernel.sum(axis=-1, keepdims=True)
    # A windowed sinc misses the shift by up to 0.02 samples, which would make a slow pan uneven: put it right.
    missed = (kernel * distance).sum(axis=-1, keepdims=True)
    kernel[..., _REACH - 1 : _REACH + 1] += [1, -1] * missed
    axes = np.empty(step.shape, AXIS)
    axes["shrink"], axes["first"], axes["skip"], axes["count"] = shrink, first, skip, count
    axes["stop"] = first + np.ceil((skip + count) * step) + _CUBIC_REACH
    axes["reach"], axes["step"], axes["kernel"] = np.where(idle, 0, _REACH), step, kernel
    return axes
