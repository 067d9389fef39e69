"""The executor: a run is one process, which is known to live, yields, asks for its retries, and waits at rest.

Belongs here: what holds for each run, however it was started. The job's own tags say the same about retries, but a run
that *Materialize* starts is a run of a nameless job of Dagster's, which has none. A run that fails is tried again once.
One whose process is killed may be tried more often, since that says nothing about the video.

Dagster's in-process executor would do but for one thing: while all slots of a pool are taken it asks for one without a
pause, so that each waiting run keeps a processor busy, and it notices a free slot up to 15 seconds late (1.13.27,
`InstanceConcurrencyContext`). Hence the small pieces of Dagster's inside that are used here.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from itertools import pairwise
from typing import TYPE_CHECKING, Final

import dagster as dg

from dualface_assets.runs.dagster_internals import (
    EngineEventData,
    ExecuteRunWithPlanIterable,
    InstanceConcurrencyContext,
    PlanExecutionContextManager,
    RetryMode,
    RunFailureReason,
    inner_plan_execution_iterator,
)
from dualface_assets.runs.failures import repeated
from dualface_assets.runs.process_video import RETRIES
from dualface_assets.runs.tags import FAILURE_REASON, GRPC_INFO, RETRY_NUMBER, RETRY_ON_STEP_FAILURE
from dualface_assets.runs.workers import work_on
from dualface_core.system.threads import limit_library_threads

if TYPE_CHECKING:
    from dualface_assets.runs.dagster_internals import ExecutionPlan, PlanExecutionContext, PlanOrchestrationContext

_SECONDS_BETWEEN_CLAIMS: Final = 1.0

_NICER: Final = 10
"""Steps of niceness. Each is worth about a factor of 1.25 of processor time (sched(7))."""


class OneProcess(dg.Executor):
    """Executes all steps of a run in the process that the run was given, one after the other."""

    @property
    def retries(self) -> RetryMode:
        """Retry policies of single steps work, as in Dagster's own executors."""
        return RetryMode.ENABLED

    def execute(
        self, plan_context: PlanOrchestrationContext, execution_plan: ExecutionPlan
    ) -> Iterator[dg.DagsterEvent]:
        """Execute the plan, and yield what happens."""
        limit_library_threads()
        run, instance = plan_context.dagster_run, plan_context.instance
        work_on(run.run_id, instance)
        if GRPC_INFO in run.tags:
            # The launcher has asked a code server for a process of this run's own: what is done here, and in processes
            # that are started from here, may take all cores, but not from daemon, code server and web page. Any other
            # process is the caller's (`make demo`, a test), who could not take it back without being root.
            os.nice(_NICER)
        tags = {tag: value for tag, value in RETRIES.items() if tag not in run.tags}
        if run.parent_run_id and RETRY_ON_STEP_FAILURE in run.tags:
            tags[RETRY_ON_STEP_FAILURE] = "true"  # what was said of the run that this one repeats
        instance.add_run_tags(run.run_id, tags)
        for event in self._execute(plan_context, execution_plan):
            if event.is_step_failure and _failed_before(run, instance):
                instance.add_run_tags(run.run_id, {RETRY_ON_STEP_FAILURE: "false"})
            yield event

    def _execute(
        self, plan_context: PlanOrchestrationContext, execution_plan: ExecutionPlan
    ) -> Iterator[dg.DagsterEvent]:
        yield dg.DagsterEvent.engine_event(
            plan_context,
            f"Executing steps in process {os.getpid()}",
            event_specific_data=EngineEventData.in_process(os.getpid(), execution_plan.step_keys_to_execute),
        )
        yield from ExecuteRunWithPlanIterable(
            execution_plan=execution_plan,
            iterator=_steps,
            execution_context_manager=PlanExecutionContextManager(
                job=plan_context.job,
                retry_mode=plan_context.retry_mode,
                execution_plan=execution_plan,
                run_config=plan_context.run_config,
                dagster_run=plan_context.dagster_run,
                instance=plan_context.instance,
                raise_on_error=plan_context.raise_on_error,
                output_capture=plan_context.output_capture,
                step_dependency_config=self.step_dependency_config,
            ),
        )


@dg.executor(name="one_process")
def one_process(_: dg.InitExecutorContext) -> OneProcess:
    """All steps in one process: torch, the models and CUDA are loaded once, and the run is what is retried."""
    return OneProcess()


def _steps(job_context: PlanExecutionContext, execution_plan: ExecutionPlan) -> Iterator[dg.DagsterEvent]:
    with _Claims(job_context.instance, job_context.dagster_run) as claims:
        yield from inner_plan_execution_iterator(job_context, execution_plan, claims)


def _failed_before(run: dg.DagsterRun, instance: dg.DagsterInstance) -> bool:
    """Whether one of the runs that led to this one by themselves has failed in a step, rather than been killed."""
    for later, earlier in pairwise((run, *repeated(run, instance))):
        if RETRY_NUMBER not in later.tags:
            return False  # a person has started it, so it may fail once again
        if earlier.tags.get(FAILURE_REASON) == RunFailureReason.STEP_FAILURE.value:
            return True
    return False


class _Claims(InstanceConcurrencyContext):
    """Claims of this run to slots of pools, each asked for once a second."""

    def claim(self, concurrency_key: str, step_key: str, step_priority: int = 0) -> bool:
        """Ask for a slot, unless that was done within the last second."""
        self._pending_claim_counts[step_key] = 0  # from which Dagster works out a growing pause
        return super().claim(concurrency_key, step_key, step_priority)

    def interval_to_next_pending_claim_check(self) -> float:
        """Seconds for which the executor may sleep, there being nothing else to do."""
        due = min((self._pending_timeouts[step] for step in self._pending_claims), default=0.0)
        return min(max(0.0, due - time.time()), _SECONDS_BETWEEN_CLAIMS)
