from __future__ import annotations

import gc
import os
import signal
import subprocess
import sys
import time
import weakref
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psutil
import pytest

from dualface_core.engine.advance import advance
from dualface_core.engine.cores import CoreBudget
from dualface_core.engine.workers import Workers
from dualface_core.errors import MachineError, NativeCrashError, UnreadableVideoError
from tests.core.engine.tasks import (
    burn,
    end_by,
    ignore_the_end,
    in_a_set,
    leave_traces,
    library_threads,
    objects_never_visited,
    own_process,
    read_null,
    refuse_odd,
    square,
)


@pytest.fixture(scope="module")
def workers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Workers]:
    with Workers(CoreBudget(tmp_path_factory.mktemp("run"), cores=2), preload=["tests.core.engine.tasks"]) as workers:
        yield workers


def until(condition: Callable[[], object]) -> None:
    while not condition():
        time.sleep(0.005)


def is_alive(process: psutil.Process) -> bool:
    try:
        return process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def test_results_come_in_the_order_of_their_tasks(workers: Workers) -> None:
    assert list(workers.map(square, range(20))) == [number * number for number in range(20)]


def test_a_result_takes_no_memory_once_it_was_taken(workers: Workers) -> None:
    gc.disable()
    try:
        results = [weakref.ref(result) for result in workers.map(in_a_set, range(6))]
        until(lambda: not any(result() for result in results))
    finally:
        gc.enable()


def test_tasks_run_in_processes_that_are_kept_for_the_next(workers: Workers) -> None:
    first, second = (set(workers.map(own_process, range(8))) for _ in range(2))
    assert os.getpid() not in first | second
    assert len(first | second) <= 2


def test_a_process_that_has_nothing_to_do_for_long_ends(workers: Workers, monkeypatch: pytest.MonkeyPatch) -> None:
    before = set(workers.map(own_process, range(8)))
    monkeypatch.setattr("dualface_core.engine.workers._IDLE", 0.0)
    until(lambda: not before & set(workers.map(own_process, range(8))))


def test_libraries_have_one_thread_in_a_worker(workers: Workers) -> None:
    assert set(workers.map(library_threads, range(2))) == {(1, "1")}


def test_what_processes_share_is_not_visited_by_the_collector_of_each(workers: Workers) -> None:
    assert min(workers.map(objects_never_visited, range(2))) > 10_000


def test_no_more_tasks_are_taken_than_can_run_and_a_few_ahead(workers: Workers) -> None:
    taken: list[int] = []

    def tasks() -> Iterator[int]:
        for number in range(20):
            taken.append(number)
            yield number

    for done, _ in enumerate(workers.map(square, tasks(), ahead=1), start=1):
        assert len(taken) <= done + 2 + 1
    assert len(taken) == 20


def test_progress_counts_the_frames_of_all_tasks_and_ends_with_all_of_them(workers: Workers) -> None:
    told: list[int] = []
    list(workers.map(square, range(20), progress=told.append))
    assert told == sorted(set(told))
    assert told[-1] == sum(range(20))


def test_two_maps_of_one_process_may_be_read_in_turn(workers: Workers) -> None:
    pairs = zip(workers.map(square, range(10)), workers.map(refuse_odd, range(0, 20, 2)), strict=True)
    assert list(pairs) == [(number * number, 2 * number) for number in range(10)]


def test_tasks_for_which_a_caller_of_others_waits_come_first(workers: Workers, tmp_path: Path) -> None:
    folders = {name: tmp_path / name for name in ("first", "second", "third", "inner")}
    for folder in folders.values():
        folder.mkdir()
    for name in ("third", "inner"):
        (folders[name] / "go").touch()
    begun = {name: folder / "begun-0" for name, folder in folders.items()}
    with ThreadPoolExecutor(2) as threads:
        tasks = [(folders[name], 0) for name in ("first", "second", "third")]
        outer = threads.submit(lambda: list(workers.map(leave_traces, tasks)))
        until(lambda: begun["first"].exists() and begun["second"].exists())
        inner = threads.submit(lambda: list(workers.map(leave_traces, [(folders["inner"], 0)])))
        until(lambda: len(workers._pool.maps) == 2 and workers._pool.maps[1]._waiting)
        (folders["first"] / "go").touch()
        inner.result()
        (folders["second"] / "go").touch()
        outer.result()
    assert begun["inner"].stat().st_mtime_ns < begun["third"].stat().st_mtime_ns


def test_what_is_to_be_told_as_soon_as_it_is_done_is_told_in_any_order(workers: Workers, tmp_path: Path) -> None:
    (tmp_path / "quick").mkdir()
    (tmp_path / "quick" / "go").touch()
    told: list[int] = []

    def done(number: int) -> None:
        told.append(number)
        (tmp_path / "go").touch()

    tasks = [(tmp_path, 0), (tmp_path / "quick", 1)]
    assert list(workers.map(leave_traces, tasks, as_done=done)) == [0, 1]
    assert told == [1, 0]


