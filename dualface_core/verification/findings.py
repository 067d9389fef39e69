"""What a verification says: findings, each with a figure, and whether they let a result pass.

Belongs here: the values alone. They go into reports and asset checks as JSON.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Literal

from pydantic import BaseModel, ConfigDict


class Check(StrEnum):
    """What is looked at. A check that is about a tile gives a finding per tile."""

    READABLE = "readable"
    SIZE = "size"
    CODEC = "codec"
    COLOR = "color"
    FRAME_COUNT = "frame count"
    TIMESTAMPS = "timestamps"
    AUDIO = "audio"
    AUDIO_PACKETS = "audio packets"
    AUDIO_TIMING = "audio timing"
    AUDIO_CONTENT = "audio content"
    DRIFT = "drift"
    METADATA = "metadata"
    BLACK = "black"
    FROZEN = "frozen"
    LIP_SYNC = "lip sync"
    SSIM = "ssim"
    DETAIL = "detail"
    CROP = "crop"
    QUALITY = "quality"
    FACE = "face"
    IDENTITY = "identity"
    PEOPLE = "people"
    DOUBLED = "doubled"
    BACKGROUND = "background"
    BARS = "bars"
    SEAMS = "seams"

    @classmethod
    def _missing_(cls, value: object) -> Check | None:
        """The names that reports of earlier versions have."""
        return {"colour": cls.COLOR, "likeness": cls.SSIM}.get(str(value))


class CheckGroup(StrEnum):
    """Checks that belong together for a viewer: the asset checks of a result."""

    FILE = "file"
    TIMING = "timing"
    AUDIO = "audio"
    FRAMES = "frames"
    PEOPLE = "people"


class Finding(BaseModel):
    """One thing that was looked at.

    Attributes:
        check: what was looked at.
        passed: whether it is as expected.
        severity: what it means if it is not: "error" keeps a result from being published, "warning" doesn't.
        value: the figure that was found.
        expected: what it should be, in words.
        message: a plain sentence.
    """

    model_config = ConfigDict(frozen=True)

    check: Check
    passed: bool
    severity: Literal["error", "warning"] = "error"
    value: float | int | str | None
    expected: str
    message: str


class Verification(BaseModel):
    """All findings about one result."""

    model_config = ConfigDict(frozen=True)

    findings: list[Finding]

    @property
    def passed(self) -> bool:
        """True if the result may be published: no error was found."""
        return not self.failures

    @property
    def failures(self) -> list[Finding]:
        """The errors."""
        return [finding for finding in self.findings if not finding.passed and finding.severity == "error"]

    @property
    def warnings(self) -> list[Finding]:
        """What a person should know, though the result is right."""
        return [finding for finding in self.findings if not finding.passed and finding.severity == "warning"]


def clock(seconds: float) -> str:
    """A time in a message, such as 1:02:03.4."""
    tenths = round(max(0.0, seconds) * 10)
    minutes, tenths = divmod(tenths, 600)
    hours, minutes = divmod(minutes, 60)
    head = f"{hours}:{minutes:02d}" if hours else str(minutes)
    return f"{head}:{tenths // 10:02d}.{tenths % 10}"
