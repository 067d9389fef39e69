"""`python -m dualface_assets.service.serve`: code server, web page and daemon, started together and kept alive.

Belongs here: running Dagster's own three programs on this machine. One that ends is started again; one that ends as
soon as it is started cannot work here, and then all are ended. None outlives this process, however it ends: two daemons
would start every run twice. Runs go on without them. The web page's address is Dagster's own setting
(DAGSTER_WEBSERVER_HOST, DAGSTER_WEBSERVER_PORT; 127.0.0.1:3000).
See https://docs.dagster.io/deployment/oss/oss-deployment-architecture.

The code server is one process that both others talk to. Left to themselves each would start one of its own, and the
daemon a new one every minute (Dagster 1.13), which takes seconds of processor time and forgets what the sensors know.
"""

from __future__ import annotations

import signal

if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.SIG_DFL)  # the imports take a second, and there is nothing to end yet

import errno
import json
import os
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Final

import dagster as dg
import psutil

from dualface_assets.runs.dagster_internals import begin_reading_events, code_server_answers
from dualface_assets.runs.tags import PARTITION
from dualface_assets.runs.workers import workers
from dualface_assets.service.clock import WatchedClock, resume_sensors
from dualface_assets.service.instance_home import opened_instance, prepared_home
from dualface_assets.service.only_daemon import REFUSED, require_no_other_daemon
from dualface_assets.settings import ServiceSettings, workspace
from dualface_assets.store.video_store import video_store
from dualface_core.errors import DualfaceError, SettingsError
from dualface_core.settings import Settings
from dualface_core.system.child_processes import signal_with_parent
from dualface_core.system.locks import FileLock

_LOCATION: Final = "dualface"
"""Name of the code location, as in `workspace.yaml`, which is for Dagster's own commands."""

_DAGSTER: Final = "dualface_assets.service.dagster_program"

_STILL_STARTING: Final = 10.0
"""Seconds. A program that ends by itself within so many of its first start will not work, however often it starts."""

_BETWEEN_STARTS: Final = 5.0
_SECONDS_TO_START: Final = 120.0
_SECONDS_TO_END: Final = 2.0
"""Then they are killed, which they are made for: the web page waits for its browsers, the daemon for its threads."""

_SILENCED: Final = "ignore:resource_tracker:UserWarning"
"""A warning of Python's, in the words of `-W`, when the code server is killed, as it is: locks of the runs that it has
started are removed for it."""

_LONGEST_SOCKET: Final = 100
"""Bytes. The kernel allows 107 in the name of a socket (unix(7))."""


class Program:
    """One of Dagster's programs, running.

    Args:
        name: for people.
        arguments: for this Python.
        ends_by: the signal that ends it. The kernel sends it, too, when this process dies, even of SIGKILL.
    """

    def __init__(self, name: str, *arguments: str, ends_by: signal.Signals = signal.SIGTERM) -> None:
        self.name = name
        self._arguments = arguments
        self._ends_by = ends_by
        self._starts = 0
        self.start()

    def start(self) -> None:
        """Start it (again)."""
        command = [sys.executable, "-W", _SILENCED, "-m", *self._arguments]
        # There may be threads (gRPC's), so between fork and exec nothing but one call of the kernel is made.
        # In a process group of its own, so that Ctrl-C reaches neither it nor the runs that it has started.
        first = partial(signal_with_parent, self._ends_by)
        self.process = subprocess.Popen(command, preexec_fn=first, process_group=0)  # noqa: PLW1509  one call of the kernel
        self._started = time.monotonic()
        self._starts += 1

    def keep_alive(self) -> bool:
        """Start it again if it has ended. False if that is in vain."""
        age = time.monotonic() - self._started
        if self.process.poll() is None or (self._starts > 1 and age < _BETWEEN_STARTS):
            return True
        print(f"The {self.name} has ended (exit code {self.process.returncode}).", file=sys.stderr, flush=True)
        if self.process.returncode == REFUSED:
            return False
        if self._starts == 1 and age < _STILL_STARTING and self.process.returncode >= 0:
            return False
        self.start()
        return True

    def end(self) -> None:
        """Ask it to end."""
        self.process.send_signal(self._ends_by)

    def wait(self, seconds: float = _SECONDS_TO_END) -> None:
        """Wait until it has ended; kill it if that takes longer."""
        try:
            self.process.wait(max(0.0, seconds))
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()


def main() -> int:
    """Run until a signal comes, or a program cannot be kept alive, which is a failure. Gives the exit status."""
    try:
        Settings.load()  # what is not allowed is said now, and not by every run
        service = ServiceSettings.load()
        store = video_store(service)
        _ = store.inbox_folder, store.files, store.bucket
        home = prepared_home()
        lock = FileLock.attempt(home / "serve.lock")
        if lock is None:
            raise SettingsError(f"The daemon of {home} is running already. There must be one only.")
        host, port = _address()
    except DualfaceError as error:
        print(error, file=sys.stderr)
        return 2
    programs: list[Program] = []
    instance: dg.DagsterInstance | None = None
    try:
        with _ended(programs) as heed:
            # Before any program: of two that make a new instance's tables at once, each adds its revision, and no other
            # one can open them. It is open until the end, when there is no time for that.
            instance = opened_instance()
            require_no_other_daemon(instance)
            code_server = _folder_for_a_socket(home) / "code-server.sock"
            programs.append(_code_server(code_server))
            if not _answers(code_server, programs[0]):
                return 1
            heed()
            print(f"Web page: http://{host}:{port}")
            print(f"All videos, with their review pages: http://{host}:{port}/review/")
            print(f"Put videos into {store.upload_places}", flush=True)
            workspace = ("--workspace", str(_workspace(home, code_server)))
            address = ("--host", host, "--port", str(port))
            programs.append(Program("web page", "dualface_assets.service.web_page", *address, *workspace))
            clock = WatchedClock()
            _resume(instance)
            begin_reading_events(instance)
            daemon = Program("daemon", _DAGSTER, "dagster-daemon", "run", "--log-level", "warning", *workspace)
            programs.append(daemon)
            if service.metrics is not None:
                programs.append(Program("exporter", "dualface_assets.service.exporter"))
            while all(program.keep_alive() for program in programs):
                time.sleep(0.5)
                heed()
                if clock.was_set_back():
                    daemon.end()
                    daemon.wait()
                    _resume(instance)
    except DualfaceError as error:
        print(error, file=sys.stderr)
    except KeyboardInterrupt:
        if len(programs) > 1 and instance is not None:
            print(_what_goes_on(instance), flush=True)
        return 0
    return 1


