"""Two NVENC sessions at most, whatever happens: what the emulated driver's own log says."""

from __future__ import annotations

import os
import random
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from dualface_core.encoding.sessions import NvencSessions
from dualface_core.encoding.settings import EncoderSettings
from dualface_core.media.probe import probe
from dualface_core.rendering.messages import Job
from tests.core.rendering.still_scene import still_plan, still_video
from tests.end_to_end import parent_of_encode
from tests.nvenc_emulator import EmulatedDriver
from tests.nvenc_emulator.driver import Event


def test_fifty_short_encodes_of_eight_processes_are_never_refused_and_leak_nothing(
    emulated_driver: Callable[..., EmulatedDriver], tmp_path: Path
) -> None:
    driver = emulated_driver()
    processes = []
    for number in range(8):
        folder = tmp_path / f"out-{number}"
        folder.mkdir()
        times = 7 if number < 2 else 6
        arguments = ["-m", "tests.end_to_end.short_encodes", str(folder), str(tmp_path / "run"), str(times)]
        processes.append(subprocess.Popen([sys.executable, *arguments], env=os.environ | driver.environment()))
    assert [process.wait() for process in processes] == [0] * 8

    count = Counter(event.name for event in driver.events())
    assert (count["opened"], count["closed"], count["refused"], count["lost"]) == (50, 50, 0, 0)
    assert driver.most_open_at_once() <= 2
    assert driver.open_now() == {}
    counters = NvencSessions(tmp_path / "run", gpu="GPU-0").status().counters
    assert (counters.opened, counters.closed, counters.refused, counters.failed) == (50, 50, 0, 0)
    results = list(tmp_path.glob("out-*/*"))
    assert len(results) == 50
    assert probe(results[0]).frame_count == 2


HANGS = [
    *["hang@OpenEncodeSessionEx", "hang@InitializeEncoder"] * 4,
    *["hang@DestroyEncoder"] * 2,  # Python's lock is held there, so that the process lives for three seconds more
]


@pytest.fixture
def running() -> Iterator[list[subprocess.Popen[bytes]]]:
    """Processes of a test; those that are left at its end are killed."""
    processes: list[subprocess.Popen[bytes]] = []
    yield processes
    for process in processes:
        process.kill()
        process.wait()


@pytest.mark.timeout(900)
def test_ten_kills_with_hangs_in_opening_and_closing_never_leave_a_third_session_open_and_keep_none(
    emulated_driver: Callable[..., EmulatedDriver], running: list[subprocess.Popen[bytes]], tmp_path: Path
) -> None:
    chance = random.Random(11)
    video = still_video(tmp_path / "still.mp4", [0])
    still_plan(video, [0]).write(tmp_path / "plan.parquet")
    (tmp_path / "out").mkdir()

    def start(number: int, fault: str) -> EmulatedDriver:
        job = Job(
            video=video,
            plan=tmp_path / "plan.parquet",
            output=tmp_path / "out" / f"{number}.mp4",
            encoder=EncoderSettings(),
            runtime=tmp_path / "run",
            gpu="0",
            max_sessions=2,
            session_timeout=240,
        )
        driver = emulated_driver(sessions=12, fault=fault)
        command = [sys.executable, parent_of_encode.__file__, job.model_dump_json()]
        running.append(subprocess.Popen(command, env=os.environ | driver.environment()))
        return driver

    def one_hangs(events: list[Event]) -> bool:
        encoders = {child.pid for parent in running for child in psutil.Process(parent.pid).children()}
        return any(event.name == "fault" and event.pid in encoders for event in events)

    for number, fault in enumerate(chance.sample(HANGS, len(HANGS))):
        driver = start(number, fault)
        if len(running) == 4:
            kill_one(running, driver, one_hangs, chance)
    while running:
        kill_one(running, driver, one_hangs, chance)

    sessions = NvencSessions(tmp_path / "run", gpu="0", timeout=240)
    with sessions.acquire("a.mp4"), sessions.acquire("b.mp4"):
        assert driver.open_now() == {}
    assert driver.most_open_at_once() == 2
    counters = sessions.status().counters
    assert counters.opened == counters.closed + counters.abandoned
    assert (counters.refused, counters.failed, counters.timed_out) == (0, 0, 0)


def kill_one(
    running: list[subprocess.Popen[bytes]],
    driver: EmulatedDriver,
    one_hangs: Callable[[list[Event]], bool],
    chance: random.Random,
) -> None:
    """Kill one of these at a random moment while the driver hangs in at least one of them."""
    driver.wait_for(one_hangs)
    time.sleep(chance.uniform(0.0, 0.3))
    process = running.pop(chance.randrange(len(running)))
    process.kill()
    process.wait()
