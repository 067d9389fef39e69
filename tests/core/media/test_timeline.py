from __future__ import annotations

from fractions import Fraction
from itertools import pairwise
from pathlib import Path

import av
import pytest

from dualface_core.media.packets import audio_packets
from dualface_core.media.probe import VideoInfo, probe
from dualface_core.media.reader import VideoReader
from tests.core.media.conftest import MakeClip, number_of

AUDIBLE = {"audio": "mp2", "audio_seconds": 0.8, "options": {"bf": "2"}}
CODECS = {"ts": "libx264", "mkv": "libx264", "mpg": "mpeg2video"}


def shown(video: VideoInfo) -> list[tuple[int, Fraction]]:
    """The number and the time of every frame."""
    with VideoReader(video) as reader:
        return [(number_of(frame), frame.pts * video.time_base) for frame in reader]


def heard(video: VideoInfo) -> list[Fraction]:
    return [packet.start for packet in audio_packets(video.path, video.audio[0])]


def begins(path: Path) -> tuple[Fraction, Fraction]:
    """When the video and the audio of a file begin by its own clock."""
    with av.open(str(path)) as container:
        times = [(packet.stream.type, packet.pts * packet.time_base) for packet in container.demux() if packet.size]
    video, audio = (min(time for kind, time in times if kind == wanted) for wanted in ("video", "audio"))
    return video, audio


def joined(path: Path, *parts: Path) -> VideoInfo:
    path.write_bytes(b"".join(part.read_bytes() for part in parts))
    return probe(path)


