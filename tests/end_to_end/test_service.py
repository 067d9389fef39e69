"""`make up`, as a person starts it, under what happens to it. `make soak` does the same at length."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import dagster as dg
import pytest
from websockets.sync.client import connect

from deploy.local.servers import free_port, listens
from dualface_assets.runs.failures import AFTER_AN_INTERRUPTION, explanation_of
from dualface_assets.runs.tags import MAX_RETRIES
from dualface_assets.uploads.claims import acknowledge
from dualface_assets.uploads.intake import add
from tests.end_to_end.crashes import kill_at_random
from tests.end_to_end.crowds import upload_many
from tests.end_to_end.hostile import LAUNCH, ask
from tests.end_to_end.running_instance import Host
from tests.end_to_end.service import IMPATIENT, service
from tests.metrics import scrape
from tests.nvenc_emulator.driver import EmulatedDriver
from tests.nvenc_emulator.libraries import build, why_unavailable

pytestmark = [pytest.mark.emulator, pytest.mark.daemon, pytest.mark.timeout(1800)]

ONE_AT_A_TIME = {"runs": {"max_concurrent_runs": 1}}

SampleClip = Callable[..., Path]


@pytest.fixture(scope="module")
def clip(sample_clip: SampleClip) -> Path:
    return sample_clip("talk", seconds=2, size=(320, 180), fps=15)


@pytest.fixture
def host(tmp_path: Path) -> Host:
    """A machine with a card that is slow enough to be caught at work."""
    if reason := why_unavailable():
        pytest.skip(reason)
    build()
    folder = tmp_path / "host"
    folder.mkdir()
    return Host("host", folder, EmulatedDriver(folder / "card", pace_ms=10), {})


def test_many_uploads_at_once_are_one_run_each_and_never_too_many_at_a_time(
    host: Host, clip: Path, tmp_path: Path
) -> None:
    with service(tmp_path / "service", host, {**IMPATIENT, "concurrency": ONE_AT_A_TIME}) as started:
        crowd = upload_many(started, clip, uploads=3)
        assert len(started.verified()) == crowd.runs == 3
        assert {run.status for run in started.runs()} == {dg.DagsterRunStatus.SUCCESS}
        assert crowd.most_at_once == 1


def test_ctrl_c_leaves_runs_at_work_and_the_next_start_makes_up_for_one_that_is_ended_then(
    host: Host, clip: Path, tmp_path: Path
) -> None:
    port = free_port()
    host = replace(host, settings={"DUALFACE_METRICS": str(port)})
    with service(tmp_path / "service", host, IMPATIENT) as started:
        started.up()
        started.drop_many(clip, 1)
        at_work = 'dualface_runs{state="started"}'
        started.wait_for(lambda: listens(port) and scrape(port)[at_work] == 1, "the exporter to tell of the run")
        started.wait_for(lambda: started.processes("run worker") and host.driver.open_now(), "the run to encode")
        (run,) = started.runs()
        with connect(f"ws://127.0.0.1:{started.port}/graphql", subprotocols=["graphql-ws"], open_timeout=120):
            assert started.press_ctrl_c() == 0
        said = started.output.read_text(errors="replace")
        assert "Traceback" not in said
        assert f"Runs at work until they are done: {run.tags['dagster/partition']}." in said
        assert not [name for name in ("code server", "daemon", "web page", "exporter") if started.processes(name)]
        assert started.kill("run worker") == 1
        started.up()
        started.wait_for(lambda: len(started.verified()) == 1 and started.at_rest(), "another run to make the video")
        started.wait_for(lambda: listens(port), "the exporter to be up again")
        assert "dualface_last_verified_timestamp_seconds" in scrape(port)
        said = started.output.read_text(errors="replace")
        assert "Traceback" not in said
        assert "resource_tracker" not in said


def test_whatever_is_killed_at_whatever_moment_every_upload_is_made_and_nothing_is_left_behind(
    host: Host, clip: Path, tmp_path: Path
) -> None:
    with service(tmp_path / "service", host, IMPATIENT) as started:
        kill_at_random(started, clip, uploads=3, kills=4, seed=5)
        assert len(started.verified()) == 3
        assert {run.status for run in started.last_runs().values()} == {dg.DagsterRunStatus.SUCCESS}
        started.wait_for(lambda: not started.orphans(), "what was left behind to be removed")
        started.wait_for(lambda: started.slots_taken() == 0, "the pool's slots to be free")
        with host.sessions().acquire("one"), host.sessions().acquire("another"):
            assert host.driver.open_now() == {}


def test_a_video_that_takes_its_process_down_each_time_comes_to_an_end(host: Host, clip: Path, tmp_path: Path) -> None:
    with service(tmp_path / "service", host, IMPATIENT) as started:
        upload = add(host.store, clip)
        acknowledge(host.store, upload)
        started.instance.add_dynamic_partitions("videos", [upload.key])
        started.up()
        tags = {"dagster/partition": upload.key, MAX_RETRIES: "1"}  # fewer than usual, to be done sooner

        def launched() -> object:
            with suppress(OSError):  # the web page is not up yet
                return ask(started, LAUNCH, tags=[{"key": key, "value": value} for key, value in tags.items()])
            return None

        def given_up() -> bool:
            started.kill("run worker")
            runs = started.runs()
            return bool(runs) and runs[-1].is_finished and runs[-1].tags.get("dagster/will_retry") == "false"

        started.wait_for(launched, "the web page to start a run")
        started.wait_for(given_up, "the last run to be given up")
        assert [run.status for run in started.runs()] == [dg.DagsterRunStatus.FAILURE] * 2
        told = explanation_of(started.runs()[-1].run_id, started.instance)
        assert (told.failure, told.remedy) == ("interrupted", AFTER_AN_INTERRUPTION)
