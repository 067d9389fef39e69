"""Processes that do tasks on a CUDA card: one set of them for all videos of a command.

Belongs here: starting them, handing tasks to them, and what becomes of one that ends. What happens in one of them is in
`card_process`. The one idea: each sets up a context of the card, which takes seconds and memory, so there are few of
them, with several threads each, and they serve every process that works on a video, over sockets in a private folder.
"""

from __future__ import annotations

import logging
import math
import os
import socket
import tempfile
import threading
from collections import deque
from collections.abc import Callable, Generator, Sequence
from concurrent.futures import Future
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from functools import partial
from multiprocessing import connection
from multiprocessing.connection import Client, Connection
from pathlib import Path
from time import monotonic
from typing import Any, Final, Generic, Self, TypeVar

from pydantic import BaseModel, ConfigDict

from dualface_core.engine.advance import advance
from dualface_core.system.child_processes import ChildProcess

Task = TypeVar("Task")
Result = TypeVar("Result")

BEAT: Final = 0.25
"""Seconds between two reports of progress."""

_WAITING: Final = 1
"""Tasks of a video, for each process, that are there when another one ends."""

_END_PATIENCE: Final = 10.0
"""Seconds in which all tasks that are told to stop must have stopped, or they are waited for no more."""

_LONGEST_FOLDER: Final = 75
"""Letters of the name of a folder in which sockets can be: theirs have 107 at most."""

_BACKLOG: Final = 256
"""Connections that may be made to a process before it is set up."""

_LOGGER: Final = logging.getLogger(__name__)


@dataclass(frozen=True)
class Asked(Generic[Result]):
    """A task that somebody may ask for later.

    Attributes:
        result: waits for its result, and gives it or raises what the task raised.
        forget: has it not begin, if it has not begun yet; then nobody may wait for it.
    """

    result: Callable[[], Result]
    forget: Callable[[], None] = lambda: None


class CardAccess(BaseModel):
    """How tasks are handed to the processes of a card.

    Attributes:
        folder: where their sockets are.
        processes: how many there are.
        threads: tasks at once in each.
        memory: bytes of the card that the frames of these may take, in each.
    """

    model_config = ConfigDict(frozen=True)

    folder: Path
    processes: int
    threads: int
    memory: int

    @property
    def at_once(self) -> int:
        """Tasks at once in all of them."""
        return self.processes * self.threads

    def socket(self, number: int) -> str:
        """That of one process."""
        return str(self.folder / f"{number}")


class Service(BaseModel):
    """What a process is told at its start.

    Attributes:
        listener: descriptor of the socket on which it is asked.
        threads, memory: see `CardAccess`.
        set_up: what it calls with `threads` before its first task, as "module:function".
        runtime, cores: the host's budget of cores, of which it holds one while it works; see `CoreBudget`.
    """

    listener: int
    threads: int
    memory: int
    set_up: str
    runtime: Path
    cores: int | None


@dataclass(frozen=True)
class Request:
    """A task for such a process.

    Attributes:
        place: of the video among those of the command; tasks of the lowest go first.
        number: of the task among those of the video.
        spare: whether nobody waits for it yet, so that it begins when the process has nothing else to do.
        memory: bytes of the card that its frames may take.
        cores: that it keeps busy, as a software encoder does; 0 for one that keeps the card busy.
        function: what is called with `task`.
        task: what is to be done.
    """

    place: int
    number: int
    spare: bool
    memory: int
    cores: int
    function: Callable[[Any], Any]
    task: Any


@dataclass(frozen=True)
class Answer:
    """What came of a task; before it, numbers of frames come that are done meanwhile.

    Attributes:
        result: what the function gave, once this is unpickled: on its way, what holds its large arrays.
        error: what it raised; None if it did not.
        frames: that are done since the last number.
        cpu, working: seconds that it took, of a processor and in all.
    """

    result: Any
    error: Exception | None
    frames: int
    cpu: float
    working: float


