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
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import count
from multiprocessing.connection import Connection
from pkgutil import resolve_name
from time import monotonic, thread_time

from dualface_core.engine.card import BEAT, Answer, Request, Service
from dualface_core.engine.cores import Core, CoreBudget
from dualface_core.engine.workers import POLL, Stopped, advancing
from dualface_core.media.ffmpeg_log import log_to_stderr
from dualface_core.system.child_processes import end_with_parent, message_channel
from dualface_core.system.memory import keep_freed_memory
from dualface_core.system.threads import SWITCH, limit_library_threads

_LOGGER = logging.getLogger(__name__)


@dataclass(order=True)
class _Ticket:
    """A task that waits or is at work; `core` is the one that it holds."""

    place: tuple[int, int]
    number: int
    memory: int = field(compare=False)
    computes: bool = field(compare=False)
    core: Core | None = field(default=None, compare=False)


class Gate:
    """Whose turn it is: of the tasks that wait, the first one of the video that came first.

    Those that compute keep a core busy each, and the others the card; where tasks of both kinds wait, one of the others
    is at work, so that the card has something to do, and else those that compute are.

    Args:
        tasks: how many may be at work at once.
        memory: bytes of the card that these may take together. One that takes more is at work alone.
        cores: of which each task that computes holds one, but for one task, which goes on whoever has the cores. The
            others hold one together, if one is free; if not, they go on all the same, since the card would have
            nothing to do.
    """

    def __init__(self, tasks: int, memory: int, cores: CoreBudget) -> None:
        self._tasks = tasks
        self._memory = memory
        self._cores = cores
        self._core: Core | None = None
        self._turn = cores.turn()
        self._lacks_cores = False
        self._working: list[_Ticket] = []
        self._waiting: list[_Ticket] = []
        self._numbers = count()
        self._changed = threading.Condition()

    @contextmanager
    def turn(self, place: tuple[int, int], memory: int, *, computes: bool = False) -> Iterator[None]:
        """Wait for the turn of a task, by the place of its video and its number there, and hold what it takes."""
        ticket = _Ticket(place, next(self._numbers), memory, computes)
        with self._changed:
            insort(self._waiting, ticket)
            while not self._begins(ticket):
                # A core becomes free without a word.
                self._changed.wait(POLL if self._lacks_cores and self._is_first(ticket) else None)
            self._waiting.remove(ticket)
            self._working.append(ticket)
            self._changed.notify_all()
        try:
            yield
        finally:
            with self._changed:
                self._working.remove(ticket)
                if ticket.core is not None:
                    ticket.core.release()
                if self._core is not None and not _of(self._working, computes=False):
                    self._core.release()
                    self._core = None
                self._changed.notify_all()

    def _begins(self, ticket: _Ticket) -> bool:
        """Whether it is this task's turn, for which it has taken a core then."""
        if not self._is_first(ticket):
            return False
        if not self._has_room(ticket.memory):
            if ticket.computes:  # until there is, no core is wanted
                self._lacks_cores = False
                self._turn.withdraw()
            return False
        looks, computing = _of(self._working, computes=False), _of(self._working, computes=True)
        if not ticket.computes:
            if looks and _of(self._waiting, computes=True) and not self._lacks_cores:
                return False
            self._core = self._core or self._cores.attempt()
            return True
        if _of(self._waiting, computes=False) and not looks:
            return False
        ticket.core = self._turn.attempt()
        lacked, self._lacks_cores = self._lacks_cores, ticket.core is None and bool(computing)
        if not self._lacks_cores:
            self._turn.withdraw()
        elif not lacked:
            self._changed.notify_all()
        return not self._lacks_cores

    def _is_first(self, ticket: _Ticket) -> bool:
        return _of(self._waiting, computes=ticket.computes)[0] is ticket

    def _has_room(self, memory: int) -> bool:
        if not self._working:
            return True
        taken = sum(ticket.memory for ticket in self._working)
        return len(self._working) < self._tasks and taken + memory <= self._memory


def _of(tickets: Sequence[_Ticket], *, computes: bool) -> list[_Ticket]:
    return [ticket for ticket in tickets if ticket.computes is computes]


def main() -> None:
    """Set up what tasks will need, and do those that come, until the process that started this one ends."""
    limit_library_threads()
    keep_freed_memory()
    sys.setswitchinterval(SWITCH)
    end_with_parent()
    logging.basicConfig(handlers=[_Said(message_channel())])
    log_to_stderr()
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
                with gate.turn((request.place, request.number), request.memory, computes=request.computes):
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
        told.begin()
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

    def begin(self) -> None:
        """Say that the task begins. The caller hears it, or has said before that it wants the task no more."""
        self._asked.send(0)
        self.say()

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