def _what_goes_on(instance: dg.DagsterInstance) -> str:
    """What becomes of the runs that are at work when the service has ended."""
    ids = [worker.run_id for worker in workers(instance) if worker.alive]
    runs = instance.get_runs(dg.RunsFilter(run_ids=ids)) if ids else []
    keys = [run.tags.get(PARTITION, run.job_name) for run in runs]
    waiting = instance.get_runs_count(dg.RunsFilter(statuses=[dg.DagsterRunStatus.QUEUED]))
    if not keys and not waiting:
        return "Ended. No run was at work."
    said = [f"at work until they are done: {', '.join(keys)}"] if keys else []
    said += [f"waiting for the next start: {waiting}"] if waiting else []
    return f"Ended. Runs {'; '.join(said)}. If one is ended before it is done, the next start makes up for it."


def _resume(instance: dg.DagsterInstance) -> None:
    """Have sensors go on that the daemon, which must not run, would wait for: the clock was set back."""
    if names := resume_sensors(instance, time.time()):
        print(f"The clock was set back. These go on by the new time: {', '.join(names)}.", file=sys.stderr)


def _address() -> tuple[str, int]:
    """Where the web page is going to listen. Raises SettingsError where it cannot."""
    host = os.environ.get("DAGSTER_WEBSERVER_HOST") or "127.0.0.1"
    port = os.environ.get("DAGSTER_WEBSERVER_PORT") or "3000"
    try:
        socket.create_server((host, int(port)), family=socket.AF_INET6 if ":" in host else socket.AF_INET).close()
    except OSError as error:
        if error.errno != errno.EADDRINUSE:
            raise SettingsError(f"The web page cannot listen on {host}:{port}: {error.strerror}.") from None
        advice = f"End it, or choose another port: DAGSTER_WEBSERVER_PORT={int(port) + 1} make up"
        raise SettingsError(f"Port {port} of {host} is taken by {_listener(int(port))}. {advice}") from None
    except (ValueError, OverflowError):
        raise SettingsError(f"DAGSTER_WEBSERVER_PORT: found {port!r}; expected a number up to 65535.") from None
    return host, int(port)


def _listener(port: int) -> str:
    """The program that listens on a port, as far as this user may know."""
    for connection in psutil.net_connections("tcp"):
        listens = connection.status == psutil.CONN_LISTEN and connection.laddr and connection.laddr.port == port
        if listens and connection.pid:
            with suppress(psutil.Error):
                return f"{psutil.Process(connection.pid).name()} (process {connection.pid})"
    return "another program"


def _code_server(socket: Path) -> Program:
    """The process that has our definitions loaded, evaluates sensors and starts the processes of runs."""
    return Program(
        "code server",
        *(_DAGSTER, "dagster", "api", "grpc", "--socket", str(socket), "--log-level", "WARNING"),
        *("--module-name", "dualface_assets.definitions", "--location-name", _LOCATION),
        *("--working-directory", str(workspace()), "--use-python-environment-entry-point"),
        # At once, or it would wait for its runs, and then remove a successor's socket. The runs go on without it.
        ends_by=signal.SIGKILL,
    )


def _answers(socket: Path, server: Program) -> bool:
    """Wait until the code server does. False if it ends, or takes too long."""
    deadline = time.monotonic() + _SECONDS_TO_START
    while server.process.poll() is None and time.monotonic() < deadline:
        if code_server_answers(socket):
            return True
        time.sleep(0.1)
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
def _ended(programs: list[Program]) -> Iterator[Callable[[], None]]:
    """End all programs at the end of the block, which a signal ends: it is a KeyboardInterrupt there.

    Gives what raises it once more, where Python has dropped it, as it does with all that is raised while it tells
    others that an object is gone; SQLAlchemy wants to be told of hundreds.
    """
    dropped: list[BaseException] = []

    def hear(what: sys.UnraisableHookArgs) -> None:
        if isinstance(what.exc_value, KeyboardInterrupt):
            dropped.append(what.exc_value)
        else:
            sys.__unraisablehook__(what)

    def heed() -> None:
        if dropped:
            raise dropped[0]

    sys.unraisablehook = hear
    try:
        for ending in (signal.SIGINT, signal.SIGTERM):
            signal.signal(ending, signal.default_int_handler)
        yield heed
    finally:
        for impatience in (signal.SIGINT, signal.SIGTERM):
            signal.signal(impatience, signal.SIG_IGN)
        deadline = time.monotonic() + _SECONDS_TO_END
        for together in (programs[1:], programs[:1]):  # the code server last: the daemon may be asking it something
            for program in together:
                program.end()
            for program in together:
                program.wait(deadline - time.monotonic())


if __name__ == "__main__":
    sys.exit(main())
