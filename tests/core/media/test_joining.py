"""Whatever the spans, what is joined of their packets is one video, as if one encoder had made it."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import replace
from fractions import Fraction
from itertools import pairwise
from pathlib import Path

import av
import numpy as np
import pytest
from numpy.typing import NDArray

from dualface_core.encoding.settings import Codec, EncoderSettings, software_encoder
from dualface_core.media.color import ColorInfo
from dualface_core.media.encoder import Coding, Surface
from dualface_core.media.joining import EncodedSpan, SpanEncoder, SpanJoiner, UnjoinableSpansError
from dualface_core.media.probe import probe
from dualface_core.media.writer import Carried, VideoWriter
from tests.core.media.conftest import MakeClip

SIZE = (192, 128)


def coding(codec: Codec = "h264", preset: str = "fast", time_base: Fraction = Fraction(1, 1000)) -> Coding:
    encoder = software_encoder(EncoderSettings(codec=codec, preset=preset))
    return Coding(encoder, *SIZE, time_base, Fraction(24), ColorInfo(1, 1, 1, 1), threads=1)


def draw(surface: Surface, number: int) -> None:
    """Waves that move, so that all frames differ and B frames pay."""
    rows, columns = np.ogrid[: SIZE[1], : SIZE[0]]
    surface.planes[0][:] = 120 + 50 * np.sin((columns + 2 * number) / 9) + 40 * np.sin((rows + number) / 7)
    for plane in surface.planes[1:]:
        plane[:] = 128


def encode(file: Path, of: Coding, pts: Sequence[int], first: int = 0) -> EncodedSpan:
    """Encode the frames of a span, all on one surface."""
    surface = Surface.blank(*SIZE)
    with SpanEncoder(file, of) as encoder:
        for number, time in enumerate(pts, first):
            draw(surface, number)
            encoder.encode(surface, time)
        return encoder.finish()


def joined(
    target: Path, of: Coding, pts: Sequence[int], seams: Sequence[int], carried: Carried | None = None, last: int = 70
) -> list[tuple[EncodedSpan, Path]]:
    """Join spans that begin at frame 0 and at these frames; the last one is shown for `last`."""
    spans = []
    with SpanJoiner(target, of, carried or Carried(), pts=np.array(pts), end=pts[-1] + last) as joiner:
        for first, stop in pairwise([0, *seams, len(pts)]):
            file = target.with_name(f"{first}.packets")
            spans.append((encode(file, of, pts[first:stop], first), file))
            joiner.add(*spans[-1])
    return spans


def written(target: Path, of: Coding, pts: Sequence[int], last: int = 70) -> None:
    """What the writer makes of the same frames at once."""
    like = {name: getattr(of, name) for name in ("width", "height", "time_base", "average_rate", "color", "threads")}
    with VideoWriter(target, encoder=of.encoder, **like) as writer:
        for number, time in enumerate(pts):
            surface = Surface.blank(*SIZE)
            draw(surface, number)
            writer.encode(surface, time, last if time == pts[-1] else None)


def packets(path: Path) -> list[tuple[int, int, int, bytes]]:
    with av.open(str(path)) as container:
        return [(p.pts, p.dts, p.duration, bytes(p)) for p in container.demux(video=0) if p.size]


def decoded(path: Path) -> tuple[list[Fraction], list[NDArray[np.uint8]]]:
    """Times in seconds and luma of the frames, as a plain decoder gives them."""
    with av.open(str(path)) as container:
        frames = list(container.decode(video=0))
        return [f.pts * Fraction(f.time_base) for f in frames], [f.to_ndarray()[: SIZE[1]] for f in frames]


IRREGULAR = [40 * number + number % 7 + 5_000 * (number > 30) for number in range(60)]
"""Milliseconds, with a long frame in the middle."""


@pytest.mark.parametrize("codec", ["h264", "hevc", "av1"])
def test_one_span_makes_the_very_file_that_one_encoder_makes(tmp_path: Path, codec: Codec) -> None:
    of = coding(codec)
    joined(tmp_path / "joined.mp4", of, IRREGULAR, [])
    written(tmp_path / "written.mp4", of, IRREGULAR)
    assert packets(tmp_path / "joined.mp4") == packets(tmp_path / "written.mp4")


@pytest.mark.parametrize("codec", ["h264", "hevc", "av1"])
@pytest.mark.parametrize(
    ("seams", "time_base"),
    [
        ([20, 40], Fraction(1, 1000)),
        ([1, 2, 30, 31, 59], Fraction(1, 90_000)),
        ([3], Fraction(1001, 30_000)),
        ([31], Fraction(1, 15_360)),
    ],
)
def test_frames_and_times_of_joined_spans_are_those_that_went_in(
    tmp_path: Path, codec: Codec, seams: list[int], time_base: Fraction
) -> None:
    of = coding(codec, time_base=time_base)
    spans = joined(tmp_path / "joined.mp4", of, IRREGULAR, seams)
    times, frames = decoded(tmp_path / "joined.mp4")
    assert times == [time * time_base for time in IRREGULAR]
    alone = []
    for number, (span, file) in enumerate(spans):
        path = tmp_path / f"alone{number}.mp4"
        times_of_it = np.sort(span.pts)
        with SpanJoiner(path, of, Carried(), pts=times_of_it, end=int(times_of_it[-1]) + 40) as joiner:
            joiner.add(span, file)
        alone += decoded(path)[1]
    assert len(frames) == len(alone)
    assert all(np.array_equal(a, b) for a, b in zip(frames, alone, strict=True))


@pytest.mark.parametrize("codec", ["h264", "hevc", "av1"])
@pytest.mark.parametrize("preset", ["fast", "balanced"])
def test_a_joined_video_begins_and_ends_as_one_from_a_single_encoder(tmp_path: Path, codec: Codec, preset: str) -> None:
    of = coding(codec, preset)
    pts = [40 * number + 333 for number in range(16)]
    joined(tmp_path / "joined.mp4", of, pts, [1, 7, 14], last=2_500)
    written(tmp_path / "written.mp4", of, pts, last=2_500)
    found, expected = probe(tmp_path / "joined.mp4"), probe(tmp_path / "written.mp4")
    alike = ("frame_count", "time_base", "average_rate", "duration", "first_pts", "last_pts", "last_duration", "codec")
    assert [getattr(found, name) for name in alike] == [getattr(expected, name) for name in alike]
    assert sorted(packet[1] for packet in packets(found.path)) == sorted(packet[1] for packet in packets(expected.path))
    assert 0 < found.path.read_bytes().index(b"moov") < found.path.read_bytes().index(b"mdat")


@pytest.mark.parametrize("codec", ["h264", "hevc"])
def test_decoding_times_leave_room_for_the_b_frames_of_every_span(tmp_path: Path, codec: Codec) -> None:
    joined(tmp_path / "joined.mp4", coding(codec, "best"), IRREGULAR, [1, 25, 26, 50])
    with av.open(str(tmp_path / "joined.mp4")) as container:
        coded = [packet for packet in container.demux(video=0) if packet.size]
    times = [packet.dts for packet in coded]
    assert times == sorted(set(times))
    assert all(packet.dts <= packet.pts for packet in coded)
    assert [packet.pts for packet in coded] != sorted(packet.pts for packet in coded)


@pytest.mark.skipif(shutil.which("ffprobe") is None, reason="no ffprobe")
@pytest.mark.parametrize("codec", ["h264", "hevc", "av1"])
def test_ffprobe_sees_one_stream_with_one_set_of_headers(tmp_path: Path, make_clip: MakeClip, codec: Codec) -> None:
    audio = probe(make_clip("audio.mp4", audio="aac"))
    carried = Carried(audio.path, audio.audio)
    joined(tmp_path / "joined.mp4", coding(codec), IRREGULAR, [20, 40], carried)
    asked = ["ffprobe", "-v", "warning", "-show_streams", "-show_packets", "-of", "json", str(tmp_path / "joined.mp4")]
    answer = subprocess.run(asked, capture_output=True, text=True, check=True)
    found = json.loads(answer.stdout)
    assert answer.stderr == ""
    assert [stream["codec_type"] for stream in found["streams"]] == ["video", "audio"]
    assert found["streams"][0]["color_space"] == "bt709"
    coded = [packet for packet in found["packets"] if packet["codec_type"] == "video"]
    assert sorted(round(1000 * float(packet["pts_time"])) for packet in coded) == IRREGULAR
    assert [number for number, packet in enumerate(coded) if "K" in packet["flags"]][:3] == [0, 20, 40]


def test_spans_that_were_not_coded_alike_are_not_joined(tmp_path: Path) -> None:
    pts = np.arange(0, 400, 40)
    other = replace(coding(), color=ColorInfo(1, 6, 6, 6))
    first, second = (
        encode(tmp_path / name, of, pts[part].tolist())
        for name, of, part in (("a", coding(), slice(5)), ("b", other, slice(5, None)))
    )
    joiner = SpanJoiner(tmp_path / "t.mp4", coding(), Carried(), pts=pts, end=400)
    joiner.add(first, tmp_path / "a")
    with pytest.raises(UnjoinableSpansError, match="different headers"), joiner:
        joiner.add(second, tmp_path / "b")


def test_spans_out_of_order_are_not_joined(tmp_path: Path) -> None:
    pts = np.arange(0, 400, 40)
    span = encode(tmp_path / "a", coding(), pts[5:].tolist())
    with (
        pytest.raises(UnjoinableSpansError, match="other frames than 0 to 4"),
        SpanJoiner(tmp_path / "t.mp4", coding(), Carried(), pts=pts, end=400) as joiner,
    ):
        joiner.add(span, tmp_path / "a")


def test_a_file_of_packets_that_is_cut_or_changed_is_noticed(tmp_path: Path) -> None:
    file = tmp_path / "span.packets"
    span = encode(file, coding(), range(0, 400, 40))
    assert span.is_in(file)
    whole = file.read_bytes()
    for damaged in (whole[:-1], whole + b"\0", bytes([whole[0] ^ 1]) + whole[1:]):
        file.write_bytes(damaged)
        assert not span.is_in(file)
