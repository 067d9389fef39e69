from __future__ import annotations

import logging
import os
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil
import pytest

from dualface_core.engine import card
from dualface_core.engine.card import SpareCardTasks
from dualface_core.engine.card_process import Gate
from dualface_core.engine.cores import CoreBudget
from dualface_core.engine.workers import Workers
from dualface_core.errors import ModelError
from tests.core.engine.tasks import (
    burn,
    card_processes,
    crash_on_card,
    end_slowly,
    give_up_on_card,
    hang,
    leave_traces,
    met,
    own_process,
    refuse_weights,
    square,
    times_set_up,
    unreadable,
    warn_of,
)


@pytest.fixture
def workers(tmp_path: Path) -> Iterator[Workers]:
    with Workers(CoreBudget(tmp_path / "run", cores=1), card=card_processes(tmp_path / "run")) as workers:
        yield workers


def until(condition: Callable[[], object]) -> None:
    while not condition():
        time.sleep(0.005)


def test_tasks_at_once_share_a_process_that_is_set_up_once_and_serves_others_too(
    workers: Workers, tmp_path: Path
) -> None:
    name = "dualface_core.engine.card_process"
    assert not any(name in child.cmdline() for child in psutil.Process().children())  # before it is needed
    done: list[int] = []
    tasks = [(tmp_path, number) for number in range(2)]
    (process,) = {*workers.map_on_card(met, tasks, memory=1, without_card=list, progress=done.append)}
    assert process != os.getpid()
    assert done[-1] == 2
    assert workers.usage.working > 0
    others = Workers(CoreBudget(tmp_path / "run", cores=1), card=workers.card)
    assert [*others.map_on_card(own_process, [1], memory=1, without_card=abs)] == [process]
    assert [*others.map_on_card(times_set_up, [1], memory=1, without_card=abs)] == [1]


def test_results_come_in_the_order_of_their_tasks_and_few_wait(tmp_path: Path) -> None:
    card = card_processes(tmp_path / "run", processes=2)
    with Workers(CoreBudget(tmp_path / "run", cores=1), card=card) as workers:
        workers.prepare_card()
        squares = workers.map_on_card(square, range(50), memory=1, without_card=abs)
        assert [*squares] == [number * number for number in range(50)]
        assert len({*workers.map_on_card(own_process, range(50), memory=1, without_card=abs)}) == 2


def test_what_a_process_that_crashes_leaves_is_done_without_it(
    workers: Workers, caplog: pytest.LogCaptureFixture
) -> None:
    tasks = [(number, True) for number in range(7)]
    found = workers.map_on_card(crash_on_card, tasks, memory=1, without_card=lambda task: (task[0], False), about="a")
    with caplog.at_level(logging.WARNING):
        assert [*found] == [*range(7)]
        until(lambda: "A process that works on the card has ended: signal 11" in caplog.text)
    assert "a: the processor does a part of it: " in caplog.text
    assert [*workers.map_on_card(square, [3], memory=1, without_card=abs)] == [9]  # and what comes later


def test_a_process_that_crashes_is_no_end_of_the_others(tmp_path: Path) -> None:
    card = card_processes(tmp_path / "run", processes=2)
    with Workers(CoreBudget(tmp_path / "run", cores=1), card=card) as workers:
        [*workers.map_on_card(crash_on_card, [(2, True)], memory=1, without_card=lambda task: (task[0], False))]
        assert os.getpid() not in {*workers.map_on_card(own_process, range(9), memory=1, without_card=abs)}


def test_what_the_card_gives_up_is_done_without_it_and_other_errors_are_raised(workers: Workers) -> None:
    tasks = [(number, True) for number in range(6)]
    found = workers.map_on_card(give_up_on_card, tasks, memory=1, without_card=lambda task: (task[0], False))
    assert [*found] == [(number, number % 2 == 0) for number in range(6)]
    with pytest.raises(ModelError, match="another network"):
        [*workers.map_on_card(refuse_weights, [1], memory=1, without_card=abs)]


def test_tasks_stop_when_the_caller_wants_no_more(workers: Workers, tmp_path: Path) -> None:
    def stop(_: int) -> None:
        if len(list(tmp_path.glob("begun-*"))) == 2:
            raise KeyboardInterrupt

    tasks = [(tmp_path, number) for number in range(9)]
    with pytest.raises(KeyboardInterrupt):
        [*workers.map_on_card(leave_traces, tasks, memory=1, without_card=tuple, progress=stop)]
    assert [*workers.map_on_card(square, [1, 2], memory=1, without_card=abs)] == [1, 4]  # which had to wait for them


