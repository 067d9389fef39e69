"""EncodeReport: what was asked of the encoder, what it did, and what was found when the result was decoded again."""

from __future__ import annotations

import platform
from importlib.metadata import version
from pathlib import Path
from typing import Final

from pydantic import BaseModel, ConfigDict

from dualface_core.advice.advisories import Advisory, warnings
from dualface_core.engine.stages import Stage
from dualface_core.errors import ChangedPlanError
from dualface_core.gpu.monitor import LoadSummary
from dualface_core.system.atomic_files import atomic_write
from dualface_core.tables.scenes import TimedScene, summary
from dualface_core.tables.tile_plan import TilePlan
from dualface_core.verification.verify import Verification

_SHOWN: Final = 12
"""Hex digits of a SHA-256 in a message."""

_REPORTED_PACKAGES: Final = ("dualface", "av", "onnxruntime", "opencv-python-headless", "numpy")


class EncodeReport(BaseModel):
    """How a result was encoded. JSON beside the MP4.

    What a report from before a field was noted does not say is 0 or empty.

    Attributes:
        source: what the source's file was called.
        layout: name of the layout.
        scenes: what is shown when, and why.
        plan_sha256: of the tile plan that the result was made from (`TilePlan.sha256`), in hex.
        encoder_requested: "auto", "nvenc" or "software".
        encoder_used: FFmpeg's name of the encoder that made the result.
        why: why it isn't what was asked for or preferred; None where it is.
        fallback: whether software did what NVENC should have done: it failed, could be made to work here, or was asked
            for.
        backend: what decoded and composed, "cpu" or "cuda", and why; with a software encoder, in how many spans, or why
            in one pass.
        codec, quality, preset: what the encoder was set to.
        frames_in, frames_out: frames of the source and of the result.
        duration: seconds of the source.
        size_bytes: of the result.
        sha256: of the result, in hex, as it was verified; empty before that.
        wall_seconds: time of the pass that made the result.
        frames_per_second: frames_out by wall_seconds.
        session_wait_seconds: time spent waiting for an NVENC session, here or in the attempt that failed before.
        driver: version of the NVIDIA driver; None without one.
        versions: of Python and the packages that matter.
        stages: where the time went, step by step, of those steps that this process has made.
        load: how busy this process and the GPU were while the video was processed; None if not sampled. With several
            videos processed at once it is the load of all of them.
        verification: what was found on decoding the result again; None before that.
        lost: begin and end, in seconds, of what of a damaged source could not be decoded; the last good frame is held
            there.
        advisories: what a person should know of the result although it is right; none before it was verified.
    """

    model_config = ConfigDict(frozen=True)

    source: str = ""
    layout: str = ""
    scenes: list[TimedScene] = []
    plan_sha256: str = ""
    encoder_requested: str
    encoder_used: str
    why: str | None = None
    fallback: bool = False
    backend: str = ""
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
    stages: list[Stage] = []
    load: LoadSummary | None = None
    verification: Verification | None = None
    advisories: list[Advisory] = []
    lost: list[tuple[float, float]] = []

    @property
    def scenes_summary(self) -> str:
        """How many scenes there are, and how much of the time each kind takes; empty if no scenes were noted."""
        return summary(self.scenes)

    @property
    def warnings(self) -> list[str]:
        """A sentence for each thing that a person should know although the result is right, and what to do about it."""
        findings = self.verification.warnings if self.verification else []
        return [*warnings(self.advisories), *(finding.message for finding in findings)]

    def check_plan(self, plan: TilePlan, result: Path) -> None:
        """Raise ChangedPlanError if `result`, which this report is about, was made from another plan."""
        if self.plan_sha256 in {"", plan.sha256}:
            return
        found = (
            f"made from another tile plan ({self.layout}, {self.plan_sha256[:_SHOWN]}) than the one that is there now "
            f"({plan.layout.name}, {plan.sha256[:_SHOWN]})"
        )
        raise ChangedPlanError(result, found, action="Make the result again from this plan.")

    def write(self, path: Path) -> None:
        """Write JSON: to a temporary name first, then renamed. Raises OutputError."""
        with atomic_write(path) as temporary:
            temporary.write_text(self.model_dump_json(indent=2) + "\n", encoding="utf-8")


def versions() -> dict[str, str]:
    """Versions of Python and of the packages that decide what a result looks like."""
    return {"python": platform.python_version(), **{name: version(name) for name in _REPORTED_PACKAGES}}
