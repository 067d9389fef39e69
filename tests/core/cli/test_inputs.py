from __future__ import annotations

from pathlib import Path
from typing import get_args

import pytest

from dualface_core.cli.inputs import Inputs, LayoutOption, expand, jobs_for
from dualface_core.errors import MissingInputError, OutputError
from dualface_core.tables.layouts import LAYOUTS


def test_folders_and_patterns_name_videos_but_never_results(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("b.mp4", "a.MOV", "a.split.mp4", ".hidden.mp4", "notes.txt"):
        Path(name).touch()
    assert expand(["."]).videos == [Path("a.MOV"), Path("b.mp4")]
    assert expand(["*.mp4", "b.mp4"]).videos == [Path("b.mp4")]
    assert expand([str(tmp_path / "*.mp4")]).videos == [tmp_path / "b.mp4"]
    with pytest.raises(MissingInputError, match="no video matches"):
        expand(["**b.mp4"])


@pytest.mark.parametrize("suffix", ["mpeg", "wmv", "3gp", "flv", "mxf", "ogv", "vob", "m2ts", "MTS", "mpg", "asf"])
def test_a_folder_leaves_out_no_kind_of_video(tmp_path: Path, suffix: str) -> None:
    (tmp_path / f"talk.{suffix}").touch()
    assert expand([str(tmp_path)]) == Inputs([tmp_path / f"talk.{suffix}"], {})


def test_what_a_folder_leaves_out_is_said(tmp_path: Path) -> None:
    for name in ("talk.mp4", "talk.split.report.json", ".hidden", "notes.txt", "talk.srt"):
        (tmp_path / name).touch()
    (tmp_path / "more").mkdir()
    assert expand([str(tmp_path)]).skipped_lines() == [
        f"{tmp_path}: 3 left out, no videos by name: more/, notes.txt, talk.srt"
    ]
    assert expand([str(tmp_path / "*.*")]).skipped_lines() == [
        f"{tmp_path}/*.*: 2 left out, no videos by name: notes.txt, talk.srt"
    ]


def test_a_result_goes_beside_its_video_or_into_a_folder_or_into_the_mp4_that_is_named(tmp_path: Path) -> None:
    video = tmp_path / "talk.mov"
    named = tmp_path / "other.MP4"
    there = tmp_path / "v1.2"
    there.mkdir()
    outputs = [jobs_for([video], output)[0].output for output in (None, named, there, tmp_path / "new" / "folder")]
    name = "talk.split.mp4"
    assert outputs == [tmp_path / name, named, there / name, tmp_path / "new" / "folder" / name]


@pytest.mark.parametrize("name", ["out.mov", "out.mkv", "v1.2"])
def test_a_result_of_another_kind_is_refused_and_makes_no_folder(tmp_path: Path, name: str) -> None:
    with pytest.raises(OutputError, match=r"a result is an MP4\. Give a name that ends in \.mp4, or a folder"):
        jobs_for([tmp_path / "talk.mp4"], tmp_path / name)
    assert not list(tmp_path.iterdir())


def test_several_videos_do_not_go_into_one_file(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match=r"2 videos cannot share one file\. Give a folder"):
        jobs_for([tmp_path / "a.mp4", tmp_path / "b.mp4"], tmp_path / "out.mp4")
    assert not list(tmp_path.iterdir())


def test_two_inputs_of_one_name_are_told_a_way_that_keeps_both_results(tmp_path: Path) -> None:
    videos = [tmp_path / "a" / "talk.mp4", tmp_path / "b" / "talk.mp4"]
    with pytest.raises(OutputError, match="another folder after -o, or rename one"):
        jobs_for(videos, tmp_path)
    assert [jobs_for([video], tmp_path / video.parent.name)[0].output for video in videos] == [
        video.with_name("talk.split.mp4") for video in videos
    ]


def test_the_help_names_every_layout() -> None:
    said = get_args(LayoutOption)[1].help
    assert all(name in said for name in LAYOUTS)
