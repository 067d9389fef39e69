"""FileLock: an flock that lives exactly as long as the process that took it.

Belongs here: what the kernel needs so that no other process keeps the lock alive by accident. An flock belongs
to an open file description, which `fork` and `exec` hand on: a child that outlives its parent would keep its lock.
"""

from __future__ import annotations

import fcntl
import os
import threading
from contextlib import suppress
from pathlib import Path
from typing import Self

# Held while a descriptor is made or closed, so that a fork in another thread copies none that is not in the set.
_guard = threading.Lock()
_held: set[FileLock] = set()


class FileLock:
    """A lock on a file, which is made if need be. Exclusive between processes, and between two locks of one process."""

    def __init__(self, path: Path, descriptor: int) -> None:
        self.path = path
        self._descriptor = descriptor

    @classmethod
    def attempt(cls, path: Path) -> Self | None:
        """Take the lock if it is free; None if it is not. Raises OSError where the file cannot be made or locked."""
        with _guard:
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BaseException as error:
                os.close(descriptor)
                if isinstance(error, BlockingIOError):
                    return None
                raise
            if os.fstat(descriptor).st_nlink == 0:
                # It was removed before we had it, as programs that tidy up do, so no other process would see our lock.
                os.close(descriptor)
                return None
            lock = cls(path, descriptor)
            _held.add(lock)
            return lock

    @property
    def held(self) -> bool:
        """False after release, and in a forked child."""
        return self._descriptor >= 0

    def touch(self) -> None:
        """Set the file's time to now: the sign of a living waiter, and what keeps programs that tidy up away."""
        os.utime(self._descriptor)

    def release(self) -> None:
        """Free the lock; nothing happens if it is not held."""
        with _guard:
            if self.held:
                # Unlocked by name: a copy of the descriptor in a process that foreign code forked would keep it locked.
                with suppress(OSError):
                    fcntl.flock(self._descriptor, fcntl.LOCK_UN)
                self.disown()
                _held.discard(self)

    def disown(self) -> None:
        """Close the descriptor without unlocking, as a forked child must: the lock is its parent's."""
        os.close(self._descriptor)
        self._descriptor = -1


def _disown_in_child() -> None:
    for lock in _held:
        lock.disown()
    _held.clear()
    _guard.release()


os.register_at_fork(before=_guard.acquire, after_in_parent=_guard.release, after_in_child=_disown_in_child)
