"""The executor: all steps of a run in one process, which waits for the slots of pools at rest.

Belongs here: what Dagster lets an executor decide (https://docs.dagster.io/guides/operate/run-executors). The models
and CUDA are loaded once, and the run is what is retried.

Dagster's in-process executor would do but for one thing: while all slots of a pool are taken it asks for one without a
pause, so that each waiting run keeps a processor busy, and it notices a free slot up to 15 seconds late. See
docs/decisions/0009.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from typing import TYPE_CHECKING, Final

import dagster as dg

from dualface_assets.runs.dagster_internals import (
    EngineEventData,
    ExecuteRunWithPlanIterable,
    InstanceConcurrencyContext,
    PlanExecutionContextManager,
    RetryMode,
    inner_plan_execution_iterator,
)
from dualface_assets.runs.workers import work_on
from dualface_core.system.garbage import collect_rarely
from dualface_core.system.threads import limit_library_threads

if TYPE_CHECKING:
    from dualface_assets.runs.dagster_internals import ExecutionPlan, PlanExecutionContext, PlanOrchestrationContext

_SECONDS_BETWEEN_CLAIMS: Final = 1.0


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
        work_on(plan_context.dagster_run, plan_context.instance)
        limit_library_threads()
        collect_rarely()
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
    """All steps in one process."""
    return OneProcess()


def _steps(job_context: PlanExecutionContext, execution_plan: ExecutionPlan) -> Iterator[dg.DagsterEvent]:
    with _Claims(job_context.instance, job_context.dagster_run) as claims:
        yield from inner_plan_execution_iterator(job_context, execution_plan, claims)


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
