"""Pictures of another shape than the first of their stream, fitted into its frame with black bars.

Belongs here: where such a picture lies. Calls, WebRTC and broadcasts change resolution, orientation and pixel shape in
mid-stream; a result has one frame size throughout.
"""

from __future__ import annotations

from fractions import Fraction

import numpy as np

from dualface_core.media.color import FULL_RANGE
from dualface_core.media.frames import Planes


def fitted_size(width: int, height: int, aspect: Fraction, frame: tuple[int, int]) -> tuple[int, int]:
    """The largest width and height, even where bars lie beside them, that keep a picture's shape within a frame.

    Args:
        width: of the picture as it is coded.
        height: the same.
        aspect: width of a coded pixel divided by its height.
        frame: width and height of the frame, whose pixels are square.
    """
    scale = min(frame[0] / (width * aspect), Fraction(frame[1], height))
    return _even(width * aspect * scale, frame[0]), _even(height * scale, frame[1])


def _even(side: Fraction, most: int) -> int:
    """The next even number, or the whole side where no bar would be left to see."""
    even = max(2, 2 * round(side / 2))
    return most if even > most - 2 else even


def with_bars(planes: Planes, frame: tuple[int, int], color_range: int) -> Planes:
    """A picture in the middle of a frame (width and height), with black beside it; as it is if it fills the frame."""
    height, width = planes[0].shape
    if (width, height) == frame:
        return planes
    left, top = (frame[0] - width) // 4 * 2, (frame[1] - height) // 4 * 2
    black = 0 if color_range == FULL_RANGE else 16
    drawn = []
    for plane, level, step in zip(planes, (black, 128, 128), (1, 2, 2), strict=True):
        canvas = np.full((-(-frame[1] // step), -(-frame[0] // step)), level, np.uint8)
        y, x = top // step, left // step
        canvas[y : y + plane.shape[0], x : x + plane.shape[1]] = plane
        drawn.append(canvas)
    return drawn[0], drawn[1], drawn[2]
