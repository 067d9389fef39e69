"""CoreBudget: the cores of the host, shared by all processes that work on videos.

Belongs here: whose turn it is. The one idea: a core that is in use is a lock on a file in the runtime folder, so that
the kernel frees it however its process ends. Nothing depends on having one: who has no core yet may still work on one
thing at a time, so nobody starves, and a folder that cannot be used costs speed only.
"""

from __future__ import annotations

import logging
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final
from uuid import uuid4

from dualface_core.system.locks import FileLock
from dualface_core.system.machine_cores import machine_cores
from dualface_core.system.private_folders import PrivateFolderError, make_private_folder

_WAITS: Final = 0.2
"""Seconds since its last attempt in which one who waits is waited for. Each attempts about thirty times a second, so
one that is silent for longer is stopped, has died, or is busy with something else than waiting."""

_HELPERS: Final = "9"
"""What signs of those begin with who would only be helped. Others begin with a zero, and so come first."""

_LONGEST_LEFT: Final = 10**12
"""Milliseconds: so much is nobody expected to have left."""

_FORGOTTEN: Final = 60.0
"""Seconds after which a sign of waiting that nobody renews is removed by whoever sees it."""

_LOGGER: Final = logging.getLogger(__name__)


@dataclass(frozen=True)
class Core:
    """The right to keep one core busy. `lock` is None where the runtime folder cannot be used."""

    lock: FileLock | None

    def release(self) -> None:
        """Give it back. Safe to call again, and from any thread."""
        if self.lock is not None:
            self.lock.release()


class CoreBudget:
    """The cores of the host, or as many of them as its user allows.

    Args:
        runtime: the folder that all processes of the user share on this host; made with mode 0700 if it is missing.
        cores: how many there are; None for those of the machine. Where processes disagree, each keeps to its own
            number, and to what the others leave of it.
    """

    def __init__(self, runtime: Path, *, cores: int | None = None) -> None:
        self.cores = cores or machine_cores()
        self._runtime = runtime
        self._folder = runtime / "cores"
        self._usable: bool | None = None

    def turn(self, *, waits: float = _WAITS) -> Turn:
        """Somebody who will want cores, one after the other. `waits` is for how long a silent one is waited for."""
        return Turn(self, waits)

    @property
    def folder(self) -> Path | None:
        """Where the locks lie; None if the folder cannot be used, of which the log says why."""
        if self._usable is None:
            try:
                for folder in (self._runtime, self._folder, self._folder / "waiting"):
                    make_private_folder(folder, action="Give dualface a folder of its own as DUALFACE_RUNTIME.")
            except (OSError, PrivateFolderError) as error:
                self._unusable(error)
            else:
                self._usable = True
        return self._folder if self._usable else None

    def attempt(self) -> Core | None:
        """Take a core that is free, whoever else waits for one; None if none is."""
        folder = self.folder
        if folder is None:
            return Core(None)
        try:
            for number in range(self.cores):
                if lock := FileLock.attempt(folder / f"core-{number}"):
                    return Core(lock)
        except OSError as error:
            self._unusable(error)
            return Core(None)
        return None

    @property
    def in_use(self) -> int:
        """Cores that somebody on this host holds now. Raises OSError where that cannot be found out."""
        folder = self.folder
        if folder is None:
            return 0
        locks = [FileLock.attempt(folder / f"core-{number}") for number in range(self.cores)]
        for lock in locks:
            if lock is not None:
                lock.release()
        return locks.count(None)

    def _unusable(self, error: Exception) -> None:
        self._usable = False
        _LOGGER.warning("cores are not shared with other processes of this host: %s", error)


class Turn:
    """Wants cores, one after the other, and waits for each behind those who have waited longer.

    While it waits, a file whose name is the time since when, and whose own time is that of its last attempt, says so.
    Who would only be helped by a core names instead of that time how long it takes without.
    """

    def __init__(self, budget: CoreBudget, waits: float) -> None:
        self._budget = budget
        self._waits = waits
        self._sign: Path | None = None

    def attempt(self, *, left: float | None = None) -> Core | None:
        """Take a core if one is free and nobody else's turn comes first; None if not, and then it waits.

        Args:
            left: seconds that work in hand takes without another core, for one who would be helped by it. Such come
                after all who need one, and who takes longest comes first among them.
        """
        if left is not None:
            self.withdraw()
            self._wait(f"{_HELPERS}{_LONGEST_LEFT - round(1000 * left):012}")
        core = None if self._others_come_first() else self._budget.attempt()
        if core is None:
            self._wait()
        else:
            self.withdraw()
        return core

    def withdraw(self) -> None:
        """Want none any more."""
        if self._sign is not None:
            with suppress(OSError):
                self._sign.unlink(missing_ok=True)
            self._sign = None

    def _wait(self, place: str | None = None) -> None:
        """Say that it waits: at a place among the others that sorts as its name does, or behind them."""
        folder = self._budget.folder
        if folder is None:
            return
        if self._sign is None:
            self._sign = folder / "waiting" / f"{place or f'{time.time_ns():020}'}-{uuid4().hex}"
        with suppress(OSError):
            self._sign.touch(mode=0o600)

    def _others_come_first(self) -> bool:
        folder = self._budget.folder
        if folder is None:
            return False
        now, own = time.time(), _HELPERS if self._sign is None else self._sign.name
        try:
            for sign in sorted((folder / "waiting").iterdir()):
                if sign.name >= own:
                    return False
                with suppress(FileNotFoundError):  # it is gone since the folder was listed
                    silent = abs(now - sign.stat().st_mtime)
                    if silent <= self._waits:
                        return True
                    if silent > max(_FORGOTTEN, self._waits):
                        sign.unlink()
        except OSError:
            return False
        return False
