"""Workers: processes that do the parts of a job in parallel, and bring the results back in order.

Belongs here: starting them, handing out tasks, progress, stopping, and what becomes of a crash. Not here: what a task
does. The one idea: a task is a pure function of what it is given, so the result is the same however many workers there
are; with one core it runs in the calling process.

A worker is a `ProcessPoolExecutor` of one process: so one that crashes takes no other task with it, and it is known
which one it was. The processes are forked from multiprocessing's fork server, which has loaded what is heavy, so that
each costs milliseconds. They end with the process that made them, however it ends.
"""

from __future__ import annotations

import ctypes
import logging
import multiprocessing
import os
import signal
import sys
import threading
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor, ThreadPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass, field, replace
from functools import cache, partial
from importlib.machinery import ModuleSpec
from itertools import chain, islice
from multiprocessing import connection
from multiprocessing.process import BaseProcess
from os import PathLike
from time import monotonic
from typing import Any, Final, Generic, Self, TypeVar

from dualface_core.engine.advance import Stopped, advancing
from dualface_core.engine.card import (
    Answer,
    Asked,
    CardAccess,
    CardProcessEndedError,
    CardProcesses,
    CardTasks,
    GivenUp,
    SpareCardTasks,
)
from dualface_core.engine.cores import Core, CoreBudget, Turn
from dualface_core.engine.preload import begin_to_load
from dualface_core.engine.shared_results import SharedResult
from dualface_core.system.cpu_time import cpu_seconds
from dualface_core.system.crashes import crash
from dualface_core.system.memory import give_freed_memory_back, keep_freed_memory, use_one_heap
from dualface_core.system.threads import limit_library_threads

Task = TypeVar("Task")
Result = TypeVar("Result")

_BEAT: Final = 0.25
"""Seconds between two reports of progress."""

POLL: Final = 0.03
"""Seconds between two attempts to get a core of which others have all; each takes up to a millisecond."""

_IDLE: Final = 2.0
"""Seconds for which a process that has nothing to do is kept: the cores may be others' for long, and its memory counts.
Another one costs some hundredths of a second."""

_PROGRAM: Final = threading.Lock()
"""Of the program's main module, which is changed while a process begins."""

_LOGGER: Final = logging.getLogger(__name__)

_END_PATIENCE: Final = 10.0
"""Seconds in which a task that is told to stop must have stopped; then its process is killed. A frame of the largest
videos takes about one."""

_STOP: Final = 0
_FRAMES: Final = 1
_CPU: Final = 2
_PID: Final = 3
"""What a worker and its parent know of one another, in memory that both see: whether the parent wants it to stop, the
frames of its task that are done, the CPU seconds that the task took, and its number as a process."""

_Board = ctypes.Array[ctypes.c_double]


@dataclass
class Usage:
    """What tasks have taken so far, in seconds.

    Attributes:
        working: of all tasks, one after the other; by the time that passed, it is how many were at work on average.
        cpu: of processors, in worker processes. Tasks in the calling process are in its own CPU time.
        waiting: in which a task could have begun, had other videos not had all cores.
    """

    working: float = 0.0
    cpu: float = 0.0
    waiting: float = 0.0

    def __add__(self, other: Usage) -> Usage:
        return Usage(self.working + other.working, self.cpu + other.cpu, self.waiting + other.waiting)

    def __sub__(self, earlier: Usage) -> Usage:
        return Usage(self.working - earlier.working, self.cpu - earlier.cpu, self.waiting - earlier.waiting)


