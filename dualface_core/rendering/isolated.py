"""NVENC in a process of its own, watched: a driver that hangs or crashes takes that process with it and no more.

Belongs here: what that process is given, and what its words or its silence mean. What it does is in `worker`.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Final

from pydantic import TypeAdapter, ValidationError

from dualface_core.encoding.failures import EncoderError, FailureClass, advice
from dualface_core.encoding.settings import nvenc_encoder
from dualface_core.media.span_files import SpanFile
from dualface_core.rendering.messages import (
    Done,
    Encoded,
    Failed,
    Finishing,
    Job,
    Message,
    Opened,
    Progressed,
    Queued,
    Refused,
)
from dualface_core.system.child_processes import ChildProcess

_START_PATIENCE: Final = 60.0
"""Seconds that a fresh process may take to load and to queue up, on a machine that is busy."""

_SLOW_DISK: Final = 10e6
"""Bytes per second. At the end the whole file is written once more, to put its index first."""

_MESSAGES: Final[TypeAdapter[Message]] = TypeAdapter(Message)


def nvenc_process(gpu: str) -> ChildProcess:
    """A process that encodes, and sees this card only. It loads what it needs, and waits for a job.

    As `ChildProcess` says: it is gone with the thread that calls this.
    """
    return ChildProcess("dualface_core.rendering.worker", gpu=gpu)


def render_isolated(
    job: Job,
    *,
    stall_timeout: float,
    process: ChildProcess | None = None,
    encoded: Callable[[SpanFile], None] = lambda _: None,
    progress: Callable[[int], None] | None = None,
) -> Done:
    """Render a job with NVENC in another process.

    Whatever ends this call, an exception out of `progress` or KeyboardInterrupt included, ends that process first.

    Args:
        job: what to encode.
        stall_timeout: seconds without a new frame after which the process is killed.
        process: what does it: a `nvenc_process` for the card of the job; None to begin one.
        encoded: called with each span that lies in a file of its own, if the job wants that.
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
    encoder = nvenc_encoder(job.encoder).name
    queueing = _START_PATIENCE + job.session_timeout

    def beat() -> None:
        if progress is not None:
            progress(frames)

    with process or nvenc_process(job.gpu) as process:
        process.send(job.model_dump_json())
        patience = queueing
        while True:
            try:
                message = _next_message(process, encoder, patience, beat)
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
                case Encoded():
                    encoded(message.span)
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


def _next_message(process: ChildProcess, encoder: str, patience: float, beat: Callable[[], None]) -> Message:
    """The next thing that the process says. Raises EncoderError if it says nothing in time, or dies."""
    try:
        line = process.next_line(beat, patience=patience)
    except TimeoutError:
        reason = f"no new frame for {patience:g} s, so its process was ended. {advice(FailureClass.STALLED)}"
        raise EncoderError(FailureClass.STALLED, encoder=encoder, reason=reason) from None
    if line is None:
        code, last = process.ending()
        how = f"was killed by signal {-code}" if code < 0 else f"ended with code {code}"
        reason = f"its process {how}. {advice(FailureClass.CRASHED)}"
        raise EncoderError(FailureClass.CRASHED, encoder=encoder, reason=reason, log=last)
    try:
        return _MESSAGES.validate_json(line)
    except ValidationError as error:
        raise EncoderError(FailureClass.INTERNAL, encoder=encoder, reason=f"its process said {line!r}") from error
