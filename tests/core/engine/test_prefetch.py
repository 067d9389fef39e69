from __future__ import annotations

import threading
from collections.abc import Generator
from contextlib import closing
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dualface_core.engine.advance import advance
from dualface_core.engine.cores import CoreBudget
from dualface_core.engine.prefetch import helped, prefetch


class Counting:
    """A generator that reports how far it has come, in which thread, and whether it was closed."""

    def __init__(self, count: int, *, fails: bool = False) -> None:
        self._count = count
        self._fails = fails
        self.made = 0
        self.thread: threading.Thread | None = None
        self.closed_in: threading.Thread | None = None

    def items(self) -> Generator[int]:
        self.thread = threading.current_thread()
        try:
            for number in range(self._count):
                self.made += 1
                yield number
            if self._fails:
                raise ValueError("no more frames")
        finally:
            self.closed_in = threading.current_thread()


@settings(deadline=None, max_examples=30)
@given(count=st.integers(0, 40), depth=st.integers(1, 5))
def test_every_item_arrives_once_and_in_order(count: int, depth: int) -> None:
    with prefetch(Counting(count).items(), depth=depth) as items:
        assert list(items) == list(range(count))


def test_items_are_made_in_another_thread_which_is_never_far_ahead_and_ends_with_the_block() -> None:
    maker = Counting(100)
    furthest = 0
    with prefetch(maker.items(), depth=3) as items:
        for taken, _ in enumerate(items, start=1):
            furthest = max(furthest, maker.made - taken)
    assert maker.thread is not None
    assert maker.thread is not threading.current_thread()
    assert not maker.thread.is_alive()
    assert furthest <= 3 + 1


def test_what_fails_in_the_thread_is_raised_where_its_item_would_have_been_taken() -> None:
    with prefetch(Counting(5, fails=True).items(), depth=2) as items:
        assert [next(items) for _ in range(5)] == [0, 1, 2, 3, 4]
        with pytest.raises(ValueError, match="no more frames"):
            next(items)


def test_a_block_that_fails_ends_the_thread_and_closes_the_generator_there() -> None:
    maker = Counting(100)
    with pytest.raises(ZeroDivisionError), prefetch(maker.items(), depth=2) as items:
        next(items) // 0
    assert maker.made < 100
    assert maker.closed_in is maker.thread
    assert maker.thread is not None
    assert not maker.thread.is_alive()


def test_a_second_thread_helps_from_when_a_core_is_free_and_holds_it(tmp_path: Path) -> None:
    budget = CoreBudget(tmp_path / "runtime", cores=1)
    others = budget.attempt()
    assert others is not None
    made_by: list[str] = []

    def made() -> Generator[int]:
        for number in range(64):
            made_by.append(threading.current_thread().name)
            yield number

    taken: list[int] = []
    with closing(helped(made(), budget, count=64, depth=2, every=8)) as items:
        for number in items:
            taken.append(number)
            if number == 20:
                others.release()
            elif number == 40:
                assert budget.attempt() is None
    assert taken == [*range(64)]
    assert {*made_by[:21]} == {threading.current_thread().name}
    assert {*made_by[30:]} == {"prefetch"}
    assert budget.attempt() is not None


def test_who_was_not_helped_waits_for_no_core_when_it_has_ended(tmp_path: Path) -> None:
    budget = CoreBudget(tmp_path / "runtime", cores=1)
    others = budget.attempt()
    assert others is not None
    assert [*helped(Counting(9).items(), budget, count=9, depth=2, every=1)] == [*range(9)]
    assert not list((tmp_path / "runtime" / "cores" / "waiting").iterdir())


def test_what_makes_nothing_for_long_hears_at_its_next_advance_that_nobody_waits_any_more() -> None:
    closed = threading.Event()

    def waits() -> Generator[int]:
        try:
            while True:
                advance(0)
                yield from ()
        finally:
            closed.set()

    with pytest.raises(InterruptedError), prefetch(waits(), depth=1):
        raise InterruptedError
    assert closed.is_set()