class CardProcesses:
    """The processes, each begun when it is asked for the first time; a context manager, at whose end they end.

    They end with this process, too, however that ends.

    Args:
        processes, threads, memory: see `CardAccess`.
        set_up, runtime, cores: see `Service`.

    Attributes:
        access: how tasks are handed to them.
    """

    def __init__(
        self, *, processes: int, threads: int, memory: int, set_up: str, runtime: Path, cores: int | None = None
    ) -> None:
        place = None if len(tempfile.gettempdir()) < _LONGEST_FOLDER else "/tmp"  # noqa: S108  in a folder of its own
        self._folder = tempfile.TemporaryDirectory(prefix="dualface-card-", dir=place)
        self.access = CardAccess(folder=Path(self._folder.name), processes=processes, threads=threads, memory=memory)
        self._set_up, self._runtime, self._cores = set_up, runtime, cores
        self._ended = threading.Event()
        self._end, self._ends = socket.socketpair()
        self._threads = [
            # The kernel ends a process with the thread that started it, which therefore stays.
            threading.Thread(target=self._keep, args=[self._listener(number)], name="card process", daemon=True)
            for number in range(processes)
        ]
        for thread in self._threads:
            thread.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._end.close()
        for thread in self._threads:
            thread.join()
        self._ends.close()
        self._folder.cleanup()

    def begin(self) -> None:
        """Have them set up the card, if they have not begun to, and go on at once."""
        for number in range(self.access.processes):
            with suppress(FileNotFoundError, ConnectionRefusedError):  # it has ended
                Client(self.access.socket(number), "AF_UNIX").close()

    def _listener(self, number: int) -> socket.socket:
        listener = socket.socket(socket.AF_UNIX)
        listener.bind(self.access.socket(number))
        listener.listen(_BACKLOG)
        return listener

    def _keep(self, listener: socket.socket) -> None:
        """Start a process when it is asked for the first time, and say so if it ends before it is to."""
        with listener:
            connection.wait([listener, self._ends])
            if self._ended.is_set():
                return
            self._run(listener)

    def _run(self, listener: socket.socket) -> None:
        with ChildProcess("dualface_core.engine.card_process", keep=[listener.fileno()]) as process:
            service = Service(
                listener=listener.fileno(),
                threads=self.access.threads,
                memory=self.access.memory,
                set_up=self._set_up,
                runtime=self._runtime,
                cores=self._cores,
            )
            process.send(service.model_dump_json())
            listener.close()  # what connects to a process that has ended is refused then
            try:
                while (said := process.next_line(self._beat)) is not None:
                    _LOGGER.warning("%s", said.strip())
                    self._beat()
            except _Ended:
                return
            code, last_words = process.ending()
            how = f"signal {-code}" if code < 0 else f"exit code {code}"
            _LOGGER.warning("A process that works on the card has ended: %s", ": ".join([how, *last_words[-1:]]))

    def _beat(self) -> None:
        if self._ended.is_set():
            raise _Ended


class _Ended(BaseException):
    """The processes are to end."""


@dataclass
class _Line:
    """A connection to a process, on which one task is on its way at a time: that of this number.

    It is in work if it has `begun`, and `frames` of it are done.
    """

    connection: Connection[Request, Answer | int]
    number: int | None = None
    begun: bool = False
    frames: int = 0

    def stop(self) -> None:
        """Have its task end, if it is in work, and not begin, if not."""
        if self.number is not None:
            with socket.socket(fileno=os.dup(self.connection.fileno())) as said, suppress(OSError):
                said.shutdown(socket.SHUT_WR)

    def wait(self, until: float) -> None:
        """Wait until a task that is in work has ended, or the clock shows a time."""
        with suppress(EOFError, OSError):
            while self.number is not None and self.connection.poll(max(until - monotonic(), 0) if self.begun else 0):
                self.begun = True
                self.connection.recv()


class CardProcessEndedError(Exception):
    """A process for a card has ended, with the task that it was at work on."""


@dataclass(frozen=True)
class GivenUp(Generic[Task]):
    """In place of results: tasks in a row that the card did not do, and why it did not do the first."""

    tasks: Sequence[Task]
    why: Exception


