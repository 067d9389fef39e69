"""Every decoded frame against the fingerprint of the frame that was composed for its place, and of those around it.

Belongs here: what a difference between fingerprints means. The one idea: if frame 100 looks like what was composed for
frame 97, it is late or frozen, however good it looks; if it looks like none of them, it is damaged. So content is tied
to time, which holds lip sync from the side of the video. What coding alone does to them is in docs/verification.md.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from dualface_core.media.color import FULL_RANGE, ColorInfo
from dualface_core.verification.findings import Check, Finding, clock
from dualface_core.verification.fingerprints import RegionFingerprint, detail

_BLOCK: Final = 32
"""Frames that are compared at once."""

REACH_SECONDS: Final = 1.25
"""How far before and after its own place a frame is searched for."""

_MOST_REACH: Final = 90
"""Frames; the same for very high frame rates."""

BLACK: Final = 12
"""Levels above black that the brightest spot of a black region may have; a spot of one that isn't has twice that."""

MOST_DIFFERENT: Final = 24.0
"""Levels by which a cell of luma may differ from what was composed. Coding at CRF 40 differs by up to 16."""

MOST_BRIGHTER: Final = 6.0
"""Levels by which a region as a whole may be brighter or darker."""

MOST_COLORED: Final = 8.0
MOST_COLORED_MEAN: Final = 3.5
"""Levels by which a cell of chroma may differ, and the region as a whole. Coding at CRF 40 differs by up to 3 in a
cell."""

LEAST_SSIM: Final = 0.85
"""Structural similarity of the luma of fingerprints."""

LEAST_DETAIL: Final = 0.5
MOST_DETAIL: Final = 2.0
"""Detail of a region by that of what was composed."""

_FAINT_DETAIL: Final = 8.0
_FAINT_NOISE: Final = 100.0
"""Detail, in squared levels, that coding may take from a region that has nearly none, and add to it."""

_NOTICEABLE_MOTION: Final = 0.3
"""Levels (root mean square) that two fingerprints must differ for one to be told from the other."""

_ROUNDING: Final = 1.5
"""Levels by which a sample of them must differ: one level may be rounding's, which the least noise turns around."""

_MOTION_TO_NOISE: Final = 1.5
"""How often the power of that difference must be that of coding noise, which the best matches around tell."""

_NEARER: Final = 0.75
"""How far a frame must have come from its own fingerprint to another: 0 is its own, 1 the other."""

_MUCH_NEARER: Final = 0.5
"""Share of the power of the difference from its own that may be left to the other: damage is near to none."""

_GAP: Final = 0.5
"""Seconds within which frames at a wrong time belong to one stretch: between them little moves."""

STILL: Final = 2
"""Levels by which a spot may change in a composition that counts as frozen."""

STILL_SOURCE_SECONDS: Final = 10.0
"""A source that is frozen for longer is worth a warning."""

_SSIM_WINDOW: Final = 7


@dataclass
class _Fault:
    """The frames that have one kind of fault: the first of them, and sums over all.

    Attributes:
        first: number of the first frame.
        begin: its time in seconds.
        frames: how many frames have it.
        seconds: how long they are shown.
        worst: the greatest value that came with one.
    """

    first: int = -1
    begin: float = 0.0
    frames: int = 0
    seconds: float = 0.0
    worst: float = 0.0

    def add(self, number: int, time: float, end: float, value: float = 0.0, *, frames: int = 1) -> None:
        """One frame, or a stretch of them from `number` on, shown from `time` to `end`, in seconds."""
        if not self.frames:
            self.first, self.begin = number, time
        self.frames += frames
        self.seconds += end - time
        self.worst = max(self.worst, value)

    @property
    def where(self) -> str:
        """From when on, for a sentence."""
        return f"from {clock(self.begin)} (frame {self.first}) on"