class Workers:
    """Processes for tasks, kept while there is work; a context manager, made once per process.

    Args:
        cores: the budget whose cores its tasks hold, one each; None to do everything in the calling process.
        most: tasks at once; None for as many as there are cores.
        preload: modules that are loaded once, for all processes together, besides those that every task needs.
        card: processes for tasks that use a CUDA card: its own, which end with it, or others'; None for none.

    Attributes:
        most: tasks at once.
        budget: the budget, for tasks that make use of a core which has nothing to do.
        card: how tasks are handed to processes for a card; None where there are none.
        place: of the video in work among all those that share the card; tasks of the lowest go first there.
    """

    def __init__(
        self,
        cores: CoreBudget | None = None,
        *,
        most: int | None = None,
        preload: Sequence[str] = (),
        card: CardProcesses | CardAccess | None = None,
    ) -> None:
        self.most = 1 if cores is None else min(cores.cores, most or cores.cores)
        self.card = card.access if isinstance(card, CardProcesses) else card
        self.place = 0
        self._card_processes = card if isinstance(card, CardProcesses) else None
        self.budget = cores
        self._preload = preload
        self._pool = _Pool(self.most)
        self._prepared = False

    @property
    def usage(self) -> Usage:
        """What the tasks of all maps that have ended, or are in work, have taken so far."""
        with self._pool.lock:
            return replace(self._pool.usage)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for parallel in list(self._pool.maps):
            parallel.stop()
        self._pool.end_idle(0.0)
        if self._card_processes:
            self._card_processes.__exit__(*_)

    def prepare(self) -> None:
        """Load what processes will need, while the caller goes on: for one who knows that there will be many tasks."""
        if self.most > 1 and not self._prepared:
            self._prepared = True
            begin_to_load(self._preload)

    def map(
        self,
        function: Callable[[Task], Result],
        tasks: Iterable[Task],
        *,
        ahead: int = 2,
        progress: Callable[[int], None] | None = None,
        as_done: Callable[[Result], None] | None = None,
        cores_each: int = 1,
        about: str | PathLike[str] = "a video",
    ) -> Generator[Result]:
        """Do tasks in parallel; their results come in the order of the tasks.

        Where there is one core, it runs in this process; and so does one task, unless processes are prepared, which
        have loaded what it needs. Nothing begins before the first result is asked for. If the caller wants no more (an
        exception, or the generator is closed), what is in work stops at its next `advance`, and is gone when this
        returns.

        Args:
            function: a function of a module other than the program's main one, which may be called in any process.
            tasks: what it is called with, one at a time; picklable, as the results are. Taken as they are needed.
            ahead: how many tasks, beyond those that can run, may wait for their turn or for being taken.
            progress: called in this thread with the frames of all tasks so far (see `advance`); it may raise.
            as_done: called with each result as soon as it is there, in any order and thread; it must not raise.
            cores_each: cores that a task makes use of where there are free ones, before spare tasks do.
            about: what the work is on, such as the video's path, for the message about a crash.

        Raises:
            What a task raises, where its result would be.
            NativeCrashError: a process crashed. MachineError: the kernel killed it for want of memory.
        """
        rest = iter(tasks)
        first = list(islice(rest, 2))
        tasks = chain(first, rest)
        if self.budget is None or self.most == 1 or (len(first) < 2 and not self._prepared):
            yield from self._here(function, tasks, progress, as_done)
            return
        self.prepare()
        parallel = _Parallel(self._pool, self.budget.turn(), function, tasks, self.most + ahead, str(about))
        parallel.as_done, parallel.cores_each = as_done, cores_each
        with self._in_work(parallel):
            yield from parallel.results(progress)

    @contextmanager
    def spare(
        self, function: Callable[[Task], Result], *, about: str | PathLike[str] = "a video"
    ) -> Iterator[SpareTasks[Task, Result]]:
        """Tasks for cores that have nothing else to do. What is in work when the block ends stops as in `map`.

        No process is prepared before the first is added.

        Args:
            function: as in `map`.
            about: as in `map`.
        """
        assert self.budget is not None, "one core is never idle"
        parallel: _Parallel[Task, Result] = _Parallel(
            self._pool, self.budget.turn(), function, (), 0, str(about), spare=True
        )
        with self._in_work(parallel):
            yield SpareTasks(parallel, self.prepare)

    @contextmanager
    def _in_work(self, parallel: _Parallel[Any, Any]) -> Iterator[None]:
        with self._pool.lock:
            self._pool.maps.append(parallel)
        try:
            yield
        finally:
            parallel.stop()
            with self._pool.lock:
                self._pool.maps.remove(parallel)

    def prepare_card(self) -> None:
        """Have own processes for a card set it up, while the caller goes on."""
        if self._card_processes:
            self._card_processes.begin()

    def map_on_card(
        self,
        function: Callable[[Task], Result],
        tasks: Sequence[Task],
        *,
        memory: int,
        without_card: Callable[[Task], Task],
        cores: int = 0,
        given_up: Callable[[GivenUp[Task]], object] = lambda _: None,
        progress: Callable[[int], None] | None = None,
        about: str | PathLike[str] = "a video",
    ) -> Generator[Result]:
        """Like `map`, in the processes for a card.

        What the card gives up, for one of `CARD_FAILURES`, and what a process was at work on that ends, as drivers make
        them, the processor does, as `without_card` makes it of each task; the log says why, and `given_up` is told
        first. `memory` are bytes of the card that the frames of a task may take; one that keeps some `cores` busy, too,
        holds as many of the budget, or fewer where there are not so many.
        """
        assert self.card is not None, "there are processes for a card"
        self.prepare_card()
        on_card = CardTasks(self.card, self.place, memory, cores, function, tasks, progress, self._account)
        with closing(on_card.outcomes()) as outcomes:
            for outcome in outcomes:
                if isinstance(outcome, GivenUp):
                    _check_given_up(outcome.why)
                    _LOGGER.warning("%s: the processor does a part of it: %s", about, outcome.why)
                    given_up(outcome)
                    rest = map(without_card, outcome.tasks)
                    yield from self.map(function, rest, progress=on_card.elsewhere(), about=about)
                else:
                    yield outcome

    def spare_on_card(
        self,
        function: Callable[[Task], Result],
        *,
        memory: int,
        without_card: Callable[[Task], Task],
        rest: SpareTasks[Task, Result],
        about: str | PathLike[str] = "a video",
    ) -> SpareCardTasks[Task, Result]:
        """Like `spare`, in the processes for a card: a context manager. What the card gives up is added to `rest`."""
        assert self.card is not None, "there are processes for a card"

        @cache
        def warn(why: str) -> None:
            _LOGGER.warning("%s: the processor does a part of it: %s", about, why)

        def given_up(task: Task, why: Exception) -> Asked[Result]:
            _check_given_up(why)
            warn(str(why))
            return rest.add(without_card(task))

        return SpareCardTasks(self.card, self.place, memory, function, self._account, given_up)

    def _account(self, answer: Answer) -> None:
        with self._pool.lock:
            self._pool.usage += Usage(working=answer.working, cpu=answer.cpu)

    def _here(
        self,
        function: Callable[[Task], Result],
        tasks: Iterable[Task],
        progress: Callable[[int], None] | None,
        as_done: Callable[[Result], None] | None,
    ) -> Iterator[Result]:
        done = 0

        def told(frames: int) -> None:
            nonlocal done
            done += frames
            if progress is not None:
                progress(done)

        for task in tasks:
            core = None if self.budget is None else self.budget.attempt()
            begun = monotonic()
            try:
                with advancing(told):
                    result = function(task)
            finally:
                self._pool.usage.working += monotonic() - begun
                if core is not None:
                    core.release()
            if as_done is not None:
                as_done(result)
            yield result


