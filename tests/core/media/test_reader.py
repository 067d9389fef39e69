from __future__ import annotations

import gc
from collections.abc import Sequence
from contextlib import suppress
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import psutil
import pytest

from dualface_core.errors import MissingInputError, UnreadableVideoError
from dualface_core.media.frames import Frame
from dualface_core.media.probe import VideoInfo, probe
from dualface_core.media.reader import VideoReader, frames_at
from tests.core.media.conftest import VARIABLE_PTS, MakeClip, number_of

MILLISECONDS = Fraction(1, 1000)
RED, BLUE = (200, 40, 40), (40, 40, 200)

OUT_OF_ORDER = {"bf": "3", "g": "5"}
QUIET_X265 = {"x265-params": "log-level=none"}
CONTAINERS = [
    ("order.mp4", {"options": OUT_OF_ORDER}),
    ("order.mkv", {"options": OUT_OF_ORDER}),
    ("order.ts", {"options": OUT_OF_ORDER}),
    ("order.avi", {"codec": "mpeg4", "options": {"bf": "2"}}),
    ("program.mpg", {"codec": "mpeg2video", "options": {"bf": "2", "b": "2M"}}),
    ("open-gop.mp4", {"options": {"x264-params": "open-gop=1:keyint=12:bframes=3"}}),
    ("open-gop.mkv", {"options": {"x264-params": "open-gop=1:keyint=12:bframes=3"}}),
    ("hevc.mp4", {"codec": "libx265", "options": {"x265-params": "open-gop=1:keyint=12:bframes=3:log-level=none"}}),
    (
        "hidden-frames.webm",
        {"codec": "libvpx-vp9", "options": {"auto-alt-ref": "1", "lag-in-frames": "16", "b": "200k"}},
    ),
]


def numbers_at(video: VideoInfo, indexes: Sequence[int], pts: Sequence[int]) -> list[int]:
    with VideoReader(video) as reader:
        return [number_of(frame) for frame in reader.at(indexes, pts)]


def mean_rgb(frame: Frame, columns: slice, rows: slice) -> tuple[int, ...]:
    image = frame.bgr()[rows, columns].reshape(-1, 3).mean(axis=0)
    return tuple(round(float(level)) for level in image[::-1])


