"""The process that works on the videos of a batch: `python -m dualface_core.cli.worker`, started by `batch`.

Belongs here: what happens in that process, and what it and its parent say, one JSON document a line. Each video of a
batch is worked on outside of the command's own process, for two reasons: a library that crashes takes one video with
it and not the others, and videos don't wait for one another at Python's lock.
"""

from __future__ import annotations

import _thread
import faulthandler
import queue
import signal
import sys
import threading
import traceback
from collections.abc import Callable
from contextlib import ExitStack, suppress
from pathlib import Path
from time import monotonic
from typing import TYPE_CHECKING, Annotated, Final, Literal, Self

from pydantic import BaseModel, Field

from dualface_core import pipeline
from dualface_core.engine.card import CardAccess
from dualface_core.errors import DualfaceError
from dualface_core.rendering.messages import Failed
from dualface_core.rendering.report import EncodeReport
from dualface_core.settings import Settings
from dualface_core.system.child_processes import end_with_parent, message_channel
from dualface_core.system.garbage import collect_rarely
from dualface_core.system.memory import keep_freed_memory
from dualface_core.system.threads import limit_library_threads

if TYPE_CHECKING:
    from dualface_core.engine.workers import Workers

_REPORT_EVERY: Final = 0.1
"""Seconds between two messages about the progress of one step."""


class Task(BaseModel):
    """A video to work on, as the parent hands it over: see `pipeline.process`.

    `card` are the processes for a card that all videos share, and `place` is that of the video among them.
    """

    video: Path
    output: Path
    settings: Settings
    keep_load: bool
    review: bool
    card: CardAccess | None
    place: int


class Progressed(BaseModel):
    """So many frames of a step are done."""

    kind: Literal["progressed"] = "progressed"
    step: str
    done: int
    total: int


class Made(BaseModel):
    """The result is there, and verified."""

    kind: Literal["made"] = "made"
    report: EncodeReport


class NotMade(BaseModel):
    """It did not work. `bug` is true for an error that is none of ours to explain."""

    kind: Literal["not-made"] = "not-made"
    error: Failed
    traceback: str
    bug: bool = False

    @classmethod
    def of(cls, video: Path, error: Exception) -> Self:
        """Pack an error that was raised while this video was worked on."""
        told, bug = error, False
        if not isinstance(told, DualfaceError):
            told, bug = DualfaceError(f"{video}: a bug in dualface stopped the work. Please report it."), True
        return cls(error=Failed.of(told), traceback="".join(traceback.format_exception(error)), bug=bug)


Message = Annotated[Progressed | Made | NotMade, Field(discriminator="kind")]
"""What this process says."""


def main() -> None:
    """Work on the videos that come as lines on standard input, one after the other, until it ends."""
    faulthandler.enable()
    signal.signal(signal.SIGINT, signal.default_int_handler)  # also where the parent ignores it
    collect_rarely()
    limit_library_threads()
    keep_freed_memory()
    end_with_parent(orderly=True)
    say = message_channel()
    tasks: queue.SimpleQueue[Task] = queue.SimpleQueue()
    with suppress(KeyboardInterrupt), ExitStack() as stack:
        threading.Thread(target=_hear, args=[tasks], daemon=True).start()
        task = tasks.get()
        workers = stack.enter_context(pipeline.workers_of_batch(task.settings, task.card))
        while True:
            say(work(workers, task, _Reporter(say)).model_dump_json())
            task = tasks.get()


def _hear(tasks: queue.SimpleQueue[Task]) -> None:
    """Take tasks until the parent has no more to say, or is gone: then what is in work ends, and clears away."""
    for line in sys.stdin:
        tasks.put(Task.model_validate_json(line))
    _thread.interrupt_main()


def work(workers: Workers, task: Task, progress: Callable[[str, int, int], None]) -> Made | NotMade:
    """Make the result of a video; `progress` is called as `pipeline.process` does, and may raise to stop the work."""
    workers.place = task.place
    try:
        report = pipeline.process(
            task.video,
            task.output,
            settings=task.settings,
            keep_load=task.keep_load,
            review=task.review,
            workers=workers,
            progress=progress,
        )
    except Exception as error:  # noqa: BLE001  told by who asked for it, with its traceback
        return NotMade.of(task.video, error)
    return Made(report=report)


class _Reporter:
    """Tells the parent how far the work is, not more often than a person can see."""

    def __init__(self, say: Callable[[str], None]) -> None:
        self._say = say
        self._step = ""
        self._next = 0.0

    def __call__(self, step: str, done: int, total: int) -> None:
        now = monotonic()
        if step != self._step or done == total or now >= self._next:
            self._step, self._next = step, now + _REPORT_EVERY
            self._say(Progressed(step=step, done=done, total=total).model_dump_json())


if __name__ == "__main__":
    main()
