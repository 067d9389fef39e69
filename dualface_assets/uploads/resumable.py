"""Work on files of any size within ticks that must be short.

Belongs here: who does the work and when, and nothing of what the work is. The one idea: what is short is done in the
tick that begins it, in order; what isn't goes on in a thread beside the ticks, and the ticks ask how far it has come.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from typing import Final, Generic, TypeVar

Result = TypeVar("Result")

_AT_ONCE: Final = threading.BoundedSemaphore(2)
"""Long pieces of work that go on at the same time; more of them would only share the disk."""


class ResumableTask(Generic[Result]):
    """Work that can stop after any piece of it, and be taken up again.

    Args:
        advance: does one piece after the other, until it is asked to stop: by what it is given, which is to be called
            after every piece. It gives the result when there is nothing left to do, None before that.
    """

    def __init__(self, advance: Callable[[Callable[[], bool]], Result | None]) -> None:
        self._advance = advance
        self._rest: Future[Result | None] | None = None
        self._dropped = False

    def result(self, deadline: float) -> Result | None:
        """The result; None if it takes longer than until the deadline (`time.monotonic`): then ask again.

        Raises what the work raised.
        """
        if self._rest is None:
            found = self._advance(lambda: time.monotonic() > deadline)
            if found is None:
                self._rest = Future()
                threading.Thread(target=self._finish, args=[self._rest], name="resumable", daemon=True).start()
            return found
        return self._rest.result() if self._rest.done() else None

    def drop(self) -> None:
        """The result is not needed any more: stop after this piece."""
        self._dropped = True

    def _finish(self, rest: Future[Result | None]) -> None:
        try:
            with _AT_ONCE:
                rest.set_result(self._advance(lambda: self._dropped))
        except BaseException as error:  # noqa: BLE001  raised where the result is asked for
            rest.set_exception(error)