def assert_colors(frame: Frame, left: tuple[int, int, int], right: tuple[int, int, int]) -> None:
    """The lower half is of one color on the left and of another on the right."""
    rows = slice(frame.height * 5 // 8, frame.height * 7 // 8)
    assert mean_rgb(frame, slice(frame.width // 8, frame.width * 3 // 8), rows) == pytest.approx(left, abs=4)
    assert mean_rgb(frame, slice(frame.width * 5 // 8, frame.width * 7 // 8), rows) == pytest.approx(right, abs=4)


@pytest.mark.parametrize(("name", "choices"), CONTAINERS, ids=[name for name, _ in CONTAINERS])
def test_every_frame_comes_once_in_the_order_of_its_timestamps(
    make_clip: MakeClip, name: str, choices: dict[str, object]
) -> None:
    video = probe(make_clip(name, pts=range(40), **choices))
    with VideoReader(video) as reader:
        seen = [(frame.index, number_of(frame), frame.pts, frame.time) for frame in reader]
    assert [number for _, number, _, _ in seen] == list(range(40))
    assert [index for index, _, _, _ in seen] == list(range(40))
    assert video.frame_count == 40
    assert (seen[0][2], seen[-1][2]) == (video.first_pts, video.last_pts)
    steps = np.diff([time for _, _, _, time in seen])
    np.testing.assert_allclose(steps, 1 / 15, atol=0.001)


@pytest.mark.parametrize(("name", "choices"), CONTAINERS, ids=[name for name, _ in CONTAINERS])
def test_any_single_frame_can_be_fetched(make_clip: MakeClip, name: str, choices: dict[str, object]) -> None:
    video = probe(make_clip(name, pts=range(40), **choices))
    with VideoReader(video) as reader:
        pts = [frame.pts for frame in reader]
    assert [numbers_at(video, [index], [pts[index]]) for index in range(40)] == [[n] for n in range(40)]
    assert numbers_at(video, range(40), pts) == list(range(40))


@pytest.mark.parametrize("suffix", ["mp4", "mkv"])
def test_timestamps_of_a_variable_rate_are_exact(make_clip: MakeClip, suffix: str) -> None:
    video = probe(make_clip(f"variable.{suffix}", pts=VARIABLE_PTS, time_base=MILLISECONDS, options=OUT_OF_ORDER))
    with VideoReader(video) as reader:
        seen = [(frame.pts * video.time_base, number_of(frame), frame.time) for frame in reader]
    assert seen == [(time * MILLISECONDS, number, time / 1000) for number, time in enumerate(VARIABLE_PTS)]


def test_frames_far_apart_are_found_by_seeking(make_clip: MakeClip) -> None:
    video = probe(make_clip("long.mp4", size=(32, 32), pts=range(600), options={"g": "30"}))
    step = round(Fraction(1, 15) / video.time_base)
    wanted = [0, 1, 200, 201, 450, 599]
    pts = [n * step for n in wanted]
    with VideoReader(video) as reader:
        one_by_one = list(reader.at(wanted, pts))
    for frames in (one_by_one, frames_at(video, wanted, pts)):
        assert [(frame.index, frame.pts, number_of(frame)) for frame in frames] == [
            (n, n * step, n % 64) for n in wanted
        ]


def test_a_frame_that_the_file_does_not_have_is_left_out(make_clip: MakeClip) -> None:
    video = probe(make_clip("short.mp4"))
    assert numbers_at(video, [3, 99], [3 * 1024, 99 * 1024]) == [3]


@pytest.mark.parametrize("aspect", [Fraction(4, 3), Fraction(1, 2)])
def test_pixels_are_made_square(make_clip: MakeClip, aspect: Fraction) -> None:
    video = probe(make_clip("wide.mp4", aspect=aspect))
    with VideoReader(video) as reader:
        frame = list(reader)[7]
    assert Fraction(frame.width, frame.height) == Fraction(96, 64) * aspect
    assert number_of(frame) == 7
    assert_colors(frame, RED, BLUE)


@pytest.mark.parametrize(
    ("name", "choices"),
    [
        ("limited.mp4", {}),
        ("full.mp4", {"pixel_format": "yuvj420p"}),
        ("bt709.mp4", {"color": {"colorspace": 1}}),
        ("422.mp4", {"pixel_format": "yuv422p"}),
        ("full-422.avi", {"codec": "mjpeg", "pixel_format": "yuvj422p"}),
        ("444.mp4", {"pixel_format": "yuv444p"}),
        ("ten.mp4", {"codec": "libx265", "pixel_format": "yuv420p10le", "options": QUIET_X265}),
        ("ten-full.mkv", {"codec": "ffv1", "pixel_format": "yuv420p10le", "color": {"color_range": 2}}),
        ("prores.mov", {"codec": "prores_ks", "pixel_format": "yuv422p10le"}),
        ("rgb.mp4", {"codec": "libx264rgb", "pixel_format": "rgb24"}),
        ("rgb-hd.mp4", {"codec": "libx264rgb", "pixel_format": "rgb24", "size": (1280, 720)}),
        ("rgb.avi", {"codec": "rawvideo", "pixel_format": "bgr24"}),
        ("odd.mkv", {"codec": "ffv1", "size": (97, 63)}),
        ("nv12.mkv", {"codec": "rawvideo", "pixel_format": "nv12"}),
    ],
)  # fmt: skip
def test_any_coding_comes_out_as_8_bit_planes_of_the_right_colors(
    make_clip: MakeClip, name: str, choices: dict[str, object]
) -> None:
    video = probe(make_clip(name, pts=range(3), **choices))
    with VideoReader(video) as reader:
        frame = list(reader)[2]
    luma, u, v = frame.planes
    assert luma.dtype == u.dtype == v.dtype == np.uint8
    assert luma.shape == (video.height, video.width)
    assert u.shape == v.shape == ((video.height + 1) // 2, (video.width + 1) // 2)
    assert number_of(frame) == 2
    assert_colors(frame, RED, BLUE)


@pytest.mark.parametrize(
    ("codec", "pixel_format", "color"),
    [
        ("ffv1", "yuv420p", {}),
        ("ffv1", "yuv422p", {}),
        ("ffv1", "yuv444p", {}),
        ("ffv1", "yuv444p10le", {}),
        ("ffv1", "yuv444p16le", {"color_primaries": 9, "color_trc": 16, "colorspace": 9, "color_range": 1}),
        ("mjpeg", "yuvj420p", {}),
        ("mjpeg", "yuvj422p", {}),
        ("mjpeg", "yuvj444p", {}),
    ],
)
def test_a_frame_says_where_its_chroma_lies(
    tmp_path: Path, codec: str, pixel_format: str, color: dict[str, int]
) -> None:
    """Chroma that rises from column to column is none in the middle of the picture; so it is in what is read."""
    path, (width, height) = tmp_path / "ramp.mkv", (64, 16)
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=15, options={"qmin": "1", "qmax": "1"} if codec == "mjpeg" else {})
        stream.width, stream.height, stream.pix_fmt = width, height, pixel_format
        for name, value in color.items():
            setattr(stream.codec_context, name, value)
        frame = av.VideoFrame(width, height, pixel_format)
        deep = frame.format.components[0].bits - 8
        for number, plane in enumerate(frame.planes):
            per_sample = width // plane.width
            first = 0.5 if codec == "mjpeg" and per_sample == 2 else 0.0
            place = first + per_sample * np.arange(plane.width)
            values = {0: 120 + 0 * place, 1: 128 + 2 * (place - 31.5), 2: 128 - 2 * (place - 31.5)}[number]
            row = np.round(values * 2**deep).astype(np.uint16 if deep else np.uint8).tobytes()
            plane.update(b"".join(row.ljust(plane.line_size, b"\0") for _ in range(plane.height)))
        frame.pts = 0
        container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    with VideoReader(probe(path)) as reader:
        (read,) = reader
    columns = 2 * np.arange(14, 18) + read.siting[0]
    for chroma in read.planes[1:]:
        slope, offset = np.polyfit(columns, chroma[4, 14:18].astype(float) - 128, 1)
        assert -offset / slope == pytest.approx(31.5, abs=0.2)


def test_a_frame_stays_as_it_is_while_it_is_held(make_clip: MakeClip) -> None:
    with VideoReader(probe(make_clip("held.mp4", pts=range(40)))) as reader:
        held = list(reader)
    gc.collect()
    assert [number_of(frame) for frame in held] == list(range(40))


def test_skipping_the_loop_filter_changes_neither_count_nor_times(make_clip: MakeClip) -> None:
    video = probe(make_clip("filtered.mp4", size=(180, 100), options=OUT_OF_ORDER | {"crf": "36"}))
    with VideoReader(video) as full, VideoReader(video, loop_filter=False, threads=1) as quick:
        pairs = list(zip(full, quick, strict=True))
    assert all(a.pts == b.pts and number_of(a) == number_of(b) for a, b in pairs)
    assert any((a.planes[0] != b.planes[0]).any() for a, b in pairs)


def test_a_reader_decodes_with_no_more_threads_than_a_container_has_cores(
    make_clip: MakeClip, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("dualface_core.media.reader.machine_cores", lambda: 1)
    with VideoReader(probe(make_clip("clip.mp4"))) as reader:
        assert next(iter(reader)).index == 0
        assert reader._threads == 1


def test_a_damaged_file_is_reported_by_name(make_clip: MakeClip) -> None:
    path = make_clip("damaged.mkv", pts=range(60), options={"g": "60"})
    video = probe(path)
    content = bytearray(path.read_bytes())
    content[len(content) // 3 : len(content) * 2 // 3] = bytes(len(content) * 2 // 3 - len(content) // 3)
    path.write_bytes(content)
    with VideoReader(video) as reader, pytest.raises(UnreadableVideoError, match=r"damaged\.mkv: decoding failed"):
        list(reader)


def test_a_file_that_is_gone_is_reported_by_name(make_clip: MakeClip) -> None:
    video = probe(make_clip("gone.mp4"))
    video.path.unlink()
    with pytest.raises(MissingInputError, match=r"gone\.mp4"):
        VideoReader(video)


def test_a_reader_closes_its_file_even_when_left_by_an_error(make_clip: MakeClip) -> None:
    video = probe(make_clip("closed.mp4"))
    with suppress(KeyError), VideoReader(video) as reader:
        next(iter(reader))
        next(reader.at([0], [0]))
        raise KeyError
    assert Path(video.path) not in {Path(file.path) for file in psutil.Process().open_files()}


@pytest.mark.parametrize(
    ("other", "left", "top", "said"),
    [
        ({"size": (64, 96)}, 26, 0, "from 96x64 to 64x96"),
        ({"size": (48, 32)}, 0, 0, "from 96x64 to 48x32"),
        ({"size": (96, 40)}, 0, 12, "from 96x64 to 96x40"),
        ({"aspect": Fraction(3, 4)}, 12, 0, "of its pixels"),
    ],
)
def test_a_picture_of_another_shape_is_fitted_into_the_first_with_bars(
    make_clip: MakeClip, other: dict[str, Any], left: int, top: int, said: str
) -> None:
    first, second = make_clip("first.ts"), make_clip("second.ts", pts=range(12, 24), **other)
    path = first.with_name("call.ts")
    path.write_bytes(first.read_bytes() + second.read_bytes())
    with VideoReader(probe(path)) as reader:
        frames = list(reader)
    assert [frame.planes[0].shape for frame in frames] == 24 * [(64, 96)]
    assert [number_of(frame) for frame in frames[:10]] == list(range(10))
    luma = frames[20].planes[0]
    picture = luma[top : 64 - top, left : 96 - left]
    outside = [luma[:top], luma[64 - top :], luma[:, :left], luma[:, 96 - left :]]
    assert max((part.max() for part in outside if part.size), default=16) <= 20
    below = picture[picture.shape[0] * 3 // 4].astype(int)
    assert below[: len(below) // 3].mean() - below[-len(below) // 3 :].mean() > 15
    (note,) = reader.notes
    assert note.startswith("The picture changes its shape once, first at 0.")
    assert f"({said})" in note
