"""FaceEmbedder: SFace, which OpenCV runs on the processor.

Belongs here: running the file of the model as it is. The faces that it takes are cut out by `alignment`. SFace is a
MobileNet as OpenCV Zoo publishes it ("2021dec"; Zhong, Deng, Hu, Zhao, Li and Wen, "SFace: Sigmoid-Constrained
Hypersphere Loss for Robust Face Recognition", 2021). Two faces of one person have a cosine of about 0.363 or more, by
OpenCV Zoo's measure.
"""

from __future__ import annotations

from pathlib import Path
from threading import Lock
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from dualface_core.faces.alignment import CROP
from dualface_core.faces.weights import SFACE, loaded

DIMENSIONS: Final = 128

_INPUT: Final = "data"
"""What the file calls the faces, beside its weights."""

_TURNS: Final = Lock()
"""A network holds the face that it looks at: threads take turns."""


class FaceEmbedder:
    """Describes aligned faces by 128 numbers each, close together for one person.

    Args and errors are those of `FaceDetector`.
    """

    def __init__(self, weights: Path | None = None) -> None:
        self._network = loaded(SFACE, _load, weights)

    def embed(self, crops: NDArray[np.uint8]) -> NDArray[np.float32]:
        """(N, 112, 112, 3) uint8 BGR, aligned by `align_face`, to (N, 128) float32 of length 1."""
        with _TURNS:
            found = [_embedded(self._network, crop) for crop in crops]
        return np.array(found, np.float32).reshape(-1, DIMENSIONS)


def _load(path: str) -> cv2.dnn.Net:
    network = cv2.dnn.readNetFromONNX(path)
    _embedded(network, np.zeros((CROP, CROP, 3), np.uint8))
    return network


def _embedded(network: cv2.dnn.Net, crop: NDArray[np.uint8]) -> NDArray[np.float32]:
    network.setInput(cv2.dnn.blobFromImage(crop, swapRB=True), _INPUT)
    embedding = np.asarray(network.forward(), np.float32)
    return np.asarray(embedding / np.linalg.norm(embedding), np.float32)
