from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from itertools import accumulate, pairwise
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dualface_core.engine.spans import Span, _seams, found_by_time, key_frames, spans
from dualface_core.errors import UnreadableVideoError
from dualface_core.media import packets
from dualface_core.media.changes import Changes
from dualface_core.media.frames import Frame
from dualface_core.media.probe import VideoInfo, probe
from dualface_core.media.reader import VideoReader
from dualface_core.system.threads import unchanged_scheduling
from tests.core.media.conftest import VARIABLE_PTS, write_clip
from tests.core.media.made_fields import write_field_pictures
from tests.core.media.test_deinterlace import coded_fields, write_interlaced

CLOSED = {"g": "12", "bf": "3"}
OPEN = {"x264-params": "open-gop=1:keyint=12:bframes=3"}
HDR = {"color_primaries": 9, "color_trc": 16, "colorspace": 9, "color_range": 1}


def x265(more: str = "") -> dict[str, str]:
    return {"x265-params": f"open-gop=1:keyint=12:bframes=3:log-level=none{more}"}


SPLIT: dict[str, dict[str, Any]] = {
    "closed.mp4": {"options": CLOSED},
    "closed.mkv": {"options": CLOSED},
    "closed.ts": {"options": CLOSED},
    "open.mp4": {"options": OPEN},
    "open.mkv": {"options": OPEN},
    "open.ts": {"options": OPEN},
    "hevc.mp4": {"codec": "libx265", "options": x265()},
    "hevc.mkv": {"codec": "libx265", "options": x265()},
    "hevc.ts": {"codec": "libx265", "options": x265()},
    "hdr.mp4": {"codec": "libx265", "options": x265(), "pixel_format": "yuv420p10le", "color": HDR},
    "ten.mkv": {"pixel_format": "yuv422p10le", "options": OPEN},
    "variable.mp4": {"pts": [710 * turn + time for turn in range(3) for time in VARIABLE_PTS[:-1]],
                     "time_base": Fraction(1, 1000), "options": {"g": "5", "bf": "2"}},
    "fine.mp4": {"options": OPEN, "container_options": {"video_track_timescale": "2000000000"}},
    "late.mp4": {"pts": range(30, 78), "options": OPEN},
    "rotated.mp4": {"turn": 90, "mirrored": True, "aspect": Fraction(4, 3), "options": CLOSED},
    "vp9.webm": {"codec": "libvpx-vp9",
                 "options": {"g": "12", "auto-alt-ref": "1", "lag-in-frames": "16", "b": "200k"}},
    "av1.mp4": {"codec": "libsvtav1", "options": {"g": "12", "preset": "12"}},
    "mpeg2.ts": {"codec": "mpeg2video", "options": {"g": "12", "bf": "2", "b": "2M"}},
    "mpeg4.mp4": {"codec": "mpeg4", "options": {"g": "12", "bf": "2", "b": "2M"}},
    "intra-refresh.mp4": {"options": {"x264-params": "intra-refresh=1:keyint=12:bframes=0"}},
    "intra-refresh.ts": {"options": {"x264-params": "intra-refresh=1:keyint=12:bframes=0"}},
    "intra-only.mov": {"codec": "prores_ks", "pixel_format": "yuv422p10le"},
    "trimmed.mp4": {"pts": range(68), "options": CLOSED},
    "one-key-frame.mp4": {"options": {"g": "250", "bf": "3"}},
}  # fmt: skip
TRIMMED = Fraction(20, 15)
"""Seconds at the begin of trimmed.mp4 that its edit list hides."""
SECONDS = 0.7
"""Of a span; key frames of the clips are 0.8 s apart."""


def copied(
    path: Path,
    *parts: Path,
    start: Fraction = Fraction(0),
    without: int = 0,
    later: Fraction = Fraction(0),
    options: dict[str, str] | None = None,
) -> None:
    """Copy the packets of clips into one file, one clip after the other. Of what is before 0, an MP4 shows nothing.

    Of each clip so many packets at its end are left out, and the next one begins so many frames later.
    """
    with av.open(str(path), "w", options=options or {}) as output:
        streams: list[av.VideoStream] = []
        for part in parts:
            with av.open(str(part)) as container:
                source = container.streams.video[0]
                streams = streams or [output.add_stream_from_template(source)]
                begin = source.start_time or 0
                packets = [packet for packet in container.demux(source) if packet.dts is not None]
                packets = packets[: len(packets) - without]
                for packet in packets:
                    shift = round(start / packet.time_base) - begin
                    packet.pts, packet.dts = packet.pts + shift, packet.dts + shift
                    packet.stream = streams[0]
                    output.mux(packet)
            start += (len(packets) + later) / 15