class SpareTasks(Generic[Task, Result]):
    """Tasks that wait until a core has nothing else to do: no other task of this process, and nobody who waits for one.

    To be had of `Workers.spare`. They begin in the order in which they are added.
    """

    def __init__(self, parallel: _Parallel[Task, Result], prepare: Callable[[], None]) -> None:
        self._parallel = parallel
        self._prepare = prepare

    @property
    def cpu_seconds(self) -> float:
        """Of processors, that tasks have taken until they were wanted. It is in no `Usage`."""
        return self._parallel.spared.cpu

    def add(self, task: Task) -> Asked[Result]:
        """Have one more task done, from any thread. When its result is asked for, all of them are like any others.

        Asking raises as `map` does.
        """
        self._prepare()
        job = self._parallel.add(task)

        def result() -> Result:
            self._parallel.want()
            return self._parallel.result(job)

        return Asked(result, partial(self._parallel.forget, job))


class _Worker:
    """A process, which starts with its first task."""

    def __init__(self) -> None:
        context = multiprocessing.get_context("forkserver")
        self._board: _Board = context.RawArray(ctypes.c_double, 4)
        self._executor = ProcessPoolExecutor(1, mp_context=context, initializer=_begin, initargs=(self._board,))
        self._children: list[BaseProcess] = []

    def submit(self, function: Callable[[Task], Result], task: Task) -> Future[Result]:
        """Have it do a task. It must have none."""
        self._board[_STOP] = self._board[_FRAMES] = self._board[_CPU] = 0
        with _without_program():
            future = self._executor.submit(_run, function, task)
        self._children = self._children or multiprocessing.active_children()
        return future

    @property
    def frames(self) -> int:
        """Frames of its task that are done."""
        return int(self._board[_FRAMES])

    @property
    def cpu(self) -> float:
        """CPU seconds of its task, which has ended."""
        return self._board[_CPU]

    def stop(self) -> None:
        """Have its task end at the next `advance`."""
        self._board[_STOP] = 1

    def kill(self) -> None:
        """Have it end at once."""
        if child := self._child():
            child.kill()

    def end(self) -> int:
        """Have it end when its task has, and wait for that. Gives its exit code, or minus the number of a signal."""
        self._executor.shutdown()
        child = self._child()
        return (child.exitcode or 0) if child else 0

    def _child(self) -> BaseProcess | None:
        return next((child for child in self._children if child.pid == self._board[_PID]), None)


