from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from dualface_core.errors import UnsupportedVideoError
from dualface_core.media.color import FULL_RANGE, ColorInfo
from dualface_core.media.probe import probe
from dualface_core.media.reader import VideoReader
from tests.core.media.color_patches import PATCHES, rgb_of_patches, write_patches

HD = (1280, 720)
QUIET = {"x265-params": "log-level=none:crf=4"}
HEVC = {"codec": "libx265", "options": QUIET}
ONLY_OUTSIDE = {"matrix": 1, "container_tags": (1, 1, 1, 1)}


@pytest.mark.parametrize(
    ("tags", "lines", "expected"),
    [
        (ColorInfo(), 480, ColorInfo(1, 6, 6, 6)),
        (ColorInfo(), 719, ColorInfo(1, 6, 6, 6)),
        (ColorInfo(), 720, ColorInfo(1, 1, 1, 1)),
        (ColorInfo(range=FULL_RANGE), 480, ColorInfo(2, 6, 6, 6)),
        (ColorInfo(matrix=1), 480, ColorInfo(1, 6, 6, 1)),
        (ColorInfo(matrix=5), 1080, ColorInfo(1, 1, 1, 5)),
        (ColorInfo(primaries=9), 1080, ColorInfo(1, 9, 14, 9)),
        (ColorInfo(1, 1, 13, 1), 90, ColorInfo(1, 1, 13, 1)),
    ],
)
def test_missing_tags_are_completed_as_players_do(tags: ColorInfo, lines: int, expected: ColorInfo) -> None:
    assert tags.completed(lines) == expected


@pytest.mark.parametrize(
    ("name", "choices", "color"),
    [
        ("sd.mp4", {}, (1, 6, 6, 6)),
        ("hd.mp4", {"size": HD, "matrix": 1}, (1, 1, 1, 1)),
        ("sd-of-709.mp4", {"matrix": 1, "tags": (1, 1, 1, 1)}, (1, 1, 1, 1)),
        ("hd-of-601.mp4", {"size": HD, "tags": (1, 6, 6, 6)}, (1, 6, 6, 6)),
        ("smpte-240m.mp4", {"matrix": 7, "tags": (1, 7, 7, 7)}, (1, 7, 7, 7)),
        ("full.mp4", {"color_range": 2, "tags": (2, 2, 2, 2)}, (2, 6, 6, 6)),
        ("mpeg1.mpg", {"codec": "mpeg1video"}, (1, 6, 6, 6)),
        ("mpeg2.mpg", {"codec": "mpeg2video"}, (1, 6, 6, 6)),
        ("vp8.webm", {"codec": "libvpx"}, (1, 6, 6, 5)),
        ("vp8-hd.webm", {"codec": "libvpx", "size": HD}, (1, 1, 1, 5)),
        ("mjpeg.avi", {"codec": "mjpeg", "pixel_format": "yuvj420p", "color_range": 2}, (2, 6, 6, 5)),
        ("mjpeg-422.avi", {"codec": "mjpeg", "pixel_format": "yuvj422p", "color_range": 2}, (2, 6, 6, 5)),
        ("raw.y4m", {"codec": "wrapped_avframe"}, (1, 6, 6, 6)),
        ("raw.avi", {"codec": "rawvideo", "pixel_format": "bgr24"}, (1, 6, 6, 1)),
        ("gray.mkv", {"codec": "ffv1", "pixel_format": "gray", "color_range": 2}, (2, 6, 6, 6)),
        ("palette.gif", {"codec": "gif", "pixel_format": "rgb8"}, (1, 6, 6, 1)),
        ("ten.mp4", {**HEVC, "pixel_format": "yuv420p10le"}, (1, 6, 6, 6)),
        ("only-colr.mp4", {**HEVC, **ONLY_OUTSIDE}, (1, 1, 1, 1)),
        ("only-colr.mov", {"codec": "prores_ks", "pixel_format": "yuv422p10le", **ONLY_OUTSIDE}, (1, 1, 1, 1)),
        ("only-colour.mkv", {**HEVC, **ONLY_OUTSIDE}, (1, 1, 1, 1)),
    ],
)  # fmt: skip
def test_every_frame_has_the_colors_that_were_filmed(
    tmp_path: Path, name: str, choices: dict[str, Any], color: tuple[int, int, int, int]
) -> None:
    video = probe(write_patches(tmp_path / name, **choices))
    assert video.color == ColorInfo(*color)
    with VideoReader(video) as reader:
        frame = next(iter(reader))
    assert frame.color == video.color
    expected = PATCHES.astype(int)
    if choices.get("pixel_format") == "gray":
        expected = np.repeat(np.rint(expected @ [0.299, 0.587, 0.114])[:, None], 3, axis=1).astype(int)
    tolerance = 40 if name.endswith("gif") else 4  # a GIF's own palette, and two roundings to YUV
    np.testing.assert_allclose(rgb_of_patches(frame.bgr()[..., ::-1]), expected, atol=tolerance)


def test_colors_that_nothing_here_can_read_are_refused(tmp_path: Path) -> None:
    path = write_patches(tmp_path / "ictcp.mp4", container_tags=(1, 9, 1, 14), **HEVC)
    with pytest.raises(UnsupportedVideoError, match=r"ictcp\.mp4: its colors .*matrix 14.*Export it as SDR"):
        probe(path)
