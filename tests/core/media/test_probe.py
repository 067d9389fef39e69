from __future__ import annotations

import errno
import hashlib
import os
import resource
import time
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import av
import cv2
import psutil
import pytest

from dualface_core.errors import (
    InputError,
    MachineError,
    MissingInputError,
    NoVideoStreamError,
    UnreadableVideoError,
)
from dualface_core.media.color import BT709, LIMITED_RANGE
from dualface_core.media.opening import unreadable
from dualface_core.media.orientation import Orientation
from dualface_core.media.probe import fingerprint, probe
from dualface_core.media.reader import VideoReader
from dualface_core.system.threads import unchanged_scheduling
from tests.core.media.conftest import VARIABLE_PTS, MakeClip, make_audio, numbered_image
from tests.permissions import permissions_count

MILLISECONDS = Fraction(1, 1000)
LONG = {"pts": range(60), "options": {"g": "12", "bf": "2"}, "audio": "aac", "audio_seconds": 4.0}


def test_a_plain_video_is_described_in_full(make_clip: MakeClip) -> None:
    video = probe(make_clip("plain.mp4", audio="aac"))
    assert (video.container, video.codec, video.pixel_format) == ("mov,mp4,m4a,3gp,3g2,mj2", "h264", "yuv420p")
    assert (video.width, video.height, video.coded_width, video.coded_height) == (96, 64, 96, 64)
    assert (video.frame_count, video.duration, video.constant_rate) == (12, 0.8, True)
    assert (video.average_rate, video.orientation, video.sample_aspect_ratio) == (15, Orientation(), 1)
    assert video.size_bytes == video.path.stat().st_size
    assert video.bit_rate == round(video.size_bytes * 8 / 0.8)
    assert video.fingerprint == fingerprint(video.path)
    (audio,) = video.audio
    assert (audio.codec, audio.sample_rate, audio.channels) == ("aac", 48_000, 2)
    assert (audio.start, audio.duration) == pytest.approx((0.0, 0.8))


def test_a_video_without_sound_has_no_audio(make_clip: MakeClip) -> None:
    video = probe(make_clip("silent.mp4"))
    assert video.audio == ()


@pytest.mark.parametrize("suffix", ["mp4", "mkv"])
def test_a_variable_rate_is_told_from_the_timestamps(make_clip: MakeClip, suffix: str) -> None:
    path = make_clip(f"variable.{suffix}", pts=VARIABLE_PTS, time_base=MILLISECONDS, options={"bf": "3"})
    video = probe(path)
    assert not video.constant_rate
    assert video.first_pts * video.time_base == 0
    assert video.last_pts * video.time_base == VARIABLE_PTS[-1] * MILLISECONDS
    assert video.duration == pytest.approx(VARIABLE_PTS[-1] / 1000 + 1 / 15, abs=0.001)  # what the packet says


def test_a_last_frame_that_is_shown_for_long_counts(tmp_path: Path) -> None:
    path = tmp_path / "still.gif"
    with av.open(str(path), "w", options={"final_delay": "290"}) as container:
        stream = container.add_stream("gif", rate=10)
        stream.width, stream.height, stream.pix_fmt = 96, 64, "rgb8"
        for number in range(3):
            image = numbered_image(number, 96, 64)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(image, format="rgb24").reformat(format="rgb8")))
        container.mux(stream.encode(None))
    assert probe(path).duration == pytest.approx(0.2 + 2.9)


def test_audio_that_begins_earlier_does_so_in_the_result(make_clip: MakeClip) -> None:
    path = make_clip(
        "late.mkv", pts=range(500, 1300, 100), time_base=MILLISECONDS, audio="pcm_s16le", audio_start=Fraction(3, 10)
    )
    video = probe(path)
    assert video.first_pts * video.time_base == Fraction(1, 5)
    assert video.duration == pytest.approx(0.7 + 1 / 15, abs=0.001)
    assert video.audio[0].start == 0


