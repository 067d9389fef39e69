from __future__ import annotations

import os
import socket
import sys
from pathlib import Path

import dagster as dg
import pytest

from deploy.local.servers import free_port
from dualface_core.encoding.sessions import NvencSessions
from tests.metrics import scrape
from tests.own_instance import REPOSITORY, own_instance, start
from tests.web_server import program


@dg.asset
def made() -> None:
    """Something."""


def test_metrics_are_off_unless_somebody_is_to_be_told(tmp_path: Path) -> None:
    done = start("exporter", tmp_path)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == "DUALFACE_METRICS is not set, so nobody is to be told. Set it to a port, such as 9464.\n"


def test_a_port_that_is_taken_is_said(tmp_path: Path) -> None:
    with own_instance(tmp_path), socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        done = start("exporter", tmp_path, DUALFACE_METRICS=port, DUALFACE_STORE=tmp_path / "store")
    assert done.returncode == 2
    assert done.stderr == f"Metrics cannot be had on 127.0.0.1:{port}: Address already in use.\n"


@pytest.mark.parametrize("options", [[], ["--host"]], ids=["of the instance and its host", "of a host alone"])
def test_a_scrape_is_answered_on_loopback(tmp_path: Path, options: list[str]) -> None:
    port, runtime, home = free_port(), tmp_path / "runtime", tmp_path / "home"
    environment = {
        **os.environ,
        "DAGSTER_HOME": str(home),
        "DUALFACE_METRICS": str(port),
        "DUALFACE_STORE": str(tmp_path / "store"),
        "DUALFACE_RUNTIME": str(runtime),
    }
    command = [sys.executable, "-m", "dualface_assets.service.exporter", *options]
    with (
        own_instance(home) as instance,
        program(command, port, tmp_path / "log", {**environment, "PYTHONPATH": str(REPOSITORY)}),
        NvencSessions(runtime, gpu="0").acquire("a talk.mp4"),
    ):
        dg.materialize([made], instance=instance)  # before the first scrape
        found = scrape(port)
    assert found['dualface_nvenc_sessions{gpu="0"}'] == 1
    assert found.get("dualface_instance_up") == (None if options else 1)
    assert found.get('dualface_runs_ended_total{state="success"}') == (None if options else 1)
    assert (tmp_path / "log").read_text() == f"Metrics: http://127.0.0.1:{port}/metrics\n"
