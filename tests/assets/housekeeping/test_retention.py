from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import dagster as dg
import pytest
import sqlalchemy

from dualface_assets.definitions import build_defs
from dualface_assets.housekeeping.retention import Retention, RetentionOutcome, delete_expired
from dualface_assets.housekeeping.retention_job import retention_daily
from dualface_assets.review_index.index import rebuild_index
from dualface_assets.review_index.records import PageRecord
from dualface_assets.runs.instance_locks import InstanceLock, locked
from dualface_assets.settings import ServiceSettings
from dualface_assets.store.video_store import VideoStore
from dualface_assets.uploads.claims import acknowledge, pending
from dualface_assets.uploads.intake import Intake
from tests.assets.housekeeping.conftest import Processed, add_run, what_is_left
from tests.dagster_internals import BulkActionStatus, PartitionBackfill
from tests.file_steps import crash_at

DAY = 86_400
EVERYTHING = Retention(uploads=0, tables=0, results=0, unfinished=0)

WORKER = """
import sys
import dagster as dg
from dualface_assets.store.partitions import videos
from dualface_assets.store.video_store import VideoStore

@dg.asset(partitions_def=videos)
def first_step(context: dg.AssetExecutionContext, store: VideoStore) -> None:
    print("present" if key in store.video_keys() else "absent", flush=True)

home, root, key = sys.argv[1:]
with dg.DagsterInstance.from_config(home) as instance:
    dg.materialize([first_step], instance=instance, partition_key=key, resources={"store": VideoStore(root=root)})
"""

Drop = Callable[..., Path]


def deleted(outcome: RetentionOutcome) -> list[str]:
    return [deletion.part for deletion in outcome.deleted]


def after(days: float) -> float:
    return time.time() + days * DAY


def test_everything_is_kept_for_ever_unless_a_setting_says_otherwise(
    store: VideoStore, instance: dg.DagsterInstance, processed: Processed
) -> None:
    key = processed()
    outcome = delete_expired(store, instance, Retention.of(ServiceSettings()), now=after(100_000))
    assert outcome == RetentionOutcome()
    assert what_is_left(store, key) == {"upload", "tables", "result", "report"}


@pytest.mark.parametrize(
    ("retention", "left"),
    [
        (Retention(uploads=30), {"tables", "result", "report"}),
        (Retention(tables=30), {"upload", "result", "report"}),
        (Retention(results=30), {"upload", "tables", "report"}),
        (Retention(unfinished=30), {"upload", "tables", "result", "report"}),
        (Retention(uploads=30, tables=30), {"result", "report"}),
        (Retention(uploads=30, tables=30, results=30), set()),
    ],
)
def test_each_part_goes_when_its_time_has_come_and_no_other(
    any_store: VideoStore, instance: dg.DagsterInstance, processed: Processed, retention: Retention, left: set[str]
) -> None:
    key = processed(store=any_store)
    assert delete_expired(any_store, instance, retention, now=after(29)).deleted == []
    outcome = delete_expired(any_store, instance, retention, now=after(31))
    assert what_is_left(any_store, key) == left
    assert set(deleted(outcome)) == {"upload", "tables", "result", "report"} - left
    assert instance.has_dynamic_partition("videos", key) == bool(left)
    assert not list(any_store.trash_folder.glob("*"))


def test_a_page_goes_with_the_last_of_the_two_videos_whose_pictures_it_has(
    store: VideoStore, instance: dg.DagsterInstance, processed: Processed
) -> None:
    key = processed()
    page, index = store.page_folder(key), store.review_folder / "index.html"
    page.mkdir(parents=True)
    (page / "index.html").write_text("pictures")
    index.write_text(key)
    delete_expired(store, instance, Retention(uploads=30), now=after(31))
    assert page.exists()
    outcome = delete_expired(store, instance, Retention(uploads=30, results=30), now=after(31))
    assert deleted(outcome) == ["result", "page"]
    assert what_is_left(store, key) == {"tables", "report"}
    assert not page.exists()
    assert key not in index.read_text()


