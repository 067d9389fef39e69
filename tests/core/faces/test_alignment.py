from __future__ import annotations

import cmath

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from dualface_core.faces.alignment import CROP, TEMPLATE, align_face, frontality
from dualface_core.faces.detector import FaceDetector
from dualface_core.faces.weights import SFACE, read_weights


def similar(factor: complex, offset: complex) -> NDArray[np.float32]:
    """The template turned and scaled by a factor, and shifted."""
    points = factor * (TEMPLATE @ [1, 1j]) + offset
    return np.column_stack([points.real, points.imag]).astype(np.float32)


def test_faces_are_aligned_as_opencv_aligns_them(detector: FaceDetector, images: NDArray[np.uint8]) -> None:
    recognizer = cv2.FaceRecognizerSF.create(str(read_weights(SFACE).path), "")
    (faces,) = detector.detect(images[:1], score_threshold=0.5)
    for row in range(len(faces)):
        detection = np.concatenate([faces.boxes[row], faces.landmarks[row].ravel(), faces.scores[[row]]])
        expected = recognizer.alignCrop(images[0], detection)
        assert cv2.absdiff(align_face(images[0], faces.landmarks[row]), expected).mean() < 1


@settings(deadline=None, max_examples=50)
@given(scale=st.floats(0.5, 6), angle=st.floats(-1.2, 1.2))
def test_an_aligned_face_shows_what_lies_at_its_landmarks(scale: float, angle: float) -> None:
    # In this image the color of a pixel is its place.
    side = 1024
    places = np.linspace(0, 255, side, dtype=np.float32)
    image = np.dstack([np.tile(places, (side, 1)), np.tile(places[:, None], (1, side)), np.zeros((side, side))])
    factor = cmath.rect(scale, angle)
    landmarks = similar(factor, side / 2 * (1 + 1j) - factor * CROP / 2 * (1 + 1j))
    face = align_face(image.astype(np.uint8), landmarks)
    for (x, y), (source_x, source_y) in zip(TEMPLATE.round().astype(int), landmarks, strict=True):
        # A pixel of the face is `scale` pixels of the image; the template was rounded to whole pixels.
        assert face[y, x, 0] == pytest.approx(source_x * 255 / (side - 1), abs=1 + scale * 255 / side)
        assert face[y, x, 1] == pytest.approx(source_y * 255 / (side - 1), abs=1 + scale * 255 / side)


def test_a_face_from_the_front_is_more_frontal_than_one_in_profile() -> None:
    profile = TEMPLATE.copy()
    profile[:, 0] = 56 + (TEMPLATE[:, 0] - 56) * 0.3
    profile[2, 0] += 20
    assert frontality(similar(3j, 100)) == pytest.approx(1, abs=1e-3)
    assert frontality(profile) < 0.3
