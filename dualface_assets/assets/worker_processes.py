"""The resources that are kept from step to step of a run: its processes, and what these have seen of its result.

See https://docs.dagster.io/guides/build/external-resources.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, ExitStack
from typing import TYPE_CHECKING

import dagster as dg

from dualface_core import pipeline
from dualface_core.engine.workers import Workers
from dualface_core.settings import Settings

if TYPE_CHECKING:  # PyAV is loaded by the step that needs it
    from dualface_core.verification.ahead import Ahead


@dg.resource
def worker_processes(_: dg.InitResourceContext) -> Iterator[Workers]:
    """Processes of this run. They share the cores of the host with all other runs, and with `dualface run`."""
    with pipeline.worker_processes(Settings.load()) as workers:
        yield workers


class SeenAhead:
    """What is seen of a result by the step that encodes it, for the step that verifies it, if one process does both."""

    def __init__(self) -> None:
        self._open = ExitStack()
        self._ahead: Ahead | None = None

    def begin(self, looking: AbstractContextManager[Ahead | None]) -> Ahead | None:
        """Look at a result until `end`; None where that cannot be done."""
        self.end()
        self._ahead = self._open.enter_context(looking)
        return self._ahead

    @property
    def found(self) -> Ahead | None:
        """What is seen; None where nothing was begun in this process."""
        return self._ahead

    def end(self) -> None:
        """Stop what is in work, and forget what was seen."""
        self._ahead = None
        self._open.close()


@dg.resource(required_resource_keys={"workers"})
def seen_ahead(_: dg.InitResourceContext) -> Iterator[SeenAhead]:
    """What this run's workers see of its result before that is verified. It ends before they do."""
    seen = SeenAhead()
    try:
        yield seen
    finally:
        seen.end()