def a_page(key: str, made_at: float) -> PageRecord:
    made = datetime.fromtimestamp(made_at, UTC)
    return PageRecord(
        key=key, name="a.mp4", made_at=made, duration=1, encoder="libx264", size_bytes=1, seconds=1, warnings=[]
    )


@pytest.mark.parametrize(
    ("retention", "said"),
    [
        (Retention(results=30), "The result was deleted on"),
        (Retention(uploads=30), "The upload was deleted on"),
        (Retention(tables=30), None),
    ],
)
def test_the_index_says_which_of_the_two_videos_was_deleted_until_the_page_is_made_again(
    any_store: VideoStore, instance: dg.DagsterInstance, processed: Processed, retention: Retention, said: str | None
) -> None:
    key = processed(store=any_store)
    a_page(key, time.time()).write(any_store.page_folder(key))
    any_store.files.share(any_store.page_folder(key))
    rebuild_index(any_store)
    delete_expired(any_store, instance, retention, now=after(31))
    index = any_store.files.read(any_store.review_folder / "index.html").decode()
    assert key in index
    assert ("was deleted on" in index) == (said is not None)
    assert (said or "Verified") in index
    a_page(key, after(32)).write(any_store.page_folder(key))
    assert "was deleted on" not in rebuild_index(any_store).read_text()


def test_an_upload_without_a_result_is_kept_unless_it_is_said_explicitly(
    any_store: VideoStore, instance: dg.DagsterInstance, processed: Processed
) -> None:
    key = processed(store=any_store, result=False)
    assert delete_expired(any_store, instance, Retention(uploads=1, tables=1, results=1), now=after(100)).deleted == []
    assert what_is_left(any_store, key) == {"upload", "tables"}
    assert deleted(delete_expired(any_store, instance, Retention(unfinished=99), now=after(100))) == [
        "upload",
        "tables",
    ]
    assert any_store.known_keys() == set()
    assert not instance.has_dynamic_partition("videos", key)


def test_times_count_from_the_publication_even_when_the_result_has_gone(
    any_store: VideoStore, instance: dg.DagsterInstance, processed: Processed
) -> None:
    key = processed(store=any_store)
    retention = Retention(results=10, uploads=20, tables=30, unfinished=1)
    for days, left in ((11, {"upload", "tables", "report"}), (21, {"tables", "report"}), (31, set())):
        delete_expired(any_store, instance, retention, now=after(days))
        assert what_is_left(any_store, key) == left


def test_a_video_that_was_uploaded_again_is_kept_as_if_it_were_new(
    store: VideoStore, instance: dg.DagsterInstance, processed: Processed
) -> None:
    key = processed()
    long_ago = time.time() - 100 * DAY
    for path in store.result_path(key).parent.iterdir():
        os.utime(path, (long_ago, long_ago))
    processed(result=False)
    assert delete_expired(store, instance, Retention(uploads=30, results=30)).deleted == []
    assert what_is_left(store, key) == {"upload", "tables", "result", "report"}


def test_a_dry_run_says_what_it_would_delete_and_touches_nothing(
    store: VideoStore, instance: dg.DagsterInstance, processed: Processed
) -> None:
    key = processed()
    outcome = delete_expired(store, instance, EVERYTHING, dry_run=True, now=after(1))
    assert deleted(outcome) == ["upload", "tables", "result", "report"]
    assert [deletion.size_bytes for deletion in outcome.deleted][1:3] == [8, 8]
    assert what_is_left(store, key) == {"upload", "tables", "result", "report"}
    assert instance.has_dynamic_partition("videos", key)


