"""Face crops: images of one face, kept until it is decided who it is, and turned upright for that.

Belongs here: cutting a face out with its surroundings, and finding its landmarks again in turned copies. The one idea:
the detector finds a head that is tilted by 40 degrees, but puts the landmarks where those of an upright head would
be, and an embedding of a face that was aligned by them says little. Of several turned copies, the one in which the
detector is most sure has the head upright, and its landmarks can be trusted.
"""

from __future__ import annotations

import cmath
import math
from dataclasses import dataclass, replace
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from dualface_core.faces.alignment import align_face, frontality
from dualface_core.faces.detections import Detections
from dualface_core.faces.detector import FaceDetector

SIDE: Final = 192
"""Pixels of a face crop's side; the face's longer side is half of it."""

_TURNS: Final = (-35.0, 35.0)
"""Degrees by which a face crop is turned in search of the upright head: landmarks are good up to 20 degrees off."""

_SEARCHED: Final = 128
"""Pixels of the side in which the upright head is looked for."""

_FAINT: Final = 0.3
"""Score of the faintest face that counts in a turned copy."""

_CLEARLY: Final = 0.01
"""A turned copy must score this much better than the face crop as it is."""

_CLEAR_SIZE: Final = 64.0
"""A face whose longer side has so many pixels or more is as clear as it gets for the embedder."""


_SHARP: Final = 0.08
"""Detail of a face in focus, and of about 40 pixels or more; see `sharpness`. Moved or out of focus, it has half."""

_INNER: Final = slice(20, 92)
"""Rows and columns of an aligned face that hold no background."""


@dataclass(frozen=True)
class FaceCrop:
    """A face with its surroundings.

    Attributes:
        image: (192, 192, 3) uint8 BGR; the face is in the middle and half as high or wide.
        landmarks: (5, 2) float32 x, y in pixels of the image, as they were detected in the whole frame.
        score: of that detection, 0..1.
        size: of the face's longer side in the frame, in pixels.
    """

    image: NDArray[np.uint8]
    landmarks: NDArray[np.float32]
    score: float
    size: float

    @property
    def face(self) -> NDArray[np.uint8]:
        """(112, 112, 3) uint8 BGR: the face as the embedder expects it."""
        return align_face(self.image, self.landmarks)

    @property
    def quality(self) -> float:
        """0..1: how much the image says about who it is; turned away, small, blurred and doubtful faces say less."""
        clear = min(1.0, self.size / _CLEAR_SIZE) * min(1.0, sharpness(self.face) / _SHARP)
        return self.score * frontality(self.landmarks) * clear


def sharpness(face: NDArray[np.uint8]) -> float:
    """How much of an aligned face's contrast is fine detail: its Laplacian's deviation as a share of its own.

    `face` is (112, 112, 3) uint8 BGR.
    """
    luma = cv2.cvtColor(face[_INNER, _INNER], cv2.COLOR_BGR2GRAY).astype(np.float32)
    return float(cv2.Laplacian(luma, cv2.CV_32F).std() / (luma.std() + 1))


def crop_square(box: NDArray[np.float32]) -> tuple[int, int, int]:
    """The part of a frame that a face crop shows, for a box: x, y and side, all even; it may reach beyond the frame."""
    half = max(1, round(float(max(box[2:]))))
    x, y = (2 * ((box[:2] + box[2:] / 2 - half) / 2).round().astype(int)).tolist()
    return x, y, 2 * half


def make_face_crop(
    square: NDArray[np.uint8], box: NDArray[np.float32], landmarks: NDArray[np.float32], *, score: float
) -> FaceCrop:
    """Make a face crop of the part of a frame that `crop_square` names.

    Args:
        square: (n, n, 3) uint8 BGR, shrunk to `SIDE` if it is larger in the frame.
        box: (4,) x, y, width, height of the face, in pixels of the frame.
        landmarks: (5, 2) likewise.
        score: of the detection.
    """
    x, y, side = crop_square(box)
    factor = SIDE / side
    image = np.asarray(cv2.resize(square, (SIDE, SIDE), interpolation=cv2.INTER_LINEAR), np.uint8)
    in_crop = ((landmarks - np.array([x, y]) + 0.5) * factor - 0.5).astype(np.float32)
    return FaceCrop(image, in_crop, score, float(max(box[2:])))


def upright(crop: FaceCrop, detector: FaceDetector) -> FaceCrop:
    """The face crop with its landmarks found anew if the head is tilted, otherwise as it is."""
    copies = [_turned(crop.image, degrees) for degrees in (0, *_TURNS)]
    found = detector.detect(np.stack([copy for copy, _ in copies]), score_threshold=_FAINT)
    as_it_is, *turned = [_middle_face(faces) for faces in found]
    best, best_score = crop, _CLEARLY + (as_it_is[0] if as_it_is else 0)
    for face, (_, matrix) in zip(turned, copies[1:], strict=True):
        if face and face[0] > best_score:
            best_score, landmarks = face
            back = cv2.transform(landmarks[None], cv2.invertAffineTransform(matrix))[0]
            best = replace(crop, landmarks=np.asarray(back, np.float32), score=best_score)
    return best


def _turned(image: NDArray[np.uint8], degrees: float) -> tuple[NDArray[np.uint8], NDArray[np.float64]]:
    """The image turned about its middle and shrunk to `_SEARCHED`, and the (2, 3) matrix that did it."""
    factor = cmath.rect(_SEARCHED / SIDE, math.radians(degrees))
    offset = (_SEARCHED - 1) / 2 * (1 + 1j) - factor * (SIDE - 1) / 2 * (1 + 1j)
    matrix = np.array([[factor.real, -factor.imag, offset.real], [factor.imag, factor.real, offset.imag]])
    return np.asarray(cv2.warpAffine(image, matrix, (_SEARCHED, _SEARCHED)), np.uint8), matrix


def _middle_face(faces: Detections) -> tuple[float, NDArray[np.float32]] | None:
    """Score and landmarks of the best face in the middle of a copy; somebody else may be at its side."""
    aside = np.abs(faces.boxes[:, :2] + faces.boxes[:, 2:] / 2 - _SEARCHED / 2).max(axis=1)
    for row in np.flatnonzero(aside < _SEARCHED / 6):
        return float(faces.scores[row]), faces.landmarks[row]
    return None