@dataclass
class _Displaced:
    """A stretch of frames that show what was composed for others; it may have gaps where little moves."""

    first: int
    begin: float
    shown: int
    last: int = 0
    end: float = 0.0
    last_shown: int = 0
    frames: int = 0
    fingerprint: NDArray[np.uint8] = field(default_factory=lambda: np.empty(0, np.uint8))
    """Of the last frame."""
    late: float = 0.0
    """Sum over frames of how many seconds each is late."""

    @property
    def frozen(self) -> bool:
        """Whether it is one frame that stays, and not a sequence that is late."""
        if self.frames == 1:
            return self.shown == self.first - 1
        return abs(self.last_shown - self.shown) <= (self.last - self.first) / 2 and self.shown < self.first


@dataclass(frozen=True)
class _Difference:
    """How a decoded frame differs from what was composed: levels, SSIM, levels of chroma, and detail as a factor."""

    luma: float
    brightness: float
    ssim: float
    color: float
    mean_color: float
    detail: float
    black: bool

    @property
    def too_great(self) -> bool:
        """Whether its luma is not that of the composed frame."""
        return self.luma > MOST_DIFFERENT or self.brightness > MOST_BRIGHTER or self.ssim < LEAST_SSIM


@dataclass(frozen=True)
class _Shown:
    """A frame of the result that is yet to be compared: its number in the plan, its time, and its fingerprint."""

    number: int
    time: float
    fingerprint: NDArray[np.uint8]


