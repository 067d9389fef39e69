"""Processes of our own for what a library or a driver may hang, crash or poison.

Belongs here: the command, the environment, lines of text to and fro, and a certain end. What such a process does, and
what the lines say, is its own module's business.
"""

from __future__ import annotations

import ctypes
import os
import queue
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Final, Self

_prctl: Final = ctypes.CDLL(None).prctl
_PR_SET_PDEATHSIG: Final = 1
_PARENT: Final = "DUALFACE_PARENT_PROCESS"

_ROOT: Final = Path(__file__).resolve().parents[2]

_HEARTBEAT: Final = 0.25
"""Seconds of silence after which the caller is called all the same."""

_END_PATIENCE: Final = 10.0
"""Seconds for a killed process to be gone. One that is stuck in the kernel goes when the driver lets it."""

_STDERR_LINES: Final = 20


def command(module: str, *arguments: str) -> list[str]:
    """The command that runs a module of ours."""
    return [sys.executable, "-m", module, *arguments]


def environment(gpu: str | None) -> dict[str, str]:
    """This process's environment, changed for a process of ours.

    Args:
        gpu: UUID of the only card that it may see. CUDA counts cards in another order than NVML does, and
            CUDA_VISIBLE_DEVICES changes the numbers; a UUID is the same card for both. Anything that is no UUID leaves
            the choice to the driver.
    """
    changed = dict(os.environ) | {_PARENT: str(os.getpid())}
    if gpu is not None and gpu.startswith("GPU-"):
        changed["CUDA_VISIBLE_DEVICES"] = gpu
    if Path.cwd() != _ROOT:
        changed["PYTHONSAFEPATH"] = "1"  # a folder of videos may hold a json.py, and `-m` would import that
    return changed


def signal_with_parent(number: signal.Signals) -> None:
    """Have the kernel send this process a signal when the thread that started it ends, even of SIGKILL (prctl(2)).

    It is one call of the kernel, which may be made between fork and exec, and lasts through exec.
    """
    _prctl(_PR_SET_PDEATHSIG, number)


def end_with_parent(*, orderly: bool = False) -> None:
    """Have the kernel end this process when the thread that started it does, even where a driver hangs in it.

    Args:
        orderly: leave it three seconds to end by itself. Then the signal is SIGQUIT and its handler is C's `alarm`,
            which takes the number of the signal, 3, for seconds, and needs neither Python nor its lock, which a driver
            that hangs may hold.
    """
    if orderly:
        libc = ctypes.CDLL(None)
        libc.signal(signal.SIGQUIT, libc.alarm)
    signal_with_parent(signal.SIGQUIT if orderly else signal.SIGKILL)
    if os.environ.get(_PARENT) != str(os.getppid()):  # it has gone already
        os.kill(os.getpid(), signal.SIGKILL)


def message_channel() -> Callable[[str], None]:
    """Keep standard output for lines to the parent: what libraries print goes to standard error from now on."""
    channel = os.fdopen(os.dup(sys.stdout.fileno()), "w", encoding="utf-8")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    lock = threading.Lock()

    def send(line: str) -> None:
        with lock:
            channel.write(line + "\n")
            channel.flush()

    return send


class ChildProcess:
    """A process of ours that takes lines on its standard input and says lines on its standard output.

    A context manager: when the block ends, whatever ended it, the process is gone. It has a session of its own, so
    that Ctrl-C reaches its parent alone, which ends it and knows why it ended.

    Args:
        module: what it runs; see `command`.
        gpu: the only card that it may see; see `environment`.
        keep: descriptors that stay open in it, under the same numbers.
    """

    def __init__(self, module: str, *, gpu: str | None = None, keep: Sequence[int] = ()) -> None:
        self._lines: queue.SimpleQueue[str | None] = queue.SimpleQueue()
        self._stderr = tempfile.TemporaryFile()  # noqa: SIM115  closed by `end`
        self._process = subprocess.Popen(
            command(module),
            env=environment(gpu),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._stderr,
            text=True,
            encoding="utf-8",
            errors="replace",
            start_new_session=True,
            pass_fds=keep,
        )
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.end()

    def send(self, line: str) -> None:
        """Say a line. A process that has gone does not hear it, as `next_line` will tell."""
        assert self._process.stdin is not None
        with suppress(BrokenPipeError):
            # Left open: the process ends when it is closed, be it by us or by our death.
            self._process.stdin.write(line + "\n")
            self._process.stdin.flush()

    def next_line(self, beat: Callable[[], None], *, patience: float | None = None) -> str | None:
        """The next line that it says; None if it has ended.

        Args:
            beat: called every now and then while waiting, in this thread; it may raise to stop the wait.
            patience: the longest wait, in seconds; None for any.

        Raises TimeoutError if it says nothing in time.
        """
        deadline = None if patience is None else time.monotonic() + patience
        while True:
            left = _HEARTBEAT if deadline is None else min(_HEARTBEAT, max(0.0, deadline - time.monotonic()))
            try:
                return self._lines.get(timeout=left)
            except queue.Empty:
                if deadline is not None and time.monotonic() >= deadline:
                    raise TimeoutError from None
                beat()

    def ending(self) -> tuple[int, tuple[str, ...]]:
        """How a process has ended that has said all: its exit code (minus a signal's number), and its last words."""
        code = self._process.wait()
        self._stderr.seek(0)
        return code, tuple(self._stderr.read().decode(errors="replace").strip().splitlines()[-_STDERR_LINES:])

    def end(self, *, patience: float = 0.0) -> None:
        """Let it end by itself, as its input does, for so many seconds; then kill it. Safe to call again."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        if patience:
            with suppress(BrokenPipeError):
                self._process.stdin.close()
            with suppress(subprocess.TimeoutExpired):
                self._process.wait(patience)
        self._process.kill()  # does nothing to a process that has been waited for
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(_END_PATIENCE)
        self._reader.join(_END_PATIENCE)
        with suppress(BrokenPipeError):  # what was still buffered for a dead process
            self._process.stdin.close()
        if not self._reader.is_alive():
            self._process.stdout.close()
        self._stderr.close()

    def _read(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            self._lines.put(line)
        self._lines.put(None)
