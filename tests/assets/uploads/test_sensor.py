from __future__ import annotations

import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from dualface_assets.definitions import build_defs
from dualface_assets.housekeeping.recovery import recovery
from dualface_assets.housekeeping.retention import Retention, delete_expired
from dualface_assets.service.doctor import examine
from dualface_assets.settings import ServiceSettings
from dualface_assets.store.video_store import VideoStore
from dualface_assets.uploads.claims import pending
from dualface_assets.uploads.intake import Intake
from dualface_assets.uploads.sensor import upload_sensor
from dualface_core.pipeline import report_path
from dualface_core.settings import Settings
from tests.assets.conftest import publish
from tests.dagster_internals import (
    InProcessCodeLocationOrigin,
    InProcessTestWorkspaceLoadTarget,
    LoadableTargetOrigin,
    create_schema,
    create_test_daemon_workspace_context,
    execute_sensor_iteration,
    get_default_daemon_logger,
)
from tests.unmounted import unmounted

Drop = Callable[..., Path]
Tick = Callable[[], tuple[list[dg.RunRequest], list[str], str | None]]


@pytest.fixture
def instance() -> Iterator[dg.DagsterInstance]:
    with dg.DagsterInstance.ephemeral() as instance:
        yield instance


@pytest.fixture
def tick(store: VideoStore, intake: Intake, instance: dg.DagsterInstance) -> Tick:
    """Evaluate the sensor as the daemon does, and do what it asks for except launching the runs.

    Gives the run requests, the keys of new partitions, and why there is nothing to do.
    """
    sensor = upload_sensor(intake)
    definitions = build_defs(resource_overrides={"store": store})

    def tick() -> tuple[list[dg.RunRequest], list[str], str | None]:
        context = dg.build_sensor_context(instance, definitions=definitions, resources={"store": store})
        result = sensor(context)
        if isinstance(result, dg.SkipReason):
            return [], [], result.skip_message
        assert isinstance(result, dg.SensorResult)
        keys = [key for request in result.dynamic_partitions_requests or [] for key in request.partition_keys]
        instance.add_dynamic_partitions("videos", keys)
        return list(result.run_requests or []), keys, None

    return tick


def launch(
    instance: dg.DagsterInstance, request: dg.RunRequest, status: dg.DagsterRunStatus = dg.DagsterRunStatus.STARTED
) -> dg.DagsterRun:
    """What the daemon does with a request, up to the run's status."""
    tags = {**request.tags, "dagster/run_key": str(request.run_key), "dagster/partition": str(request.partition_key)}
    return instance.add_run(dg.DagsterRun(job_name="process_video", tags=tags, status=status))


def test_an_upload_becomes_a_partition_and_one_run(
    tick: Tick, drop: Drop, store: VideoStore, instance: dg.DagsterInstance
) -> None:
    drop("Interview.mp4")
    (request,), keys, _ = tick()
    assert keys == [request.partition_key]
    assert str(request.partition_key).startswith("interview-")
    launch(instance, request)
    assert tick() == ([], [], f"Nothing new in {store.inbox_folder}")


def test_while_the_store_is_not_mounted_nothing_is_made_in_its_place_and_uploads_wait(
    tick: Tick, drop: Drop, store: VideoStore, instance: dg.DagsterInstance
) -> None:
    tick()
    drop("Interview.mp4")
    with unmounted(store):
        requests, keys, why = tick()
        assert (requests, keys) == ([], [])
        assert why is not None
        assert why.startswith(f"Uploads wait. {store.folder}: is not the store: there is no .dualface-store in it.")
        assert "is not the store" in str(recovery(dg.build_sensor_context(instance), store=store).skip_message)
        assert "is not the store" in next(iter(examine(Settings(), ServiceSettings(store=store.root), instance))).text
    assert len(tick()[0]) == 1


def test_an_upload_waits_until_there_is_room_for_its_run(
    small_disk: Path, intake: Intake, instance: dg.DagsterInstance
) -> None:
    store = VideoStore(root=str(small_disk))
    sensor, context = upload_sensor(intake), dg.build_sensor_context(instance, resources={"store": store})
    sensor(context)
    (store.inbox_folder / "talk.mp4").write_bytes(b"a video")
    first = sensor(context)
    assert isinstance(first, dg.SensorResult)
    assert not first.run_requests
    instance.add_dynamic_partitions("videos", store.video_keys())
    waits = sensor(context)
    assert isinstance(waits, dg.SkipReason)
    assert waits.skip_message == "talk.mp4: waits for room: 0.3 GiB are needed, 0.0 GiB are free"
    subprocess.run(["mount", "-o", "remount,size=1g", small_disk], check=True)
    goes = sensor(context)
    assert isinstance(goes, dg.SensorResult)
    assert len(goes.run_requests or []) == 1


