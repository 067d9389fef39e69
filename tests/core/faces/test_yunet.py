from __future__ import annotations

import cv2
import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from dualface_core.faces.detector import FaceDetector
from dualface_core.faces.yunet import TorchFaceDetector, _faces

THRESHOLD = 0.5


@pytest.mark.parametrize("size", [(640, 360), (640, 352), (320, 192), (333, 250)])
@pytest.mark.parametrize(
    "device", ["cpu", pytest.param("cuda", marks=pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA"))]
)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float16])
def test_torch_finds_the_same_faces_in_every_size_and_precision(
    detector: FaceDetector, images: NDArray[np.uint8], size: tuple[int, int], device: str, dtype: torch.dtype
) -> None:
    shrunk = np.stack([cv2.resize(image, size, interpolation=cv2.INTER_AREA) for image in images[:2]])
    found = TorchFaceDetector(device=device, dtype=dtype).detect(shrunk, score_threshold=THRESHOLD)
    for faces, expected in zip(found, detector.detect(shrunk, score_threshold=THRESHOLD), strict=True):
        assert len(faces) == len(expected) == 2
        np.testing.assert_allclose(faces.boxes, expected.boxes, atol=1)
        np.testing.assert_allclose(faces.landmarks, expected.landmarks, atol=1)
        np.testing.assert_allclose(faces.scores, expected.scores, atol=0.01)


def test_faces_are_the_same_to_the_last_bit_whatever_was_looked_at_before(
    detector: FaceDetector, images: NDArray[np.uint8]
) -> None:
    sizes = [(640, 360), (320, 180), (128, 128)]
    shrunk = [cv2.resize(images[0], size, interpolation=cv2.INTER_AREA)[None] for size in [*sizes, *reversed(sizes)]]
    found = [detector.detect(image, score_threshold=THRESHOLD)[0] for image in shrunk]
    for first, again in zip(found, reversed(found), strict=True):
        assert first.scores.tolist() == sorted(again.scores.tolist(), reverse=True)
        np.testing.assert_array_equal(first.boxes, again.boxes)


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
