from __future__ import annotations

from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest

from dualface_core.errors import UnsupportedVideoError
from dualface_core.media.color import FULL_RANGE, SDR, ColorInfo
from dualface_core.media.probe import probe
from dualface_core.media.reader import VideoReader
from dualface_core.media.tone_mapping import sdr_cube, to_sdr
from tests.core.media.boxes import inserted_box
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


HDR10, HLG, WIDE = (1, 9, 16, 9), (1, 9, 18, 9), (1, 9, 14, 9)
TEN_BIT = {"wide": True, "pixel_format": "yuv420p10le"}


@pytest.mark.parametrize(
    ("name", "choices", "what"),
    [
        ("hlg.mp4", {**HEVC, **TEN_BIT, "tags": HLG}, "HDR (HLG BT.2020)"),
        ("hdr10.mkv", {**HEVC, **TEN_BIT, "tags": HDR10}, "HDR (PQ BT.2020)"),
        ("hlg-in-colr.mp4", {**HEVC, **TEN_BIT, "container_tags": HLG}, "HDR (HLG BT.2020)"),
        ("hdr10-in-colour.mkv", {**HEVC, **TEN_BIT, "container_tags": HDR10}, "HDR (PQ BT.2020)"),
        ("prores.mov", {**TEN_BIT, "codec": "prores_ks", "pixel_format": "yuv422p10le", "container_tags": HLG}, "HLG"),
        ("av1.mp4", {**TEN_BIT, "codec": "libsvtav1", "tags": HDR10}, "HDR (PQ BT.2020)"),
        ("eight-bits.mp4", {"wide": True, "tags": HLG}, "HDR (HLG BT.2020)"),
        ("full.mp4", {**HEVC, **TEN_BIT, "color_range": 2, "tags": (2, 9, 16, 9)}, "HDR (PQ BT.2020 full range)"),
        ("sdr.mp4", {**HEVC, **TEN_BIT, "tags": WIDE}, "The video is SDR BT.2020"),
    ],
)  # fmt: skip
def test_hdr_and_wide_gamut_are_shown_as_sdr(tmp_path: Path, name: str, choices: dict[str, Any], what: str) -> None:
    video = probe(write_patches(tmp_path / name, **choices))
    assert video.color == SDR
    assert any(what in note for note in video.notes)
    with VideoReader(video) as reader:
        frame = next(iter(reader))
    shown, filmed = rgb_of_patches(frame.bgr()[..., ::-1]), PATCHES.astype(int)
    # Only what is brighter than some 94 cd/m2 is compressed: of the patches, red and skin, and both by little.
    # Channels that are nearly dark are steep in light, and so the least exact.
    np.testing.assert_allclose(shown[1:], filmed[1:], atol=12)
    np.testing.assert_allclose(shown[0], filmed[0], atol=30)


@pytest.mark.parametrize("transfer", [HDR10[2], HLG[2]])
def test_tone_mapping_keeps_order_and_hue_and_never_clips_a_highlight(transfer: int) -> None:
    color = ColorInfo(1, 9, transfer, 9)
    gray = to_sdr(np.linspace(0, 0.75, 200)[:, None].repeat(3, axis=1), color)
    np.testing.assert_allclose(gray.max(axis=1), gray.min(axis=1), atol=1e-4)
    assert (np.diff(gray[:, 0]) > 0).all()
    assert gray[-1, 0] < 1
    np.testing.assert_allclose(to_sdr(np.ones((1, 3)), color), 1, atol=1e-4)


