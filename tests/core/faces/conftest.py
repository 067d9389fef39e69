from __future__ import annotations

from collections.abc import Callable
from itertools import islice
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from dualface_core.faces.detector import FaceDetector
from dualface_core.faces.embedder import FaceEmbedder
from dualface_core.media.probe import probe
from dualface_core.media.reader import VideoReader


@pytest.fixture(scope="session")
def images(sample_clip: Callable[..., Path]) -> NDArray[np.uint8]:
    """(6, 360, 640, 3) BGR: a woman and a man side by side, at several times."""
    with VideoReader(probe(sample_clip("talk"))) as reader:
        return np.stack([frame.bgr() for frame in islice(reader, 0, 60, 10)])


@pytest.fixture(scope="session")
def detector() -> FaceDetector:
    return FaceDetector()


@pytest.fixture(scope="session")
def embedder() -> FaceEmbedder:
    return FaceEmbedder()
