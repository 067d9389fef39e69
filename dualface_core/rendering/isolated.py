"""NVENC in a process of its own, watched: a driver that hangs or crashes takes that process with it and no more.

Belongs here: starting, watching and ending that process. What it does is in `worker`.
"""

from __future__ import annotations

import queue
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable
from contextlib import suppress
from types import TracebackType
from typing import IO, Final, Self

from pydantic import TypeAdapter, ValidationError

from dualface_core.media.encoders import nvenc_encoder
from dualface_core.media.errors import EncoderError, FailureClass
from dualface_core.rendering.messages import Done, Failed, Job, Message, Opened, Progressed

_START_PATIENCE: Final = 60.0
"""Seconds that a fresh process may take to load and to queue up, on a machine that is busy."""

_STDERR_LINES: Final = 20
_MESSAGES: Final[TypeAdapter[Message]] = TypeAdapter(Message)


def render_isolated(job: Job, *, stall_timeout: float, progress: Callable[[int], None] | None = None) -> Done:
    """Render a job with NVENC in another process.

    Args:
        job: what to encode.
        stall_timeout: seconds without a new frame after which the process is killed.
        progress: called with the number of frames that have been encoded.

    Returns:
        What the process said at the end.

    Raises:
        SessionTimeoutError: no session became free in time.
        EncoderError: NVENC failed, hung (class STALLED) or took the process down (class CRASHED).
        InputError, OutputError: the source or the place of the output is at fault.
    """
    with tempfile.TemporaryFile() as stderr, _Process(job, stderr) as process:
        patience = _START_PATIENCE + job.session_timeout
        while True:
            message = process.next_message(patience)
            match message:
                case Opened() | Progressed():
                    patience = stall_timeout
                    if isinstance(message, Progressed) and progress is not None:
                        progress(message.frames)
                case Done():
                    if progress is not None:
                        progress(message.frames)
                    return message
                case Failed():
                    raise message.unpacked()
                case _:
                    patience = _START_PATIENCE + job.session_timeout


class _Process:
    """The encoding process, from its start to its certain end."""

    def __init__(self, job: Job, stderr: IO[bytes]) -> None:
        self._encoder = nvenc_encoder(job.encoder).name
        self._messages: queue.SimpleQueue[str | None] = queue.SimpleQueue()
        self._stderr = stderr
        self._process = subprocess.Popen(
            [sys.executable, "-m", "dualface_core.rendering.worker"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._stderr,
            text=True,
            encoding="utf-8",
        )
        assert self._process.stdin is not None
        # Left open: the worker ends when it is closed, be it by us or by our death.
        self._process.stdin.write(job.model_dump_json() + "\n")
        self._process.stdin.flush()
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._end()

    def next_message(self, patience: float) -> Message:
        """The next thing that the process says. Raises EncoderError if it says nothing in time, or dies."""
        try:
            line = self._messages.get(timeout=patience)
        except queue.Empty:
            self._end()
            raise EncoderError(
                FailureClass.STALLED,
                encoder=self._encoder,
                reason=f"no new frame for {patience:g} s, so its process was ended.",
            ) from None
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

    def _died(self) -> EncoderError:
        code = self._process.wait()
        self._stderr.seek(0)
        last = self._stderr.read().decode(errors="replace").strip().splitlines()[-_STDERR_LINES:]
        how = f"was killed by signal {-code}" if code < 0 else f"ended with code {code}"
        return EncoderError(FailureClass.CRASHED, encoder=self._encoder, reason=f"its process {how}.", log=tuple(last))

    def _end(self) -> None:
        if self._process.poll() is None:
            self._process.kill()
        self._process.wait()
        self._reader.join()
        for stream in (self._process.stdin, self._process.stdout):
            if stream is not None:
                with suppress(BrokenPipeError):  # what was still buffered for a dead process
                    stream.close()