def test_one_frame_is_a_video(make_clip: MakeClip) -> None:
    video = probe(make_clip("one.mp4", pts=[0]))
    assert (video.frame_count, video.first_pts, video.last_pts) == (1, 0, 0)
    assert video.duration == pytest.approx(1 / 15)


@pytest.mark.parametrize(("turn", "size"), [(0, (96, 64)), (90, (64, 96)), (180, (96, 64)), (270, (64, 96))])
def test_a_rotated_video_is_measured_upright(make_clip: MakeClip, turn: int, size: tuple[int, int]) -> None:
    video = probe(make_clip("turned.mp4", turn=turn))
    assert (video.orientation, video.width, video.height) == (Orientation(turn), *size)
    assert (video.coded_width, video.coded_height) == (96, 64)


@pytest.mark.parametrize(
    ("aspect", "turn", "size"),
    [(Fraction(4, 3), 0, (128, 64)), (Fraction(1, 2), 0, (96, 128)), (Fraction(4, 3), 90, (64, 128))],
)
def test_pixels_that_are_not_square_are_made_square(
    make_clip: MakeClip, aspect: Fraction, turn: int, size: tuple[int, int]
) -> None:
    video = probe(make_clip("wide.mp4", aspect=aspect, turn=turn))
    assert video.sample_aspect_ratio == aspect
    assert (video.width, video.height) == size


def test_ten_bits_are_named(make_clip: MakeClip) -> None:
    path = make_clip("ten.mp4", codec="libx265", pixel_format="yuv420p10le", options={"x265-params": "log-level=none"})
    assert (probe(path).pixel_format, probe(path).codec) == ("yuv420p10le", "hevc")


def test_color_tags_are_read(make_clip: MakeClip) -> None:
    tags = {"color_range": 2, "color_primaries": 1, "color_trc": 1, "colorspace": 1}
    color = probe(make_clip("tagged.mp4", color=tags)).color
    assert (color.range, color.primaries, color.transfer, color.matrix) == (2, 1, 1, 1)


def test_rgb_is_announced_as_the_yuv_that_it_is_read_as(make_clip: MakeClip) -> None:
    color = probe(make_clip("rgb.mp4", codec="libx264rgb", pixel_format="rgb24")).color
    assert (color.range, color.matrix) == (LIMITED_RANGE, BT709)


def test_a_missing_file_and_a_folder_are_named(tmp_path: Path) -> None:
    with pytest.raises(MissingInputError, match=r"nothing\.mp4: there is no such file"):
        probe(tmp_path / "nothing.mp4")
    with pytest.raises(MissingInputError, match="this is a folder"):
        probe(tmp_path)


def test_a_pipe_is_refused_at_once_instead_of_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.mp4")
    with pytest.raises(InputError, match="not a regular file"):
        probe(tmp_path / "pipe.mp4")


def test_a_video_on_a_drive_that_is_gone_is_not_called_damaged(lost_drive: Path) -> None:
    with pytest.raises(MachineError, match=r"cannot be read \(Transport endpoint is not connected\)") as told:
        probe(lost_drive / "talk.mp4")
    assert not told.value.permanent
    assert "The file may be fine" in told.value.action


@pytest.mark.parametrize("options", [{}, {"movflags": "faststart"}])  # the end holds the index, or the last frames
def test_a_video_on_a_failing_disk_is_not_called_damaged(
    make_clip: MakeClip, failing_disk: Callable[[Path], Path], options: dict[str, str]
) -> None:
    path = failing_disk(make_clip("talk.mp4", container_options=options))
    with pytest.raises(MachineError, match=r"cannot be read \(Input/output error\)"):
        probe(path)


@pytest.mark.parametrize("number", [errno.ESTALE, errno.ETIMEDOUT, errno.EMFILE])
def test_what_no_file_can_bring_about_is_the_machines_fault(make_clip: MakeClip, number: int) -> None:
    path = make_clip("talk.mp4")
    error = unreadable(path, "decoding failed", OSError(number, os.strerror(number)))
    assert isinstance(error, MachineError)


