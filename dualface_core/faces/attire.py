"""Hair and clothes: what a person looks like besides the face, as colors.

Belongs here: describing the colors around a face, and comparing two such descriptions. It is a weak cue that holds only
under the same light: two may wear the same, and one may take a jacket off.
"""

from __future__ import annotations

from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

_LEVELS: Final = (4, 8, 8)
"""Bins of lightness, and of the two colors of CIELAB in the range that skin, hair and cloth have."""

_RANGES: Final = (0, 256, 88, 168, 88, 168)

_HAIR: Final = (-0.1, -0.45, 1.1, 0.05)
_CLOTHES: Final = (-0.6, 1.4, 1.6, 2.4)
"""Left, top, right and bottom of what is looked at, in widths and heights of the face's box from its corner."""

_LEAST: Final = 0.4
"""Share of it that must lie in the frame."""

COLORS: Final = 2 * _LEVELS[0] * _LEVELS[1] * _LEVELS[2]
"""Numbers in a description."""


def attire(image: NDArray[np.uint8], box: NDArray[np.float32]) -> NDArray[np.float32]:
    """(`COLORS`,) of length 1: the colors of hair and clothes. A part that lies outside the image is 0.

    Args:
        image: (H, W, 3) uint8 BGR.
        box: (4,) x, y, width, height of the face, in pixels of the image.
    """
    colors = np.concatenate([_colors(image, box, part) for part in (_HAIR, _CLOTHES)])
    return np.asarray(colors / np.sqrt(2), np.float32)


def _colors(image: NDArray[np.uint8], box: NDArray[np.float32], part: tuple[float, ...]) -> NDArray[np.float32]:
    """Square roots of the shares of the colors, whose products with another's sum up to 1 for the same colors."""
    corner, sides, sizes = 2 * box[:2].tolist(), 2 * box[2:].tolist(), 2 * image.shape[1::-1]
    edges = [at + share * side for at, share, side in zip(corner, part, sides, strict=True)]
    left, top, right, bottom = (round(min(max(0.0, edge), size)) for edge, size in zip(edges, sizes, strict=True))
    if (right - left) * (bottom - top) < max(_LEAST * ((edges[2] - edges[0]) * (edges[3] - edges[1])), 1):
        return np.zeros(COLORS // 2, np.float32)
    lab = cv2.cvtColor(image[top:bottom, left:right], cv2.COLOR_BGR2LAB)
    counts = cv2.calcHist([lab], [0, 1, 2], None, list(_LEVELS), list(_RANGES)).ravel()
    return np.asarray(np.sqrt(counts / max(float(counts.sum()), 1.0)), np.float32)
