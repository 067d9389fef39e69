"""EncodeReport: what was asked of the encoder, what it did, and what was found when the result was decoded again."""

from __future__ import annotations

import platform
from importlib.metadata import version
from pathlib import Path
from typing import Final

from pydantic import BaseModel, ConfigDict

from dualface_core.advice.advisories import Advisory, warnings
from dualface_core.gpu.monitor import LoadSummary
from dualface_core.system.atomic_files import atomic_write
from dualface_core.verification.verify import Verification

_REPORTED_PACKAGES: Final = ("dualface", "av", "torch", "opencv-python-headless", "numpy")


class EncodeReport(BaseModel):
    """How a result was encoded. JSON beside the MP4.

    Attributes:
        encoder_requested: "auto", "nvenc" or "software".
        encoder_used: FFmpeg's name of the encoder that made the result.
        why: why it isn't what was asked for or preferred; None where it is.
        fallback: whether software did what NVENC should have done: it failed, could be made to work here, or was asked
            for.
        codec, quality, preset: what the encoder was set to.
        frames_in, frames_out: frames of the source and of the result.
        duration: seconds of the source; 0 in reports from before it was noted.
        size_bytes: of the result.
        sha256: of the result, in hex, as it was verified; empty before that.
        wall_seconds: time of the pass that made the result.
        frames_per_second: frames_out by wall_seconds.
        session_wait_seconds: time spent waiting for an NVENC session, here or in the attempt that failed before.
        driver: version of the NVIDIA driver; None without one.
        versions: of Python and the packages that matter.
        load: how busy this process and the GPU were while the video was processed; None if not sampled. With several
            videos processed at once it is the load of all of them.
        verification: what was found on decoding the result again; None before that.
        advisories: what a person should know of the result although it is right; none before it was verified.
    """

    model_config = ConfigDict(frozen=True)

    encoder_requested: str
    encoder_used: str
    why: str | None = None
    fallback: bool = False
    codec: str
    quality: str
    preset: str
    frames_in: int
    frames_out: int
    duration: float = 0.0
    size_bytes: int
    sha256: str = ""
    wall_seconds: float
    frames_per_second: float
    session_wait_seconds: float = 0.0
    driver: str | None = None
    versions: dict[str, str]
    load: LoadSummary | None = None
    verification: Verification | None = None
    advisories: list[Advisory] = []

    @property
    def warnings(self) -> list[str]:
        """A sentence for each thing that a person should know although the result is right, and what to do about it."""
        findings = self.verification.warnings if self.verification else []
        return [*warnings(self.advisories), *(finding.message for finding in findings)]

    def write(self, path: Path) -> None:
        """Write JSON: to a temporary name first, then renamed. Raises OutputError."""
        with atomic_write(path) as temporary:
            temporary.write_text(self.model_dump_json(indent=2) + "\n", encoding="utf-8")


def versions() -> dict[str, str]:
    """Versions of Python and of the packages that decide what a result looks like."""
    return {"python": platform.python_version(), **{name: version(name) for name in _REPORTED_PACKAGES}}
