"""Faces found in one image: boxes, five landmarks and scores.

Belongs here: the value that a detector returns, and geometry that needs nothing else.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Detections:
    """N faces in one image, best score first.

    Attributes:
        boxes: (N, 4) float32: x and y of the upper left corner, width, height, in pixels.
        landmarks: (N, 5, 2) float32, x and y in pixels: image-left eye, image-right eye, nose, image-left and
            image-right mouth corner.
        scores: (N,) float32, 0..1; the square root of class score times objectness, as OpenCV has it.
    """

    boxes: NDArray[np.float32]
    landmarks: NDArray[np.float32]
    scores: NDArray[np.float32]

    def __len__(self) -> int:
        return len(self.scores)

    def scaled(self, x: float, y: float) -> Detections:
        """The same faces in an image that is `x` times as wide and `y` times as high."""
        factors = np.array([x, y], np.float32)
        return Detections(self.boxes * np.tile(factors, 2), self.landmarks * factors, self.scores)
