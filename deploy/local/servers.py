"""PostgreSQL, Redis and an S3 server on loopback, each a child process of this one that lives as long as a block.

Belongs here: starting them without root, in a folder. They are what an instance on several hosts needs; in earnest a
studio has its own. Debian has the first two (`apt-get install postgresql redis-server`), pip the third (moto, of the
extra `dev`).
"""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import Final

from dualface_core.system.child_processes import signal_with_parent

REPOSITORY: Final = Path(__file__).parents[2]

PATIENCE: Final = 240.0
"""Seconds until a server that does not answer counts as broken. Long, since nobody waits for it where all is well."""

_PATIENCE_AT_END: Final = 30.0
"""Seconds until one that does not end is killed, such as a worker whose broker is gone."""


def why_unavailable(*servers: str) -> str | None:
    """Why one of these cannot be used here ("postgres", "redis", "s3", "fleet"); None if all can."""
    found = {
        "postgres": (_postgres_program("initdb"), "apt-get install postgresql"),
        "redis": (shutil.which("redis-server"), "apt-get install redis-server"),
        "fleet": (
            all(map(find_spec, ("dagster_celery", "dagster_postgres", "redis"))),
            "pip install '.[hosts]'",
        ),
        "s3": (all(map(find_spec, ("moto", "flask", "flask_cors", "s3fs"))), "pip install '.[dev]'"),
    }
    missing = [f"{server} is not installed: {found[server][1]}" for server in servers if not found[server][0]]
    return "; ".join(missing) or None


def free_port() -> int:
    """A port of loopback that nobody listens on."""
    with socket.create_server(("127.0.0.1", 0)) as found:
        return int(found.getsockname()[1])


def listens(port: int) -> bool:
    """Whether anything listens on a port of loopback."""
    try:
        socket.create_connection(("127.0.0.1", port), timeout=1).close()
    except OSError:
        return False
    return True


@dataclass
class Server:
    """A server that can be stopped and started again, on the data that it had.

    Args:
        command: its program and arguments.
        is_ready: whether it answers.
        log: where it writes what it says.
        user: whose process it is; None for the caller's own.
        environment: variables besides the caller's.
        ends_by: the signal that ends it, and that the kernel sends when this process dies.
    """

    command: Sequence[str | Path]
    is_ready: Callable[[], bool]
    log: Path
    user: int | None = None
    environment: Mapping[str, str] = field(default_factory=dict)
    ends_by: signal.Signals = signal.SIGINT  # PostgreSQL's fast shutdown
    _process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it, and wait until it answers. Raises RuntimeError where it ends instead."""
        self.launch()
        self.wait()

    def launch(self) -> None:
        """Start it."""
        with self.log.open("ab") as output:
            self._process = subprocess.Popen(
                self.command,
                env={**os.environ, **self.environment},
                stdout=output,
                stderr=output,
                user=self.user,
                cwd=self.log.parent,
                process_group=0,
                preexec_fn=partial(signal_with_parent, self.ends_by),  # noqa: PLW1509  before exec there is one call of the kernel
            )

    def wait(self) -> None:
        """Wait until it answers. Raises RuntimeError where it ends instead."""
        deadline = time.monotonic() + PATIENCE
        while not self.is_ready():
            if self._process is None or self._process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"{self.command[0]} does not answer: {self.log.read_text(errors='replace')[-3000:]}")
            time.sleep(0.1)

    def send(self, what: signal.Signals) -> None:
        """Send it a signal."""
        assert self._process is not None, "it runs"
        self._process.send_signal(what)

    def stop(self) -> None:
        """End it, without waiting for its clients."""
        if self._process is not None:
            self._process.send_signal(self.ends_by)
            try:
                self._process.wait(_PATIENCE_AT_END)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()

    @contextmanager
    def running(self) -> Iterator[Server]:
        """Run it for the length of the block."""
        try:
            self.start()
            yield self
        finally:
            self.stop()


@contextmanager
def postgres(folder: Path) -> Iterator[tuple[Server, str]]:
    """PostgreSQL on a socket, its data in `folder`, which is made unless it is there. Gives its URL, too.

    PostgreSQL refuses to run as root: then it is the user `postgres` or `nobody`, who must be able to reach the folder.
    """
    initdb, program = _postgres_program("initdb"), _postgres_program("postgres")
    assert initdb, "see why_unavailable"
    user = _unprivileged()
    folder.mkdir(parents=True, exist_ok=True)
    if user is not None:
        os.chown(folder, user, -1)
    data, name = folder / "data", "dualface"
    if not data.exists():
        setup = [initdb, "-D", data, "-U", name, "--auth=trust", "--encoding=UTF8", "--locale=C"]
        subprocess.run(setup, check=True, stdout=subprocess.DEVNULL, user=user, cwd=folder)
    socket_folder = folder.resolve()
    command = [program, "-D", data, "-k", socket_folder, "-c", "listen_addresses="]
    ask = [_postgres_program("pg_isready"), "-q", "-h", socket_folder, "-d", "postgres", "-U", name]

    def is_ready() -> bool:
        return subprocess.run(ask, check=False).returncode == 0

    with Server(command, is_ready, folder / "postgres.log", user).running() as server:
        yield server, f"postgresql+psycopg2://{name}@/postgres?host={socket_folder}"


def _postgres_program(name: str) -> str | None:
    """A program of PostgreSQL. Debian has most of them in a folder that no shell looks into."""
    newest = sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda path: int(path.parent.name))
    return shutil.which(name, path=os.pathsep.join([*map(str, reversed(newest)), os.environ.get("PATH", "")]))


def _unprivileged() -> int | None:
    if os.getuid() != 0:
        return None
    names = {entry.pw_name: entry.pw_uid for entry in pwd.getpwall()}
    return names.get("postgres", names["nobody"])


@contextmanager
def redis(folder: Path) -> Iterator[tuple[Server, str]]:
    """Redis on loopback, which keeps what it is told in `folder`. Gives its URL, too."""
    port = free_port()
    folder.mkdir(parents=True, exist_ok=True)
    kept = ("--dir", str(folder), "--appendonly", "yes")
    command = ["redis-server", "--port", str(port), "--bind", "127.0.0.1", *kept]
    with Server(command, lambda: listens(port), folder / "redis.log").running() as server:
        yield server, f"redis://127.0.0.1:{port}/0"


@contextmanager
def s3(folder: Path, module: str = "moto.server") -> Iterator[tuple[Server, int]]:
    """An S3 server on loopback, which forgets everything when it ends. Gives its port, too.

    Args:
        folder: for its log.
        module: the server: moto's, or one that takes the same arguments.
    """
    port = free_port()
    folder.mkdir(parents=True, exist_ok=True)
    command = [sys.executable, "-m", module, "-p", str(port)]
    ours = {"PYTHONPATH": str(REPOSITORY)}  # the module may be one of the tests
    with Server(command, lambda: listens(port), folder / "s3.log", environment=ours).running() as server:
        yield server, port
