from __future__ import annotations

import signal
import subprocess
import time
from pathlib import Path
from uuid import uuid4

import dagster as dg
import pytest

from dualface_assets.housekeeping.recovery import (
    begin_retries,
    end_idle_processes,
    end_lost_runs,
    recovery,
    remove_leftovers,
    renew_retries,
)
from dualface_assets.runs.dagster_internals import RunFailureReason
from dualface_assets.runs.failures import BACK_OFF, WAITING
from dualface_assets.runs.in_use import why_in_use
from dualface_assets.runs.launcher import retry_tags
from dualface_assets.runs.tags import (
    AUTO_RETRY_RUN_ID,
    MAX_RETRIES,
    PARTITION,
    RETRY_NUMBER,
    RETRY_ON_STEP_FAILURE,
    WILL_RETRY,
)
from dualface_assets.store.video_store import Upload, VideoStore
from dualface_core.system.atomic_files import atomic_write
from tests.dagster_internals import JobFailureData
from tests.run_worker import killed_at, working_on

DAY = 86_400
KEY = "talk-0123456789"
UPLOAD = Upload(
    key=KEY,
    name="talk.mp4",
    file="talk.mp4",
    sha256="00",
    size_bytes=1,
    claim="claim",
    claimed_at="2026-11-28T12:00Z",
)


def a_run(
    instance: dg.DagsterInstance,
    status: dg.DagsterRunStatus = dg.DagsterRunStatus.STARTED,
    *,
    retries: int = 4,
    **tags: str,
) -> dg.DagsterRun:
    tags |= {"dagster/max_retries": str(retries), "dagster/partition": "talk-0123456789"}
    return instance.add_run(dg.DagsterRun("process_video", run_id=str(uuid4()), tags=tags, status=status))


def ended(
    run: dg.DagsterRun, instance: dg.DagsterInstance, status: dg.DagsterRunStatus = dg.DagsterRunStatus.FAILURE
) -> dg.DagsterRun:
    found = instance.get_run_by_id(run.run_id)
    assert found is not None
    assert found.status is status
    return found


def test_a_process_that_goes_on_with_a_run_that_is_over_is_ended(instance: dg.DagsterInstance) -> None:
    begun = time.time()
    over, in_use = a_run(instance, dg.DagsterRunStatus.FAILURE), a_run(instance)
    with working_on(over, instance) as idle, working_on(in_use, instance) as busy:
        assert end_idle_processes(instance, now=begun) == []
        assert end_idle_processes(instance, now=time.time() + 61) == [over.run_id]
        assert idle.wait() == -signal.SIGKILL
        assert busy.poll() is None


def test_a_retry_that_the_daemon_could_not_start_is_asked_for_again(instance: dg.DagsterInstance) -> None:
    begun = time.time()
    run = a_run(instance)
    instance.report_run_failed(run)
    instance.add_run_tags(run.run_id, {"dagster/will_retry": "false"})  # as the daemon does
    assert renew_retries(instance, now=begun) == []
    assert renew_retries(instance, now=time.time() + 61) == [run.run_id]
    assert ended(run, instance).tags["dagster/will_retry"] == "true"
    failures = instance.all_logs(run.run_id, of_type=dg.DagsterEventType.RUN_FAILURE)
    assert len(failures) == 2  # it is a new one to which the daemon listens


def a_full_disk(instance: dg.DagsterInstance, follows: dg.DagsterRun | None = None) -> dg.DagsterRun:
    """A run, or a retry of one as the daemon starts it, that fails as one that meets a full disk does."""
    tags = {MAX_RETRIES: "4", PARTITION: KEY}
    run = dg.DagsterRun("process_video", run_id=str(uuid4()), tags=tags, status=dg.DagsterRunStatus.STARTED)
    if follows is not None:
        instance.add_run_tags(follows.run_id, {AUTO_RETRY_RUN_ID: run.run_id})
        inherited = ended(follows, instance).tags | {RETRY_NUMBER: "1"}
        run = run._replace(parent_run_id=follows.run_id, root_run_id=follows.root_run_id or follows.run_id)
        run = run.with_tags({tag: inherited[tag] for tag in inherited if tag not in {WILL_RETRY, AUTO_RETRY_RUN_ID}})
        run = run.with_tags({**run.tags, **retry_tags(run, instance)})
        assert run.tags[RETRY_ON_STEP_FAILURE] == "true"  # the disk's failure costs NVENC's none of its retries
    instance.add_run(run)
    instance.add_run_tags(run.run_id, {RETRY_ON_STEP_FAILURE: "false", BACK_OFF: WAITING})
    failed = JobFailureData(error=None, failure_reason=RunFailureReason.STEP_FAILURE)
    instance.report_run_failed(ended(run, instance, dg.DagsterRunStatus.STARTED), job_failure_data=failed)
    return run


