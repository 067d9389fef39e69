"""The one seam to Dagster's inside: every name that Dagster does not export, with the reason why it is used.

Belongs here: imports of private modules, and what is changed in Dagster's programs. ruff and import-linter forbid both
elsewhere, and `tests/assets/runs/test_dagster_internals.py` says which promise another release has broken. Tried with
Dagster 1.13.27 and 1.13.28. The numbers are those of issues and pull requests of dagster-io/dagster.

| names | used by | reason |
|---|---|---|
| `ExecuteRunWithPlanIterable`, `PlanExecutionContextManager`, `inner_plan_execution_iterator`, `EngineEventData`, `RetryMode`, `PlanExecutionContext`, `PlanOrchestrationContext`, `ExecutionPlan` | `runs.executor` | What Dagster's own executors are made of. Its in-process executor takes no other claims of slots. |
| `InstanceConcurrencyContext` | `runs.executor` | Claims of pool slots (#13770): asks without a pause while a run in one process waits. |
| `CheckRunHealthResult`, `WorkerStatus`, `LaunchRunContext` | `runs.launcher` | What the methods of the exported `DefaultRunLauncher` take and give. It has no health check of its own (#4319). |
| `RunLauncher` | `runs.launcher` | What all launchers are, those of dagster-celery, dagster-k8s and dagster-docker, too. |
| `RunFailureReason`, `auto_reexecution_should_retry_run` | `runs.launcher`, `housekeeping` | A retry is lost if the code server is down when it is due (#14605, #20730). |
| `ExecuteRunArgs`, `unpack_value` | `runs.celery_launcher` | What a task of dagster-celery is given, which workers tell when they are asked. |
| `BulkActionsFilter`, `BulkActionStatus` | `runs.in_use` | What the exported `DagsterInstance.get_backfills` is asked with. |
| `SerializableErrorInfo` | `runs.failures` | What the event of a failed run holds of an error. |
| `AssetCheckEvaluationTargetMaterializationData` | `assets.checks` | What the exported `AssetCheckEvaluation` says of the materialization that it is about. |
| `EngineEventData` | `review_index` | What the exported `DagsterInstance.report_engine_event` takes. |
| `DAGSTER_EVENT_TYPES`, `_create_cursor_key` | `service.serve` | Where the daemon notes how far it has read of runs that ended. |
"""  # noqa: E501 - rows of a table

from __future__ import annotations

import atexit
from collections.abc import Callable, Mapping
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dagster._core.definitions.asset_checks.asset_check_evaluation import (
    AssetCheckEvaluationTargetMaterializationData,
)
from dagster._core.events import EngineEventData, RunFailureReason
from dagster._core.execution.api import ExecuteRunWithPlanIterable
from dagster._core.execution.backfill import BulkActionsFilter, BulkActionStatus
from dagster._core.execution.context_creation_job import PlanExecutionContextManager
from dagster._core.execution.plan.execute_plan import inner_plan_execution_iterator
from dagster._core.execution.plan.instance_concurrency_context import InstanceConcurrencyContext
from dagster._core.execution.retries import RetryMode, auto_reexecution_should_retry_run
from dagster._core.launcher.base import CheckRunHealthResult, LaunchRunContext, RunLauncher, WorkerStatus

if TYPE_CHECKING:
    import dagster as dg
    from dagster._core.execution.context.system import PlanExecutionContext, PlanOrchestrationContext
    from dagster._core.execution.plan.plan import ExecutionPlan
    from dagster_shared.error import SerializableErrorInfo

__all__ = [
    "AssetCheckEvaluationTargetMaterializationData",
    "BulkActionStatus",
    "BulkActionsFilter",
    "CheckRunHealthResult",
    "EngineEventData",
    "ExecuteRunWithPlanIterable",
    "ExecutionPlan",
    "InstanceConcurrencyContext",
    "LaunchRunContext",
    "PlanExecutionContext",
    "PlanExecutionContextManager",
    "PlanOrchestrationContext",
    "RetryMode",
    "RunFailureReason",
    "RunLauncher",
    "SerializableErrorInfo",
    "WorkerStatus",
    "auto_reexecution_should_retry_run",
    "begin_reading_events",
    "code_server_answers",
    "inner_plan_execution_iterator",
    "keep_databases_open",
    "read_migrations_once",
    "run_of_task",
    "run_web_page",
]


