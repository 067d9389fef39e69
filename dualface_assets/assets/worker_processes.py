"""The resource that does the spans of a run's videos, in processes that are kept from step to step.

See https://docs.dagster.io/guides/build/external-resources.
"""

from collections.abc import Iterator

import dagster as dg

from dualface_core import pipeline
from dualface_core.engine.workers import Workers
from dualface_core.settings import Settings


@dg.resource
def worker_processes(_: dg.InitResourceContext) -> Iterator[Workers]:
    """Processes of this run. They share the cores of the host with all other runs, and with `dualface run`."""
    with pipeline.worker_processes(Settings.load()) as workers:
        yield workers
