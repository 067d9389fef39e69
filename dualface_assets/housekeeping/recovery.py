"""The sensor that clears up after runs that could not do it themselves: killed, or on a machine that went down.

Belongs here: ending processes whose run is over, seeing to it that what should be tried again is, and removing what was
left in the store. A run whose process is gone is ended by the daemon, which asks `runs.launcher`. Everything is judged
by what is there at this moment, so it does not matter at which moment something was killed, this sensor included. What
was published stays, whatever happened: it has its name only since it was whole.
A sensor: https://docs.dagster.io/guides/automate/sensors.
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterator
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import dagster as dg

from dualface_assets.runs.dagster_internals import RunFailureReason, WorkerStatus, auto_reexecution_should_retry_run
from dualface_assets.runs.failures import BACK_OFF, OVER, WAITING, repeated
from dualface_assets.runs.in_use import CHECK_AGAIN
from dualface_assets.runs.tags import AUTO_RETRY_RUN_ID, FAILURE_REASON, MAX_RETRIES, PARTITION, RETRY_ON_STEP_FAILURE
from dualface_assets.runs.workers import workers
from dualface_assets.store.video_store import SPANS, VideoStore
from dualface_core.errors import DualfaceError, one_line
from dualface_core.system.atomic_files import TEMPORARY_PREFIX, remove_abandoned

_END_PATIENCE: Final = 60.0
"""Seconds for which a process may go on after its run is over."""

_BEGIN_PATIENCE: Final = 60.0
"""Seconds in which a run that was launched begins, unless it waits for a host."""

_RETRY_PATIENCE: Final = 60.0
"""Seconds in which the daemon starts a retry, if it will."""

_RETRIES_LOST: Final = 5
"""Times that a retry is asked for in vain."""

_PAUSES: Final = (60, 300, 1_200, 3_600, 10_800, 21_600, 43_200)
"""Seconds before each retry of what failed for want of a disk, room or memory. After the last, a person has to act."""

_NOTES_STAY: Final = 86_400.0
"""Seconds for which the notes of a failed run's steps stay. *Re-execute from failure* needs them."""


@dg.sensor(
    name="recovery",
    minimum_interval_seconds=15,
    default_status=dg.DefaultSensorStatus.RUNNING,
    description="Removes what runs left behind that were killed, and asks again for retries that were lost.",
)
def recovery(context: dg.SensorEvaluationContext, store: VideoStore) -> dg.SkipReason:
    """Clear up; what was done is in the tick's log and in its reason."""
    instance = context.instance
    done = [f"Ended the process of run {run_id}, which is over." for run_id in end_idle_processes(instance)]
    done += [f"Run {run_id} never began: it was lost on its way to a host." for run_id in end_lost_runs(instance)]
    done += [f"Asked again for the retry of run {run_id}." for run_id in renew_retries(instance)]
    done += [f"Asked for the retry of run {run_id}, after a pause." for run_id in begin_retries(store, instance)]
    if missing := store.why_missing(instance):
        done.append(str(missing))
    else:
        done += [one_line(f"Removed {path}.") for path in remove_leftovers(store, instance)]
    for line in done:
        context.log.info(line)
    return dg.SkipReason(" ".join(done[:20]) or "Nothing was left behind.")


def end_idle_processes(instance: dg.DagsterInstance, *, now: float | None = None) -> list[str]:
    """End processes of this machine that go on working on a run that is over, and forget those that have ended.

    Nothing else ends one that hangs, or whose code server is gone: there, terminating a run only ends it on paper.
    Gives the ids of the runs whose process was ended.
    """
    now = time.time() if now is None else now
    known = list(workers(instance))
    records = instance.get_run_records(dg.RunsFilter(run_ids=[worker.run_id for worker in known])) if known else []
    unfinished = {record.dagster_run.run_id for record in records if not record.dagster_run.is_finished}
    updated = {record.dagster_run.run_id: record.update_timestamp.timestamp() for record in records}
    ended = []
    for worker in known:
        if worker.run_id in unfinished:
            continue
        if not worker.alive:
            worker.forget()
        elif now - updated.get(worker.run_id, now) > _END_PATIENCE:
            worker.kill()
            ended.append(worker.run_id)
    return ended


def end_lost_runs(instance: dg.DagsterInstance, *, now: float | None = None) -> list[str]:
    """End runs that were launched and can never begin, so that they are tried again. Gives their ids.

    The daemon asks the launcher for runs that have begun; it gives the others hours, since all hosts may be busy.
    """
    now = time.time() if now is None else now
    if not instance.run_launcher.supports_check_run_worker_health:
        return []
    late = datetime.fromtimestamp(now - _BEGIN_PATIENCE, UTC)
    ended = []
    for run in instance.get_runs(dg.RunsFilter(statuses=[dg.DagsterRunStatus.STARTING], updated_before=late)):
        health = instance.run_launcher.check_run_worker_health(run)
        current = instance.get_run_by_id(run.run_id)
        if health.status is WorkerStatus.NOT_FOUND and current and current.status is run.status:
            instance.report_run_failed(run, health.msg)
            ended.append(run.run_id)
    return ended


