"""What can be chosen for one run, in the launchpad or by `--config`; what is not chosen is as in the settings.

Belongs here: the choices as Dagster's config schema, so that the launchpad offers them and refuses others before
anything runs. Dagster shows the names of an enum's members, so each is named as people write it. Its schema has no
ranges and cannot tell which presets an encoder has: these are refused when the run is launched, by `encoder_config`.
See https://docs.dagster.io/guides/operate/configuration/run-configuration.
"""

from enum import StrEnum
from typing import Any

import dagster as dg
from pydantic import Field

from dualface_core.errors import SettingsError
from dualface_core.settings import Settings

LayoutName = StrEnum(
    "LayoutName",
    ["side-by-side", "stacked", "square", "four-by-five", "vertical-solo", "picture-in-picture", "wide-plus-two"],
)
SceneModeName = StrEnum("SceneModeName", ["auto", "off"])
TransitionName = StrEnum("TransitionName", ["eased", "hard"])
EncoderName = StrEnum("EncoderName", ["auto", "nvenc", "software"])
CodecName = StrEnum("CodecName", ["h264", "hevc", "av1"])


class _RunConfig(dg.Config):
    def settings(self) -> Settings:
        """The settings, with what is given here over them. Raises SettingsError."""
        return Settings.load().overlaid(**self.model_dump(mode="json"))


class RawVideoConfig(_RunConfig):
    """How the upload is read."""

    salvage: bool | None = Field(
        default=None,
        description="Whether a damaged video is decoded as far as it goes, its last good frame held over what is lost.",
    )


class TracksConfig(_RunConfig):
    """Who is who."""

    person_a: str | None = Field(
        default=None,
        description="Path of an image of the face of the person who is called A. Without it, A is on the left where "
        "both are first seen together.",
    )


class TilesConfig(_RunConfig):
    """How the tiles are composed."""

    layout: LayoutName | None = Field(default=None, description="How the tiles lie on the canvas.")
    layout_file: str | None = Field(
        default=None, description="A layout of your own, in place of it: a YAML file on the machine that runs this."
    )
    scenes: SceneModeName | None = Field(
        default=None,
        description="Whether what is shown follows what happens (auto), or there is one split throughout (off).",
    )
    transition: TransitionName | None = Field(
        default=None,
        description="How tiles change their places within a shot: slide and grow (eased), or change at once (hard).",
    )

    def settings(self) -> Settings:
        """The settings, with what is given here over them. Raises SettingsError."""
        given = self.model_dump(mode="json")
        given["layout"] = given.pop("layout_file") or given["layout"]
        return Settings.load().overlaid(**given)


class EncoderConfig(_RunConfig):
    """How the result is encoded."""

    encoder: EncoderName | None = Field(
        default=None, description="Who encodes: NVENC where it works (auto), NVENC (nvenc), or software."
    )
    codec: CodecName | None = Field(default=None, description="Video codec of the result.")
    quality: int | None = Field(
        default=None, ge=0, le=51, description="Quality on x264's CRF scale, from 0 to 51; smaller is better."
    )
    preset: str | None = Field(
        default=None,
        description='"fast", "balanced" or "best", or a preset of the encoder itself: p1 to p7 of NVENC, ultrafast to '
        "placebo of x264 and x265, 0 to 13 of SVT-AV1.",
    )


@dg.config_mapping(config_schema=EncoderConfig.to_fields_dict())
def encoder_config(given: dict[str, Any]) -> dict[str, Any]:
    """The configuration of `encoded_video` as that of its first step.

    Raises DagsterInvalidConfigError for a quality outside its range and for a preset that the encoder does not have.
    """
    try:
        if given:
            Settings.load().overlaid(**given).encoder_settings()
    except SettingsError as error:
        message = f"encoded_video cannot be configured like this. {error}"
        raise dg.DagsterInvalidConfigError(message, [], given) from None  # type: ignore[no-untyped-call]  # of Dagster
    return {"choose_encoder": {"config": given}}
