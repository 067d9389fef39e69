"""What `dagster_internals` and `tags` rely on: a Dagster that changed it fails here, and says where to look."""

from __future__ import annotations

import inspect
import logging
import subprocess
import sys
from collections.abc import Callable

import dagster as dg
import pytest
from alembic.script import ScriptDirectory

from dualface_assets.runs import dagster_internals as internals
from dualface_assets.runs import tags
from tests.dagster_internals import TableMetadataSet, dagster_tags, event_log_consumer, sql, sqlite_run_storage


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        (tags.PARTITION, dagster_tags.PARTITION_NAME_TAG),
        (tags.RUN_KEY, dagster_tags.RUN_KEY_TAG),
        (tags.MAX_RETRIES, dagster_tags.MAX_RETRIES_TAG),
        (tags.RETRY_STRATEGY, dagster_tags.RETRY_STRATEGY_TAG),
        (tags.RETRY_ON_STEP_FAILURE, dagster_tags.RETRY_ON_ASSET_OR_OP_FAILURE_TAG),
        (tags.RETRY_NUMBER, dagster_tags.RETRY_NUMBER_TAG),
        (tags.FAILURE_REASON, dagster_tags.RUN_FAILURE_REASON_TAG),
        (tags.WILL_RETRY, dagster_tags.WILL_RETRY_TAG),
        (tags.AUTO_RETRY_RUN_ID, dagster_tags.AUTO_RETRY_RUN_ID_TAG),
        (tags.MAX_RUNTIME, dg.MAX_RUNTIME_SECONDS_TAG),
        (tags.GRPC_INFO, dagster_tags.GRPC_INFO_TAG),
        (tags.PARTITION_ROW_COUNT, *dict(TableMetadataSet(partition_row_count=1))),
        (tags.COLUMN_SCHEMA, *dict(TableMetadataSet(column_schema=dg.TableSchema([])))),
        (tags.COLUMN_LINEAGE, *dict(TableMetadataSet(column_lineage=dg.TableColumnLineage({})))),
    ],
)
def test_a_tag_has_the_name_that_dagster_gives_it(ours: str, theirs: str) -> None:
    assert ours == theirs, "rename it in runs/tags.py"


@pytest.mark.parametrize(
    ("function", "arguments"),
    [
        (internals.ExecuteRunWithPlanIterable, "execution_plan iterator execution_context_manager"),
        (
            internals.PlanExecutionContextManager,
            "job retry_mode execution_plan run_config dagster_run instance raise_on_error output_capture"
            " step_dependency_config",
        ),
        (internals.inner_plan_execution_iterator, "job_context execution_plan instance_concurrency_context"),
        (internals.InstanceConcurrencyContext.claim, "self concurrency_key step_key step_priority"),
        (internals.InstanceConcurrencyContext.interval_to_next_pending_claim_check, "self"),
        (internals.auto_reexecution_should_retry_run, "instance run run_failure_reason"),
        (internals.CheckRunHealthResult, "status msg"),
        (dg.DefaultRunLauncher.launch_run, "self context"),
        (dg.DefaultRunLauncher.check_run_worker_health, "self run"),
        (dg.DagsterInstance.report_engine_event, "self message dagster_run engine_event_data"),
        (dg.DagsterInstance.get_backfills, "self filters limit"),
    ],
)
def test_a_function_takes_what_it_is_given(function: Callable[..., object], arguments: str) -> None:
    assert set(arguments.split()) <= set(inspect.signature(function).parameters), f"see the calls of {function}"


def test_a_claim_that_waits_is_where_ours_looks_for_it() -> None:
    with dg.DagsterInstance.ephemeral() as instance:
        claims = vars(internals.InstanceConcurrencyContext(instance, dg.DagsterRun("job")))
    assert claims.keys() >= {"_pending_claims", "_pending_timeouts", "_pending_claim_counts"}, "see runs/executor.py"


def test_the_monitoring_daemon_asks_the_launcher_about_started_runs() -> None:
    assert internals.WorkerStatus.RUNNING.value == "RUNNING"
    assert not dg.DefaultRunLauncher().supports_check_run_worker_health, "Dagster has a check of its own now"


def test_a_daemon_that_has_never_read_events_begins_with_the_next_one_and_warns_of_nothing(
    caplog: pytest.LogCaptureFixture,
) -> None:
    with dg.DagsterInstance.local_temp() as instance:
        instance.report_runless_asset_event(dg.AssetMaterialization("before"))
        internals.begin_reading_events(instance)
        begins = instance.event_log_storage.get_maximum_record_id()
        instance.report_runless_asset_event(dg.AssetMaterialization("while_no_daemon_ran"))
        internals.begin_reading_events(instance)
        kinds, logger = event_log_consumer.DAGSTER_EVENT_TYPES, logging.getLogger()
        cursors = event_log_consumer._fetch_persisted_cursors(instance, kinds, logger)
    assert cursors == dict.fromkeys(kinds, begins)
    assert not [message for message in caplog.messages if "cursor" in message]


WITHOUT_ITS_SERVER = """
import sys
from dagster_webserver import cli
from dualface_assets.runs.dagster_internals import run_web_page

cli.uvicorn = None  # as if Dagster served its page with something else
sys.argv = ["dagster-webserver", "--help"]
run_web_page(lambda app: app)
"""


def test_a_web_page_whose_guard_would_not_be_there_refuses_to_start() -> None:
    ended = subprocess.run([sys.executable, "-c", WITHOUT_ITS_SERVER], capture_output=True, text=True, check=False)
    assert ended.returncode != 0
    assert "would serve its web page unguarded" in ended.stderr


def test_migrations_that_are_read_in_another_way_are_no_silent_loss(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ScriptDirectory, "from_config", ScriptDirectory.from_config)  # so that it is put back
    monkeypatch.delattr(sql, "ScriptDirectory")  # as if Dagster asked another class
    with pytest.raises(RuntimeError, match="migrations in another way"):
        internals.read_migrations_once()


def test_databases_that_are_opened_in_another_way_are_no_silent_loss(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(sqlite_run_storage, "create_engine")  # as if Dagster asked something else
    with pytest.raises(RuntimeError, match="databases in another way"):
        internals.keep_databases_open()
