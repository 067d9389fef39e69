from __future__ import annotations

import logging
import time
from collections.abc import Callable

import numpy as np
import pytest
import torch

from dualface_core.faces.card_detector import CardFaceDetector
from dualface_core.faces.detector import FaceDetector
from dualface_core.faces.yunet import TorchFaceDetector
from dualface_core.media.probe import probe
from dualface_core.media.reader import VideoReader
from tests.conftest import SampleClip


def until(condition: Callable[[], object]) -> None:
    while not condition():
        time.sleep(0.005)


def test_the_processor_finds_faces_until_the_card_is_set_up(sample_clip: SampleClip) -> None:
    with VideoReader(probe(sample_clip("talk"))) as reader:
        image = next(iter(reader)).bgr()[None]
    detector = CardFaceDetector(size=(image.shape[2], image.shape[1]), device="cpu")
    (first,) = detector.detect(image, score_threshold=0.6)
    (expected,) = FaceDetector().detect(image, score_threshold=0.6)
    assert len(expected.scores) == 2
    np.testing.assert_array_equal(first.boxes, expected.boxes)
    until(lambda: isinstance(detector._detector, TorchFaceDetector))
    (then,) = detector.detect(image, score_threshold=0.6)
    np.testing.assert_allclose(then.boxes, expected.boxes, atol=0.01)


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a card")
def test_where_there_is_no_card_the_processor_goes_on_and_the_log_says_why(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        detector = CardFaceDetector(size=(64, 64))
        until(lambda: "The processor looks for faces" in caplog.text)
    assert len(detector.detect(np.zeros((1, 64, 64, 3), np.uint8), score_threshold=0.6)[0].scores) == 0