def begin_reading_events(instance: dg.DagsterInstance) -> None:
    """Have the daemon look for runs that end from now on, where it has never looked.

    By itself it does the same, and writes two warnings that nobody can do anything about ("No cursor for event type").
    """
    from dagster._daemon.auto_run_reexecution.event_log_consumer import DAGSTER_EVENT_TYPES, _create_cursor_key

    cursors = instance.daemon_cursor_storage
    keys = {_create_cursor_key(kind) for kind in DAGSTER_EVENT_TYPES}
    latest = str(instance.event_log_storage.get_maximum_record_id() or 0)
    cursors.set_cursor_values({**dict.fromkeys(keys, latest), **cursors.get_cursor_values(keys)})


def code_server_answers(socket: Path) -> bool:
    """Whether a code server answers on a socket.

    `dagster api grpc-health-check` says the same, but takes a second of processor time to start.
    """
    from dagster._core.errors import DagsterUserCodeUnreachableError
    from dagster._grpc.client import DagsterGrpcClient

    try:
        DagsterGrpcClient(socket=str(socket)).ping("")
    except DagsterUserCodeUnreachableError:
        return False
    return True


def run_of_task(arguments: Mapping[str, Any]) -> str:
    """The run that a task of dagster-celery's run launcher executes, given the arguments of the task."""
    from dagster._grpc.types import ExecuteRunArgs
    from dagster._serdes import unpack_value

    return unpack_value(arguments["execute_job_args_packed"], as_type=ExecuteRunArgs).run_id


def read_migrations_once() -> None:
    """Let this process read the migrations of each kind of database once.

    Whenever Dagster opens one of its databases (SQLite) it checks whether that is up to date, and to know what that
    means it executes all migrations that there ever were. Every tick of every sensor opens three, and every run has one
    of its own. No issue of Dagster's is known.

    Raises:
        RuntimeError: this Dagster reads its migrations in another way.
    """
    from alembic.script import ScriptDirectory
    from dagster._core.storage import sql

    once = cache(ScriptDirectory.from_config)  # Dagster has one configuration per kind of database
    ScriptDirectory.from_config = once  # type: ignore[method-assign]  # patched on purpose
    if getattr(sql, "ScriptDirectory", None) is not ScriptDirectory:
        raise RuntimeError("This Dagster reads its migrations in another way: see runs/dagster_internals.py.")


def keep_databases_open() -> None:
    """Let this process, which works on one run, open each of Dagster's databases once, where they are SQLite's.

    For each event and each question Dagster makes an engine and a connection, and both forget what they know of
    statements and tables; and when the last connection of all processes is closed, SQLite puts its log away, which
    waits for the disk again. No issue of Dagster's is known. A process that sees many runs must not keep their files.

    Raises:
        RuntimeError: this Dagster opens its databases in another way.
    """
    from dagster._core.storage.event_log.sqlite import sqlite_event_log
    from dagster._core.storage.runs.sqlite import sqlite_run_storage
    from sqlalchemy import Engine, QueuePool, create_engine

    class Kept(QueuePool):
        def dispose(self) -> None:
            """Leave it as it is: Dagster does so after each use."""

        def recreate(self) -> QueuePool:
            return self

    engines: dict[str, Engine] = {}

    @atexit.register
    def close() -> None:
        for engine in engines.values():
            QueuePool.dispose(engine.pool)  # type: ignore[arg-type]  # it is one

    def opened_once(address: str, **options: Any) -> Engine:
        if address not in engines:
            engines[address] = create_engine(address, **options | {"poolclass": Kept, "pool_size": 1})
        return engines[address]

    storages = sqlite_event_log, sqlite_run_storage
    if any(getattr(storage, "create_engine", None) is not create_engine for storage in storages):
        raise RuntimeError("This Dagster opens its databases in another way: see runs/dagster_internals.py.")
    for storage in storages:
        storage.create_engine = opened_once  # type: ignore[attr-defined]  # patched on purpose


def run_web_page(guard: Callable[[Any], Any]) -> None:
    """Run Dagster's web page, by the arguments of this process, behind a guard.

    Dagster's command has no place for middleware of ours, and checks no `Origin` (#19873 has a warning only). The
    guard stands between it and the server, which is uvicorn.

    Args:
        guard: ASGI middleware, given the application.

    Raises:
        RuntimeError: this Dagster serves its web page in another way, so that the guard would not be there.
    """
    import uvicorn
    from dagster_webserver import cli

    configure = uvicorn.Config.__init__

    def configure_guarded(config: uvicorn.Config, app: Any, *arguments: Any, **options: Any) -> None:
        configure(config, guard(app), *arguments, **options)

    uvicorn.Config.__init__ = configure_guarded  # type: ignore[assignment, method-assign]  # patched on purpose
    if getattr(cli, "uvicorn", None) is not uvicorn:
        raise RuntimeError("This Dagster would serve its web page unguarded: see runs/dagster_internals.py.")
    cli.main()  # type: ignore[no-untyped-call]  # of Dagster
