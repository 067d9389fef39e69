"""Fixtures for every test: sample clips with real faces, made once per run and shared by all workers."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path

import filelock
import pytest
from hypothesis import HealthCheck, settings
from xdist.remote import Producer
from xdist.scheduler import LoadGroupScheduling

from dualface_core.sample import make_sample, people
from dualface_core.settings import Settings

SampleClip = Callable[..., Path]

pytest_plugins = ["tests.nvenc_emulator.fixtures"]

signal.signal(signal.SIGINT, signal.default_int_handler)
"""A shell has what runs in its background ignore Ctrl-C, and Dagster then has its own process ignore SIGTERM, too. What
this process ignores, programs that tests start would."""

settings.register_profile("any machine", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("any machine")  # a busy one takes longer for an example, or to think of one


class ModuleScheduling(LoadGroupScheduling):
    """The tests of a module run in one worker, so that what they share is made once, and those of a group do."""

    def _split_scope(self, nodeid: str) -> str:
        return super()._split_scope(nodeid).partition("::")[0]


def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> ModuleScheduling | None:
    return ModuleScheduling(config, log) if config.getvalue("dist") == "loadgroup" else None


@pytest.fixture
def mount_tmpfs() -> Iterator[Callable[[Path, str], Path]]:
    """Mount a file system in memory, with options of tmpfs(5), on a folder that is made for it."""
    mounted = []

    def mount(folder: Path, options: str) -> Path:
        folder.mkdir()
        _mount("-t", "tmpfs", "-o", options, "tmpfs", str(folder))
        mounted.append(folder)
        return folder

    yield mount
    for folder in mounted:
        subprocess.run(["umount", folder], check=True)


@pytest.fixture
def small_disk(tmp_path: Path, mount_tmpfs: Callable[[Path, str], Path]) -> Path:
    """A file system of 128 KiB."""
    return mount_tmpfs(tmp_path / "disk", "size=128k")


@pytest.fixture
def lost_drive(tmp_path: Path) -> Iterator[Path]:
    """A network drive whose other end is gone: whatever is asked of it, the kernel answers ENOTCONN."""
    folder = tmp_path / "drive"
    folder.mkdir()
    end = os.open("/dev/fuse", os.O_RDWR) if Path("/dev/fuse").exists() else pytest.skip("no /dev/fuse")
    options = f"fd={end},rootmode=40000,user_id=0,group_id=0"
    _mount("-i", "-t", "fuse", "-o", options, "lost", str(folder), keep=end)
    os.close(end)
    try:
        yield folder
    finally:
        subprocess.run(["umount", folder], check=True)


@pytest.fixture
def failing_disk(tmp_path: Path) -> Iterator[Callable[[Path], Path]]:
    """Copy a file to a disk that cannot read the last block of it any more (EIO)."""
    image, folder = tmp_path / "image", tmp_path / "failing"
    folder.mkdir()

    def copy(source: Path) -> Path:
        content = source.read_bytes()
        image.touch()
        os.truncate(image, len(content) + (4 << 20))
        subprocess.run(["mkfs.ext4", "-q", "-b", "1024", "-O", "^has_journal", image], check=True)
        _mount("-o", "loop", str(image), str(folder))
        shutil.copy(source, folder)
        subprocess.run(["umount", folder], check=True)
        _mount("-o", "loop,ro", str(image), str(folder))
        os.truncate(image, image.read_bytes().index(content[(len(content) - 1) // 1024 * 1024 :]))
        return folder / source.name

    yield copy
    subprocess.run(["umount", folder], check=False)


def _mount(*arguments: str, keep: int | None = None) -> None:
    """Mount a file system. Only root can, and not in every container."""
    keeping = [] if keep is None else [keep]
    mounted = subprocess.run(["mount", *arguments], pass_fds=keeping, capture_output=True, text=True, check=False)
    if mounted.returncode:
        pytest.skip(f"cannot mount: {mounted.stderr.strip()}")


@pytest.fixture(scope="session")
def run_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder that all workers of this test run share."""
    base = tmp_path_factory.getbasetemp()
    shared = base.parent if os.environ.get("PYTEST_XDIST_WORKER") else base
    folder = shared / "shared"
    folder.mkdir(exist_ok=True)
    return folder


@pytest.fixture(scope="session")
def cut_out_once() -> Iterator[None]:
    """The people of samples are cut out of their clips once per process: for a short sample that takes longest."""
    with pytest.MonkeyPatch.context() as patch:
        for name in ("Woman", "Man"):
            patch.setattr(people, name, cache(getattr(people, name)))
        yield


@pytest.fixture(scope="session")
def sample_clip(run_folder: Path, cut_out_once: None) -> SampleClip:
    """Make a sample video, or take the one that another test has made: `sample_clip("cross", seconds=6)`."""

    def clip(
        scene: str = "talk", *, seconds: float = 4, size: tuple[int, int] = (640, 360), fps: int = 15, seed: int = 0
    ) -> Path:
        path = run_folder / f"{scene}-{seconds:g}s-{size[0]}x{size[1]}-{fps}fps-{seed}.mp4"
        with filelock.FileLock(f"{path}.lock"):
            if not path.exists():
                made = {"scene": scene, "seconds": seconds, "fps": fps, "seed": seed}
                make_sample(path, width=size[0], height=size[1], cache=Settings().cache, **made)
        return path

    return clip
