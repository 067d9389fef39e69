"""The sensor that brings failed videos into the index of videos.

Belongs here: noting why a run failed, where the index finds it, and in the run's log, if none of its steps could. That
is a sensor's work and not the run's own, since a run that was killed can say nothing. A page that is made later makes
the note void by its time, so nothing is cleared. What only followed, as when the page of a failed video is asked for,
does not take the place of why it failed.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Final

import dagster as dg

from dualface_assets.review_index.index import rebuild_index
from dualface_assets.review_index.records import FailureRecord, PageRecord
from dualface_assets.runs.dagster_internals import EngineEventData
from dualface_assets.runs.failures import BACK_OFF, WAITING, class_name, explanation_of, labeled
from dualface_assets.runs.tags import PARTITION, WILL_RETRY
from dualface_assets.store.partitions import is_key
from dualface_assets.store.video_store import VideoStore
from dualface_core.errors import MissingInputError

_MISSING: Final = class_name(MissingInputError)
"""What follows when something is to be made of what an earlier run could not make."""


@dg.run_failure_sensor(
    name="failed_videos",
    minimum_interval_seconds=15,
    default_status=dg.DefaultSensorStatus.RUNNING,
    description="Shows failed videos, with the reason, in the index of the review pages.",
)
def failed_videos(context: dg.RunFailureSensorContext, store: VideoStore) -> dg.SkipReason | None:
    """Note why a video's run failed, and write the index anew."""
    return note_failure(context.dagster_run, store, context.instance)


def note_failure(run: dg.DagsterRun, store: VideoStore, instance: dg.DagsterInstance) -> dg.SkipReason | None:
    """Note why a run failed. Gives a reason if there is nothing to note."""
    found = explanation_of(run.run_id, instance)
    if found.step is None:  # then Dagster's own event says what happened, if anything, and not what to do
        known = EngineEventData(labeled(found.failure, found.remedy))
        instance.report_engine_event(f"What to do: {found.remedy}", run, known)
    if missing := store.why_missing(instance):
        return dg.SkipReason(str(missing))
    key = run.tags.get(PARTITION, "")
    if not is_key(key):
        return dg.SkipReason("This run was about no video.")
    folder = store.page_folder(key)
    before, page = FailureRecord.read(folder), PageRecord.read(folder)
    if found.failure == _MISSING and before and before.failure != _MISSING and not (page and page.is_after(before)):
        return dg.SkipReason(f"What this run lacked, run {before.run} did not make; why is noted already.")
    record = instance.get_run_record_by_id(run.run_id)
    ended = record.end_time if record else None
    FailureRecord(
        key=key,
        name=store.uploaded_name(key) or key,
        failed_at=datetime.now(UTC) if ended is None else datetime.fromtimestamp(ended, UTC),
        failure=found.failure,
        reason=found.sentence,
        action=found.remedy,
        run=run.run_id,
        tried_again=run.tags.get(WILL_RETRY) == "true" or run.tags.get(BACK_OFF) == WAITING,
    ).write(folder)
    store.files.share(folder)
    rebuild_index(store)
    return None
