from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from numpy.typing import NDArray

from dualface_core.media.frames import Frame
from dualface_core.media.probe import VideoInfo, probe
from dualface_core.media.reader import VideoReader
from tests.core.media.made_fields import field_pictures, write_field_pictures

RATE = 25
SIZE = (320, 180)
STEP = 4
"""Pixels by which the bar moves between two fields."""


def write_interlaced(path: Path, *, codec: str = "mpeg2video", interlaced: range = range(12), frames: int = 12) -> None:
    """A white bar that moves to the right; interlaced frames have two moments of it, upper lines first."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream(
            codec, rate=RATE, options={"crf": "10"} | ({"flags": "+ildct+ilme"} if interlaced else {})
        )
        stream.width, stream.height, stream.pix_fmt = (*SIZE, "yuv420p")
        graph = av.filter.Graph()
        source = graph.add_buffer(width=SIZE[0], height=SIZE[1], format="yuv420p", time_base=Fraction(1, RATE))
        marked = graph.add("setfield", "tff")
        graph.link_nodes(source, marked, graph.add("buffersink")).configure()
        for number in range(frames):
            luma = picture(2 * number, 2 * number + (number in interlaced))
            planes = np.concatenate([luma.ravel(), np.full(SIZE[0] * SIZE[1] // 2, 128, np.uint8)])
            frame = av.VideoFrame.from_ndarray(planes.reshape(SIZE[1] * 3 // 2, SIZE[0]), format="yuv420p")
            frame.pts, frame.time_base = number, Fraction(1, RATE)
            if number in interlaced:
                graph.push(frame)
                frame = graph.pull()
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))


def picture(upper: int, lower: int) -> NDArray[np.uint8]:
    """Luma of a frame: a bar, of one moment in the upper field, and of another in the lower one."""
    luma = np.full((SIZE[1], SIZE[0]), 40, np.uint8)
    luma[0::2, bar(upper)] = luma[1::2, bar(lower)] = 220
    return luma


def coded_fields() -> list[tuple[bytes, bytes]]:
    """Twelve frames of a bar that moves, each of two field pictures."""
    gray = np.full((SIZE[1] // 2, SIZE[0] // 2), 128, np.uint8)
    return list(field_pictures(((picture(2 * n, 2 * n + 1), gray, gray) for n in range(12)), RATE))


def bar(moment: int) -> slice:
    return slice(20 + STEP * moment, 60 + STEP * moment)


def read(video: VideoInfo) -> tuple[list[Frame], list[str]]:
    with VideoReader(video) as reader:
        return list(reader), reader.notes


def combing(frame: Frame) -> float:
    """How much neighboring lines differ, against lines of the same field."""
    luma = frame.planes[0].astype(np.float32)
    return float(np.abs(luma[1:] - luma[:-1]).mean() - np.abs(luma[2:] - luma[:-2]).mean())


def left_of(frame: Frame) -> float:
    """The column at which the bar begins."""
    return float(np.argmax(frame.planes[0][20:-20].mean(axis=0) > 130))


@pytest.mark.parametrize(("codec", "suffix"), [("mpeg2video", "mpg"), ("mpeg2video", "ts"), ("libx264", "mp4")])
def test_each_interlaced_frame_becomes_one_frame_without_combs(tmp_path: Path, codec: str, suffix: str) -> None:
    path = tmp_path / f"field.{suffix}"
    write_interlaced(path, codec=codec)
    video = probe(path)
    frames, notes = read(video)
    assert video.interlaced
    assert video.frame_count == len(frames) == 12
    assert [frame.pts * video.time_base * RATE for frame in frames] == pytest.approx(range(12), abs=0.05)
    assert max(map(combing, frames)) < 0.5
    assert [left_of(frame) for frame in frames] == pytest.approx([20 + 2 * STEP * n for n in range(12)], abs=2)
    assert any("12 frames are interlaced" in note and "become one frame" in note for note in notes)


@pytest.mark.parametrize("together", [False, True], ids=["in a packet each", "in one packet"])
@pytest.mark.parametrize("suffix", ["h264", "ts", "mp4", "mkv"])
def test_two_field_pictures_are_one_frame(tmp_path: Path, suffix: str, together: bool) -> None:
    path = tmp_path / f"field.{suffix}"
    write_field_pictures(path, coded_fields(), rate=RATE, together=together)
    video = probe(path)
    frames, notes = read(video)
    assert video.frame_count == len(frames) == 12
    assert (float(video.duration), video.average_rate) == (pytest.approx(12 / RATE, abs=1e-6), RATE)
    assert [frame.pts * video.time_base * RATE for frame in frames] == pytest.approx(range(12), abs=0.05)
    assert max(map(combing, frames)) < 0.5
    assert [left_of(frame) for frame in frames] == pytest.approx([20 + 2 * STEP * n for n in range(12)], abs=2)
    assert any("12 frames are interlaced" in note for note in notes)
    with VideoReader(video) as reader:
        (found,) = reader.at([7], [frames[7].pts])
    assert left_of(found) == left_of(frames[7])


def test_two_field_pictures_become_two_frames_if_that_is_asked_for(tmp_path: Path) -> None:
    write_field_pictures(tmp_path / "field.ts", coded_fields(), rate=RATE)
    video = probe(tmp_path / "field.ts", split_fields=True)
    frames, _ = read(video)
    assert video.frame_count == len(frames) == 24
    assert [frame.pts * video.time_base * RATE * 2 for frame in frames] == pytest.approx(range(24), abs=0.05)
    assert [left_of(frame) for frame in frames] == pytest.approx([20 + STEP * n for n in range(24)], abs=2)


def test_field_pictures_of_two_files_in_one_follow_each_other_without_a_gap(tmp_path: Path) -> None:
    write_field_pictures(tmp_path / "once.ts", coded_fields(), rate=RATE)
    (tmp_path / "twice.ts").write_bytes((tmp_path / "once.ts").read_bytes() * 2)
    video = probe(tmp_path / "twice.ts")
    frames, _ = read(video)
    assert [frame.pts * video.time_base * RATE for frame in frames] == pytest.approx(range(24), abs=0.05)


@pytest.mark.parametrize("salvage", [False, True])
def test_every_frame_becomes_two_if_fields_are_split_and_some_are_progressive(tmp_path: Path, salvage: bool) -> None:
    for name, interlaced in {"field.ts": range(6), "whole.ts": range(0)}.items():
        write_interlaced(tmp_path / name, interlaced=interlaced, frames=6)
    path = tmp_path / "both.ts"
    path.write_bytes(b"".join((tmp_path / name).read_bytes() for name in ("field.ts", "whole.ts", "field.ts")))
    video = probe(path, split_fields=True, salvage=salvage)
    frames, _ = read(video)
    assert video.frame_count == len(frames) == 36
    assert [frame.pts * video.time_base * RATE * 2 for frame in frames] == pytest.approx(range(36), abs=0.05)


def test_lost_frames_are_held_for_as_long_as_their_fields_if_these_are_split(tmp_path: Path) -> None:
    path = tmp_path / "field.ts"
    write_field_pictures(path, coded_fields(), rate=RATE)
    content = bytearray(path.read_bytes())
    packets = len(content) // 188
    for packet in range(packets * 5 // 12, packets * 7 // 12):
        content[188 * packet + 4 : 188 * packet + 188] = bytes(184)
    path.write_bytes(content)
    video = probe(path, split_fields=True, salvage=True)
    frames, _ = read(video)
    assert video.frame_count == len(frames)
    times = [float(frame.pts * video.time_base) for frame in frames]
    assert times == sorted(set(times))
    assert left_of(frames[-1]) == pytest.approx(20 + STEP * 23, abs=2)


def test_each_field_becomes_a_frame_if_that_is_asked_for(tmp_path: Path) -> None:
    write_interlaced(tmp_path / "field.ts")
    video = probe(tmp_path / "field.ts", split_fields=True)
    frames, _ = read(video)
    assert video.frame_count == len(frames) == 24
    assert [frame.pts for frame in frames] == [1800 * 2 * n for n in range(24)]
    assert (video.first_pts, video.last_pts, video.duration) == (0, frames[-1].pts, pytest.approx(12 / RATE))
    assert [left_of(frame) for frame in frames] == pytest.approx([20 + STEP * n for n in range(24)], abs=2)
    with VideoReader(video) as reader:
        (picked,) = reader.at([9], [frames[9].pts])
    assert np.array_equal(picked.planes[0], frames[9].planes[0])


def test_progressive_frames_among_them_stay_as_they_are(tmp_path: Path) -> None:
    parts = {"whole.ts": range(0), "field.ts": range(6)}
    for name, interlaced in parts.items():
        write_interlaced(tmp_path / name, interlaced=interlaced, frames=6)
    path = tmp_path / "both.ts"
    path.write_bytes(b"".join((tmp_path / name).read_bytes() for name in (*parts, "whole.ts")))
    frames, notes = read(probe(path))
    with av.open(str(path)) as container:
        coded = [frame.to_ndarray()[: SIZE[1]] for frame in container.decode(video=0)]
    same = [np.array_equal(frame.planes[0], luma) for frame, luma in zip(frames, coded, strict=True)]
    assert same == 6 * [True] + 6 * [False] + 6 * [True]
    assert any("6 frames are interlaced" in note for note in notes)


def test_an_interlaced_frame_is_found_by_seeking(tmp_path: Path) -> None:
    write_interlaced(tmp_path / "field.mp4", codec="libx264")
    video = probe(tmp_path / "field.mp4")
    frames, _ = read(video)
    with VideoReader(video) as reader:
        (found,) = reader.at([7], [frames[7].pts])
    assert combing(found) < 0.5
    assert left_of(found) == left_of(frames[7])
