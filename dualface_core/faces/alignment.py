"""Aligned faces: cut out so that their landmarks lie where the embedder was trained to see them.

Belongs here: what can be said of landmarks and pixels without a network.
"""

from __future__ import annotations

from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

CROP: Final = 112
"""Side of an aligned face, in pixels."""

TEMPLATE: Final = np.array(
    [[38.2946, 51.6963], [73.5318, 51.5014], [56.0252, 71.7366], [41.5493, 92.3655], [70.7299, 92.2041]], np.float32
)
"""Where the five landmarks lie in an aligned face, in pixels: ArcFace's template, image-left first."""

_COMPLEX: Final = np.array([1, 1j])
_TARGET: Final = TEMPLATE.astype(np.float64) @ _COMPLEX
_MIDDLE: Final = _TARGET.mean()
"""The same as complex numbers, and their middle."""

_TURNED: Final = 8.0
"""Mean distance of landmarks from the template, in pixels of an aligned face, at which a face counts as turned away."""


def align_face(image: NDArray[np.uint8], landmarks: NDArray[np.float32]) -> NDArray[np.uint8]:
    """Cut a face out, turned, scaled and shifted so that its landmarks lie as close to `TEMPLATE` as possible.

    The similarity transform is the least-squares one of Umeyama (1991). What lies outside the image is black.

    Args:
        image: (H, W, 3) uint8.
        landmarks: (5, 2) x, y in pixels of the image, in the order of `Detections.landmarks`.

    Returns:
        (112, 112, 3) uint8, in the channel order of the image.
    """
    factor, offset = _similarity(landmarks)
    # Linear interpolation that shrinks by more than 2 skips pixels: sample finer, then average.
    finer = max(1, int(1 / max(abs(factor), 0.05)))
    factor = finer * factor
    offset = finer * offset + (finer - 1) / 2
    matrix = np.array([[factor.real, -factor.imag, offset.real], [factor.imag, factor.real, offset.imag]])
    face = cv2.warpAffine(image, matrix, (finer * CROP, finer * CROP), flags=cv2.INTER_LINEAR)
    return np.asarray(cv2.resize(face, (CROP, CROP), interpolation=cv2.INTER_AREA) if finer > 1 else face, np.uint8)


def frontality(landmarks: NDArray[np.float32]) -> float:
    """How squarely the face looks at the camera: near 1 from the front, near 0 in profile.

    Args:
        landmarks: (5, 2) x, y in pixels, in the order of `Detections.landmarks`.
    """
    factor, offset = _similarity(landmarks)
    aside = factor * (landmarks.astype(np.float64) @ _COMPLEX) + offset - _TARGET
    return float(np.exp(-np.mean(np.abs(aside) ** 2) / _TURNED**2))


def _similarity(landmarks: NDArray[np.float32]) -> tuple[complex, complex]:
    """Factor and offset that take landmarks, as complex numbers, as close to `TEMPLATE` as turning and scaling can."""
    points = landmarks.astype(np.float64) @ _COMPLEX
    middle = points.mean()
    centered = points - middle
    factor = complex(np.vdot(centered, _TARGET - _MIDDLE) / max(np.vdot(centered, centered).real, 1e-12))
    return factor, complex(_MIDDLE - factor * middle)
