"""The `dualface` program: the command in a process of its own, so that its crash is told in a sentence with the file.

Belongs here: starting it, passing on what ends it, and its ending. It imports nothing that takes time.
"""

from __future__ import annotations

import shlex
import signal
import subprocess
import sys
from typing import Final

from dualface_core.cli.exit_codes import EXIT_FAILED
from dualface_core.system.child_processes import command, environment
from dualface_core.system.crashes import crash

_PASSED_ON: Final = (signal.SIGTERM, signal.SIGHUP)
_OF_THE_USER: Final = frozenset({signal.SIGINT, *_PASSED_ON})
"""Signals by which a person ends a program, and those of them that reach the command only by way of this process."""


def main() -> None:
    """Run the command that the arguments say, and end as it does."""
    signal.signal(signal.SIGINT, lambda *_: None)  # a terminal sends it to the command, too, which ends orderly
    early: list[int] = []
    for number in _PASSED_ON:
        signal.signal(number, lambda got, _: early.append(got))
    arguments = sys.argv[1:]
    with subprocess.Popen(command("dualface_core.cli", *arguments), env=environment(None)) as process:
        for number in _PASSED_ON:
            signal.signal(number, lambda got, _: process.send_signal(got))
        for got in early:  # before there was a process to pass them on to
            process.send_signal(got)
        code = process.wait()
    if code < 0 and -code not in _OF_THE_USER:
        print(f"dualface: {crash(shlex.join(arguments), code)}", file=sys.stderr)
        code = EXIT_FAILED
    raise SystemExit(code if code >= 0 else 128 - code)