class RegionComparison:
    """Compares one region of the canvas, in all frames, with what was composed.

    Args:
        part: which region, and how its fingerprint is taken.
        composed: fingerprints of all composed frames, (frames, samples) uint8 as `read_fingerprints` gives them.
        times: when each composed frame is shown, and when the last one ends, in seconds.
        color: color tags of the result; they say how low black is.
    """

    def __init__(
        self, part: RegionFingerprint, composed: NDArray[np.uint8], times: Sequence[float], color: ColorInfo
    ) -> None:
        self._part = part
        self._composed = np.asarray(composed)[:, part.offset : part.offset + part.size]
        self._times = np.array(times)
        self._dark = BLACK + (0 if color.range == FULL_RANGE else 16)
        rate = len(composed) / max(times[-1] - times[0], 1e-3)
        self._reach = min(_MOST_REACH, int(np.ceil(REACH_SECONDS * rate)))
        self._waiting: list[_Shown] = []
        self._black = _Fault()
        self._frozen = _Fault()
        self._late = _Fault()
        self._different = _Fault()
        self._colored = _Fault()
        self._blurred = _Fault()
        self._still_since = 0.0
        self._longest_still = 0.0
        self._anchor: tuple[NDArray[np.uint8], NDArray[np.uint8]] | None = None
        self._displaced: _Displaced | None = None
        self._lateness = 0.0
        self._compared = 0
        self._least_ssim = 1.0
        self._total_ssim = 0.0
        self._most_colored = 0.0
        self._least_detail = 1.0

    def look(self, number: int, time: float, fingerprint: NDArray[np.uint8]) -> None:
        """Take the next frame: its number in the plan, its time in seconds, and the fingerprint of all its regions."""
        if self._waiting and number <= self._waiting[-1].number:
            return  # two frames at the time of one, which is a finding already
        offset = self._part.offset
        self._waiting.append(_Shown(number, time, fingerprint[offset : offset + self._part.size]))
        if len(self._waiting) == _BLOCK:
            self._compare(self._waiting)
            self._waiting = []

    def finish(self) -> None:
        """Compare what is left."""
        if self._waiting:
            self._compare(self._waiting)
            self._waiting = []
        self._end_displaced()

    def _compare(self, block: Sequence[_Shown]) -> None:
        numbers = np.array([frame.number for frame in block])
        first = max(0, int(numbers[0]) - self._reach)
        around = self._composed[first : int(numbers[-1]) + self._reach + 1].astype(np.float32)
        shown = np.stack([frame.fingerprint for frame in block]).astype(np.float32)
        own = around[numbers - first]
        compared = self._part.chroma.stop
        others = _displaced(shown[:, :compared], around[:, :compared], numbers - first, self._reach)
        for frame, other, difference in zip(block, others, self._differences(shown, own), strict=True):
            end = float(self._times[frame.number + 1])
            self._least_ssim = min(self._least_ssim, difference.ssim)
            self._total_ssim += difference.ssim
            self._most_colored = max(self._most_colored, difference.color)
            self._least_detail = min(self._least_detail, difference.detail)
            self._compared += 1
            if self._displaced is not None and self._stays(frame):
                self._displace(frame, end, self._displaced.last_shown)
            elif other >= 0 and not difference.black:
                self._displace(frame, end, int(other) + first)
            else:
                self._judge(frame, end, difference)

    def _differences(self, shown: NDArray[np.float32], own: NDArray[np.float32]) -> list[_Difference]:
        """How each frame differs from its own fingerprint; both (frames, samples)."""
        chroma = self._part.chroma
        lumas = self._luma(shown), self._luma(own)
        luma = lumas[0] - lumas[1]
        colors = shown[:, chroma] - own[:, chroma]
        details = detail(shown[:, chroma.stop]), detail(own[:, chroma.stop])
        floor = np.where(details[0] < details[1], _FAINT_DETAIL, _FAINT_NOISE)
        brightest = lumas[0].max(axis=(1, 2)), lumas[1].max(axis=(1, 2))
        columns = (
            np.abs(luma).max(axis=(1, 2)),
            np.abs(luma.mean(axis=(1, 2))),
            ssim(*lumas),
            np.abs(colors).max(axis=1),
            np.abs(colors.reshape(len(shown), 2, -1).mean(axis=2)).max(axis=1),
            (details[0] + floor) / (details[1] + floor),
            (brightest[0] <= self._dark) & (brightest[1] > self._dark + BLACK),
        )
        return [_Difference(*values) for values in zip(*(column.tolist() for column in columns), strict=True)]

    def _judge(self, frame: _Shown, end: float, difference: _Difference) -> None:
        """Note what is wrong with a frame that is at its own place."""
        if self._displaced is not None and frame.time - self._displaced.end > _GAP:
            self._end_displaced()
        if difference.black:
            self._black.add(frame.number, frame.time, end)
        elif difference.too_great:
            self._different.add(frame.number, frame.time, end, difference.luma)
        elif not LEAST_DETAIL <= difference.detail <= MOST_DETAIL:
            self._blurred.add(frame.number, frame.time, end, difference.detail)
        if difference.color > MOST_COLORED or difference.mean_color > MOST_COLORED_MEAN:
            self._colored.add(frame.number, frame.time, end, difference.color)
        self._watch_still(frame, end)

    def _luma(self, samples: NDArray[np.float32]) -> NDArray[np.float32]:
        return samples[:, : self._part.chroma.start].reshape(len(samples), *self._part.luma_shape)

    def _stays(self, frame: _Shown) -> bool:
        """Whether a frame goes on with one that stayed, for longer than frames are searched for."""
        run = self._displaced
        if run is None or run.last != frame.number - 1 or not run.frozen:
            return False
        own = self._composed[frame.number].astype(np.float32)
        moved = float(np.square(frame.fingerprint - own).mean()) > _NOTICEABLE_MOTION**2
        return moved and cv2.norm(frame.fingerprint, run.fingerprint, cv2.NORM_INF) <= STILL

    def _displace(self, frame: _Shown, end: float, shown: int) -> None:
        run = self._displaced = self._displaced or _Displaced(frame.number, frame.time, shown)
        run.last, run.end, run.last_shown, run.fingerprint = frame.number, end, shown, frame.fingerprint
        run.frames += 1
        run.late += frame.time - float(self._times[shown])

    def _end_displaced(self) -> None:
        run, self._displaced = self._displaced, None
        if run is None:
            return
        if run.frozen:
            # It began with the frame that stays, though it shows only once something should have moved.
            first = min(run.first, run.shown + 1)
            self._frozen.add(first, float(self._times[first]), run.end, frames=run.last - first + 1)
            return
        late = run.late / run.frames
        if not self._late.frames:
            self._lateness = late
        self._late.add(run.first, run.begin, run.end, abs(late), frames=run.frames)

    def _watch_still(self, frame: _Shown, end: float) -> None:
        """Note for how long composition and result both are frozen, as the source must be."""
        luma = self._part.chroma.start
        pair = frame.fingerprint[:luma], self._composed[frame.number, :luma]
        if self._anchor is None or any(
            cv2.norm(now, then, cv2.NORM_INF) > STILL for now, then in zip(pair, self._anchor, strict=True)
        ):
            self._anchor, self._still_since = pair, frame.time
        self._longest_still = max(self._longest_still, end - self._still_since)

    def findings(self) -> Iterator[Finding]:
        """What was found, one finding for each kind of fault."""
        name = self._part.region.name
        fault = self._black
        yield Finding(
            check=Check.BLACK,
            passed=not fault.frames,
            value=round(fault.seconds, 3),
            expected="0 s",
            message=(
                f"The {name} is black for {fault.seconds:.3g} s, {fault.where}, where the source is not."
                if fault.frames
                else f"The {name} is never black where the source isn't."
            ),
        )
        fault = self._frozen
        yield Finding(
            check=Check.FROZEN,
            passed=not fault.frames,
            value=round(fault.seconds, 3),
            expected="0 s",
            message=(
                f"The {name} is frozen for {fault.seconds:.3g} s, {fault.where}, while the source moves."
                if fault.frames
                else f"The {name} is never frozen while the source moves."
            ),
        )
        if self._longest_still > STILL_SOURCE_SECONDS:
            yield Finding(
                check=Check.FROZEN,
                passed=False,
                severity="warning",
                value=round(self._longest_still, 3),
                expected=f"at most {STILL_SOURCE_SECONDS:g} s",
                message=f"The {name} is frozen for {self._longest_still:.1f} s, as the source itself is.",
            )
        yield self._time_finding(name)
        yield self._similarity_finding(name)
        yield self._color_finding(name)
        yield self._detail_finding(name)

    def _color_finding(self, name: str) -> Finding:
        fault = self._colored
        return Finding(
            check=Check.COLOR,
            passed=not fault.frames,
            value=round(self._most_colored, 2),
            expected=f"at most {MOST_COLORED:g} levels",
            message=(
                f"The colors of the {name} are wrong in {fault.frames} frames, {fault.where}: up to "
                f"{fault.worst:.1f} levels from what was composed."
                if fault.frames
                else f"The colors of the {name} are within {self._most_colored:.1f} levels of what was composed."
            ),
        )

    def _detail_finding(self, name: str) -> Finding:
        fault = self._blurred
        return Finding(
            check=Check.DETAIL,
            passed=not fault.frames,
            value=round(self._least_detail, 3),
            expected=f"{LEAST_DETAIL:g} to {MOST_DETAIL:g}",
            message=(
                f"The {name} is {'noisy' if fault.worst > MOST_DETAIL else 'blurred'} in {fault.frames} frames, "
                f"{fault.where}."
                if fault.frames
                else f"The {name} keeps at least {self._least_detail:.0%} of the detail that was composed."
            ),
        )

    def _time_finding(self, name: str) -> Finding:
        fault = self._late
        message = f"The {name} shows every frame at its own time."
        if fault.frames:
            message = (
                f"The {name} shows {fault.frames} frames at a wrong time, {fault.where}: {abs(self._lateness):.2f} s "
                f"too {'late' if self._lateness > 0 else 'early'}."
            )
        return Finding(
            check=Check.LIP_SYNC, passed=not fault.frames, value=round(fault.worst, 3), expected="0 s", message=message
        )

    def _similarity_finding(self, name: str) -> Finding:
        fault = self._different
        mean = self._total_ssim / self._compared if self._compared else 0.0
        message = f"The {name} shows what was composed in all of {self._compared} frames: mean SSIM {mean:.3f}."
        if fault.frames:
            message = (
                f"The {name} does not show what was composed in {fault.frames} of {self._compared} frames, "
                f"{fault.where}: by up to {fault.worst:.0f} levels."
            )
        return Finding(
            check=Check.SSIM,
            passed=self._compared > 0 and not fault.frames,
            value=round(self._least_ssim, 3),
            expected=f"at least {LEAST_SSIM:g}",
            message=message,
        )


