from __future__ import annotations

import os
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import psutil
import pytest
from numpy.typing import NDArray

from dualface_core.encoding.failures import EncoderError, FailureClass
from dualface_core.encoding.settings import Codec, EncoderSettings, EncoderSpec, software_encoder
from dualface_core.errors import MissingInputError, OutputError, SettingsError, UnsupportedVideoError
from dualface_core.media.color import ColorInfo
from dualface_core.media.encoder import Surface
from dualface_core.media.frames import Planes
from dualface_core.media.packets import audio_streams
from dualface_core.media.probe import VideoInfo, probe
from dualface_core.media.reader import VideoReader
from dualface_core.media.writer import VideoWriter
from tests.core.media.conftest import VARIABLE_PTS, MakeClip, number_of
from tests.permissions import permissions_count

MILLISECONDS = Fraction(1, 1000)
FIFTEENTH = Fraction(1, 15)
H264 = software_encoder(EncoderSettings())
RATE = 48_000


def writer(path: Path, encoder: EncoderSpec = H264, **choices: Any) -> VideoWriter:
    if "audio_from" in choices:
        choices = {"audio": audio_streams(choices["audio_from"]), **choices}
    plain = {"width": 96, "height": 64, "time_base": FIFTEENTH, "average_rate": Fraction(15), "color": ColorInfo()}
    return VideoWriter(path, encoder=encoder, **(plain | choices))


def gray(level: int) -> Planes:
    half = np.full((32, 48), 128, np.uint8)
    return np.full((64, 96), level, np.uint8), half, half.copy()


def copy(source: VideoInfo, target: Path, encoder: EncoderSpec = H264) -> None:
    like = {name: getattr(source, name) for name in ("width", "height", "time_base", "color")}
    with VideoReader(source) as reader, writer(target, encoder, **like, audio_from=source.path) as output:
        for frame in reader:
            output.write(frame.planes, frame.pts)


def times(video: VideoInfo) -> list[Fraction]:
    with VideoReader(video) as reader:
        return [frame.pts * video.time_base for frame in reader]


def packets(path: Path) -> list[tuple[bytes, Fraction]]:
    """Payload and time in seconds of every audio packet."""
    with av.open(str(path)) as container:
        stream = container.streams.audio[0]
        return [(bytes(p), p.pts * Fraction(p.time_base)) for p in container.demux(stream) if p.size]


def samples(path: Path) -> NDArray[np.float32]:
    """The audio of the first channel at 48 kHz, as it is heard from second 0 on."""
    heard = np.zeros(3 * RATE, np.float32)
    with av.open(str(path)) as container:
        stream = container.streams.audio[0]
        resampler = av.AudioResampler("fltp", "stereo", RATE)
        for frame in container.decode(stream):
            for part in resampler.resample(frame):
                start = round(part.pts * Fraction(part.time_base) * RATE)
                values = part.to_ndarray()[0][max(0, -start) :]
                heard[max(0, start) : max(0, start) + len(values)] = values
    return heard


def open_paths() -> set[str]:
    return {file.path for file in psutil.Process().open_files()}


@pytest.mark.parametrize("codec", ["h264", "hevc", "av1"])
def test_timestamps_of_a_variable_rate_come_back_exactly(make_clip: MakeClip, tmp_path: Path, codec: Codec) -> None:
    source = probe(make_clip("source.mkv", pts=VARIABLE_PTS, time_base=MILLISECONDS))
    target = tmp_path / "target.mp4"
    copy(source, target, software_encoder(EncoderSettings(codec=codec, preset="balanced")))
    video = probe(target)
    assert video.codec == codec
    assert times(video) == [time * MILLISECONDS for time in VARIABLE_PTS]
    with VideoReader(video) as reader:
        assert [number_of(frame) for frame in reader] == list(range(len(VARIABLE_PTS)))


@pytest.mark.parametrize(
    ("time_base", "pts"),
    [
        (Fraction(1001, 30_000), range(1, 9)),
        (Fraction(1, 90_000), range(126_001, 126_001 + 8 * 3003, 3003)),
        (Fraction(1, 15_360), range(5, 5 + 8 * 512, 512)),
        (Fraction(1, 1_000_000), range(33_367, 33_367 * 9, 33_367)),
    ],
)
def test_a_start_offset_is_not_rounded(
    make_clip: MakeClip, tmp_path: Path, time_base: Fraction, pts: Sequence[int]
) -> None:
    audio = make_clip("audio.mkv", audio="pcm_s16le", audio_rate=44_100)
    target = tmp_path / "target.mp4"
    with writer(target, time_base=time_base, audio_from=audio) as output:
        for number, time in enumerate(pts):
            output.write(gray(20 * number), time)
    assert times(probe(target)) == [time * time_base for time in pts]


