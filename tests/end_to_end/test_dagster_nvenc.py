"""Uploads through a real Dagster instance, on machines whose NVENC refuses, fails, hangs, crashes or is killed.

Every run is a process of its own that the daemon has started; NVENC is FFmpeg's own on an emulated driver.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from pathlib import Path

import dagster as dg
import psutil
import pytest

from dualface_core import pipeline
from tests.end_to_end.conftest import Hosts
from tests.end_to_end.running_instance import PATIENCE, Host, RunningInstance, unlike_any_other
from tests.nvenc_emulator.driver import EmulatedDriver, Event

pytestmark = [pytest.mark.emulator, pytest.mark.daemon, pytest.mark.timeout(1800)]

SampleClip = Callable[..., Path]

SUCCESS, FAILURE = dg.DagsterRunStatus.SUCCESS, dg.DagsterRunStatus.FAILURE
FRAMES = 30
MAKING_A_VIDEO = [
    "encoded_video.choose_encoder",
    "encoded_video.encode_in_software",
    "encoded_video.publish",
    "review_page",
]


@pytest.fixture(scope="module")
def clip(sample_clip: SampleClip) -> Path:
    """Small, so that everything but the encoded pictures is."""
    return sample_clip("talk", seconds=2, size=(320, 180), fps=15)


@pytest.fixture(scope="module")
def struck(hosts: Hosts, running_instance: RunningInstance, clip: Path) -> dict[str, str]:
    """A video for each machine whose NVENC fails half-way, all at once: the name of the machine, and the key."""
    return {
        host.name: host.upload(clip, f"{host.name}.mp4")
        for host in (hosts.failing, hosts.hanging, hosts.crashing, hosts.noisy, hosts.nvenc_only)
    }


def encodes(driver: EmulatedDriver) -> set[int]:
    """The processes that have encoded a video, rather than tried the card with a small picture."""
    return {event.pid for event in driver.events() if event.configuration.get("width") == 1920}


def an_active_encode(driver: EmulatedDriver, pictures: int) -> int:
    """Wait until a video's first pictures are encoded, and give the process that does it."""

    def found(events: list[Event]) -> list[int]:
        pids = encodes(driver)
        return [e.pid for e in events if e.name == "picture" and e.pid in pids and (e.pictures or 0) >= pictures]

    return found(driver.wait_for(found, timeout=PATIENCE))[0]


def assert_made_by(host: Host, key: str, encoder: str) -> None:
    report = host.report(key)
    assert report.encoder_used == encoder
    assert report.verification is not None
    assert report.verification.passed
    assert pipeline.probe(host.store.result_path(key)).frame_count == FRAMES


def test_four_uploads_share_two_sessions_and_none_waits_for_the_slowest(
    hosts: Hosts, running_instance: RunningInstance, clip: Path
) -> None:
    host = hosts.healthy
    inbox = host.store.inbox_folder
    inbox.mkdir(parents=True, exist_ok=True)
    for number in range(4):
        (inbox / f"upload-{number}.mp4").write_bytes(unlike_any_other(clip))
    slowest = an_active_encode(host.driver, pictures=5)
    os.kill(slowest, signal.SIGSTOP)  # in the middle of an encode, and in a session
    try:
        running_instance.wait_for(lambda: len(host.results()) == 3, "three of four to pass the one that is stuck")
        assert list(host.driver.open_now().values()) == [slowest]
        encoder = psutil.Process(slowest)
        worker, code_server = encoder.parents()[:2]
        assert code_server.nice() == psutil.Process().nice()
        assert worker.nice() == encoder.nice() == code_server.nice() + 10  # Dagster's own programs come first
    finally:
        os.kill(slowest, signal.SIGCONT)
    running_instance.wait_for(lambda: len(host.results()) == 4, "the slowest")
    assert host.driver.most_open_at_once() == 2
    assert not [event for event in host.driver.events() if event.name == "refused"]
    assert len(encodes(host.driver)) == 4
    for key in host.store.video_keys():
        (run,) = running_instance.finished(key)
        assert run.status is SUCCESS
        assert_made_by(host, key, "h264_nvenc")


