"""Checking what is there once more, without making it again: the job `check_again`.

Belongs here: checking tables and published results a second time. A result is decoded from its first frame to its last
and compared with a composition of its plan made anew, since the fingerprints of its making are gone.

It is a job of its own, since Dagster's page (1.13) has no *Execute* for the checks of a partitioned asset. The checks
need definitions all the same. Those of an asset can only be had together, so that *Materialize* plans none of them (see
`checks`), where there are several.
https://docs.dagster.io/guides/test/asset-checks.
"""

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Final

import dagster as dg

from dualface_assets.assets import checks
from dualface_assets.assets.progress import logged
from dualface_assets.runs.failures import as_failure
from dualface_assets.runs.in_use import CHECK_AGAIN
from dualface_assets.runs.tags import MAX_RETRIES
from dualface_assets.runs.timeouts import in_time, limit_runtime, step_seconds
from dualface_assets.store.partitions import videos
from dualface_assets.store.video_store import VideoStore
from dualface_core import pipeline
from dualface_core.errors import FileError
from dualface_core.settings import Settings
from dualface_core.tables.face_tracks import FaceTracks
from dualface_core.tables.tile_plan import TilePlan

if TYPE_CHECKING:  # PyAV is loaded by the step that needs it
    from dualface_core.rendering.report import EncodeReport


class SpoiledResultError(FileError):
    """A published result is not right any more, or not the file that was verified."""

    permanent = True


def _face_tracks(context: dg.OpExecutionContext, store: VideoStore) -> Iterator[dg.AssetCheckResult]:
    from dualface_core.advice.advisories import identity_advisory  # with scipy

    with as_failure(context), store.mounted(context.instance):
        advisory = identity_advisory(_tracks(store, context.partition_key))
    yield checks.advisory_result("face_tracks", advisory)


def _composed_tiles(context: dg.OpExecutionContext, store: VideoStore) -> Iterator[dg.AssetCheckResult]:
    from dualface_core.advice.advisories import enlargement_advisory, framing_advisory  # with scipy

    with as_failure(context), store.mounted(context.instance):
        tracks, plan = _tracks(store, context.partition_key), _plan(store, context.partition_key)
        advisories = [framing_advisory(tracks, plan), enlargement_advisory(plan)]
    yield from (checks.advisory_result("composed_tiles", advisory) for advisory in advisories)


def _encoded_video(context: dg.OpExecutionContext, store: VideoStore) -> Iterator[dg.AssetCheckResult]:
    """Verify the published result again, unless this run has made it, which verified it. Fails if it is not right."""
    key = context.partition_key
    result = store.result_path(key)
    made = dg.AssetRecordsFilter(dg.AssetKey(checks.VERIFIED), asset_partitions=[key])
    with as_failure(context), store.mounted(context.instance):
        report = store.report(key)
        latest = context.instance.fetch_materializations(made, limit=1).records
        if not latest or latest[0].run_id != context.run.run_id:
            report = _verified_again(context, store, report)
    yield from checks.results_of(report)
    with as_failure(context):
        if report.verification and not report.verification.passed:
            wrong = "; ".join(finding.message.rstrip(".") for finding in report.verification.failures)
            raise SpoiledResultError(result, f"it is not right: {wrong}", action="Materialize encoded_video.")


def _verified_again(context: dg.OpExecutionContext, store: VideoStore, report: "EncodeReport") -> "EncodeReport":
    key = context.partition_key
    result, video, tracks, plan = store.result_path(key), store.video_info(key), _tracks(store, key), _plan(store, key)
    report.check_plan(plan, result)
    if not store.has_result(key):
        found = "it is not the file that was verified, by its size or SHA-256"
        raise SpoiledResultError(result, found, action="Materialize encoded_video.")
    limit_runtime(context, video)
    settings = Settings.load()
    with in_time(step_seconds(video)) as watched, pipeline.worker_processes(settings) as workers:
        verification = pipeline.verify(
            store.local(result),
            video=video,
            tracks=tracks,
            plan=plan,
            settings=settings,
            workers=workers,
            progress=watched(logged(context, "Verifying")),
        )
    return pipeline.verified_report(report, verification, video, tracks, plan)


def _tracks(store: VideoStore, key: str) -> FaceTracks:
    with store.reading(store.table_path("face_tracks", key)) as local:
        return FaceTracks.read(local)


def _plan(store: VideoStore, key: str) -> TilePlan:
    with store.reading(store.table_path("composed_tiles", key)) as local:
        return TilePlan.read(local)


@dg.op
def check_video(context: dg.OpExecutionContext, store: VideoStore) -> None:
    """Check everything that there is of a video again: who is who, what the tiles show, and the whole result."""
    for check in (_face_tracks, _composed_tiles, _encoded_video):
        checks.record(context, check(context, store))


@dg.job(
    name=CHECK_AGAIN,
    partitions_def=videos,
    description="Checks a published video again, against its plan and source, and makes nothing. Choose the video, or "
    "several, under Partitions.",
    tags={MAX_RETRIES: "0"},
)
def check_again() -> None:
    """One step."""
    check_video()


def _definition(
    asset: str, check: Callable[[dg.OpExecutionContext, VideoStore], Iterator[dg.AssetCheckResult]]
) -> dg.AssetChecksDefinition:
    """The checks of `asset` for a run that asks for them itself."""

    @dg.multi_asset_check(name=f"check_{asset}", specs=checks.specs(asset))
    def again(context: dg.AssetCheckExecutionContext, store: VideoStore) -> Iterator[dg.AssetCheckResult]:
        yield from check(context.op_execution_context, store)

    return again


definitions: Final = [
    _definition("face_tracks", _face_tracks),
    _definition("composed_tiles", _composed_tiles),
    _definition(checks.VERIFIED, _encoded_video),
]
