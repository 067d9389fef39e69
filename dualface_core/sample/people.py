"""The people of the samples, cut out of clips and photographs: a head on shoulders, with soft edges.

Belongs here: cutting out, per file, and playing a clip back and forth without a jump. The one idea: each file has a
background that is easy to tell from the person (a bright door behind the man; behind the woman a wall that never
moves; a blue one in the photographs), so a key is enough and no model is asked. Pixel numbers are read off the 640x360
frames of the two clips, and off the photographs as they are.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from bisect import bisect_right
from collections.abc import Callable, Collection, Mapping
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
from dualface_core.sample.moments import Actor

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
    """Somebody who can be drawn at any time, from the front and from behind."""

    head: Head
    nape: float
    """How far down the hair reaches behind, in halves of the head's height from its center."""

    @abstractmethod
    def at(self, time: float, turned: float = 0.0) -> Sprite:
        """What the person looks like at `time`, in seconds; `turned` from 0, facing the camera, to 1, from behind."""

    def _sprite(self, bgr: FloatImage, alpha: FloatImage, turned: float) -> Sprite:
        """The sprite of a picture (BGR, 0 to 255, even sides) and its opacity."""
        if turned:
            bgr = bgr + (self._from_behind(bgr) - bgr) * np.float32(turned)
        return Sprite(bgr_to_planes(bgr), alpha)

    def _from_behind(self, bgr: FloatImage) -> FloatImage:
        """Hair where the face was, and a neck below it; the outline stays."""
        rows, columns = np.mgrid[0 : bgr.shape[0], 0 : bgr.shape[1]].astype(np.float32)
        x, y = (columns - self.head.x) / (self.head.height / 2), (rows - self.head.y) / (self.head.height / 2)
        strands = np.sin(40 * x + 3 * np.sin(4 * y)) + np.sin(97 * x - 2 * np.sin(3 * y + 1))
        shade = (1.35 - 0.5 * (x**2 + y**2) + 0.12 * strands)[..., None]
        hair = np.clip((self.nape - 0.25 * x**2 - y) / 0.06, 0, 1)[..., None]
        neck = (np.clip((0.55 - np.abs(x)) / 0.06, 0, 1) * np.clip((1.22 - y) / 0.06, 0, 1))[..., None]
        skin = _SKIN_BGR * np.clip(0.8 - 0.4 * x**2, 0, 1)[..., None]
        behind = bgr + (skin - bgr) * neck
        return np.asarray(behind + (_HAIR_BGR * np.maximum(shade, 0.3) - behind) * hair, np.float32)


_HAIR_BGR: Final = np.array((24, 27, 33), np.float32)
_SKIN_BGR: Final = np.array((95, 120, 175), np.float32)


class Filmed(Person):
    """A clip of one person, played back and forth.

    Its frames are kept in memory, 0.35 MB each, since it is played backwards too.

    Args:
        clip: the video.
        last: number of the last frame to use.
        start: the second of the clip that is shown at time 0.
    """

    def __init__(self, clip: Path, *, last: int, start: float) -> None:
        with VideoReader(probe(clip)) as reader:
            self.frames: list[Frame] = list(reader)[: last + 1]
        self._times = [frame.time for frame in self.frames]
        self._start = start
        self._sprites: Callable[[int, float], Sprite] = lru_cache(maxsize=4)(self._make_sprite)

    def at(self, time: float, turned: float = 0.0) -> Sprite:
        """See `Person`."""
        length = self._times[-1]
        position = (time + self._start) % (2 * length)
        return self._sprites(bisect_right(self._times, min(position, 2 * length - position)) - 1, turned)

    def _make_sprite(self, index: int, turned: float) -> Sprite:
        return self._sprite(*self._cut_out(index), turned)

    @abstractmethod
    def _cut_out(self, index: int) -> tuple[FloatImage, FloatImage]:
        """The sprite of one frame: BGR from 0 to 255, and opacity. Both sides are even."""


class Man(Filmed):
    """A man before a bright door, with short hair and a black T-shirt: whatever is dark or red is him.

    The shirt is cut off by the frame; its last row is drawn on downwards.
    """

    head = Head(x=240, y=160, height=270)
    nape = 0.45
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


