"""The `dualface` program: the command in a process of its own, so that its crash is told in a sentence with the file.

Belongs here: starting it, passing on what ends it, and its ending. It imports nothing that takes time.
"""

from __future__ import annotations

import shlex
import signal
import subprocess
import sys
from typing import Final

from dualface_core.cli.crashes import crash
from dualface_core.cli.exit_codes import EXIT_FAILED
from dualface_core.system.child_processes import command, environment

_OF_THE_USER: Final = frozenset({signal.SIGINT, signal.SIGTERM, signal.SIGHUP})
"""Signals by which a person ends a program."""


def main() -> None:
    """Run the command that the arguments say, and end as it does."""
    signal.signal(signal.SIGINT, lambda *_: None)  # a terminal sends it to the command, too, which ends orderly
    arguments = sys.argv[1:]
    with subprocess.Popen(command("dualface_core.cli", *arguments), env=environment(None)) as process:
        for number in (signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, lambda got, _: process.send_signal(got))
        code = process.wait()
    if code < 0 and -code not in _OF_THE_USER:
        print(f"dualface: {crash(shlex.join(arguments), code)}", file=sys.stderr)
        code = EXIT_FAILED
    raise SystemExit(code if code >= 0 else 128 - code)
