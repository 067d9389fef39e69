from __future__ import annotations

import cv2
import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from dualface_core.faces.detections import Detections
from dualface_core.faces.weights import YUNET, read_weights
from dualface_core.faces.yunet import FaceDetector, _faces

THRESHOLD = 0.5


def opencv_faces(image: NDArray[np.uint8]) -> Detections:
    """What OpenCV's own run of the same file finds."""
    height, width = image.shape[:2]
    detector = cv2.FaceDetectorYN.create(str(read_weights(YUNET).path), "", (width, height), THRESHOLD, 0.3, 5000)
    rows = detector.detect(image)[1]
    rows = rows[np.argsort(-rows[:, 14])]
    return Detections(rows[:, :4], rows[:, 4:14].reshape(-1, 5, 2), rows[:, 14])


@pytest.mark.parametrize("size", [(640, 360), (640, 352), (320, 192), (333, 250)])
def test_faces_are_those_that_opencv_finds(
    detector: FaceDetector, images: NDArray[np.uint8], size: tuple[int, int]
) -> None:
    shrunk = np.stack([cv2.resize(image, size, interpolation=cv2.INTER_AREA) for image in images])
    for image, faces in zip(shrunk, detector.detect(shrunk, score_threshold=THRESHOLD), strict=True):
        expected = opencv_faces(image)
        assert len(faces) == len(expected) == 2
        np.testing.assert_allclose(faces.boxes, expected.boxes, atol=1)
        np.testing.assert_allclose(faces.landmarks, expected.landmarks, atol=1)
        np.testing.assert_allclose(faces.scores, expected.scores, atol=0.01)


def test_a_picture_has_the_same_faces_alone_and_in_a_batch(detector: FaceDetector, images: NDArray[np.uint8]) -> None:
    together = detector.detect(images, score_threshold=THRESHOLD)
    for image, faces in zip(images, together, strict=True):
        (alone,) = detector.detect(image[None], score_threshold=THRESHOLD)
        np.testing.assert_allclose(faces.boxes, alone.boxes, atol=1e-3)


def test_black_margins_don_t_move_the_faces(detector: FaceDetector, images: NDArray[np.uint8]) -> None:
    padded = cv2.copyMakeBorder(images[0], 0, 75, 0, 130, cv2.BORDER_CONSTANT)
    (faces,) = detector.detect(images[:1], score_threshold=THRESHOLD)
    (same,) = detector.detect(padded[None], score_threshold=THRESHOLD)
    np.testing.assert_allclose(same.boxes, faces.boxes, atol=1)


def test_a_higher_threshold_leaves_out_the_fainter_faces(detector: FaceDetector, images: NDArray[np.uint8]) -> None:
    (every,) = detector.detect(images[:1], score_threshold=0.05)
    (sure,) = detector.detect(images[:1], score_threshold=0.7)
    assert len(every) > len(sure) == 2
    np.testing.assert_array_equal(every.boxes[:2], sure.boxes)


def test_nothing_is_found_where_there_is_no_face(detector: FaceDetector) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (2, 96, 128, 3), np.uint8)
    for faces in detector.detect(noise, score_threshold=THRESHOLD):
        assert len(faces) == 0
        assert faces.boxes.shape == (0, 4)
        assert faces.landmarks.shape == (0, 5, 2)


def test_a_read_only_picture_will_do(detector: FaceDetector, images: NDArray[np.uint8]) -> None:
    image = images[:1].copy()
    image.flags.writeable = False
    assert len(detector.detect(image, score_threshold=THRESHOLD)[0]) == 2


@pytest.mark.parametrize(
    "device", ["cpu", pytest.param("cuda", marks=pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA"))]
)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float16])
def test_every_device_and_precision_finds_the_same_faces(
    detector: FaceDetector, images: NDArray[np.uint8], device: str, dtype: torch.dtype
) -> None:
    expected = detector.detect(images[:2], score_threshold=THRESHOLD)
    found = FaceDetector(device=device, dtype=dtype).detect(images[:2], score_threshold=THRESHOLD)
    for faces, reference in zip(found, expected, strict=True):
        np.testing.assert_allclose(faces.boxes, reference.boxes, atol=1)
        np.testing.assert_allclose(faces.scores, reference.scores, atol=0.01)


def overlap(box: NDArray[np.float64], others: NDArray[np.float64]) -> NDArray[np.float64]:
    """IoU of one (4,) box with (N, 4) boxes, each x, y, width, height; (N,)."""
    shared = np.minimum(box[:2] + box[2:], others[:, :2] + others[:, 2:]) - np.maximum(box[:2], others[:, :2])
    area = np.prod(np.maximum(shared, 0), axis=1)
    return area / (np.prod(box[2:]) + np.prod(others[:, 2:], axis=1) - area)


@given(count=st.integers(0, 30), seed=st.integers(0, 2**32 - 1), iou=st.floats(0, 1))
def test_suppression_keeps_the_best_of_every_overlapping_group(count: int, seed: int, iou: float) -> None:
    rng = np.random.default_rng(seed)
    scores, places, sizes = rng.random((count, 1)), rng.uniform(0, 100, (count, 2)), rng.uniform(1, 60, (count, 2))
    candidates = np.hstack([scores, places, sizes, np.zeros((count, 10))]).astype(np.float32)
    faces = _faces(candidates, iou)
    boxes, kept = candidates[:, 1:5].astype(np.float64), faces.boxes.astype(np.float64)
    assert faces.scores.tolist() == sorted(faces.scores.tolist(), reverse=True)
    for place, box in enumerate(kept):
        assert np.all(overlap(box, kept[place + 1 :]) <= iou)
    for box, score in zip(boxes, candidates[:, 0], strict=True):
        better = (overlap(box, kept) > iou) & (faces.scores >= score)
        assert score in faces.scores or better.any()
