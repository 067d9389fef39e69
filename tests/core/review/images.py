"""A video of two people, 640x360, and what is found in images of it."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

Image = NDArray[np.uint8]

SIZE = (640, 360)
BLUE, ORANGE = (208, 111, 31), (0, 123, 224)  # BGR of persons A and B


def sitting(x: float, frames: int) -> NDArray[np.float64]:
    """Boxes of a face that stays at x."""
    return np.tile([x - 30.0, 120.0, 60.0, 80.0], (frames, 1))


def decoded(data: bytes) -> Image:
    image = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)
    assert image is not None
    return np.asarray(image, np.uint8)


def has(image: Image, color: Sequence[int], tolerance: int = 60) -> bool:
    return bool((np.abs(image.astype(int) - color).max(axis=2) < tolerance).any())
