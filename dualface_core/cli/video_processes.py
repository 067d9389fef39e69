"""The processes that work on videos where there are several of them: begun early, and kept for the next video.

Belongs here: which there are, and their ends. What is said to them is `batch`'s business. Importing this takes no time.
"""

from __future__ import annotations

import queue
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Final, Self

from dualface_core.system.child_processes import ChildProcess

_END_PATIENCE: Final = 30.0
"""Seconds that a process has for clearing away what it was making, when the user wants no more."""


class VideoProcesses:
    """Processes for one video each at a time: a context manager, at whose end those that are idle end."""

    def __init__(self) -> None:
        self._idle: queue.SimpleQueue[ChildProcess] = queue.SimpleQueue()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        while not self._idle.empty():
            self._idle.get().end()

    def begin(self, count: int) -> None:
        """Have so many load what they will need. They end with the thread that calls this."""
        for _ in range(count):
            self._idle.put(_process())

    @contextmanager
    def one(self) -> Iterator[ChildProcess]:
        """One of them, or a new one where all are at work. It ends if an exception ends the block."""
        try:
            process = self._idle.get_nowait()
        except queue.Empty:
            process = _process()
        with ExitStack() as stack:
            stack.callback(process.end, patience=_END_PATIENCE)
            yield process
            stack.pop_all()
        self._idle.put(process)


def _process() -> ChildProcess:
    return ChildProcess("dualface_core.cli.worker")
