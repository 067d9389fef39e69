"""The resource that encodes on the GPU, so that a test or a deployment swaps it in one place.

See https://docs.dagster.io/guides/build/external-resources.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import dagster as dg

from dualface_core import pipeline
from dualface_core.settings import Settings

if TYPE_CHECKING:  # PyAV is loaded by the step that needs it
    from dualface_core.media.probe import VideoInfo
    from dualface_core.media.span_files import SpanFile
    from dualface_core.pipeline import Progress
    from dualface_core.rendering.choice import EncoderChoice
    from dualface_core.rendering.report import EncodeReport
    from dualface_core.tables.tile_plan import TilePlan


class GpuResource(dg.ConfigurableResource):  # type: ignore[type-arg]  # Dagster's own examples give none
    """The GPU's encoder: whether it is the one to use, and one of its sessions to encode in."""

    def choose(self, settings: Settings) -> EncoderChoice:
        """Decide between NVENC and software. Raises EncoderError where only NVENC will do and it doesn't work here."""
        from dualface_core.rendering.choice import choose_encoder

        return choose_encoder(settings)

    def render(
        self,
        video: VideoInfo,
        plan: TilePlan,
        output: Path,
        choice: EncoderChoice,
        *,
        settings: Settings,
        fingerprints: Path | None = None,
        kept: Path | None = None,
        encoded: Callable[[SpanFile], None] | None = None,
        progress: Progress | None = None,
    ) -> EncodeReport:
        """Render with NVENC, in one of the GPU's sessions. Raises EncoderError."""
        return pipeline.render_with_nvenc(
            video,
            plan,
            output,
            choice,
            settings=settings,
            fingerprints=fingerprints,
            kept=kept,
            encoded=encoded,
            progress=progress,
        )
