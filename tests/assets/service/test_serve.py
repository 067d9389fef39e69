from __future__ import annotations

import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parents[3]


def serve(home: Path, port: object) -> subprocess.CompletedProcess[str]:
    environment = {
        **os.environ,
        "DAGSTER_HOME": str(home),
        "DAGSTER_WEBSERVER_PORT": str(port),
        "DUALFACE_STORE": str(home / "store"),
    }
    command = [sys.executable, "-m", "dualface_assets.service.serve"]
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=120)


def test_a_port_that_is_taken_is_said_before_anything_starts(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        done = serve(tmp_path, port)
    assert (done.returncode, done.stdout) == (2, "")
    assert f"Port {port} of 127.0.0.1 is taken by " in done.stderr
    assert f"(process {os.getpid()})" in done.stderr
    assert f"DAGSTER_WEBSERVER_PORT={port + 1} make up" in done.stderr
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("port", ["abc", "70000"])
def test_a_port_that_cannot_be_is_said(tmp_path: Path, port: str) -> None:
    done = serve(tmp_path, port)
    assert done.returncode == 2
    assert done.stderr == f"DAGSTER_WEBSERVER_PORT: found '{port}'; expected a number up to 65535.\n"


@pytest.mark.parametrize("program", ["serve", "doctor", "demo"])
def test_a_setting_that_is_not_allowed_is_said_in_a_sentence(tmp_path: Path, program: str) -> None:
    environment = {**os.environ, "DAGSTER_HOME": str(tmp_path), "DUALFACE_KEEP_UPLOADS": "long"}
    command = [sys.executable, "-m", f"dualface_assets.service.{program}"]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 2
    assert done.stderr.startswith("Settings that are not allowed: DUALFACE_KEEP_UPLOADS: ")
    assert done.stderr.endswith("(found 'long').\n")
