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
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from itertools import count
from multiprocessing.connection import Connection
from pkgutil import resolve_name
from time import monotonic, thread_time

from dualface_core.engine.advance import Stopped, advancing
from dualface_core.engine.card import BEAT, Answer, Request, Service
from dualface_core.engine.cores import Core, CoreBudget
from dualface_core.engine.shared_results import SharedResult
from dualface_core.engine.workers import POLL
from dualface_core.media.ffmpeg_log import log_to_stderr
from dualface_core.system.child_processes import end_with_parent, message_channel
from dualface_core.system.memory import keep_freed_memory
from dualface_core.system.threads import SWITCH, limit_library_threads

_LOGGER = logging.getLogger(__name__)


@dataclass(order=True)
class _Ticket:
    """A task that waits or is at work; it keeps some cores busy, or none, and holds those in `held`."""

    spare: bool
    place: tuple[int, int]
    number: int
    memory: int = field(compare=False)
    cores: int = field(compare=False)
    held: list[Core] = field(default_factory=list, compare=False)


class Gate:
    """Whose turn it is: of the tasks that wait, the first one of the video that came first.

    Some keep cores busy, and the others the card. Where tasks of both kinds wait, half of those at work are of either.
    Spare ones begin when no other waits, each with a core for which nobody on the host does. One place is others'.

    Args:
        tasks: how many may be at work at once.
        memory: bytes of the card that these may take together. One that takes more is at work alone.
        cores: of which each task that keeps some busy holds as many, or as many as nobody else waits for. One such task
            goes on whoever has the cores. The others hold one together, if one is free; if not, they go on all the
            same, since the card would have nothing to do.
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
    def turn(self, place: tuple[int, int], memory: int, *, cores: int = 0, spare: bool = False) -> Iterator[None]:
        """Wait for the turn of a task, by the place of its video and its number there, and hold what it takes."""
        ticket = _Ticket(spare, place, next(self._numbers), memory, cores)
        with self._changed:
            insort(self._waiting, ticket)
            while not self._begins(ticket):
                self._changed.wait(self._patience(ticket))
            self._waiting.remove(ticket)
            self._working.append(ticket)
            self._changed.notify_all()
        try:
            yield
        finally:
            with self._changed:
                self._working.remove(ticket)
                for core in ticket.held:
                    core.release()
                if self._core is not None and not _for_card(self._working):
                    self._core.release()
                    self._core = None
                self._changed.notify_all()

    def _begins(self, ticket: _Ticket) -> bool:
        """Whether it is this task's turn, for which it has taken cores then."""
        if not self._is_first(ticket):
            return False
        if not self._has_room(ticket.memory):
            if ticket.cores:  # until there is, none is wanted
                self._lacks_cores = False
                self._turn.withdraw()
            return False
        if ticket.spare:
            return self._takes_spare_core(ticket)
        has_half = len(_for_card(self._working)) >= max(1, self._tasks // 2)
        if not ticket.cores:
            if has_half and _for_cores(self._waiting) and not self._lacks_cores:
                return False
            self._core = self._core or self._cores.attempt()
            return True
        return (has_half or not _for_card(self._waiting)) and self._takes_cores(ticket)

    def _patience(self, ticket: _Ticket) -> float | None:
        """Seconds to wait for what is said of a change; None if all is: a core becomes free without a word."""
        if not self._is_first(ticket):
            return None
        return BEAT if ticket.spare else POLL if self._lacks_cores else None

    def _takes_spare_core(self, ticket: _Ticket) -> bool:
        """Whether a spare task has a core now, for which it does not wait before others."""
        if len(self._working) >= max(1, self._tasks - 1):
            return False
        core = self._turn.attempt()
        self._turn.withdraw()
        ticket.held = [] if core is None else [core]
        return core is not None

    def _takes_cores(self, ticket: _Ticket) -> bool:
        """Whether a task has cores now, or need not wait for any."""
        lacked, first = self._lacks_cores, self._turn.attempt()
        self._lacks_cores = first is None and bool(_for_cores(self._working))
        if first is not None:
            more = (self._turn.attempt() for _ in range(ticket.cores - 1))
            ticket.held = [first, *(core for core in more if core is not None)]
        if not self._lacks_cores:
            self._turn.withdraw()
        elif not lacked:
            self._changed.notify_all()
        return not self._lacks_cores

    def _is_first(self, ticket: _Ticket) -> bool:
        kind = _for_cores if ticket.cores else _for_card
        return (self._waiting if ticket.spare else kind(self._waiting))[0] is ticket

    def _has_room(self, memory: int) -> bool:
        if not self._working:
            return True
        taken = sum(ticket.memory for ticket in self._working)
        return len(self._working) < self._tasks and taken + memory <= self._memory


def _for_cores(tickets: Sequence[_Ticket]) -> list[_Ticket]:
    return [ticket for ticket in tickets if ticket.cores and not ticket.spare]


def _for_card(tickets: Sequence[_Ticket]) -> list[_Ticket]:
    return [ticket for ticket in tickets if not (ticket.cores or ticket.spare)]


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
        resolve_name(service.set_up)(service.threads)
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
    with asked, ExitStack() as held:
        while True:
            try:
                request = asked.recv()
                held.close()  # the last result, which its caller has: it asks for nothing before
                place = request.place, request.number
                with gate.turn(place, request.memory, cores=request.cores, spare=request.spare):
                    answer = _done(request, asked)
                if answer.result is not None:
                    held.callback(answer.result.close)
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
            result = SharedResult(request.function(request.task))
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
