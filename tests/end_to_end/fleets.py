"""Several hosts and their servers on this machine, started as `deploy/local/up` starts them, and what may befall them.

Belongs here: the scenarios of `benchmarks.fleet` (`make fleet`) and of the test that does the same with few videos. A
fault strikes while runs are at work, and nobody helps but by starting again what was stopped.
"""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import dagster as dg
import psutil
import pytest
import yaml

from deploy.local import servers
from deploy.local.hosts import CONFIGURATION, Fleet, fleet
from deploy.local.servers import Server, free_port
from dualface_assets.runs.tags import PARTITION
from dualface_assets.settings import ServiceSettings
from dualface_assets.store.video_store import VideoStore, video_store
from tests.end_to_end.running_instance import RunningInstance, unlike_any_other
from tests.gate import Gate, gate
from tests.nvenc_emulator.driver import EmulatedDriver
from tests.s3_server import S3Server

OUTAGE = 20.0
"""Seconds for which a server is away."""

OVER = [dg.DagsterRunStatus.SUCCESS, dg.DagsterRunStatus.FAILURE, dg.DagsterRunStatus.CANCELED]
ACTIVE = [status for status in dg.DagsterRunStatus if status not in OVER]


@dataclass(frozen=True)
class RunningFleet:
    """What a scenario sees and does.

    Args:
        fleet: its processes.
        cards: one for each worker.
        gate: the only way of the hosts to the object store; this process goes another way.
        s3: the object store.
        instance: the database.
        store: the videos.
    """

    fleet: Fleet
    cards: list[EmulatedDriver]
    gate: Gate
    s3: S3Server
    instance: dg.DagsterInstance
    store: VideoStore

    def upload(self, clip: Path, count: int) -> None:
        """Put so many different videos into the inbox in one go."""
        self.fleet.inbox.mkdir(exist_ok=True)
        for number in range(count):
            hidden = self.fleet.inbox / f".{number}"
            hidden.write_bytes(unlike_any_other(clip))
            hidden.rename(self.fleet.inbox / f"upload-{number:03}.mp4")

    def wait_for(self, look: Callable[[], Any], what: str, *, seconds: float = 1800) -> Any:
        """Wait until `look` finds something that is true, and give that."""
        return RunningInstance(self.instance, self.fleet.service.log).wait_for(look, what, seconds=seconds)

    def wait_for_results(self, count: int) -> None:
        """Wait until so many videos have a run that has succeeded."""
        self.wait_for(lambda: len(self.made()) >= count, f"{count} results")

    def wait_until_all_is_made(self, uploads: int) -> None:
        """Wait until every upload is made and nothing more happens."""
        active = dg.RunsFilter(statuses=ACTIVE)
        self.wait_for(
            lambda: len(self.made()) == uploads and not self.instance.get_runs_count(active), f"{uploads} results"
        )

    def made(self) -> dict[str, list[dg.DagsterRun]]:
        """The runs that have succeeded, by their video."""
        found: dict[str, list[dg.DagsterRun]] = {}
        for run in self.instance.get_runs(dg.RunsFilter(statuses=[dg.DagsterRunStatus.SUCCESS])):
            found.setdefault(run.tags[PARTITION], []).append(run)
        return found

    def most_sessions(self) -> list[int]:
        """NVENC sessions that were open at once, at most, by host."""
        return [card.most_open_at_once() for card in self.cards]

    def encodes(self) -> list[int]:
        """NVENC sessions that there have been, by host."""
        return [sum(event.name == "opened" for event in card.events()) for card in self.cards]

    def require_all_made_once(self, uploads: int) -> None:
        """Assert what must hold at the end of each scenario."""
        self.s3.trouble()
        made, keys = self.made(), self.store.video_keys()
        assert len(keys) == uploads
        assert sorted(made) == sorted(keys)
        assert all(len(runs) == 1 for runs in made.values()), made
        for key in keys:
            assert self.store.has_result(key)
            verification = self.store.report(key).verification
            assert verification is not None
            assert verification.passed
        assert max(self.most_sessions()) <= 2
        index = self.store.files.read(self.store.review_folder / "index.html").decode()
        assert all(key in index for key in keys)


