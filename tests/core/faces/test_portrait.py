from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from dualface_core.errors import MissingInputError, PortraitError
from dualface_core.faces.alignment import align_face
from dualface_core.faces.detector import FaceDetector
from dualface_core.faces.embedder import FaceEmbedder
from dualface_core.faces.portrait import Portrait


def saved(image: NDArray[np.uint8], folder: Path) -> Path:
    path = folder / "face.png"
    cv2.imwrite(str(path), image)
    return path


@pytest.mark.parametrize("enlarged", [1, 6])
def test_a_portrait_is_like_its_person(
    detector: FaceDetector, embedder: FaceEmbedder, images: NDArray[np.uint8], tmp_path: Path, enlarged: int
) -> None:
    (faces,) = detector.detect(images[:1], score_threshold=0.5)
    left, right = sorted(range(2), key=lambda row: float(faces.boxes[row, 0]))
    image = cv2.resize(images[0, :, :320], None, fx=enlarged, fy=enlarged)
    portrait = Portrait.read(saved(np.asarray(image, np.uint8), tmp_path), detector, embedder)
    people = embedder.embed(np.stack([align_face(images[0], faces.landmarks[row]) for row in (left, right)]))
    own, other = people @ portrait.embedding
    assert own > 0.8
    assert other < 0.3


def test_what_is_no_image_is_refused(detector: FaceDetector, embedder: FaceEmbedder, tmp_path: Path) -> None:
    path = tmp_path / "face.jpg"
    with pytest.raises(MissingInputError, match="there is no such file"):
        Portrait.read(path, detector, embedder)
    for content in (b"", b"a letter"):
        path.write_bytes(content)
        with pytest.raises(PortraitError, match="not an image"):
            Portrait.read(path, detector, embedder)


def test_an_image_of_nobody_or_of_several_is_refused(
    detector: FaceDetector, embedder: FaceEmbedder, images: NDArray[np.uint8], tmp_path: Path
) -> None:
    with pytest.raises(PortraitError, match="no face was found"):
        Portrait.read(saved(np.full((90, 90, 3), 128, np.uint8), tmp_path), detector, embedder)
    with pytest.raises(PortraitError, match="2 faces were found in it, not one"):
        Portrait.read(saved(images[0], tmp_path), detector, embedder)


def test_a_small_face_in_the_background_of_a_portrait_does_not_count(
    detector: FaceDetector, embedder: FaceEmbedder, images: NDArray[np.uint8], tmp_path: Path
) -> None:
    alone = np.asarray(cv2.resize(images[0, :, :320], None, fx=3, fy=3), np.uint8)
    behind = alone.copy()
    behind[:360, :320] = images[0, :, 320:]
    own, with_another = (Portrait.read(saved(image, tmp_path), detector, embedder) for image in (alone, behind))
    assert own.embedding @ with_another.embedding > 0.9
