from __future__ import annotations

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from dualface_core.faces.detections import Detections
from dualface_core.faces.detector import FaceDetector
from dualface_core.faces.embedder import FaceEmbedder
from dualface_core.faces.face_crops import SIDE, FaceCrop, crop_square, make_face_crop, upright


def face_crop_of(image: NDArray[np.uint8], faces: Detections, row: int) -> FaceCrop:
    x, y, side = crop_square(faces.boxes[row])
    rows = np.clip(np.arange(y, y + side), 0, image.shape[0] - 1)
    columns = np.clip(np.arange(x, x + side), 0, image.shape[1] - 1)
    square = image[np.ix_(rows, columns)]
    return make_face_crop(square, faces.boxes[row], faces.landmarks[row], score=float(faces.scores[row]))


def tilted(image: NDArray[np.uint8], box: NDArray[np.float32], degrees: float) -> NDArray[np.uint8]:
    """The image turned about a face."""
    middle = (float(box[0] + box[2] / 2), float(box[1] + box[3] / 2))
    matrix = cv2.getRotationMatrix2D(middle, degrees, 1)
    size = (image.shape[1], image.shape[0])
    return np.asarray(cv2.warpAffine(image, matrix, size, borderMode=cv2.BORDER_REPLICATE), np.uint8)


def test_the_face_is_in_the_middle_of_a_portrait_and_half_as_high(
    detector: FaceDetector, images: NDArray[np.uint8]
) -> None:
    (faces,) = detector.detect(images[:1], score_threshold=0.5)
    for row in range(2):
        crop = face_crop_of(images[0], faces, row)
        assert crop.image.shape == (SIDE, SIDE, 3)
        (found,) = detector.detect(crop.image[None], score_threshold=0.5)
        assert found.boxes[0, :2] + found.boxes[0, 2:] / 2 == pytest.approx(SIDE / 2, abs=4)
        assert max(found.boxes[0, 2:]) == pytest.approx(SIDE / 2, rel=0.1)
        assert crop.landmarks == pytest.approx(found.landmarks[0], abs=4)


def test_the_face_crop_of_a_face_at_the_edge_reaches_beyond_the_picture() -> None:
    box = np.float32([-10, -10, 30, 40])
    x, y, side = crop_square(box)
    assert (x, y, side) == (-36, -30, 80)


@pytest.mark.parametrize("degrees", [-40, 40])
def test_a_tilted_head_is_recognized(
    detector: FaceDetector, embedder: FaceEmbedder, images: NDArray[np.uint8], degrees: float
) -> None:
    (faces,) = detector.detect(images[:1], score_threshold=0.5)
    for row in range(2):
        straight = embedder.embed(face_crop_of(images[0], faces, row).face[None])[0]
        image = tilted(images[0], faces.boxes[row], degrees)
        (found,) = detector.detect(image[None], score_threshold=0.5)
        nearest = int(np.argmin(np.abs(found.boxes - faces.boxes[row]).sum(axis=1)))
        as_detected = face_crop_of(image, found, nearest)
        turned = upright(as_detected, detector)
        before, after = embedder.embed(np.stack([as_detected.face, turned.face])) @ straight
        assert after > 0.75
        assert after > before + 0.1


def test_an_upright_head_keeps_its_landmarks(detector: FaceDetector, images: NDArray[np.uint8]) -> None:
    (faces,) = detector.detect(images[:1], score_threshold=0.5)
    for row in range(2):
        crop = face_crop_of(images[0], faces, row)
        assert upright(crop, detector) is crop


def test_a_portrait_without_a_face_stays_as_it_is(detector: FaceDetector) -> None:
    crop = FaceCrop(np.zeros((SIDE, SIDE, 3), np.uint8), np.zeros((5, 2), np.float32), 0.6, 50)
    assert upright(crop, detector) is crop


def test_small_faint_and_turned_faces_are_less_clear(detector: FaceDetector, images: NDArray[np.uint8]) -> None:
    (faces,) = detector.detect(images[:1], score_threshold=0.5)
    crop = face_crop_of(images[0], faces, 0)
    squeezed = (crop.landmarks - SIDE / 2) * np.float32([0.3, 1]) + SIDE / 2
    assert 0.6 < crop.quality <= 1
    assert FaceCrop(crop.image, crop.landmarks, crop.score, 20).quality < crop.quality / 2
    assert FaceCrop(crop.image, crop.landmarks, 0.3, crop.size).quality < crop.quality / 2
    assert FaceCrop(crop.image, squeezed, crop.score, crop.size).quality < crop.quality / 2
