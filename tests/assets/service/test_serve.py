from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
import weakref
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import psutil
import pytest

from deploy.local.servers import free_port
from dualface_assets.service.serve import _ended
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


@pytest.mark.parametrize("moment", ["it has begun to be loaded", "its code server starts", "everything is up"])
def test_ctrl_c_ends_it_at_any_moment_without_a_traceback(tmp_path: Path, moment: str) -> None:
    home, output, port = tmp_path / "home", tmp_path / "output", free_port()
    signs = {
        "it has begun to be loaded": lambda: "cygrpc" in Path(f"/proc/{serve.pid}/maps").read_text(),
        "its code server starts": lambda: of_service(home, "dagster api grpc"),
        "everything is up": lambda: "Serving dagster-webserver" in output.read_text(),
    }
    environment = {
        **os.environ,
        "DAGSTER_HOME": str(home),
        "DAGSTER_WEBSERVER_PORT": str(port),
        "DUALFACE_STORE": str(tmp_path / "store"),
    }
    with output.open("w") as file:
        command = [sys.executable, "-m", "dualface_assets.service.serve"]
        serve = subprocess.Popen(command, env=environment, stdout=file, stderr=file, start_new_session=True)
    try:
        while serve.poll() is None and not signs[moment]():
            time.sleep(0.01)
        assert serve.poll() is None, output.read_text()
        os.killpg(serve.pid, signal.SIGINT)
        status = serve.wait(240)
    finally:
        serve.kill()
    said = output.read_text()
    assert status in ({-signal.SIGINT, 0} if moment == "it has begun to be loaded" else {0}), said
    assert "Traceback" not in said
    assert ("Ended. No run was at work." in said) is (moment == "everything is up")
    assert of_service(home) == []


@pytest.fixture
def own_signals(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(sys, "unraisablehook", sys.unraisablehook)  # so that it is put back
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.mark.usefixtures("own_signals")
def test_a_signal_that_comes_while_an_object_is_freed_is_heeded_later() -> None:
    class Freed: ...

    freed = Freed()
    told = weakref.ref(freed, lambda _: signal.raise_signal(signal.SIGINT))
    with pytest.raises(KeyboardInterrupt), _ended([]) as heed:  # noqa: PT012  which must not be raised before
        heed()
        del freed
        assert told() is None
        heed()


def of_service(home: Path, command: str = "") -> list[psutil.Process]:
    """Processes of an instance that live."""
    found = []
    for process in psutil.process_iter():
        with suppress(psutil.Error):
            ours = process.environ().get("DAGSTER_HOME") == str(home) and command in " ".join(process.cmdline())
            if ours and process.status() != "zombie":
                found.append(process)
    return found


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