def test_nothing_is_left_of_a_parent_that_is_killed(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "tests.core.engine.tasks", tmp_path, "1", "on a card"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as parent:
        until(lambda: len(list(tmp_path.glob("begun-*"))) == 2)
        (process,) = psutil.Process(parent.pid).children()
        parent.kill()
    until(lambda: not process.is_running() or process.status() == psutil.STATUS_ZOMBIE)


def test_where_the_folder_of_the_sockets_is_gone_all_is_done_without_a_card(workers: Workers) -> None:
    assert workers.card is not None
    shutil.rmtree(workers.card.folder)
    assert {*workers.map_on_card(own_process, range(4), memory=1, without_card=abs)} == {os.getpid()}


def test_sockets_are_where_their_names_are_short_enough(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / ("long" * 25)
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    with Workers(CoreBudget(tmp_path / "run", cores=1), card=card_processes(tmp_path / "run")) as workers:
        assert [*workers.map_on_card(square, [3], memory=1, without_card=abs)] == [9]
        assert workers.card is not None
        found = workers.card.folder
    assert not found.exists()


def test_what_a_process_logs_is_logged_here(workers: Workers, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        assert [*workers.map_on_card(warn_of, [7], memory=1, without_card=abs)] == [7]
        until(lambda: "it is 7" in caplog.text)


def test_what_is_in_work_has_ended_when_the_caller_goes_on(workers: Workers, tmp_path: Path) -> None:
    tasks = [(tmp_path, number) for number in range(9)]
    with pytest.raises(ModelError):
        [*workers.map_on_card(end_slowly, tasks, memory=1, without_card=tuple)]
    assert (tmp_path / "begun-1").exists()
    assert not [*tmp_path.glob("at-work-*")]


def test_tasks_that_hang_are_waited_for_together(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(card, "_END_PATIENCE", 2.0)
    processes = card_processes(tmp_path / "run", threads=40)
    with Workers(CoreBudget(tmp_path / "run", cores=1), card=processes) as workers:
        found = workers.map_on_card(hang, [(tmp_path, number) for number in range(40)], memory=1, without_card=tuple)
        next(found)
        closing = threading.Thread(target=found.close)
        closing.start()
        closing.join(60)  # one after the other, they would take 80
        assert not closing.is_alive()


def begun(gate: Gate, asked: list[tuple[int, int]]) -> list[tuple[int, int]]:
    """Tasks, by place of the video and number, in the order in which they begin behind one that takes everything."""
    order: list[tuple[int, int]] = []

    def work(place: tuple[int, int]) -> None:
        with gate.turn(place, 1):
            order.append(place)

    with ThreadPoolExecutor(len(asked)) as threads, gate.turn((9, 9), 100):
        for number, one in enumerate(asked, start=1):
            threads.submit(work, one)
            until(lambda number=number: len(gate._waiting) == number)
        assert not order
    return order


def test_tasks_of_the_video_that_came_first_go_first(tmp_path: Path) -> None:
    gate = Gate(1, 100, CoreBudget(tmp_path, cores=1))
    assert begun(gate, [(2, 1), (1, 5), (2, 0), (0, 4), (1, 2)]) == [(0, 4), (1, 2), (1, 5), (2, 0), (2, 1)]


def test_tasks_at_once_take_no_more_memory_than_there_is(tmp_path: Path) -> None:
    gate = Gate(8, 100, CoreBudget(tmp_path, cores=1))
    together: list[int] = []

    def work(memory: int) -> None:
        with gate.turn((0, 0), memory):
            together.append(sum(one.memory for one in gate._working) if len(gate._working) > 1 else 0)
            time.sleep(0.001)

    with ThreadPoolExecutor(16) as threads:
        [*threads.map(work, [30, 60, 200, 50, 50, 10] * 5)]
    assert len(together) == 30
    assert max(together) <= 100


def test_a_core_of_the_budget_is_held_while_there_is_work(tmp_path: Path) -> None:
    cores = CoreBudget(tmp_path, cores=4)
    gate = Gate(2, 100, cores)
    with gate.turn((0, 0), 1), gate.turn((0, 1), 1):
        assert cores.in_use == 1
    assert cores.in_use == 0


def test_tasks_that_keep_a_core_busy_hold_one_each_but_one_goes_on_whoever_has_them(tmp_path: Path) -> None:
    cores = CoreBudget(tmp_path, cores=2)
    gate, done = Gate(4, 100, cores), threading.Semaphore(0)

    def compute(number: int) -> None:
        with gate.turn((0, number), 1, cores=1):
            done.acquire()

    with ThreadPoolExecutor(4) as threads:
        others = [cores.attempt() for _ in range(2)]
        tasks = [threads.submit(compute, number) for number in range(4)]
        until(lambda: gate._lacks_cores)
        assert len(gate._working) == 1
        for core in others:
            assert core is not None
            core.release()
        until(lambda: len(gate._working) == 3)
        assert cores.in_use == 2
        done.release(4)
        [task.result() for task in tasks]
    assert cores.in_use == 0
    assert not [*(tmp_path / "cores" / "waiting").iterdir()]


def test_where_tasks_for_the_card_and_for_cores_wait_half_of_those_at_work_are_for_the_card(tmp_path: Path) -> None:
    gate, done = Gate(3, 100, CoreBudget(tmp_path, cores=9)), threading.Semaphore(0)

    def work(number: int) -> None:
        with gate.turn((0, number), 1, cores=int(number < 6)):
            done.acquire()

    with ThreadPoolExecutor(12) as threads:
        with gate.turn((9, 9), 100):
            tasks = [threads.submit(work, number) for number in range(12)]
            until(lambda: len(gate._waiting) == 12)
        for ended in range(4):
            until(lambda ended=ended: len(gate._waiting) == 9 - ended and len(gate._working) == 3)
            assert sorted(one.cores for one in gate._working) == [0, 1, 1]
            done.release()
        done.release(8)
        [task.result() for task in tasks]


def test_while_there_is_no_core_those_for_the_card_go_on(tmp_path: Path) -> None:
    cores = CoreBudget(tmp_path, cores=1)
    gate, order = Gate(2, 100, cores), []

    def work(number: int) -> None:
        with gate.turn((0, number), 1, cores=int(number < 2)):
            order.append(number)

    with ThreadPoolExecutor(6) as threads, gate.turn((0, 9), 1, cores=1):
        [threads.submit(work, number) for number in range(6)]
        until(lambda: len(order) == 4)
        assert sorted(order) == [2, 3, 4, 5]
    assert sorted(order) == [*range(6)]


def test_a_task_that_keeps_several_cores_busy_holds_as_many_as_are_free(tmp_path: Path) -> None:
    cores = CoreBudget(tmp_path, cores=3)
    gate = Gate(2, 100, cores)
    with gate.turn((0, 0), 1, cores=2):
        assert cores.in_use == 2
        with gate.turn((0, 1), 1, cores=2):
            assert cores.in_use == 3
    assert cores.in_use == 0


def test_spare_tasks_begin_when_no_other_waits_and_leave_cores_to_others(tmp_path: Path) -> None:
    cores = CoreBudget(tmp_path, cores=2)
    gate, order = Gate(1, 100, cores), []

    def work(number: int) -> None:
        with gate.turn((number, 0), 1, spare=number < 2, cores=int(number == 3)):
            order.append((number, cores.in_use))

    with ThreadPoolExecutor(4) as threads:
        with gate.turn((9, 9), 100):
            tasks = [threads.submit(work, number) for number in (1, 0, 2, 3)]
            until(lambda: len(gate._waiting) == 4)
            other = cores.attempt()
            assert other is not None
        until(lambda: len(order) == 4)
        [task.result() for task in tasks]
    assert sorted(order[:2]) == [(2, 2), (3, 2)]
    assert order[2:] == [(0, 2), (1, 2)]
    another = cores.attempt()
    assert another is not None
    with ThreadPoolExecutor(1) as threads:
        task = threads.submit(work, 0)
        until(lambda: gate._waiting)
        work(2)  # which needs none
        assert [number for number, _ in order[4:]] == [2]
        other.release()
        task.result()
    assert [number for number, _ in order[5:]] == [0]


def test_spare_tasks_leave_a_place_to_others(tmp_path: Path) -> None:
    gate, done, order = Gate(3, 100, CoreBudget(tmp_path, cores=9)), threading.Semaphore(0), []

    def work(number: int) -> None:
        with gate.turn((0, number), 1, spare=True):
            order.append(number)
            done.acquire()

    with ThreadPoolExecutor(3) as threads:
        [threads.submit(work, number) for number in range(3)]
        until(lambda: len(gate._working) == 2 and len(gate._waiting) == 1)
        with gate.turn((1, 0), 1):
            assert len(gate._working) == 3
        assert len(order) == 2
        done.release()
        until(lambda: len(order) == 3)
        done.release(2)


@contextmanager
def spare_on_card(
    workers: Workers, function: Callable[[Any], Any], without_card: Callable[[Any], Any] = list
) -> Iterator[SpareCardTasks[Any, Any]]:
    with (
        workers.spare(function) as rest,
        workers.spare_on_card(function, memory=1, without_card=without_card, rest=rest) as spare,
    ):
        yield spare


def test_spare_tasks_wait_for_a_core_until_somebody_waits_for_one_of_them(tmp_path: Path) -> None:
    (tmp_path / "go").touch()
    cores, card = CoreBudget(tmp_path / "run", cores=1), card_processes(tmp_path / "run", cores=1)
    with Workers(cores, card=card) as workers:
        core = cores.attempt()
        with spare_on_card(workers, leave_traces) as spare:
            asked = [spare.add((tmp_path, number)) for number in range(9)]
            asked[8].forget()
            assert [*workers.map_on_card(square, range(3), memory=1, without_card=abs)] == [0, 1, 4]
            assert not [*tmp_path.glob("begun-*")]
            assert [each.result() for each in reversed(asked[:8])] == [*reversed(range(8))]
            assert spare.add((tmp_path, 10)).result() == 10
        assert not (tmp_path / "begun-8").exists()
        assert core is not None


def test_what_spare_tasks_take_on_a_card_is_told_apart_until_somebody_waits(workers: Workers) -> None:
    before = workers.usage
    with spare_on_card(workers, burn) as spare:
        asked = spare.add(0.05)
        until(lambda: spare.cpu_seconds > 0)
        assert workers.usage == before
        asked.result()
        apart = spare.cpu_seconds
        spare.add(0.05).result()
        assert spare.cpu_seconds == apart
    assert workers.usage.cpu > before.cpu


def test_others_do_spare_tasks_that_the_card_gives_up_or_a_process_has_at_its_crash(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    def without(task: tuple[int, bool]) -> tuple[int, bool]:
        return task[0], False

    cores, preload = CoreBudget(tmp_path / "run", cores=2), ["tests.core.engine.tasks"]
    card = card_processes(tmp_path / "run")
    with Workers(cores, preload=preload, card=card) as workers, caplog.at_level(logging.WARNING):
        with spare_on_card(workers, give_up_on_card, without) as spare:
            asked = [spare.add((number, True)) for number in range(6)]
            assert [each.result() for each in asked] == [(number, number % 2 == 0) for number in range(6)]
        assert caplog.text.count("the processor does a part of it") == 1
        with spare_on_card(workers, refuse_weights) as spare:
            refused = spare.add(1)
            with pytest.raises(ModelError, match="another network"):
                refused.result()
        with spare_on_card(workers, crash_on_card, without) as spare:
            asked = [spare.add((number, True)) for number in range(5)]
            assert [each.result() for each in asked] == [*range(5)]
            assert spare.add((7, True)).result() == 7  # for which there is no process any more


def test_nobody_waits_for_spare_tasks_of_which_nothing_can_be_heard_any_more(workers: Workers) -> None:
    with spare_on_card(workers, unreadable) as spare:
        asked = [spare.add(number) for number in range(5)]
        for each in asked:
            with pytest.raises(ModelError, match="another network"):
                each.result()
        with pytest.raises(ModelError):
            spare.add(5).result()


def test_spare_tasks_on_a_card_stop_when_nobody_wants_them_any_more(workers: Workers, tmp_path: Path) -> None:
    with spare_on_card(workers, leave_traces) as spare:
        for number in range(5):
            spare.add((tmp_path, number))
        until(lambda: [*tmp_path.glob("begun-*")])
    begun = {*tmp_path.glob("begun-*")}
    assert [*workers.map_on_card(square, [1, 2], memory=1, without_card=abs)] == [1, 4]
    assert {*tmp_path.glob("begun-*")} == begun
