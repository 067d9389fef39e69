"""From SQLite to PostgreSQL: what Dagster knew, it knows afterwards."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from dualface_assets.notifications.notifier import Position
from dualface_assets.service.move_records import move_records
from dualface_core.errors import MachineError, SettingsError
from tests.dagster_internals import (
    InProcessCodeLocationOrigin,
    InstigatorState,
    InstigatorStatus,
    InstigatorType,
    LoadableTargetOrigin,
    RemoteInstigatorOrigin,
    RemoteRepositoryOrigin,
    SensorInstigatorData,
)
from tests.own_instance import own_instance

videos = dg.DynamicPartitionsDefinition(name="videos")


@dg.asset(partitions_def=videos)
def upload(context: dg.AssetExecutionContext) -> dg.MaterializeResult[Any]:
    if context.partition_key == "bad":
        raise dg.Failure("no video")
    return dg.MaterializeResult(metadata={"of": context.partition_key})


@dg.asset(
    partitions_def=videos,
    deps=[upload],
    check_specs=[dg.AssetCheckSpec("right", asset="result", partitions_def=videos)],
)
def result(context: dg.AssetExecutionContext) -> Iterator[Any]:
    context.log.info("at work on %s", context.partition_key)
    yield dg.MaterializeResult()
    yield dg.AssetCheckResult(passed=context.partition_key != "doubtful", severity=dg.AssetCheckSeverity.WARN)


def make(instance: dg.DagsterInstance, *keys: str) -> None:
    for key in keys:
        instance.add_dynamic_partitions("videos", [key])
        dg.materialize([upload, result], partition_key=key, instance=instance, raise_on_error=False)


@pytest.fixture(scope="module")
def used(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dg.DagsterInstance]:
    """An instance on SQLite with some history, one run of which was deleted. It is only read."""
    with own_instance(tmp_path_factory.mktemp("sqlite")) as instance:
        make(instance, "ann", "bad", "gone", "doubtful", "ben")
        (gone,) = instance.get_runs(dg.RunsFilter(tags={"dagster/partition": "gone"}))
        instance.delete_run(gone.run_id)
        instance.report_runless_asset_event(dg.AssetMaterialization(upload.key, partition="ann"))
        yield instance


def told(instance: dg.DagsterInstance) -> dict[str, Any]:
    """What is shown of an instance, without the numbers of events."""
    records = instance.get_run_records()
    checks = instance.event_log_storage.get_asset_check_execution_history
    return {
        "runs": [(r.dagster_run, r.create_timestamp, r.start_time, r.end_time) for r in records],
        "logs": {r.dagster_run.run_id: instance.all_logs(r.dagster_run.run_id) for r in records}.keys(),
        "events": [
            [(e.timestamp, e.message, e.dagster_event_type) for e in instance.all_logs(r.dagster_run.run_id)]
            for r in records
        ],
        "latest": {key.path[-1]: event.timestamp for key, event in latest(instance).items()},
        "partitions": sorted(instance.get_dynamic_partitions("videos")),
        "made": instance.get_materialized_partitions(result.key),
        "checks": [
            (check.run_id, check.status, check.partition)
            for check in checks(dg.AssetCheckKey(result.key, "right"), limit=100)
        ],
    }


def latest(instance: dg.DagsterInstance) -> dict[dg.AssetKey, dg.EventLogEntry]:
    found = {key: instance.get_latest_materialization_event(key) for key in (upload.key, result.key)}
    return {key: event for key, event in found.items() if event}


def test_all_that_is_shown_is_the_same_and_goes_on(
    used: dg.DagsterInstance, postgres_instance: dg.DagsterInstance
) -> None:
    before = told(used)
    counts = move_records(Path(used.root_directory), postgres_instance)
    assert told(postgres_instance) == before
    assert counts["runs"] == len(before["runs"]) == 4
    make(postgres_instance, "cat")
    after = told(postgres_instance)
    assert after["runs"][1:] == before["runs"]
    assert after["partitions"] == sorted([*before["partitions"], "cat"])


def test_what_refers_to_an_event_refers_to_the_same_event(
    used: dg.DagsterInstance, postgres_instance: dg.DagsterInstance
) -> None:
    def referred(instance: dg.DagsterInstance) -> list[tuple[float, Any, Any]]:
        """For each result: when its upload was, by its pointer, and when the result that its check is about was."""
        uploads = {
            each.storage_id: each.timestamp for each in instance.fetch_materializations(upload.key, limit=100).records
        }
        results = instance.fetch_materializations(result.key, limit=100).records
        when = {each.storage_id: each.timestamp for each in results}
        about = instance.event_log_storage.get_asset_check_execution_history(
            dg.AssetCheckKey(result.key, "right"), limit=100
        )
        evaluations = {check.run_id: check.event for check in about if check.status.value != "PLANNED"}
        targets = {
            run: event.dagster_event.asset_check_evaluation_data.target_materialization_data
            for run, event in evaluations.items()
        }
        pointer = "dagster/input_event_pointer/upload"
        return [
            (
                each.timestamp,
                uploads[int(each.asset_materialization.tags[pointer])],
                when[targets[each.run_id].storage_id],
            )
            for each in results
        ]

    before = referred(used)
    assert len(before) == 3
    move_records(Path(used.root_directory), postgres_instance)
    assert referred(postgres_instance) == before


def test_a_sensor_goes_on_where_it_was(used: dg.DagsterInstance, postgres_instance: dg.DagsterInstance) -> None:
    ended = dg.DagsterEventType.RUN_SUCCESS
    records = used.fetch_run_status_changes(ended, limit=10).records
    remember(used, Position(seen=records[1].storage_id))
    move_records(Path(used.root_directory), postgres_instance)
    (state,) = postgres_instance.all_instigator_state()
    seen = Position.model_validate_json(state.sensor_instigator_data.cursor).seen
    unseen = postgres_instance.fetch_run_status_changes(
        dg.RunStatusChangeRecordsFilter(ended, after_storage_id=seen), limit=10
    ).records
    assert [event.run_id for event in unseen] == [records[0].run_id]


def remember(instance: dg.DagsterInstance, position: Position) -> None:
    """Have a sensor of ours be at a position."""
    location = InProcessCodeLocationOrigin(LoadableTargetOrigin(module_name="somewhere"), location_name="dualface")
    origin = RemoteInstigatorOrigin(RemoteRepositoryOrigin(location, "__repository__"), "video_finished")
    data = SensorInstigatorData(cursor=position.model_dump_json())
    instance.add_instigator_state(InstigatorState(origin, InstigatorType.SENSOR, InstigatorStatus.RUNNING, data))


def test_a_database_that_has_records_is_left_alone(
    used: dg.DagsterInstance, postgres_instance: dg.DagsterInstance
) -> None:
    make(postgres_instance, "ann")
    before = told(postgres_instance)
    with pytest.raises(SettingsError, match="that has none"):
        move_records(Path(used.root_directory), postgres_instance)
    assert told(postgres_instance) == before


def test_a_run_that_is_at_work_is_waited_for(tmp_path: Path, postgres_instance: dg.DagsterInstance) -> None:
    with own_instance(tmp_path / "old") as old:
        run = old.create_run_for_job(dg.Definitions([upload, result]).resolve_implicit_global_asset_job_def())
        old.report_run_canceling(run)
        with pytest.raises(MachineError, match=run.run_id):
            move_records(tmp_path / "old", postgres_instance)
    assert postgres_instance.get_runs_count() == 0


def test_an_instance_that_is_not_on_postgresql_is_told_what_it_is_on(tmp_path: Path) -> None:
    with own_instance(tmp_path / "old") as old, pytest.raises(SettingsError, match="Sqlite"):
        move_records(tmp_path / "old", old)
