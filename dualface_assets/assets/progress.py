"""Progress of a long step, as lines in the run's log."""

from __future__ import annotations

import time
from typing import Final

import dagster as dg

from dualface_core.pipeline import Progress

_SECONDS_BETWEEN_LINES: Final = 10.0


def logged(context: dg.OpExecutionContext | dg.AssetExecutionContext, what: str) -> Progress:
    """A callback that logs how far `what` has come, every few seconds."""
    started = last = time.monotonic()

    def progress(done: int, total: int) -> None:
        nonlocal last
        now = time.monotonic()
        if now - last >= _SECONDS_BETWEEN_LINES:
            last = now
            context.log.info("%s: %d of %d frames (%.0f a second)", what, done, total, done / (now - started))

    return progress
