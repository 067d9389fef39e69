from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import av
import numpy as np
import pytest
from numpy.typing import NDArray

from dualface_core.media.packets import audio_streams
from dualface_core.verification.audio import audio_blocks, content_finding
from dualface_core.verification.findings import Finding

RATE = 48_000
Samples = NDArray[np.float32]


def speech(seconds: float = 4.0, *, rate: int = RATE, seed: int = 7) -> Samples:
    """Two voices, one on either side: harmonics that rise and fall, hissing, and pauses."""
    random, time = np.random.default_rng(seed), np.arange(round(seconds * rate)) / rate
    sides = []
    for pitch in (117.0, 208.0):
        phase = 2 * np.pi * np.cumsum(pitch * (1 + 0.1 * np.sin(2 * np.pi * 0.7 * time + pitch))) / rate
        voice = sum(np.sin(k * phase) / k for k in range(1, 24)) + 0.4 * random.standard_normal(len(time))
        sides.append(0.08 * voice * np.clip(np.sin(2 * np.pi * 1.1 * time + pitch) + 0.3, 0, 1))
    left, right = sides
    return np.stack([left + 0.3 * right, right + 0.3 * left]).astype(np.float32)


def write(path: Path, samples: Samples, codec: str, *, rate: int = RATE, late: float = 0.0) -> Path:
    """Write (2, n) samples as the only stream of a file."""
    with av.open(path, "w") as container:
        stream = container.add_stream(codec, rate=rate, layout="stereo")
        if codec == "aac":
            stream.codec_context.bit_rate = 192_000
        resampler = av.AudioResampler(stream.format, "stereo", rate, frame_size=1024)
        frame = av.AudioFrame.from_ndarray(np.ascontiguousarray(samples), format="fltp", layout="stereo")
        frame.sample_rate, frame.pts = rate, round(late * rate)
        for part in [*resampler.resample(frame), *resampler.resample(None)]:
            container.mux(stream.encode(part))
        container.mux(stream.encode(None))
    return path


def compared(folder: Path, source: Samples, result: Samples, *, rate: int = RATE, late: float = 0.0) -> Finding:
    wanted = write(folder / "source.wav", source, "pcm_s16le", rate=rate)
    found = write(folder / "result.mp4", result, "aac", rate=rate, late=late)
    blocks = [audio_blocks(path, *audio_streams(path), start=0.0, channels=2) for path in (found, wanted)]
    return content_finding(*blocks)


@pytest.mark.parametrize("rate", [8_000, 16_000, 22_050, 44_100, 48_000])
def test_audio_that_was_coded_anew_is_that_of_its_source(tmp_path: Path, rate: int) -> None:
    audio = speech(rate=rate)
    assert compared(tmp_path, audio, audio, rate=rate).passed


@pytest.mark.parametrize("level", [0.3, 0.02, 0.001, 0.0])
def test_noise_music_and_silence_are_no_false_alarm(tmp_path: Path, level: float) -> None:
    noise = level * np.random.default_rng(1).standard_normal((2, 3 * RATE)).astype(np.float32)
    assert compared(tmp_path, noise, noise).passed
    time = np.arange(3 * RATE) / RATE
    chord = level * sum(np.sin(2 * np.pi * f * time) for f in (220, 277.2, 329.6)) * (time % 0.5 < 0.4)
    music = np.stack([chord, chord]).astype(np.float32)
    assert compared(tmp_path, music, music).passed


@pytest.mark.parametrize(("rate", "extra"), [(RATE, 0), (RATE, 3), (8_000, 0), (8_000, 40)])
def test_audio_that_is_loud_to_its_last_sample_is_no_false_alarm(tmp_path: Path, rate: int, extra: int) -> None:
    noise = np.clip(3 * np.random.default_rng(5).standard_normal((2, 2 * rate + extra)), -1, 1).astype(np.float32)
    assert compared(tmp_path, noise, noise, rate=rate).passed


def test_hiss_instead_of_audio_that_lies_below_it_is_found(tmp_path: Path) -> None:
    time = np.arange(3 * RATE) / RATE
    chord = 0.1 * sum(np.sin(2 * np.pi * f * time) for f in (220, 277.2, 329.6))
    music = np.stack([chord, chord]).astype(np.float32)
    noise = np.random.default_rng(2).standard_normal(music.shape).astype(np.float32)
    hiss = low_passed(noise, 20_000) - low_passed(noise, 6_000)
    assert not compared(tmp_path, music, hiss * music.std() / hiss.std()).passed


def low_passed(audio: Samples, hertz: float) -> Samples:
    spectrum = np.fft.rfft(audio)
    spectrum[:, np.fft.rfftfreq(audio.shape[1], 1 / RATE) > hertz] = 0
    return np.fft.irfft(spectrum, audio.shape[1]).astype(np.float32)


def patched(audio: Samples, begin: float, seconds: float, patch: Callable[[Samples], Samples]) -> Samples:
    part = slice(round(begin * RATE), round((begin + seconds) * RATE))
    result = audio.copy()
    result[:, part] = patch(audio[:, part])
    return result


TAMPERINGS: dict[str, tuple[Callable[[Samples], Samples], str]] = {
    "silence": (lambda audio: 0 * audio, "differ, first at 0:00"),
    "a sine": (lambda audio: 0 * audio + 0.1 * np.sin(np.arange(audio.shape[1]) / 17).astype(np.float32), "differ"),
    "reversed": (lambda audio: np.ascontiguousarray(audio[:, ::-1]), "differ"),
    "mono of stereo": (lambda audio: np.repeat(audio.mean(axis=0, keepdims=True), 2, axis=0), "left and right is lost"),
    "left and right exchanged": (lambda audio: np.ascontiguousarray(audio[::-1]), "differ"),
    "8 kHz": (lambda audio: low_passed(audio, 4_000), "from 4000 to 8000 Hz is lost"),
    "2 % of the volume": (lambda audio: 0.02 * audio, "differ"),
    "300 ms late": (lambda audio: np.pad(audio, ((0, 0), (round(0.3 * RATE), 0))), "where it is 0.300 s late"),
    "300 ms early": (lambda audio: audio[:, round(0.3 * RATE) :], "where it is 0.300 s early"),
    "a second of noise": (
        lambda audio: patched(audio, 2.0, 1.0, lambda part: 0.1 * np.random.default_rng(2).standard_normal(part.shape)),
        "first at 0:02",
    ),
    "half a second dropped": (lambda audio: patched(audio, 1.1, 0.5, lambda part: 0 * part), "first at 0:01"),
    "the end missing": (lambda audio: audio[:, : round(3.2 * RATE)], "first at 0:03"),
}


@pytest.mark.parametrize("name", TAMPERINGS)
def test_audio_that_is_not_the_sources_is_found(tmp_path: Path, name: str) -> None:
    tamper, said = TAMPERINGS[name]
    audio = speech()
    finding = compared(tmp_path, audio, tamper(audio))
    assert not finding.passed
    assert said in finding.message


def test_audio_that_is_played_late_is_found_by_its_timestamps_too(tmp_path: Path) -> None:
    assert not compared(tmp_path, speech(), speech(), late=0.3).passed
