from __future__ import annotations

from fractions import Fraction
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from dualface_core.encoding.settings import Codec, EncoderKind, EncoderSettings, nvenc_encoder, software_encoder
from dualface_core.errors import SettingsError
from dualface_core.media.color import ColorInfo
from dualface_core.media.probe import probe
from dualface_core.media.writer import VideoWriter

CODECS: tuple[Codec, ...] = ("h264", "hevc", "av1")


def number_in(text: str) -> int:
    return int(text.rsplit(maxsplit=1)[-1])


@pytest.mark.parametrize("codec", CODECS)
@pytest.mark.parametrize("preset", ["fast", "balanced", "best"])
def test_every_software_encoder_opens_with_its_settings(tmp_path: Path, codec: Codec, preset: str) -> None:
    spec = software_encoder(EncoderSettings(codec=codec, preset=preset))
    assert not spec.hardware
    rng = np.random.default_rng(0)
    planes = (rng.integers(0, 255, (64, 96), np.uint8), *(np.full((32, 48), 128, np.uint8) for _ in range(2)))
    with VideoWriter(
        tmp_path / "t.mp4",
        width=96,
        height=64,
        time_base=Fraction(1, 15),
        average_rate=Fraction(15),
        color=ColorInfo(),
        encoder=spec,
    ) as output:
        output.write(planes, 0)
    assert probe(tmp_path / "t.mp4").codec == codec


@pytest.mark.parametrize("codec", CODECS)
@pytest.mark.parametrize("kind", [software_encoder, nvenc_encoder])
def test_quality_is_one_scale_for_every_encoder(codec: Codec, kind: type) -> None:
    steps = [number_in(kind(EncoderSettings(codec=codec, quality=quality)).quality) for quality in range(52)]
    assert all(a <= b for a, b in pairwise(steps))
    assert steps[20] < steps[30] < steps[40]
    assert steps[0] >= 0
    assert steps[-1] <= (63 if codec == "av1" else 51)


def test_the_quality_of_x264_is_its_crf() -> None:
    spec = software_encoder(EncoderSettings(quality=27))
    assert (spec.name, spec.options["crf"], spec.quality) == ("libx264", "27", "crf 27")


@given(st.sampled_from(CODECS), st.sampled_from(["fast", "balanced", "best"]), st.integers(0, 51))
def test_nvenc_aims_at_a_quality_and_not_at_a_bit_rate(codec: Codec, preset: str, quality: int) -> None:
    spec = nvenc_encoder(EncoderSettings(codec=codec, preset=preset, quality=quality))
    assert spec.hardware
    assert spec.name == f"{codec}_nvenc"
    assert (spec.options["rc"], spec.options["b"]) == ("vbr", "0")
    assert int(spec.options["cq"]) > 0  # zero would mean "choose yourself"


def test_fast_means_the_same_for_every_encoder_though_x264_has_a_preset_of_that_name() -> None:
    assert software_encoder(EncoderSettings(preset="fast")).preset == "veryfast"
    assert nvenc_encoder(EncoderSettings(preset="fast")).preset == "p3"


def test_an_encoders_own_preset_is_passed_on() -> None:
    assert software_encoder(EncoderSettings(preset="ultrafast")).options["preset"] == "ultrafast"
    assert software_encoder(EncoderSettings(codec="av1", preset="12")).options["preset"] == "12"
    assert nvenc_encoder(EncoderSettings(preset="p7")).options["preset"] == "p7"


@pytest.mark.parametrize("preset", ["turbo", "p5", ""])
def test_an_unknown_preset_is_named_with_those_that_exist(preset: str) -> None:
    with pytest.raises(
        SettingsError, match=rf"libx264 has no preset '{preset}'\. Choose one of: fast, balanced, best, "
    ):
        software_encoder(EncoderSettings(preset=preset))


@pytest.mark.parametrize(
    "wrong", [{"quality": 52}, {"quality": -1}, {"codec": "vp9"}, {"encoder": "gpu"}, {"speed": 1}]
)
def test_settings_out_of_range_are_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        EncoderSettings.model_validate(wrong)


def test_the_encoder_may_be_given_as_a_word() -> None:
    assert EncoderSettings.model_validate({"encoder": "nvenc"}).encoder is EncoderKind.NVENC
