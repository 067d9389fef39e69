"""Audio of every kind on its way from a source into a result, and what is said of it."""

from __future__ import annotations

import struct
import subprocess
import sys
import tracemalloc
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from av.stream import Disposition
from numpy.typing import NDArray

from dualface_core.encoding.settings import EncoderSettings, software_encoder
from dualface_core.media.audio_frames import AudioBlocks
from dualface_core.media.color import ColorInfo
from dualface_core.media.packets import audio_streams
from dualface_core.media.probe import VideoInfo, probe
from dualface_core.media.reader import VideoReader
from dualface_core.media.writer import VideoWriter
from dualface_core.verification.streams import audio_findings
from tests.core.media.conftest import MakeClip, numbered_image

RATE = 48_000


def copied(source: VideoInfo, target: Path) -> VideoInfo:
    """A result with the frames and the audio of a source, which passes all checks of the audio."""
    with (
        VideoReader(source) as reader,
        VideoWriter(
            target,
            width=source.width,
            height=source.height,
            time_base=source.time_base,
            average_rate=source.average_rate,
            color=ColorInfo(),
            encoder=software_encoder(EncoderSettings()),
            audio_from=source.path,
            audio=source.audio,
            metadata=source.metadata,
        ) as writer,
    ):
        for frame in reader:
            writer.write(frame.planes, frame.pts)
    result = probe(target)
    assert [finding.message for finding in audio_findings(result, source) if not finding.passed] == []
    return result


def tones(layout: str, seconds: float = 1.0, *, start: float = 0.0, rate: int = RATE) -> av.AudioFrame:
    """A tone of its own in every channel."""
    channels = av.AudioLayout(layout).nb_channels
    time = np.arange(round(seconds * rate)) / rate
    samples = [0.1 * np.sin(2 * np.pi * (300 + 170 * channel) * time) for channel in range(channels)]
    frame = av.AudioFrame.from_ndarray(np.stack(samples, 1).astype(np.float32).reshape(1, -1), "flt", layout)
    frame.sample_rate, frame.time_base, frame.pts = rate, Fraction(1, rate), round(start * rate)
    return frame


def with_audio(
    path: Path, *tracks: tuple[str, av.AudioFrame, dict[str, str]], start: int = 0, pictures: str = "libx264"
) -> Path:
    """Write a clip with audio tracks: the codec, what it plays, and its tags ("default" makes it one)."""
    with av.open(path, "w") as container:
        images = container.add_stream(pictures, rate=15, width=96, height=64, pix_fmt="yuv420p")
        streams = []
        for codec, played, tags in tracks:
            stream = container.add_stream(codec, rate=played.sample_rate, layout=played.layout.name)
            stream.codec_context.bit_rate = 192_000
            stream.metadata.update({name: value for name, value in tags.items() if name != "default"})
            stream.disposition = Disposition.default if "default" in tags else Disposition(0)
            streams.append(stream)
        container.start_encoding()
        for number in range(12):
            frame = av.VideoFrame.from_ndarray(numbered_image(number, 96, 64), format="rgb24")
            frame.pts, frame.time_base = 15 * start + number, Fraction(1, 15)
            container.mux(images.encode(frame))
        container.mux(images.encode(None))
        for stream, (_, played, _) in zip(streams, tracks, strict=True):
            size = stream.codec_context.frame_size or 1024
            framer = av.AudioResampler(stream.format, played.layout.name, played.sample_rate, size)
            for part in [*framer.resample(played), *framer.resample(None)]:
                container.mux(stream.encode(part))
            container.mux(stream.encode(None))
    return path


def samples(path: Path, track: int = 0) -> NDArray[np.float32]:
    with av.open(path) as container:
        return np.concatenate([frame.to_ndarray() for frame in container.decode(audio=track)], axis=1)