@pytest.mark.parametrize("suffix", ["ts", "mpg", "mkv"])
def test_a_clock_that_starts_again_runs_on_for_video_and_audio_alike(make_clip: MakeClip, suffix: str) -> None:
    part = make_clip(f"part.{suffix}", codec=CODECS[suffix], time_base=Fraction(1, 25), **AUDIBLE)
    once, twice = probe(part), joined(part.with_name(f"twice.{suffix}"), part, part)
    frames, packets, first = shown(twice), heard(twice), shown(once)
    assert twice.frame_count == 24
    assert [number for number, _ in frames] == 2 * list(range(12))
    shift = frames[12][1] - frames[0][1]
    assert shift >= packets[len(packets) // 2 - 1] + packets[1] - packets[0]
    assert frames == first + [(number, time + shift) for number, time in first]
    assert packets == heard(once) + [time + shift for time in heard(once)]
    assert any("The clock of the file jumps once" in note for note in twice.notes)


@pytest.mark.parametrize("offset", [7, 93_600])
def test_a_clock_that_jumps_ahead_runs_on(make_clip: MakeClip, offset: int) -> None:
    first, later = (
        make_clip(
            f"{name}.ts",
            time_base=Fraction(1, 15),
            pts=range(15 * by, 15 * by + 12),
            audio_start=Fraction(by),
            **AUDIBLE,
        )
        for name, by in (("first", 0), ("later", offset))
    )
    video = joined(first.with_name("both.ts"), first, later)
    assert video.timeline.jumps == (offset > 10)
    gap = max(b - a for (_, a), (_, b) in pairwise(shown(video)))
    assert abs(gap - Fraction(94, 15) if offset < 10 else gap) < Fraction(1, 4)
    assert abs(max(b - a for a, b in pairwise(heard(video))) - gap) < Fraction(1, 4)


def test_a_pause_of_the_video_alone_stays_one(make_clip: MakeClip) -> None:
    pts = [*range(12), *range(12 * 15, 13 * 15)]
    video = probe(make_clip("pause.ts", time_base=Fraction(1, 15), pts=pts, **AUDIBLE | {"audio_seconds": 13.0}))
    (_, first), *_ = frames = shown(video)
    assert [time - first for _, time in frames] == [Fraction(number, 15) for number in pts]


@pytest.mark.parametrize("suffix", ["ts", "mkv", "mpg"])
@pytest.mark.parametrize("audio_start", [Fraction(5), Fraction(26, 5)])
def test_a_clock_that_starts_late_starts_at_0_with_its_audio_where_it_was(
    make_clip: MakeClip, suffix: str, audio_start: Fraction
) -> None:
    codec = CODECS[suffix]
    path = make_clip(
        f"late.{suffix}",
        codec=codec,
        time_base=Fraction(1, 25),
        pts=range(125, 137),
        audio_start=audio_start,
        **AUDIBLE,
    )
    video = probe(path)
    frames, packets = shown(video), heard(video)
    assert min(frames[0][1], packets[0]) == 0
    own_video, own_audio = begins(path)
    assert packets[0] - frames[0][1] == own_audio - own_video
    assert own_audio - own_video == pytest.approx(float(audio_start - 5), abs=0.011)
    assert [note for note in video.notes if "earlier than in the file" in note]


def test_a_silent_video_starts_at_0(make_clip: MakeClip) -> None:
    assert probe(make_clip("late.mkv", pts=range(75, 87))).first_pts == 0


def test_frames_of_a_late_clock_are_found_by_seeking(make_clip: MakeClip) -> None:
    video = probe(make_clip("late.ts", pts=range(75, 75 + 60), options={"g": "12", "bf": "2"}))
    times = [time for _, time in shown(video)]
    wanted = [0, 1, 30, 58]
    with VideoReader(video) as reader:
        found = list(reader.at(wanted, [round(times[index] / video.time_base) for index in wanted]))
    assert [number_of(frame) for frame in found] == wanted


def test_times_finer_than_players_count_become_microseconds(make_clip: MakeClip) -> None:
    fine = {"video_track_timescale": "2000000000"}
    video = probe(
        make_clip("fine.mp4", rate=30, time_base=Fraction(1, 30), options={"bf": "2"}, container_options=fine)
    )
    with av.open(str(video.path)) as container:
        stored = sorted(packet.pts * packet.time_base for packet in container.demux(video=0) if packet.pts is not None)
    assert min(b - a for a, b in pairwise(stored)) == Fraction(66_666_666, 2_000_000_000)
    times = [time for _, time in shown(video)]
    assert video.time_base == Fraction(1, 1_000_000)
    assert times == [round(time * 1_000_000) * video.time_base for time in stored]
    assert video.duration == pytest.approx(12 / 30, abs=1e-3)
    assert any("nearest microsecond" in note for note in video.notes)


def test_an_edit_list_that_starts_late_is_meant(make_clip: MakeClip) -> None:
    video = probe(make_clip("late.mp4", pts=range(75, 87), audio="aac", audio_start=Fraction(5)))
    assert (shown(video)[0][1], heard(video)[0]) == begins(video.path)
    assert shown(video)[0][1] == 5
    assert not video.notes


def test_a_fragment_of_a_live_stream_starts_at_0(make_clip: MakeClip) -> None:
    fragmented = {"movflags": "frag_keyframe+empty_moov+default_base_moof"}
    path = make_clip("live.mp4", container_options=fragmented)
    data = bytearray(path.read_bytes())
    place = data.index(b"tfdt") + 8  # the decoding time of the fragment's first frame
    data[place : place + 8] = (93_600 * 15_360).to_bytes(8, "big")
    path.write_bytes(data)
    video = probe(path)
    assert shown(video)[0] == (0, 0)
    assert video.timeline.shift == pytest.approx(-93_600, abs=0.2)


@pytest.mark.parametrize(("suffix", "codec"), [("h264", "libx264"), ("hevc", "libx265")])
def test_a_stream_without_timestamps_has_its_nominal_rate(make_clip: MakeClip, suffix: str, codec: str) -> None:
    video = probe(make_clip(f"raw.{suffix}", codec=codec, time_base=Fraction(1, 15), options={"bf": "2"}))
    rate = video.average_rate
    assert shown(video) == [(number, number / rate) for number in range(12)]
    assert (video.frame_count, video.duration) == (12, pytest.approx(12 / rate))
    assert any(
        f"no timestamps: its frames are shown at its nominal rate, {float(rate):g}" in note for note in video.notes
    )


@pytest.mark.parametrize(
    ("suffix", "codec"), [("avi", "libx264"), ("avi", "mpeg4"), ("mxf", "libx264"), ("mxf", "mpeg2video")]
)
def test_what_only_decoding_is_timed_of_is_shown_in_order_beside_the_audio(
    make_clip: MakeClip, suffix: str, codec: str
) -> None:
    choices = {"rate": 25, "time_base": Fraction(1, 25), "audio": "pcm_s16le", "options": {"bf": "2"}}
    path = make_clip(f"order.{suffix}", codec=codec, **choices)
    video = probe(path)
    assert shown(video) == [(number, Fraction(number, 25)) for number in range(12)]
    assert heard(video)[0] == 0


def test_placeholders_of_dropped_frames_are_pauses(make_clip: MakeClip) -> None:
    pts = [*range(5), *range(9, 16)]
    video = probe(make_clip("dropped.avi", codec="mpeg4", pts=pts, options={"bf": "0"}))
    assert shown(video) == [(number, Fraction(time, 15)) for number, time in enumerate(pts)]


@pytest.mark.parametrize("suffix", ["mkv", "mp4"])
def test_an_empty_packet_is_a_pause(make_clip: MakeClip, suffix: str) -> None:
    whole = make_clip("whole.mkv", options={"bf": "0"})
    path = whole.with_name(f"empty.{suffix}")
    with av.open(str(whole)) as source, av.open(str(path), "w") as target:
        stream = target.add_stream_from_template(source.streams.video[0])
        for number, packet in enumerate(packet for packet in source.demux() if packet.size):
            copied = packet
            if number == 7:
                copied = av.Packet(0)
                copied.pts, copied.dts, copied.time_base = packet.pts, packet.dts, packet.time_base
            copied.stream = stream
            target.mux(copied)
    video = probe(path)
    numbers = [number for number, _ in shown(video)]
    assert numbers[:7] == list(range(7))
    assert len(numbers) == video.frame_count == 11
