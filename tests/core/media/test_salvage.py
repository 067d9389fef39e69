from __future__ import annotations

import random
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from dualface_core import pipeline
from dualface_core.encoding.settings import EncoderSettings, software_encoder
from dualface_core.errors import NobodyFoundError, UnreadableVideoError
from dualface_core.media.audio_streams import AudioInfo
from dualface_core.media.probe import VideoInfo, probe
from dualface_core.media.reader import VideoReader
from dualface_core.media.salvage import Stretches
from dualface_core.media.writer import VideoWriter
from dualface_core.verification.audio import audio_blocks, content_finding
from dualface_core.verification.findings import Finding
from tests.core.media.conftest import MakeClip, number_of

FRAMES = {"pts": range(60), "options": {"g": "20", "bf": "2"}}
FASTSTART = FRAMES | {"container_options": {"movflags": "faststart"}}


def packets(path: Path) -> list[tuple[int, int]]:
    """Where the packets of the video lie: position and size in bytes."""
    with av.open(str(path)) as container:
        return [(p.pos or 0, p.size) for p in container.demux(container.streams.video[0]) if p.size]


def without_a_packet(path: Path, seed: random.Random) -> None:
    """Zeros in place of a slice in the middle: nothing of it can be decoded."""
    position, size = seed.choice(packets(path)[25:35])
    content = bytearray(path.read_bytes())
    content[position : position + size] = bytes(size)
    path.write_bytes(content)


