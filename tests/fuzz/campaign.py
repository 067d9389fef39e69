"""A campaign: many mutants on a few worker processes, each replaced when a mutant kills it.

Belongs here: handing out mutants, watching the clock, and counting. What a worker does is its own module's business.
"""

from __future__ import annotations

import json
import select
import signal
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from queue import Empty, Queue
from typing import IO

from dualface_core.system import child_processes

_PATIENCE = 600.0
"""Seconds of the wall clock after which a mutant counts as hanging, on a machine that does much other work: what takes
processor time is stopped by the worker's own limit."""

_ANSWERS = frozenset({"probed", "verified"})
_OF_MEMORY = frozenset({"MachineError", "MemoryError"})


@dataclass
class Tally:
    """What became of mutants.

    Attributes:
        mutants, whole: how many there were, and how many of them were run as a whole and not only probed.
        found: outcomes, each with how often.
        faults: those that must not be, each in a sentence with the mutant's seed and number.
        slowest: seconds of the longest.
    """

    mutants: int = 0
    whole: int = 0
    found: Counter[str] = field(default_factory=Counter)
    crashes: int = 0
    hangs: int = 0
    bugs: int = 0
    partial: int = 0
    left: int = 0
    slowest: float = 0.0
    faults: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class _Job:
    seed: Path
    number: int
    whole: bool


def run_campaign(
    seeds: list[Path], *, mutants: int, whole_every: int, workers: int, progress: Callable[[int], None] | None = None
) -> dict[str, Tally]:
    """Try mutants. Returns what became of them, by the seed's name.

    Args:
        seeds: the files that are damaged, in turn.
        mutants: how many, over all seeds.
        whole_every: every how many of a seed's mutants is run through all steps.
        workers: processes.
        progress: called with the mutants done.
    """
    waiting: Queue[_Job] = Queue()
    for count in range(mutants):
        number, seed = divmod(count, len(seeds))
        waiting.put(_Job(seeds[seed], number, (number + seed) % whole_every == 0))
    tallies = {seed.name: Tally() for seed in seeds}

    def work() -> None:
        with tempfile.TemporaryDirectory(prefix="dualface-fuzz-") as folder, suppress(Empty):
            for life in range(mutants):
                place = Path(folder) / str(life)
                place.mkdir()
                with _worker(place, seeds[0]) as process:
                    while _try(process, job := waiting.get_nowait(), tallies[job.seed.name]):
                        if progress is not None:
                            progress(mutants - waiting.qsize())

    with ThreadPoolExecutor(workers) as pool:
        for done in [pool.submit(work) for _ in range(workers)]:
            done.result()
    return tallies


@contextmanager
def _worker(folder: Path, seed: Path) -> Iterator[subprocess.Popen[str]]:
    """A worker that is ready."""
    command = [sys.executable, "-m", "tests.fuzz.worker", str(folder)]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.DEVNULL}
    with subprocess.Popen(command, text=True, env=child_processes.environment(None), **pipes) as process:
        try:
            if _ask(process, {"seed": str(seed)}) is None:
                raise RuntimeError(f"the worker did not get as far as its first mutant: {seed} is not healthy")
            yield process
        finally:
            process.kill()


def _ask(process: subprocess.Popen[str], question: dict[str, object]) -> dict[str, object] | None:
    """The worker's answer; None if it dies or takes too long."""
    stdin, stdout = _pipe(process.stdin), _pipe(process.stdout)
    with suppress(BrokenPipeError):
        stdin.write(json.dumps(question) + "\n")
        stdin.flush()
        ready, _, _ = select.select([stdout], [], [], _PATIENCE)
        if ready and (line := stdout.readline()):
            return dict(json.loads(line))
    return None


def _pipe(pipe: IO[str] | None) -> IO[str]:
    assert pipe is not None
    return pipe


def _try(process: subprocess.Popen[str], job: _Job, tally: Tally) -> bool:
    """Try a mutant and note what becomes of it. False if the worker is lost."""
    answer = _ask(process, {"seed": str(job.seed), "number": job.number, "whole": job.whole})
    tally.mutants += 1
    tally.whole += job.whole
    about = f"{job.seed.name}, mutant {job.number}{', whole' if job.whole else ''}"
    if answer is None:
        with suppress(subprocess.TimeoutExpired):
            process.wait(5)
        ended = process.returncode
        if ended is None or ended == -signal.SIGXCPU:
            tally.hangs += 1
            tally.faults.append(f"{about}: hangs")
        else:
            tally.crashes += 1
            tally.faults.append(f"{about}: the process ended with {ended}")
        return False
    found = str(answer["found"])
    tally.slowest = max(tally.slowest, float(str(answer["seconds"])))
    tally.found[found.partition(":")[0]] += 1
    if found not in _ANSWERS and (not found.endswith("Error") or found in _OF_MEMORY or found.startswith("bug")):
        tally.bugs += 1
        tally.faults.append(f"{about}: {found}")
    if answer["partial"]:
        tally.partial += 1
        tally.faults.append(f"{about}: {found}, and beside it {answer['partial']}")
    if answer["left"]:
        tally.left += 1
        tally.faults.append(f"{about}: {found} leaves {answer['left']}")
    return True
