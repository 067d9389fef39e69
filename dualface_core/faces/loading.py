"""Importing this module begins to load both networks, for the processes that are forked from this one.

Belongs here: what takes a processor long and leaves Python to others, so that they import meanwhile; and that is in
memory which those processes share. `loaded` waits for it. A file that is missing or wrong is told by the task that
needs it.
"""

from __future__ import annotations

from contextlib import suppress
from threading import Thread
from typing import Final

import numpy as np

from dualface_core.errors import MachineError, ModelError
from dualface_core.faces.attire import attire
from dualface_core.faces.detector import FaceDetector
from dualface_core.faces.embedder import FaceEmbedder


def _load() -> None:
    for model in (FaceDetector, FaceEmbedder):
        with suppress(ModelError, MachineError):
            model()
    attire(np.zeros((40, 40, 3), np.uint8), np.array([10, 10, 10, 10], np.float32))  # OpenCV's tables of CIELAB


LOADING: Final = Thread(target=_load)
LOADING.start()
