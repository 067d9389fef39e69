"""`python -m dualface_assets.serve`: the web page and the daemon, started and ended together.

Belongs here: running Dagster's own two programs on this machine. If one of them ends so does the other, since half a
system looks alive and does nothing. Neither outlives this process, however it ends: two daemons would start every run
twice. The web page's address is Dagster's own setting (DAGSTER_WEBSERVER_HOST, DAGSTER_WEBSERVER_PORT; 127.0.0.1:3000).
"""

from __future__ import annotations

import ctypes
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Final

from dualface_assets.definitions import video_store
from dualface_core.errors import DualfaceError
from dualface_core.settings import Settings

REPOSITORY: Final = Path(__file__).resolve().parent.parent
_PROGRAMS: Final = (("dagster_webserver",), ("dagster._daemon", "run", "--log-level", "warning"))
_SECONDS_TO_END: Final = 20.0
_PR_SET_PDEATHSIG: Final = 1


def main() -> int:
    """Run until a signal comes or one of the programs ends, which is a failure. Gives the exit status."""
    environment = {"DAGSTER_HOME": str(REPOSITORY / "dagster_home"), **os.environ}
    try:
        store = video_store(Settings.load())
        inbox, reviews = store.inbox_folder, store.review_folder
    except DualfaceError as error:
        print(error, file=sys.stderr)
        return 2
    host, port = (os.environ.get(f"DAGSTER_WEBSERVER_{part}") for part in ("HOST", "PORT"))
    print(f"Web page: http://{host or '127.0.0.1'}:{port or 3000}")
    print(f"Put videos into {inbox}")
    print(f"All videos, with their review pages: {reviews / 'index.html'}", flush=True)
    workspace = ("--workspace", str(REPOSITORY / "workspace.yaml"))
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    programs: list[subprocess.Popen[bytes]] = []
    try:
        for program in _PROGRAMS:
            command = [sys.executable, "-m", *program, *workspace]
            programs.append(subprocess.Popen(command, env=environment, preexec_fn=_die_with_parent))  # noqa: PLW1509
        while all(program.poll() is None for program in programs):
            time.sleep(0.5)
    except KeyboardInterrupt:
        return 0
    else:
        return 1
    finally:
        _end(programs)


def _die_with_parent() -> None:
    """Have the kernel end this process when its parent dies, even of SIGKILL (prctl(2))."""
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)


def _end(programs: list[subprocess.Popen[bytes]]) -> None:
    for program in programs:
        program.terminate()
    deadline = time.monotonic() + _SECONDS_TO_END
    for program in programs:
        try:
            program.wait(max(0.0, deadline - time.monotonic()))
        except subprocess.TimeoutExpired:
            program.kill()
            program.wait()


if __name__ == "__main__":
    sys.exit(main())
