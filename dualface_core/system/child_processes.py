"""Processes of our own for what a driver may hang, crash or poison: how they are started.

Belongs here: the command and the environment. What such a process does is its own module's business.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys
from pathlib import Path
from typing import Final

_PR_SET_PDEATHSIG: Final = 1
_PARENT: Final = "DUALFACE_PARENT_PROCESS"

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
    changed = dict(os.environ) | {_PARENT: str(os.getpid())}
    if gpu is not None and gpu.startswith("GPU-"):
        changed["CUDA_VISIBLE_DEVICES"] = gpu
    if Path.cwd() != _ROOT:
        changed["PYTHONSAFEPATH"] = "1"  # a folder of videos may hold a json.py, and `-m` would import that
    return changed


def end_with_parent(*, orderly: bool = False) -> None:
    """Have the kernel end this process when the thread that started it does, even where a driver hangs in it.

    Args:
        orderly: leave it three seconds to end by itself. Then the signal is SIGQUIT and its handler is C's `alarm`,
            which takes the number of the signal, 3, for seconds, and needs neither Python nor its lock, which a driver
            that hangs may hold.
    """
    libc = ctypes.CDLL(None)
    if orderly:
        libc.signal(signal.SIGQUIT, libc.alarm)
    libc.prctl(_PR_SET_PDEATHSIG, signal.SIGQUIT if orderly else signal.SIGKILL)
    if os.environ.get(_PARENT) != str(os.getppid()):  # it has gone already
        os.kill(os.getpid(), signal.SIGKILL)
