from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from dualface_core.faces.alignment import CROP, align_face
from dualface_core.faces.detector import FaceDetector
from dualface_core.faces.embedder import FaceEmbedder


@pytest.fixture(scope="session")
def crops(detector: FaceDetector, images: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """(12, 112, 112, 3): the left face of every image, then the right face of every image."""
    rows = []
    for image, faces in zip(images, detector.detect(images, score_threshold=0.5), strict=True):
        rows.append([align_face(image, faces.landmarks[row]) for row in np.argsort(faces.boxes[:, 0])])
    return np.concatenate(np.swapaxes(np.array(rows), 0, 1))


def test_one_person_looks_alike_and_two_people_don_t(embedder: FaceEmbedder, crops: NDArray[np.uint8]) -> None:
    left, right = np.split(embedder.embed(crops), 2)
    assert np.linalg.norm(left, axis=1) == pytest.approx(1)
    for person in (left, right):
        assert np.min(person @ person.mean(axis=0)) > 0.4
    assert np.max(left @ right.T) < 0.3


def test_no_faces_have_no_embeddings(embedder: FaceEmbedder) -> None:
    assert embedder.embed(np.zeros((0, CROP, CROP, 3), np.uint8)).shape == (0, 128)
