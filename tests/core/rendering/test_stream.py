from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from dualface_core.encoding.settings import EncoderSettings, software_encoder
from dualface_core.errors import TableFormatError, UnreadableVideoError
from dualface_core.media.probe import VideoInfo, probe
from dualface_core.media.reader import VideoReader
from dualface_core.rendering.stream import render_stream
from tests.core.made_tracks import split_plan
from tests.core.media.color_patches import rgb_of_patches, write_patches
from tests.core.rendering.still_scene import TIME_BASE, still_plan, still_tracks, still_video

X264 = software_encoder(EncoderSettings(preset="ultrafast"))
UNEVEN = (0, 40, 70, 131, 132, 400, 401, 640)


def times(video: VideoInfo) -> list[float]:
    with VideoReader(video) as reader:
        return [frame.pts * video.time_base for frame in reader]


@pytest.mark.parametrize("pts", [range(0, 480, 40), UNEVEN, [0]])
def test_every_frame_of_the_plan_is_in_the_result_at_its_own_time(tmp_path: Path, pts: Sequence[int]) -> None:
    video = still_video(tmp_path / "still.mp4", pts)
    reported: list[int] = []
    output = tmp_path / "out.mp4"
    assert render_stream(video, still_plan(video, pts), output, X264, progress=reported.append) == len(pts)
    result = probe(output)
    assert (result.width, result.height) == (1920, 1080)
    assert times(result) == [time * TIME_BASE for time in pts]
    assert reported == list(range(1, len(pts) + 1))


def test_tiles_show_what_the_plan_says(tmp_path: Path) -> None:
    pts = range(0, 80, 40)
    video = still_video(tmp_path / "still.mp4", pts)
    render_stream(video, still_plan(video, pts), tmp_path / "out.mp4", X264)
    with VideoReader(probe(tmp_path / "out.mp4")) as reader:
        luma = next(iter(reader)).planes[0].astype(float)
    left, right = luma[540, 200:760], luma[540, 1160:1720]  # the source brightens from left to right
    assert (np.diff(left[::80]) > 0).all()
    assert left.max() < 125 < right.min()


def test_frames_composed_in_several_threads_are_the_same_in_the_same_order(tmp_path: Path) -> None:
    pts = range(0, 40 * 40, 40)
    video = still_video(tmp_path / "still.mp4", pts)
    plan = still_plan(video, pts)
    moving = plan.crop_windows + np.arange(len(pts), dtype=np.float32)[:, np.newaxis, np.newaxis] * (0.5, 0.1, 0, 0)
    plan = split_plan(still_tracks(video, pts), moving)
    for name, threads in (("one", 1), ("four", 4)):
        fingerprints = tmp_path / f"{name}.fingerprints"
        render_stream(video, plan, tmp_path / f"{name}.mp4", X264, compose_threads=threads, fingerprints=fingerprints)
    assert (tmp_path / "four.mp4").read_bytes() == (tmp_path / "one.mp4").read_bytes()
    assert (tmp_path / "four.fingerprints").read_bytes() == (tmp_path / "one.fingerprints").read_bytes()


def test_a_plan_of_another_video_is_refused_before_anything_is_written(tmp_path: Path) -> None:
    pts = range(0, 80, 40)
    video = still_video(tmp_path / "still.mp4", pts)
    plan = still_plan(replace(video, fingerprint="f" * 64), pts)
    with pytest.raises(TableFormatError, match="made from another video"):
        render_stream(video, plan, tmp_path / "out.mp4", X264)
    assert not (tmp_path / "out.mp4").exists()


@pytest.mark.parametrize(
    ("changed", "where"),
    [
        ((0, 40, 80), "frame 3"),  # cut off
        ((0, 40, 80, 120, 160), "frame 4"),  # longer
        ((0, 40, 90, 130), "frame 2"),  # shown at other times
    ],
)
def test_a_source_that_changed_since_it_was_tracked_is_noticed(
    tmp_path: Path, changed: Sequence[int], where: str
) -> None:
    tracked = (0, 40, 80, 120)
    video = still_video(tmp_path / "still.mp4", tracked)
    still_video(tmp_path / "other.mp4", changed)
    (tmp_path / "other.mp4").replace(video.path)
    with pytest.raises(UnreadableVideoError, match=f"{where} is not the one that was tracked"):
        render_stream(video, still_plan(video, tracked), tmp_path / "out.mp4", X264)


def test_rendering_leaves_the_count_of_opencvs_threads_alone_while_it_works(tmp_path: Path) -> None:
    pts = range(0, 800, 40)
    video = still_video(tmp_path / "still.mp4", pts)
    before, counts = cv2.getNumThreads(), []
    cv2.setNumThreads(8)
    try:
        render_stream(
            video,
            still_plan(video, pts),
            tmp_path / "out.mp4",
            X264,
            progress=lambda _: counts.append(cv2.getNumThreads()),
        )
    finally:
        cv2.setNumThreads(before)
    assert set(counts) == {8}


@pytest.mark.parametrize(
    ("name", "choices"),
    [
        ("untagged.mp4", {}),
        ("matrix-only.mp4", {"tags": (1, 2, 2, 6)}),
        ("bt709.mp4", {"matrix": 1, "tags": (1, 1, 1, 1)}),
        ("full.mp4", {"color_range": 2, "tags": (2, 2, 2, 2)}),
        ("mjpeg.avi", {"codec": "mjpeg", "pixel_format": "yuvj420p", "color_range": 2}),
        ("vp8.webm", {"codec": "libvpx"}),
        ("rgb.avi", {"codec": "rawvideo", "pixel_format": "bgr24"}),
    ],
)
def test_a_result_says_what_its_colors_are_and_shows_those_of_its_source(
    tmp_path: Path, name: str, choices: dict[str, Any]
) -> None:
    video = probe(write_patches(tmp_path / name, **choices))
    with VideoReader(video) as reader:
        frames = list(reader)
    plan = still_plan(video, [round(frame.time / TIME_BASE) for frame in frames])
    lossless = software_encoder(EncoderSettings(preset="ultrafast", quality=0))
    render_stream(video, plan, tmp_path / "out.mp4", lossless)
    result = probe(tmp_path / "out.mp4")
    assert result.color_tags == video.color
    with VideoReader(result) as reader:
        shown = next(iter(reader)).bgr()
    np.testing.assert_allclose(rgb_of_patches(shown), rgb_of_patches(frames[0].bgr()), atol=2)