class _Pool:
    """The processes of one `Workers`: those that have nothing to do, how many there may be, and what all have used.

    `maps` are those whose results are being taken, the oldest first.
    """

    def __init__(self, most: int) -> None:
        self.lock = threading.RLock()
        self.usage = Usage()
        self.maps: list[_Parallel[Any, Any]] = []
        self._most = most
        self._left = most
        self._idle: list[tuple[float, _Worker]] = []  # since when, ascending

    @property
    def available(self) -> bool:
        """Whether one more task may begin."""
        return bool(self._idle or self._left)

    @property
    def has_spare_core(self) -> bool:
        """Whether tasks that are in work leave a core."""
        return sum(len(parallel.running) * parallel.cores_each for parallel in self.maps) < self._most

    def take(self) -> _Worker:
        """A process that has nothing to do, if one is available."""
        with self.lock:
            if self._idle:
                return self._idle.pop()[1]
            self._left -= 1
            return _Worker()

    def give_back(self, worker: _Worker, *, broken: bool) -> None:
        """Keep a worker for the next task, unless it is broken."""
        with self.lock:
            if broken:
                self.lose()
            else:
                self._idle.append((monotonic(), worker))

    def lose(self) -> None:
        """Let another one take the place of one that was taken."""
        with self.lock:
            self._left += 1

    def hand_out(self) -> None:
        """Let tasks begin: first those of the map that was begun last, for which the caller of the others waits.

        Spare ones begin when none of the others is left to begin.
        """
        with self.lock:
            for parallel in sorted(self.maps, key=lambda each: not each.spare)[::-1]:
                parallel.hand_out()

    def end_superfluous(self) -> None:
        """End those that have had nothing to do for long."""
        self.end_idle(_IDLE)

    def end_idle(self, seconds: float) -> None:
        """End those that have had nothing to do for so many seconds."""
        with self.lock:
            silent = [worker for since, worker in self._idle if monotonic() - since >= seconds]
            del self._idle[: len(silent)]
            self._left += len(silent)
        with ThreadPoolExecutor(len(silent) or 1) as threads:  # each takes a moment
            list(threads.map(_Worker.end, silent))


@dataclass(eq=False)
class _Job(Generic[Task, Result]):
    """A task on its way: waiting until it is handed to a worker, and done when its future is."""

    task: Task
    worker: _Worker | None = None
    future: Future[Result] = field(default_factory=Future)


