"""How long a run and each of its steps may take, by the length of the video.

Belongs here: the limits, and the three watches that hold them, each for what the others cannot see. A step checks its
clock whenever a frame is done, and then fails with a sentence and is tried again. A step that hangs where no Python
code runs is ended with its process, by a thread that needs no Python either; where it hung is in the step's stderr. And
the daemon ends a run that takes longer than it may as a whole: see
https://docs.dagster.io/deployment/execution/run-monitoring. What hangs in NVENC is found much sooner, by
`dualface_core.rendering.isolated`.

A run gets its limit as a tag once a step knows how long the video is; until then the limit of `dagster.yaml` holds,
which is also the least.
"""

from __future__ import annotations

import faulthandler
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

import dagster as dg

from dualface_assets.runs.tags import MAX_RUNTIME
from dualface_core.errors import DualfaceError

if TYPE_CHECKING:  # PyAV is loaded by the step that needs it
    from dualface_core.media.probe import VideoInfo
    from dualface_core.pipeline import Progress

_LEAST: Final = 7200
"""Seconds that every run may take. A short video may wait for its turn behind long ones."""

_TIMES_ITS_LENGTH: Final = 30
"""The slowest that should ever happen: software, best preset, AV1, on a processor that does other things too."""

_LEAST_OF_A_STEP: Final = 1800
"""Seconds that every step may take: a machine may be busy with other things."""

_SLOW_DISK: Final = 10e6
"""Bytes per second."""

_GRACE: Final = 60.0
"""Seconds for a step to end by itself before its process is ended."""


class StepTimeoutError(DualfaceError):
    """A step takes longer than its video should ever need."""


def limit_runtime(context: dg.OpExecutionContext | dg.AssetExecutionContext, video: VideoInfo) -> None:
    """Let this run take as long as this video may take."""
    seconds = _LEAST + round(_TIMES_ITS_LENGTH * video.duration)
    context.instance.add_run_tags(context.run.run_id, {MAX_RUNTIME: str(seconds)})


def step_seconds(video: VideoInfo) -> float:
    """Seconds that one step may take."""
    return _LEAST_OF_A_STEP + _TIMES_ITS_LENGTH * video.duration


def reading_seconds(size_bytes: int) -> float:
    """Seconds that the step may take which finds out how long the video is."""
    return _LEAST_OF_A_STEP + size_bytes / _SLOW_DISK


@contextmanager
def in_time(seconds: float, *, grace: float = _GRACE) -> Iterator[Callable[[Progress], Progress]]:
    """See to it that the block ends within so many seconds.

    Yields a function that makes a progress callback check the clock: it raises StepTimeoutError when the time is
    over. If that does not help, this process is ended, with the tracebacks of all its threads on its stderr.
    """
    deadline = time.monotonic() + seconds

    def watched(progress: Progress) -> Progress:
        def checked(done: int, total: int) -> None:
            if time.monotonic() > deadline:
                raise StepTimeoutError(
                    f"This step has taken {seconds:.0f} s, more than a video of this length should ever need, and has "
                    f"come to frame {done} of {total}. Look whether the machine is busy or its disk is slow."
                )
            progress(done, total)

        return checked

    faulthandler.dump_traceback_later(seconds + grace, exit=True, file=sys.__stderr__ or sys.stderr)
    try:
        yield watched
    finally:
        faulthandler.cancel_dump_traceback_later()