def renew_retries(instance: dg.DagsterInstance, *, now: float | None = None) -> list[str]:
    """Ask again for retries that were never started. Gives the ids of the failed runs.

    The daemon asks once, at a failure. If the code server does not answer at that moment, or the daemon itself is
    killed before it has ever kept its place in the log, the retry is lost.
    """
    now = time.time() if now is None else now
    lately = dg.RunsFilter(
        statuses=[dg.DagsterRunStatus.FAILURE],
        updated_after=datetime.fromtimestamp(now - _NOTES_STAY, UTC),
        updated_before=datetime.fromtimestamp(now - _RETRY_PATIENCE, UTC),
    )
    renewed = []
    for run in instance.get_runs(lately):
        if AUTO_RETRY_RUN_ID in run.tags or not _should_be_retried(run, instance):
            continue
        asked = instance.all_logs(run.run_id, of_type=dg.DagsterEventType.RUN_FAILURE)
        if _is_latest(run, instance) and len(asked) <= _RETRIES_LOST:
            instance.report_run_failed(run, "This run was to be tried again, and was not. It is asked for once more.")
            renewed.append(run.run_id)
    return renewed


def begin_retries(store: VideoStore, instance: dg.DagsterInstance, *, now: float | None = None) -> list[str]:
    """Ask for the retries of runs that wait after a failure which may have passed. Gives the ids of the failed runs.

    A run waits for its pause (exponential back-off), for the store to be mounted, and for room for its video.
    """
    now = time.time() if now is None else now
    waiting = dg.RunsFilter(statuses=[dg.DagsterRunStatus.FAILURE], tags={BACK_OFF: WAITING})
    begun = []
    for record in instance.get_run_records(waiting):
        run, retries = record.dagster_run, record.dagster_run.tags.get(MAX_RETRIES, "")
        pauses = sum(earlier.tags.get(BACK_OFF) == OVER for earlier in repeated(run, instance))
        if not retries.isdecimal() or pauses == len(_PAUSES) or not _is_latest(run, instance):
            instance.add_run_tags(run.run_id, {BACK_OFF: OVER})
        elif now - (record.end_time or now) >= _PAUSES[pauses] and not _why_waiting(run, store, instance):
            tags = {BACK_OFF: OVER, RETRY_ON_STEP_FAILURE: "true", MAX_RETRIES: str(int(retries) + 1)}
            instance.add_run_tags(run.run_id, tags)
            instance.report_run_failed(run, "The pause after this failure is over, so it is tried again.")
            begun.append(run.run_id)
    return begun


def _is_latest(run: dg.DagsterRun, instance: dg.DagsterInstance) -> bool:
    """Whether no other run was to make something of the same video since."""
    of_the_video = instance.get_runs(dg.RunsFilter(tags={PARTITION: run.tags.get(PARTITION, "")}))
    return next((other.run_id for other in of_the_video if other.job_name != CHECK_AGAIN), None) == run.run_id


def _why_waiting(run: dg.DagsterRun, store: VideoStore, instance: dg.DagsterInstance) -> str | None:
    """Why a retry would fail as the run did; None if it may succeed."""
    if missing := store.why_missing(instance):
        return str(missing)
    with suppress(DualfaceError):  # then it is the retry that says what is the matter
        return store.why_no_room(store.upload(run.tags.get(PARTITION, "")).size_bytes)
    return None


def _should_be_retried(run: dg.DagsterRun, instance: dg.DagsterInstance) -> bool:
    """What Dagster itself decides at a failure."""
    reason = run.tags.get(FAILURE_REASON)
    return bool(auto_reexecution_should_retry_run(instance, run, RunFailureReason(reason) if reason else None))


def remove_leftovers(store: VideoStore, instance: dg.DagsterInstance, *, now: float | None = None) -> list[Path]:
    """Remove what runs that are over have left in the store. Gives what was removed.

    Args:
        store: where they may be.
        instance: knows which runs are over.
        now: the time by which ages are judged, in seconds since the epoch; the clock's if None.
    """
    now = time.time() if now is None else now
    store.files.remove_forgotten()
    places = ("raw_video/*", "face_tracks", "composed_tiles", "encoded_video/*", "review", "review/*")
    removed = [path for place in places for folder in store.folder.glob(place) for path in remove_abandoned(folder)]
    for path in _scratch_of_the_past(store, instance, now):
        if path.is_dir():
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink(missing_ok=True)
        removed.append(path)
    return removed


def _scratch_of_the_past(store: VideoStore, instance: dg.DagsterInstance, now: float) -> Iterator[Path]:
    """Scratch folders of runs that are over; without the notes, as long as somebody may need them.

    A run that this instance does not know is another instance's, or was deleted; its folder is judged by its age. So
    are spans of a video, unless they are not needed any more: its last run has succeeded, perhaps on another host.
    """
    folders = [path for path in store.scratch_folder.glob("*") if path.is_dir()]
    records = instance.get_run_records(dg.RunsFilter(run_ids=[path.name for path in folders])) if folders else []
    known = {record.dagster_run.run_id: record for record in records}
    for folder in folders:
        record = known.get(folder.name)
        run = record.dagster_run if record else None
        if run and not run.is_finished:
            continue
        if folder.name.startswith(SPANS) and _is_made(folder.name.removeprefix(SPANS), instance):
            yield folder
            continue
        over_since = record.update_timestamp.timestamp() if record else folder.stat().st_mtime
        if now - over_since > _NOTES_STAY or (run and (run.is_success or AUTO_RETRY_RUN_ID in run.tags)):
            yield folder
        elif run:
            yield from (path for path in folder.iterdir() if path.is_file() or path.name.startswith(TEMPORARY_PREFIX))


def _is_made(key: str, instance: dg.DagsterInstance) -> bool:
    last = next(iter(instance.get_runs(dg.RunsFilter(tags={PARTITION: key}), limit=1)), None)
    return last is not None and last.is_success
