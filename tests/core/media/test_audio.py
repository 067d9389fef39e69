from __future__ import annotations

from pathlib import Path

import av
import numpy as np
import pytest

from dualface_core.errors import OutputError, UnreadableVideoError, UnsupportedVideoError
from dualface_core.media.audio import write_looped_audio

RATE = 48_000


@pytest.fixture(scope="module")
def tone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A second of AAC."""
    path = tmp_path_factory.mktemp("tone") / "tone.m4a"
    with av.open(path, "w", format="mp4") as container:
        stream = container.add_stream("aac", rate=RATE)
        wave = np.sin(2 * np.pi * 440 * np.arange(RATE) / RATE).astype(np.float32)[None]
        frame = av.AudioFrame.from_ndarray(wave, format="fltp", layout="mono")
        frame.sample_rate = RATE
        container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


def packets(path: Path) -> list[tuple[int, bytes]]:
    with av.open(path) as container:
        return [(packet.pts or 0, bytes(packet)) for packet in container.demux(audio=0) if packet.size]


@pytest.mark.parametrize("seconds", [0.5, 3.7])
def test_packets_are_repeated_until_the_length_is_reached(tone: Path, tmp_path: Path, seconds: float) -> None:
    write_looped_audio(tone, tmp_path / "long.m4a", seconds)
    source = [data for _, data in packets(tone)]
    looped = packets(tmp_path / "long.m4a")
    assert [pts for pts, _ in looped] == list(range(0, 1024 * len(looped), 1024))
    assert [data for _, data in looped] == [source[number % len(source)] for number in range(len(looped))]
    assert 0 <= len(looped) * 1024 / RATE - seconds < 1024 / RATE


def test_the_longer_track_sounds_throughout(tone: Path, tmp_path: Path) -> None:
    write_looped_audio(tone, tmp_path / "long.m4a", 3)
    with av.open(tmp_path / "long.m4a") as container:
        samples = np.concatenate([frame.to_ndarray()[0] for frame in container.decode(audio=0)])
    for tenth in np.array_split(samples[RATE // 10 :], 28):
        assert np.abs(tenth).max() > 0.5


def test_a_file_without_sound_is_refused(tmp_path: Path) -> None:
    with av.open(tmp_path / "silent.mp4", "w") as container:
        stream = container.add_stream("libx264", rate=10)
        stream.width = stream.height = 64
        stream.pix_fmt = "yuv420p"
        container.mux(stream.encode(av.VideoFrame(64, 64, "yuv420p")))
        container.mux(stream.encode(None))
    with pytest.raises(UnsupportedVideoError, match="has no audio"):
        write_looped_audio(tmp_path / "silent.mp4", tmp_path / "out.m4a", 1)


def test_a_file_that_is_no_media_is_refused(tmp_path: Path) -> None:
    (tmp_path / "text.mp4").write_text("no video")
    with pytest.raises(UnreadableVideoError, match="not a video but text"):
        write_looped_audio(tmp_path / "text.mp4", tmp_path / "out.m4a", 1)


def test_an_unwritable_target_is_said(tone: Path, tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="its folder does not exist"):
        write_looped_audio(tone, tmp_path / "missing" / "out.m4a", 1)
