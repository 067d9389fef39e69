"""What a result should show: some source frames, resampled as the plan says by other means than the compositor's.

Belongs here: choosing those frames so that they cost little, fetching them, and measuring how a tile of the result
differs from them. What is measured of one frame may be measured anywhere; a CropCheck takes it in the frames' order.
`comparison` holds every frame against what was composed; this holds what was composed against the source, to a pixel,
and tells how much of it an encoder has left.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final, TypeVar, cast

import cv2
import numpy as np
from numpy.typing import NDArray

from dualface_core.compositing.background import Rectangle
from dualface_core.compositing.cpu import Compositor
from dualface_core.engine.spans import found_by_time, key_frames
from dualface_core.media.color import ColorInfo
from dualface_core.media.frames import LEFT, Frame, Planes, Siting
from dualface_core.media.probe import VideoInfo
from dualface_core.media.reader import VideoReader
from dualface_core.tables.layouts import Layout
from dualface_core.tables.tile_plan import FramePlan, TilePlan
from dualface_core.verification.comparison import ssim_map
from dualface_core.verification.findings import Check, Finding, clock
from dualface_core.verification.fingerprints import RegionFingerprint

_ENOUGH_KEY_FRAMES: Final = 8
"""With fewer of them in a video, other frames are taken too, though they cost more."""

_SCALE: Final = 2
"""Planes are compared at half size: a pixel still shows, and neither kernels nor grain do."""

_LUMA: Final = (0.0, 0.0)
"""The siting of luma, as that of chroma is given."""

_AREA: Final = 30
"""Samples of a plane at quarter size over which differences are averaged, either way."""

MOST_ASIDE: Final = 0.4
"""Pixels of the canvas by which a quarter of a composed tile may be beside its crop window: kernels differ by some."""

MOST_COLORS_ASIDE: Final = 1.0
"""The same for the colors of a tile, as a median over frames: their samples are two pixels wide, and smooth."""

MOST_SOURCE_ASIDE: Final = 0.08
MOST_SOURCE_COLORS_ASIDE: Final = 0.25
"""The same two in pixels of the source: where a tile enlarges many times, these are more pixels of the canvas, and less
than kernels and rounding tell apart."""

_LEAST_EXPLAINED: Final = 0.2
"""Share of its squared difference that a shift must explain to be one, rather than what kernels and rounding leave of
dither, blocks and faint colors."""

MOST_COMPOSED_LEVELS: Final = 3.5
"""Levels of luma and chroma by which an area of a composed tile may differ from its resampled source."""

MOST_RECORDED_LEVELS: Final = 4
"""Levels by which a frame that is composed again may differ from its fingerprint: decoders may round otherwise."""

MOST_MOVED: Final = 1.0
"""Pixels of the canvas by which a tile of the result may be beside its crop window, as a median over frames."""

LEAST_PSNR: Final = 31.0
"""Decibels: peak signal to noise ratio of a tile of the result with its resampled source, both at half size. CRF 40
keeps more; docs/verification.md has the table."""

LEAST_SSIM: Final = 0.935
"""Structural similarity of the two at an eighth of their size, in the fifth of the tile that has most structure. Grain
is no structure at that size, but what coarse coding takes is, even of a soft source, where noise stays small. CRF 40
keeps more, and CRF 51 less where PSNR doesn't tell."""

_ENOUGH: Final = f"PSNR at least {LEAST_PSNR:g} dB, SSIM at least {LEAST_SSIM:g}"

_STRUCTURE: Final = 0.2
_BLOCK: Final = 4
"""Share of a tile that has most structure, measured as variance, and samples at an eighth of its size, either way, of
the blocks in which structure and its similarity are."""

_SMOOTH: Final = 1.0
_SMOOTH_SOURCE: Final = 0.7
"""Sigma in samples at quarter size, and in pixels of the source, whichever is more: what is finer has no place that a
shift could be told from. Dither of every other pixel is moved by kernels themselves, to different sides."""

_SLOPE: Final = np.array([[1, -8, 0, 8, -1]], np.float32) / 12
"""Differences over five samples, which have the slope of all that `_SMOOTH` leaves."""

_LEAST_TILE: Final = 128
"""Pixels of the canvas that a tile must be wide and high to be measured: while tiles move, one may be a strip."""

