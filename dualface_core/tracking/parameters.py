"""How faces are looked for."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field


class TrackParameters(BaseModel):
    """How faces are looked for. The defaults suit two people who talk."""

    model_config = ConfigDict(frozen=True)

    detect_every: int | None = Field(
        default=None, ge=1, description="Look for faces in every n-th frame. Without it, `looks_per_second`."
    )
    looks_per_second: float = Field(default=6.0, gt=0, description="How often to look for faces.")
    max_width: int = Field(
        default=640, ge=64, description="Longer side of the image in which faces are looked for, in pixels."
    )
    score_threshold: float = Field(default=0.6, ge=0, le=1, description="A face that scores less begins no track.")
    faint_threshold: float = Field(
        default=0.35, ge=0, le=1, description="A face that scores less than `score_threshold`, but this, extends one."
    )
    keep_prototypes: bool = Field(
        default=False, description="Store each person's mean embedding in the table: biometric data."
    )