class CardTasks(Generic[Task, Result]):
    """Tasks on their way to the processes of a card, for one caller.

    Args:
        access: the processes.
        place, memory, cores, function: see `Request`.
        tasks: what the function is called with; picklable, as the results are.
        progress: called with the frames of all tasks so far, in the caller's thread; it may raise.
        account: called with what came of each.
    """

    def __init__(
        self,
        access: CardAccess,
        place: int,
        memory: int,
        cores: int,
        function: Callable[[Task], Result],
        tasks: Sequence[Task],
        progress: Callable[[int], None] | None,
        account: Callable[[Answer], None],
    ) -> None:
        self._access = access
        self._request = partial(Request, place, memory=memory, cores=cores, function=function)
        self._tasks = tasks
        self._progress = progress
        self._account = account
        self._waiting = deque(range(len(tasks)))
        self._spare = False
        self._found: dict[int, Result | Exception] = {}
        self._frames = 0
        self._told = 0

    def outcomes(self) -> Generator[Result | GivenUp[Task]]:
        """What came of the tasks, in their order. When this is closed, what is in work ends at its next `advance`."""
        number = 0
        with ExitStack() as stack:
            lines = self._lines(stack)
            while number < len(self._tasks):
                while number not in self._found:
                    lines = self._go_on(lines, number)
                first, outcome = number, self._found.pop(number)
                number += 1
                if isinstance(outcome, Exception):
                    while isinstance(self._found.get(number), Exception):
                        del self._found[number]
                        number += 1
                    yield GivenUp(self._tasks[first:number], outcome)
                else:
                    yield outcome

    def elsewhere(self) -> Callable[[int], None]:
        """What is called with the frames that are done of tasks that were given up, now that others do them."""
        before = self._frames

        def told(frames: int) -> None:
            self._frames = before + frames
            self._tell(self._frames)

        return told

    def _tell(self, done: int) -> None:
        if self._progress is not None and done > self._told:
            self._told = done
            self._progress(done)

    def _lines(self, stack: ExitStack) -> list[_Line]:
        """Lines to all processes; when the stack is left, what is in work on them ends."""
        lines = [_Line(stack.enter_context(opened)) for opened in self._open()]
        stack.callback(_stop, lines)
        return lines

    def _open(self) -> Generator[Connection[Request, Answer | int]]:
        """Connections to all processes: first one to each, so that all of them have the same to do."""
        for _ in range(self._access.threads + _WAITING):
            for number in range(self._access.processes):
                try:
                    yield Client(self._access.socket(number), "AF_UNIX")
                except (FileNotFoundError, ConnectionRefusedError):  # it has ended
                    continue

    def _go_on(self, lines: list[_Line], needed: float) -> list[_Line]:
        """Hand out tasks, and wait until one is done or a moment has passed; gives the lines that are left."""
        for line in lines:
            # Few results wait to be taken: each is of many frames.
            if line.number is None and self._waiting and self._waiting[0] <= needed + len(lines):
                self._hand_out(line)
        lines = [line for line in lines if not line.connection.closed]
        while self._waiting and not lines:
            self._found[self._waiting.popleft()] = CardProcessEndedError("no process for a card is left")
        busy = {line.connection: line for line in lines if line.number is not None}
        for ready in connection.wait(busy, BEAT):
            self._hear(busy[ready])  # type: ignore[index]  # only what was given
        advance(0)  # which ends this where it is in a thread for somebody who wants no more
        self._tell(self._frames + sum(line.frames for line in lines))
        return [line for line in lines if not line.connection.closed]

    def _hand_out(self, line: _Line) -> None:
        number = self._waiting.popleft()
        line.number, line.frames = number, 0
        try:
            line.connection.send(self._request(number, spare=self._spare, task=self._tasks[number]))
        except (BrokenPipeError, ConnectionResetError):
            self._lose(line)

    def _hear(self, line: _Line) -> None:
        assert line.number is not None, "only those that are busy are heard"
        try:
            said = line.connection.recv()
        except (EOFError, OSError):  # with what it holds of the result
            self._lose(line)
            return
        if isinstance(said, int):
            line.begun = True
            line.frames += said
            return
        self._account(said)
        if said.error is None:
            self._frames += line.frames + said.frames
        self._found[line.number] = said.result if said.error is None else said.error
        line.number, line.begun, line.frames = None, False, 0

    def _lose(self, line: _Line) -> None:
        """A process has ended: what it was at work on is given up, and others do what is left."""
        line.connection.close()
        assert line.number is not None, "it was asked something, or was to be"
        self._found[line.number] = CardProcessEndedError("a process for the card has ended")
        line.number, line.begun, line.frames = None, False, 0


