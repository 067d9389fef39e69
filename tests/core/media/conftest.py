from __future__ import annotations

from collections.abc import Callable, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from av.audio.resampler import AudioResampler
from av.container import OutputContainer
from av.stream import Disposition
from numpy.typing import NDArray

from dualface_core.media.frames import Frame

BITS = 6
"""Columns of the bar code that numbers a frame."""

VARIABLE_PTS = (0, 40, 73, 107, 140, 207, 240, 273, 440, 441, 507, 540, 573, 640, 673, 707)
"""Presentation times in milliseconds that no frame rate explains."""


def numbered_image(number: int, width: int, height: int) -> NDArray[np.uint8]:
    """RGB: a bar code of the number in the upper half; red to the left and blue to the right below it."""
    image = np.zeros((height, width, 3), np.uint8)
    edges = np.linspace(0, width, BITS + 1).round().astype(int)
    for bit in range(BITS):
        image[: height // 2, edges[bit] : edges[bit + 1]] = 200 if number >> bit & 1 else 30
    image[height // 2 :, : width // 2] = (200, 40, 40)
    image[height // 2 :, width // 2 :] = (40, 40, 200)
    return image


def number_of(frame: Frame) -> int:
    """The number in an upright frame's bar code."""
    luma = frame.luma(BITS * 3, 4)[0, 1::3]
    return sum(int(level > 110) << bit for bit, level in enumerate(luma))


MakeClip = Callable[..., Path]


@pytest.fixture
def make_clip(tmp_path: Path) -> MakeClip:
    """Makes small real videos whose frames carry their number. See `write_clip` for the choices."""

    def make(name: str, **choices: Any) -> Path:
        write_clip(tmp_path / name, **choices)
        return tmp_path / name

    return make


def make_audio(path: Path, *, codec: str, cover: bool = False) -> None:
    """A file of audio alone, with or without cover art."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=48_000)
        if cover:
            art = container.add_stream("mjpeg", rate=1)
            art.codec_context.width, art.codec_context.height, art.codec_context.pix_fmt = 64, 64, "yuvj420p"
            art.disposition = Disposition.attached_pic
            image = av.VideoFrame.from_ndarray(numbered_image(5, 64, 64), format="rgb24")
            container.mux(art.encode(image.reformat(format="yuvj420p")))
            container.mux(art.encode(None))
        write_audio(container, stream, Fraction(0), 0.5)


def write_clip(
    path: Path,
    *,
    size: tuple[int, int] = (96, 64),
    pts: Sequence[int] = range(12),
    time_base: Fraction = Fraction(1, 15),
    codec: str = "libx264",
    options: dict[str, str] | None = None,
    pixel_format: str = "yuv420p",
    turn: int = 0,
    mirrored: bool = False,
    aspect: Fraction | None = None,
    color: dict[str, int] | None = None,
    audio: str | None = None,
    audio_start: Fraction = Fraction(0),
    audio_seconds: float = 0.8,
    audio_rate: int = 48_000,
    rate: int = 15,
    title: str | None = None,
    track_title: str | None = None,
    container_options: dict[str, str] | None = None,
) -> None:
    """Write a clip; `color` names attributes of the codec context, `turn` is in degrees counter-clockwise."""
    with av.open(str(path), "w", options=container_options or {}) as container:
        if title is not None:
            container.metadata["title"] = title
        stream = container.add_stream(codec, rate=rate, options={"crf": "12"} | (options or {}))
        if track_title is not None:
            stream.metadata["title"] = track_title
        context = stream.codec_context
        context.width, context.height = size
        context.pix_fmt = pixel_format
        context.time_base = stream.time_base = time_base
        for name, value in (color or {}).items():
            setattr(context, name, value)
        if aspect is not None:
            context.sample_aspect_ratio = aspect
        if turn or mirrored:
            stream.set_display_rotation(turn, hflip=mirrored)
        samples = None
        if audio is not None:
            samples = container.add_stream(audio, rate=audio_rate, options={"strict": "experimental"})
        matrix = "ITU709" if (color or {}).get("colorspace") == 1 else "ITU601"
        for number, time in enumerate(pts):
            frame = av.VideoFrame.from_ndarray(numbered_image(number, *size), format="rgb24")
            full = (color or {}).get("color_range") == 2 or pixel_format.startswith("yuvj")
            frame = frame.reformat(
                format=pixel_format, dst_colorspace=matrix, dst_color_range="JPEG" if full else "MPEG"
            )
            frame.pts, frame.time_base = time, time_base
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
        if samples is not None:
            write_audio(container, samples, audio_start, audio_seconds)


def write_audio(container: OutputContainer, stream: Any, start: Fraction, seconds: float) -> None:
    """Encode a tone that rises, so that no two packets are alike."""
    context = stream.codec_context
    rate = context.sample_rate
    times = np.arange(round(seconds * rate)) / rate
    tone = np.round(8_000 * np.sin(2 * np.pi * (200 + 300 * times) * times)).astype(np.int16)
    frame = av.AudioFrame.from_ndarray(np.repeat(tone[None], 2, 0).T.reshape(1, -1), format="s16", layout="stereo")
    frame.sample_rate, frame.pts, frame.time_base = rate, round(start * rate), Fraction(1, rate)
    container.start_encoding()
    resampler = AudioResampler(context.format, context.layout, rate, context.frame_size or 1024)
    for part in [*resampler.resample(frame), *resampler.resample(None)]:
        container.mux(stream.encode(part))
    container.mux(stream.encode(None))