def test_what_a_full_disk_has_stopped_goes_on_after_pauses_that_grow_and_not_for_ever(
    instance: dg.DagsterInstance, store: VideoStore
) -> None:
    run = a_full_disk(instance)
    for minutes in (1, 5, 20, 60, 180, 360, 720):
        now = time.time()
        assert begin_retries(store, instance, now=now + 60 * minutes - 30) == []
        assert why_in_use(KEY, instance) is not None
        assert begin_retries(store, instance, now=now + 60 * minutes + 1) == [run.run_id]
        assert ended(run, instance).tags[WILL_RETRY] == "true"  # so that the daemon starts it
        run = a_full_disk(instance, follows=run)
    assert begin_retries(store, instance, now=time.time() + DAY) == []
    assert why_in_use(KEY, instance) is None


def test_a_retry_waits_until_there_is_room(instance: dg.DagsterInstance, small_disk: Path) -> None:
    store = VideoStore(root=str(small_disk))
    store.files.write(store.video_folder(KEY) / "video.json", UPLOAD.model_dump_json().encode())
    a_full_disk(instance)
    assert begin_retries(store, instance, now=time.time() + DAY) == []
    subprocess.run(["mount", "-o", "remount,size=1g", small_disk], check=True)
    assert len(begin_retries(store, instance, now=time.time() + DAY)) == 1


def test_a_check_of_the_video_takes_no_retry_away(instance: dg.DagsterInstance, store: VideoStore) -> None:
    run = a_full_disk(instance)
    instance.add_run(dg.DagsterRun("check_again", tags={PARTITION: KEY}, status=dg.DagsterRunStatus.SUCCESS))
    assert begin_retries(store, instance, now=time.time() + DAY) == [run.run_id]


def test_a_retry_is_not_asked_for_for_ever(instance: dg.DagsterInstance) -> None:
    run = a_run(instance)
    for _ in range(6):
        instance.report_run_failed(run)
    assert renew_retries(instance, now=time.time() + 61) == []


@pytest.mark.parametrize("but", ["it was started", "a person has started another run", "there were enough"])
def test_a_retry_is_not_asked_for_where_none_is_due(instance: dg.DagsterInstance, but: str) -> None:
    run = a_run(instance, retries=0 if but == "there were enough" else 4)
    instance.report_run_failed(run)
    if but == "it was started":
        instance.add_run_tags(run.run_id, {"dagster/auto_retry_run_id": "another run"})
    elif but == "a person has started another run":
        a_run(instance)
    assert renew_retries(instance, now=time.time() + 61) == []


def test_a_run_that_ended_before_its_process_did_stays_as_it_is(instance: dg.DagsterInstance) -> None:
    run = a_run(instance, dg.DagsterRunStatus.SUCCESS)
    with working_on(run, instance) as worker:
        worker.communicate("")
    assert end_idle_processes(instance) == []
    ended(run, instance, dg.DagsterRunStatus.SUCCESS)
    assert list((Path(instance.root_directory) / "workers").iterdir()) == []


def scratch_of(run_id: str, store: VideoStore) -> Path:
    """A scratch folder as a killed run leaves it: notes of a step, a video, half of one, and a plan."""
    folder = store.scratch(run_id)
    (folder / "encoded_video.choose_encoder").mkdir()
    (folder / "encoded_video.choose_encoder" / "for_gpu").write_bytes(b"notes")
    (folder / "talk.split.mp4").write_bytes(b"video")
    (folder / ".dualface-0123.mp4").write_bytes(b"vid")
    (folder / ".dualface-4567").mkdir()
    (folder / ".dualface-4567" / "plan.parquet").write_bytes(b"plan")
    return folder


def scratch_files(folder: Path) -> list[Path]:
    names = ("encoded_video.choose_encoder", "talk.split.mp4", ".dualface-0123.mp4", ".dualface-4567")
    return [folder / name for name in names]


def test_of_a_failed_run_videos_and_plans_go_at_once_and_notes_a_day_later(
    store: VideoStore, instance: dg.DagsterInstance
) -> None:
    folder = scratch_of(a_run(instance, dg.DagsterRunStatus.FAILURE).run_id, store)
    kept = folder / "encoded_video.choose_encoder"
    assert set(remove_leftovers(store, instance)) == set(scratch_files(folder)) - {kept}
    assert list(folder.iterdir()) == [kept]
    assert remove_leftovers(store, instance) == []
    assert remove_leftovers(store, instance, now=time.time() + DAY + 60) == [folder]
    assert not folder.exists()


