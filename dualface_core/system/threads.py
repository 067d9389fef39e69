"""What libraries do to the threads of a process: how many their pools have, how those are scheduled, and Python's lock.

Belongs here: the two rules that keep a library from taking the machine. A count of threads is the whole process's, and
several videos may be in work in it; so nothing on the way may change it. Threads of a pool wait for one another by
spinning: where a decoder, an encoder or another video wants the cores too, most of their time goes into that
(docs/decisions/0004). ONNX Runtime is told by whoever opens a network (`faces/detector.py`).
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

SWITCH: Final = 0.0005
"""Seconds for which a thread may keep Python's lock from others. Results come through pipes in pieces of 64 kB, and for
each a thread waits for the lock: with Python's 5 ms, megabytes of many workers took most of a second."""


def limit_library_threads() -> None:
    """Give OpenCV, Arrow, and BLAS under NumPy and SciPy, one thread, in this process and those that it starts.

    It is to be called by a program, before it uses any of them: they read these variables of the environment when they
    are first used, and so need not be loaded here. A variable that is set already stays as it is.
    """
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    os.environ.setdefault("OPENCV_FOR_THREADS_NUM", "1")


@contextmanager
def unchanged_scheduling() -> Iterator[None]:
    """Let an encoder that opens leave the scheduling of this process as it is.

    SVT-AV1, where it may (as root, so in containers), makes the thread that opens it and all of its own real-time
    threads, which threads and processes made later inherit: whatever of them spins stops the whole machine.
    """
    tasks = Path("/proc/self/task")
    if not tasks.exists():
        yield
        return
    policy, parameters = os.sched_getscheduler(0), os.sched_getparam(0)
    before: dict[str, int] = {}
    for entry in tasks.iterdir():
        with suppress(ProcessLookupError):
            before[entry.name] = os.sched_getscheduler(int(entry.name))
    try:
        yield
    finally:
        for entry in tasks.iterdir():
            with suppress(ProcessLookupError, PermissionError):
                if os.sched_getscheduler(int(entry.name)) != before.get(entry.name, policy):
                    os.sched_setscheduler(int(entry.name), policy, parameters)
