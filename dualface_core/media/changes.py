"""What of the frames of a video was changed on their way out of it, for people.

Belongs here: keeping account while frames are read, also of spans that were read apart, and the sentences. What a whole
file lacks or has changed is in `VideoInfo.notes`, and what is damaged in `salvage`.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from fractions import Fraction
from itertools import pairwise
from math import inf

from dualface_core.media.color import ColorInfo
from dualface_core.media.probe import VideoInfo

Shape = tuple[int, int, Fraction]
"""Width, height and pixel shape of a frame as it is coded."""


@dataclass
class Changes:
    """What is not as in the first frame, or not as it was coded.

    Attributes:
        interlaced: times in seconds of frames that are interlaced.
        shapes, colors: time in seconds of the first frame and of each whose shape, or whose colors, are not those of
            the frame before, and what they are.
    """

    interlaced: array[float] = field(default_factory=lambda: array("d"))
    shapes: list[tuple[float, Shape]] = field(default_factory=list)
    colors: list[tuple[float, ColorInfo]] = field(default_factory=list)

    @classmethod
    def joined(cls, parts: Iterable[Changes]) -> Changes:
        """Those of all spans of a video, given in their order. What one says of frames of the next does not count."""
        whole = cls()
        for part in parts:
            begin = part.shapes[0][0] if part.shapes else inf
            whole = cls(
                array("d", (time for time in whole.interlaced if time < begin)),
                [(time, shape) for time, shape in whole.shapes if time < begin],
                [(time, color) for time, color in whole.colors if time < begin],
            )
            whole.interlaced.extend(part.interlaced)
            for time, shape in part.shapes:
                whole.see_shape(time, shape)
            for time, color in part.colors:
                whole.see_color(time, color)
        return whole

    def see_shape(self, time: float, shape: Shape) -> None:
        """Take the shape of the next frame."""
        if not self.shapes or self.shapes[-1][1] != shape:
            self.shapes.append((time, shape))

    def see_color(self, time: float, color: ColorInfo) -> None:
        """Take the colors of the next frame, every tag specified."""
        if not self.colors or not color.looks_as(self.colors[-1][1]):
            self.colors.append((time, color))

    def notes(self, video: VideoInfo) -> list[str]:
        """Sentences with figures."""
        return [*self._interlaced_notes(video), *self._shape_notes(), *self._color_notes(video)]

    def _interlaced_notes(self, video: VideoInfo) -> Iterator[str]:
        if count := len(self.interlaced):
            become = "its two fields become a frame each" if video.splits_fields else "its two fields become one frame"
            yield f"{count} frames are interlaced and were deinterlaced (bwdif): of each, {become}."

    def _shape_notes(self) -> Iterator[str]:
        for (_, (*before, _)), (time, (*after, _)) in list(pairwise(self.shapes))[:1]:
            sizes = f"from {before[0]}x{before[1]} to {after[0]}x{after[1]}" if before != after else "of its pixels"
            yield (
                f"The picture changes its shape {_times(self.shapes)}, first at {time:.1f} s ({sizes}); it is fitted "
                "into the first shape, with black bars where they differ."
            )

    def _color_notes(self, video: VideoInfo) -> Iterator[str]:
        for (_, before), (time, after) in list(pairwise(self.colors))[:1]:
            yield (
                f"The colors change {_times(self.colors)}, first at {time:.1f} s (from {before} to {after}); all are "
                f"converted to {video.color}."
            )


def _times(states: list[tuple[float, Shape]] | list[tuple[float, ColorInfo]]) -> str:
    """How often they change."""
    return "once" if len(states) == 2 else f"{len(states) - 1} times"
