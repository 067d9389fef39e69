"""`dualface run` and `dualface gpu` on an emulated host, as a user meets them: real faces, real processes."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import av
import pytest

from dualface_core.encoding.sessions import NvencSessions
from dualface_core.gpu.monitor import LoadLog
from tests.nvenc_emulator import Card, EmulatedDriver
from tests.nvenc_emulator.replay import bare_stream

SampleClip = Callable[..., Path]
EmulatedHost = Callable[..., EmulatedDriver]
EMULATED_CARD = "GPU-00000000-0000-0000-0000-000000000000"


@pytest.fixture
def dualface(tmp_path: Path) -> Callable[..., subprocess.Popen[str]]:
    """Start the command on an emulated host, with folders of its own."""

    def start(driver: EmulatedDriver, *arguments: object) -> subprocess.Popen[str]:
        own = {"DUALFACE_RUNTIME": str(tmp_path / "run"), "DUALFACE_CACHE": str(tmp_path / "cache")}
        return subprocess.Popen(
            [sys.executable, "-m", "dualface_core.cli", *map(str, arguments)],
            env=os.environ | driver.environment() | own | {"OMP_NUM_THREADS": "1"},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    return start


def clips(sample_clip: SampleClip, tmp_path: Path, count: int) -> list[Path]:
    """So many short videos of real faces, under names of their own."""
    source = sample_clip("talk", seconds=1, fps=10)
    (tmp_path / "in").mkdir()
    paths = [tmp_path / "in" / f"{number}.mp4" for number in range(count)]
    for path in paths:
        path.symlink_to(source)
    return paths


def test_several_videos_share_two_sessions_and_no_failure_touches_another_video(
    emulated_driver: EmulatedHost,
    sample_clip: SampleClip,
    dualface: Callable[..., subprocess.Popen[str]],
    tmp_path: Path,
) -> None:
    driver = emulated_driver(fault="crash@8,once", pace_ms=50)
    good = clips(sample_clip, tmp_path, 3)
    broken = tmp_path / "in" / "broken.mp4"
    broken.write_bytes(good[0].read_bytes()[:3000])
    inputs = [good[0], broken, *good[1:]]
    process = dualface(driver, "run", *inputs, "-o", tmp_path / "out", "--streams", 4, "--monitor", "--json")
    said, complained = process.communicate()

    assert process.returncode == 2
    assert "broken.mp4: damaged" in complained
    results = {Path(result["input"]).name: result for result in json.loads(said)}
    assert "damaged" in results.pop("broken.mp4")["error"]
    assert [result["error"] for result in results.values()] == [None] * 3
    reports = [result["report"] for result in results.values()]
    assert sorted(report["encoder_used"] for report in reports) == ["h264_nvenc", "h264_nvenc", "libx264"]
    (fallen_back,) = (report for report in reports if report["encoder_used"] == "libx264")
    assert "h264_nvenc failed (crashed)" in fallen_back["why"]
    for report in reports:
        assert all(finding["passed"] for finding in report["verification"]["findings"])
        assert report["load"]["job_memory_peak"] > 0

    count = Counter(event.name for event in driver.events())
    assert driver.most_open_at_once() <= 2
    assert count["refused"] == 0
    assert driver.open_now() == {}
    counters = NvencSessions(tmp_path / "run", gpu=EMULATED_CARD).status().counters
    assert counters.abandoned == 1
    assert counters.opened == counters.closed + 1 == count["opened"]
    suffixes = [".load.parquet", ".load.png", ".mp4", ".report.json"]
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [
        f"{number}.split{suffix}" for number in range(3) for suffix in suffixes
    ]
    log = LoadLog.read(tmp_path / "out" / "0.split.load.parquet")
    assert log.metadata.gpu == "Emulated NVENC card"
    assert log.table.num_rows >= 1


def test_a_card_that_replays_what_x264_made_of_the_same_plan_gives_a_verified_video(
    emulated_driver: EmulatedHost,
    sample_clip: SampleClip,
    dualface: Callable[..., subprocess.Popen[str]],
    tmp_path: Path,
) -> None:
    (video,) = clips(sample_clip, tmp_path, 1)
    no_b_pictures = ("--preset", "ultrafast")
    encoded = dualface(emulated_driver(), "run", video, "-o", tmp_path, "--encoder", "software", *no_b_pictures)
    assert encoded.wait() == 0
    made = tmp_path / "0.split.mp4"
    driver = emulated_driver(replay=bare_stream(made, tmp_path / "made.h264"), checksum_every=5)
    process = dualface(driver, "run", video, "-o", tmp_path / "out", "--encoder", "nvenc", "--json")
    said, complained = process.communicate()
    assert process.returncode == 0, complained
    (result,) = json.loads(said)
    assert result["report"]["encoder_used"] == "h264_nvenc"
    assert all(finding["passed"] for finding in result["report"]["verification"]["findings"])
    assert pictures_of(tmp_path / "out" / "0.split.mp4") == pictures_of(made)
    sessions = {event.pid: event.pictures for event in driver.events() if event.checksum is not None}
    assert max(sessions.values(), default=0) == 6  # the first and the sixth of ten are checked


def pictures_of(path: Path) -> list[bytes]:
    with av.open(str(path)) as container:
        return [frame.to_ndarray().tobytes() for frame in container.decode(video=0)]


SILENT_FAULTS = ["noise@4-5", "green@4-5", "half@4-5", "repeat@2-9"]


@pytest.mark.parametrize("fault", SILENT_FAULTS)
def test_wrong_pictures_of_a_driver_that_reports_success_are_found_and_encoded_again_in_software(
    emulated_driver: EmulatedHost,
    sample_clip: SampleClip,
    dualface: Callable[..., subprocess.Popen[str]],
    tmp_path: Path,
    fault: str,
) -> None:
    driver = emulated_driver(fault=fault)
    inputs = clips(sample_clip, tmp_path, 1)
    process = dualface(driver, "run", *inputs, "-o", tmp_path / "out", "--encoder", "nvenc", "--json")
    said, complained = process.communicate()
    assert process.returncode == 0, complained
    (result,) = json.loads(said)
    report = result["report"]
    assert report["encoder_used"] == "libx264"
    assert report["fallback"]
    assert report["why"].startswith("h264_nvenc made a wrong result: ")
    assert all(finding["passed"] for finding in report["verification"]["findings"])
    assert sum(event.name == "fault" for event in driver.events()) == 1
    assert driver.open_now() == {}


def test_without_fallback_wrong_pictures_fail_the_video_and_nothing_is_published(
    emulated_driver: EmulatedHost,
    sample_clip: SampleClip,
    dualface: Callable[..., subprocess.Popen[str]],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("DUALFACE_SOFTWARE_FALLBACK", "false")
    inputs = clips(sample_clip, tmp_path, 1)
    process = dualface(emulated_driver(fault=SILENT_FAULTS[0]), "run", *inputs, "-o", tmp_path / "out")
    _, complained = process.communicate()
    assert process.returncode != 0
    assert "the result is not right" in complained
    assert list((tmp_path / "out").iterdir()) == []


def test_a_run_that_is_stopped_leaves_neither_session_nor_process_nor_file(
    emulated_driver: EmulatedHost,
    sample_clip: SampleClip,
    dualface: Callable[..., subprocess.Popen[str]],
    tmp_path: Path,
) -> None:
    driver = emulated_driver(fault="hang@3")
    inputs = clips(sample_clip, tmp_path, 1)
    process = dualface(driver, "run", *inputs, "-o", tmp_path / "out")
    driver.wait_for(lambda events: any(event.name == "fault" for event in events))
    process.send_signal(signal.SIGTERM)  # like Ctrl-C, which a shell hides from what it runs in the background
    said, complained = process.communicate()
    assert process.returncode != 0
    assert said == ""
    assert "Traceback" not in complained
    assert driver.open_now() == {}
    assert list((tmp_path / "out").iterdir()) == []


def overview(process: subprocess.Popen[str]) -> Any:
    said, complained = process.communicate()
    assert process.returncode == 0, complained
    return json.loads(said)


def test_gpu_tells_what_the_card_can_do_and_who_uses_it(
    emulated_driver: EmulatedHost, dualface: Callable[..., subprocess.Popen[str]], tmp_path: Path
) -> None:
    driver = emulated_driver()
    guard = NvencSessions(tmp_path / "run", gpu=EMULATED_CARD)
    with driver.outside_sessions(1), guard.acquire("interview.mp4"):
        shown = overview(dualface(driver, "gpu", "--json"))
    (card,) = shown["cards"]
    assert card["gpu"]["name"] == "Emulated NVENC card"
    assert card["gpu"]["driver"] == shown["driver"] == "570.0"
    assert {codec: ability["available"] for codec, ability in card["nvenc"].items()} == {
        "h264": True,
        "hevc": False,
        "av1": False,
    }
    (holder,) = card["sessions"]["holders"]
    assert (holder["pid"], holder["owner"]) == (os.getpid(), "interview.mp4")
    assert [session["pid"] for session in card["listed"]] == [os.getpid()]
    assert shown["profile"]["sessions"] == 2

    shown = overview(dualface(driver, "gpu", "--json"))  # what can be done is remembered, who does it is not
    (card,) = shown["cards"]
    assert card["sessions"]["holders"] == card["listed"] == []
    assert card["sessions"]["counters"]["error_rate"] == 0
    assert card["nvenc"]["h264"]["available"]
    assert sum(event.name == "picture" for event in driver.events()) == 1


def test_gpu_says_that_an_encoder_is_busy_and_not_that_there_is_none(
    emulated_driver: EmulatedHost, dualface: Callable[..., subprocess.Popen[str]]
) -> None:
    driver = emulated_driver()
    with driver.outside_sessions(2):
        said, _ = dualface(driver, "gpu").communicate()
    assert "NVENC h264 busy. All NVENC sessions that the driver allows are in use." in " ".join(said.split())


def test_gpu_is_plain_about_a_machine_without_one(
    emulated_driver: EmulatedHost, dualface: Callable[..., subprocess.Popen[str]]
) -> None:
    said, complained = dualface(emulated_driver(card=Card.NO_DRIVER), "gpu").communicate()
    assert complained == ""
    words = " ".join(said.split())
    assert "card none: There is no NVIDIA driver." in words
    assert "install driver 570 or newer" in words
    assert "NVENC sessions 0" in words