def test_a_run_is_asked_for_until_it_exists(
    tick: Tick, drop: Drop, store: VideoStore, instance: dg.DagsterInstance
) -> None:
    drop("a.mp4")
    (first,), _, _ = tick()
    (again,), _, _ = tick()  # the daemon died before it launched the run
    assert again.run_key == first.run_key
    run = launch(instance, again, dg.DagsterRunStatus.NOT_STARTED)
    assert len(tick()[0]) == 1  # it died after it had created the run, and before it had launched it
    instance.report_run_failed(run)
    assert tick()[0] == []
    assert pending(store) == []


def test_the_same_video_again_is_not_processed_again(
    tick: Tick, drop: Drop, store: VideoStore, instance: dg.DagsterInstance
) -> None:
    drop("a.mp4")
    (request,), _, _ = tick()
    run = launch(instance, request)
    drop("copy of a.mp4")
    assert tick() == ([], [], f"copy of a.mp4: in the store already, as {request.partition_key}")
    publish(store, str(request.partition_key))
    instance.delete_run(run.run_id)
    drop("a.mp4")
    assert tick()[0] == []


@pytest.mark.parametrize("left", [b"", b"a resul", b"A RESULT", None])
def test_a_video_whose_result_is_damaged_is_processed_again_when_it_is_uploaded_again(
    tick: Tick, drop: Drop, store: VideoStore, instance: dg.DagsterInstance, left: bytes | None
) -> None:
    drop("a.mp4")
    (first,), _, _ = tick()
    key = str(first.partition_key)
    launch(instance, first, dg.DagsterRunStatus.SUCCESS)
    tick()
    publish(store, key, b"a result")
    if left is None:
        report_path(store.result_path(key)).unlink()
    else:
        store.result_path(key).write_bytes(left)
    assert not store.has_result(key)
    drop("a.mp4")
    (second,), _, _ = tick()
    assert second.partition_key == key
    launch(instance, second, dg.DagsterRunStatus.FAILURE)
    tick()
    outcome = delete_expired(store, instance, Retention(uploads=0), now=time.time() + 1)
    assert "its result is not what its report says" in outcome.left_alone[key]
    assert store.video_path(key).exists()


def test_two_copies_at_once_are_one_run(tick: Tick, drop: Drop, instance: dg.DagsterInstance) -> None:
    drop("a.mp4")
    drop("b.mp4")
    (request,), keys, _ = tick()
    assert len(keys) == 1
    launch(instance, request)
    assert tick()[0] == []


def test_a_video_that_failed_is_tried_again_when_it_is_uploaded_again(
    tick: Tick, drop: Drop, instance: dg.DagsterInstance
) -> None:
    drop("a.mp4")
    (first,), _, _ = tick()
    launch(instance, first, dg.DagsterRunStatus.FAILURE)
    drop("a.mp4")
    (second,), _, _ = tick()
    assert second.partition_key == first.partition_key
    assert second.run_key != first.run_key


def test_a_video_that_was_deleted_can_be_uploaded_again(
    tick: Tick, drop: Drop, store: VideoStore, instance: dg.DagsterInstance
) -> None:
    drop("a.mp4")
    (first,), _, _ = tick()
    launch(instance, first, dg.DagsterRunStatus.SUCCESS)
    tick()
    key = str(first.partition_key)
    instance.delete_dynamic_partition("videos", key)
    shutil.rmtree(store.video_folder(key))
    drop("a.mp4")
    (second,), keys, _ = tick()
    assert (second.partition_key, keys) == (key, [key])


def test_a_video_that_retention_has_deleted_can_be_uploaded_again(
    tick: Tick, drop: Drop, store: VideoStore, instance: dg.DagsterInstance
) -> None:
    drop("a.mp4")
    (first,), _, _ = tick()
    key = str(first.partition_key)
    launch(instance, first, dg.DagsterRunStatus.SUCCESS)
    publish(store, key)
    tick()
    delete_expired(store, instance, Retention(uploads=0, results=0), now=time.time() + 1)
    assert instance.get_dynamic_partitions("videos") == []
    assert tick()[:2] == ([], [])
    drop("a.mp4")
    (second,), keys, _ = tick()
    assert (second.partition_key, keys) == (key, [key])
    assert second.run_key != first.run_key


def test_a_video_is_made_again_where_that_is_asked_for(
    tick: Tick, drop: Drop, store: VideoStore, instance: dg.DagsterInstance
) -> None:
    drop("a.mp4")
    (first,), _, _ = tick()
    key = str(first.partition_key)
    launch(instance, first, dg.DagsterRunStatus.SUCCESS)
    tick()
    publish(store, key)
    drop(".reprocess/a.mp4")
    (again,), _, _ = tick()
    assert (again.partition_key, again.run_key != first.run_key) == (key, True)
    assert store.result_path(key).exists()  # until the new one takes its place
    (asked_twice,), _, _ = tick()  # the daemon died before it launched the run
    assert asked_twice.run_key == again.run_key
    launch(instance, again, dg.DagsterRunStatus.SUCCESS)
    assert tick()[0] == []
    assert pending(store) == []
    drop("a.mp4")  # a plain copy of the same name is a plain upload
    assert tick()[0] == []


