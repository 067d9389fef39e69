import os
from collections.abc import Callable, Iterator

import dagster as dg
import pytest
import sqlalchemy

from deploy.local.servers import Server
from dualface_assets.assets.metadata import Record
from dualface_assets.metrics.instance import InstanceMetrics
from dualface_assets.runs.failures import as_failure
from dualface_assets.store.video_store import VideoStore
from dualface_assets.uploads.intake import Intake
from dualface_core.engine.stages import Stage
from dualface_core.errors import NobodyFoundError
from tests.metrics import collected

STAGES = [Stage(name="render", frames=300, seconds=2.0, cpu_seconds=5.0)]


def a_result(instance: dg.DagsterInstance) -> None:
    """A run that publishes a result of software in place of NVENC."""

    @dg.asset
    def encoded_video() -> dg.MaterializeResult:
        return dg.MaterializeResult(metadata=Record(encoder="libx264", fallback=True, stages=STAGES).entry())

    dg.materialize([encoded_video], instance=instance)


def a_failure(instance: dg.DagsterInstance, name: str = "a talk.mp4") -> None:
    @dg.op
    def probe(context: dg.OpExecutionContext) -> None:
        with as_failure(context):
            raise NobodyFoundError(name, "no face was found", action="Choose another video.")

    dg.GraphDefinition(name="job", node_defs=[probe]).to_job().execute_in_process(
        instance=instance, raise_on_error=False
    )


@pytest.fixture
def metrics(any_instance: dg.DagsterInstance, store: VideoStore) -> InstanceMetrics:
    """Metrics of an instance in which something has happened before the first scrape."""
    a_failure(any_instance)
    found = InstanceMetrics(lambda: any_instance, store)
    collected(found)
    return found


@pytest.fixture
def queries() -> Iterator[list[str]]:
    """What databases are asked while the test runs."""
    asked: list[str] = []

    def hear(_: object, __: object, statement: str, *___: object) -> None:
        asked.append(statement)

    sqlalchemy.event.listen(sqlalchemy.Engine, "before_cursor_execute", hear)
    yield asked
    sqlalchemy.event.remove(sqlalchemy.Engine, "before_cursor_execute", hear)


def test_what_happens_after_the_first_scrape_is_counted_once(
    metrics: InstanceMetrics, any_instance: dg.DagsterInstance
) -> None:
    before = collected(metrics)
    a_failure(any_instance)
    a_result(any_instance)
    after = collected(metrics)
    assert after == collected(metrics)
    assert before["dualface_instance_up"] == 1
    assert before['dualface_run_failures_total{failure="nobody-found"}'] == 0
    assert after['dualface_run_failures_total{failure="nobody-found"}'] == 1
    assert after['dualface_runs_ended_total{state="failure"}'] == 1
    assert after['dualface_runs_ended_total{state="success"}'] == 1
    assert after['dualface_videos_verified_total{encoder="libx264"}'] == 1
    assert after["dualface_fallbacks_total"] == 1
    assert after['dualface_stage_frames_total{stage="render"}'] == 300
    assert after['dualface_stage_seconds_total{stage="render"}'] == 2
    assert after['dualface_stage_cpu_seconds_total{stage="render"}'] == 5
    assert "dualface_last_verified_timestamp_seconds" not in before
    assert after["dualface_last_verified_timestamp_seconds"] > 1.7e9


def test_a_result_from_before_the_exporter_started_still_has_its_age(
    instance: dg.DagsterInstance, store: VideoStore
) -> None:
    a_result(instance)
    assert collected(InstanceMetrics(lambda: instance, store))["dualface_last_verified_timestamp_seconds"] > 1.7e9


