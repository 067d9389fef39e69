"""EncoderSettings: one quality target and one speed, mapped onto each encoder's own options.

Belongs here: what a user chooses and what FFmpeg is told. The one idea: `quality` is x264's CRF scale whatever the
encoder, so that an encode that falls back from NVENC to software looks the same.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Final, Literal

from pydantic import BaseModel, ConfigDict, Field

from dualface_core.errors import SettingsError


class EncoderKind(StrEnum):
    """Who encodes: NVENC if this machine has it and otherwise software; only NVENC; only software."""

    AUTO = "auto"
    NVENC = "nvenc"
    SOFTWARE = "software"


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
    """How one encoder spells the settings: preset names, and quality = offset + slope * CRF within its limits."""

    name: str
    presets: dict[str, str]
    own_presets: frozenset[str]
    offset: float
    slope: float
    limit: int
    fixed: dict[str, str]
    quality_option: str


_X26X_PRESETS: Final = frozenset(
    "ultrafast superfast veryfast faster fast medium slow slower veryslow placebo".split()  # noqa: SIM905
)
_NVENC_PRESETS: Final = frozenset(f"p{number}" for number in range(1, 8))
_SVT_PRESETS: Final = frozenset(str(number) for number in range(14))
_NVENC_NAMES: Final = {"fast": "p3", "balanced": "p5", "best": "p7"}
# With a target quality and no bit rate, NVENC's variable bit rate is its constant-quality mode.
_NVENC_FIXED: Final = {"rc": "vbr", "b": "0", "spatial-aq": "1"}

_SOFTWARE: Final[dict[str, _Encoder]] = {
    "h264": _Encoder(
        "libx264",
        {"fast": "veryfast", "balanced": "medium", "best": "slow"},
        _X26X_PRESETS,
        0,
        1,
        51,
        {},
        "crf",
    ),
    "hevc": _Encoder(
        "libx265",
        {"fast": "veryfast", "balanced": "medium", "best": "slow"},
        _X26X_PRESETS,
        2,
        1,
        51,
        {"x265-params": "log-level=error"},
        "crf",
    ),
    "av1": _Encoder("libsvtav1", {"fast": "10", "balanced": "8", "best": "5"}, _SVT_PRESETS, 4, 1.3, 63, {}, "crf"),
}
_NVENC: Final[dict[str, _Encoder]] = {
    "h264": _Encoder("h264_nvenc", _NVENC_NAMES, _NVENC_PRESETS, 3, 1, 51, _NVENC_FIXED, "cq"),
    "hevc": _Encoder("hevc_nvenc", _NVENC_NAMES, _NVENC_PRESETS, 4, 1, 51, _NVENC_FIXED, "cq"),
    "av1": _Encoder("av1_nvenc", _NVENC_NAMES, _NVENC_PRESETS, 6, 1.3, 63, _NVENC_FIXED, "cq"),
}


def software_encoder(settings: EncoderSettings) -> EncoderSpec:
    """The software encoder for these settings. Raises SettingsError for a preset that it doesn't have."""
    return _spec(_SOFTWARE[settings.codec], settings, hardware=False)


def nvenc_encoder(settings: EncoderSettings) -> EncoderSpec:
    """The NVENC encoder for these settings. Raises SettingsError for a preset that it doesn't have."""
    return _spec(_NVENC[settings.codec], settings, hardware=True)


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
    quality = str(min(encoder.limit, max(0, round(encoder.offset + encoder.slope * settings.quality))))
    options = {**encoder.fixed, "preset": preset, encoder.quality_option: quality}
    return EncoderSpec(encoder.name, hardware, options, f"{encoder.quality_option} {quality}", preset)