@pytest.fixture(scope="module", params=SPLIT)
def video(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> VideoInfo:
    path = tmp_path_factory.mktemp("clip") / request.param
    with unchanged_scheduling():  # SVT-AV1 asks for real time
        write_clip(path, **({"pts": range(48)} | SPLIT[request.param]))
    if request.param == "trimmed.mp4":
        whole = path.rename(path.with_name("whole.mp4"))
        copied(path, whole, start=-TRIMMED)
    return probe(path)


Seen = tuple[int, int, float, bytes]


def seen(frames: Iterator[Frame]) -> list[Seen]:
    """Number, pts, time and pixels of frames."""
    return [(f.index, f.pts, f.time, b"".join(np.ascontiguousarray(p).tobytes() for p in f.planes)) for f in frames]


def read_with_changes(video: VideoInfo, **choices: Any) -> tuple[list[Seen], Changes]:
    with VideoReader(video, threads=1, **choices) as reader:
        return seen(iter(reader)), reader.changes


def read(video: VideoInfo, **choices: Any) -> list[Seen]:
    return read_with_changes(video, **choices)[0]


@pytest.mark.parametrize("choices", [{}, {"loop_filter": False}], ids=str)
def test_the_frames_of_all_spans_are_those_of_one_pass(video: VideoInfo, choices: dict[str, bool]) -> None:
    parts = spans(video, seconds=SECONDS)
    assert len(parts) >= 3
    keys = [video.first_pts, *packets.key_frames(video)]
    assert key_frames(video) == [key for key in keys[1:] if key >= video.first_pts]
    assert [span.to_reach for span in parts] == [
        min(span.first_pts - key for key in keys if key <= span.first_pts) for span in parts
    ]
    assert [frame for span in parts for frame in read(video, span=span, **choices)] == read(video, **choices)


WHOLE: dict[str, tuple[dict[str, Any], ...]] = {
    "colors.ts": ({}, {"color": {"color_range": 2}}, {}),
    "shapes.ts": ({}, {"size": (64, 96)}),
    "hevc-shapes.ts": tuple({"codec": "libx265", "options": x265(), "size": size} for size in ((96, 64), (64, 96))),
    "order.avi": ({"codec": "mpeg4"},),
    "program.mpg": ({"codec": "mpeg2video"},),
    "short.mp4": ({"pts": range(12)},),
}


@pytest.mark.parametrize("name", WHOLE)
def test_what_cannot_be_split_is_one_span(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    parts = [tmp_path / f"{number}{path.suffix}" for number, _ in enumerate(WHOLE[name])]
    for part, choices in zip(parts, WHOLE[name], strict=True):
        write_clip(part, **({"pts": range(24), "options": {"g": "12"}} | choices))
    copied(path, *parts)
    video = probe(path)
    (span,) = spans(video, seconds=SECONDS)
    assert (span.first, span.stop, span.first_pts, span.stop_pts) == (0, video.frame_count, video.first_pts, None)
    assert read(video, span=span) == read(video)
    assert key_frames(video) == packets.key_frames(video)


def test_what_is_salvaged_or_may_be_damaged_or_is_coded_by_fields_is_one_span(tmp_path: Path) -> None:
    path = tmp_path / "clip.ts"
    write_clip(path, pts=range(48), options={"g": "12"})
    content = path.read_bytes()
    assert len(spans(probe(path), seconds=SECONDS)) == 4
    assert len(spans(probe(path, salvage=True), seconds=SECONDS)) == 1
    path.write_bytes(content[: 188 * 40] + content[188 * 50 :])  # a hole, which the counters of the packets show
    assert len(spans(probe(path), seconds=SECONDS)) == 1
    write_field_pictures(path, 4 * coded_fields(), rate=25)
    assert len(spans(probe(path), seconds=SECONDS)) == 1


def test_a_span_that_is_not_of_the_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "other.mp4"
    write_clip(path, pts=range(48), options={"g": "12"})
    video = probe(path)
    step = 1024
    for wrong in (Span(12, 25, 12 * step, 24 * step), Span(12, 24, 13 * step, 24 * step)):
        with pytest.raises(UnreadableVideoError, match=r"other\.mp4: from 0\.8. to 1\.60 s it has frames up to number"):
            read(video, span=wrong)


def test_interlaced_frames_are_the_same_in_spans_unless_fields_are_split(tmp_path: Path) -> None:
    path = tmp_path / "interlaced.ts"
    write_interlaced(path, interlaced=range(60), frames=60)
    video = probe(path)
    everything, changes = read_with_changes(video)
    parts = [read_with_changes(video, span=span) for span in spans(video, seconds=0.4)]
    assert len(parts) == 5
    assert [frame for frames, _ in parts for frame in frames] == everything
    joined = Changes.joined(each for _, each in parts)
    assert joined == changes
    assert any("60 frames are interlaced" in note for note in joined.notes(video))
    assert len(spans(probe(path, split_fields=True), seconds=0.4)) == 1


def test_what_changes_at_a_seam_is_told_once(tmp_path: Path) -> None:
    parts = [tmp_path / "0.mkv", tmp_path / "1.mkv"]
    for part, size in zip(parts, ((96, 64), (64, 96)), strict=True):
        write_clip(part, pts=range(24), codec="mjpeg", pixel_format="yuvj420p", size=size)
    copied(tmp_path / "both.mkv", *parts)
    video = probe(tmp_path / "both.mkv")
    everything, changes = read_with_changes(video)
    halves = [read_with_changes(video, span=span) for span in spans(video, seconds=0.8)]
    assert 24 in [frames[0][0] for frames, _ in halves]
    assert [frame for frames, _ in halves for frame in frames] == everything
    joined = Changes.joined(each for _, each in halves)
    assert joined == changes
    assert joined.notes(video)[0].startswith("The picture changes its shape once, first at 1.6 s")


@pytest.mark.parametrize("later", [Fraction(0), Fraction(1, 3)], ids=["at the same times", "between them"])
@pytest.mark.parametrize("name", ["joined.mp4", "joined.ts"])
def test_recordings_that_were_joined_so_that_they_overlap_are_split(tmp_path: Path, name: str, later: Fraction) -> None:
    part, path = tmp_path / "part.mp4", tmp_path / name
    write_clip(part, pts=range(48), options=CLOSED)
    copied(path, part, part, part, without=2, later=later)  # which are shown before the last one that is left
    video = probe(path)
    parts = spans(video, seconds=SECONDS)
    assert len(parts) >= 9
    everything = read(video)
    assert [frame for span in parts for frame in read(video, span=span)] == everything
    numbers = found_by_time(video, range(video.frame_count))
    assert len(everything) - 12 <= len(numbers) < len(everything)
    with VideoReader(video, threads=1) as reader:
        sought = seen(reader.at(numbers, [everything[number][1] for number in numbers]))
    assert sought == [everything[number] for number in numbers]


def test_no_span_begins_while_frames_are_shown_later_than_they_say_since_others_take_their_times(
    tmp_path: Path,
) -> None:
    part, path = tmp_path / "part.mp4", tmp_path / "joined.mp4"
    write_clip(part, pts=range(48), options=CLOSED)
    copied(path, part, part, without=1, options={"video_track_timescale": "15"})
    video = probe(path)
    parts = spans(video, seconds=SECONDS)
    assert [frame for span in parts for frame in read(video, span=span)] == read(video)
    assert [span.first for span in parts[-2:]] == [36, 93]  # one frame is missing before the last one


@given(st.lists(st.integers(1, 200), max_size=60), st.integers(1, 50), st.integers(1, 300))
def test_spans_are_neither_short_nor_long_and_begin_at_key_frames_if_they_can(
    gaps: list[int], least: int, rest: int
) -> None:
    keys = [0, *accumulate(gaps)]
    end = keys[-1] + rest
    edges = [0, *_seams(0, keys, end, least), end]
    for before, seam in pairwise(edges):
        assert 0 < seam - before <= 2 * least
        if seam not in keys and seam != end:
            # No key frame is near enough: the gap that the seam is in is a long one.
            following = next((key for key in keys if key > seam), end)
            assert following - max(key for key in keys if key < seam) > 2 * least
    assert edges == sorted(set(edges))