def test_audio_that_an_mp4_cannot_hold_is_no_fault_of_the_disk(make_clip: MakeClip, tmp_path: Path) -> None:
    path = make_clip("telephone.mkv", audio="libmp3lame", audio_rate=8_000)
    (audio,) = audio_streams(path)
    assert not audio.copied
    mistaken = replace(audio, sample_rate=RATE)
    with pytest.raises(UnsupportedVideoError, match=r"telephone\.mkv: an MP4 cannot hold its audio, mp3 at 48000 Hz"):
        writer(tmp_path / "target.mp4", audio_from=path, audio=[mistaken])


@pytest.mark.parametrize("quality", [10, 30])
def test_pictures_come_back_as_they_were_given(tmp_path: Path, quality: int) -> None:
    rng = np.random.default_rng(0)
    smooth = np.add.outer(np.arange(64), np.arange(96)).astype(np.uint8) + rng.integers(0, 20, (64, 96), np.uint8)
    given = (smooth, *gray(0)[1:])
    with writer(tmp_path / "t.mp4", software_encoder(EncoderSettings(quality=quality))) as output:
        for number in range(5):
            output.write(given, number)
    with VideoReader(probe(tmp_path / "t.mp4")) as reader:
        errors = [np.abs(frame.planes[0].astype(int) - smooth).mean() for frame in reader]
    assert max(errors) < (1.5 if quality == 10 else 6)
    if quality == 30:
        assert min(errors) > 1.5  # so the quality does reach the encoder


@pytest.mark.parametrize("codec", ["h264", "hevc", "av1"])
@pytest.mark.parametrize("tags", [(2, 1, 1, 1), (1, 6, 6, 6), (1, 9, 14, 9)])
def test_color_tags_are_written(tmp_path: Path, codec: Codec, tags: tuple[int, int, int, int]) -> None:
    color = ColorInfo(*tags)
    with writer(tmp_path / "t.mp4", software_encoder(EncoderSettings(codec=codec)), color=color) as output:
        output.write(gray(100), 0)
    assert probe(tmp_path / "t.mp4").color_tags == color


@pytest.mark.parametrize("codec", ["h264", "hevc", "av1"])
@pytest.mark.parametrize("count", [1, 5, 8, 9])
def test_the_last_frame_is_shown_for_as_long_as_it_should(tmp_path: Path, codec: Codec, count: int) -> None:
    # The packet of the last frame is not always the last one.
    pts = [0, 40, 100, 150, 400, 410, 600, 700, 900][:count]
    encoder = software_encoder(EncoderSettings(codec=codec))
    with writer(tmp_path / "t.mp4", encoder, time_base=Fraction(1, 1000)) as output:
        for time in pts:
            surface = Surface.blank(96, 64)
            for plane in surface.planes:
                plane[:] = 100
            output.encode(surface, time, 2_500 if time == pts[-1] else None)
    with av.open(str(tmp_path / "t.mp4")) as container:
        stream = container.streams.video[0]
        assert stream.duration * stream.time_base == Fraction(pts[-1] + 2_500, 1000)
    assert probe(tmp_path / "t.mp4").duration == pytest.approx((pts[-1] + 2_500) / 1000, abs=0.01)


@pytest.mark.parametrize("codec", ["h264", "hevc", "av1"])
@pytest.mark.parametrize("count", [1, 2, 3])
def test_a_few_frames_are_a_video(tmp_path: Path, codec: Codec, count: int) -> None:
    with writer(tmp_path / "t.mp4", software_encoder(EncoderSettings(codec=codec))) as output:
        for number in range(count):
            output.write(gray(100), 4 * number + 1)
    assert output.frames_written == count
    assert times(probe(tmp_path / "t.mp4")) == [(4 * number + 1) * FIFTEENTH for number in range(count)]


def test_the_index_comes_first_so_that_players_can_start_at_once(tmp_path: Path) -> None:
    with writer(tmp_path / "t.mp4") as output:
        output.write(gray(100), 0)
    content = (tmp_path / "t.mp4").read_bytes()
    assert 0 < content.index(b"moov") < content.index(b"mdat")