def flipped(path: Path, seed: random.Random) -> None:
    """Bytes that are wrong within the slice of a key frame: a decoder conceals what it can."""
    content = bytearray(path.read_bytes())
    position, size = max(packets(path)[10:30], key=lambda packet: packet[1])
    for _ in range(4):
        content[position + size // 2 + seed.randrange(size // 2)] ^= 0xFF
    path.write_bytes(content)


def cut(path: Path, seed: random.Random) -> None:
    """The rest of the file is missing."""
    content = path.read_bytes()
    path.write_bytes(content[: len(content) * seed.randrange(55, 75) // 100])


def without_transport_packets(path: Path, seed: random.Random) -> None:
    """A few transport packets that were not received."""
    content = path.read_bytes()
    begin = len(content) // 188 // 2 + seed.randrange(5)
    path.write_bytes(content[: begin * 188] + content[(begin + 12) * 188 :])


def shown(path: Path, *, salvage: bool) -> tuple[list[tuple[int, int]], VideoReader]:
    """Time in units of the time base and number of every frame, and the reader that has read them."""
    with VideoReader(probe(path, salvage=salvage)) as reader:
        return [(frame.pts, number_of(frame)) for frame in reader], reader


@pytest.mark.parametrize("seed", range(4))
def test_the_last_good_frame_is_held_where_one_cannot_be_decoded(make_clip: MakeClip, seed: int) -> None:
    path = make_clip("talk.mp4", **FRAMES)
    intact, _ = shown(path, salvage=False)
    without_a_packet(path, random.Random(seed))
    with pytest.raises(UnreadableVideoError, match=r"decoding failed behind 1\.\d\d s .* run with --salvage"):
        shown(path, salvage=False)
    salvaged, reader = shown(path, salvage=True)
    assert [pts for pts, _ in salvaged] == [pts for pts, _ in intact]
    ((begin, end),) = reader.lost
    assert end - begin == pytest.approx(1 / 15)
    (lost,) = [number for number in range(60) if begin - 0.01 < number / 15 < end - 0.01]
    assert salvaged[lost][1] == lost - 1
    assert [number for _, number in salvaged[40:]] == list(range(40, 60))  # from the next key frame on
    assert reader.notes[0] == (
        f"Frames are lost to damage, and the last good one is held instead: {begin:.2f} to {end:.2f} s."
    )


@pytest.mark.parametrize("seed", range(3))
def test_what_a_decoder_conceals_is_refused_or_salvaged_and_told(make_clip: MakeClip, seed: int) -> None:
    path = make_clip("talk.mp4", size=(320, 180), **FRAMES)
    flipped(path, random.Random(seed))
    with pytest.raises(UnreadableVideoError, match=r"talk\.mp4: damaged at 1\.\d\d s\. .* run with --salvage"):
        shown(path, salvage=False)
    frames, reader = shown(path, salvage=True)
    assert len(frames) == 60
    (note,) = reader.notes
    assert note.startswith("Frames are damaged, or depend on damaged ones, and may look so: 1.")


@pytest.mark.parametrize("seed", range(2))
@pytest.mark.parametrize(
    ("name", "choices", "promised"),
    [("talk.mp4", FASTSTART, "cut off at"), ("talk.mkv", FRAMES, "cut off at"), ("talk.ts", FRAMES, None)],
)
def test_of_a_file_that_is_cut_off_the_part_before_is_salvaged(
    make_clip: MakeClip, name: str, choices: dict[str, object], promised: str | None, seed: int
) -> None:
    path = make_clip(name, size=(320, 180), **choices)
    cut(path, random.Random(seed))
    if promised:
        with pytest.raises(UnreadableVideoError, match=rf"{promised} \d\.\d\d s: .* run with --salvage"):
            probe(path)
    salvaged, _ = shown(path, salvage=True)
    assert 25 < len(salvaged) < 50
    assert [number for _, number in salvaged[:-1]] == list(range(len(salvaged) - 1))
    if promised:
        (note,) = probe(path, salvage=True).notes
        assert note.startswith(f"The source is {promised}")


def test_a_file_that_was_cut_off_before_its_index_cannot_be_salvaged(make_clip: MakeClip) -> None:
    path = make_clip("talk.mp4", size=(320, 180), **FRAMES)
    cut(path, random.Random(0))
    with pytest.raises(UnreadableVideoError, match="cut off before its index was written"):
        probe(path, salvage=True)


def test_where_nobody_is_found_for_damage_that_is_said(make_clip: MakeClip) -> None:
    path = make_clip("talk.mp4", size=(320, 180), **FRAMES)
    with pytest.raises(NobodyFoundError):
        pipeline.track(probe(path))
    flipped(path, random.Random(0))
    for salvage, said in ((False, r"damaged at 1\.\d\d s\. .*--salvage"), (True, r"no face .* damaged at 1\.\d\d to ")):
        with pytest.raises(UnreadableVideoError, match=said):
            pipeline.track(probe(path, salvage=salvage))


@pytest.mark.parametrize(
    ("codec", "name"), [("libx264", "talk.ts"), ("mpeg2video", "talk.ts"), ("mpeg2video", "talk.mpg")]
)
def test_a_recording_may_begin_between_key_frames_and_end_within_a_frame(
    make_clip: MakeClip, codec: str, name: str
) -> None:
    path = make_clip(name, size=(320, 180), rate=25, codec=codec, **FRAMES)
    content = path.read_bytes()
    begin, end = (len(content) * share // 100 // 188 * 188 for share in (20, 80))
    path.write_bytes(content[: 3 * 188 if name == "talk.ts" else 0] + content[begin:end])
    frames, _ = shown(path, salvage=False)
    assert 20 < len(frames) < 50


@pytest.mark.parametrize("salvage", [False, True])
def test_packets_that_were_not_received_are_told(make_clip: MakeClip, salvage: bool) -> None:
    path = make_clip("talk.ts", size=(320, 180), **FRAMES)
    without_transport_packets(path, random.Random(0))
    frames, reader = shown(path, salvage=salvage)
    assert len(frames) < 60
    assert min(np.diff([pts for pts, _ in frames])) >= 6000  # no frame comes late, at a time that it never had
    assert reader.lost
    assert any(note.startswith("Frames are lost to damage") for note in reader.notes)


def test_every_pass_over_a_damaged_video_finds_the_same_frames(make_clip: MakeClip) -> None:
    path = make_clip("talk.mp4", size=(320, 180), **FRAMES)
    without_a_packet(path, random.Random(1))
    flipped(path, random.Random(1))
    video = probe(path, salvage=True)
    with VideoReader(video) as reader:
        frames = list(reader)
    with VideoReader(video, threads=4) as reader:
        numbers = [0, 26, 28, 30, 31, 33, 59]
        again = list(reader.at(numbers, [frames[number].pts for number in numbers]))
    assert [frame.index for frame in again] == numbers
    for frame in again:
        assert np.array_equal(frame.planes[0], frames[frame.index].planes[0])


@pytest.mark.parametrize("name", ["talk.mp4", "talk.mkv", "talk.ts"])
def test_an_intact_video_is_read_the_same_with_salvage(make_clip: MakeClip, name: str) -> None:
    path = make_clip(name, **FRAMES)
    plain, salvaged = shown(path, salvage=False), shown(path, salvage=True)
    assert plain[0] == salvaged[0]
    assert (salvaged[1].lost, salvaged[1].notes) == ([], [])


def with_broken_audio(source: Path, target: Path) -> None:
    """The same, with noise in place of the packets of audio from 1 s to 1.5 s."""
    with av.open(str(source)) as whole, av.open(str(target), "w") as broken:
        streams = {stream.index: broken.add_stream_from_template(stream) for stream in whole.streams}
        for packet in whole.demux():
            if not packet.size:
                continue
            time = float((packet.pts or 0) * packet.time_base)
            if packet.stream.type == "audio" and 1 <= time < 1.5:
                noise = av.Packet(b"\xff" * packet.size)
                noise.pts, noise.dts, noise.duration = packet.pts, packet.dts, packet.duration
                noise.time_base, noise.stream = packet.time_base, streams[packet.stream.index]
                broken.mux(noise)
            else:
                packet.stream = streams[packet.stream.index]
                broken.mux(packet)


def test_audio_that_cannot_be_decoded_is_silent_and_the_rest_stays_in_its_place(
    make_clip: MakeClip, tmp_path: Path
) -> None:
    whole = make_clip("whole.mkv", audio="vorbis", audio_seconds=3.0, **FRAMES)
    path = tmp_path / "broken.mkv"
    with_broken_audio(whole, path)
    with pytest.raises(UnreadableVideoError, match=r"audio cannot be read behind [01]\.\d\d s .* run with --salvage"):
        written(probe(path), tmp_path / "refused.mp4")
    video = probe(path, salvage=True)
    ((begin, end),) = video.audio[0].lost
    assert (begin, end) == pytest.approx((1.0, 1.5), abs=0.05)
    assert video.notes == (f"Audio track 1 is damaged at {begin:.2f} to {end:.2f} s; the result is silent there.",)
    result = written(video, tmp_path / "result.mp4")
    salvaged, whole_track = (video.path, video.audio[0]), (whole, probe(whole).audio[0])
    assert content(result, salvaged).passed
    assert content(result, whole_track).value == pytest.approx(0.5, abs=0.25)


def test_damaged_audio_that_is_copied_is_told(make_clip: MakeClip, tmp_path: Path) -> None:
    path = tmp_path / "broken.mp4"
    with_broken_audio(make_clip("whole.mp4", audio="aac", audio_seconds=3.0, **FRAMES), path)
    (note,) = probe(path, salvage=True).notes
    assert note.startswith("Audio track 1 is damaged at ")
    assert note.endswith(" s; its packets are kept, and players may be silent there.")


def content(result: tuple[Path, AudioInfo], source: tuple[Path, AudioInfo]) -> Finding:
    """Whether the audio of two files is the same."""
    ours, theirs = (audio_blocks(path, track, start=0.0, channels=2) for path, track in (result, source))
    return content_finding(ours, theirs)


def written(video: VideoInfo, target: Path) -> tuple[Path, AudioInfo]:
    """The video encoded anew with its audio: the file, and its audio track."""
    like = {name: getattr(video, name) for name in ("width", "height", "time_base", "color", "average_rate")}
    encoder = software_encoder(EncoderSettings())
    with (
        VideoReader(video) as reader,
        VideoWriter(target, encoder=encoder, **like, audio_from=video.path, audio=video.audio) as writer,
    ):
        for frame in reader:
            writer.write(frame.planes, frame.pts)
    return target, probe(target).audio[0]


@pytest.mark.parametrize("salvage", [False, True])
def test_streams_that_were_joined_are_not_called_damaged(make_clip: MakeClip, salvage: bool) -> None:
    path = make_clip("talk.ts", pts=range(60), options={"g": "20", "bf": "0"})
    path.write_bytes(path.read_bytes() * 2)
    frames, reader = shown(path, salvage=salvage)
    assert [number for _, number in frames] == [*range(60), *range(60)]
    assert (reader.lost, reader.notes) == ([], [])


def test_a_stream_that_appears_in_the_middle_is_no_damage(make_clip: MakeClip, tmp_path: Path) -> None:
    path = tmp_path / "joined.ts"
    silent, loud = make_clip("silent.ts", **FRAMES), make_clip("loud.ts", audio="aac", audio_seconds=3.0, **FRAMES)
    path.write_bytes(silent.read_bytes() + loud.read_bytes())
    frames, reader = shown(path, salvage=False)
    assert [number for _, number in frames] == [*range(60), *range(60)]
    assert reader.lost == []
    assert "Audio track 1 is left out: it is empty, or begins very late." in probe(path).notes


def test_stretches_that_touch_are_one() -> None:
    spans = Stretches(2.0)
    for begin, end in ((0, None), (2, None), (10, 20), (21, 22)):
        spans.add(begin, end)
    assert spans.seconds(Fraction(1, 2)) == [(0.0, 2.0), (5.0, 11.0)]
