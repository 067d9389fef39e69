from __future__ import annotations

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from dualface_core.faces.detector import FaceDetector
from dualface_core.faces.yunet import CardFaceDetector, _faces
from tests.core.compositing.emulated_card import AnyCard, EmulatedCard, NoMark

THRESHOLD = 0.5


@pytest.fixture
def on_card(card: AnyCard, monkeypatch: pytest.MonkeyPatch) -> CardFaceDetector:
    if isinstance(card, EmulatedCard):
        monkeypatch.setattr("dualface_core.faces.yunet.Mark", NoMark)
    return CardFaceDetector(card)  # type: ignore[arg-type]  # an emulated one does as well


def test_a_card_finds_what_the_processor_finds_in_every_size(
    detector: FaceDetector, images: NDArray[np.uint8], on_card: CardFaceDetector
) -> None:
    for size in [(640, 360), (333, 250), (320, 192), (640, 360)]:
        shrunk = cv2.resize(images[0], size, interpolation=cv2.INTER_AREA)[np.newaxis]
        for threshold in (0.1, THRESHOLD):
            (faces,) = on_card.detect(shrunk, score_threshold=threshold)
            (expected,) = detector.detect(shrunk, score_threshold=threshold)
            assert len(faces) == len(expected) >= 2
            np.testing.assert_allclose(faces.boxes, expected.boxes, atol=0.01)
            np.testing.assert_allclose(faces.landmarks, expected.landmarks, atol=0.01)
            np.testing.assert_allclose(faces.scores, expected.scores, atol=1e-4)


def test_a_card_finds_nothing_where_there_is_no_face(on_card: CardFaceDetector) -> None:
    (faces,) = on_card.detect(np.zeros((1, 90, 160, 3), np.uint8), score_threshold=THRESHOLD)
    assert len(faces) == 0


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
    boxes, kept = (np.trunc(found).astype(np.float64) for found in (candidates[:, 1:5], faces.boxes))
    assert faces.scores.tolist() == sorted(faces.scores.tolist(), reverse=True)
    for place, box in enumerate(kept):
        assert np.all(overlap(box, kept[place + 1 :]) <= iou)
    for box, score in zip(boxes, candidates[:, 0], strict=True):
        better = (overlap(box, kept) > iou) & (faces.scores >= score)
        assert score in faces.scores or better.any()
