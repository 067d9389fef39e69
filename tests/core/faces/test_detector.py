from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from dualface_core.faces.detector import FaceDetector
from dualface_core.faces.weights import YUNET, read_weights
from dualface_core.media.probe import probe
from dualface_core.media.reader import VideoReader
from tests.conftest import SampleClip


def test_threads_find_side_by_side_what_one_finds(sample_clip: SampleClip) -> None:
    with VideoReader(probe(sample_clip("talk"))) as reader:
        images = [frame.bgr(width)[None] for frame, width in zip(reader, [640, 320, 480, 640] * 3, strict=False)]
    detector = FaceDetector()

    def boxes(image: np.ndarray[tuple[int, ...], np.dtype[np.uint8]]) -> list[list[float]]:
        return detector.detect(image, score_threshold=0.5)[0].boxes.tolist()  # type: ignore[no-any-return]  # of NumPy

    with ThreadPoolExecutor(4) as threads:
        assert list(threads.map(boxes, images)) == list(map(boxes, images))


@pytest.mark.parametrize("size", [(640, 360), (160, 90), (333, 250)])
def test_faces_are_those_that_opencv_finds_with_the_same_file(
    detector: FaceDetector, images: NDArray[np.uint8], size: tuple[int, int]
) -> None:
    opencv = cv2.FaceDetectorYN.create(str(read_weights(YUNET).path), "", size, 0.2, 0.3, 5000)
    for image in images:
        shrunk = cv2.resize(image, size, interpolation=cv2.INTER_AREA)
        (faces,) = detector.detect(shrunk[None], score_threshold=0.2)
        found = np.hstack([faces.boxes, faces.landmarks.reshape(-1, 10), faces.scores[:, None]])
        np.testing.assert_allclose(found, opencv.detect(shrunk)[1], atol=1e-3)
