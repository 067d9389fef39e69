"""EncoderSettings: one quality target and one speed, mapped onto each encoder's own options.

Belongs here: what a user chooses and what FFmpeg gets. The one idea: `quality` is x264's CRF scale whatever the
encoder, so that an encode that falls back from NVENC to software looks the same.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import StrEnum
from itertools import pairwise
from typing import Final, Literal

from pydantic import BaseModel, ConfigDict, Field

from dualface_core.errors import SettingsError


class EncoderKind(StrEnum):
    """Who encodes: NVENC if this machine has it and otherwise software; only NVENC; only software."""

    AUTO = "auto"
    NVENC = "nvenc"
    SOFTWARE = "software"


class BackendKind(StrEnum):
    """What decodes and composes: a card where it works and pays, else the processor; only the one; only the other."""

    AUTO = "auto"
    CPU = "cpu"
    CUDA = "cuda"


Codec = Literal["h264", "hevc", "av1"]


class EncoderSettings(BaseModel):
    """What the result should be coded with.

    Attributes:
        encoder: who encodes.
        codec: the video codec of the result.
        quality: on the scale of x264's CRF: 0 to 51, smaller is better, 6 steps halve the bits.
        preset: "fast", "balanced" or "best", or a name that the encoder itself knows, such as "veryfast" or "p5".
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    encoder: EncoderKind = EncoderKind.AUTO
    codec: Codec = "h264"
    quality: int = Field(default=20, ge=0, le=51)
    preset: str = "fast"


@dataclass(frozen=True)
class EncoderSpec:
    """One encoder, ready to be opened.

    Attributes:
        name: FFmpeg's name of it, such as "libx264".
        hardware: whether it takes an NVENC session.
        options: FFmpeg's options, as strings.
        quality, preset: what the options say, for reports.
    """

    name: str
    hardware: bool
    options: dict[str, str]
    quality: str
    preset: str


@dataclass(frozen=True)
class _Encoder:
    """How one encoder spells the settings: its preset names, and pairs of our quality and its own, in order."""

    name: str
    presets: dict[str, str]
    own_presets: frozenset[str]
    scale: tuple[tuple[float, float], ...]
    fixed: dict[str, str]
    quality_option: str


_FAST_PRESETS: Final = frozenset({"ultrafast", "superfast", "veryfast", "faster", "fast"})
_X26X_PRESETS: Final = _FAST_PRESETS | {"medium", "slow", "slower", "veryslow", "placebo"}
_X26X_NAMES: Final = {"fast": "veryfast", "balanced": "medium", "best": "slow"}
_NVENC_PRESETS: Final = frozenset(f"p{number}" for number in range(1, 8))
_SVT_PRESETS: Final = frozenset(str(number) for number in range(14))
_NVENC_NAMES: Final = {"fast": "p3", "balanced": "p5", "best": "p7"}
# With a target quality and no bit rate, NVENC's variable bit rate is its constant-quality mode.
_NVENC_FIXED: Final = {"rc": "vbr", "b": "0", "spatial-aq": "1"}

# Pairs of equal SSIM (luma) at the presets named "fast", by benchmarks/encoder_quality.py; see docs/encoding.md.
# NVENC's are not measured: its constant-quality numbers are said to lie a few steps above x264's for the same frame.
_SOFTWARE: Final = {
    "h264": _Encoder("libx264", _X26X_NAMES, _X26X_PRESETS, ((0, 0), (51, 51)), {}, "crf"),
    "hevc": _Encoder(
        "libx265",
        _X26X_NAMES,
        _X26X_PRESETS,
        ((0, 0), (14, 10), (17, 14), (20, 17), (23, 22), (26, 28), (30, 33), (51, 51)),
        {"x265-params": "log-level=error"},
        "crf",
    ),
    "av1": _Encoder(
        "libsvtav1",
        {"fast": "10", "balanced": "8", "best": "5"},
        _SVT_PRESETS,
        ((0, 1), (17, 7), (20, 11), (23, 23), (26, 36), (30, 45), (51, 63)),
        {},
        "crf",
    ),
}
_NVENC: Final = {
    "h264": _Encoder("h264_nvenc", _NVENC_NAMES, _NVENC_PRESETS, ((0, 1), (48, 51)), _NVENC_FIXED, "cq"),
    "hevc": _Encoder("hevc_nvenc", _NVENC_NAMES, _NVENC_PRESETS, ((0, 1), (47, 51)), _NVENC_FIXED, "cq"),
    "av1": _Encoder("av1_nvenc", _NVENC_NAMES, _NVENC_PRESETS, ((0, 1), (47, 63)), _NVENC_FIXED, "cq"),
}

