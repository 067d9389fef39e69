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

_SPARE: Final = 32
"""Output samples that may be made in excess for a place that needs no shift: a few percent more of what is cheap."""

_WHOLE: Final = 1 / 4096
"""Source samples by which such a place may be missed."""

_MOVING_SPARE: Final = 96
"""Output samples that may be made in excess where the crop window happens to be: a tenth more costs less than the
shift, and nearly all places that a moving camera passes have such an excess with which there is next to none."""

_AT_ONCE: Final = 4096
"""Axes for which that is looked for at once, so that the memory it takes does not grow with the length of a plan."""

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
    # Chroma of the canvas begins in line with the first column of luma, and half-way between the first two rows.
    luma, chroma = _starts(center - size / 2, step, np.array(siting), np.array(LEFT))
    return _axes(np.stack([luma, chroma], -2), np.stack([step, step], -2), np.stack([count, count // 2], -2))


def unshifted_edge(edge: float, step: float, lower: float, upper: float, axis: int) -> float:
    """The place nearest to this one for the left or upper edge of a crop window at which samples need no shift.

    Luma and chroma of the siting `LEFT` if there is such a place less than a sample or two away, or luma alone. Where
    there is nothing to gain, since the tile shrinks its source, or no such place within the limits, the edge itself.

    Args:
        edge: where it would be.
        step: source samples per output sample.
        lower: the least that it may be.
        upper: the most.
        axis: 0 for the left edge, 1 for the upper one.
    """
    steps = np.array(step)
    skips = _skips(steps, _SPARE)
    offset = skips * steps % 1
    places = (np.floor(edge - offset)[:, np.newaxis] + np.arange(-1, 3) + offset[:, np.newaxis]).ravel()
    places = places[(places >= lower) & (places <= upper)]
    if step > 1 or not len(places):
        return edge
    _, chroma = _starts(places, steps, np.array(LEFT[axis]), np.array(LEFT[axis]))
    both = _is_whole(_origin(chroma[:, np.newaxis], steps, skips)).any(axis=1)
    if both.any():
        places = places[both]
    return float(places[np.abs(places - edge).argmin()])


def unshifted_step(step: float, lower: float, upper: float) -> float:
    """The step nearest to this one, within these limits, for which `unshifted_edge` finds places for chroma, too.

    Chroma lies in line with every second column of luma. Let both skip whole numbers of output samples so that a whole
    number of source samples is before them: then step times an odd number is an odd number.
    """
    odd = np.arange(1, 4 * _SPARE, 2)
    steps = (2 * np.rint((step * odd - 1) / 2) + 1) / odd
    steps = steps[(steps >= lower) & (steps <= min(upper, 1.0))]
    return float(steps[np.abs(steps - step).argmin()]) if len(steps) else step


def _starts(
    edge: NDArray[np.float64], step: NDArray[np.float64], siting: NDArray[np.float64], sited: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Where the first output sample of luma and of chroma lies, in samples of its plane.

    Args:
        edge: of the crop window.
        step: source samples per output sample.
        siting: of the frame's chroma, along the axis.
        sited: of the canvas's.
    """
    luma = edge + step / 2 - 0.5
    return luma, (luma + sited * step - siting) / 2


def _skips(step: NDArray[np.float64], spare: int) -> NDArray[np.float64]:
    """How many output samples may be made in excess at the beginning, the least first: (..., several)."""
    return np.ceil(_CUBIC_REACH / step)[..., np.newaxis] + np.arange(spare + 1)


def _origin(start: NDArray[np.float64], step: NDArray[np.float64], skip: NDArray[np.float64]) -> NDArray[np.float64]:
    """Where the samples of the source must begin: cv2.resize puts output sample j at (j + 0.5) * step - 0.5."""
    return start - (skip + 0.5) * step + 0.5


def _fewest_unshifted(start: NDArray[np.float64], step: NDArray[np.float64]) -> NDArray[np.float64]:
    """The least of the skips with which there is nothing to shift; the very least where there is none: (axes,)."""
    skips = _skips(step, _MOVING_SPARE)
    origins = _origin(start[:, np.newaxis], step[:, np.newaxis], skips)
    unshifted = (np.abs(origins - np.rint(origins)) < _NEGLIGIBLE_SHIFT) & (step <= 1)[:, np.newaxis]
    return np.asarray(skips[np.arange(len(skips)), unshifted.argmax(axis=1)], np.float64)


def _is_whole(places: NDArray[np.float64]) -> NDArray[np.bool_]:
    return np.asarray(np.abs(places - np.rint(places)) < _WHOLE)


def _axes(start: NDArray[np.float64], step: NDArray[np.float64], count: NDArray[np.integer]) -> NDArray[np.void]:
    """Sample at `start`, `start + step`, ... in units of source samples, the first of which is at 0."""
    shrink = np.ones(step.shape, np.int32)
    while (coarse := step >= 2).any():
        shrink = np.where(coarse, shrink * 2, shrink)
        start, step = np.where(coarse, (start - 0.5) / 2, start), np.where(coarse, step / 2, step)
    skip = np.empty(step.shape)
    for first_axis in range(0, step.size, _AT_ONCE):
        part = slice(first_axis, first_axis + _AT_ONCE)
        skip.flat[part] = _fewest_unshifted(start.flat[part], step.flat[part])
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
