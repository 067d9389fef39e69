"""The sensor on the inbox and the bucket: every few seconds it reconciles them, store, partitions and runs.

Belongs here: what a tick asks for. The store is the truth. A tick registers a partition for every video in it, and
asks for one run per upload until that run exists; only then is the upload's claim acknowledged. So a crash anywhere,
even between the launch of a run and the end of the tick, is made good by the next tick. The claim is the run key: the
same video uploaded again later is another claim, and is not swallowed by Dagster's memory of run keys. A preview of a
tick answers what the store implies now, and changes nothing. See https://docs.dagster.io/guides/automate/sensors.
"""

from typing import Final

import dagster as dg

from dualface_assets.runs.in_use import ACTIVE, CHECK_AGAIN
from dualface_assets.runs.process_video import process_video
from dualface_assets.runs.tags import PARTITION, RUN_KEY
from dualface_assets.store.partitions import videos
from dualface_assets.store.video_store import Upload, VideoStore
from dualface_assets.uploads.claims import acknowledge, pending
from dualface_assets.uploads.intake import Intake

_INTERVAL: Final = 3
"""Seconds. Dagster checks every five whether a tick is due. One that has to wait five itself is not, if its last one
began a moment late, and then waits ten."""

_LINES: Final = 20
"""Lines that the sensor's page has room for."""


def upload_sensor(intake: Intake, *, runs_per_tick: int = 1) -> dg.SensorDefinition:
    """The sensor that takes uploads with `intake`.

    Noting a run is most of what a tick takes (docs/soak.md). One in a tick is twelve a minute, which four videos at a
    time hardly keep up with; many hosts do (docs/scale.md).
    """

    @dg.sensor(
        name="uploads",
        job=process_video,
        minimum_interval_seconds=_INTERVAL,
        default_status=dg.DefaultSensorStatus.RUNNING,
        description="Takes new videos from the inbox and the bucket for uploads, and starts process_video for each.",
    )
    def uploads(context: dg.SensorEvaluationContext, store: VideoStore) -> dg.SensorResult | dg.SkipReason:
        if error := store.why_missing(context.instance):
            return dg.SkipReason(f"Uploads wait. {error}")
        if not is_preview(context):
            store.mark(context.instance)
        report = intake.preview(store) if is_preview(context) else intake.tick(store)
        for upload in report.taken:
            context.log.info("Took %s as %s.", upload.name, upload.key)
        missing = _unregistered(store, context.instance)
        found, over, waiting = _run_requests(store, context.instance)
        requests = found[:runs_per_tick]
        if not is_preview(context):
            for upload in over:
                acknowledge(store, upload)
        if not requests and not missing:
            known = [f"{upload.name}: in the store already, as {upload.key}" for upload in report.taken]
            said = known[:_LINES] + waiting[:_LINES] + report.reasons(_LINES)
            return dg.SkipReason("; ".join(said) or f"Nothing new in {store.upload_places}")
        return dg.SensorResult(
            run_requests=requests, dynamic_partitions_requests=[videos.build_add_request(missing)] if missing else []
        )

    return uploads


def is_preview(context: dg.SensorEvaluationContext) -> bool:
    """Whether the result of this evaluation is only shown: by *Preview tick result* or `dagster sensor preview`.

    The daemon names the logs of an evaluation after its tick, whose id is a number. Without a tick Dagster makes up a
    name with the date and the time. A test that calls a sensor names nothing, and has it do its work.
    """
    return context.log_key is not None and not context.log_key[-1].isdigit()


def _unregistered(store: VideoStore, instance: dg.DagsterInstance) -> list[str]:
    """Keys of videos that are in the store and have no partition."""
    known = set(instance.get_dynamic_partitions(str(videos.name)))
    return sorted(key for key in store.video_keys() if key not in known)


def _run_requests(
    store: VideoStore, instance: dg.DagsterInstance
) -> tuple[list[dg.RunRequest], list[Upload], list[str]]:
    """Requests for videos that wait for their run, each once; the uploads that wait for nothing; why others wait.

    A video to be processed again waits until the run that is at work on it is over, and each until there is room.
    """
    uploads = pending(store)
    launched = _launched(uploads, instance)
    in_use = _in_use(uploads, instance)
    requests: dict[str, dg.RunRequest] = {}
    over: list[Upload] = []
    waiting = []
    for upload in uploads:
        if upload.claim in launched or (
            not upload.reprocess and (upload.key in in_use or store.has_result(upload.key))
        ):
            over.append(upload)
        elif upload.key in requests or upload.key in in_use:
            continue
        elif reason := store.why_no_room(upload.size_bytes):
            waiting.append(f"{upload.name}: {reason}")
        else:
            requests[upload.key] = dg.RunRequest(
                run_key=upload.claim, partition_key=upload.key, tags={"dualface/upload": upload.name}
            )
    return list(requests.values()), over, waiting


def _launched(uploads: list[Upload], instance: dg.DagsterInstance) -> set[str]:
    """Claims whose run was launched. One that was only created is asked for again: Dagster then launches it."""
    if not uploads:
        return set()
    runs = instance.get_runs(dg.RunsFilter(tags={RUN_KEY: [upload.claim for upload in uploads]}))
    return {run.tags[RUN_KEY] for run in runs if run.status != dg.DagsterRunStatus.NOT_STARTED}


def _in_use(uploads: list[Upload], instance: dg.DagsterInstance) -> set[str]:
    """Keys that a run is making something of, or will."""
    if not uploads:
        return set()
    keys = list({upload.key for upload in uploads})
    runs = instance.get_runs(dg.RunsFilter(tags={PARTITION: keys}, statuses=ACTIVE))
    return {run.tags[PARTITION] for run in runs if run.job_name != CHECK_AGAIN}
