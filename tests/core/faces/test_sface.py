from __future__ import annotations

import cmath

import cv2
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from dualface_core.faces.sface import CROP, TEMPLATE, FaceEmbedder, align_face, frontality
from dualface_core.faces.weights import SFACE, read_weights
from dualface_core.faces.yunet import FaceDetector


@pytest.fixture(scope="session")
def crops(detector: FaceDetector, images: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """(12, 112, 112, 3): the left face of every image, then the right face of every image."""
    rows = []
    for image, faces in zip(images, detector.detect(images, score_threshold=0.5), strict=True):
        rows.append([align_face(image, faces.landmarks[row]) for row in np.argsort(faces.boxes[:, 0])])
    return np.concatenate(np.swapaxes(np.array(rows), 0, 1))


def similar(factor: complex, offset: complex) -> NDArray[np.float32]:
    """The template turned and scaled by a factor, and shifted."""
    points = factor * (TEMPLATE @ [1, 1j]) + offset
    return np.column_stack([points.real, points.imag]).astype(np.float32)


def test_embeddings_are_those_that_opencv_computes(embedder: FaceEmbedder, crops: NDArray[np.uint8]) -> None:
    network = cv2.dnn.readNetFromONNX(str(read_weights(SFACE).path))
    network.setInput(cv2.dnn.blobFromImages(list(crops), 1.0, (CROP, CROP), (0, 0, 0), swapRB=True), "data")
    expected = network.forward()
    expected /= np.linalg.norm(expected, axis=1, keepdims=True)
    assert np.min(np.sum(embedder.embed(crops) * expected, axis=1)) >= 0.999


def test_one_person_looks_alike_and_two_people_don_t(embedder: FaceEmbedder, crops: NDArray[np.uint8]) -> None:
    left, right = np.split(embedder.embed(crops), 2)
    assert np.linalg.norm(left, axis=1) == pytest.approx(1)
    for person in (left, right):
        assert np.min(person @ person.mean(axis=0)) > 0.4
    assert np.max(left @ right.T) < 0.3


def test_no_faces_have_no_embeddings(embedder: FaceEmbedder) -> None:
    assert embedder.embed(np.zeros((0, CROP, CROP, 3), np.uint8)).shape == (0, 128)


@pytest.mark.parametrize(
    "device", ["cpu", pytest.param("cuda", marks=pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA"))]
)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float16])
def test_every_device_and_precision_gives_the_same_embeddings(
    embedder: FaceEmbedder, crops: NDArray[np.uint8], device: str, dtype: torch.dtype
) -> None:
    found = FaceEmbedder(device=device, dtype=dtype).embed(crops[:2])
    assert np.min(np.sum(found * embedder.embed(crops[:2]), axis=1)) > 0.999


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
