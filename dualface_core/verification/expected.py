"""What a result should show: some source frames, resampled as the plan says by other means than the compositor's.

Belongs here: choosing those frames so that they cost little, fetching them, and measuring how a tile of the result
differs from them. `comparison` holds every frame against what was composed; this holds what was composed against the
source, to a pixel.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from dualface_core.media.color import ColorInfo
from dualface_core.media.frames import Frame, Planes
from dualface_core.media.packets import key_frames
from dualface_core.media.probe import VideoInfo
from dualface_core.media.reader import VideoReader
from dualface_core.tables.layouts import Tile
from dualface_core.tables.tile_plan import TilePlan
from dualface_core.verification.comparison import ssim
from dualface_core.verification.findings import Check, Finding, clock

_ENOUGH_KEY_FRAMES: Final = 8
"""With fewer of them in a video, other frames are taken too, though they cost more."""

_SCALE: Final = 2
"""Luma is compared at half size: a pixel still shows, and neither kernels nor grain do."""

MOST_ASIDE: Final = 1.0
"""Pixels of the canvas by which a tile may be beside its crop window. At CRF 20 it is 0.07; CRF 40 is unmeasured."""

LEAST_SSIM: Final = 0.75
"""Structural similarity of a tile at half size with its resampled source. At CRF 20: 0.99; CRF 40 is unmeasured."""

_LEAST_TEXTURE: Final = 1.0
"""Mean squared gradient, in levels, that a tile must have in a direction for its place in it to be measured."""


class Source:
    """The source and the plan, from which any frame of the result can be made again.

    Args:
        video: the source.
        plan: what each tile shows.
    """

    def __init__(self, video: VideoInfo, plan: TilePlan) -> None:
        self._video = video
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

    def tile_luma(self, frame: Frame, place: int, tile: Tile) -> NDArray[np.float32]:
        """What a tile should show of a source frame: luma at half the tile's size, (rows, columns) float32.

        Args:
            frame: of the source; its index is its number in the plan.
            place: the tile's number in the layout.
            tile: the tile.
        """
        center_x, center_y, width, height = self._crop_windows[frame.index, place].astype(np.float64)
        columns, rows = tile.width // _SCALE, tile.height // _SCALE
        step_x, step_y = width / columns, height / rows
        x, y = center_x - width / 2 + step_x / 2 - 0.5, center_y - height / 2 + step_y / 2 - 0.5
        luma = frame.planes[0]
        while step_x >= _SCALE and step_y >= _SCALE:
            luma = np.asarray(cv2.resize(luma, (luma.shape[1] // 2, luma.shape[0] // 2), interpolation=cv2.INTER_AREA))
            step_x, step_y, x, y = step_x / 2, step_y / 2, (x - 0.5) / 2, (y - 0.5) / 2
        matrix = np.array([[step_x, 0, x], [0, step_y, y]])
        flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
        drawn = cv2.warpAffine(luma, matrix, (columns, rows), flags=flags, borderMode=cv2.BORDER_REPLICATE)
        return np.asarray(drawn, np.float32)


def tile_frame(canvas: Planes, tile: Tile, color: ColorInfo) -> Frame:
    """One tile of a canvas as a frame of its own, which shares the canvas' memory."""
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
class _Sample:
    """What was measured in one frame: its time in seconds, pixels beside the crop window, and SSIM."""

    time: float
    aside: float
    similarity: float


class CropCheck:
    """Compares some frames of a tile with what the plan makes of the source.

    Args:
        tile: which one.
        numbers: of the frames to compare, in the plan.
    """

    def __init__(self, tile: Tile, numbers: Sequence[int]) -> None:
        self._name = tile.person
        self._numbers = frozenset(numbers)
        self._found: dict[int, tuple[float, NDArray[np.uint8]]] = {}

    def look(self, number: int, time: float, tile: Frame) -> None:
        """Take the tile of a frame: its number in the plan, and its time in seconds."""
        if number in self._numbers:
            self._found[number] = time, tile.luma(tile.width // _SCALE, tile.height // _SCALE)

    def findings(self, expected: Mapping[int, NDArray[np.float32]]) -> Iterator[Finding]:
        """Whether the place is right. `expected` has luma, by a frame's number, as `Source.tile_luma` gives it."""
        samples = [
            _measured(time, found.astype(np.float32), expected[number])
            for number, (time, found) in self._found.items()
            if number in expected
        ]
        farthest = max(samples, key=lambda sample: sample.aside, default=_Sample(0.0, 0.0, 0.0))
        least = min(samples, key=lambda sample: sample.similarity, default=farthest)
        aside, unlike = farthest.aside > MOST_ASIDE, least.similarity < LEAST_SSIM
        message = (
            f"Tile {self._name} shows what the plan makes of the source in {len(samples)} frames sampled: within "
            f"{farthest.aside:.2f} pixels, SSIM at least {least.similarity:.3f}."
        )
        if unlike:
            message = (
                f"Tile {self._name} does not show what the plan makes of the source at {clock(least.time)}: SSIM "
                f"{least.similarity:.3f}."
            )
        elif aside:
            message = (
                f"Tile {self._name} is {farthest.aside:.1f} pixels beside its crop window at {clock(farthest.time)}."
            )
        yield Finding(
            check=Check.CROP,
            passed=bool(samples) and not aside and not unlike,
            value=round(farthest.aside, 3) if not unlike else round(least.similarity, 3),
            expected=f"within {MOST_ASIDE:g} pixel, SSIM at least {LEAST_SSIM:g}",
            message=message,
        )


def _measured(time: float, found: NDArray[np.float32], wanted: NDArray[np.float32]) -> _Sample:
    return _Sample(time, _SCALE * _shift(found, wanted), float(ssim(found[None], wanted[None])[0]))


def _shift(found: NDArray[np.float32], wanted: NDArray[np.float32]) -> float:
    """How many pixels one picture is beside another: least squares over gradients (Lucas and Kanade, 1981)."""
    smooth = [cv2.GaussianBlur(each, (0, 0), 2.0) for each in (found, wanted)]
    down, right = np.gradient(smooth[1])
    difference = smooth[0] - smooth[1]
    difference -= difference.mean()
    normal = np.array([[np.mean(right * right), np.mean(right * down)], [np.mean(right * down), np.mean(down * down)]])
    if np.linalg.eigvalsh(normal)[0] < _LEAST_TEXTURE:
        return 0.0
    moment = np.array([np.mean(right * difference), np.mean(down * difference)])
    return float(np.abs(np.linalg.solve(normal, moment)).max())