def test_memory_is_short_only_if_it_is(make_clip: MakeClip) -> None:
    path = make_clip("talk.mp4")
    before = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (psutil.Process().memory_info().vms + (128 << 20), before[1]))
    try:
        error = unreadable(path, "decoding failed", OSError(errno.ENOMEM, "Cannot allocate memory"))
    finally:
        resource.setrlimit(resource.RLIMIT_AS, before)
    assert isinstance(error, MachineError)


@pytest.mark.parametrize("number", [errno.EIO, errno.EPERM, errno.EINVAL, errno.ENOMEM])
def test_what_ffmpeg_says_of_a_file_that_can_be_read_is_the_files_fault(make_clip: MakeClip, number: int) -> None:
    path = make_clip("talk.mp4")
    error = unreadable(path, "decoding failed", OSError(number, os.strerror(number)))
    assert isinstance(error, UnreadableVideoError)


def test_a_file_without_permission_is_named(make_clip: MakeClip) -> None:
    path = make_clip("mine.mp4")
    path.chmod(0)
    with permissions_count(), pytest.raises(InputError, match="no permission to read it"):
        probe(path)


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b"", "the file is empty"),
        (b"hello world\n" * 50, "not a video"),
        (b"\0" * 5_000, "not a video"),
        (b"#EXTM3U\n#EXT-X-TARGETDURATION:9\n#EXTINF:9,\nhttp://127.0.0.1:9/x.ts\n", "not a video"),
    ],
)
def test_what_is_no_video_at_all_is_called_so(tmp_path: Path, content: bytes, expected: str) -> None:
    path = tmp_path / "named.mp4"
    path.write_bytes(content)
    with pytest.raises(UnreadableVideoError, match=expected):
        probe(path)


def test_subtitles_alone_are_no_video(tmp_path: Path) -> None:
    path = tmp_path / "text.mp4"
    path.write_text("1\n00:00:01,000 --> 00:00:02,000\nHello\n\n" * 5)
    with pytest.raises(NoVideoStreamError, match="holds no video, only subtitle"):
        probe(path)


def test_sound_alone_is_no_video(tmp_path: Path) -> None:
    path = tmp_path / "sound.m4a"
    make_audio(path, codec="aac")
    with pytest.raises(NoVideoStreamError, match="holds no video, only audio"):
        probe(path)


def test_a_cover_picture_is_no_video(tmp_path: Path) -> None:
    path = tmp_path / "song.mp3"
    make_audio(path, codec="libmp3lame", cover=True)
    with av.open(str(path)) as container:
        assert container.streams.video  # the trap is set
    with pytest.raises(NoVideoStreamError, match="holds no video"):
        probe(path)


@pytest.mark.parametrize("name", ["photo.jpg", "photo.png", "photo.webp", "photo.avif", "jpg-named.mp4"])
def test_a_photo_is_no_video(tmp_path: Path, name: str) -> None:
    image = numbered_image(0, 96, 64)
    if name == "photo.avif":
        with av.open(str(tmp_path / name), "w") as container, unchanged_scheduling():
            stream = container.add_stream("libsvtav1", width=96, height=64)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(image, format="rgb24")))
            container.mux(stream.encode(None))
    else:
        suffix = Path(name).suffix.replace(".mp4", ".jpg")
        (tmp_path / name).write_bytes(cv2.imencode(suffix, image)[1].tobytes())
    with pytest.raises(NoVideoStreamError, match="holds a picture and no video"):
        probe(tmp_path / name)


