"""How long a run may take, by the length of its video.

Belongs here: the one number. The daemon ends a run that takes longer, and tries it again once; what hangs in NVENC is
found much sooner, by `dualface_core.rendering.isolated`. A run is told its limit as soon as a step knows how long the
video is; until then the limit of `dagster.yaml` holds, which is also the least.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import dagster as dg

if TYPE_CHECKING:  # PyAV is loaded by the step that needs it
    from dualface_core.media.probe import VideoInfo

MAX_RUNTIME: Final = "dagster/max_runtime"
"""Tag of a run: after so many seconds the daemon ends it."""

_LEAST: Final = 7200
"""Seconds that every run may take. A short video may wait for its turn behind long ones."""

_TIMES_ITS_LENGTH: Final = 30
"""The slowest that should ever happen: software, best preset, AV1, on a processor that does other things too."""


def limit_runtime(context: dg.OpExecutionContext | dg.AssetExecutionContext, video: VideoInfo) -> None:
    """Let this run take as long as this video may take."""
    seconds = _LEAST + round(_TIMES_ITS_LENGTH * video.duration)
    context.instance.add_run_tags(context.run.run_id, {MAX_RUNTIME: str(seconds)})
