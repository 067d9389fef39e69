from __future__ import annotations

import threading
import time
from collections.abc import Callable

import pytest

from dualface_assets.uploads.resumable import ResumableTask

LONG_AGO = 0.0
NEVER = float("inf")


class Counting:
    """Work of so many pieces, each of which may be made to wait."""

    def __init__(self, pieces: int) -> None:
        self.left = pieces
        self.threads: set[threading.Thread] = set()
        self.may_go_on = threading.Event()

    def __call__(self, enough: Callable[[], bool]) -> str | None:
        while self.left:
            self.threads.add(threading.current_thread())
            if threading.current_thread() is not threading.main_thread():
                self.may_go_on.wait()
            self.left -= 1
            if self.left and enough():
                return None
        return "done"


def until_there(work: ResumableTask[str]) -> str:
    while (found := work.result(LONG_AGO)) is None:
        time.sleep(0.001)
    return found


def test_what_is_short_is_done_at_once() -> None:
    counting = Counting(pieces=3)
    assert ResumableTask(counting).result(NEVER) == "done"
    assert counting.threads == {threading.current_thread()}


def test_what_takes_longer_goes_on_by_itself() -> None:
    counting = Counting(pieces=3)
    work = ResumableTask(counting)
    assert work.result(LONG_AGO) is None
    assert work.result(NEVER) is None  # nobody waits for it
    counting.may_go_on.set()
    assert until_there(work) == "done"
    assert counting.left == 0


def test_what_is_dropped_stops_after_its_piece() -> None:
    counting = Counting(pieces=1_000)
    work = ResumableTask(counting)
    work.result(LONG_AGO)
    work.drop()
    counting.may_go_on.set()
    while work.result(LONG_AGO) is None and any(thread.name == "resumable" for thread in threading.enumerate()):
        time.sleep(0.001)
    assert counting.left == 998  # one piece here, and one that was in work


def test_an_error_is_told_to_whoever_asks() -> None:
    def fail(enough: Callable[[], bool]) -> str | None:
        if threading.current_thread() is threading.main_thread() and enough():
            return None
        raise OSError(5, "Input/output error")

    with pytest.raises(OSError, match="Input/output"):
        until_there(ResumableTask(fail))
