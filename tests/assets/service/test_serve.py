from __future__ import annotations

import os
import socket
from pathlib import Path

import pytest

from dualface_core.system.locks import FileLock
from tests.own_instance import start


def test_a_port_that_is_taken_is_said_before_anything_starts(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        done = start("serve", tmp_path, DAGSTER_WEBSERVER_PORT=port)
    assert (done.returncode, done.stdout) == (2, "")
    assert f"Port {port} of 127.0.0.1 is taken by " in done.stderr
    assert f"(process {os.getpid()})" in done.stderr
    assert f"DAGSTER_WEBSERVER_PORT={port + 1} make up" in done.stderr
    assert {path.name for path in tmp_path.iterdir()} == {"dagster.yaml", "serve.lock"}


def test_a_second_daemon_is_refused_whatever_its_port(tmp_path: Path) -> None:
    lock = FileLock.attempt(tmp_path / "serve.lock")
    assert lock is not None
    done = start("serve", tmp_path)
    lock.release()
    assert done.returncode == 2
    assert done.stderr == f"The daemon of {tmp_path} is running already. There must be one only.\n"


@pytest.mark.parametrize("port", ["abc", "70000"])
def test_a_port_that_cannot_be_is_said(tmp_path: Path, port: str) -> None:
    done = start("serve", tmp_path, DAGSTER_WEBSERVER_PORT=port)
    assert done.returncode == 2
    assert done.stderr == f"DAGSTER_WEBSERVER_PORT: found '{port}'; expected a number up to 65535.\n"


@pytest.mark.parametrize("program", ["serve", "doctor", "demo"])
def test_a_setting_that_is_not_allowed_is_said_in_a_sentence(tmp_path: Path, program: str) -> None:
    done = start(program, tmp_path, DUALFACE_KEEP_UPLOADS="long")
    assert done.returncode == 2
    assert done.stderr.startswith("Settings that are not allowed: DUALFACE_KEEP_UPLOADS: ")
    assert done.stderr.endswith("(found 'long').\n")
