"""Fixtures for every test: sample clips with real faces, made once per run and shared by all workers."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import filelock
import pytest

from dualface_core.sample import make_sample
from dualface_core.settings import Settings

SampleClip = Callable[..., Path]

pytest_plugins = ["tests.nvenc_emulator.fixtures"]


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 128 KiB. Only root can mount one, and not in every container."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=128k", "tmpfs", str(folder)]
    mounted = subprocess.run(mount, capture_output=True, text=True, check=False)
    if mounted.returncode:
        pytest.skip(f"cannot mount a small disk: {mounted.stderr.strip()}")
    try:
        yield folder
    finally:
        subprocess.run(["umount", folder], check=True)


@pytest.fixture(scope="session")
def run_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder that all workers of this test run share."""
    base = tmp_path_factory.getbasetemp()
    shared = base.parent if os.environ.get("PYTEST_XDIST_WORKER") else base
    folder = shared / "shared"
    folder.mkdir(exist_ok=True)
    return folder


@pytest.fixture(scope="session")
def sample_clip(run_folder: Path) -> SampleClip:
    """Make a sample video, or take the one that another test has made: `sample_clip("cross", seconds=6)`."""

    def clip(
        scene: str = "talk", *, seconds: float = 4, size: tuple[int, int] = (640, 360), fps: int = 15, seed: int = 0
    ) -> Path:
        path = run_folder / f"{scene}-{seconds:g}s-{size[0]}x{size[1]}-{fps}fps-{seed}.mp4"
        with filelock.FileLock(f"{path}.lock"):
            if not path.exists():
                make_sample(
                    path,
                    scene=scene,
                    seconds=seconds,
                    width=size[0],
                    height=size[1],
                    fps=fps,
                    seed=seed,
                    cache=Settings().cache,
                )
        return path

    return clip
