from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from uuid import uuid4

import dagster as dg
import pytest

from dualface_assets.recovery import end_abandoned_runs, recovery, remove_leftovers
from dualface_assets.resources import VideoStore
from dualface_assets.workers import abandoned

REPOSITORY = Path(__file__).parents[2]
DAY = 86_400

WORKER = """
import sys
import dagster as dg
from dualface_assets.workers import working_on

with dg.DagsterInstance.from_config(sys.argv[1]) as instance, working_on(sys.argv[2], instance):
    print("at work", flush=True)
    sys.stdin.read()
"""

Work = Callable[[dg.DagsterRun], "subprocess.Popen[str]"]


@pytest.fixture
def instance(tmp_path: Path) -> Iterator[dg.DagsterInstance]:
    home = tmp_path / "home"
    home.mkdir()
    shutil.copy(REPOSITORY / "dagster_home" / "dagster.yaml", home)
    with dg.DagsterInstance.from_config(str(home)) as instance:
        yield instance


@pytest.fixture
def work(instance: dg.DagsterInstance) -> Iterator[Work]:
    """Start a process that works on a run until its input ends."""
    workers: list[subprocess.Popen[str]] = []

    def work(run: dg.DagsterRun) -> subprocess.Popen[str]:
        command = [sys.executable, "-c", WORKER, instance.root_directory, run.run_id]
        worker = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        workers.append(worker)
        assert worker.stdout is not None
        assert worker.stdout.readline() == "at work\n"
        return worker

    yield work
    for worker in workers:
        worker.kill()
        worker.communicate()


def a_run(instance: dg.DagsterInstance, status: dg.DagsterRunStatus = dg.DagsterRunStatus.STARTED) -> dg.DagsterRun:
    tags = {"dagster/max_retries": "1"}
    return instance.add_run(dg.DagsterRun("process_video", run_id=str(uuid4()), tags=tags, status=status))


def status_of(run: dg.DagsterRun, instance: dg.DagsterInstance) -> dg.DagsterRunStatus:
    found = instance.get_run_by_id(run.run_id)
    assert found is not None
    return found.status


def test_a_run_whose_process_was_killed_fails_and_is_tried_again(instance: dg.DagsterInstance, work: Work) -> None:
    run = a_run(instance)
    worker = work(run)
    worker.kill()
    worker.wait()
    assert end_abandoned_runs(instance) == [run.run_id]
    ended = instance.get_run_by_id(run.run_id)
    assert ended is not None
    assert ended.status is dg.DagsterRunStatus.FAILURE
    assert ended.tags["dagster/will_retry"] == "true"
    assert end_abandoned_runs(instance) == []


def test_a_run_that_is_worked_on_is_left_alone(instance: dg.DagsterInstance, work: Work) -> None:
    run = a_run(instance)
    work(run)
    assert end_abandoned_runs(instance) == []
    assert status_of(run, instance) is dg.DagsterRunStatus.STARTED


def test_a_process_that_ends_as_it_should_leaves_no_trace(instance: dg.DagsterInstance, work: Work) -> None:
    worker = work(a_run(instance))
    worker.communicate("")
    assert list(abandoned(instance)) == []
    assert list((Path(instance.root_directory) / "workers").iterdir()) == []


def test_a_run_that_ended_before_its_process_was_killed_stays_as_it_is(
    instance: dg.DagsterInstance, work: Work
) -> None:
    run = a_run(instance, dg.DagsterRunStatus.SUCCESS)
    worker = work(run)
    worker.kill()
    worker.wait()
    assert end_abandoned_runs(instance) == []
    assert status_of(run, instance) is dg.DagsterRunStatus.SUCCESS


def test_a_run_that_was_being_terminated_is_cancelled_and_not_tried_again(
    instance: dg.DagsterInstance, work: Work
) -> None:
    run = a_run(instance, dg.DagsterRunStatus.CANCELING)
    worker = work(run)
    worker.kill()
    worker.wait()
    assert end_abandoned_runs(instance) == [run.run_id]
    assert status_of(run, instance) is dg.DagsterRunStatus.CANCELED


def scratch_of(run_id: str, store: VideoStore) -> Path:
    """A scratch folder as a killed run leaves it: a step's notes, a rendered video, and one half-written."""
    folder = store.scratch(run_id)
    (folder / "encoded_video.choose_encoder").mkdir()
    (folder / "encoded_video.choose_encoder" / "for_gpu").write_bytes(b"notes")
    (folder / "talk.split.mp4").write_bytes(b"video")
    (folder / ".dualface-0123.mp4").write_bytes(b"vid")
    return folder


def test_videos_in_scratch_go_with_their_run_and_notes_a_day_later(
    store: VideoStore, instance: dg.DagsterInstance
) -> None:
    folder = scratch_of(a_run(instance, dg.DagsterRunStatus.FAILURE).run_id, store)
    assert sorted(remove_leftovers(store, instance)) == [folder / ".dualface-0123.mp4", folder / "talk.split.mp4"]
    assert (folder / "encoded_video.choose_encoder" / "for_gpu").exists()
    assert remove_leftovers(store, instance) == []
    assert remove_leftovers(store, instance, now=time.time() + DAY + 60) == [folder]
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


@pytest.mark.parametrize("place", ["raw_video/a-0123456789", "face_tracks", "composed_tiles", "encoded_video/a-01"])
def test_a_temporary_file_that_nobody_writes_any_more_is_removed_and_nothing_else_is(
    store: VideoStore, instance: dg.DagsterInstance, place: str
) -> None:
    folder = store.folder / place
    folder.mkdir(parents=True)
    old, fresh, published = (folder / name for name in (".dualface-1.json", ".dualface-2.json", "old.json"))
    for path in (old, fresh, published):
        path.write_bytes(b"{}")
    for path in (old, published):
        os.utime(path, (time.time() - 3600, time.time() - 3600))
    assert remove_leftovers(store, instance) == [old]
    assert sorted(folder.iterdir()) == [fresh, published]


def test_the_tick_says_what_it_did(store: VideoStore, instance: dg.DagsterInstance, work: Work) -> None:
    def tick() -> str | None:
        result = recovery(dg.build_sensor_context(instance, resources={"store": store}))
        assert isinstance(result, dg.SkipReason)
        return result.skip_message

    assert tick() == "Nothing was left behind."
    run = a_run(instance)
    folder = scratch_of(run.run_id, store)
    worker = work(run)
    worker.kill()
    worker.wait()
    said = tick()
    assert said is not None
    assert f"Ended run {run.run_id}: its process is gone." in said
    assert f"Removed {folder / 'talk.split.mp4'}." in said