def pitches(path: Path, track: int = 0) -> list[float]:
    """The strongest frequency of each channel, in Hz."""
    heard = samples(path, track)[:, RATE // 10 :]
    return [float(np.abs(np.fft.rfft(row)).argmax() * RATE / len(row)) for row in heard]


def test_channels_in_an_order_of_their_own_do_no_harm(tmp_path: Path) -> None:
    path = with_audio(tmp_path / "surround.mov", ("pcm_s16le", tones("7.1"), {}))
    command = [sys.executable, "-m", "dualface_core.cli", "probe", path, "--json"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    video = probe(path)
    assert video.audio[0].channels == 8
    assert video.notes == ("Audio track 1 has 8 channels, which are mixed to 2.",)
    copied(video, tmp_path / "result.mp4")
    # Front left and right are loudest of all that is mixed.
    assert pitches(tmp_path / "result.mp4") == pytest.approx([300, 470], abs=3)


def test_ambisonics_are_mixed_like_as_many_loudspeakers(tmp_path: Path) -> None:
    path = with_audio(tmp_path / "round.mov", ("pcm_s16le", tones("4.0"), {}))
    data = bytearray(path.read_bytes())
    place = data.index(b"chan") + 8
    data[place : place + 4] = (190 << 16 | 4).to_bytes(4, "big")  # HOA, ACN, SN3D
    path.write_bytes(data)
    video = probe(path)
    assert video.notes == ("Audio track 1 has 4 channels, which are mixed to 2.",)
    copied(video, tmp_path / "result.mp4")


def test_a_track_of_an_unknown_codec_is_left_out_and_the_next_one_taken(tmp_path: Path) -> None:
    tracks = (("pcm_s16le", tones("mono"), {}), ("aac", tones("stereo"), {}))
    path = with_audio(tmp_path / "spatial.mov", *tracks)
    path.write_bytes(path.read_bytes().replace(b"sowt", b"apac"))
    video = probe(path)
    assert [audio.codec for audio in video.audio] == ["aac"]
    assert video.notes == ("Audio track 1 is left out: its codec is not known.",)
    copied(video, tmp_path / "result.mp4")


def test_a_video_whose_only_track_is_of_an_unknown_codec_has_no_audio(tmp_path: Path) -> None:
    path = with_audio(tmp_path / "spatial.mov", ("pcm_s16le", tones("mono"), {}))
    path.write_bytes(path.read_bytes().replace(b"sowt", b"apac"))
    assert copied(probe(path), tmp_path / "result.mp4").audio == ()


@pytest.mark.parametrize("name", ["languages.mp4", "languages.mkv"])
def test_every_track_is_kept_with_language_title_and_default(tmp_path: Path, name: str) -> None:
    tracks = (
        ("aac", tones("stereo"), {"language": "eng", "title": "Original"}),
        ("ac3", tones("5.1"), {"language": "fra", "title": "Doublage", "default": "1"}),
        ("aac", tones("mono"), {"language": "eng", "title": "Commentary"}),
    )
    video = probe(with_audio(tmp_path / name, *tracks))
    result = copied(video, tmp_path / "result.mp4")
    of_result = [(audio.codec, audio.channels, audio.language, audio.title, audio.default) for audio in result.audio]
    assert of_result == [
        ("aac", 2, "eng", "Original", False),
        ("ac3", 6, "fra", "Doublage", True),
        ("aac", 1, "eng", "Commentary", False),
    ]


@pytest.mark.parametrize(("codec", "name"), [("wmav2", "x.wmv"), ("wmav1", "x.wmv"), ("mp2", "x.ts")])
def test_a_decoder_that_swallows_packets_raises_no_alarm(tmp_path: Path, codec: str, name: str) -> None:
    copied(probe(with_audio(tmp_path / name, (codec, tones("stereo"), {}))), tmp_path / "result.mp4")


@pytest.mark.parametrize("moved", [-21, -300])
def test_timestamps_that_repeat_or_step_back_are_put_in_order_and_said(tmp_path: Path, moved: int) -> None:
    source = with_audio(tmp_path / "source.mkv", ("aac", tones("stereo", 0.7), {}))
    data, place = bytearray(source.read_bytes()), 0
    with av.open(source) as container:
        packets = [bytes(packet) for packet in container.demux(audio=0) if packet.size]
    for number, packet in enumerate(packets):
        place = data.index(packet, place + 1)
        if 20 <= number < 23:  # the time of a block is two bytes, followed by one with flags
            time = struct.unpack(">h", data[place - 3 : place - 1])[0]
            data[place - 3 : place - 1] = struct.pack(">h", time + moved)
    path = tmp_path / "back.mkv"
    path.write_bytes(data)
    video = probe(path)
    assert video.audio[0].moved
    assert "Audio track 1 has timestamps that repeat or step back, of" in video.notes[0]
    copied(video, tmp_path / "result.mp4")


@pytest.mark.parametrize(("later", "rate"), [("5.1", RATE), ("mono", RATE), ("stereo", 44_100)])
def test_audio_that_changes_in_mid_stream_has_one_form(tmp_path: Path, later: str, rate: int) -> None:
    first = with_audio(tmp_path / "first.ts", ("aac", tones("stereo"), {}))
    second = with_audio(tmp_path / "second.ts", ("aac", tones(later, start=1.0, rate=rate), {}), start=1)
    path = tmp_path / "call.ts"
    path.write_bytes(first.read_bytes() + second.read_bytes())
    video = probe(path)
    start = video.audio[0].start
    assert video.audio[0].changes == pytest.approx([start + 1.0], abs=0.05)
    assert "Audio track 1 changes its rate or channels once, first at 1." in video.notes[-1]
    result = copied(video, tmp_path / "result.mp4")
    assert (result.audio[0].codec, result.audio[0].channels, result.audio[0].sample_rate) == ("aac", 2, RATE)
    heard = samples(result.path)
    assert np.abs(heard[0, 3 * RATE // 2 : 3 * RATE // 2 + 2_000]).max() > 0.03


def test_opus_of_recordings_that_were_joined_stays_in_its_place(tmp_path: Path) -> None:
    # Of the last packet of each recording 13.5 ms are not to be heard.
    part = with_audio(tmp_path / "part.webm", ("libopus", tones("stereo"), {}), pictures="libvpx-vp9")
    assert probe(part).audio[0].copied
    path = tmp_path / "joined.webm"
    with av.open(path, "w") as output:
        for turn in range(3):
            with av.open(part) as source:
                if not turn:
                    streams = [output.add_stream_from_template(stream) for stream in source.streams]
                for packet in source.demux():
                    if packet.size:
                        packet.pts, packet.dts = packet.pts + 1007 * turn, packet.dts + 1007 * turn
                        packet.stream = streams[packet.stream_index]
                        output.mux(packet)
    video = probe(path)
    assert video.audio[0].trimmed == pytest.approx([1.0, 2.0], abs=0.01)
    assert "Audio track 1 leaves out parts of packets in its middle, in 2 places, first at 1.0 s" in video.notes[-1]
    result = copied(video, tmp_path / "result.mp4")
    assert result.audio[0].codec == "aac"
    assert len(samples(result.path)[0]) == pytest.approx(3 * RATE, abs=2048)


@pytest.mark.parametrize("layout", ["mono", "5.1"])
@pytest.mark.parametrize("rate", [44_100, 96_000, 192_000])
def test_mono_surround_and_high_rates_are_coded_anew_and_found_right(tmp_path: Path, layout: str, rate: int) -> None:
    video = probe(with_audio(tmp_path / "high.mkv", ("pcm_s24le", tones(layout, rate=rate), {})))
    result = copied(video, tmp_path / "result.mp4")
    assert (result.audio[0].sample_rate, result.audio[0].channels) == (min(rate, 48_000), 1 if layout == "mono" else 2)


@pytest.mark.parametrize("layout", ["5.1", "7.1"])
def test_channels_that_add_up_to_more_than_full_scale_are_limited(tmp_path: Path, layout: str) -> None:
    frame = tones(layout)
    noise = np.random.default_rng(3).uniform(-1, 1, frame.samples * frame.layout.nb_channels).astype(np.float32)
    frame.planes[0].update(noise)
    result = copied(probe(with_audio(tmp_path / "loud.mkv", ("pcm_s16le", frame, {}))), tmp_path / "result.mp4")
    assert 0.2 < samples(result.path)[:, 2_000:].std() < 0.7


def test_audio_that_begins_half_a_minute_into_a_transport_stream_is_kept(make_clip: MakeClip) -> None:
    path = make_clip("late.ts", pts=range(33 * 15), audio="aac", audio_start=Fraction(30), audio_seconds=2.0)
    video = probe(path)
    (track,) = video.audio
    assert (track.start, track.duration) == pytest.approx((30, 2), abs=0.05)
    assert not any("left out" in note for note in video.notes)


def test_a_gap_of_half_an_hour_is_silence_that_takes_no_memory(tmp_path: Path) -> None:
    path = tmp_path / "gap.mka"
    with av.open(path, "w") as container:
        stream = container.add_stream("pcm_s16le", rate=RATE, layout="stereo")
        for start in (0, 1_800):
            for part in av.AudioResampler("s16", "stereo", RATE, 1024).resample(tones("stereo", start=start)):
                container.mux(stream.encode(part))
        container.mux(stream.encode(None))
    (track,) = audio_streams(path)
    blocks = AudioBlocks(path, track, rate=24_000, channels=2, start=0.0, size=6_000)
    tracemalloc.start()
    loud = [number for number, block in enumerate(blocks) if block.any()]
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert {0, 1, 2, 3, 7_200, 7_201, 7_202, 7_203} <= set(loud)
    assert len(loud) <= 9  # the resampler may spread a sample into the block before
    assert peak < 4 << 20
