from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import psutil
import pytest

from dualface_core.errors import MissingInputError
from dualface_core.media.packets import audio_packets, audio_streams, key_frames
from dualface_core.media.probe import probe
from dualface_core.media.reader import VideoReader
from tests.core.media.conftest import MakeClip


@pytest.mark.parametrize("suffix", ["mp4", "mkv", "ts"])
def test_key_frames_are_named_by_when_they_are_shown(make_clip: MakeClip, suffix: str) -> None:
    video = probe(make_clip(f"keys.{suffix}", pts=range(30), options={"g": "10", "bf": "2", "sc_threshold": "0"}))
    with VideoReader(video) as reader:
        pts = [frame.pts for frame in reader]
    assert key_frames(video) == [pts[0], pts[10], pts[20]]


def test_sound_packets_come_with_payload_and_exact_time(make_clip: MakeClip) -> None:
    path = make_clip("audio.mkv", audio="pcm_s16le", audio_start=Fraction(1, 5), audio_seconds=0.4)
    packets = list(audio_packets(path, probe(path).audio[0]))
    assert packets[0].start == Fraction(1, 5)
    assert sum(len(packet.payload) for packet in packets) == round(0.4 * 48_000) * 2 * 2


def test_a_file_without_sound_has_no_sound_packets(make_clip: MakeClip) -> None:
    assert audio_streams(make_clip("silent.mp4")) == ()


def test_a_file_that_is_gone_is_reported_by_name(make_clip: MakeClip, tmp_path: Path) -> None:
    (track,) = probe(make_clip("audio.mp4", audio="aac")).audio
    with pytest.raises(MissingInputError, match=r"gone\.mp4: there is no such file"):
        list(audio_packets(tmp_path / "gone.mp4", track))


def test_packets_that_nobody_wants_leave_no_open_file(make_clip: MakeClip) -> None:
    path = make_clip("audio.mp4", audio="aac")
    packets = audio_packets(path, probe(path).audio[0])
    next(packets)
    packets.close()
    assert str(path) not in {file.path for file in psutil.Process().open_files()}