_LEAST_TEXTURE: Final = 0.5
_LEAST_COLOR_TEXTURE: Final = 0.05
"""Mean squared gradient, in levels, that a plane must have in every direction for its place to be measured."""


Plane = TypeVar("Plane", NDArray[np.uint8], NDArray[np.float32])


def sampled_frames(video: VideoInfo, plan: TilePlan, count: int) -> list[int]:
    """Up to `count` cheap frames, and up to as many from the middle of scenes that have none of these.

    None of them shares its time with another frame of a video that was joined.
    """
    cheap = cheap_frames(video, plan, count)
    scenes = [scene for scene in plan.scenes if not any(scene.first <= each <= scene.last for each in cheap)]
    middles = evenly([(scene.first + scene.last) // 2 for scene in scenes], count)
    return found_by_time(video, [*cheap, *middles])


def cheap_frames(video: VideoInfo, plan: TilePlan, count: int) -> list[int]:
    """Up to `count` frames, spread over the video: those that can be decoded alone, as far as there are enough."""
    numbers = {pts: number for number, pts in enumerate(plan.pts.tolist())}
    keys = [numbers[pts] for pts in key_frames(video) if pts in numbers]
    if len(keys) >= min(_ENOUGH_KEY_FRAMES, count):
        return evenly(keys, count)
    return sorted({*keys, *evenly(range(plan.frame_count), min(_ENOUGH_KEY_FRAMES, count))})


@dataclass(frozen=True)
class Sample:
    """A frame of the plan that is looked at more closely: its number, its pts in the source, and what it shows."""

    number: int
    pts: int
    shown: FramePlan

    @staticmethod
    def of(plan: TilePlan, numbers: Sequence[int]) -> list[Sample]:
        """Those of a plan."""
        return [Sample(number, int(plan.pts[number]), plan.frame(number)) for number in numbers]

    def enlargement(self, slot: int) -> float:
        """Pixels of the canvas per pixel of the source in a tile."""
        return float(self.shown.tiles[slot, 2] / self.shown.crop_windows[slot, 2])


def source_frames(video: VideoInfo, samples: Sequence[Sample], *, threads: int = 1) -> Iterator[tuple[Sample, Frame]]:
    """Frames of the source, ascending. Raises UnreadableVideoError where it cannot be read.

    A decoder of several threads decodes as many frames more for each that is sought, before it gives the first.
    """
    by_number = {sample.number: sample for sample in samples}
    with VideoReader(video, threads=threads) as reader:
        for frame in reader.at(list(by_number), [sample.pts for sample in samples]):
            yield by_number[frame.index], frame


class Source:
    """What a result should show of source frames, made again.

    Args:
        video: the source.
        layout: the canvas.
    """

    def __init__(self, video: VideoInfo, layout: Layout) -> None:
        self._compositor = Compositor(layout, video.width, video.height)

    def composed(self, frame: Frame, shown: FramePlan) -> Planes:
        """What the compositor makes of a source frame: Y, U and V of the canvas, until the next call."""
        return self._compositor.compose(frame, shown)

    def tile_planes(self, frame: Frame, shown: FramePlan, slot: int, canvas: Planes) -> Planes:
        """What a tile should show of a source frame: Y, U and V at half the size of the tile's.

        What lies over it (a later tile, its border and corners, its caption) is taken from the canvas, so that it is
        left out of the comparison; a later tile has its own.

        Args:
            frame: of the source.
            shown: what is planned of it.
            slot: the tile's number in the layout.
            canvas: Y, U and V as they were composed of this frame.
        """
        width, height = shown.tiles[slot, 2:].tolist()
        window = shown.crop_windows[slot].astype(np.float64)
        y, u, v = (
            _resampled(plane, (width, height), window, scale, sited, drawn)
            for plane, scale, sited, drawn in zip(
                frame.planes, (1, 2, 2), (_LUMA, frame.siting, frame.siting), (_LUMA, LEFT, LEFT), strict=True
            )
        )
        over = self._compositor.finish.overlaid(shown, slot)
        if over:
            tile = tile_frame(canvas, shown.tiles[slot], frame.color)
            for wanted, drawn, scale in zip((y, u, v), tile.planes, (1, 2, 2), strict=True):
                halved = _halved(drawn)
                for part in over:
                    covered = _within(part, shown.tiles[slot], _SCALE * scale)
                    wanted[covered] = halved[covered]
        return y, u, v


def _within(part: Rectangle, tile: NDArray[np.integer], scale: int) -> tuple[slice, slice]:
    """Rows and columns of a tile that a rectangle of the canvas touches, in samples of `scale` pixels."""
    rows, columns = (
        slice(
            max(part[axis] - int(tile[axis]), 0) // scale, -(-(part[axis] + part[axis + 2] - int(tile[axis])) // scale)
        )
        for axis in (1, 0)
    )
    return rows, columns


def _resampled(
    plane: NDArray[np.uint8],
    tile: tuple[int, int],
    window: NDArray[np.float64],
    scale: int,
    sited: Siting,
    drawn: Siting,
) -> NDArray[np.uint8]:
    """A tile's plane at half its size, by a bilinear warp.

    Args:
        plane: of the source.
        tile: width and height of the tile.
        window: center x, center y, width and height in luma samples of the source.
        scale: luma samples per sample of the plane.
        sited: where the plane's samples are in the source.
        drawn: where they are in the tile.
    """
    size = tile[0] // (_SCALE * scale), tile[1] // (_SCALE * scale)
    steps, firsts = [], []
    sides = zip(window[:2], window[2:], tile, sited, drawn, strict=True)
    for center, length, side, source_first, tile_first in sides:
        step = length / side
        # One sample here stands for two of the tile's plane, and lies between them.
        place = center - length / 2 + (scale * (_SCALE - 1) / 2 + 0.5 + tile_first) * step
        steps.append(_SCALE * step)
        firsts.append((place - 0.5 - source_first) / scale)
    while min(steps) >= _SCALE:
        rows, columns = plane.shape[0] // 2, plane.shape[1] // 2
        whole = plane[: 2 * rows, : 2 * columns]
        plane = np.asarray(cv2.resize(whole, (columns, rows), interpolation=cv2.INTER_AREA), np.uint8)
        steps, firsts = [step / 2 for step in steps], [(first - 0.5) / 2 for first in firsts]
    matrix = np.array([[steps[0], 0, firsts[0]], [0, steps[1], firsts[1]]])
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    return np.asarray(cv2.warpAffine(plane, matrix, size, flags=flags, borderMode=cv2.BORDER_REPLICATE), np.uint8)


def tile_frame(canvas: Planes, tile: NDArray[np.integer], color: ColorInfo) -> Frame:
    """One tile of a canvas, (4,) x, y, width, height, as a frame of its own, which shares the canvas' memory."""
    x, y, width, height = tile.tolist()
    planes = []
    for plane, scale in zip(canvas, (1, 2, 2), strict=True):
        rows = slice(y // scale, (y + height) // scale)
        columns = slice(x // scale, (x + width) // scale)
        planes.append(plane[rows, columns])
    return Frame(0, 0, 0.0, (planes[0], planes[1], planes[2]), color)


def evenly(values: Sequence[int], count: int) -> list[int]:
    """Up to `count` of `values`, evenly spread, the first and the last among them."""
    if len(values) <= count:
        return list(values)
    return [values[round(place)] for place in np.linspace(0, len(values) - 1, count)]


@dataclass(frozen=True)
class ComposedTile:
    """How a tile of a composed frame differs from its resampled source.

    Attributes:
        wanted: luma of the resampled source, at half size.
        place: (4,) x, y, width and height on the canvas.
        enlargement: pixels of the canvas per pixel of the source.
        aside: pixels of the canvas that a quarter of the tile is clearly beside its crop window.
        color_aside: the same of the whole tile's colors, to the right and below.
        luma, color: levels by which an area differs in luma and in chroma.
    """

    wanted: NDArray[np.uint8]
    place: NDArray[np.integer]
    enlargement: float
    aside: float
    color_aside: tuple[float, float]
    luma: float
    color: float

    @property
    def is_aside(self) -> bool:
        """Whether the tile is farther aside than kernels and rounding explain."""
        return self.aside > max(MOST_ASIDE, MOST_SOURCE_ASIDE * self.enlargement)


@dataclass(frozen=True)
class _Shown:
    """How a frame of the result differs from its resampled source.

    Attributes:
        time: when it is shown, in seconds.
        aside: pixels of the canvas that the tile is to the right and below its place.
        similarity: SSIM of luma at an eighth of its size, in the fifth that has most structure.
        noise: mean square of the difference of luma at half size, in squared levels.
    """

    time: float
    aside: tuple[float, float]
    similarity: float
    noise: float


def composed_tiles(source: Source, sample: Sample, frame: Frame, canvas: Planes) -> dict[int, ComposedTile]:
    """Compare the tiles of a canvas with the source frame that it was composed of: by slot, those large enough.

    Args:
        source: resamples frames.
        sample: what the plan has.
        frame: of the source.
        canvas: Y, U and V as they were composed of it.
    """
    places = sample.shown.tiles
    return {
        slot: _composed_tile(
            tile_frame(canvas, place, frame.color),
            source.tile_planes(frame, sample.shown, slot, canvas),
            place,
            sample.enlargement(slot),
        )
        for slot, place in enumerate(places)
        if place[2:].min() >= _LEAST_TILE
    }


def _composed_tile(tile: Frame, wanted: Planes, place: NDArray[np.integer], enlargement: float) -> ComposedTile:
    luma, *chroma = [(_quarter(_halved(one)), _quarter(other)) for one, other in zip(tile.planes, wanted, strict=True)]
    return ComposedTile(
        wanted[0],
        place,
        enlargement,
        aside=2 * _SCALE * _farthest_quarter(*luma, enlargement / (2 * _SCALE)),
        color_aside=_shift(chroma, 4 * _SCALE, _LEAST_COLOR_TEXTURE, _LEAST_EXPLAINED),
        luma=_levels(*luma),
        color=max(_levels(*pair) for pair in chroma),
    )


def shown_tile(tile: Frame) -> NDArray[np.uint8]:
    """What a CropCheck takes of a tile of the result: its luma at half size."""
    return _halved(tile.planes[0])


@dataclass(frozen=True)
class _Learned:
    """A composed tile with the number of its frame.

    Attributes:
        recorded: levels by which its fingerprint differs from that which was left when the result was made.
    """

    number: int
    tile: ComposedTile
    recorded: int


class CropCheck:
    """Holds some frames of a tile against what the plan makes of the source: as they were composed, and as decoded.

    The first must fit to a pixel, whatever the encoder does. The second tells how much the encoder has left.

    Args:
        name: whose tile it is, for messages.
        parts: how the fingerprints of the canvas are taken.
        composed: fingerprints of all composed frames, (frames, samples) uint8.
        times: when each composed frame is shown, in seconds.
    """

    def __init__(
        self,
        name: str,
        parts: Sequence[RegionFingerprint],
        composed: NDArray[np.uint8],
        times: Sequence[float],
    ) -> None:
        self._name = name
        self._parts = parts
        self._recorded = composed
        self._times = times
        self._learned: dict[int, _Learned] = {}
        self._shown: dict[int, _Shown] = {}

    def learn(self, number: int, tile: ComposedTile, fingerprint: NDArray[np.uint8]) -> None:
        """Take a composed tile: its frame's number in the plan, and the fingerprint of the frame."""
        recorded = max(
            self._recorded_levels(number, part, fingerprint) for part in self._parts if _meet(part, tile.place)
        )
        self._learned[number] = _Learned(number, tile, recorded)

    def _recorded_levels(self, number: int, part: RegionFingerprint, fingerprint: NDArray[np.uint8]) -> int:
        """Levels by which a region differs from the fingerprint that was left of it; detail is left out."""
        compared = slice(part.offset, part.offset + part.chroma.stop)
        return int(cv2.absdiff(fingerprint[compared], np.asarray(self._recorded[number, compared])).max())

    def look(self, number: int, time: float, tile: NDArray[np.uint8]) -> None:
        """Take a tile of the result, as `shown_tile` gives it: its frame's number in the plan, and time in seconds."""
        learned = self._learned.get(number)
        if learned is not None:
            self._shown[number] = _shown(time, tile, learned.tile.wanted)

    def findings(self) -> Iterator[Finding]:
        """Whether the right place is shown, and how much of it is left: nothing of a tile that is hardly ever drawn."""
        if self._learned:
            shown = list(self._shown.values())
            yield self._place_finding(shown)
            yield self._quality_finding(shown)

    def _place_finding(self, shown: Sequence[_Shown]) -> Finding:
        name, learned = self._name, list(self._learned.values())
        aside = max(learned, key=lambda frame: (frame.tile.is_aside, frame.tile.aside))
        luma = max(learned, key=lambda frame: frame.tile.luma)
        color = max(learned, key=lambda frame: frame.tile.color)
        recorded = max(learned, key=lambda frame: frame.recorded)
        colors_moved = _usual([frame.tile.color_aside for frame in learned])
        enlargement = max(frame.tile.enlargement for frame in learned)
        moved = _usual([frame.aside for frame in shown])
        message = ""
        if luma.tile.luma > MOST_COMPOSED_LEVELS:
            message = (
                f"Tile {name} was not composed of what the plan says at {self._clock(luma)}: luma differs by up to "
                f"{luma.tile.luma:.0f} levels."
            )
        elif color.tile.color > MOST_COMPOSED_LEVELS:
            message = (
                f"Tile {name} was not composed in the colors of the source at {self._clock(color)}: they differ by up "
                f"to {color.tile.color:.0f} levels."
            )
        elif aside.tile.is_aside:
            message = (
                f"Tile {name} was composed {aside.tile.aside:.1f} pixels beside its crop window at "
                f"{self._clock(aside)}."
            )
        elif colors_moved > max(MOST_COLORS_ASIDE, MOST_SOURCE_COLORS_ASIDE * enlargement):
            message = (
                f"The colors of tile {name} were composed {colors_moved:.1f} pixels beside its crop window, from "
                f"{self._clock(learned[0])} on."
            )
        elif recorded.recorded > MOST_RECORDED_LEVELS:
            message = (
                f"Tile {name} at {self._clock(recorded)} is not the one that was composed: its fingerprint differs by "
                f"{recorded.recorded} levels."
            )
        elif moved > MOST_MOVED:
            message = f"Tile {name} is {moved:.1f} pixels beside its crop window, from {clock(shown[0].time)} on."
        return Finding(
            check=Check.CROP,
            passed=bool(shown) and not message,
            value=round(max(aside.tile.aside, moved), 3),
            expected=f"composed within {MOST_ASIDE:g} pixels, and shown within {MOST_MOVED:g}",
            message=message
            or f"Tile {name} was composed as the plan says in {len(learned)} frames sampled: within "
            f"{aside.tile.aside:.2f} pixels, {luma.tile.luma:.1f} levels of luma and {color.tile.color:.1f} of chroma.",
        )

    def _quality_finding(self, shown: Sequence[_Shown]) -> Finding:
        name = self._name
        if not shown:
            return Finding(
                check=Check.QUALITY, passed=False, value=None, expected=_ENOUGH, message=f"Tile {name} was not sampled."
            )
        psnr = 10 * math.log10(255**2 / max(float(np.mean([frame.noise for frame in shown])), 0.01))
        similarity = float(np.mean([frame.similarity for frame in shown]))
        enough = psnr >= LEAST_PSNR and similarity >= LEAST_SSIM
        worst = max(shown, key=lambda frame: frame.noise)
        left = f"Tile {name} has a PSNR of {psnr:.1f} dB and an SSIM of {similarity:.3f} with its source"
        return Finding(
            check=Check.QUALITY,
            passed=enough,
            value=round(psnr, 2),
            expected=_ENOUGH,
            message=(
                f"{left} in {len(shown)} frames sampled; the worst is at {clock(worst.time)}."
                if enough
                else f"{left}, the worst at {clock(worst.time)}: too little is left. If all else is right, choose a "
                "better quality."
            ),
        )

    def _clock(self, frame: _Learned) -> str:
        return clock(self._times[frame.number])


def _meet(part: RegionFingerprint, tile: NDArray[np.integer]) -> bool:
    """Whether some of a tile lies in a region."""
    region = part.region
    x, y, width, height = tile.tolist()
    aside = x >= region.x + region.width or x + width <= region.x
    return not aside and bool(y < region.y + region.height and region.y < y + height)


def _halved(plane: Plane) -> Plane:
    rows, columns = plane.shape[0] // 2, plane.shape[1] // 2
    # Without the last of an odd number of samples, which would change the scale.
    return cast(Plane, cv2.resize(plane[: 2 * rows, : 2 * columns], (columns, rows), interpolation=cv2.INTER_AREA))


def _quarter(half: NDArray[np.uint8]) -> NDArray[np.float32]:
    return _halved(half.astype(np.float32))


def _levels(one: NDArray[np.float32], other: NDArray[np.float32]) -> float:
    """By how many levels an area of one plane differs from that of another, at the most."""
    return float(np.abs(cv2.blur(one - other, (_AREA, _AREA))).max())


def _shown(time: float, found: NDArray[np.uint8], wanted: NDArray[np.uint8]) -> _Shown:
    one, other = found.astype(np.float32), wanted.astype(np.float32)
    quarters = _halved(one), _halved(other)
    aside = _shift([quarters], 2 * _SCALE, _LEAST_TEXTURE)
    left, wanted_left = map(_halved, quarters)
    variance = _block_means(wanted_left * wanted_left) - _block_means(wanted_left) ** 2
    least = round((1 - _STRUCTURE) * variance.size)
    structured = variance >= np.partition(variance.ravel(), least)[least]
    similarity = float(ssim_map(left, wanted_left, _block_means)[structured].mean())
    return _Shown(time, aside, similarity, float(np.square(one - other).mean()))


def _block_means(plane: NDArray[np.float32]) -> NDArray[np.float32]:
    rows, columns = (length // _BLOCK * _BLOCK for length in plane.shape)
    return _halved(_halved(plane[:rows, :columns]))


def _usual(shifts: Sequence[tuple[float, float]]) -> float:
    """Pixels that frames have in common: an encoder moves what is faint by some, now here, now there."""
    return float(np.abs(np.median(shifts or [(0.0, 0.0)], axis=0)).max())


def _farthest_quarter(found: NDArray[np.float32], wanted: NDArray[np.float32], enlargement: float) -> float:
    """How many samples a quarter of a plane is clearly beside where it should be, at the most.

    Quarters show a wrong scale too, which moves the whole to no side. `enlargement` is in samples per pixel of the
    source.
    """
    smooth = max(_SMOOTH, _SMOOTH_SOURCE * enlargement)
    return float(np.abs(_shifts([(found, wanted)], 2, _LEAST_TEXTURE, _LEAST_EXPLAINED, smooth)).max())


def _shift(
    pairs: Sequence[tuple[NDArray[np.float32], NDArray[np.float32]]],
    pixels: int,
    least_texture: float,
    least_explained: float = 0.0,
) -> tuple[float, float]:
    """How far to the right and below some planes are of where they should be; `pixels` are in each of their samples."""
    right, down = (pixels * _shifts(pairs, 1, least_texture, least_explained)[0]).tolist()
    return right, down


def _shifts(
    pairs: Sequence[tuple[NDArray[np.float32], NDArray[np.float32]]],
    parts: int,
    least_texture: float,
    least_explained: float,
    smooth: float = _SMOOTH,
) -> NDArray[np.float64]:
    """Shifts of parts x parts parts of some planes together, x and y in samples: (parts * parts, 2).

    Least squares over gradients (Lucas and Kanade, 1981). A part is at 0 that has less texture in some direction, or
    whose shift explains less of its squared difference.
    """
    shifts = np.zeros((parts * parts, 2))
    normal, moment, squared = np.zeros((parts * parts, 2, 2)), np.zeros((parts * parts, 2)), np.zeros(parts * parts)
    for found, wanted in pairs:
        one, other = (np.asarray(cv2.GaussianBlur(each, (0, 0), smooth), np.float32) for each in (found, wanted))
        right, down = (np.asarray(cv2.filter2D(other, -1, slope), np.float32) for slope in (_SLOPE, _SLOPE.T))
        difference = np.asarray(other - one, np.float32)
        for number, (row, column) in enumerate(np.ndindex(parts, parts)):
            part = tuple(
                slice(length * place // parts, length * (place + 1) // parts)
                for length, place in zip(difference.shape, (row, column), strict=True)
            )
            x, y, change = right[part], down[part], difference[part] - difference[part].mean()
            across = np.mean(x * y)
            normal[number] += [[np.mean(x * x), across], [across, np.mean(y * y)]]
            moment[number] += [np.mean(x * change), np.mean(y * change)]
            squared[number] += np.mean(change * change)
    told = np.linalg.eigvalsh(normal)[:, 0] >= least_texture
    shifts[told] = np.linalg.solve(normal[told], moment[told][:, :, None])[:, :, 0]
    shifts[np.sum(shifts * moment, axis=1) < least_explained * squared] = 0
    return shifts
