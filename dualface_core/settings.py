"""Settings of the library and its command: what is set from outside, with a default that works.

Belongs here: names, defaults and meanings, read from the environment (prefix `DUALFACE_`) and from a `.env` file.
Doesn't: parameters of the methods, which live with the methods, and what only the Dagster service needs
(`dualface_assets.settings`).
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, Self

import platformdirs
from pydantic import AliasChoices, Field, ValidationError
from pydantic_core import ErrorDetails
from pydantic_settings import BaseSettings, SettingsConfigDict

from dualface_core.encoding.settings import BackendKind, Codec, EncoderKind, EncoderSettings, check_preset
from dualface_core.errors import SettingsError
from dualface_core.media.limits import Limits
from dualface_core.tables.labels import SceneMode, Transition


def runtime_folder() -> Path:
    """The user's folder for slot files, the same for a shell, a service and a cron job on this host.

    So it depends on the user alone: /run/user goes away when its user logs out, while encodes may still run and hold
    slots, and TMPDIR and the XDG variables differ between a login and a service.
    """
    return Path(f"/tmp/dualface-{os.getuid()}")  # noqa: S108  made with mode 0700, and refused if another user made it


class EnvironmentSettings(BaseSettings):
    """Settings that are read from the environment. Immutable; make another to change one.

    A field that may hold a password has `repr=False`: its value is in no representation and in no error.
    """

    model_config = SettingsConfigDict(
        env_prefix="DUALFACE_", env_file=".env", extra="ignore", frozen=True, populate_by_name=True
    )

    @classmethod
    def load(cls) -> Self:
        """Read the environment. Raises SettingsError naming every setting that is not allowed."""
        try:
            return cls()
        except ValidationError as error:
            lines = [f"{cls._variable(item['loc'])}: {item['msg']}{cls._found(item)}" for item in error.errors()]
            raise SettingsError(f"Settings that are not allowed: {'; '.join(lines)}.") from None

    @classmethod
    def _found(cls, problem: ErrorDetails) -> str:
        """What a setting was found to be, unless it may hold a password."""
        field = cls.model_fields.get(str(problem["loc"][0])) if problem["loc"] else None
        return "" if field and not field.repr else f" (found {problem['input']!r})"

    @classmethod
    def _variable(cls, location: tuple[int | str, ...]) -> str:
        """The name under which a setting was given: of several the one that is set."""
        name = str(location[0]) if location else "settings"
        for field in cls.model_fields.values():
            if isinstance(field.validation_alias, AliasChoices) and name in field.validation_alias.choices:
                given = (str(choice) for choice in field.validation_alias.choices if str(choice) in os.environ)
                return next(given, name)
        return name if name.isupper() else f"DUALFACE_{name.upper()}"


class Settings(EnvironmentSettings):
    """The settings of one process."""

    runtime: Path = Field(
        default_factory=runtime_folder,
        description="NVENC slot files and counters, and which cores are in use: one folder per host.",
    )
    cache: Path = Field(
        default_factory=lambda: Path(platformdirs.user_cache_dir("dualface")),
        description="Sample material and what was found out about the GPU.",
    )
    nvenc_max_sessions: int = Field(
        default=2,
        ge=0,
        validation_alias=AliasChoices("DUALFACE_NVENC_MAX_SESSIONS", "NVENC_MAX_SESSIONS"),
        description="NVENC sessions at once per GPU, over all processes of this host.",
    )
    session_timeout: float = Field(
        default=30.0,
        gt=0,
        description="Longest wait for an NVENC session while its holders make no progress, in seconds.",
    )
    stall_timeout: float = Field(
        default=60.0, gt=0, description="An NVENC encode without a new frame for so many seconds is ended."
    )
    streams: int | None = Field(
        default=None,
        ge=1,
        validation_alias=AliasChoices("DUALFACE_STREAMS", "MULTISTREAM_BATCH_SIZE"),
        description="Videos in work at once in `dualface run`. Without it, what suits the machine.",
    )
    cores: int | None = Field(
        default=None,
        ge=1,
        description="Cores that all videos in work on this host share. Without it, those that a process may use.",
    )
    software_fallback: bool = Field(
        default=True,
        validation_alias=AliasChoices("DUALFACE_SOFTWARE_FALLBACK", "ENABLE_SOFTWARE_FALLBACK"),
        description="Whether software encode may replace NVENC that was chosen and fails.",
    )
    encoder: EncoderKind = Field(
        default=EncoderKind.AUTO,
        description="Who encodes: NVENC where it works (auto), NVENC (nvenc), or software.",
    )
    backend: BackendKind = Field(
        default=BackendKind.AUTO,
        description="What decodes and composes: a CUDA card where it works (auto, cuda), or the processor (cpu).",
    )
    gpu_memory: int | None = Field(
        default=None,
        ge=0,
        description="Bytes of a card's memory that the processes of a command may take together. Without it, "
        "6,000,000,000, and three quarters of what is free when they begin.",
    )
    codec: Codec = Field(default="h264", description="Video codec of the result.")
    quality: int = Field(default=20, ge=0, le=51, description="Quality on x264's CRF scale; smaller is better.")
    preset: str | None = Field(
        default=None,
        description='"fast", "balanced", "best", or a preset name of the encoder itself. Without it, "fast", or what '
        "suits the GPU.",
    )
    layout: str = Field(default="side-by-side", description="How the tiles lie on the canvas: a name, or a YAML file.")
    scenes: SceneMode = Field(
        default=SceneMode.AUTO,
        description="Whether what is shown follows what happens (auto), or there is one split throughout (off).",
    )
    transition: Transition = Field(
        default=Transition.EASED,
        description="How tiles change their places within a shot: slide and grow (eased), or change at once (hard).",
    )
    person_a: Path | None = Field(
        default=None,
        description="An image of the face of the person who is called A. Without it, A is on the left where both are "
        "first seen together.",
    )
    detect_every: int | None = Field(
        default=None, ge=1, description="Look for faces in every n-th frame. Without it, six times a second."
    )
    split_fields: bool = Field(
        default=False,
        description="Whether the two fields of an interlaced frame become a frame each (smoother, twice as many), "
        "instead of one.",
    )
    salvage: bool = Field(
        default=False,
        description="Whether a damaged video is decoded as far as it goes, its last good frame held over what is lost.",
    )
    max_pixels: int = Field(default=Limits.pixels, ge=1, description="Pixels that a frame may have, coded or shown.")
    max_frames: int = Field(default=Limits.frames, ge=1, description="Frames that a video may have.")
    max_streams: int = Field(default=Limits.streams, ge=1, description="Streams that a file may have.")
    max_seconds: float = Field(default=Limits.seconds, gt=0, description="Seconds that a video may last.")
    max_memory: int = Field(default=Limits.memory, ge=1, description="Bytes that frames may take while they are read.")
    detector_weights: Path | None = Field(default=None, description="Another file with YuNet's weights (ONNX).")
    embedder_weights: Path | None = Field(default=None, description="Another file with SFace's weights (ONNX).")

    def overlaid(self, **given: Any) -> Self:
        """These settings with some replaced; None leaves one as it is. Raises SettingsError."""
        chosen = {name: value for name, value in given.items() if value is not None}
        try:
            return self.model_validate({**self.model_dump(), **chosen})
        except ValidationError as error:
            wrong = "; ".join(f"{item['loc'][0]}: found {item['input']!r}. {item['msg']}" for item in error.errors())
            raise SettingsError(f"{wrong}.") from None

    @property
    def limits(self) -> Limits:
        """What a video may have at most."""
        return Limits(self.max_pixels, self.max_frames, self.max_streams, self.max_seconds, self.max_memory)

    def encoder_settings(self, *, preset: str = "fast") -> EncoderSettings:
        """What to encode with; `preset` is for settings that name none.

        Raises SettingsError for a preset that none of the encoders in question has.
        """
        chosen = EncoderSettings(
            encoder=self.encoder, codec=self.codec, quality=self.quality, preset=self.preset or preset
        )
        check_preset(chosen)
        return chosen
