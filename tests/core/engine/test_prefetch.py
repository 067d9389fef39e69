from __future__ import annotations

import threading
from collections.abc import Generator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dualface_core.engine.prefetch import prefetch


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