@pytest.mark.parametrize(
    ("codec", "suffix"), [("aac", "mp4"), ("libmp3lame", "mkv"), ("libopus", "mkv"), ("flac", "mkv"), ("ac3", "ts")]
)
@pytest.mark.parametrize("start", [Fraction(0), Fraction(1, 5)])
def test_sound_that_mp4_can_carry_is_copied_byte_by_byte(
    make_clip: MakeClip, tmp_path: Path, codec: str, suffix: str, start: Fraction
) -> None:
    source = make_clip(f"source.{suffix}", audio=codec, audio_start=start)
    copy(probe(source), tmp_path / "target.mp4")
    before, after = packets(source), packets(tmp_path / "target.mp4")
    assert len(after) > 8
    assert [payload for payload, _ in after] == [payload for payload, _ in before]
    # MP4 counts time in samples; a container that counts in milliseconds may be off that grid by half a sample.
    lags = [float(b - a) for (_, a), (_, b) in zip(before, after, strict=True)]
    assert max(map(abs, lags)) <= 0.5 / RATE


@pytest.mark.parametrize(
    ("codec", "suffix"), [("pcm_s16le", "mov"), ("pcm_s16le", "mkv"), ("vorbis", "mkv"), ("mp2", "ts")]
)
@pytest.mark.parametrize("start", [Fraction(0), Fraction(1, 5)])
def test_any_other_sound_becomes_aac_and_stays_in_sync(
    make_clip: MakeClip, tmp_path: Path, codec: str, suffix: str, start: Fraction
) -> None:
    source = make_clip(f"source.{suffix}", audio=codec, audio_start=start)
    copy(probe(source), tmp_path / "target.mp4")
    (audio,) = probe(tmp_path / "target.mp4").audio
    assert (audio.codec, audio.sample_rate, audio.channels) == ("aac", RATE, 2)
    before, after = samples(source), samples(tmp_path / "target.mp4")
    lags = range(-240, 241, 12)  # 5 ms either way
    likeness = [float(np.dot(before, np.roll(after, -lag))) for lag in lags]
    assert abs(lags[int(np.argmax(likeness))]) <= 24
    assert np.corrcoef(before, after)[0, 1] > 0.95


@pytest.mark.parametrize(("rate", "expected"), [(96_000, 48_000), (44_100, 44_100), (18_900, 22_050)])
def test_sound_of_a_rate_that_aac_lacks_is_resampled(
    make_clip: MakeClip, tmp_path: Path, rate: int, expected: int
) -> None:
    source = probe(make_clip("source.mkv", audio="pcm_s16le", audio_rate=rate))
    copy(source, tmp_path / "target.mp4")
    (audio,) = probe(tmp_path / "target.mp4").audio
    assert audio.sample_rate == expected
    assert audio.duration == pytest.approx(0.8, abs=2 * 1024 / expected)


def test_a_source_without_sound_gives_a_result_without_sound(make_clip: MakeClip, tmp_path: Path) -> None:
    copy(probe(make_clip("silent.mp4")), tmp_path / "target.mp4")
    assert probe(tmp_path / "target.mp4").audio == ()


def test_sound_that_is_gone_is_reported_by_name(tmp_path: Path) -> None:
    with pytest.raises(MissingInputError, match=r"gone\.mp4: there is no such file"):
        writer(tmp_path / "t.mp4", audio_from=tmp_path / "gone.mp4")
    assert list(tmp_path.iterdir()) == []


def test_closing_twice_or_after_an_abort_is_harmless(tmp_path: Path) -> None:
    closed = writer(tmp_path / "closed.mp4")
    closed.write(gray(100), 0)
    closed.close()
    closed.close()
    assert probe(tmp_path / "closed.mp4").frame_count == 1
    with suppress(KeyError), writer(tmp_path / "aborted.mp4") as aborted:
        aborted.write(gray(100), 0)
        raise KeyError
    aborted.close()


def test_a_writer_that_was_never_fed_closes_cleanly(tmp_path: Path, make_clip: MakeClip) -> None:
    audio = make_clip("audio.mp4", audio="aac")
    before = open_paths()
    writer(tmp_path / "silent.mp4").close()
    writer(tmp_path / "loud.mp4", audio_from=audio).close()
    assert open_paths() == before


def test_nothing_can_be_written_after_the_end(tmp_path: Path) -> None:
    with writer(tmp_path / "t.mp4") as output:
        output.write(gray(100), 0)
    with pytest.raises(ValueError, match="closed"):
        output.write(gray(100), 1)


@pytest.mark.parametrize("pts", [5, 4])
def test_time_cannot_stand_still_or_run_backwards(tmp_path: Path, pts: int) -> None:
    with writer(tmp_path / "t.mp4") as output:
        output.write(gray(100), 5)
        with pytest.raises(ValueError, match=f"pts {pts} does not come after 5"):
            output.write(gray(100), pts)
    assert probe(tmp_path / "t.mp4").frame_count == 1


