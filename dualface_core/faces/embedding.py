"""Many faces embedded side by side, in worker processes where there are any; which ones, is their caller's business."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from dualface_core.engine.advance import advance
from dualface_core.engine.workers import Workers
from dualface_core.faces.embedder import FaceEmbedder

_OF_TASK: Final = 2
"""Faces of one task, which takes some hundredths of a second: many times as long as handing it over."""


@dataclass(frozen=True)
class _Task:
    """(N, 112, 112, 3) uint8 BGR, and the weights of the embedder."""

    faces: NDArray[np.uint8]
    weights: Path | None


def embed(workers: Workers | None, faces: NDArray[np.uint8], weights: Path | None) -> NDArray[np.float32]:
    """(N, 112, 112, 3) uint8 BGR, aligned, to (N, 128) float32 of length 1; at least one.

    Raises ModelError if the file is missing, or is not the embedder's.
    """
    tasks = [_Task(faces[first : first + _OF_TASK], weights) for first in range(0, len(faces), _OF_TASK)]
    return np.concatenate(
        list(map(_embedded, tasks) if workers is None else workers.map(_embedded, tasks, about="faces"))
    )


def _embedded(task: _Task) -> NDArray[np.float32]:
    advance(0)
    return FaceEmbedder(task.weights).embed(task.faces)
