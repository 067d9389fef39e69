"""Stage: where the time of a video goes, step by step.

Belongs here: the figures, and the clock that takes them. Time is the monotonic clock's; CPU time is what the kernel
counts for this process, for children of it that have ended, and for each task of the workers.
"""

from __future__ import annotations

from collections.abc import Iterable
from time import perf_counter
from typing import TYPE_CHECKING, Final

from pydantic import BaseModel, ConfigDict, Field

from dualface_core.system.cpu_time import cpu_seconds

if TYPE_CHECKING:
    from dualface_core.engine.workers import Workers


_WORTH_SAYING: Final = 0.1
"""Seconds that are worth a word."""


class Stage(BaseModel):
    """What one step of one video took.

    Attributes:
        name: "track", "plan", "render" or "verify".
        frames: frames of the video that it went through.
        seconds: from its begin to its end.
        cpu_seconds: of processors, in all threads and processes that worked for it.
        workers: tasks at work at once, on average over the step; 0 where it had none.
        core_wait_seconds: in which a task could have begun, had other videos not had all cores.
        ahead_cpu_seconds: of processors besides, which worked for it while the step before was not done.
    """

    model_config = ConfigDict(frozen=True)

    name: str
    frames: int
    seconds: float = Field(gt=0)
    cpu_seconds: float
    workers: float = 0.0
    core_wait_seconds: float = 0.0
    ahead_cpu_seconds: float = 0.0

    @property
    def frames_per_second(self) -> float:
        """Frames by seconds."""
        return self.frames / self.seconds

    @property
    def cores(self) -> float:
        """Cores that were busy, on average."""
        return self.cpu_seconds / self.seconds


class StageClock:
    """Takes the time of a step, from when it is made.

    Args:
        name: of the step.
        workers: what does its tasks; None where there are none.
    """

    def __init__(self, name: str, workers: Workers | None = None) -> None:
        self._name = name
        self._workers = workers
        self._usage = None if workers is None else workers.usage
        self._cpu = cpu_seconds()
        self._started = perf_counter()

    def stop(self, frames: int, *, ahead: float = 0.0) -> Stage:
        """The step has ended, and went through so many frames; `ahead` are CPU seconds before it began."""
        seconds, cpu = perf_counter() - self._started, cpu_seconds() - self._cpu
        if self._workers is None or self._usage is None:
            return Stage(name=self._name, frames=frames, seconds=seconds, cpu_seconds=cpu, ahead_cpu_seconds=ahead)
        used = self._workers.usage - self._usage
        return Stage(
            name=self._name,
            frames=frames,
            seconds=seconds,
            cpu_seconds=cpu + used.cpu,
            workers=used.working / seconds,
            core_wait_seconds=used.waiting,
            ahead_cpu_seconds=ahead,
        )


def time_line(stages: Iterable[Stage]) -> str:
    """One line about where the time went, in one video or in several; empty if nothing is known of it."""
    by_name: dict[str, list[Stage]] = {}
    for stage in stages:
        by_name.setdefault(stage.name, []).append(stage)
    parts = []
    for name, found in by_name.items():
        seconds, cpu = sum(stage.seconds for stage in found), sum(stage.cpu_seconds for stage in found)
        frames = sum(stage.frames for stage in found)
        before = sum(stage.ahead_cpu_seconds for stage in found)
        ahead = f"; {before:.1f} CPU s before it began" if before >= _WORTH_SAYING else ""
        parts.append(f"{name} {seconds:.1f} s ({frames / seconds:.0f} frames/s, {cpu / seconds:.1f} cores{ahead})")
    waited = sum(stage.core_wait_seconds for found in by_name.values() for stage in found)
    return ", ".join(parts) + (f"; {waited:.1f} s of it for want of a core" if waited >= _WORTH_SAYING else "")
