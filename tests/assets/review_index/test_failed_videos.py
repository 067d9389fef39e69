import re
from collections.abc import Callable
from pathlib import Path

import dagster as dg
import pytest

from dualface_assets.review_index.failed_videos import failed_videos, note_failure
from dualface_assets.review_index.records import entries
from dualface_assets.runs.failures import as_failure
from dualface_assets.store.partitions import videos
from dualface_assets.store.video_store import VideoStore
from dualface_assets.uploads.intake import add
from dualface_core.errors import MissingInputError, NobodyFoundError

Fail = Callable[[str, Exception], dg.ExecuteInProcessResult]


@pytest.fixture
def key(store: VideoStore, tmp_path: Path) -> str:
    path = tmp_path / "<b>talk.mp4"
    path.write_bytes(b"a video")
    return add(store, path).key


@pytest.fixture
def fail(instance: dg.DagsterInstance) -> Fail:
    """Run an asset of a partition that raises an error."""

    def fail(key: str, error: Exception) -> dg.ExecuteInProcessResult:
        @dg.asset(partitions_def=videos)
        def face_tracks(context: dg.AssetExecutionContext) -> None:
            with as_failure(context):
                raise error

        instance.add_dynamic_partitions("videos", [key])
        return dg.materialize([face_tracks], instance=instance, partition_key=key, raise_on_error=False)

    return fail


def tick(result: dg.ExecuteInProcessResult, instance: dg.DagsterInstance, store: VideoStore) -> object:
    """What the sensor does about one failed run."""
    context = dg.build_run_status_sensor_context(
        sensor_name=failed_videos.name,
        dagster_instance=instance,
        dagster_run=result.dagster_run,
        dagster_event=result.get_run_failure_event(),
    ).for_run_failure()
    return failed_videos(context, store=store)


def test_a_failed_video_is_noted_with_class_reason_and_next_step(
    store: VideoStore, instance: dg.DagsterInstance, key: str, fail: Fail
) -> None:
    error = NobodyFoundError("talk.mp4", "no face was found", action="Choose another video.")
    result = fail(key, error)
    tick(result, instance, store)
    (entry,) = entries(store.review_folder)
    assert entry.key == key
    assert entry.page is None
    assert entry.failure is not None
    assert entry.failure.name == "<b>talk.mp4"
    assert entry.failure.failure == "nobody-found"
    assert entry.failure.reason == "talk.mp4: no face was found. Choose another video."
    assert entry.failure.action == "Choose another video."
    assert entry.failure.run == result.run_id
    index = (store.review_folder / "index.html").read_text()
    assert "&lt;b&gt;talk.mp4" in index
    assert len(re.findall("Choose another video.", index)) == 1  # the reason says it already


def test_what_followed_from_a_failure_does_not_take_its_place(
    store: VideoStore, instance: dg.DagsterInstance, key: str, fail: Fail
) -> None:
    first = fail(key, NobodyFoundError("talk.mp4", "no face was found", action="Choose another video."))
    tick(first, instance, store)
    followed = fail(key, MissingInputError(key, "there are no face tracks", action="Materialize face_tracks."))
    assert isinstance(tick(followed, instance, store), dg.SkipReason)
    (entry,) = entries(store.review_folder)
    assert entry.failure is not None
    assert (entry.failure.failure, entry.failure.run) == ("nobody-found", first.run_id)
    tick(fail(key, RuntimeError("another reason")), instance, store)
    (entry,) = entries(store.review_folder)
    assert entry.failure is not None
    assert entry.failure.failure == "bug"


def test_a_run_that_none_of_its_steps_could_explain_is_told_what_to_do_in_its_log(
    store: VideoStore, instance: dg.DagsterInstance
) -> None:
    run = instance.add_run(dg.DagsterRun("process_video", status=dg.DagsterRunStatus.STARTED))
    instance.report_run_failed(run, "Run timed out.")  # as the daemon does
    note_failure(run, store, instance)
    (told,) = instance.all_logs(run.run_id, of_type=dg.DagsterEventType.ENGINE_EVENT)
    event = told.get_dagster_event()
    assert str(event.message).startswith("What to do: If no new run follows, materialize what is missing.")
    assert event.engine_event_data.metadata["failure"].value == "interrupted"


def test_of_a_bug_the_index_tells_the_place_and_not_the_text(
    store: VideoStore, instance: dg.DagsterInstance, key: str, fail: Fail
) -> None:
    tick(fail(key, RuntimeError("password: xyzzy")), instance, store)
    index = (store.review_folder / "index.html").read_text()
    assert "A bug in dualface stopped the step face_tracks (RuntimeError)." in index
    assert "xyzzy" not in index


def test_a_run_about_no_video_of_ours_is_not_noted(store: VideoStore, instance: dg.DagsterInstance, fail: Fail) -> None:
    assert isinstance(tick(fail("../../etc/passwd", RuntimeError()), instance, store), dg.SkipReason)
    assert not store.review_folder.exists()


def test_a_video_that_is_gone_is_noted_by_its_key(store: VideoStore, instance: dg.DagsterInstance, fail: Fail) -> None:
    tick(fail("talk-0123456789", RuntimeError()), instance, store)
    (entry,) = entries(store.review_folder)
    assert entry.name == "talk-0123456789"
