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
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Final

from dualface_core.encoding.failures import EncoderError, Reaction, classify, explain, reaction
from dualface_core.encoding.sessions import NvencSessions, Slot
from dualface_core.errors import DualfaceError
from dualface_core.media.ffmpeg_log import log_to_stderr
from dualface_core.media.span_files import SpansWanted
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
from dualface_core.rendering.stream import render_on_card_or_not
from dualface_core.system.child_processes import end_with_parent, message_channel
from dualface_core.system.cuda import why_unusable
from dualface_core.system.threads import SWITCH, limit_library_threads
from dualface_core.tables.tile_plan import TilePlan

_REPORT_EVERY: Final = 0.1
"""Seconds between two messages of one kind."""

_TRY_AGAIN_AFTER: Final = 0.5
"""Seconds between two attempts to open a session that the driver refuses."""

Send = Callable[[Message], None]


def main() -> None:
    """Do the job that comes as one line of JSON on standard input, and report on standard output."""
    limit_library_threads()
    sys.setswitchinterval(SWITCH)
    end_with_parent(orderly=True)
    say = message_channel()
    log_to_stderr()

    def send(message: Message) -> None:
        say(message.model_dump_json())

    why_unusable()  # which begins to use the driver, and takes no memory of a card: the job is yet to come
    job = Job.model_validate_json(sys.stdin.readline())
    threading.Thread(target=_end_with_parent, args=[job.output], daemon=True).start()
    send(_outcome(job, send))


def _outcome(job: Job, send: Send) -> Done | Failed:
    try:
        return _encode(job, send)
    except DualfaceError as error:
        return Failed.of(error)
    except Exception as error:  # noqa: BLE001  reported to the parent, with its traceback
        failure = classify(error)
        lines = tuple("".join(traceback.format_exception(error)).splitlines())
        return Failed.of(
            EncoderError(failure, encoder=job.spec().name, reason=explain(failure, error), log=lines),
        )


def _encode(job: Job, send: Send) -> Done:
    plan = TilePlan.read(job.plan)
    sessions = NvencSessions(job.runtime, gpu=job.gpu, limit=job.max_sessions, timeout=job.session_timeout)
    queued = _Seldom(lambda: send(Queued()))
    with sessions.acquire(job.video.path.name, waiting=queued) as slot:
        send(Opened(slot=slot.index, waited=slot.waited))
        return _attempts(job, plan, slot, send)


def _attempts(job: Job, plan: TilePlan, slot: Slot, send: Send) -> Done:
    progress = _Progress(plan.frame_count, slot, send)
    refusals = 0
    opened = time.monotonic()
    while True:
        started = time.monotonic()
        waited = slot.waited + started - opened
        try:
            made = render_on_card_or_not(
                job.video,
                plan,
                job.output,
                job.spec(),
                on_card=job.on_card,
                turns=job.turns,
                decode_threads=job.decode_threads,
                compose_threads=job.compose_threads,
                fingerprints=job.fingerprints,
                spans=None if job.spans is None else SpansWanted(job.spans, lambda span: send(Encoded(span=span))),
                progress=progress,
            )
        except EncoderError as error:
            # The slot is ours, so the session is held by another program, which may close it in time.
            refused = reaction(error.failure) is Reaction.WAIT and not progress.frames
            since = time.monotonic() - opened
            if not refused or since > job.session_timeout:
                error.waited = slot.waited + since if refused else waited
                raise
            slot.refused = True
            refusals += 1
            send(Refused(times=refusals, reason=error.reason))
        else:
            seconds = time.monotonic() - started
            return Done(
                frames=made.frames,
                waited=waited,
                seconds=seconds,
                not_in_turn=made.not_in_turn,
                not_on_card=made.not_on_card,
            )
        time.sleep(_TRY_AGAIN_AFTER)


class _Seldom:
    """Calls something, but not more often than a person can see."""

    def __init__(self, call: Callable[[], object]) -> None:
        self._call = call
        self._next = 0.0

    def __call__(self) -> None:
        now = time.monotonic()
        if now >= self._next:
            self._next = now + _REPORT_EVERY
            self._call()


class _Progress:
    """Reports frames: to the parent, and to those who wait for the slot."""

    def __init__(self, total: int, slot: Slot, send: Send) -> None:
        self.frames = 0
        self._total = total
        self._slot = slot
        self._send = send
        self._seldom = _Seldom(self._report)

    def __call__(self, frames: int) -> None:
        self.frames = frames
        if frames == self._total:
            self._send(Finishing(frames=frames))
        else:
            self._seldom()

    def _report(self) -> None:
        self._slot.progressed()
        self._send(Progressed(frames=self.frames))


def _end_with_parent(output: Path) -> None:
    """End at once when standard input does: the parent is gone, and nothing would publish the result."""
    while os.read(sys.stdin.fileno(), 4096):
        pass
    output.unlink(missing_ok=True)
    os.kill(os.getpid(), signal.SIGKILL)


if __name__ == "__main__":
    main()
