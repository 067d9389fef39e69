"""The job and the schedule that delete what need not be kept any longer.

Belongs here: the job, its config and its schedule (https://docs.dagster.io/guides/automate/schedules). What may be
deleted, and how that is done safely, is in `retention`.
"""

from typing import Final

import dagster as dg

from dualface_assets.housekeeping import retention
from dualface_assets.housekeeping.deletion import Deletion, Part
from dualface_assets.housekeeping.retention import Retention
from dualface_assets.runs.failures import as_failure
from dualface_assets.runs.tags import MAX_RETRIES
from dualface_assets.settings import ServiceSettings
from dualface_assets.store.video_store import VideoStore

_ASSETS: Final[dict[Part, tuple[str, ...]]] = {
    "upload": ("raw_video",),
    "tables": ("face_tracks", "composed_tiles"),
    "result": ("encoded_video",),
    "page": ("review_page",),
    "report": (),
}
"""Under the events of which assets the web page shows a deletion."""


class RetentionConfig(dg.Config):
    """What can be chosen for one run: with `dry_run` it only says what would be deleted."""

    dry_run: bool = False


@dg.op
def delete_what_is_overdue(context: dg.OpExecutionContext, config: RetentionConfig, store: VideoStore) -> None:
    """Delete uploads, tables and results that were kept for as long as the settings DUALFACE_KEEP_... say."""
    with as_failure(context), store.mounted(context.instance):
        settings = Retention.of(ServiceSettings.load())
        outcome = retention.delete_expired(store, context.instance, settings, dry_run=config.dry_run)
    if settings.for_ever:
        context.log.info("Everything is kept for ever: none of the settings DUALFACE_KEEP_... is set.")
    for key, reason in outcome.left_alone.items():
        context.log.info("Left %s alone: %s.", key, reason)
    for deletion in outcome.deleted:
        verb = "Would delete" if config.dry_run else "Deleted"
        context.log.info(
            "%s the %s of %s, %d bytes: %s.", verb, deletion.part, deletion.key, deletion.size_bytes, deletion.why
        )
        if not config.dry_run:
            for asset in _ASSETS[deletion.part]:
                said = f"Deleted by retention_job: {deletion.why}."
                freed = {"freed (bytes)": deletion.size_bytes}
                context.log_event(dg.AssetObservation(asset, said, freed, partition=deletion.key))
    context.add_output_metadata(
        {
            "dry run": config.dry_run,
            "deleted": _table(outcome.deleted),
            "freed (bytes)": sum(deletion.size_bytes for deletion in outcome.deleted),
            "videos left alone": len(outcome.left_alone),
        }
    )


@dg.job(
    name="retention_job",
    description="Deletes what need not be kept any longer, by the settings DUALFACE_KEEP_UPLOADS, "
    "DUALFACE_KEEP_TABLES, DUALFACE_KEEP_RESULTS and DUALFACE_KEEP_UNFINISHED. Without them it deletes nothing.",
    tags={MAX_RETRIES: "0"},  # the schedule tries again the next day
)
def retention_job() -> None:
    """One step."""
    delete_what_is_overdue()


@dg.schedule(
    name="retention_daily",
    job=retention_job,
    cron_schedule="0 4 * * *",
    default_status=dg.DefaultScheduleStatus.RUNNING,
    description="Runs retention_job at four in the morning, UTC, if the settings say that anything may be deleted.",
)
def retention_daily() -> dg.RunRequest | dg.SkipReason:
    """Ask for a run, unless everything is kept for ever."""
    if Retention.of(ServiceSettings.load()).for_ever:
        return dg.SkipReason("Everything is kept for ever: none of the settings DUALFACE_KEEP_... is set.")
    return dg.RunRequest()


def _table(deletions: list[Deletion]) -> dg.TableMetadataValue:
    records = [
        dg.TableRecord({"video": each.key, "part": each.part, "size (bytes)": each.size_bytes, "why": each.why})
        for each in deletions
    ]
    columns = {"video": "string", "part": "string", "size (bytes)": "int", "why": "string"}
    return dg.MetadataValue.table(records, dg.TableSchema([dg.TableColumn(*column) for column in columns.items()]))
