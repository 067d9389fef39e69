"""The `dualface` program: the command in a process of its own, so that its crash is told in a sentence with the file.

Belongs here: forking it, passing on what ends it, its ending, and what begins before anything else is loaded. It
imports nothing that takes time.
"""

from __future__ import annotations

import os
import shlex
import signal
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from dualface_core.cli.exit_codes import EXIT_FAILED
from dualface_core.system.child_processes import environment
from dualface_core.system.crashes import crash
from dualface_core.system.garbage import collect_rarely

_PASSED_ON: Final = (signal.SIGTERM, signal.SIGHUP)
_OF_THE_USER: Final = frozenset({signal.SIGINT, *_PASSED_ON})
"""Signals by which a person ends a program, and those of them that reach the command only by way of this process."""


def main() -> None:
    """Run the command that the arguments say, and end as it does."""
    collect_rarely()
    before = signal.pthread_sigmask(signal.SIG_BLOCK, _OF_THE_USER)  # until it is known whom they are for
    process = os.fork()
    if process:
        signal.signal(signal.SIGINT, lambda *_: None)  # a terminal sends it to the command, too, which ends orderly
        for number in _PASSED_ON:
            signal.signal(number, lambda got, _: os.kill(process, got))
    signal.pthread_sigmask(signal.SIG_SETMASK, before)
    if not process:
        os.environ.update(environment(None))  # for the processes that it starts
        return command()
    code = os.waitstatus_to_exitcode(os.waitpid(process, 0)[1])
    if code < 0 and -code not in _OF_THE_USER:
        print(f"dualface: {crash(shlex.join(sys.argv[1:]), code)}", file=sys.stderr)
        code = EXIT_FAILED
    raise SystemExit(code if code >= 0 else 128 - code)


def command() -> None:
    """Run the command that the arguments say, in this process."""
    _load_early(sys.argv[1:])

    from dualface_core.cli.app import main as run

    run()


def _load_early(arguments: Sequence[str]) -> None:
    """Where the arguments name one large video to work on, begin to load what processes for that will need.

    Several videos are worked on in processes of their own. What else is wrong with the arguments is found out later.
    """
    if not {"run", "track"} & {*arguments[:1]}:
        return
    from dualface_core.engine.preload import OF_STEPS, begin_to_load, is_large
    from dualface_core.system.machine_cores import machine_cores

    if machine_cores() > 1 and sum(is_large(Path(argument)) for argument in arguments[1:]) == 1:
        begin_to_load(OF_STEPS)