class _Parallel(Generic[Task, Result]):
    """Tasks of one `map` in work at once."""

    def __init__(
        self,
        pool: _Pool,
        turn: Turn,
        function: Callable[[Task], Result],
        tasks: Iterable[Task],
        most: int,
        about: str,
        *,
        spare: bool = False,
    ) -> None:
        self._pool = pool
        self._turn = turn
        self._function = function
        self._tasks = iter(tasks)
        self._most = most
        self._about = about
        self.as_done: Callable[[Result], None] | None = None
        self.cores_each = 1
        self.spare = spare
        self.spared = Usage()
        self._order: deque[_Job[Task, Result]] = deque()  # of which the results have not been taken
        self._waiting: deque[_Job[Task, Result]] = deque()
        # Of what is in work. A future must know nothing of its job, or its result is held until garbage is collected.
        self.running: dict[Future[Result], _Worker] = {}
        self._frames = 0
        self._waiting_since: float | None = None
        self._stopped = False
        self._changed = threading.Event()

    def results(self, progress: Callable[[int], None] | None) -> Iterator[Result]:
        """The results in order."""
        told = -1
        while True:
            self._take_tasks()
            if not self._order:
                return
            if progress is not None and told < 0:
                told = 0
                progress(0)
            for _ in self._until_done(job := self._order[0]):
                if progress is not None and (done := self._done()) > told:
                    told = done
                    progress(done)
            result = self._result(job)
            if progress is not None and (done := self._done()) > told:
                told = done
                progress(done)
            self._order.popleft()
            yield result

    def add(self, task: Task) -> _Job[Task, Result]:
        """Let one more task wait for its turn."""
        job: _Job[Task, Result] = _Job(task)
        with self._pool.lock:
            self._waiting.append(job)
        self._pool.hand_out()
        return job

    def forget(self, job: _Job[Task, Result]) -> None:
        """Have a task that waits for its turn not begin."""
        with self._pool.lock, suppress(ValueError):
            self._waiting.remove(job)

    def want(self) -> None:
        """Let tasks that were spare be like those of any other map."""
        with self._pool.lock:
            self.spare = False

    def result(self, job: _Job[Task, Result]) -> Result:
        """Wait for the result of a task that was added."""
        for _ in self._until_done(job):
            pass
        return self._result(job)

    def _until_done(self, job: _Job[Task, Result]) -> Iterator[None]:
        """Wait until a task has ended; now and then the caller has the word."""
        while not job.future.done():
            self._changed.wait(_BEAT if self._waiting_since is None else POLL)
            self._changed.clear()
            self._pool.hand_out()
            self._pool.end_superfluous()
            yield

    def stop(self) -> None:
        """End what is in work. Safe to call again."""
        with self._pool.lock:
            self._stopped = True
            self._waiting.clear()
            running = dict(self.running)
            for worker in running.values():
                worker.stop()
        self._turn.withdraw()
        _, stuck = wait(running, _END_PATIENCE)
        for future in stuck:
            running[future].kill()
        while self.running:  # until each has been accounted for, a moment after its future is done
            self._changed.wait(POLL)
            self._changed.clear()

    def _take_tasks(self) -> None:
        for task in islice(self._tasks, self._most - len(self._order)):
            job: _Job[Task, Result] = _Job(task)
            self._order.append(job)
            self._waiting.append(job)
            self.hand_out()

    def hand_out(self) -> None:
        """Begin as many tasks as there are cores for; but one goes on whoever has the cores."""
        with self._pool.lock:
            while self._waiting and not self._stopped and self._pool.available:
                core = None if self.spare and not self._pool.has_spare_core else self._turn.attempt()
                if core is None and self.spare:
                    break
                self._note_wait(waits=core is None)
                if core is None and self.running:
                    return
                self._begin(self._waiting.popleft(), core)
            self._note_wait(waits=False)
        self._turn.withdraw()

    def _note_wait(self, *, waits: bool) -> None:
        now = monotonic()
        if self._waiting_since is not None:
            self._pool.usage.waiting += now - self._waiting_since
        self._waiting_since = now if waits else None

    def _begin(self, job: _Job[Task, Result], core: Core | None) -> None:
        try:
            job.worker = worker = self._pool.take()
            future = worker.submit(self._function, job.task)
        except (OSError, EOFError, RuntimeError) as error:  # it cannot be made now, or has ended while it was idle
            self._pool.lose()
            if core is not None:
                core.release()
            job.future.set_exception(error)
            self._changed.set()
            return
        job.future = future
        self.running[future] = worker
        begun = monotonic()
        future.add_done_callback(lambda future: self._ended(future, worker, core, begun))

    def _ended(self, future: Future[Result], worker: _Worker, core: Core | None, begun: float) -> None:
        """Go on with the next task; called in a thread of the worker's executor."""
        broken = isinstance(future.exception(), BrokenProcessPool)
        try:
            if self.as_done is not None and not future.exception():
                self.as_done(future.result())  # before the map can end
        finally:
            self._account_for(future, worker, core, begun, broken=broken)

    def _account_for(
        self, future: Future[Result], worker: _Worker, core: Core | None, begun: float, *, broken: bool
    ) -> None:
        with self._pool.lock:
            del self.running[future]
            self._frames += worker.frames
            usage = self.spared if self.spare else self._pool.usage
            usage.working += monotonic() - begun
            usage.cpu += worker.cpu
            self._pool.give_back(worker, broken=broken)
            if core is not None:
                core.release()
            if not broken:
                self._pool.hand_out()
        self._changed.set()

    def _done(self) -> int:
        with self._pool.lock:
            return self._frames + sum(worker.frames for worker in self.running.values())

    def _result(self, job: _Job[Task, Result]) -> Result:
        try:
            return job.future.result()
        except BrokenProcessPool as error:
            assert job.worker is not None, "only a task that has begun can break its process"
            raise crash(self._about, job.worker.end()) from error