@pytest.mark.parametrize(
    ("status", "tags"),
    [
        (dg.DagsterRunStatus.NOT_STARTED, {}),
        (dg.DagsterRunStatus.QUEUED, {}),
        (dg.DagsterRunStatus.STARTING, {}),
        (dg.DagsterRunStatus.STARTED, {}),
        (dg.DagsterRunStatus.CANCELING, {}),
        (dg.DagsterRunStatus.FAILURE, {}),
        (dg.DagsterRunStatus.FAILURE, {"dagster/will_retry": "true"}),
    ],
    ids=["created", "queued", "starting", "started", "cancelling", "retry undecided", "to be retried"],
)
def test_a_video_with_a_run_in_flight_is_left_alone(
    store: VideoStore,
    instance: dg.DagsterInstance,
    processed: Processed,
    status: dg.DagsterRunStatus,
    tags: dict[str, str],
) -> None:
    busy, idle = processed(b"busy"), processed(b"idle")
    run = add_run(instance, busy, status, tags)
    outcome = delete_expired(store, instance, EVERYTHING, now=after(1))
    assert run.run_id in outcome.left_alone[busy]
    assert what_is_left(store, busy) == {"upload", "tables", "result", "report"}
    assert what_is_left(store, idle) == set()
    assert instance.get_dynamic_partitions("videos") == [busy]


@pytest.mark.parametrize(
    ("status", "tags"),
    [
        (dg.DagsterRunStatus.SUCCESS, {}),
        (dg.DagsterRunStatus.CANCELED, {}),
        (dg.DagsterRunStatus.FAILURE, {"dagster/will_retry": "false"}),
        (dg.DagsterRunStatus.FAILURE, {"dagster/will_retry": "true", "dagster/auto_retry_run_id": "another"}),
    ],
    ids=["success", "canceled", "failed for good", "tried again"],
)
def test_a_run_that_is_over_keeps_nothing(
    store: VideoStore,
    instance: dg.DagsterInstance,
    processed: Processed,
    status: dg.DagsterRunStatus,
    tags: dict[str, str],
) -> None:
    key = processed()
    add_run(instance, key, status, tags)
    delete_expired(store, instance, EVERYTHING, now=after(1))
    assert what_is_left(store, key) == set()


def test_nothing_is_deleted_while_a_backfill_may_still_start_runs(
    store: VideoStore, instance: dg.DagsterInstance, processed: Processed
) -> None:
    key = processed()
    backfill = PartitionBackfill("abc", BulkActionStatus.REQUESTED, from_failure=False, tags={}, backfill_timestamp=0.0)
    instance.add_backfill(backfill)
    assert "the backfill abc" in delete_expired(store, instance, EVERYTHING, now=after(1)).left_alone[key]
    instance.update_backfill(backfill.with_status(BulkActionStatus.COMPLETED_SUCCESS))
    delete_expired(store, instance, EVERYTHING, now=after(1))
    assert what_is_left(store, key) == set()


def test_a_video_whose_run_is_yet_to_come_is_left_alone(
    store: VideoStore, instance: dg.DagsterInstance, processed: Processed, intake: Intake, drop: Drop
) -> None:
    key = processed()
    drop("again.mp4")
    intake.tick(store)
    assert delete_expired(store, instance, EVERYTHING, now=after(1)).left_alone.keys() == {key}
    (upload,) = pending(store)
    acknowledge(store, upload)
    assert deleted(delete_expired(store, instance, EVERYTHING, now=after(1))) == [
        "upload",
        "tables",
        "result",
        "report",
    ]


def test_a_run_that_begins_during_a_deletion_waits_for_its_end(
    store: VideoStore, instance: dg.DagsterInstance, processed: Processed
) -> None:
    key = processed()
    command = [sys.executable, "-c", WORKER, instance.root_directory, store.root, key]
    with store.no_run_begins(instance):
        worker = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
        while not waits_for_a_lock(worker.pid):
            assert worker.poll() is None, "it did not wait"
            time.sleep(0.05)
        # From here on everybody sees that it is there.
        (run,) = instance.get_runs(dg.RunsFilter(tags={"dagster/partition": key}))
        assert run.status in {dg.DagsterRunStatus.NOT_STARTED, dg.DagsterRunStatus.STARTED}
        store.video_folder(key).rename(store.folder / "gone")
    assert worker.communicate()[0] == "absent\n"


