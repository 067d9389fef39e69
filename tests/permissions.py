"""File permissions that count, even if root runs the tests.

Belongs here: giving up, for a while, the rights by which root reads and writes everything (capabilities(7)), and what
another user can do.
"""

from __future__ import annotations

import ctypes
import os
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import pytest

_VERSION_3: Final = 0x20080522
_BEYOND_PERMISSIONS: Final = 1 << 1 | 1 << 2
"""CAP_DAC_OVERRIDE and CAP_DAC_READ_SEARCH."""

_ANOTHER: Final = 65_534
"""User and group of somebody else (nobody)."""

_libc: Final = ctypes.CDLL(None, use_errno=True)


class _Header(ctypes.Structure):
    _fields_ = (("version", ctypes.c_uint32), ("pid", ctypes.c_int))


class _Sets(ctypes.Structure):
    _fields_ = (("effective", ctypes.c_uint32), ("permitted", ctypes.c_uint32), ("inheritable", ctypes.c_uint32))


@contextmanager
def permissions_count() -> Iterator[None]:
    """For the length of the block, this thread reads and writes only what permissions allow it."""
    sets = (_Sets * 2)()
    _call("capget", sets)
    before = sets[0].effective
    sets[0].effective = before & ~_BEYOND_PERMISSIONS
    _call("capset", sets)
    try:
        yield
    finally:
        sets[0].effective = before
        _call("capset", sets)


def another_user_can(work: Callable[[], object]) -> bool:
    """Whether some work succeeds in a process of another user; not so if it raises OSError. Only root can find out."""
    if os.geteuid():
        pytest.skip("only root can be another user")
    child = os.fork()
    if child == 0:
        ended = 2
        try:
            os.setgroups([])
            os.setgid(_ANOTHER)
            os.setuid(_ANOTHER)
            work()
            ended = 0
        except OSError:
            ended = 1
        finally:
            os._exit(ended)
    ended = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    assert ended in {0, 1}
    return ended == 0


@contextmanager
def public_folder() -> Iterator[Path]:
    """A folder that every user can enter, unlike those of pytest."""
    with tempfile.TemporaryDirectory(dir="/tmp") as folder:
        Path(folder).chmod(0o755)
        yield Path(folder)


def _call(name: str, sets: ctypes.Array[_Sets]) -> None:
    if getattr(_libc, name)(ctypes.byref(_Header(_VERSION_3, 0)), sets):
        raise OSError(ctypes.get_errno(), f"{name}: {os.strerror(ctypes.get_errno())}")
