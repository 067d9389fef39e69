"""What processes for tasks have loaded before their first one, and beginning with that.

Belongs here: the names of those modules, most of them of rooms above this one, and multiprocessing's fork server, which
loads them. This module itself loads nothing that takes time, so that a program may begin here before anything else: all
that it loads itself meanwhile is for nothing while it waits for these processes.
"""

from __future__ import annotations

import signal
import sys
from collections.abc import Sequence
from multiprocessing import forkserver
from pathlib import Path
from typing import Final

from dualface_core.system.memory import use_one_heap
from dualface_core.system.threads import SWITCH, limit_library_threads

_FIRST: Final = "dualface_core.engine.uncollected"
_HEAVY: Final = ("numpy", "cv2", "av")
"""Modules that every kind of task uses, and that take long to load."""
_LAST: Final = "dualface_core.engine.frozen"

OF_STEPS: Final = (
    "dualface_core.faces.loading",
    "dualface_core.tracking.observation",
    "dualface_core.rendering.spans",
    "dualface_core.verification.ahead",
    "dualface_core.faces.loaded",
)
"""What tasks of the steps of a video load besides."""

_LARGE: Final = 4_000_000
"""Bytes of a file from which loading begins before it is known how long it is. What is so large takes longer to decode
than processes take to be ready, even if it is short: then they are made in vain, but on a core that is idle."""


def is_large(path: Path) -> bool:
    """Whether a file is so large that processes are worth it, whatever it holds. One that cannot be seen is not."""
    try:
        return path.stat().st_size >= _LARGE
    except (OSError, ValueError):  # told by who reads it
        return False


def begin_to_load(modules: Sequence[str]) -> None:
    """Have the process that others will be forked from load these, while the caller goes on. Safe to call again."""
    limit_library_threads()
    sys.setswitchinterval(SWITCH)
    use_one_heap()  # or each thread that brings results keeps the memory of some
    forkserver.set_forkserver_preload([_FIRST, *_HEAVY, *modules, _LAST])
    # A terminal sends Ctrl-C to all processes, and this one tells the others what ends.
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        forkserver.ensure_running()
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