@pytest.mark.parametrize(
    ("name", "failure", "said"),
    [
        ("failing", "encode-failed", "h264_nvenc failed (encode-failed)"),
        ("hanging", "stalled", "h264_nvenc failed (stalled)"),
        ("crashing", "crashed", "h264_nvenc failed (crashed)"),
        ("noisy", "verification", "the result is not right"),
    ],
)
def test_what_nvenc_fails_at_half_way_is_made_in_software_by_the_next_run(
    hosts: Hosts, running_instance: RunningInstance, struck: dict[str, str], name: str, failure: str, said: str
) -> None:
    host, key = getattr(hosts, name), struck[name]
    first, retry = running_instance.finished(key, runs=2)
    assert (first.status, retry.status) == (FAILURE, SUCCESS)
    assert said in running_instance.reason(first)
    assert len([event for event in host.driver.events() if event.name == "fault"]) == 1
    assert retry.parent_run_id == first.run_id
    assert running_instance.steps(retry) == MAKING_A_VIDEO
    assert_made_by(host, key, "libx264")
    assert host.report(key).why == f"NVENC failed at this video before ({failure})."
    assert host.report(key).fallback
    assert f"NVENC failed at this video before ({failure})." in host.index()
    assert host.driver.open_now() == {}


def test_without_fallback_nvenc_is_tried_again_and_then_the_run_fails_with_the_reason(
    hosts: Hosts, running_instance: RunningInstance, struck: dict[str, str]
) -> None:
    host, key = hosts.nvenc_only, struck["nvenc-only"]
    first, retry = running_instance.finished(key, runs=2)
    for run in (first, retry):
        assert run.status is FAILURE
        assert "h264_nvenc failed (encode-failed)" in running_instance.reason(run)
    assert retry.tags["dagster/will_retry"] == "false"
    assert running_instance.steps(retry) == ["encoded_video.choose_encoder", "encoded_video.encode_on_gpu"]
    assert len([event for event in host.driver.events() if event.name == "fault"]) == 2
    assert host.results() == []


def test_a_file_that_is_no_video_is_not_tried_again(
    hosts: Hosts, running_instance: RunningInstance, tmp_path: Path
) -> None:
    text = tmp_path / "notes.mp4"
    text.write_text("Buy milk.\n" * 100)
    (run,) = running_instance.finished(hosts.healthy.upload(text, "notes.mp4"))
    assert run.status is FAILURE
    assert "not a video" in running_instance.reason(run)
    assert run.tags["dagster/will_retry"] == "false"
    running_instance.wait_for(lambda: "notes.mp4: not a video" in hosts.healthy.index(), "the index to say why")


def test_sessions_that_another_program_holds_are_waited_for_and_then_software_needs_no_slot(
    hosts: Hosts, running_instance: RunningInstance, clip: Path
) -> None:
    host = hosts.failing
    storage = running_instance.instance.event_log_storage
    with host.driver.outside_sessions(2):
        key = host.upload(clip, "refused.mp4")
        running_instance.wait_for(lambda: running_instance.runs(key)[:1] and running_instance.finished(key), key)
        running_instance.wait_for(lambda: running_instance.slots_in_use() == 0, "the slot of the failed run")
        # From here on there is no slot to be had: not of the pool, not of the card.
        for step in ("one", "two"):
            assert storage.claim_concurrency_slot("nvenc", "another run", step).is_claimed
        try:
            first, retry = running_instance.finished(key, runs=2)
        finally:
            storage.free_concurrency_slots_for_run("another run")
    assert first.status is FAILURE
    assert "session-limit" in running_instance.reason(first)
    assert retry.status is SUCCESS
    assert running_instance.steps(retry) == MAKING_A_VIDEO
    assert_made_by(host, key, "libx264")
    assert host.report(key).why == "NVENC failed at this video before (session-limit)."
    assert host.report(key).session_wait_seconds >= 3  # it is the failed run that waited
    waited = next(event for event in host.driver.events() if event.name == "refused")
    assert waited.code == 21


def test_a_killed_run_frees_its_session_at_once_and_another_run_finishes_its_work(
    hosts: Hosts, running_instance: RunningInstance, clip: Path
) -> None:
    host = hosts.healthy
    before = encodes(host.driver)
    key = host.upload(clip, "killed.mp4")
    running_instance.wait_for(lambda: encodes(host.driver) - before, "the encode to begin")
    (encoder,) = encodes(host.driver) - before
    worker = psutil.Process(encoder).parent()
    assert worker is not None
    worker.kill()
    with host.sessions().acquire("the next in turn"), host.sessions().acquire("and another"):
        assert host.driver.open_now() == {}
    killed, retry = running_instance.finished(key, runs=2)
    assert (killed.status, retry.status) == (FAILURE, SUCCESS)
    assert running_instance.steps(retry) == MAKING_A_VIDEO
    assert_made_by(host, key, "libx264")
    assert host.report(key).why == "NVENC failed at this video before (its process ended without a word)."
    running_instance.wait_for(lambda: running_instance.slots_in_use() == 0, "the slot of the killed run")
