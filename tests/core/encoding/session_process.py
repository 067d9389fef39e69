"""A process that takes and gives back slots as it is told on stdin, and says on stdout what came of it."""

from __future__ import annotations

import json
import os
import sys
import time
from contextlib import ExitStack
from pathlib import Path

from dualface_core.encoding.failures import EncoderError, FailureClass, SessionTimeoutError
from dualface_core.encoding.sessions import NvencSessions, Slot


def say(**what: object) -> None:
    print(json.dumps(what), flush=True)


def make_progress(slot: Slot, times: int) -> None:
    for _ in range(times):
        slot.progressed()
        time.sleep(0.05)


def hold_repeatedly(sessions: NvencSessions, times: int, log_file: Path) -> None:
    """Each hold writes down when it began and ended. It is longer than a waiter sleeps, so that two overlap."""
    for number in range(times):
        with sessions.acquire(f"hold-{number}") as slot, log_file.open("a") as log:
            log.write(f"{time.monotonic_ns()} 1 {slot.index} {os.getpid()}\n")
            log.flush()
            time.sleep(0.03)
            log.write(f"{time.monotonic_ns()} -1 {slot.index} {os.getpid()}\n")


def main(folder: str, limit: str, timeout: str) -> None:
    sessions = NvencSessions(Path(folder), gpu="GPU-0", limit=int(limit), timeout=float(timeout))
    held = ExitStack()
    say(ready=True)
    for line in sys.stdin:
        command, *arguments = line.split()
        match command:
            case "use":
                sessions = NvencSessions(Path(arguments[0]), gpu="GPU-0", limit=int(limit), timeout=float(timeout))
                say(folder=arguments[0])
            case "acquire":
                try:
                    slot = held.enter_context(sessions.acquire(arguments[0]))
                    say(slot=slot.index, waited=slot.waited, at=time.monotonic())
                except SessionTimeoutError as error:
                    say(refusal=str(error), failure=error.failure)
            case "release":
                held.close()
                say(released=True)
            case "fail":
                error = EncoderError(FailureClass(arguments[0]), encoder="h264_nvenc", reason="as told")
                held.__exit__(EncoderError, error, None)
                say(released=True)
            case "progress":
                make_progress(slot, int(arguments[0]))
                held.close()
                say(released=True)
            case "fork":
                # A child that knows nothing of slots and outlives its parent.
                child = os.fork()
                if child == 0:
                    time.sleep(60)
                    os._exit(0)
                say(child=child)
            case "loop":
                hold_repeatedly(sessions, int(arguments[0]), Path(arguments[1]))
                say(done=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
