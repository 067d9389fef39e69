"""Two worker hosts, with PostgreSQL, Redis and S3 on loopback, started as `deploy/local/up` starts them."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import dagster as dg
import psutil
import pytest
import yaml

from deploy.local import servers
from deploy.local.hosts import CONFIGURATION, Fleet, fleet
from deploy.local.servers import Server
from dualface_assets.runs.tags import PARTITION
from dualface_assets.settings import ServiceSettings
from dualface_assets.store.video_store import VideoStore, video_store
from tests.end_to_end.running_instance import RunningInstance, unlike_any_other
from tests.nvenc_emulator.driver import EmulatedDriver
from tests.nvenc_emulator.libraries import build, why_unavailable

pytestmark = [pytest.mark.emulator, pytest.mark.hosts, pytest.mark.timeout(1800)]

SampleClip = Callable[..., Path]

UPLOADS = 3


@pytest.fixture
def cards() -> Iterator[list[EmulatedDriver]]:
    """A card for each host, slow enough to be caught at work. The folder has a short name, for a socket in it."""
    if reason := why_unavailable() or servers.why_unavailable("postgres", "redis", "s3", "fleet"):
        pytest.skip(reason)
    build()
    with tempfile.TemporaryDirectory(prefix="dualface-") as folder:
        yield [EmulatedDriver(Path(folder) / f"card-{number}", pace_ms=100) for number in (1, 2)]


@pytest.fixture
def hosts(cards: list[EmulatedDriver], monkeypatch: pytest.MonkeyPatch) -> Iterator[Fleet]:
    configuration: dict[str, Any] = yaml.safe_load(CONFIGURATION.read_text())
    configuration["run_monitoring"] |= {"poll_interval_seconds": 2, "free_slots_after_run_end_seconds": 1}
    environments = [card.environment() for card in cards]
    with fleet(cards[0].state_dir.parent, environments, configuration=yaml.safe_dump(configuration)) as started:
        for name, value in started.service.environment.items():
            monkeypatch.setenv(name, value)
        yield started


def test_the_videos_of_a_host_that_is_killed_finish_on_the_other_one_and_none_is_made_twice(
    hosts: Fleet, cards: list[EmulatedDriver], sample_clip: SampleClip
) -> None:
    clip = sample_clip("talk", seconds=2, size=(320, 180), fps=15)
    hosts.inbox.mkdir(exist_ok=True)
    for number in range(UPLOADS):
        hidden = hosts.inbox / f".{number}"
        hidden.write_bytes(unlike_any_other(clip))
        hidden.rename(hosts.inbox / f"upload-{number}.mp4")
    with dg.DagsterInstance.get() as instance:
        running = RunningInstance(instance, hosts.service.log)
        store = video_store(ServiceSettings.load())

        def at_work() -> list[Server]:
            return [worker for worker, card in zip(hosts.workers, cards, strict=True) if began(card)]

        kill_all_of(running.wait_for(at_work, "a host to encode")[0].environment["DUALFACE_RUNTIME"])
        running.wait_for(lambda: all_made(instance, store), f"{UPLOADS} results")
        runs = instance.get_runs()
    made = [run.tags[PARTITION] for run in runs if run.is_success]
    assert sorted(made) == sorted(store.video_keys())
    assert all(store.has_result(key) for key in made)
    assert any(run.parent_run_id for run in runs if run.is_success)  # of what the first host was at work on
    assert all(map(began, cards))
    assert max(card.most_open_at_once() for card in cards) <= 2


def began(card: EmulatedDriver) -> bool:
    """Whether the card has had a session."""
    return any(event.name == "opened" for event in card.events())


def all_made(instance: dg.DagsterInstance, store: VideoStore) -> bool:
    """Whether every upload has its result, and nothing more happens."""
    if len(store.video_keys()) < UPLOADS or not all(map(store.has_result, store.video_keys())):
        return False
    return not instance.get_runs(dg.RunsFilter(statuses=[dg.DagsterRunStatus.QUEUED, dg.DagsterRunStatus.STARTED]))


def kill_all_of(runtime: str) -> None:
    """End all processes of a host at once, as when its power fails."""
    for process in psutil.process_iter():
        with suppress(psutil.Error):
            if process.environ().get("DUALFACE_RUNTIME") == runtime:
                process.kill()