def _displaced(
    shown: NDArray[np.float32], around: NDArray[np.float32], places: NDArray[np.int64], reach: int
) -> NDArray[np.int64]:
    """Which other fingerprint each frame shows: its row in `around`, or -1 for its own.

    Args:
        shown: (frames, samples), decoded.
        around: (rows, samples), composed.
        places: (frames,) the row of each frame's own fingerprint.
        reach: rows before and after that are searched.
    """
    samples = shown.shape[1]
    center = around[len(around) // 2]  # of small numbers the differences of products are exact
    shown, around = shown - center, around - center
    product = shown @ around.T
    squares = [np.einsum("ij,ij->i", each, each) for each in (shown, around)]
    distance = squares[0][:, None] + squares[1] - 2 * product
    distance = np.maximum(distance, 0) / samples
    rows = np.arange(len(around))
    distance = np.where(np.abs(rows - places[:, None]) <= reach, distance, np.inf)
    best = distance.argmin(axis=1)
    frames = np.arange(len(shown))
    nearest, ours = distance[frames, best], distance[frames, places]
    changes = np.abs(around[best] - around[places])
    moved = np.square(changes).mean(axis=1)
    noise = max(float(np.median(nearest)), 1 / 12)
    with np.errstate(divide="ignore", invalid="ignore"):
        way = (ours + moved - nearest) / (2 * moved)
    clear = (moved > max(_NOTICEABLE_MOTION**2, _MOTION_TO_NOISE * noise)) & (changes.max(axis=1) > _ROUNDING)
    return np.where(clear & (way > _NEARER) & (nearest < _MUCH_NEARER * ours), best, -1)


def ssim(one: NDArray[np.float32], other: NDArray[np.float32]) -> NDArray[np.float64]:
    """Structural similarity of pairs of luma pictures (pairs, rows, columns): 1 if equal, about 0 if unrelated."""
    # All at once, as if they were channels of one picture.
    channels = [np.ascontiguousarray(np.moveaxis(pictures, 0, -1)) for pictures in (one, other)]
    similarity = ssim_map(channels[0], channels[1], _means)
    return np.asarray(np.moveaxis(similarity, -1, 0).mean(axis=(1, 2)), np.float64)


def _means(channels: NDArray[np.float32]) -> NDArray[np.float32]:
    """Over a flat window: (rows, columns, channels)."""
    return np.asarray(cv2.blur(channels, (_SSIM_WINDOW, _SSIM_WINDOW)), np.float32).reshape(channels.shape)


def ssim_map(
    one: NDArray[np.float32],
    other: NDArray[np.float32],
    means: Callable[[NDArray[np.float32]], NDArray[np.float32]],
) -> NDArray[np.float32]:
    """The structural similarity in each window of two luma pictures, or of pairs of them.

    Wang, Bovik, Sheikh and Simoncelli, "Image quality assessment: from error visibility to structural similarity",
    2004, with a flat window.

    Args:
        one: luma, of any number of pictures.
        other: the same of those that they are compared with.
        means: gives the mean of each window of such pictures.
    """
    mean_one, mean_other = means(one), means(other)
    variance_one = means(one * one) - mean_one**2
    variance_other = means(other * other) - mean_other**2
    covariance = means(one * other) - mean_one * mean_other
    small, large = (0.01 * 255) ** 2, (0.03 * 255) ** 2
    structure = (2 * covariance + large) / (variance_one + variance_other + large)
    brightness = (2 * mean_one * mean_other + small) / (mean_one**2 + mean_other**2 + small)
    return np.asarray(structure * brightness, np.float32)
