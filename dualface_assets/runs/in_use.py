"""Whether a video is in use: a run works on it, or soon will.

Belongs here: what the instance knows of runs that are not over yet. What must not happen meanwhile is the caller's.
"""

from __future__ import annotations

from typing import Final

import dagster as dg

from dualface_assets.runs.dagster_internals import BulkActionsFilter, BulkActionStatus
from dualface_assets.runs.failures import BACK_OFF, WAITING
from dualface_assets.runs.tags import PARTITION, WILL_RETRY

CHECK_AGAIN: Final = "check_again"
"""Name of the job that only looks at a video. It makes nothing, so it is no answer to an upload or a failed run."""

ACTIVE: Final = (
    dg.DagsterRunStatus.QUEUED,
    dg.DagsterRunStatus.STARTING,
    dg.DagsterRunStatus.STARTED,
    dg.DagsterRunStatus.CANCELING,
)


def why_in_use(key: str, instance: dg.DagsterInstance, *, retries_later: bool = True) -> str | None:
    """Why a video is in use, for people; None if it is not, and is not about to be.

    Args:
        key: of the video.
        instance: knows its runs.
        retries_later: whether a failed run whose retry waits for a pause of minutes or hours counts.
    """
    statuses = [dg.DagsterRunStatus.NOT_STARTED, *ACTIVE, dg.DagsterRunStatus.FAILURE]
    for run in instance.get_runs(dg.RunsFilter(tags={PARTITION: key}, statuses=statuses)):
        if run.status is not dg.DagsterRunStatus.FAILURE:
            return f"run {run.run_id} is active ({run.status.value.lower()})"
        # Whether a failed run is tried again is tagged a moment later.
        undecided = instance.run_retries_enabled and WILL_RETRY not in run.tags
        if undecided or run.is_complete_and_waiting_to_retry or (retries_later and run.tags.get(BACK_OFF) == WAITING):
            return f"run {run.run_id} has failed and is about to be tried again"
    at_work = [BulkActionStatus.REQUESTED, BulkActionStatus.CANCELING, BulkActionStatus.FAILING]
    if backfills := instance.get_backfills(filters=BulkActionsFilter(statuses=at_work), limit=1):
        return f"the backfill {backfills[0].backfill_id} is active, and its runs may be yet to come"
    return None
