"""However an encode with NVENC ends, its session ends with it: FFmpeg's real code on the emulated driver."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from dualface_core.media.probe import probe
from tests.end_to_end import nvenc_writer
from tests.nvenc_emulator import EmulatedDriver


def end(driver: EmulatedDriver, folder: Path, pictures: int, *, largest_file: int = 1 << 30) -> dict[str, Any]:
    """Let a writer end in a process, and look at the driver while that process still lives."""
    folder.mkdir()
    with subprocess.Popen(
        [sys.executable, nvenc_writer.__file__, str(folder / "a.mp4"), str(pictures), str(largest_file)],
        env=os.environ | driver.environment(),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        said = json.loads(process.stdout.readline())
        assert driver.open_now() == {}
        process.stdin.write("\n")
    assert process.returncode == 0
    names = [event.name for event in driver.events()]
    assert names.count("opened") == names.count("closed")
    assert said["left open"] == []
    return said


@pytest.mark.parametrize("pictures", [0, 1, 5])
def test_a_writer_that_was_fed_nothing_one_picture_or_some_ends_without_an_error(
    emulated_driver: Callable[..., EmulatedDriver], tmp_path: Path, pictures: int
) -> None:
    driver = emulated_driver()
    said = end(driver, tmp_path / "out", pictures)
    assert said["error"] is None
    assert said["left in the folder"] == ["a.mp4"]
    assert sum(event.name == "opened" for event in driver.events()) == 1
    if pictures:
        assert probe(tmp_path / "out" / "a.mp4").frame_count == pictures


@pytest.mark.parametrize(
    ("fault", "failure"),
    [
        ("error:20@3", "encode-failed"),
        ("error:10@3", "vram-oom"),
        ("error:20@LockBitstream", "encode-failed"),
        ("error:8@InitializeEncoder", "bad-parameter"),
        ("error:10@CreateInputBuffer", "vram-oom"),
        ("error:21@OpenEncodeSessionEx", "session-limit"),
    ],
)
def test_an_encoder_that_died_leaves_no_session_no_open_file_and_nothing_in_the_folder(
    emulated_driver: Callable[..., EmulatedDriver], tmp_path: Path, fault: str, failure: str
) -> None:
    said = end(emulated_driver(fault=fault), tmp_path / "out", 5)
    assert f"({failure})" in said["error"]
    assert said["left in the folder"] == []


def test_a_file_that_cannot_grow_ends_the_session_too(
    emulated_driver: Callable[..., EmulatedDriver], tmp_path: Path
) -> None:
    said = end(emulated_driver(), tmp_path / "out", 5, largest_file=50_000)
    assert "a.mp4: could not be written (File too large)" in said["error"]
    assert said["left in the folder"] == []
