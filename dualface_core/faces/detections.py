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


def nms(boxes: NDArray[np.float32], scores: NDArray[np.float32], iou: float) -> NDArray[np.intp]:
    """Greedy non-maximum suppression: indices of the boxes to keep, best score first.

    Args:
        boxes: (N, 4) x, y, width, height.
        scores: (N,).
        iou: a box that overlaps a better one by more than this is dropped.
    """
    order = np.argsort(-scores, kind="stable")
    keep: list[np.intp] = []
    while order.size:
        best, order = order[0], order[1:]
        keep.append(best)
        order = order[intersection_over_union(boxes[best], boxes[order]) <= iou]
    return np.array(keep, np.intp)


def intersection_over_union(box: NDArray[np.float32], others: NDArray[np.float32]) -> NDArray[np.float32]:
    """IoU of one (4,) box with (N, 4) boxes, each x, y, width, height; (N,)."""
    left_top = np.maximum(box[:2], others[:, :2])
    right_bottom = np.minimum(box[:2] + box[2:], others[:, :2] + others[:, 2:])
    shared = np.prod(np.maximum(right_bottom - left_top, 0), axis=1)
    union = np.prod(box[2:]) + np.prod(others[:, 2:], axis=1) - shared
    return np.asarray(shared / np.maximum(union, 1e-9), np.float32)
