from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from dualface_core.gpu.nvml import GpuInventory
from dualface_core.media.probe import VideoInfo
from dualface_core.rendering import choice
from dualface_core.settings import Settings
from dualface_core.tables.tile_plan import TilePlan
from tests.core.rendering.still_scene import still_plan, still_video
from tests.nvenc_emulator import EmulatedDriver

PTS = range(0, 40 * 12, 40)
"""Twelve frames, fifteen a second."""

Scene = tuple[VideoInfo, TilePlan]


@pytest.fixture
def scene(tmp_path: Path) -> Scene:
    """A short video of people who never move, and its plan."""
    video = still_video(tmp_path / "still.mp4", PTS)
    return video, still_plan(video, PTS)


@pytest.fixture
def settings(tmp_path: Path) -> Callable[..., Settings]:
    """Make settings whose folders are the test's own, for the processor alone, also where there is a card."""

    def make(**given: object) -> Settings:
        return Settings.model_validate(
            {"runtime": tmp_path / "run", "cache": tmp_path / "cache", "backend": "cpu", **given}
        )

    return make


@pytest.fixture
def emulated(
    emulated_driver: Callable[..., EmulatedDriver], monkeypatch: pytest.MonkeyPatch
) -> Callable[..., EmulatedDriver]:
    """Put the processes that this one starts on an emulated host."""

    def put(**given: object) -> EmulatedDriver:
        driver = emulated_driver(**given)
        for name, value in driver.environment().items():
            monkeypatch.setenv(name, value)
        return driver

    return put


@pytest.fixture(autouse=True)
def no_card_here(monkeypatch: pytest.MonkeyPatch) -> None:
    """This process itself sees no card, whatever the machine has."""
    monkeypatch.setattr(choice, "find_gpus", lambda: GpuInventory((), None, "It is hidden."))


@pytest.fixture(autouse=True)
def no_gpu_unusable(monkeypatch: pytest.MonkeyPatch) -> None:
    """A GPU that one test marked unusable must not decide another test."""
    monkeypatch.setattr(choice, "_unusable", {})