def _check_given_up(why: Exception) -> None:
    """Raise what came of a task in a process for a card, unless it is a reason to do the task without one."""
    from dualface_core.engine.backend import CARD_FAILURES

    if not isinstance(why, (*CARD_FAILURES, CardProcessEndedError)):
        raise why


@contextmanager
def _without_program() -> Iterator[None]:
    """Let a process that begins leave the program's main module alone, and all that it imports, such as Dagster.

    multiprocessing has each process run that module anew, unless it is the `__main__` of a package. Tasks are functions
    of other modules.
    """
    program = sys.modules["__main__"]
    with _PROGRAM:
        spec, program.__spec__ = program.__spec__, ModuleSpec("program.__main__", None)
        try:
            yield
        finally:
            program.__spec__ = spec


# In the workers.

_board: _Board | None = None
_last: Callable[[Any], Any] | None = None
_result: SharedResult | None = None


def _begin(board: _Board) -> None:
    """Make a process a worker."""
    global _board  # noqa: PLW0603  a process is one worker, and its tasks are called with nothing but themselves
    _board = board
    board[_PID] = os.getpid()
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # a terminal sends it to all processes; the parent says what ends
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    limit_library_threads()
    keep_freed_memory()
    use_one_heap()
    parent = multiprocessing.parent_process()
    assert parent is not None
    threading.Thread(target=_end_with, args=[parent.sentinel], daemon=True).start()


def _end_with(sentinel: int) -> None:
    """End this process when its parent ends, which is not the one that it was forked from."""
    connection.wait([sentinel])
    os.kill(os.getpid(), signal.SIGKILL)


def _run(function: Callable[[Task], Result], task: Task) -> Any:
    """Do a task."""
    global _last, _result  # noqa: PLW0603  as above
    assert _board is not None
    board, lock = _board, threading.Lock()
    if _result is not None:
        _result.close()  # its caller has it: no task is handed out before
    if function is not _last:
        give_freed_memory_back()  # another kind of task needs other sizes
        _last = function

    def told(frames: int) -> None:
        with lock:  # a task may have threads
            board[_FRAMES] += frames
        if board[_STOP]:
            raise Stopped

    before = cpu_seconds()
    try:
        with advancing(told):
            _result = SharedResult(function(task))
        return _result
    finally:
        board[_CPU] = cpu_seconds() - before
