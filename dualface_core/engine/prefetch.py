"""Two stages at once: one makes items in a thread of its own, the other takes them; always, or once a core is free.

Belongs here: the hand-over between two threads and nothing of what is handed over. The one idea: the thread is at most
a few items ahead, so memory stays bounded, and it has ended when the block ends, whatever ended it.
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Generator, Iterator
from contextlib import closing, contextmanager
from time import monotonic
from typing import Final, Generic, TypeVar

from dualface_core.engine.advance import Stopped, advancing
from dualface_core.engine.cores import CoreBudget

Item = TypeVar("Item")

_ASKS: Final = 2.0
"""Seconds since it asked in which one who takes longer is waited for: several large frames."""

_ABANDONED_AFTER: Final = 0.1
"""Seconds between two checks whether the block has ended."""


def helped(
    items: Generator[Item],
    budget: CoreBudget,
    *,
    count: int,
    depth: int,
    every: int,
    beginning: Callable[[], None] = lambda: None,
) -> Generator[Item]:
    """The same items. From when a core is free on, a second thread makes them, ahead of the consumer, and holds it.

    Among several who are helped so, in any process, who will take longest gets the core.

    Args:
        items: makes the items, each a frame's work or so; closed in the end.
        count: how many there are.
        budget: whose cores they are.
        depth: finished items that may wait.
        every: items after which it is asked again whether a core has nothing to do, which takes up to a millisecond.
        beginning: called before the second thread begins.
    """
    core, wanted, begun = None, budget.turn(waits=_ASKS), 0.0
    with closing(items):
        try:
            for number, item in enumerate(items, 1):
                begun = begun or monotonic()  # what leads to the first one is no measure of others
                yield item
                if number % every == 0:
                    core = wanted.attempt(left=(monotonic() - begun) / number * (count - number))
                if core is not None:
                    break
            else:
                return
        finally:
            wanted.withdraw()
        try:
            beginning()
            with prefetch(items, depth=depth) as ahead:
                yield from ahead
        finally:
            core.release()


@contextmanager
def prefetch(items: Generator[Item], *, depth: int) -> Iterator[Iterator[Item]]:
    """Run a generator in a thread of its own, at most `depth` + 1 items ahead of their consumer.

    What the generator raises is raised where its next item would be taken. It is closed, in its own thread, before the
    block ends: when it has made an item, or at an `advance`.

    Args:
        items: makes the items; nothing else may take any of them.
        depth: finished items that may wait.
    """
    stage = _Stage(items, depth)
    try:
        yield stage.taken()
    finally:
        stage.end()


class _Stage(Generic[Item]):
    def __init__(self, items: Generator[Item], depth: int) -> None:
        self._items = items
        self._waiting: queue.Queue[tuple[Item] | BaseException | None] = queue.Queue(depth)
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._make, name="prefetch")
        self._thread.start()

    def taken(self) -> Iterator[Item]:
        while True:
            match self._waiting.get():
                case None:
                    return
                case BaseException() as error:
                    raise error
                case (item,):
                    yield item

    def end(self) -> None:
        self._ended.set()
        self._thread.join()

    def _make(self) -> None:
        last: BaseException | None = None
        try:
            with closing(self._items), advancing(self._told):
                for item in self._items:
                    if not self._hand_over((item,)):
                        return
        except BaseException as error:  # noqa: BLE001  raised in the thread that takes
            last = error
        self._hand_over(last)

    def _told(self, _: int) -> None:
        if self._ended.is_set():
            raise Stopped

    def _hand_over(self, what: tuple[Item] | BaseException | None) -> bool:
        """Put something into the queue, once there is room. False if the block has ended."""
        while not self._ended.is_set():
            try:
                self._waiting.put(what, timeout=_ABANDONED_AFTER)
            except queue.Full:
                continue
            return True
        return False