def test_a_run_that_begins_on_another_host_during_a_deletion_waits_for_its_end(
    store: VideoStore, postgres_instance: dg.DagsterInstance
) -> None:
    key = "talk-0123456789"
    store.video_folder(key).mkdir(parents=True)
    postgres_instance.add_dynamic_partitions("videos", [key])
    command = [sys.executable, "-c", WORKER, postgres_instance.root_directory, store.root, key]
    waiting = sqlalchemy.text("SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted")
    url = postgres_instance.run_storage.postgres_url  # type: ignore[attr-defined]  # it is Postgres
    with sqlalchemy.create_engine(url).connect() as asking, locked(postgres_instance, InstanceLock.DELETION):
        worker = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
        while not asking.scalar(waiting):
            assert worker.poll() is None, "it did not wait"
            time.sleep(0.05)
        store.video_folder(key).rename(store.folder / "gone")
    assert worker.communicate()[0] == "absent\n"


def waits_for_a_lock(pid: int) -> bool:
    return any("->" in line and f" {pid} " in line for line in Path("/proc/locks").read_text().splitlines())


def test_no_run_begins_and_no_upload_is_taken_while_files_are_moved(
    store: VideoStore, instance: dg.DagsterInstance, processed: Processed, monkeypatch: pytest.MonkeyPatch, drop: Drop
) -> None:
    key = processed()
    drop("again.mp4")
    rename, said = Path.rename, []

    def look_around(path: Path, target: Path) -> Path:
        waiting = subprocess.run(
            ["flock", "--nonblock", "--shared", str(store.folder / "locks" / "deletion"), "true"], check=False
        )
        said.append((waiting.returncode, Intake().tick(store).waiting))
        return rename(path, target)

    monkeypatch.setattr(Path, "rename", look_around)
    delete_expired(store, instance, EVERYTHING, now=after(1))
    assert said
    assert all(found == (1, {"inbox": "another process is taking uploads at this moment"}) for found in said)
    assert what_is_left(store, key) == set()


@pytest.mark.parametrize("where", ["store", "lan_store"])
def test_a_crash_at_any_step_is_made_good_by_the_next_time(
    instance: dg.DagsterInstance, processed: Processed, where: str, request: pytest.FixtureRequest
) -> None:
    store: VideoStore = request.getfixturevalue(where)
    step, finished = 0, False
    while not finished:
        key = processed(f"video {step}".encode(), store=store)
        store.files.write(store.page_folder(key) / "index.html", b"a page")
        finished = crash_at(
            step, lambda: delete_expired(store, instance, EVERYTHING, now=after(1)), below=store.folder.parent.name
        )
        delete_expired(store, instance, EVERYTHING, now=after(1))
        assert what_is_left(store, key) == set()
        assert store.known_keys() == set()
        assert instance.get_dynamic_partitions("videos") == []
        assert not list(store.trash_folder.glob("*"))
        step += 1
    assert step > 10


def test_the_job_tells_what_it_deleted_and_the_assets_show_it(
    store: VideoStore, instance: dg.DagsterInstance, processed: Processed, monkeypatch: pytest.MonkeyPatch
) -> None:
    key = processed()
    monkeypatch.setenv("DUALFACE_KEEP_UPLOADS", "0")
    job = build_defs(resource_overrides={"store": store}).resolve_job_def("retention_job")
    dry = {"ops": {"delete_what_is_overdue": {"config": {"dry_run": True}}}}
    for config, parts in ((dry, {"upload", "tables", "result", "report"}), ({}, {"tables", "result", "report"})):
        result = job.execute_in_process(instance=instance, run_config=config)
        metadata = result.filter_events(lambda event: event.is_successful_output)[0].step_output_data.metadata
        assert int(str(metadata["freed (bytes)"].value)) > 0
        assert what_is_left(store, key) == parts
    (record,) = instance.fetch_observations(dg.AssetKey("raw_video"), limit=5).records
    assert record.partition_key == key
    assert record.asset_observation is not None
    assert "to be kept for 0 days" in str(record.asset_observation.description)


def test_the_schedule_runs_the_job_only_where_something_may_be_deleted(monkeypatch: pytest.MonkeyPatch) -> None:
    assert retention_daily.default_status is dg.DefaultScheduleStatus.RUNNING
    assert isinstance(retention_daily(), dg.SkipReason)
    monkeypatch.setenv("DUALFACE_KEEP_TABLES", "90")
    assert isinstance(retention_daily(), dg.RunRequest)