@pytest.mark.parametrize(
    ("name", "choices", "expected"),
    [
        ("moov-last.mp4", {}, "cut off before its index was written"),
        ("moov-first.mp4", {"container_options": {"movflags": "+faststart"}}, "its index promises 60 frames"),
        ("cues.mkv", {}, r"cut off at 2\.\d\d s: its header says 4\.0"),
        (
            "cues.webm",
            {"codec": "libvpx", "options": {}, "audio": "libopus"},
            r"cut off at 2\.\d\d s: its header says 4\.0",
        ),
        ("list.avi", {"audio": "pcm_s16le"}, "its index promises 60 frames"),
    ],
)
def test_a_file_cut_in_half_is_found_out(
    make_clip: MakeClip, name: str, choices: dict[str, object], expected: str
) -> None:
    path = make_clip(name, **(LONG | choices))
    assert probe(path).frame_count == 60
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(UnreadableVideoError, match=expected):
        probe(path)


def test_the_first_112_bytes_of_a_video_are_no_video(make_clip: MakeClip) -> None:
    path = make_clip("stub.mp4")
    path.write_bytes(path.read_bytes()[:112])
    with pytest.raises(UnreadableVideoError, match="not a video"):
        probe(path)


def test_a_video_trimmed_without_recoding_is_whole(make_clip: MakeClip, tmp_path: Path) -> None:
    # Phones and editors trim by an edit list: frames before the cut stay in the file, but are not shown.
    trimmed = tmp_path / "trimmed.mp4"
    with av.open(str(make_clip("whole.mp4", **LONG))) as source, av.open(str(trimmed), "w") as target:
        streams = {stream.index: target.add_stream_from_template(stream) for stream in source.streams}
        for packet in source.demux():
            if packet.dts is not None:
                shift = round(Fraction(26, 15) / packet.time_base)
                packet.pts, packet.dts = packet.pts - shift, packet.dts - shift
                packet.stream = streams[packet.stream_index]
                target.mux(packet)
    video = probe(trimmed)
    assert (video.frame_count, video.first_pts) == (34, 0)
    assert video.duration == pytest.approx(34 / 15)


def test_pictures_that_lack_their_key_frame_do_not_count(make_clip: MakeClip) -> None:
    path = make_clip("recording.ts", pts=range(60), options={"g": "12", "bf": "2"})
    content = path.read_bytes()
    path.write_bytes(content[len(content) // 3 :])
    video = probe(path)
    with VideoReader(video) as reader:
        pts = [frame.pts for frame in reader]
    assert 12 <= len(pts) < 48
    assert (video.frame_count, video.first_pts, video.last_pts) == (len(pts), pts[0], pts[-1])


@pytest.mark.parametrize("name", ["12:30.mkv", "file:x.mkv", "ünï 'c\"ödé %03d.mkv", "-x.mkv"])
def test_any_name_is_only_a_name(
    make_clip: MakeClip, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, name: str
) -> None:
    make_clip("plain.mkv").rename(tmp_path / name)
    monkeypatch.chdir(tmp_path)
    assert probe(Path(name)).frame_count == 12


def test_text_in_another_encoding_does_no_harm(make_clip: MakeClip) -> None:
    path = make_clip("plain.mkv", title="a title")
    content = path.read_bytes()
    assert content.count(b"a title") == 1
    path.write_bytes(content.replace(b"a title", b"a caf\xe9 "))
    assert probe(path).frame_count == 12


def test_what_is_changed_in_a_file_is_noticed_though_it_is_read_once_as_long_as_nobody_touches_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("dualface_core.media.probe._TOUCHED", 100_000_000)
    path = tmp_path / "talk.mp4"
    path.write_bytes(b"once")
    before = path.stat()
    for content in (b"once", b"more"):
        path.write_bytes(content)  # of the same size
        os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
        for _ in range(2):
            assert fingerprint(path) == hashlib.sha256(content).hexdigest()
            untouched_for_long(path)


def untouched_for_long(path: Path) -> None:
    """Wait until a file cannot have been touched without a trace."""
    while time.time_ns() - path.stat().st_ctime_ns < 200_000_000:
        time.sleep(0.05)
