"""Processes of our own for what a driver may hang, crash or poison: how they are started.

Belongs here: the command and the environment. What such a process does is its own module's business.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Final

_ROOT: Final = Path(__file__).resolve().parents[2]


def command(module: str, *arguments: str) -> list[str]:
    """The command that runs a module of ours."""
    return [sys.executable, "-m", module, *arguments]


def environment(gpu: str | None) -> dict[str, str]:
    """This process's environment, changed for a process of ours.

    Args:
        gpu: UUID of the only card that it may see. CUDA counts cards in another order than NVML does, and
            CUDA_VISIBLE_DEVICES changes the numbers; a UUID is the same card for both. Anything that is no UUID leaves
            the choice to the driver.
    """
    changed = dict(os.environ)
    if gpu is not None and gpu.startswith("GPU-"):
        changed["CUDA_VISIBLE_DEVICES"] = gpu
    if Path.cwd() != _ROOT:
        changed["PYTHONSAFEPATH"] = "1"  # a folder of videos may hold a json.py, and `-m` would import that
    return changed
