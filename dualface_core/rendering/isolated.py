"""NVENC in a process of its own, watched: a driver that hangs or crashes takes that process with it and no more.

Belongs here: starting, watching and ending that process. What it does is in `worker`.
"""

from __future__ import annotations

import queue
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import IO, Final, Self

from pydantic import TypeAdapter, ValidationError

from dualface_core.encoding.failures import EncoderError, FailureClass, advice
from dualface_core.encoding.settings import nvenc_encoder
from dualface_core.rendering.messages import Done, Failed, Finishing, Job, Message, Opened, Progressed, Queued, Refused
from dualface_core.system.child_processes import command, environment

_START_PATIENCE: Final = 60.0
"""Seconds that a fresh process may take to load and to queue up, on a machine that is busy."""

_SLOW_DISK: Final = 10e6
"""Bytes per second. At the end the whole file is written once more, to put its index first."""

_HEARTBEAT: Final = 0.25
"""Seconds of silence after which the caller's `progress` is called all the same."""

_END_PATIENCE: Final = 10.0
"""Seconds for a killed process to be gone. One that is stuck in the kernel goes when the driver lets it."""

_STDERR_LINES: Final = 20
_MESSAGES: Final[TypeAdapter[Message]] = TypeAdapter(Message)


def render_isolated(job: Job, *, stall_timeout: float, progress: Callable[[int], None] | None = None) -> Done:
    """Render a job with NVENC in another process.

    Whatever ends this call, an exception out of `progress` or KeyboardInterrupt included, ends that process first.

    Args:
        job: what to encode.
        stall_timeout: seconds without a new frame after which the process is killed.
        progress: called several times a second, in this thread, with the number of frames that were handed to the
            encoder so far; it may raise to stop the work.

    Returns:
        What the process said at the end.

    Raises:
        SessionTimeoutError: no session became free in time.
        EncoderError: NVENC failed, hung (class STALLED) or took the process down (class CRASHED).
        DualfaceError: the source, the plan, the settings or the place of the output is at fault.
    """
    frames, waited = 0, 0.0
    queueing = _START_PATIENCE + job.session_timeout

    def beat() -> None:
        if progress is not None:
            progress(frames)

    with tempfile.TemporaryFile() as stderr, _Process(job, stderr) as process:
        patience = queueing
        while True:
            try:
                message = process.next_message(patience, beat)
            except EncoderError as error:
                error.waited = waited
                raise
            match message:
                case Opened():
                    waited = message.waited
                    patience = stall_timeout
                case Queued() | Refused():
                    patience = queueing
                case Progressed():
                    frames = message.frames
                    patience = stall_timeout
                case Finishing():
                    frames = message.frames
                    patience = stall_timeout + _size(job.output) / _SLOW_DISK
                case Done():
                    frames = message.frames
                    beat()
                    return message
                case Failed():
                    raise message.unpacked()
            beat()


def _size(path: Path) -> int:
    """Bytes of a file; 0 before its first packet, when there is no file yet."""
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return 0


class _Process:
    """The encoding process, from its start to its certain end."""

    def __init__(self, job: Job, stderr: IO[bytes]) -> None:
        self._encoder = nvenc_encoder(job.encoder).name
        self._messages: queue.SimpleQueue[str | None] = queue.SimpleQueue()
        self._stderr = stderr
        self._process = subprocess.Popen(
            command("dualface_core.rendering.worker"),
            env=environment(job.gpu),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._stderr,
            text=True,
            encoding="utf-8",
            errors="replace",
            start_new_session=True,  # Ctrl-C is for us alone: we end the process, and know why it ended
        )
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()
        assert self._process.stdin is not None
        with suppress(BrokenPipeError):  # it died at once, as the reader will find
            # Left open: the worker ends when it is closed, be it by us or by our death.
            self._process.stdin.write(job.model_dump_json() + "\n")
            self._process.stdin.flush()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._end()

    def next_message(self, patience: float, beat: Callable[[], None]) -> Message:
        """The next thing that the process says. Raises EncoderError if it says nothing in time, or dies.

        Args:
            patience: the longest wait, in seconds.
            beat: called every now and then while waiting.
        """
        deadline = time.monotonic() + patience
        while True:
            try:
                line = self._messages.get(timeout=min(_HEARTBEAT, max(0.0, deadline - time.monotonic())))
                break
            except queue.Empty:
                if time.monotonic() >= deadline:
                    raise self._stalled(patience) from None
                beat()
        if line is None:
            raise self._died()
        try:
            return _MESSAGES.validate_json(line)
        except ValidationError as error:
            raise EncoderError(
                FailureClass.INTERNAL, encoder=self._encoder, reason=f"its process said {line!r}"
            ) from error

    def _read(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            self._messages.put(line)
        self._messages.put(None)

    def _stalled(self, patience: float) -> EncoderError:
        self._end()
        reason = f"no new frame for {patience:g} s, so its process was ended. {advice(FailureClass.STALLED)}"
        return EncoderError(FailureClass.STALLED, encoder=self._encoder, reason=reason)

    def _died(self) -> EncoderError:
        code = self._process.wait()
        self._stderr.seek(0)
        last = self._stderr.read().decode(errors="replace").strip().splitlines()[-_STDERR_LINES:]
        how = f"was killed by signal {-code}" if code < 0 else f"ended with code {code}"
        return EncoderError(
            FailureClass.CRASHED,
            encoder=self._encoder,
            reason=f"its process {how}. {advice(FailureClass.CRASHED)}",
            log=tuple(last),
        )

    def _end(self) -> None:
        self._process.kill()  # does nothing to a process that has been waited for
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(_END_PATIENCE)
        self._reader.join(_END_PATIENCE)
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        with suppress(BrokenPipeError):  # what was still buffered for a dead process
            self._process.stdin.close()
        if not self._reader.is_alive():
            self._process.stdout.close()
