"""`python -m dualface_assets.service.serve`: code server, web page and daemon, started together and kept alive.

Belongs here: running Dagster's own three programs on this machine. One that ends is started again; one that ends as
soon as it is started cannot work here, which is told by ending them all. None outlives this process, however it ends:
two daemons would start every run twice. The web page's address is Dagster's own setting (DAGSTER_WEBSERVER_HOST,
DAGSTER_WEBSERVER_PORT; 127.0.0.1:3000).

The code server is one process that both others talk to. Left to themselves each would start one of its own, and the
daemon a new one every minute (Dagster 1.13), which takes seconds of processor time and forgets what the sensors know.
"""

from __future__ import annotations

import ctypes
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from dagster._core.errors import DagsterUserCodeUnreachableError
from dagster._grpc.client import DagsterGrpcClient

from dualface_assets.definitions import video_store
from dualface_assets.settings import ServiceSettings
from dualface_core.errors import DualfaceError
from dualface_core.settings import Settings
from dualface_core.system.locks import FileLock

REPOSITORY: Final = Path(__file__).resolve().parents[2]

_LOCATION: Final = "dualface"
"""Name of the code location, as in `workspace.yaml`, which is for Dagster's own commands."""

_DAGSTER: Final = "dualface_assets.service.dagster_program"

_STILL_STARTING: Final = 10.0
"""Seconds. A program that ends by itself within so many of its first start will not work, however often it starts."""

_BETWEEN_STARTS: Final = 5.0
_SECONDS_TO_START: Final = 120.0
_SECONDS_TO_END: Final = 20.0
_LONGEST_SOCKET: Final = 100
"""Bytes. The kernel allows 107 in the name of a socket (unix(7))."""

_prctl: Final = ctypes.CDLL(None).prctl
_PR_SET_PDEATHSIG: Final = 1


class Program:
    """One of Dagster's programs, running.

    Args:
        name: for people.
        arguments: for this Python.
        at_our_death: the signal that the kernel ends it with when this process dies, even of SIGKILL (prctl(2)).
    """

    def __init__(self, name: str, *arguments: str, at_our_death: signal.Signals = signal.SIGTERM) -> None:
        self.name = name
        self._arguments = arguments
        self._at_our_death = at_our_death
        self._starts = 0
        self.start()

    def start(self) -> None:
        """Start it (again)."""
        command = [sys.executable, "-m", *self._arguments]
        # There may be threads (gRPC's), so between fork and exec nothing but one call of the kernel is made.
        self.process = subprocess.Popen(command, preexec_fn=self._die_with_parent)  # noqa: PLW1509
        self._started = time.monotonic()
        self._starts += 1

    def keep_alive(self) -> bool:
        """Start it again if it has ended. False if that is in vain."""
        age = time.monotonic() - self._started
        if self.process.poll() is None or (self._starts > 1 and age < _BETWEEN_STARTS):
            return True
        print(f"The {self.name} has ended (exit code {self.process.returncode}).", file=sys.stderr, flush=True)
        if self._starts == 1 and age < _STILL_STARTING and self.process.returncode >= 0:
            return False
        self.start()
        return True

    def _die_with_parent(self) -> None:
        _prctl(_PR_SET_PDEATHSIG, self._at_our_death)


def main() -> int:
    """Run until a signal comes, or a program cannot be kept alive, which is a failure. Gives the exit status."""
    home = Path(os.environ.setdefault("DAGSTER_HOME", str(REPOSITORY / "dagster_home")))
    try:
        Settings.load()  # what is not allowed is said now, and not by every run
        store = video_store(ServiceSettings.load())
        inbox, reviews = store.inbox_folder, store.address(store.review_folder / "index.html")
    except DualfaceError as error:
        print(error, file=sys.stderr)
        return 2
    lock = FileLock.attempt(home / "serve.lock")
    if lock is None:
        print(f"The daemon of {home} is running already. There must be one only.", file=sys.stderr)
        return 2
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    with _ended(programs := []):
        try:
            socket = _folder_for_a_socket(home) / "code-server.sock"
            programs.append(_code_server(socket))
            if not _answers(socket, programs[0]):
                return 1
            host, port = (os.environ.get(f"DAGSTER_WEBSERVER_{part}") for part in ("HOST", "PORT"))
            print(f"Web page: http://{host or '127.0.0.1'}:{port or 3000}")
            print(f"Put videos into {inbox}")
            print(f"All videos, with their review pages: {reviews}", flush=True)
            workspace = ("--workspace", str(_workspace(home, socket)))
            programs.append(Program("web page", "dualface_assets.service.web_page", *workspace))
            programs.append(Program("daemon", _DAGSTER, "dagster._daemon", "run", "--log-level", "warning", *workspace))
            while all(program.keep_alive() for program in programs):
                time.sleep(0.5)
        except KeyboardInterrupt:
            return 0
    return 1


def _code_server(socket: Path) -> Program:
    """The process that has our definitions loaded, evaluates sensors and starts the processes of runs."""
    return Program(
        "code server",
        *(_DAGSTER, "dagster", "api", "grpc", "--socket", str(socket), "--log-level", "WARNING"),
        *("--module-name", "dualface_assets.definitions", "--location-name", _LOCATION),
        *("--working-directory", str(REPOSITORY), "--use-python-environment-entry-point"),
        # At once, or it would wait for its runs, and then remove a successor's socket. The runs go on without it.
        at_our_death=signal.SIGKILL,
    )


def _answers(socket: Path, server: Program) -> bool:
    """Wait until the code server does. False if it ends, or takes too long."""
    client = DagsterGrpcClient(socket=str(socket))
    deadline = time.monotonic() + _SECONDS_TO_START
    while server.process.poll() is None and time.monotonic() < deadline:
        try:
            client.ping("")
        except DagsterUserCodeUnreachableError:
            time.sleep(0.1)
        else:
            return True
    return False


def _workspace(home: Path, socket: Path) -> Path:
    """Tell web page and daemon where the code server is."""
    server = {"socket": str(socket), "location_name": _LOCATION}
    path = home / "workspace.yaml"
    path.write_text(json.dumps({"load_from": [{"grpc_server": server}]}))  # which is YAML, too
    return path


def _folder_for_a_socket(home: Path) -> Path:
    """The instance's own folder, unless its name is too long."""
    return home if len(os.fsencode(home)) < _LONGEST_SOCKET - 20 else Path(tempfile.mkdtemp(prefix="dualface-"))


@contextmanager
def _ended(programs: list[Program]) -> Iterator[None]:
    """End all programs at the end of the block."""
    try:
        yield
    finally:
        for program in programs:
            program.process.terminate()
        deadline = time.monotonic() + _SECONDS_TO_END
        for program in programs:
            try:
                program.process.wait(max(0.0, deadline - time.monotonic()))
            except subprocess.TimeoutExpired:
                program.process.kill()
                program.process.wait()


if __name__ == "__main__":
    sys.exit(main())
