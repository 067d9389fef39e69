"""Importing this module loads both networks, for the processes that are forked from this one: they share the memory.

Belongs here: nothing else. A file that is missing or wrong is told by the task that needs it.
"""

from __future__ import annotations

from contextlib import suppress

from dualface_core.errors import MachineError, ModelError
from dualface_core.faces.detector import FaceDetector
from dualface_core.faces.embedder import FaceEmbedder

for _model in (FaceDetector, FaceEmbedder):
    with suppress(ModelError, MachineError):
        _model()