def test_runs_that_wait_are_counted_and_the_oldest_one_says_since_when(
    metrics: InstanceMetrics, any_instance: dg.DagsterInstance
) -> None:
    job = dg.GraphDefinition(name="job").to_job()
    first, second = (any_instance.create_run_for_job(job, status=dg.DagsterRunStatus.STARTING) for _ in range(2))
    found = collected(metrics)
    record = any_instance.get_run_record_by_id(first.run_id)
    assert record is not None
    assert found['dualface_runs{state="starting"}'] == 2
    assert found['dualface_runs{state="started"}'] == 0
    assert found['dualface_oldest_run_timestamp_seconds{state="starting"}'] == record.update_timestamp.timestamp()
    any_instance.delete_run(first.run_id)
    any_instance.delete_run(second.run_id)
    assert 'dualface_oldest_run_timestamp_seconds{state="starting"}' not in collected(metrics)


def test_a_daemon_that_never_ran_has_the_oldest_heartbeat_there_is(metrics: InstanceMetrics) -> None:
    assert collected(metrics)['dualface_daemon_heartbeat_timestamp_seconds{part="queued_run_coordinator"}'] == 0


def test_the_oldest_upload_is_that_of_the_inbox_until_its_run_exists(
    metrics: InstanceMetrics, store: VideoStore, drop: Callable[..., object], intake: Intake
) -> None:
    assert "dualface_oldest_upload_timestamp_seconds" not in collected(metrics)
    path = drop("a.mp4")
    os.utime(path, (0, 0))  # as a copy has it that keeps the time of the original
    dropped = collected(metrics)["dualface_oldest_upload_timestamp_seconds"]
    while intake.tick(store).taken == []:
        pass
    taken = collected(metrics)["dualface_oldest_upload_timestamp_seconds"]
    assert 1.7e9 < dropped <= taken + 0.1


def test_a_scrape_asks_no_more_of_a_full_instance_than_of_an_empty_one_and_no_name_becomes_a_label(
    instance: dg.DagsterInstance, store: VideoStore, queries: list[str]
) -> None:
    metrics = InstanceMetrics(lambda: instance, store)
    collected(metrics)
    queries.clear()
    few, asked = set(collected(metrics)), len(queries)
    for number in range(3):
        a_failure(instance, f"talk-{number}.mp4")
        a_result(instance)
    many = set(collected(metrics))
    queries.clear()
    collected(metrics)
    assert len(queries) == asked
    assert not [statement for statement in queries if "event_logs" in statement and "LIMIT" not in statement.upper()]
    assert {series for series in many - few if "talk" in series} == set()
    assert len(many - few) <= len(
        {"frames", "seconds", "cpu_seconds", "ahead_cpu_seconds", "verified", "last verified"}
    )


def test_a_database_that_is_away_is_told_and_counters_go_on_when_it_is_back(
    postgres_instance: dg.DagsterInstance, postgres_server: tuple[Server, str], store: VideoStore
) -> None:
    server, _ = postgres_server
    metrics = InstanceMetrics(lambda: postgres_instance, store)
    collected(metrics)
    a_failure(postgres_instance)
    before = collected(metrics)
    server.stop()
    try:
        away = collected(metrics)
    finally:
        server.start()
    a_failure(postgres_instance)
    after = collected(metrics)
    assert [found["dualface_instance_up"] for found in (before, away, after)] == [1, 0, 1]
    failed = 'dualface_run_failures_total{failure="nobody-found"}'
    assert [found[failed] for found in (before, away, after)] == [1, 1, 2]
    assert not [series for series in away if series.startswith("dualface_runs{")]


def test_an_exporter_that_starts_before_its_database_waits_for_it(
    instance: dg.DagsterInstance, store: VideoStore
) -> None:
    answers = iter([ConnectionError("no database yet"), instance])

    def opened() -> dg.DagsterInstance:
        answer = next(answers)
        if isinstance(answer, Exception):
            raise answer
        return answer

    metrics = InstanceMetrics(opened, store)
    assert collected(metrics) == {"dualface_instance_up": 0}
    assert collected(metrics)["dualface_instance_up"] == 1
