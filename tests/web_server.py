"""Servers for tests: a free port, and a program that is up when the block begins and gone when it ends."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from deploy.local.servers import free_port, listens

REPOSITORY = Path(__file__).parents[1]
PATIENCE = 240.0
"""Seconds until a test gives up on a server, which nobody waits for where all is well."""


@contextmanager
def program(
    command: Sequence[str | Path], port: int, log: Path, environment: Mapping[str, str]
) -> Iterator[subprocess.Popen[bytes]]:
    """Run a program for the length of the block, which begins when it listens on the port."""
    with log.open("wb") as output:
        process = subprocess.Popen(command, env=environment, stdout=output, stderr=output, cwd=log.parent)
        try:
            deadline = time.monotonic() + PATIENCE
            while not listens(port):
                if process.poll() is not None or time.monotonic() > deadline:
                    raise RuntimeError(f"{command} does not listen on {port}: {log.read_text(errors='replace')}")
                time.sleep(0.1)
            yield process
        finally:
            process.terminate()
            process.wait(PATIENCE)


@dataclass(frozen=True)
class WebPage:
    """Dagster's web page, of an instance of its own."""

    port: int
    home: Path
    pid: int

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"


@contextmanager
def web_page(folder: Path, *, module: str = "dualface_assets.service.web_page", **variables: str) -> Iterator[WebPage]:
    """Our web page (or Dagster's own), without a daemon. Its instance lies in `folder`, as its store does."""
    port = free_port()
    home = folder / "home"
    home.mkdir()
    (home / "dagster.yaml").write_bytes((REPOSITORY / "dagster_home" / "dagster.yaml").read_bytes())
    environment = {
        **os.environ,
        "DAGSTER_HOME": str(home),
        "DAGSTER_WEBSERVER_PORT": str(port),
        "DUALFACE_STORE": str(folder / "store"),
        "PYTHONPATH": str(REPOSITORY),
        **variables,
    }
    command = [sys.executable, "-m", module, "--workspace", REPOSITORY / "workspace.yaml"]
    with program(command, port, folder / "web-page.log", environment) as process:
        yield WebPage(port, home, process.pid)