def test_an_error_in_the_block_leaves_no_open_file(make_clip: MakeClip, tmp_path: Path) -> None:
    audio = make_clip("audio.mkv", audio="pcm_s16le")
    before = open_paths()
    with suppress(KeyError), writer(tmp_path / "t.mp4", audio_from=audio) as output:
        for number in range(60):  # more than the encoder keeps to itself, so that the file is open
            output.write(gray(number), number)
        assert str(tmp_path / "t.mp4") in open_paths()
        raise KeyError
    assert open_paths() == before


def test_an_option_that_the_encoder_does_not_know_is_named(tmp_path: Path) -> None:
    wrong = replace(H264, options=H264.options | {"rate-control": "cbr"})
    with pytest.raises(SettingsError, match="libx264 does not know these options: rate-control"):
        writer(tmp_path / "t.mp4", wrong)


def test_a_value_that_the_encoder_refuses_is_a_bad_parameter(tmp_path: Path) -> None:
    wrong = replace(H264, options=H264.options | {"tune": "no-such-tune"})
    with pytest.raises(EncoderError) as caught:
        writer(tmp_path / "t.mp4", wrong)
    assert caught.value.failure is FailureClass.BAD_PARAM
    assert "no-such-tune" in str(caught.value)


def test_a_missing_folder_is_named(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match=r"none/t\.mp4: its folder"), writer(tmp_path / "none/t.mp4") as output:
        output.write(gray(100), 0)


def test_a_folder_in_its_place_is_named(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="a folder has this name"), writer(tmp_path) as output:
        output.write(gray(100), 0)


def test_a_folder_without_permission_is_named(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    refused = pytest.raises(OutputError, match="no permission")
    with permissions_count(), refused, writer(tmp_path / "t.mp4") as output:
        output.write(gray(100), 0)


def write_until_full(path: Path, audio: Path) -> None:
    rng = np.random.default_rng(0)
    with writer(path, audio_from=audio) as output:
        for number in range(400):
            noise = rng.integers(0, 255, (64, 96), np.uint8)
            output.write((noise, *gray(0)[1:]), number)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no device that is always full")
def test_a_device_that_is_full_is_said_to_be(make_clip: MakeClip) -> None:
    audio = make_clip("audio.mp4", audio="aac")
    before = open_paths()
    with pytest.raises(OutputError, match="the disk is full"):
        write_until_full(Path("/dev/full"), audio)
    assert open_paths() == before


def test_a_disk_that_fills_up_is_said_to_be_full(make_clip: MakeClip, small_disk: Path) -> None:
    audio = make_clip("audio.mp4", audio="aac")
    with pytest.raises(OutputError, match="the disk is full"):
        write_until_full(small_disk / "t.mp4", audio)
    assert str(small_disk / "t.mp4") not in open_paths()


def test_a_file_may_be_named_like_a_protocol(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with writer(Path("12:30.mp4")) as output:
        output.write(gray(100), 0)
    assert probe(tmp_path / "12:30.mp4").frame_count == 1


def test_av1_leaves_the_scheduling_of_the_process_as_it_is(tmp_path):
    """As root, SVT-AV1 makes threads real-time, and everything that is started later with them."""
    with writer(tmp_path / "out.mp4", software_encoder(EncoderSettings(codec="av1"))) as output:
        output.write(gray(100), 0)
        policies = {os.sched_getscheduler(int(entry.name)) for entry in Path("/proc/self/task").iterdir()}
    assert policies == {os.SCHED_OTHER}


def test_x264_divides_its_work_by_pictures_so_that_no_slice_costs_bits(tmp_path: Path) -> None:
    with writer(tmp_path / "out.mp4", threads=3) as output:
        output.write(gray(100), 0)
    assert b"sliced_threads=0" in (tmp_path / "out.mp4").read_bytes()  # x264 notes its settings in the stream
    assert b" threads=3 " in (tmp_path / "out.mp4").read_bytes()


def test_a_picture_that_was_drawn_in_place_is_encoded_like_a_copied_one(tmp_path: Path) -> None:
    with writer(tmp_path / "copied.mp4") as output:
        output.write(gray(100), 0)
    drawn = Surface.blank(96, 64)
    for plane, level in zip(drawn.planes, gray(100), strict=True):
        plane[:] = level
    with writer(tmp_path / "drawn.mp4") as output:
        output.encode(drawn, 0)
    assert (tmp_path / "drawn.mp4").read_bytes() == (tmp_path / "copied.mp4").read_bytes()
