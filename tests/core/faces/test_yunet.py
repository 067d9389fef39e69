from __future__ import annotations

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from dualface_core.faces.detector import FaceDetector
from dualface_core.faces.yunet import CardFaceDetector
from tests.core.compositing.emulated_card import AnyCard, EmulatedCard, without_marks

THRESHOLD = 0.5


@pytest.fixture
def on_card(card: AnyCard, monkeypatch: pytest.MonkeyPatch) -> CardFaceDetector:
    if isinstance(card, EmulatedCard):
        without_marks(monkeypatch)
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
