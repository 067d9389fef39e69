"""The launcher: a run asks for its retries when it is launched, and one whose process is gone is ended.

Belongs here: what Dagster lets a run launcher decide (https://docs.dagster.io/deployment/execution/run-launchers), for
every run that the web page, a sensor, a schedule or the daemon starts. A run in the caller's process (`make demo`) has
no launcher; it has its job's own tags.

Retries (https://docs.dagster.io/deployment/execution/run-retries) are asked for by tags of a run. Our job has them, but
a run that *Materialize* starts is one of a nameless job of Dagster's, which has none; and no setting of the instance
names a strategy. A run that fails in a step is tried again once. One whose process is killed may be tried more often,
since that says nothing about the video.

Where a run's process dies alone, Dagster's code server ends the run within a second. A process that goes down together
with its code server is missed by run monitoring (https://docs.dagster.io/deployment/execution/run-monitoring), which
asks the launcher about each started run. Dagster's default launcher has no answer, so that such a run would stay
"started" until its maximum runtime. Ours checks the lock files of `workers`.
"""

from __future__ import annotations

import json
import time
from itertools import pairwise
from typing import Any, Final

import dagster as dg

from dualface_assets.runs.dagster_internals import (
    CheckRunHealthResult,
    LaunchRunContext,
    RunFailureReason,
    RunLauncher,
    WorkerStatus,
)
from dualface_assets.runs.failures import AFTER_AN_INTERRUPTION, BACK_OFF, NONE, OVER, repeated
from dualface_assets.runs.process_video import RETRIES
from dualface_assets.runs.tags import FAILURE_REASON, GRPC_INFO, MAX_RETRIES, RETRY_NUMBER, RETRY_ON_STEP_FAILURE
from dualface_assets.runs.workers import worker_of

_MOST_RETRIES: Final = 20
"""A machine that goes down is not counted as a try of what it worked on; but a video that brings it down must end."""

_PROCESS_GONE: Final = "The process that worked on this run is gone: it was killed, or the machine went down."


class AsksForRetries(RunLauncher[Any]):
    """In front of a launcher of Dagster's: runs ask for the retries that they may have."""

    def launch_run(self, context: LaunchRunContext) -> None:
        """Tag the run with the retries it may have, and launch it."""
        run = context.dagster_run
        self._instance.add_run_tags(run.run_id, retry_tags(run, self._instance))
        super().launch_run(context)  # type: ignore[safe-super]  # it comes before a launcher that has one


class WorkerOfItsOwn(AsksForRetries):
    """In front of a launcher that starts a worker for each run, and can be asked about it, such as a container."""

    def check_run_worker_health(self, run: dg.DagsterRun) -> CheckRunHealthResult:
        """Whether a run has its worker. That it has none any more does not count as a failure of the run's."""
        answer = self._ask(run)
        if answer.status in {WorkerStatus.RUNNING, WorkerStatus.SUCCESS}:
            return answer
        return process_gone(run, self._instance, answer.msg or "")

    def _ask(self, run: dg.DagsterRun) -> CheckRunHealthResult:
        return super().check_run_worker_health(run)


class WatchfulRunLauncher(AsksForRetries, dg.DefaultRunLauncher):
    """Launches runs by their code server, as Dagster's default does, and knows whether their processes live."""

    @property
    def supports_check_run_worker_health(self) -> bool:
        """It does."""
        return True

    def check_run_worker_health(self, run: dg.DagsterRun) -> CheckRunHealthResult:
        """Whether a started run has a process. The daemon fails a run that has none, and then retries it.

        A run of another machine's code server is none of ours to judge.
        """
        worker = worker_of(run.run_id, self._instance)
        if worker.alive if worker else not self._is_overdue(run):
            return CheckRunHealthResult(WorkerStatus.RUNNING)
        return process_gone(run, self._instance)

    def _is_overdue(self, run: dg.DagsterRun) -> bool:
        """Whether a run that no process has shown itself for should have one by now, on this machine."""
        record = self._instance.get_run_record_by_id(run.run_id)
        waited = time.time() - record.update_timestamp.timestamp() if record else 0.0
        on_this_machine = "socket" in json.loads(run.tags.get(GRPC_INFO, "{}"))
        return on_this_machine and waited > self._instance.run_monitoring_start_timeout_seconds


def process_gone(run: dg.DagsterRun, instance: dg.DagsterInstance, found: str = "") -> CheckRunHealthResult:
    """The answer for a run whose process, and what has launched it, went down: it may be tried once more for that.

    Args:
        run: which is told so.
        instance: that of the run.
        found: what is known of its end.
    """
    retries = run.tags.get(MAX_RETRIES, "")
    if retries.isdecimal() and 0 < int(retries) < _MOST_RETRIES:
        instance.add_run_tags(run.run_id, {MAX_RETRIES: str(int(retries) + 1)})
    return CheckRunHealthResult(
        WorkerStatus.NOT_FOUND, " ".join(filter(None, (_PROCESS_GONE, found, AFTER_AN_INTERRUPTION)))
    )


def retry_tags(run: dg.DagsterRun, instance: dg.DagsterInstance) -> dict[str, str]:
    """The tags that a run needs so that it is retried as it should be.

    A retry inherits the tags of the run that failed, also where a person starts it. What was permanent then, such as a
    wrong setting, may have been put right.
    """
    tags = {tag: value for tag, value in RETRIES.items() if tag not in run.tags}
    if run.parent_run_id:
        tags[BACK_OFF] = NONE
        tags[RETRY_ON_STEP_FAILURE] = "false" if _failed_before(run, instance) else "true"
    return tags


def _failed_before(run: dg.DagsterRun, instance: dg.DagsterInstance) -> bool:
    """Whether one of the runs that led to this one by themselves has failed in a step, rather than been killed."""
    for later, earlier in pairwise((run, *repeated(run, instance))):
        if RETRY_NUMBER not in later.tags:
            return False  # a person has started it, so it may fail once again
        failed = earlier.tags.get(FAILURE_REASON) == RunFailureReason.STEP_FAILURE.value
        if failed and earlier.tags.get(BACK_OFF) != OVER:
            return True
    return False
