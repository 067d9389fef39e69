from __future__ import annotations

import subprocess
import sys
from datetime import UTC, datetime

import dagster as dg
import pytest

from dualface_assets.definitions import build_defs
from dualface_assets.housekeeping.removal import VideoInUseError, remove
from dualface_assets.review_index.index import rebuild_index
from dualface_assets.review_index.records import FailureRecord
from dualface_assets.runs.failures import explanation_of
from dualface_assets.store.partitions import videos
from dualface_assets.store.video_store import VideoStore
from dualface_core.errors import MissingInputError
from tests.assets.housekeeping.conftest import Processed, add_run, what_is_left


@dg.asset(partitions_def=videos)
def made() -> None:
    """Something of a video."""


def in_index(store: VideoStore, key: str) -> bool:
    return key in store.files.read(store.review_folder / "index.html").decode()


def note_a_failure(store: VideoStore, key: str) -> None:
    FailureRecord(
        key=key,
        name="a.mp4",
        failed_at=datetime.now(UTC),
        failure="nobody-found",
        reason="No face.",
        action="Another.",
        run="1",
        tried_again=False,
    ).write(store.page_folder(key))
    store.files.share(store.page_folder(key))
    rebuild_index(store)


def test_nothing_of_a_removed_video_is_left(
    any_store: VideoStore, instance: dg.DagsterInstance, processed: Processed
) -> None:
    gone, kept = (processed(content, store=any_store) for content in (b"one", b"another"))
    for key in (gone, kept):
        assert dg.materialize([made], instance=instance, partition_key=key).success
        note_a_failure(any_store, key)
        any_store.scratch("a run")
        any_store.spans_folder(key).mkdir()
    removed = remove(gone, any_store, instance)
    assert removed.name == "a.mp4"
    assert {part.part for part in removed.parts} == {"upload", "tables", "result", "page", "report"}
    assert any_store.known_keys() == {kept}
    assert [any_store.spans_folder(key).exists() for key in (gone, kept)] == [False, True]
    assert what_is_left(any_store, kept) == {"upload", "tables", "result", "report"}
    assert (in_index(any_store, gone), in_index(any_store, kept)) == (False, True)
    assert instance.get_dynamic_partitions("videos") == [kept]
    assert instance.get_materialized_partitions(made.key) == {kept}
    assert [run.tags["dagster/partition"] for run in instance.get_runs()] == [kept]
    assert list(any_store.trash_folder.iterdir()) == []


@pytest.mark.parametrize(
    ("status", "tags"),
    [
        (dg.DagsterRunStatus.QUEUED, {}),
        (dg.DagsterRunStatus.STARTED, {}),
        (dg.DagsterRunStatus.FAILURE, {"dagster/will_retry": "true"}),
    ],
    ids=["queued", "started", "to be retried"],
)
def test_a_video_with_a_run_in_flight_is_not_removed(
    store: VideoStore,
    instance: dg.DagsterInstance,
    processed: Processed,
    status: dg.DagsterRunStatus,
    tags: dict[str, str],
) -> None:
    key = processed()
    run = add_run(instance, key, status, tags)
    with pytest.raises(VideoInUseError, match=f"{key} is not removed: run {run.run_id} "):
        remove(key, store, instance)
    assert what_is_left(store, key) == {"upload", "tables", "result", "report"}
    assert instance.has_dynamic_partition("videos", key)
    assert instance.get_run_by_id(run.run_id) is not None


def test_a_video_whose_retry_waits_for_hours_can_be_removed(
    store: VideoStore, instance: dg.DagsterInstance, processed: Processed
) -> None:
    key = processed()
    tags = {"dagster/will_retry": "false", "dualface/back_off": "waiting"}
    run = add_run(instance, key, dg.DagsterRunStatus.FAILURE, tags)
    remove(key, store, instance)
    assert store.known_keys() == set()
    assert instance.get_run_by_id(run.run_id) is None


def test_a_partition_without_anything_in_the_store_can_be_removed(
    store: VideoStore, instance: dg.DagsterInstance
) -> None:
    instance.add_dynamic_partitions("videos", ["a-0123456789"])
    assert remove("a-0123456789", store, instance).size_bytes == 0
    assert instance.get_dynamic_partitions("videos") == []


def test_what_is_no_video_is_refused(store: VideoStore, instance: dg.DagsterInstance) -> None:
    with pytest.raises(MissingInputError, match="there is no such video"):
        remove("a-0123456789", store, instance)
    with pytest.raises(MissingInputError, match="this is no key of a video"):
        remove("../../a-0123456789", store, instance)


def test_the_web_page_has_a_job_that_removes_a_video(
    store: VideoStore, instance: dg.DagsterInstance, processed: Processed
) -> None:
    key = processed()
    job = build_defs(resource_overrides={"store": store}).resolve_job_def("remove_video")
    config = {"ops": {"remove_from_store": {"config": {"video": key}}}}
    assert job.execute_in_process(run_config=config, instance=instance).success
    assert store.known_keys() == set()
    refused = job.execute_in_process(run_config=config, instance=instance, raise_on_error=False)
    assert "there is no such video" in explanation_of(refused.run_id, instance).sentence


@pytest.mark.parametrize(("arguments", "answer", "left"), [([], "n\n", 1), (["--yes"], "", 0)])
def test_the_command_asks_unless_it_is_told_not_to(
    store: VideoStore,
    instance: dg.DagsterInstance,
    processed: Processed,
    monkeypatch: pytest.MonkeyPatch,
    arguments: list[str],
    answer: str,
    left: int,
) -> None:
    key = processed()
    monkeypatch.setenv("DUALFACE_STORE", store.root)
    monkeypatch.setenv("DAGSTER_HOME", instance.root_directory)
    command = [sys.executable, "-m", "dualface_core.cli", "remove", key, *arguments]
    done = subprocess.run(command, input=answer, capture_output=True, text=True, check=False)
    assert f"{key} (a.mp4): upload, tables, result, report, " in done.stdout
    assert (done.returncode, len(store.known_keys())) == (left, left), done.stderr
