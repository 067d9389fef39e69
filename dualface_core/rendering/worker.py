"""The process that encodes with NVENC: `python -m dualface_core.rendering.worker`, started by `isolated`.

Belongs here: what happens in that process. It holds the session's slot itself, so that the kernel frees both together
however it ends; and it ends when its parent does, because its standard input does.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from typing import Final

from dualface_core.errors import DualfaceError
from dualface_core.gpu.sessions import NvencSessions
from dualface_core.media.errors import EncoderError, Reaction, reaction
from dualface_core.rendering.messages import Done, Failed, Job, Message, Opened, Progressed, Refused
from dualface_core.rendering.stream import render_stream
from dualface_core.tiles.table import TilePlan

_REPORT_EVERY: Final = 0.1
"""Seconds between two progress messages."""

_TRY_AGAIN_AFTER: Final = 0.5
"""Seconds between two attempts to open a session that the driver refuses."""


def main() -> None:
    """Do the job that comes as one line of JSON on standard input, and tell about it on standard output."""
    job = Job.model_validate_json(sys.stdin.readline())
    threading.Thread(target=_end_with_parent, daemon=True).start()
    try:
        _tell(_encode(job))
    except DualfaceError as error:
        _tell(Failed.of(error))


def _encode(job: Job) -> Done:
    plan = TilePlan.read(job.plan)
    sessions = NvencSessions(job.runtime, gpu=job.gpu, limit=job.max_sessions, timeout=job.session_timeout)
    deadline = time.monotonic() + job.session_timeout
    with sessions.acquire(job.video.path.name) as slot:
        started = time.monotonic()
        _tell(Opened(slot=slot.index, waited=slot.waited))
        refusals = 0
        progress = _Progress()
        while True:
            try:
                frames = render_stream(job.video, plan, job.output, job.spec(), progress=progress)
            except EncoderError as error:
                # The slot is ours, so whoever has the session is no process of ours: it may yet let go of it.
                if reaction(error.failure) is not Reaction.WAIT or progress.frames or time.monotonic() > deadline:
                    raise
                refusals += 1
                _tell(Refused(times=refusals, reason=error.reason))
                time.sleep(_TRY_AGAIN_AFTER)
                started = time.monotonic()
            else:
                return Done(
                    frames=frames, waited=slot.waited + refusals * _TRY_AGAIN_AFTER, seconds=time.monotonic() - started
                )


class _Progress:
    """Tells about frames, but not more often than anybody can see."""

    def __init__(self) -> None:
        self.frames = 0
        self._next = 0.0

    def __call__(self, frames: int) -> None:
        self.frames = frames
        now = time.monotonic()
        if now >= self._next:
            self._next = now + _REPORT_EVERY
            _tell(Progressed(frames=frames))


def _tell(message: Message) -> None:
    sys.stdout.write(message.model_dump_json() + "\n")
    sys.stdout.flush()


def _end_with_parent() -> None:
    """End at once when standard input does: the parent is gone, and with it whoever would publish the result."""
    while os.read(sys.stdin.fileno(), 4096):
        pass
    os.kill(os.getpid(), signal.SIGKILL)


if __name__ == "__main__":
    main()
