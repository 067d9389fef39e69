"""Runs a command on an emulated host, or prints the variables that put a shell on it."""

from __future__ import annotations

import argparse
import os
import shlex
import subprocess
import sys
import tempfile
from collections import Counter
from pathlib import Path

from tests.nvenc_emulator.driver import Card, EmulatedDriver
from tests.nvenc_emulator.libraries import why_unavailable


def main() -> int:
    """Run the command line; return the exit status of the command."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.nvenc_emulator",
        description="Run a command on a host with an emulated NVENC card; without a command, print the variables.",
    )
    parser.add_argument("--sessions", type=int, default=2, help="sessions at once on the host (default: 2)")
    parser.add_argument("--refusal", type=int, default=21, help="the code beyond that: 21 (default) or 10")
    parser.add_argument("--card", type=Card, default=Card.NVENC, help=", ".join(Card))
    parser.add_argument("--fault", help="error:CODE@N, hang@CALL, noise@A-B...: see docs/nvenc-emulator.md")
    parser.add_argument("--pace-ms", type=float, default=0, help="time for a picture, such as 1.412 for 708 a second")
    parser.add_argument("--replay", type=Path, help="H.264 with start codes to give instead of stored pictures")
    parser.add_argument("--checksum-every", type=int, default=0, help="log a checksum of every so manieth picture")
    parser.add_argument("--real-cuda", action="store_true", help="use this machine's libcuda.so.1 and card")
    parser.add_argument("--state", type=Path, help="the host's folder (default: a new one)")
    parser.add_argument("command", nargs=argparse.REMAINDER, help="-- and the command")
    options = parser.parse_args()
    if reason := why_unavailable():
        parser.error(reason)
    driver = EmulatedDriver(
        options.state or Path(tempfile.mkdtemp(prefix="emulated-nvenc-")),
        sessions=options.sessions,
        refusal=options.refusal,
        card=options.card,
        fault=options.fault,
        pace_ms=options.pace_ms,
        replay=options.replay,
        checksum_every=options.checksum_every,
        real_cuda=options.real_cuda,
    )
    command = options.command[1:] if options.command[:1] == ["--"] else options.command
    if not command:
        for name, value in driver.environment().items():
            print(f"export {name}={shlex.quote(value)}")
        return 0
    status = subprocess.run(command, env=os.environ | driver.environment(), check=False).returncode
    count = Counter(event.name for event in driver.events())
    print(
        f"emulated NVENC: {count['opened']} sessions opened, {driver.most_open_at_once()} at once at most, "
        f"{count['refused']} refused, {count['fault']} faults, {count['picture']} pictures; "
        f"log: {driver.state_dir / 'log.jsonl'}",
        file=sys.stderr,
    )
    return status


if __name__ == "__main__":
    sys.exit(main())
