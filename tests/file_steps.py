"""A process that dies between any two accesses to files.

Belongs here: making it die. What must hold afterwards is the tests' business.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from typing import Final

_STEPS: Final = {"open", "os.rename", "os.mkdir", "os.remove", "os.rmdir", "shutil.rmtree"}
_DONE, _FAILED, _CRASHED = 0, 1, 9


def crash_at(step: int, work: Callable[[], object], *, below: str = "") -> bool:
    """Do some work in a child process that dies before its `step`-th access to a file. True if it got to the end.

    Only files count that have `below` in their path.
    """
    child = os.fork()
    if child == 0:
        left = step

        def count(event: str, arguments: tuple[object, ...]) -> None:
            nonlocal left
            if event in _STEPS and below in str(arguments[0]):
                if left == 0:
                    os._exit(_CRASHED)
                left -= 1

        sys.addaudithook(count)
        try:
            work()
            os._exit(_DONE)
        finally:
            os._exit(_FAILED)
    ended = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    assert ended in {_DONE, _CRASHED}
    return ended == _DONE
