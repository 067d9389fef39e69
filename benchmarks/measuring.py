"""What programs cost: time, CPU time and memory of commands that are started at once, with all that they start.

Belongs here: running them and what was found. Which commands, and how it is shown, is each benchmark's business.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Final

import psutil

_EVERY: Final = 0.1
"""Seconds between two looks at the processes; the CPU time of the last part of one that ends is missed."""

_MEMORY_EVERY: Final = 10
"""Of so many looks, one is at their memory: the kernel takes 20 ms for a gigabyte, which programs on few cores miss."""


@dataclass(frozen=True)
class Cost:
    """What commands took.

    Attributes:
        seconds: from the start of the first to the end of the last.
        cpu_seconds: of processors, of all their processes.
        peak_memory: highest memory of all their processes at once, in bytes; what several share counts once (PSS).
    """

    seconds: float
    cpu_seconds: float
    peak_memory: int


def cost(*commands: Sequence[str], environment: Mapping[str, str] | None = None) -> Cost:
    """Run commands at once, and say what they cost. If one fails, what it said is shown, and this program ends."""
    with tempfile.TemporaryFile("w+", errors="replace") as said:
        start = time.perf_counter()
        running = [
            subprocess.Popen(command, stdout=said, stderr=subprocess.STDOUT, env=environment) for command in commands
        ]
        done, watch = threading.Event(), Watch([psutil.Process(process.pid) for process in running])
        watcher = threading.Thread(target=watch.until, args=[done])
        watcher.start()
        codes = [process.wait() for process in running]
        seconds = time.perf_counter() - start
        done.set()
        watcher.join()
        for command, code in zip(commands, codes, strict=True):
            if code:
                said.seek(0)
                sys.exit(f"{' '.join(command)} ended with {code}\n{said.read()}")
    return Cost(seconds, watch.cpu_seconds, watch.peak)


class Watch:
    """Looks at processes and all that they start, ten times a second; at their memory, once a second.

    Attributes:
        peak: highest memory of all of them at once, in bytes.
    """

    def __init__(self, roots: Sequence[psutil.Process]) -> None:
        self.peak = 0
        self._roots = roots
        self._looks = 0
        self._spent: dict[tuple[int, float], float] = {}

    @property
    def cpu_seconds(self) -> float:
        """CPU time of all of them, as far as it was seen."""
        return sum(self._spent.values())

    def until(self, done: threading.Event) -> None:
        """Look until it is enough."""
        while not done.wait(_EVERY):
            self.look()

    def look(self) -> None:
        """Look once."""
        memory = 0
        for process in self._all():
            with suppress(psutil.NoSuchProcess, psutil.ZombieProcess):
                times = process.cpu_times()
                self._spent[process.pid, process.create_time()] = times.user + times.system
                if self._looks % _MEMORY_EVERY == 0:
                    memory += process.memory_full_info().pss
        self.peak = max(self.peak, memory)
        self._looks += 1

    def _all(self) -> list[psutil.Process]:
        found = list(self._roots)
        for root in self._roots:
            with suppress(psutil.NoSuchProcess):
                found += root.children(recursive=True)
        return found