@pytest.mark.parametrize("nobody_needs", ["a run that succeeded", "a run that was tried again"])
def test_notes_that_nobody_needs_go_at_once(store: VideoStore, instance: dg.DagsterInstance, nobody_needs: str) -> None:
    if nobody_needs == "a run that succeeded":
        run = a_run(instance, dg.DagsterRunStatus.SUCCESS)
    else:
        run = a_run(instance, dg.DagsterRunStatus.FAILURE, **{"dagster/auto_retry_run_id": "another run"})
    folder = scratch_of(run.run_id, store)
    assert remove_leftovers(store, instance) == [folder]
    assert not folder.exists()


@pytest.mark.parametrize("status", [dg.DagsterRunStatus.STARTED, dg.DagsterRunStatus.CANCELING])
def test_scratch_of_a_run_that_goes_on_is_left_alone(
    store: VideoStore, instance: dg.DagsterInstance, status: dg.DagsterRunStatus
) -> None:
    scratch_of(a_run(instance, status).run_id, store)
    assert remove_leftovers(store, instance, now=time.time() + 2 * DAY) == []


def test_scratch_of_a_run_that_nobody_knows_is_kept_for_a_day(store: VideoStore, instance: dg.DagsterInstance) -> None:
    folder = scratch_of("another-instance's-run", store)
    assert remove_leftovers(store, instance) == []
    assert remove_leftovers(store, instance, now=time.time() + DAY + 60) == [folder]


def test_spans_of_a_killed_run_wait_a_day_for_the_run_that_carries_on(
    store: VideoStore, instance: dg.DagsterInstance
) -> None:
    scratch_of(a_run(instance, dg.DagsterRunStatus.FAILURE).run_id, store)
    spans = store.spans_folder("talk-0123456789")
    spans.mkdir()
    assert spans not in remove_leftovers(store, instance)
    assert spans in remove_leftovers(store, instance, now=time.time() + DAY + 60)


def test_spans_of_a_video_that_another_host_has_made_are_removed(
    store: VideoStore, instance: dg.DagsterInstance
) -> None:
    a_run(instance, dg.DagsterRunStatus.FAILURE)
    a_run(instance, dg.DagsterRunStatus.SUCCESS)
    scratch_of("spans-talk-0123456789", store)
    assert remove_leftovers(store, instance) == [store.spans_folder("talk-0123456789")]


def test_a_run_that_was_lost_on_its_way_to_a_host_is_ended_and_tried_again(instance: dg.DagsterInstance) -> None:
    lost, _ = (a_run(instance, dg.DagsterRunStatus.STARTING) for _ in range(2))  # of the other it is not known yet
    mark = Path(instance.root_directory) / "workers" / lost.run_id  # its process has ended before it could begin
    mark.parent.mkdir()
    mark.touch()
    assert end_lost_runs(instance) == []
    assert end_lost_runs(instance, now=time.time() + 120) == [lost.run_id]
    found = instance.get_run_by_id(lost.run_id)
    assert found is not None
    assert found.is_failure
    assert found.tags["dagster/max_retries"] == "5"


@pytest.mark.parametrize("place", ["raw_video/a-0123456789", "face_tracks", "composed_tiles", "encoded_video/a-01"])
def test_a_temporary_file_that_nobody_writes_any_more_is_removed_and_nothing_else_is(
    store: VideoStore, instance: dg.DagsterInstance, place: str
) -> None:
    folder = store.folder / place
    folder.mkdir(parents=True)
    left, published = folder / f".dualface-{'0' * 32}.json", folder / "old.json"
    for path in (left, published):
        path.write_bytes(b"{}")
    with atomic_write(folder / "new.json") as written:
        assert not left.exists()
        left.write_bytes(b"{}")
        assert remove_leftovers(store, instance) == [left]
        assert sorted(folder.iterdir()) == sorted([written, published])


def test_the_tick_says_what_it_did(store: VideoStore, instance: dg.DagsterInstance) -> None:
    def tick() -> str | None:
        result = recovery(dg.build_sensor_context(instance, resources={"store": store}))
        assert isinstance(result, dg.SkipReason)
        return result.skip_message

    assert tick() == "Nothing was left behind."
    run = a_run(instance, dg.DagsterRunStatus.FAILURE)
    killed_at(run, instance)
    folder = scratch_of(run.run_id, store)
    said = tick()
    assert said is not None
    assert f"Removed {folder / 'talk.split.mp4'}." in said
    assert list((Path(instance.root_directory) / "workers").iterdir()) == []
