"""The scenario in which many uploads come at once."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path

import dagster as dg

from tests.end_to_end.service import Service

AT_WORK = [dg.DagsterRunStatus.STARTING, dg.DagsterRunStatus.STARTED, dg.DagsterRunStatus.CANCELING]


@dataclass(frozen=True)
class Crowd:
    """What was seen.

    Attributes:
        most_at_once: runs that were at work at the same time, at most.
        runs: all of them.
        seconds: from the first upload until the last run has ended.
    """

    most_at_once: int
    runs: int
    seconds: float


def upload_many(service: Service, clip: Path, *, uploads: int) -> Crowd:
    """Put so many different videos into the inbox in one go, and wait until all is made and at rest."""
    service.up()
    started = time.monotonic()
    service.drop_many(clip, uploads)
    most = 0

    def all_made() -> bool:
        nonlocal most
        most = max(most, service.instance.get_runs_count(dg.RunsFilter(statuses=AT_WORK)))
        return len(service.host.results()) == uploads and service.at_rest()

    service.wait_for(all_made, f"{uploads} results", seconds=60 + 30 * uploads)
    return Crowd(most, len(service.runs()), time.monotonic() - started)
