"""A process that does tasks on a card: `python -m dualface_core.engine.card_process`, started by `card`.

Belongs here: what happens in that process. Each connection has a thread, and does one task at a time; how many of them
are at work at once, and whose turn it is, says a gate.
"""

from __future__ import annotations

import logging
import select
import socket
import sys
import threading
from bisect import insort
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import count
from multiprocessing.connection import Connection
from pkgutil import resolve_name
from time import monotonic, thread_time

from dualface_core.engine.card import BEAT, Answer, Request, Service
from dualface_core.engine.cores import Core, CoreBudget
from dualface_core.engine.workers import Stopped, advancing
from dualface_core.system.child_processes import end_with_parent, message_channel
from dualface_core.system.memory import keep_freed_memory
from dualface_core.system.threads import SWITCH, limit_library_threads

_LOGGER = logging.getLogger(__name__)


class Gate:
    """Whose turn it is: of the tasks that wait, the first one of the video that came first.

    Args:
        tasks: how many may be at work at once.
        memory: bytes of the card that these may take together. One that takes more is at work alone.
        cores: of which one is held while there is work, if one is free; who has none goes on all the same, since
            the card would have nothing to do.
    """

    def __init__(self, tasks: int, memory: int, cores: CoreBudget) -> None:
        self._tasks = tasks
        self._memory = memory
        self._cores = cores
        self._core: Core | None = None
        self._working: list[int] = []
        self._waiting: list[tuple[tuple[int, int], int]] = []
        self._numbers = count()
        self._changed = threading.Condition()

    @contextmanager
    def turn(self, place: tuple[int, int], memory: int) -> Iterator[None]:
        """Wait for the turn of a task, by the place of its video and its number there, and hold what it takes."""
        with self._changed:
            ticket = place, next(self._numbers)
            insort(self._waiting, ticket)
            self._changed.wait_for(lambda: self._waiting[0] == ticket and self._has_room(memory))
            self._waiting.remove(ticket)
            self._working.append(memory)
            self._core = self._core or self._cores.attempt()
            self._changed.notify_all()
        try:
            yield
        finally:
            with self._changed:
                self._working.remove(memory)
                if self._core is not None and not self._working:
                    self._core.release()
                    self._core = None
                self._changed.notify_all()

    def _has_room(self, memory: int) -> bool:
        if not self._working:
            return True
        return len(self._working) < self._tasks and sum(self._working) + memory <= self._memory


def main() -> None:
    """Set up what tasks will need, and do those that come, until the process that started this one ends."""
    limit_library_threads()
    keep_freed_memory()
    sys.setswitchinterval(SWITCH)
    end_with_parent()
    logging.basicConfig(handlers=[_Said(message_channel())])
    service = Service.model_validate_json(sys.stdin.readline())
    try:
        resolve_name(service.set_up)()
    except Exception as error:  # noqa: BLE001  each task meets it again, and its caller is told
        _LOGGER.warning("%s", error)
    gate = Gate(service.threads, service.memory, CoreBudget(service.runtime, cores=service.cores))
    with socket.socket(fileno=service.listener) as listener:
        while True:
            asked, _ = listener.accept()
            threading.Thread(target=_serve, args=[Connection(asked.detach()), gate], daemon=True).start()


class _Said(logging.Handler):
    """Hands what is logged to the process that started this one, a line each."""

    def __init__(self, say: Callable[[str], None]) -> None:
        super().__init__()
        self._say = say

    def emit(self, record: logging.LogRecord) -> None:
        self._say(" ".join(record.getMessage().split()))


def _serve(asked: Connection[Answer | int, Request], gate: Gate) -> None:
    """Do the tasks of one connection, until it is closed."""
    with asked:
        while True:
            try:
                request = asked.recv()
                with gate.turn((request.place, request.number), request.memory):
                    answer = _done(request, asked)
                asked.send(answer)
            except (EOFError, OSError, Stopped):
                return


def _done(request: Request, asked: Connection[Answer | int, Request]) -> Answer:
    """Do a task. Raises Stopped if nobody wants it any more."""
    begun, cpu = monotonic(), thread_time()
    result, error = None, None
    told = _Told(asked)
    with advancing(told):
        told.say()
        try:
            result = request.function(request.task)
        except Exception as failed:  # noqa: BLE001  raised where the task came from, or done there without the card
            error = failed
    return Answer(result, error, told.frames, cpu=thread_time() - cpu, working=monotonic() - begun)


class _Told:
    """Tells the caller how far a task is, every now and then, and finds out whether it is still there.

    Attributes:
        frames: that are done and not told yet.
    """

    def __init__(self, asked: Connection[Answer | int, Request]) -> None:
        self._asked = asked
        self._poll = select.poll()
        self._poll.register(asked, select.POLLIN | select.POLLOUT)
        self.frames = 0
        self._next = monotonic() + BEAT

    def __call__(self, frames: int) -> None:
        self.frames += frames
        if monotonic() >= self._next:
            self.say()
            self._next = monotonic() + BEAT

    def say(self) -> None:
        """Say it, unless the caller has yet to hear more than it can hold."""
        ((_, events),) = self._poll.poll(0) or [(0, 0)]
        if events & ~select.POLLOUT:  # a caller says nothing while it waits, so it is gone
            raise Stopped
        if events and self.frames:
            self._asked.send(self.frames)
            self.frames = 0


if __name__ == "__main__":
    main()