class Woman(Filmed):
    """A woman with long hair before a dark wall, filmed by a camera that stands still.

    What differs from the bare wall is her. The wall is found as the luma that a pixel keeps coming back to. The frame
    cuts off her hair above and her shoulders below: the one is rounded off, the others are drawn, in a pullover.

    The last second of the clip, in which she leaves her own picture, is not used. It starts where she talks and laughs.
    """

    head = Head(x=260, y=196, height=358)
    nape = 1.2
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
    _PULLOVER_BGR: Final = np.array((82, 72, 44), np.float32)

    def __init__(self, clip: Path) -> None:
        super().__init__(clip, last=self._LAST_FRAME, start=self._START_SECONDS)
        self._luma = np.stack([frame.luma(_WIDTH // 2, _HEIGHT // 2) for frame in self.frames])
        self._wall = _most_steady(self._luma[::3], at_least=self._HAIR_LUMA)
        self._outline: Callable[[int], FloatImage] = lru_cache(maxsize=8)(self._find_outline)
        self._body, self._body_alpha = drawn_body(self._SIZE, self.head, self._PULLOVER_BGR)

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
        strands = np.minimum(picture[6:12].mean(axis=0, keepdims=True), _HAIR_BGR)
        beyond = np.minimum(np.arange(bgr.shape[1]), strands.shape[1] - 1)
        color = cv2.GaussianBlur(strands, (0, 0), 2)[:, beyond]
        fading = np.clip(1 + rows / 60, 0.4, 1)[..., None]
        top = slice(0, dome.shape[0])
        bgr[top] += (color * fading - bgr[top]) * dome[..., None]
        alpha[top] = np.maximum(alpha[top], dome)


class Photographed(Person):
    """Somebody in a photograph of 512x512 before a blue wall, cut off at the neck; the body is drawn, in a pullover.

    Args:
        photograph: the file.
        head: where the head is in it.
        pullover: its color, as B, G and R.
        light: factors of B, G and R that make the photograph's light that of the room.
        features: another photograph; half of the features are taken from there, which makes somebody else, though as
            like the first as two photographs of one person may be.
    """

    nape = 1.2
    _SIZE: Final = (640, 860)
    _SIDE: Final = 512
    _LEFT: Final = 64
    _BLUER_THAN: Final = 18.0
    """How much the wall's blue exceeds its red, at least; skin, hair and white cloth have less."""
    _WALL_ROWS: Final = 30
    """From the top: there is nothing but wall, and in one of them the top of a board."""

    def __init__(
        self,
        photograph: Path,
        *,
        head: Head,
        pullover: tuple[int, int, int],
        light: tuple[float, float, float] = (1, 1, 1),
        features: Path | None = None,
    ) -> None:
        self.head = Head(head.x + self._LEFT, head.y, head.height)
        picture = self._read(photograph)
        key = ((picture[..., 0] - picture[..., 2]) < self._BLUER_THAN).astype(np.uint8)
        key[: self._WALL_ROWS] = 0
        outline = _filled(_closed(_opened(key, 2), 4)).astype(np.float32)
        if features is not None:
            picture = _with_features(picture, self._read(features))
        picture = picture * np.array(light, np.float32)
        # Drawn in by two pixels, so that no rim of the wall comes along.
        edge = np.clip(cv2.GaussianBlur(outline, (0, 0), 2) * 2.4 - 1.4, 0, 1)
        rows = np.arange(self._SIDE, dtype=np.float32)[:, None]
        edge *= np.clip((self._SIDE - 6 - rows) / 20, 0, 1)
        self._bgr, self._alpha = drawn_body(self._SIZE, self.head, np.array(pullover, np.float32))
        window = (slice(0, self._SIDE), slice(self._LEFT, self._LEFT + self._SIDE))
        self._bgr[window] += (picture - self._bgr[window]) * edge[..., None]
        self._alpha[window] = np.maximum(self._alpha[window], edge)
        self._sprites: Callable[[float], Sprite] = lru_cache(maxsize=4)(self._make_sprite)

    def at(self, time: float, turned: float = 0.0) -> Sprite:  # noqa: ARG002 - a photograph is the same at any time
        """See `Person`."""
        return self._sprites(turned)

    def _make_sprite(self, turned: float) -> Sprite:
        return self._sprite(self._bgr, self._alpha, turned)

    def _read(self, path: Path) -> FloatImage:
        picture = cv2.imdecode(np.frombuffer(path.read_bytes(), np.uint8), cv2.IMREAD_COLOR)
        return np.asarray(picture, np.float32)


_FEATURES: Final = np.array([[195, 243], [315, 250], [193, 369], [300, 377]], np.float32)
_OTHER_FEATURES: Final = np.array([[163, 254], [292, 254], [173, 383], [286, 383]], np.float32)
"""Eyes and corners of the mouth in the photograph of the sister, and in that which is blended with it."""


def _with_features(picture: FloatImage, other: FloatImage) -> FloatImage:
    """The sister's photograph, with every pixel of the face half-way to the other photograph's."""
    matrix, _ = cv2.estimateAffine2D(_OTHER_FEATURES, _FEATURES)
    moved = cv2.warpAffine(other, matrix, (picture.shape[1], picture.shape[0]), borderMode=cv2.BORDER_REPLICATE)
    x, y = _FEATURES.mean(axis=0)
    rows, columns = np.mgrid[0 : picture.shape[0], 0 : picture.shape[1]].astype(np.float32)
    face = np.clip(2.2 - 1.6 * np.hypot((columns - x) / 150, (rows - y) / 165), 0, 1)[..., None]
    light = (picture * face).sum(axis=(0, 1)) / (moved * face).sum(axis=(0, 1))
    return np.asarray(picture + (np.clip(moved * light, 0, 255) - picture) * face / 2, np.float32)


def people(files: Mapping[Actor, Path], cast: Collection[Actor]) -> dict[Actor, Person]:
    """Everybody of a cast, made from the files of `sources`."""
    makers: dict[Actor, Callable[[], Person]] = {
        Actor.WOMAN: lambda: Woman(files[Actor.WOMAN]),
        Actor.MAN: lambda: Man(files[Actor.MAN]),
        Actor.SISTER: lambda: Photographed(files[Actor.SISTER], head=_SISTER_HEAD, pullover=(60, 60, 150)),
        Actor.LOOK_ALIKE: lambda: Photographed(
            files[Actor.SISTER], head=_SISTER_HEAD, pullover=(150, 120, 90), features=files[Actor.LOOK_ALIKE]
        ),
        Actor.VISITOR: lambda: Photographed(
            files[Actor.VISITOR], head=Head(x=264, y=250, height=430), pullover=(70, 110, 80), light=(0.62, 0.85, 0.75)
        ),
    }
    return {actor: makers[actor]() for actor in cast}


_SISTER_HEAD: Final = Head(x=250, y=248, height=416)


def drawn_body(size: tuple[int, int], head: Head, color: FloatImage) -> tuple[FloatImage, FloatImage]:
    """A pullover below a head, in a picture of this width and height: BGR and opacity."""
    width, height = size
    scale = head.height / _BODY_OF
    half_width, neck = 232 * scale, 92 * scale
    chin = head.y + head.height / 2
    alpha = _rounded_shoulders(width, height, center=head.x, half_width=half_width, top=chin - 10, power=4.5)
    rows, columns = np.mgrid[0:height, 0:width].astype(np.float32)
    x = (columns - head.x) / half_width
    shade = 1.05 - 0.55 * x**2 + 0.05 * np.sin(columns / 37 + rows / 90)
    shade *= np.clip(0.55 + (rows - chin) / 200, 0.55, 1)  # the head's shadow
    collar = rows - chin - 16 - 20 * np.sqrt(np.clip(1 - ((columns - head.x) / neck) ** 2, 0, 1))
    shade *= 1 + 0.3 * np.exp(-((collar / 5) ** 2)) * (np.abs(columns - head.x) < neck)
    return np.asarray(color * shade[..., None], np.float32), alpha


_BODY_OF: Final = 358
"""Pixels of the head that a drawn body's measures are given for."""


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