def test_what_is_to_be_made_again_waits_for_the_run_that_is_at_work_on_it(
    tick: Tick, drop: Drop, store: VideoStore, instance: dg.DagsterInstance
) -> None:
    drop("a.mp4")
    (first,), _, _ = tick()
    run = launch(instance, first)
    drop(".reprocess/a.mp4")
    assert tick()[0] == []
    assert tick()[0] == []
    instance.report_run_failed(run)
    (second,), _, _ = tick()
    assert second.run_key != first.run_key
    launch(instance, second)
    assert tick()[0] == []
    assert pending(store) == []


def test_partitions_come_back_when_the_instance_is_new(tick: Tick, drop: Drop, instance: dg.DagsterInstance) -> None:
    drop("a.mp4")
    (request,), keys, _ = tick()
    launch(instance, request, dg.DagsterRunStatus.SUCCESS)
    tick()
    instance.delete_dynamic_partition("videos", keys[0])
    assert tick() == ([], keys, None)


def test_of_many_uploads_one_run_per_tick_is_asked_for_and_all_in_the_end(
    tick: Tick, drop: Drop, store: VideoStore, instance: dg.DagsterInstance
) -> None:
    for number in range(3):
        drop(f"{number}.mp4", str(number).encode())
    asked: list[list[str | None]] = []
    while not asked or pending(store):
        requests, *_ = tick()
        for request in requests:
            launch(instance, request)
        asked.append([request.partition_key for request in requests])
    assert [len(keys) for keys in asked] == [1, 1, 1, 0]
    assert sorted(key for keys in asked for key in keys if key) == sorted(store.video_keys())


def test_more_runs_are_asked_for_in_a_tick_where_the_settings_say_so(
    store: VideoStore, intake: Intake, drop: Drop, instance: dg.DagsterInstance
) -> None:
    for number in range(3):
        drop(f"{number}.mp4", str(number).encode())
    sensor = upload_sensor(intake, runs_per_tick=2)
    while len(pending(store)) < 3:
        context = dg.build_sensor_context(instance, definitions=build_defs(), resources={"store": store})
        result = sensor(context)
    assert isinstance(result, dg.SensorResult)
    assert len(result.run_requests or []) == 2


PREVIEW = """
mutation ($sensor: SensorSelector!) {
  sensorDryRun(selectorData: $sensor, cursor: null) {
    ... on DryRunInstigationTick {
      evaluationResult { skipReason runRequests { runKey } error { message } }
    }
  }
}
"""


def test_a_preview_changes_nothing_and_a_tick_of_the_daemon_does_its_work(
    store: VideoStore, drop: Drop, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DUALFACE_STORE", str(store.folder))
    module = tmp_path / "previewed.py"
    module.write_text("""
import dualface_assets.definitions as all
from dualface_assets.uploads.sensor import upload_sensor
from tests.assets.conftest import eager
import dagster as dg

uploads = upload_sensor(eager())
defs = dg.Definitions(
    assets=all.defs.assets, jobs=all.defs.jobs, sensors=[uploads], resources=all.build_defs().resources
)
""")
    origin = InProcessCodeLocationOrigin(LoadableTargetOrigin(python_file=str(module)), location_name="dualface")
    selector = {"repositoryName": "__repository__", "repositoryLocationName": "dualface", "sensorName": "uploads"}

    def everything() -> set[Path]:
        return {path for path in store.folder.rglob("*") if path.parent != store.folder / "logs"}

    (tmp_path / "instance").mkdir()
    with (
        dg.DagsterInstance.local_temp(str(tmp_path / "instance")) as instance,
        create_test_daemon_workspace_context(InProcessTestWorkspaceLoadTarget(origin), instance) as workspace,
    ):

        def preview() -> dict[str, Any]:
            context = workspace.create_request_context()
            answer = create_schema().execute(PREVIEW, context_value=context, variables={"sensor": selector})
            assert answer.errors is None
            found: dict[str, Any] = answer.data["sensorDryRun"]["evaluationResult"]
            assert found["error"] is None
            return found

        assert preview()["skipReason"] == f"Nothing new in {store.inbox_folder}"
        assert not store.folder.exists()
        drop("a.mp4")
        before = everything()
        assert preview()["skipReason"] == "a.mp4: taken by a later tick, when it is complete"
        assert everything() == before
        list(execute_sensor_iteration(workspace, get_default_daemon_logger("SensorDaemon"), None, None))
        (upload,) = pending(store)
        assert instance.get_dynamic_partitions("videos") == [upload.key]
        (run,) = instance.get_runs()
        assert run.tags["dagster/run_key"] == upload.claim
        before = everything()
        preview()
        assert everything() == before
        instance.report_run_failed(run)
        preview()
        assert pending(store) == [upload]  # a tick would acknowledge it
