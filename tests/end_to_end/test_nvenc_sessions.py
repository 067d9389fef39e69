"""Two NVENC sessions at most, whatever happens: what the emulated driver's own log says."""

from __future__ import annotations

import os
import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path

from dualface_core.encoding.sessions import NvencSessions
from dualface_core.media.probe import probe
from tests.nvenc_emulator import EmulatedDriver


def test_a_hundred_short_encodes_of_eight_processes_are_never_refused_and_leak_nothing(
    emulated_driver: Callable[..., EmulatedDriver], tmp_path: Path
) -> None:
    driver = emulated_driver()
    processes = []
    for number in range(8):
        folder = tmp_path / f"out-{number}"
        folder.mkdir()
        times = 13 if number < 4 else 12
        arguments = ["-m", "tests.end_to_end.short_encodes", str(folder), str(tmp_path / "run"), str(times)]
        processes.append(subprocess.Popen([sys.executable, *arguments], env=os.environ | driver.environment()))
    assert [process.wait() for process in processes] == [0] * 8

    count = Counter(event.name for event in driver.events())
    assert (count["opened"], count["closed"], count["refused"], count["lost"]) == (100, 100, 0, 0)
    assert driver.most_open_at_once() <= 2
    assert driver.open_now() == {}
    counters = NvencSessions(tmp_path / "run", gpu="GPU-0").status().counters
    assert (counters.opened, counters.closed, counters.refused, counters.failed) == (100, 100, 0, 0)
    results = list(tmp_path.glob("out-*/*"))
    assert len(results) == 100
    assert probe(results[0]).frame_count == 2