def test_tasks_go_on_although_who_is_told_of_one_fails(workers: Workers) -> None:
    told: list[int] = []

    def done(number: int) -> None:
        told.append(number)
        raise OSError(number)

    assert list(workers.map(square, range(4), as_done=done)) == [0, 1, 4, 9]
    assert sorted(told) == [0, 1, 4, 9]


def test_a_process_that_ends_while_it_is_idle_is_told_of_and_makes_nobody_wait(tmp_path: Path) -> None:
    with Workers(CoreBudget(tmp_path, cores=2), preload=["tests.core.engine.tasks"]) as workers:
        for process in set(workers.map(own_process, range(4))):
            os.kill(process, signal.SIGKILL)
        until(lambda: all(idle._executor._broken for _, idle in workers._pool._idle))
        with pytest.raises(MachineError, match="memory"):
            list(workers.map(square, range(4)))
        assert list(workers.map(square, range(4))) == [0, 1, 4, 9]


def test_a_spare_task_waits_until_no_other_is_left_to_begin(workers: Workers, tmp_path: Path) -> None:
    folders = {name: tmp_path / name for name in ("first", "second", "third", "spare")}
    for folder in folders.values():
        folder.mkdir()
    begun = {name: folder / "begun-0" for name, folder in folders.items()}
    with ThreadPoolExecutor(1) as threads, workers.spare(leave_traces) as spare:
        tasks = [(folders[name], 0) for name in ("first", "second", "third")]
        others = threads.submit(lambda: list(workers.map(leave_traces, tasks)))
        until(lambda: begun["first"].exists() and begun["second"].exists())
        asked = spare.add((folders["spare"], 0))
        for name in ("third", "spare", "first"):
            (folders[name] / "go").touch()
        until(begun["spare"].exists)
        (folders["second"] / "go").touch()
        others.result()
        assert asked.result() == 0
    assert begun["third"].stat().st_mtime_ns < begun["spare"].stat().st_mtime_ns


def test_a_spare_task_leaves_a_task_the_second_core_that_it_may_take(workers: Workers, tmp_path: Path) -> None:
    with ThreadPoolExecutor(1) as threads, workers.spare(own_process) as spare:
        other = threads.submit(lambda: list(workers.map(leave_traces, [(tmp_path, 0)], cores_each=2)))
        until((tmp_path / "begun-0").exists)
        spare.add(0)
        workers._pool.hand_out()
        assert spare._parallel._waiting
        (tmp_path / "go").touch()
        other.result()
        until(lambda: not spare._parallel._waiting)


def test_a_spare_task_leaves_cores_to_others_until_it_is_wanted_and_may_be_forgotten(tmp_path: Path) -> None:
    budget = CoreBudget(tmp_path, cores=2)
    of_others = [budget.attempt(), budget.attempt()]
    (tmp_path / "go").touch()
    with Workers(CoreBudget(tmp_path, cores=2)) as workers, workers.spare(leave_traces) as spare:
        forgotten, asked = spare.add((tmp_path, 1)), spare.add((tmp_path, 0))
        assert list(workers.map(square, range(3))) == [0, 1, 4]
        assert not (tmp_path / "begun-0").exists()
        forgotten.forget()
        assert asked.result() == 0
        assert not (tmp_path / "begun-1").exists()
    assert all(of_others)


def test_what_spare_tasks_take_is_told_apart_until_they_are_wanted(workers: Workers) -> None:
    before = workers.usage
    with workers.spare(burn) as spare:
        asked = spare.add(0.05)
        until(lambda: spare.cpu_seconds >= 0.05)
        assert workers.usage == before
        asked.result()
        apart = spare.cpu_seconds
        spare.add(0.05).result()
        assert spare.cpu_seconds == apart
    assert workers.usage.cpu - before.cpu >= 0.05


def test_spare_tasks_stop_when_nobody_wants_them_any_more(workers: Workers, tmp_path: Path) -> None:
    with workers.spare(leave_traces) as spare:
        for number in range(3):
            spare.add((tmp_path, number))
        until(lambda: len(list(tmp_path.glob("begun-*"))) == 2)
    assert list(workers.map(square, [1, 2])) == [1, 4]
    assert not (tmp_path / "begun-2").exists()


def test_an_error_of_a_task_is_raised_where_its_result_would_be(workers: Workers) -> None:
    results = workers.map(refuse_odd, [0, 2, 3, 4])
    assert [next(results), next(results)] == [0, 2]
    with pytest.raises(UnreadableVideoError, match=r"3\.mp4: it is odd\. Make it even\."):
        next(results)
    assert list(workers.map(square, [1, 2])) == [1, 4]


