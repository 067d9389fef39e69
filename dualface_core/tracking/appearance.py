"""What faces look like: face crops, turned upright and embedded.

Belongs here: describing crops one by one, whatever the others are, so that many are described in parallel; for each it
takes longer than to find the face. Whose face it is, is `identities`' business.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from dualface_core.engine.workers import Workers, advance
from dualface_core.faces.face_crops import FaceCrop, upright
from dualface_core.faces.sface import FaceEmbedder
from dualface_core.faces.yunet import FaceDetector

AT_ONCE: Final = 64
"""Face crops that are gathered before they are described: 7 MB, and work for several processes."""

_OF_TASK: Final = 16
"""Face crops of one task, which takes half a second or so: about as long as a process needs to load the models."""


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
class CropsTask:
    """Face crops, and the models' files; None for the packaged ones."""

    crops: Sequence[FaceCrop]
    detector_weights: Path | None
    embedder_weights: Path | None


def describe(crops: Sequence[FaceCrop], detector: FaceDetector, embedder: FaceEmbedder) -> Appearance:
    """Describe face crops, at least one."""
    turned = []
    for crop in crops:
        advance(0)
        turned.append(upright(crop, detector))
    embeddings = embedder.embed(np.stack([crop.face for crop in turned]))
    return Appearance(embeddings, np.array([crop.quality for crop in turned]))


def describe_task(task: CropsTask) -> Appearance:
    """The same for a task. Raises ModelError."""
    return describe(task.crops, FaceDetector(task.detector_weights), FaceEmbedder(task.embedder_weights))


def describe_with(
    workers: Workers | None, crops: Sequence[FaceCrop], detector: FaceDetector, embedder: FaceEmbedder
) -> Appearance:
    """Describe face crops in worker processes, where there are any and enough crops. The result is the same."""
    if workers is None or workers.most == 1 or len(crops) <= _OF_TASK:
        return describe(crops, detector, embedder)
    tasks = [
        CropsTask(crops[first : first + _OF_TASK], detector.weights, embedder.weights)
        for first in range(0, len(crops), _OF_TASK)
    ]
    parts = list(workers.map(describe_task, tasks, about="faces"))
    return Appearance(
        np.concatenate([part.embeddings for part in parts]), np.concatenate([part.quality for part in parts])
    )