@contextmanager
def running_fleet(*, pace_ms: float, fault: str | None = None, queues: Sequence[str] = ()) -> Iterator[RunningFleet]:
    """Two hosts with a card each, up when the block begins. The folder has a short name, for a socket in it.

    Args:
        pace_ms: time that a frame takes on a card.
        fault: what is wrong with the cards; see `EmulatedDriver`.
        queues: those that each host serves, if not all of them.
    """
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="dualface-")))
        variables = stack.enter_context(pytest.MonkeyPatch.context())
        cards = [EmulatedDriver(folder / f"card-{number}", pace_ms=pace_ms, fault=fault) for number in (1, 2)]
        configuration: dict[str, Any] = yaml.safe_load(CONFIGURATION.read_text())
        configuration["run_monitoring"] |= {"poll_interval_seconds": 2, "free_slots_after_run_end_seconds": 1}
        ways: list[tuple[Gate, int]] = []

        @contextmanager
        def gated(place: Path) -> Iterator[tuple[Server, int]]:
            with servers.s3(place, "tests.s3_server") as (server, port), gate(port) as way:
                ways.append((way, port))
                yield server, way.port

        environments = [card.environment() for card in cards]
        text = yaml.safe_dump(configuration)
        started = stack.enter_context(fleet(folder, environments, configuration=text, queues=queues, s3=gated))
        way, port = ways[0]
        for name, value in {**started.service.environment, "AWS_ENDPOINT_URL": f"http://127.0.0.1:{port}"}.items():
            variables.setenv(name, value)
        instance = stack.enter_context(dg.DagsterInstance.get())
        store = video_store(ServiceSettings.load())
        yield RunningFleet(started, cards, way, S3Server(port), instance, store)


Fault = Callable[[RunningFleet], None]


def start_a_second_service(running: RunningFleet) -> None:
    """Somebody starts the service on another host, too, which must be told where the first one is, and end."""
    home = running.fleet.folder / "second"
    home.mkdir()
    (home / "dagster.yaml").write_text((running.fleet.home / "dagster.yaml").read_text())
    second = {"DAGSTER_HOME": str(home), "DAGSTER_WEBSERVER_PORT": str(free_port())}
    done = subprocess.run(
        [sys.executable, "-m", "dualface_assets.service.serve"],
        env={**os.environ, **running.fleet.service.environment, **second},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1, done
    expected = f"The daemon of this instance is running already, on {socket.gethostname()}, process "
    assert done.stderr.startswith(expected), done.stderr
    print(f"  it was told: {done.stderr.strip()}", flush=True)


def kill_a_host(running: RunningFleet) -> None:
    """End all processes of a host that has begun to encode, at once, as when its power fails."""
    before = running.encodes()

    def encoding() -> list[Server]:
        known = zip(running.fleet.workers, running.encodes(), before, strict=True)
        return [host for host, now, then in known if now > then]

    runtime = running.wait_for(encoding, "a host to encode")[0].environment["DUALFACE_RUNTIME"]
    for process in psutil.process_iter():
        with suppress(psutil.Error):
            if process.environ().get("DUALFACE_RUNTIME") == runtime:
                process.kill()


def stop_the_broker(running: RunningFleet) -> None:
    """End Redis by SIGKILL, and start it again, with what it has kept."""
    _stop(running.fleet.servers["redis"], signal.SIGKILL)


def empty_the_broker(running: RunningFleet) -> None:
    """The same, but it has forgotten everything."""
    server = running.fleet.servers["redis"]
    server.send(signal.SIGKILL)
    server.stop()
    for path in (running.fleet.folder / "redis").rglob("*.aof*"):
        path.unlink(missing_ok=True)
    time.sleep(OUTAGE)
    server.start()


def stop_the_database(running: RunningFleet) -> None:
    """Stop PostgreSQL without waiting for its clients, and start it again."""
    _stop(running.fleet.servers["postgres"], signal.SIGINT)


def refuse_the_store(running: RunningFleet) -> None:
    """The object store can't be reached: nobody listens."""
    running.gate.close()
    time.sleep(OUTAGE)
    running.gate.open()


def suspend_the_store(running: RunningFleet) -> None:
    """The object store hangs: it takes connections and says nothing."""
    running.fleet.servers["s3"].send(signal.SIGSTOP)
    time.sleep(OUTAGE)
    running.fleet.servers["s3"].send(signal.SIGCONT)


def trouble_the_store(running: RunningFleet) -> None:
    """From now on 5 % of what the object store is asked fails, and each answer takes 50 ms longer."""
    running.s3.trouble(fail_every=20, delay_ms=50)


def _stop(server: Server, ends_by: signal.Signals) -> None:
    server.send(ends_by)
    server.stop()
    time.sleep(OUTAGE)
    server.start()
