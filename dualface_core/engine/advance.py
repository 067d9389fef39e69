"""How far a task is, said where its work is done; and that nobody wants it any more, heard there.

Belongs here: what work and those who wait for it have in common, wherever it is done: in a worker, in a process for a
card, in a thread.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar


class Stopped(BaseException):
    """The caller wants no more of this task; not an Exception, so that no task takes it for a failure of its own."""


_advance: ContextVar[Callable[[int], None] | None] = ContextVar("advance", default=None)


def advance(frames: int) -> None:
    """Say, in a task, that so many more frames are done; a task that is not wanted any more ends here.

    To be called about once a frame, in the thread that runs the task. Outside of a task nothing happens.
    """
    if told := _advance.get():
        told(frames)


@contextmanager
def advancing(told: Callable[[int], None]) -> Iterator[None]:
    """Have `advance` call this within a block, in threads that copy this one's context, too."""
    token = _advance.set(told)
    try:
        yield
    finally:
        _advance.reset(token)
