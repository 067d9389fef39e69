"""What faces look like: face crops, turned upright and embedded.

Belongs here: describing crops one by one, whatever the others are, so that many are described in parallel; for each it
takes longer than to find the face. Whose face it is, is `identities`' business.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from dualface_core.engine.workers import Workers
from dualface_core.faces.detector import FaceDetector
from dualface_core.faces.embedder import FaceEmbedder
from dualface_core.faces.face_crops import FaceCrop, upright
from dualface_core.faces.weights import WeightFiles

AT_ONCE: Final = 64
"""Face crops that are gathered before they are described: 7 MB, and work for several processes."""


@dataclass(frozen=True)
class Appearance:
    """Faces as the embedder sees them.

    Attributes:
        embeddings: (n, 128) float32 of length 1.
        quality: (n,) float64, see `FaceCrop.quality`.
    """

    embeddings: NDArray[np.float32]
    quality: NDArray[np.float64]


@dataclass(frozen=True)
class _Task:
    """A face crop to describe, and the networks that do it: some 20 ms, many times as long as handing it over."""

    crop: FaceCrop
    weights: WeightFiles


def describe(workers: Workers | None, crops: Sequence[FaceCrop], weights: WeightFiles) -> Appearance:
    """Describe face crops, at least one, in worker processes where there are any.

    Raises ModelError where a file is not that of its network.
    """
    tasks = [_Task(crop, weights) for crop in crops]
    parts = list(map(_described, tasks) if workers is None else workers.map(_described, tasks, about="faces"))
    embeddings, quality = zip(*parts, strict=True)
    return Appearance(np.concatenate(embeddings), np.array(quality))


def _described(task: _Task) -> tuple[NDArray[np.float32], float]:
    """The embedding of one, (1, 128), and its quality."""
    detector, embedder = FaceDetector(task.weights.detector), FaceEmbedder(task.weights.embedder)
    crop = upright(task.crop, detector)
    return embedder.embed(crop.face[None]), crop.quality
