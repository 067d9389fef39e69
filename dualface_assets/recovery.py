"""The sensor that clears up after runs that could not do it themselves: killed, or on a machine that went down.

Belongs here: ending runs that nobody works on any more, so that they are tried again, and removing what they left in
the store. What was published stays, whatever happened: it has its name only since it was whole.
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import dagster as dg

from dualface_assets.resources import VideoStore
from dualface_assets.workers import abandoned
from dualface_core.publish import TEMPORARY_PREFIX

_NOTES_STAY: Final = 86_400.0
"""Seconds for which the notes of an ended run's steps stay. *Re-execute from failure* needs them."""

_WRITTEN_LONG_AGO: Final = 600.0
"""A temporary file beside its target that nobody has written to for so many seconds is nobody's. Tables and reports
are written in a moment; a video that is being encoded lies in its run's scratch folder, where the run decides."""


@dg.sensor(
    name="recovery",
    minimum_interval_seconds=15,
    default_status=dg.DefaultSensorStatus.RUNNING,
    description="Ends runs whose process is gone, so that they are tried again, and removes what they left behind.",
)
def recovery(context: dg.SensorEvaluationContext, store: VideoStore) -> dg.SkipReason:
    """Clear up; what was done is in the tick's log and in its reason."""
    done = [f"Ended run {run_id}: its process is gone." for run_id in end_abandoned_runs(context.instance)]
    done += [f"Removed {path}." for path in remove_leftovers(store, context.instance)]
    for line in done:
        context.log.info(line)
    return dg.SkipReason(" ".join(done[:20]) or "Nothing was left behind.")


def end_abandoned_runs(instance: dg.DagsterInstance) -> list[str]:
    """End all runs that a process of this machine has left without ending them. Gives their ids."""
    ended = []
    for run_id in abandoned(instance):
        run = instance.get_run_by_id(run_id)
        if run is None or run.is_finished:
            continue
        if run.status is dg.DagsterRunStatus.CANCELING:
            instance.report_run_canceled(run)
        else:
            instance.report_run_failed(
                run, "The process that worked on this run is gone: it was killed, or the machine went down."
            )
        ended.append(run_id)
    return ended


def remove_leftovers(store: VideoStore, instance: dg.DagsterInstance, *, now: float | None = None) -> list[Path]:
    """Remove what runs that are over have left in the store. Gives what was removed.

    Args:
        store: where to look.
        instance: knows which runs are over.
        now: the time by which ages are judged, in seconds since the epoch; the clock's if None.
    """
    now = time.time() if now is None else now
    removed = []
    for path in [*_scratch_of_the_past(store, instance, now), *_forgotten_temporaries(store, now)]:
        if path.is_dir():
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink(missing_ok=True)
        removed.append(path)
    return removed


def _scratch_of_the_past(store: VideoStore, instance: dg.DagsterInstance, now: float) -> Iterator[Path]:
    """Videos in the scratch folders of runs that are over; whole folders, when nobody needs the notes any more.

    A run that this instance does not know is another instance's, or was deleted; its folder is judged by its age.
    """
    folders = [path for path in store.scratch_folder.glob("*") if path.is_dir()]
    records = instance.get_run_records(dg.RunsFilter(run_ids=[path.name for path in folders])) if folders else []
    known = {record.dagster_run.run_id: record for record in records}
    for folder in folders:
        record = known.get(folder.name)
        if record is not None and not record.dagster_run.is_finished:
            continue
        over_since = folder.stat().st_mtime if record is None else record.update_timestamp.timestamp()
        if now - over_since > _NOTES_STAY:
            yield folder
        elif record is not None:
            yield from (path for path in folder.iterdir() if path.is_file())


def _forgotten_temporaries(store: VideoStore, now: float) -> Iterator[Path]:
    """Files that were being written when their process died."""
    for folder in ("raw_video/*", "face_tracks", "composed_tiles", "encoded_video/*", "review", "review/*"):
        for path in store.folder.glob(f"{folder}/{TEMPORARY_PREFIX}*"):
            if now - path.stat().st_mtime > _WRITTEN_LONG_AGO:
                yield path
