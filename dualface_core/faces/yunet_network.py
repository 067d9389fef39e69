"""YuNet as those know it who run it: its layers, and the faces that its numbers stand for.

Belongs here: what the detectors of the processor (`detector`) and of a card (`yunet`) have in common. The network is
YuNet_s as OpenCV Zoo publishes it ("2023mar"; Wu, Peng and Yu, "YuNet: A Tiny Millisecond-level Face Detector", 2023).
It is fully convolutional; its weights are read from the ONNX file in the order in which that lists its convolutions.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from dualface_core.faces.detections import Detections

STRIDES: Final = (8, 16, 32)
MULTIPLE: Final = 32
"""Height and width of the network's input are multiples of this."""

STEM: Final = 16
"""Channels after the first convolution."""

STAGES: Final = ((16, 16), (16, 16, 32, 32, 64), (64, 64, 64), (64, 64, 64), (64, 64, 64), *[(64, 64)] * len(STRIDES))
"""Channels between the separable convolutions of a stage. The first five follow one another, with a maximum of 2 x 2
places at the end of the first two and at the beginning of the last two; the others, the coarsest first, are of what the
last three of those five give, and bring what is coarser to what is finer."""

_HEADS: Final = ((0, 1), (2, 6), (1, 2), (6, 16))
"""Channels of the network's maps, in the file's order: class, box, objectness and landmarks."""

MAPS: Final = 16

_NEAR: Final = 0.01
"""Of a logit: more than what rounding makes of it."""

_NMS_IOU: Final = 0.3

Convolution = Sequence[NDArray[np.float32]]
"""Weight, (outputs, inputs, rows, columns), and bias."""


def layers_of(convolutions: Sequence[Convolution]) -> list[Convolution]:
    """The stem, and both parts of each separable convolution: those of the stages, and one for all heads of a stride.

    The heads of a stride read the same maps. Raises ValueError if the convolutions are not those of this network.
    """
    shapes = [(STEM, 3, 3, 3)]
    for inputs, outputs in (pair for stage in STAGES for pair in pairwise(stage)):
        shapes += [(outputs, inputs, 1, 1), (outputs, 1, 3, 3)]
    body = len(shapes)
    for first, stop in _HEADS:
        shapes += [(stop - first, STAGES[-1][-1], 1, 1), (stop - first, 1, 3, 3)] * len(STRIDES)
    if [convolution[0].shape for convolution in convolutions] != shapes:
        raise ValueError(f"found {len(convolutions)} convolutions, not those of YuNet")
    layers = [*convolutions[:body]]
    for level in range(len(STRIDES)):
        places = [body + 2 * (kind * len(STRIDES) + level) for _, kind in sorted(zip(_HEADS, range(4), strict=True))]
        layers += [[np.concatenate([convolutions[at + part][of] for at in places]) for of in (0, 1)] for part in (0, 1)]
    return layers


class Anchors:
    """The places of the network's maps, stride after stride, for an input of `rows` and `columns`."""

    def __init__(self, rows: int, columns: int) -> None:
        self._places = np.concatenate([_places(rows // stride, columns // stride, stride) for stride in STRIDES])

    def __len__(self) -> int:
        return len(self._places)

    def candidates(self, values: NDArray[np.float32], threshold: float) -> NDArray[np.float32]:
        """(N, 15) float32: score, box (4) and landmarks (10) of the anchors that score so much.

        `values` are the network's maps, (anchors, `MAPS`) float32: class, objectness, box, landmarks.
        """
        # Both factors of the score are its square at the least; most anchors are far from that.
        (likely,) = np.nonzero(np.minimum(values[:, 0], values[:, 1]) > _logit(threshold**2) - _NEAR)
        scores = np.sqrt(np.prod(1 / (1 + np.exp(-values[likely, :2])), axis=1))
        best, scores = likely[scores >= threshold], scores[scores >= threshold]
        chosen, (place, stride) = values[best], np.split(self._places[best], [2], axis=1)
        centers, sizes = (place + chosen[:, 2:4]) * stride, np.exp(chosen[:, 4:6]) * stride
        landmarks = (np.tile(place, 5) + chosen[:, 6:]) * stride
        return np.hstack([scores[:, np.newaxis], centers - sizes / 2, sizes, landmarks])


def faces(candidates: NDArray[np.float32], nms_iou: float = _NMS_IOU) -> Detections:
    """Those of (N, 15) candidates that stay, as faces: of two boxes that overlap by more, the better one.

    Boxes are compared in whole pixels, as OpenCV does.
    """
    boxes, scores = candidates[:, 1:5], candidates[:, 0]
    keep = np.asarray(cv2.dnn.NMSBoxes(np.trunc(boxes).tolist(), scores.tolist(), 0.0, nms_iou), np.intp)
    return Detections(boxes[keep], candidates[keep, 5:].reshape(-1, 5, 2), scores[keep])


def _logit(chance: float) -> float:
    return math.log(chance) - math.log1p(-chance) if 0 < chance < 1 else math.copysign(math.inf, chance - 0.5)


def _places(rows: int, columns: int, stride: int) -> NDArray[np.float32]:
    """(N, 3) float32 of all anchors of a map: their column and row, and its stride."""
    row, column = np.mgrid[:rows, :columns].astype(np.float32)
    return np.stack([column.ravel(), row.ravel(), np.full(row.size, stride, np.float32)], axis=1)