class SpareCardTasks(CardTasks[Task, Result]):
    """Tasks that come one by one, which processes of a card do when they have nothing else to do, until somebody waits.

    A context manager. It has a thread from the first task on; what is in work in the end stops at its next `advance`.

    Args:
        access, place, memory, function: see `CardTasks`.
        account: called with what came of each task that somebody waited for.
        given_up: called with a task that the card did not do, and why; gives what others make of it, or raises.

    Attributes:
        cpu_seconds: of processors, that tasks have taken until somebody waited.
    """

    def __init__(
        self,
        access: CardAccess,
        place: int,
        memory: int,
        function: Callable[[Task], Result],
        account: Callable[[Answer], None],
        given_up: Callable[[Task, Exception], Asked[Result]],
    ) -> None:
        self._added: list[Task] = []
        super().__init__(access, place, memory, 0, function, self._added, None, self._account_for)
        self._spare = True
        self.cpu_seconds = 0.0
        self._account_wanted = account
        self._given_up = given_up
        self._asked: list[Future[Asked[Result]]] = []
        self._forgotten: deque[int] = deque()
        self._lock = threading.Lock()
        self._wanted, self._ended = threading.Event(), threading.Event()
        self._thread = threading.Thread(target=self._work, name="spare card tasks", daemon=True)
        self._failed: Exception | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        if self._added:
            self._thread.join()

    def add(self, task: Task) -> Asked[Result]:
        """Have one more task done, from any thread. When its result is asked for, all of them are like any others."""
        asked: Future[Asked[Result]] = Future()
        with self._lock:
            number = len(self._added)
            self._asked.append(asked)
            self._added.append(task)
            self._waiting.append(number)
            if number == 0:
                self._thread.start()
            if self._failed is not None:
                asked.set_exception(self._failed)

        def result() -> Result:
            self._wanted.set()
            return asked.result().result()

        return Asked(result, partial(self._forgotten.append, number))

    def _account_for(self, answer: Answer) -> None:
        if self._spare:
            self.cpu_seconds += answer.cpu
        else:
            self._account_wanted(answer)

    def _work(self) -> None:
        try:
            self._hand_out_all()
        except Exception as error:  # noqa: BLE001  raised where results are asked for
            with self._lock:
                self._failed = error
                for asked in self._asked:
                    if not asked.done():
                        asked.set_exception(error)

    def _hand_out_all(self) -> None:
        with ExitStack() as stack:
            lines = self._lines(stack)
            while not self._ended.is_set():
                if self._spare and self._wanted.is_set():
                    self._spare = False
                    lines = [*self._begun(lines), *self._lines(stack)]
                while self._forgotten:
                    with suppress(ValueError):  # it is on its way
                        self._waiting.remove(self._forgotten.pop())
                lines = self._go_on(lines, math.inf)
                while self._found:
                    self._tell_of(*self._found.popitem())

    def _tell_of(self, number: int, outcome: Result | Exception) -> None:
        asked = self._asked[number]
        if not isinstance(outcome, Exception):
            asked.set_result(Asked(lambda: outcome))
            return
        try:
            asked.set_result(self._given_up(self._added[number], outcome))
        except Exception as error:  # noqa: BLE001  raised where the result is asked for
            asked.set_exception(error)

    def _begun(self, lines: Sequence[_Line]) -> list[_Line]:
        """The lines whose tasks have begun. Tasks that wait as spare ones are handed out anew, on other lines."""
        begun = [line for line in lines if line.begun or (line.number is not None and line.connection.poll())]
        waiting = [line for line in lines if line not in begun]
        self._waiting.extendleft(sorted((line.number for line in waiting if line.number is not None), reverse=True))
        for line in waiting:
            line.connection.close()
            line.number = None
        return begun


def _stop(lines: Sequence[_Line]) -> None:
    """End what is in work, and wait for it."""
    for line in lines:
        line.stop()
    until = monotonic() + _END_PATIENCE
    for line in lines:
        line.wait(until)
