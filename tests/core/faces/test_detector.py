from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import numpy as np

from dualface_core.faces.detector import FaceDetector
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
