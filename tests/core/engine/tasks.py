"""Tasks for workers, and a program that has some done: `python -m tests.core.engine.tasks FOLDER CORES`."""

from __future__ import annotations

import ctypes
import gc
import logging
import os
import signal
import sys
import time
from pathlib import Path
from pkgutil import resolve_name

import numpy as np
from numpy.typing import NDArray

from dualface_core.engine.advance import advance
from dualface_core.engine.card import CardProcesses
from dualface_core.engine.cores import CoreBudget
from dualface_core.engine.workers import Workers
from dualface_core.errors import ModelError, UnreadableVideoError
from dualface_core.system.cuda import CudaError


def card_processes(
    runtime: Path, *, processes: int = 1, threads: int = 2, memory: int = 100, cores: int | None = None
) -> CardProcesses:
    """Processes for a card, whose tasks need none, or set it up by themselves."""
    set_up = "tests.core.engine.tasks:set_up"
    return CardProcesses(
        processes=processes, threads=threads, memory=memory, set_up=set_up, runtime=runtime, cores=cores
    )


def square(number: int) -> int:
    advance(number)
    return number * number


def in_a_set(number: int) -> set[int]:
    return {number}


def large_array(number: int) -> NDArray[np.int64]:
    return np.full(50_000, number)


def burn(seconds: float) -> None:
    """Use up CPU time."""
    end = time.process_time() + seconds
    while time.process_time() < end:
        pass


def own_process(_: int) -> int:
    return os.getpid()


def library_threads(_: int) -> tuple[int, str]:
    import cv2

    return cv2.getNumThreads(), os.environ["OMP_NUM_THREADS"]


def objects_never_visited(_: int) -> int:
    return gc.get_freeze_count()


def refuse_odd(number: int) -> int:
    if number % 2:
        raise UnreadableVideoError(f"{number}.mp4", "it is odd", action="Make it even.")
    return number


def end_by(signal_number: int) -> int:
    if signal_number:
        os.kill(os.getpid(), signal_number)
    return signal_number


def met(task: tuple[Path, int]) -> int:
    """Wait until another task of the same folder is at work, too, and give the process that both are in."""
    folder, number = task
    (folder / f"{number}").write_text(f"{os.getpid()}")
    other = folder / f"{number ^ 1}"
    while not (other.exists() and other.read_text()):
        time.sleep(0.005)
    advance(1)
    assert other.read_text() == f"{os.getpid()}"
    return os.getpid()


def crash_on_card(task: tuple[int, bool]) -> int:
    number, on_card = task
    if on_card and number == 2:
        ctypes.string_at(0)
    return number


def give_up_on_card(task: tuple[int, bool]) -> tuple[int, bool]:
    number, on_card = task
    if on_card and number % 2:
        raise CudaError("cuMemAlloc", 2, "out of memory")
    return task


def refuse_weights(_: int) -> int:
    raise ModelError("weights.onnx: another network")


class Unreadable:
    """Pickled, and not to be had back."""

    def __reduce__(self) -> tuple[object, tuple[int]]:
        return refuse_weights, (1,)


def unreadable(_: int) -> Unreadable:
    return Unreadable()


def set_up(_: int) -> None:
    """Load what takes long."""
    set_ups.append(os.getpid())


def warn_of(number: int) -> int:
    logging.getLogger(__name__).warning("it is %d", number)
    return number


def times_set_up(_: int) -> int:
    return len(set_ups)


set_ups: list[int] = []


def read_null(_: int) -> None:
    ctypes.string_at(0)


def leave_traces(task: tuple[Path, int]) -> int:
    """Write down that the task has begun, and go on until `FOLDER/go` is there."""
    folder, number = task
    (folder / f"begun-{number}").write_text(str(os.getpid()))
    while not (folder / "go").exists():
        advance(1)
        time.sleep(0.001)
    return number


def end_slowly(task: tuple[Path, int]) -> None:
    """Fail, if it is the first task, once the next is at work; that takes a while to end."""
    folder, number = task
    begun = folder / "begun-1"
    if number == 0:
        while not begun.exists():
            time.sleep(0.005)
        raise ModelError("weights.onnx: another network")
    at_work = folder / f"at-work-{number}"
    at_work.touch()
    begun.touch()
    try:
        while True:
            advance(1)
            time.sleep(0.001)
    finally:
        time.sleep(0.2)
        at_work.unlink()


def hang(task: tuple[Path, int]) -> None:
    """Hang, as a driver does, but for the first of forty tasks, which ends once all are at work."""
    folder, number = task
    (folder / f"begun-{number}").touch()
    while number or len([*folder.glob("begun-*")]) < 40:
        time.sleep(0.005)


def ignore_the_end(task: tuple[Path, int]) -> None:
    """Hang, as a driver does."""
    (task[0] / f"begun-{task[1]}").write_text(str(os.getpid()))
    signal.pause()


def program_is_run(_: int) -> bool:
    """Whether the program's main module was run in this process, as multiprocessing does by itself."""
    return hasattr(sys.modules["__main__"], "program_is_run")


def main() -> None:
    folder, cores = Path(sys.argv[1]), int(sys.argv[2])
    if sys.argv[3:] == ["on a card"]:
        with Workers(CoreBudget(folder / "run", cores=cores), card=card_processes(folder / "run")) as workers:
            print(*workers.map_on_card(leave_traces, [(folder, 0), (folder, 1)], memory=1, without_card=tuple))
        return
    if sys.argv[3:]:
        with Workers(CoreBudget(folder / "run", cores=cores)) as workers:
            print(*workers.map(program_is_run, range(2)))
        return
    with Workers(CoreBudget(folder / "run", cores=cores)) as workers:
        for number in workers.map(leave_traces, [(folder, number) for number in range(4)]):
            print(number, flush=True)


if __name__ == "__main__":
    resolve_name("tests.core.engine.tasks:main")()  # whose functions are not the program's