@pytest.mark.parametrize(
    ("number", "error", "said"),
    [
        (signal.SIGABRT, NativeCrashError, r"a\.mp4: native code crashed.*SIGABRT"),
        (signal.SIGKILL, MachineError, "memory"),
    ],
)
def test_a_process_that_is_ended_by_a_signal_is_told_by_it(
    workers: Workers, number: int, error: type[Exception], said: str
) -> None:
    results = workers.map(end_by, [0, number, 0], about="a.mp4")
    assert next(results) == 0
    with pytest.raises(error, match=said):
        next(results)
    assert list(workers.map(square, [1, 2])) == [1, 4]


def test_native_code_that_crashes_is_no_end_of_its_parent(workers: Workers) -> None:
    with pytest.raises(NativeCrashError, match="SIGSEGV"):
        list(workers.map(read_null, range(2)))


def test_tasks_stop_when_the_caller_wants_no_more(workers: Workers, tmp_path: Path) -> None:
    def stop(_: int) -> None:
        if len(list(tmp_path.glob("begun-*"))) == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        list(workers.map(leave_traces, [(tmp_path, number) for number in range(9)], progress=stop))
    assert {path.name for path in tmp_path.glob("begun-*")} == {"begun-0", "begun-1"}
    assert list(workers.map(square, [1, 2])) == [1, 4]  # by processes that have stopped with what they did


def test_a_task_that_hangs_is_killed_when_the_caller_wants_no_more(
    workers: Workers, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("dualface_core.engine.workers._END_PATIENCE", 0.0)

    def tasks() -> Iterator[tuple[Path, int]]:
        yield tmp_path, 0
        yield tmp_path, 1
        until(lambda: all((tmp_path / f"begun-{number}").exists() for number in range(2)))
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        list(workers.map(ignore_the_end, tasks()))
    processes = [int((tmp_path / f"begun-{number}").read_text() or 0) for number in range(2)]
    assert not any(psutil.pid_exists(process) for process in processes)


def test_one_core_needs_no_other_process(tmp_path: Path) -> None:
    told: list[int] = []
    with Workers(CoreBudget(tmp_path, cores=1)) as workers:
        assert set(workers.map(own_process, range(3))) == {os.getpid()}
        assert list(workers.map(square, range(3), progress=told.append)) == [0, 1, 4]
    assert told[-1] == 3


def test_one_task_needs_no_other_process_unless_there_are_some(tmp_path: Path) -> None:
    with Workers(CoreBudget(tmp_path, cores=2)) as workers, workers.spare(own_process) as spare:
        assert list(workers.map(own_process, [0])) == [os.getpid()]
        spare.add(0)
        assert list(workers.map(own_process, [0])) != [os.getpid()]


def test_progress_may_stop_a_task_in_this_process() -> None:
    def stop(_: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        list(Workers().map(square, [1], progress=stop))
    advance(1)  # outside of a task nothing is counted


def program(folder: Path, *, cores: int) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "tests.core.engine.tasks", folder, str(cores)], stdout=subprocess.PIPE, text=True
    )


def test_no_process_runs_the_program_s_main_module_anew(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "tests.core.engine.tasks", tmp_path, "2", "only tell what is run"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert (done.stdout, done.stderr) == ("False False\n", "")


def test_nothing_is_left_of_a_parent_that_is_killed(tmp_path: Path) -> None:
    with program(tmp_path, cores=2) as parent:
        until(lambda: len(list(tmp_path.glob("begun-*"))) == 2)
        left = psutil.Process(parent.pid).children(recursive=True)
        assert len(left) >= 4  # the two that work, what they were forked from, and Python's resource tracker
        parent.kill()
        assert parent.stdout
        assert parent.stdout.read() == ""  # which ends when the last process that has it does
    until(lambda: not any(is_alive(process) for process in left))


def test_two_parents_share_the_cores_and_both_get_on(tmp_path: Path) -> None:
    """One has both cores and keeps them; the other works nevertheless, on one task at a time."""
    (tmp_path / "one").mkdir()
    (tmp_path / "other").mkdir()
    for name in ("one", "other"):
        (tmp_path / name / "run").symlink_to(tmp_path)
    with program(tmp_path / "one", cores=2) as one:
        until(lambda: len(list((tmp_path / "one").glob("begun-*"))) == 2)
        with program(tmp_path / "other", cores=2) as other:
            until((tmp_path / "other" / "begun-0").exists)
            assert not (tmp_path / "other" / "begun-1").exists()
            (tmp_path / "other" / "go").touch()
            assert other.communicate()[0].split() == ["0", "1", "2", "3"]
        (tmp_path / "one" / "go").touch()
        assert one.communicate()[0].split() == ["0", "1", "2", "3"]