def test_a_cube_is_as_good_as_the_formulas() -> None:
    color = ColorInfo(*HLG)
    points = np.array([line.split() for line in sdr_cube(color).decode().splitlines()[1:]], float)
    size = round(len(points) ** (1 / 3))
    middle = (np.linspace(0.1, 0.9, size - 1) // (1 / (size - 1)) + 0.5) / (size - 1)
    gray = points[[n * (1 + size + size * size) for n in range(size)], 0]
    between = np.interp(middle, np.linspace(0, 1, size), gray)
    np.testing.assert_allclose(between, to_sdr(middle[:, None].repeat(3, axis=1), color)[:, 0], atol=1 / 255)


@pytest.mark.parametrize("compatibility", [0, 4])
def test_dolby_vision_without_another_base_layer_is_told_as_what_it_is(tmp_path: Path, compatibility: int) -> None:
    path = write_patches(tmp_path / "dolby.mp4", tags=HLG, **HEVC, **TEN_BIT)
    profile, level, flags = 8 if compatibility else 5, 3, 0b101
    record = bytes([1, 0, *(profile << 9 | level << 3 | flags).to_bytes(2, "big"), compatibility << 4]) + bytes(19)
    box = (8 + len(record)).to_bytes(4, "big") + b"dvcC" + record
    inside = (b"moov", b"trak", b"mdia", b"minf", b"stbl", b"stsd", b"hev1")
    path.write_bytes(inserted_box(path.read_bytes(), inside, box))
    if compatibility:  # phones write profile 8.4, whose base layer is HLG
        assert probe(path).color == SDR
    else:
        with pytest.raises(UnsupportedVideoError, match=r"dolby\.mp4: Dolby Vision profile 5.*Export it as SDR"):
            probe(path)


def joined(path: Path, *parts: Path) -> Path:
    """Transport streams one after the other, with timestamps that go on."""
    with av.open(str(path), "w") as output:
        streams: list[av.VideoStream] = []
        end = 0
        for part in parts:
            with av.open(str(part)) as container:
                source = container.streams.video[0]
                streams = streams or [output.add_stream_from_template(source)]
                first = None
                for packet in container.demux(source):
                    if packet.dts is None or packet.pts is None:
                        continue
                    first = packet.pts if first is None else first
                    packet.pts, packet.dts = packet.pts - first + end, packet.dts - first + end
                    packet.stream = streams[0]
                    output.mux(packet)
            end += 25 * 3600
    return path


@pytest.mark.parametrize(
    ("first", "second", "change"),
    [
        ({}, {"color_range": 2, "tags": (2, 2, 2, 2)}, "from SDR BT.601 to SDR BT.601 full range"),
        ({"color_range": 2, "tags": (2, 2, 2, 2)}, {"tags": (1, 6, 6, 6)}, "from SDR BT.601 full range to SDR BT.601"),
        ({}, {"matrix": 1, "tags": (1, 1, 1, 1)}, "from SDR BT.601 to SDR BT.709"),
        ({"matrix": 1, "tags": (1, 1, 1, 1)}, {"wide": True, "tags": HLG}, "from SDR BT.709 to HLG BT.2020"),
        ({"wide": True, "tags": HLG}, {"tags": (1, 6, 6, 6)}, "from HLG BT.2020 to SDR BT.601"),
    ],
)
def test_colors_that_change_in_mid_stream_are_brought_into_one_form(
    tmp_path: Path, first: dict[str, Any], second: dict[str, Any], change: str
) -> None:
    parts = [write_patches(tmp_path / f"{n}.ts", frames=25, **given) for n, given in enumerate((first, second))]
    video = probe(joined(tmp_path / "joined.ts", *parts))
    with VideoReader(video) as reader:
        frames = list(reader)
    assert len(frames) == 50
    assert {frame.color for frame in frames} == {video.color}
    assert [f"first at 1.0 s ({change})" in note for note in reader.notes] == [True]
    for frame in (frames[0], frames[-1]):
        np.testing.assert_allclose(rgb_of_patches(frame.bgr()[..., ::-1])[1:], PATCHES[1:].astype(int), atol=12)


def test_tags_that_change_nothing_to_see_are_not_told(tmp_path: Path) -> None:
    tags = ((1, 2, 2, 2), (1, 5, 6, 5))
    parts = [write_patches(tmp_path / f"{n}.ts", frames=25, tags=each) for n, each in enumerate(tags)]
    video = probe(joined(tmp_path / "joined.ts", *parts))
    with VideoReader(video) as reader:
        assert len(list(reader)) == 50
    assert reader.notes == []
