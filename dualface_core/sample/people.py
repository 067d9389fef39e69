"""The two people of the samples, cut out of their clips: a moving head on shoulders, with soft edges.

Belongs here: cutting out, per clip, and playing a clip back and forth without a jump. The one idea: each clip has a
background that is easy to tell from the person (a bright door behind the man; behind the woman a wall that never
moves), so a key is enough and no model is asked. Pixel numbers are read off the 640x360 pictures of these two clips.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from bisect import bisect_right
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache, lru_cache
from pathlib import Path
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from dualface_core.media.frames import Frame, Planes
from dualface_core.media.probe import probe
from dualface_core.media.reader import VideoReader
from dualface_core.sample.color import bgr_to_planes

FloatImage = NDArray[np.float32]
ByteImage = NDArray[np.uint8]

_WIDTH: Final = 640
_HEIGHT: Final = 360
_GRAY: Final = np.array((0.0722, 0.7152, 0.2126), np.float32)
"""Weights of B, G and R in BT.709's luma."""


@dataclass(frozen=True)
class Sprite:
    """A person at one moment.

    Attributes:
        planes: Y, U and V in BT.709, limited range.
        alpha: opacity from 0 to 1, of the size of Y.
    """

    planes: Planes
    alpha: FloatImage


@dataclass(frozen=True)
class Head:
    """Where the head usually is in a sprite, in pixels: its center, and its height from hair to chin."""

    x: float
    y: float
    height: float


class Person(ABC):
    """A clip of one person, played back and forth.

    Its frames are kept in memory, 0.35 MB each, since it is played backwards too.

    Args:
        clip: the video.
        last: number of the last frame to use.
        start: the second of the clip that is shown at time 0.
    """

    head: Head

    def __init__(self, clip: Path, *, last: int, start: float) -> None:
        with VideoReader(probe(clip)) as reader:
            self.frames: list[Frame] = list(reader)[: last + 1]
        self._times = [frame.time for frame in self.frames]
        self._start = start
        self._sprite: Callable[[int], Sprite] = lru_cache(maxsize=4)(self._make_sprite)

    def at(self, time: float) -> Sprite:
        """What the person looks like at `time`, in seconds."""
        length = self._times[-1]
        position = (time + self._start) % (2 * length)
        return self._sprite(bisect_right(self._times, min(position, 2 * length - position)) - 1)

    def _make_sprite(self, index: int) -> Sprite:
        bgr, alpha = self._cut_out(index)
        return Sprite(bgr_to_planes(bgr), alpha)

    @abstractmethod
    def _cut_out(self, index: int) -> tuple[FloatImage, FloatImage]:
        """The sprite of one frame: BGR from 0 to 255, and opacity. Both sides are even."""