_ONE_CORE: Final = {"libx265": {"x265-params": "pools=none"}, "libsvtav1": {"svtav1-params": "lp=1"}}
"""Options of encoders that have threads of their own besides those that FFmpeg asks for."""


def software_encoder(settings: EncoderSettings) -> EncoderSpec:
    """The software encoder for these settings. Raises SettingsError for a preset that it doesn't have."""
    return _spec(_SOFTWARE[settings.codec], settings, hardware=False)


def nvenc_encoder(settings: EncoderSettings) -> EncoderSpec:
    """The NVENC encoder for these settings. Raises SettingsError for a preset that it doesn't have."""
    return _spec(_NVENC[settings.codec], settings, hardware=True)


def software_equivalent(settings: EncoderSettings) -> EncoderSettings:
    """The settings for software that replaces NVENC: one of NVENC's own presets becomes the nearest of ours."""
    names = {own: name for name, own in _NVENC_NAMES.items()}
    nearest = {"p1": "p3", "p2": "p3", "p4": "p5", "p6": "p7"}
    own = nearest.get(settings.preset, settings.preset)
    return settings.model_copy(update={"preset": names.get(own, settings.preset)})


def on_one_core(encoder: EncoderSpec) -> EncoderSpec:
    """The same encoder without the pools of threads that it makes whatever number of threads it is given."""
    options = dict(encoder.options)
    for name, value in _ONE_CORE.get(encoder.name, {}).items():
        options[name] = f"{options[name]}:{value}" if name in options else value
    return replace(encoder, options=options)


def check_preset(settings: EncoderSettings) -> None:
    """Raise SettingsError for a preset that none of the encoders which these settings may lead to has."""
    candidates = {
        EncoderKind.SOFTWARE: [software_encoder],
        EncoderKind.NVENC: [nvenc_encoder],
        EncoderKind.AUTO: [software_encoder, nvenc_encoder],
    }[settings.encoder]
    problems: list[SettingsError] = []
    for candidate in candidates:
        try:
            candidate(settings)
        except SettingsError as error:
            problems.append(error)
    if len(problems) == len(candidates):
        raise problems[0]


def _spec(encoder: _Encoder, settings: EncoderSettings, *, hardware: bool) -> EncoderSpec:
    preset = encoder.presets.get(settings.preset, settings.preset)
    # "fast" is a name of ours before it is one of x264's: the same word must mean the same for every encoder.
    if preset not in encoder.own_presets:
        names = [*encoder.presets, *sorted(encoder.own_presets - encoder.presets.keys())]
        raise SettingsError(f"{encoder.name} has no preset {settings.preset!r}. Choose one of: {', '.join(names)}.")
    quality = str(_interpolated(encoder.scale, settings.quality))
    options = {**encoder.fixed, "preset": preset, encoder.quality_option: quality}
    return EncoderSpec(encoder.name, hardware, options, f"{encoder.quality_option} {quality}", preset)


def _interpolated(scale: tuple[tuple[float, float], ...], quality: int) -> int:
    """The encoder's own number for a quality: between two pairs along the line, beyond the last one as the last."""
    for (low, low_value), (high, high_value) in pairwise(scale):
        if quality <= high:
            return round(low_value + (quality - low) / (high - low) * (high_value - low_value))
    return round(scale[-1][1])
