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

from dualface_core.engine.workers import Workers, advance
from dualface_core.faces.detector import FaceDetector
from dualface_core.faces.embedder import FaceEmbedder
from dualface_core.faces.face_crops import FaceCrop, upright
from dualface_core.faces.weights import WeightFiles

AT_ONCE: Final = 64
"""Face crops that are gathered before they are described: 7 MB, and work for several processes."""

_OF_TASK: Final = 2
"""Face crops of one task, which takes half a tenth of a second or so: many times as long as handing it over."""


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
    """Face crops to describe, and the networks that do it."""

    crops: Sequence[FaceCrop]
    weights: WeightFiles


def describe(workers: Workers | None, crops: Sequence[FaceCrop], weights: WeightFiles) -> Appearance:
    """Describe face crops, at least one, in worker processes where there are any.

    Raises ModelError where a file is not that of its network.
    """
    tasks = [_Task(crops[first : first + _OF_TASK], weights) for first in range(0, len(crops), _OF_TASK)]
    parts = list(map(_described, tasks) if workers is None else workers.map(_described, tasks, about="faces"))
    return Appearance(
        np.concatenate([part.embeddings for part in parts]), np.concatenate([part.quality for part in parts])
    )


def _described(task: _Task) -> Appearance:
    detector, embedder = FaceDetector(task.weights.detector), FaceEmbedder(task.weights.embedder)
    turned = []
    for crop in task.crops:
        advance(0)
        turned.append(upright(crop, detector))
    embeddings = embedder.embed(np.stack([crop.face for crop in turned]))
    return Appearance(embeddings, np.array([crop.quality for crop in turned]))