class Man(Person):
    """A man before a bright door, with short hair and a black T-shirt: whatever is dark or red is him.

    The shirt is cut off by the frame; its last row is drawn on downwards.
    """

    head = Head(x=240, y=160, height=270)
    _LEFT: Final = 60
    _RIGHT: Final = 520
    _TOP: Final = 12
    _ROWS_ADDED: Final = 190
    _SHOULDERS: Final = 250
    _WALL: Final = 60
    """Above his shoulders, a wall that is as red as skin shows on the left."""
    _SATURATION: Final = 0.72
    """He is more colorful than she is; in one room that looks odd."""
    _DARKER_THAN: Final = 85
    _REDDER_THAN: Final = 139

    def __init__(self, clip: Path) -> None:
        super().__init__(clip, last=71, start=0.0)
        shoulders = _rounded_shoulders(
            self._RIGHT - self._LEFT,
            _HEIGHT + self._ROWS_ADDED - self._TOP,
            center=228,
            half_width=215,
            top=self._SHOULDERS - 10,
            power=3.2,
        )
        above = np.arange(shoulders.shape[0])[:, None] < self._SHOULDERS
        self._silhouette = np.where(above, np.float32(1), shoulders)

    def _cut_out(self, index: int) -> tuple[FloatImage, FloatImage]:
        bgr = self.frames[index].bgr()[self._TOP :, self._LEFT : self._RIGHT]
        small = cv2.resize(bgr, None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA)
        luma, red, _ = cv2.split(cv2.cvtColor(small, cv2.COLOR_BGR2YCrCb))
        key = ((luma < self._DARKER_THAN) | (red > self._REDDER_THAN)).astype(np.uint8)
        key[: self._SHOULDERS // 2, : self._WALL // 2] = 0
        outline = _filled(_closed(_opened(key, 1), 2))
        edge = cv2.resize(outline.astype(np.float32), (bgr.shape[1], bgr.shape[0]), interpolation=cv2.INTER_LINEAR)
        # Drawn in by a pixel and a half, so that no rim of the bright door comes along.
        alpha = np.clip(cv2.GaussianBlur(edge, (0, 0), 2) * 2.4 - 1.3, 0, 1)
        rows = np.minimum(np.arange(self._silhouette.shape[0]), bgr.shape[0] - 1)  # the last one again and again
        return _saturated(bgr, self._SATURATION)[rows], alpha[rows] * self._silhouette


class Woman(Person):
    """A woman with long hair before a dark wall, filmed by a camera that stands still.

    What differs from the bare wall is her. The wall is found as the luma that a pixel keeps coming back to. The frame
    cuts off her hair above and her shoulders below: the one is rounded off, the others are drawn, in a pullover.

    The last second of the clip, in which she leaves her own picture, is not used. It starts where she talks and laughs.
    """

    head = Head(x=260, y=196, height=358)
    _LEFT: Final = 190
    _TOP: Final = -40
    _SIZE: Final = (520, 690)
    _SATURATION: Final = 1.2
    _START_SECONDS: Final = 10.2
    _LAST_FRAME: Final = 445
    _HAIR_LUMA: Final = 30
    _NOISE_LUMA: Final = 7
    _FIRST_COLUMN: Final = 200
    """She never comes further to the left than this."""
    _HAIR_BGR: Final = np.array((24, 27, 33), np.float32)
    _PULLOVER_BGR: Final = np.array((82, 72, 44), np.float32)

    def __init__(self, clip: Path) -> None:
        super().__init__(clip, last=self._LAST_FRAME, start=self._START_SECONDS)
        self._luma = np.stack([frame.luma(_WIDTH // 2, _HEIGHT // 2) for frame in self.frames])
        self._wall = _most_steady(self._luma[::3], at_least=self._HAIR_LUMA)
        self._outline: Callable[[int], FloatImage] = lru_cache(maxsize=8)(self._find_outline)
        self._body, self._body_alpha = self._draw_body()

    def _find_outline(self, index: int) -> FloatImage:
        """Where she is, at half size, 0 or 1."""
        luma = cv2.GaussianBlur(self._luma[index], (0, 0), 0.6)
        key = ((luma < self._HAIR_LUMA) | (cv2.absdiff(luma, self._wall) > self._NOISE_LUMA)).astype(np.uint8)
        key[:, : self._FIRST_COLUMN // 2] = 0
        return _filled(_opened(_closed(_opened(key, 1), 10), 6)).astype(np.float32)

    def _cut_out(self, index: int) -> tuple[FloatImage, FloatImage]:
        last = len(self.frames) - 1
        nearby = [self._outline(min(max(i, 0), last)) for i in range(index - 2, index + 3)]
        edge = cv2.GaussianBlur(np.mean(nearby, axis=0, dtype=np.float32), (0, 0), 1.2)
        head = np.asarray(cv2.resize(edge, (_WIDTH, _HEIGHT)), np.float32)[:, self._LEFT :]
        picture = _saturated(self.frames[index].bgr()[:, self._LEFT :], self._SATURATION)
        rows, columns = np.mgrid[0:_HEIGHT, 0 : _WIDTH - self._LEFT].astype(np.float32)
        head *= np.clip((_WIDTH - 2 - self._LEFT - columns) / 8, 0, 1)  # the right edge of the picture
        bgr, alpha = self._body.copy(), self._body_alpha.copy()
        self._draw_hair(bgr, alpha, head, picture)
        # Her neck and hair end in the pullover; above, the picture passes into the drawn hair.
        aside = np.clip((np.abs(columns - self.head.x) - 40) / 60, 0, 1)
        below = np.clip((356 - rows) / (10 + 24 * aside), 0, 1)
        head *= below * np.clip(rows / 10, 0, 1)
        window = (slice(-self._TOP, -self._TOP + _HEIGHT), slice(0, _WIDTH - self._LEFT))
        bgr[window] += (picture - bgr[window]) * head[..., None]
        alpha[window] = np.maximum(alpha[window], head)
        return bgr, alpha

    def _draw_hair(self, bgr: FloatImage, alpha: FloatImage, head: FloatImage, picture: FloatImage) -> None:
        """Draw on what the upper edge of the picture cuts off: a parabola through the outline's first rows."""
        first, second = 4, 30
        spans = [np.flatnonzero(head[row] > 0.5) for row in (first, second)]
        if spans[0].size < 8 or spans[1].size <= spans[0].size:
            return
        narrow, wide = (float(span[-1] - span[0]) / 2 for span in spans)
        center = float(spans[0][0] + spans[0][-1]) / 2
        crown = (first * wide**2 - second * narrow**2) / (wide**2 - narrow**2)
        crown = max(crown, self._TOP + 4.0)
        rows, columns = np.mgrid[self._TOP : first + 10, 0 : bgr.shape[1]].astype(np.float32)
        half = narrow * np.sqrt(np.clip((rows - crown) / (first - crown), 0, 1))
        dome = np.clip((half - np.abs(columns - center)) / 4, 0, 1)
        # Where no hair is left in the picture, its first rows are forehead: no lighter than her hair, then.
        strands = np.minimum(picture[6:12].mean(axis=0, keepdims=True), self._HAIR_BGR)
        beyond = np.minimum(np.arange(bgr.shape[1]), strands.shape[1] - 1)
        color = cv2.GaussianBlur(strands, (0, 0), 2)[:, beyond]
        fading = np.clip(1 + rows / 60, 0.4, 1)[..., None]
        top = slice(0, dome.shape[0])
        bgr[top] += (color * fading - bgr[top]) * dome[..., None]
        alpha[top] = np.maximum(alpha[top], dome)

    def _draw_body(self) -> tuple[FloatImage, FloatImage]:
        width, height = self._SIZE
        chin = self.head.y + self.head.height / 2
        alpha = _rounded_shoulders(width, height, center=self.head.x, half_width=232, top=chin - 10, power=4.5)
        rows, columns = np.mgrid[0:height, 0:width].astype(np.float32)
        x = (columns - self.head.x) / 232
        shade = 1.05 - 0.55 * x**2 + 0.05 * np.sin(columns / 37 + rows / 90)
        shade *= np.clip(0.55 + (rows - chin) / 200, 0.55, 1)  # the head's shadow
        collar = rows - chin - 16 - 20 * np.sqrt(np.clip(1 - ((columns - self.head.x) / 92) ** 2, 0, 1))
        shade *= 1 + 0.3 * np.exp(-((collar / 5) ** 2)) * (np.abs(columns - self.head.x) < 92)
        return self._PULLOVER_BGR * shade[..., None], alpha


def _saturated(bgr: ByteImage, factor: float) -> FloatImage:
    """The picture with its colors that much stronger, as float32."""
    picture = bgr.astype(np.float32)
    gray = picture @ _GRAY
    return np.clip(gray[..., None] + (picture - gray[..., None]) * np.float32(factor), 0, 255)


def _rounded_shoulders(
    width: int, height: int, *, center: float, half_width: float, top: float, power: float
) -> FloatImage:
    """Opacity of a torso: `top` at the neck, down to the sides in a superellipse that is squarer with more `power`."""
    rows, columns = np.mgrid[0:height, 0:width].astype(np.float32)
    aside = np.clip(np.abs(columns - center) / half_width, 0, 1)
    edge = top + (height - top) * (1 - (1 - aside**power) ** 0.4)
    opacity = np.clip((rows - edge) / 3, 0, 1) * np.clip((half_width - np.abs(columns - center)) / 6, 0, 1)
    return np.asarray(opacity, np.float32)


def _most_steady(luma: ByteImage, *, at_least: int) -> ByteImage:
    """Per pixel of (frames, height, width), the middle of the narrowest range that a fourteenth of the values lie in.

    Values below `at_least` do not count. This is the half-sample mode with another share: a still background is found
    although somebody moves before it most of the time.
    """
    values = np.sort(np.where(luma < at_least, np.uint8(255), luma), axis=0)
    share = len(values) // 14
    ranges = np.where(values[share:] == 255, np.uint8(255), values[share:] - values[:-share])
    begin = ranges.argmin(axis=0)
    return np.asarray(np.take_along_axis(values, begin[None] + share // 2, axis=0)[0], np.uint8)


def _filled(mask: ByteImage) -> ByteImage:
    """The largest connected part of a mask of 0 and 1, without holes."""
    contours, _ = cv2.findContours(mask, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    filled = np.zeros_like(mask)
    if contours:
        cv2.drawContours(filled, [max(contours, key=cv2.contourArea)], -1, 1, cv2.FILLED)
    return filled


def _opened(mask: ByteImage, radius: int) -> ByteImage:
    return np.asarray(cv2.morphologyEx(mask, cv2.MORPH_OPEN, _disc(radius)), np.uint8)


def _closed(mask: ByteImage, radius: int) -> ByteImage:
    """Closing that reaches across the edges of the picture."""
    wider = cv2.copyMakeBorder(mask, radius, radius, radius, radius, cv2.BORDER_REPLICATE)
    return np.asarray(cv2.morphologyEx(wider, cv2.MORPH_CLOSE, _disc(radius)), np.uint8)[radius:-radius, radius:-radius]


@cache
def _disc(radius: int) -> ByteImage:
    side = 2 * radius + 1
    return np.asarray(cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (side, side)), np.uint8)
