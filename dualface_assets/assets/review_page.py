"""review_page: the page on which a person accepts a result, or finds the place where it is not right."""

import time
from hashlib import sha256
from typing import TYPE_CHECKING, Final

import dagster as dg

from dualface_assets.assets.code_versions import code_version
from dualface_assets.assets.encoded_video import encoded_video
from dualface_assets.assets.metadata import Record, entries, image, link
from dualface_assets.assets.raw_video import raw_video
from dualface_assets.review_index.index import rebuild_index
from dualface_assets.review_index.records import PAGE, write_page
from dualface_assets.runs.failures import as_failure
from dualface_assets.runs.timeouts import in_time, step_seconds
from dualface_assets.store.partitions import videos
from dualface_assets.store.video_store import VideoStore
from dualface_core import pipeline
from dualface_core.tables.face_tracks import FaceTracks
from dualface_core.tables.tile_plan import TilePlan

if TYPE_CHECKING:  # PyAV is loaded by the step that needs it
    from dualface_core.review.page import PageContent

_TIMED: Final = ("raw_video", "face_tracks", "composed_tiles", "encoded_video")
"""The assets whose records say how long their steps took."""


@dg.asset(
    partitions_def=videos,
    deps=[raw_video, encoded_video],
    group_name="dualface",
    kinds={"html"},
    owners=["team:video"],
    code_version=code_version("review_page"),
)
def review_page(
    context: dg.AssetExecutionContext, store: VideoStore, face_tracks: FaceTracks, composed_tiles: TilePlan
) -> dg.MaterializeResult[None]:
    """A page for the person who reviews the result: source and result in step, what the cameras did, checks, doubts.

    One HTML file, and an index of all videos beside it: click on *open*. That it is here does not say that anybody
    has looked at it. The video has been published before; whatever happens here, it stays.
    """
    key = context.partition_key
    started = time.monotonic()
    with as_failure(context), store.mounted(context.instance):
        about = _content(context, store, face_tracks, composed_tiles)
        with in_time(step_seconds(about.video)):
            page = pipeline.review_page(about)
            write_page(page, about, store.page_folder(key))
            store.files.share(store.page_folder(key))
            index = rebuild_index(store)
    path = store.page_folder(key) / index.name
    return dg.MaterializeResult(
        metadata=entries(
            {
                "open": link(store, path),
                "page": dg.MetadataValue.path(store.files.address(path)),
                "all videos": dg.MetadataValue.path(store.files.address(index)),
                "thumbnail": image(page.thumbnail, "a frame of the result"),
                "to look at": len(page.warnings),
                "what to look at": dg.MetadataValue.text("\n".join(page.warnings)),
                "size (bytes)": path.stat().st_size,
                "seconds": time.monotonic() - started,
            }
        ),
        data_version=dg.DataVersion(sha256(page.html.encode()).hexdigest()),
    )


def _content(context: dg.AssetExecutionContext, store: VideoStore, tracks: FaceTracks, plan: TilePlan) -> "PageContent":
    from dualface_core.review.page import PageContent

    key = context.partition_key
    source, result, report = store.video_place(key), store.result_path(key), store.report(key)
    records = _records(context)
    noted = [*(stage for record in records for stage in record.stages), *report.stages]
    return PageContent(
        key=key,
        name=store.upload(key).name,
        video=store.video_info(key),
        tracks=tracks,
        plan=plan,
        report=report.model_copy(update={"stages": list({stage.name: stage for stage in noted}.values())}),
        result=store.result_info(key),
        seconds={step: seconds for record in records for step, seconds in record.seconds.items()},
        source_link=store.link(source, seen_from=store.page_folder(key)),
        result_link=store.link(result, seen_from=store.page_folder(key)),
        index_link=f"../{PAGE}",
    )


def _records(context: dg.AssetExecutionContext) -> list[Record]:
    """What Dagster knows of the steps before this one."""
    wanted = [dg.AssetRecordsFilter(dg.AssetKey(asset), asset_partitions=[context.partition_key]) for asset in _TIMED]
    found = [record for each in wanted for record in context.instance.fetch_materializations(each, limit=1).records]
    return [Record.of(record.asset_materialization.metadata) for record in found if record.asset_materialization]
