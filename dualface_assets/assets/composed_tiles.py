"""composed_tiles: what each tile shows in every frame."""

import time
from collections.abc import Iterator, Mapping
from typing import Any, Final

import dagster as dg

from dualface_assets.assets import checks
from dualface_assets.assets.code_versions import code_version
from dualface_assets.assets.config import TilesConfig
from dualface_assets.assets.metadata import Record, columns, entries, image, lineage
from dualface_assets.runs.failures import as_failure
from dualface_assets.runs.tags import COLUMN_LINEAGE, COLUMN_SCHEMA
from dualface_assets.runs.timeouts import in_time, step_seconds
from dualface_assets.store.partitions import videos
from dualface_assets.store.video_store import VideoStore
from dualface_core import pipeline
from dualface_core.tables.face_tracks import FaceTracks
from dualface_core.tables.labels import CameraState
from dualface_core.tables.scenes import summary
from dualface_core.tables.tile_plan import TilePlan

COLUMNS: Final[Mapping[str, str]] = {
    "frame": "Number of the frame, from 0, the same in source and result.",
    "pts": "Presentation timestamp of the frame, in units of the source's time base.",
    "tile": "Number of the tile in the layout.",
    "subject": "Whom the tile shows: A, B, the pair of them, or the whole frame.",
    "center_x": "Middle of the part of the source that the tile shows, in pixels of the upright frame.",
    "center_y": "The same, downwards.",
    "width": "Width of that part.",
    "height": "Height of that part.",
    "tile_x": "Left edge of the tile on the canvas, in pixels.",
    "tile_y": "Its upper edge.",
    "tile_width": "Its width; 0 where it is not drawn.",
    "tile_height": "Its height.",
    "shot": "Number of the shot: the stretch between two cuts.",
    "scene": "Number of the scene: the stretch with one arrangement of the canvas.",
    "state": "tracking (the person is shown), holding (lost for a moment) or wide (not there: the wide shot).",
}

_MOST_SCENES: Final = 100
"""That the metadata lists; the plan has all."""

_BOX: Final = ("x", "y", "width", "height", "landmarks", "person")
ORIGINS: Final[Mapping[str, tuple[str, ...]]] = {
    "frame": ("frame",),
    "pts": ("pts",),
    "subject": ("frame", "shot", "person"),
    "center_x": _BOX,
    "center_y": _BOX,
    "width": _BOX,
    "height": _BOX,
    "scene": ("frame", "shot", "person"),
    "shot": ("shot",),
    "state": ("frame", "person"),
}
"""The columns of face_tracks that each column was made from. `tile` comes from the layout."""


@dg.asset(
    partitions_def=videos,
    io_manager_key="table_storage",
    group_name="dualface",
    kinds={"numpy", "parquet"},
    owners=["team:video"],
    code_version=code_version("composed_tiles"),
    metadata={COLUMN_SCHEMA: columns(TilePlan.SCHEMA, COLUMNS), COLUMN_LINEAGE: lineage(ORIGINS, "face_tracks")},
)
def composed_tiles(
    context: dg.AssetExecutionContext, config: TilesConfig, store: VideoStore, face_tracks: FaceTracks
) -> Iterator[dg.MaterializeResult[TilePlan]]:
    """The path of each tile's virtual camera: the part of the source that it shows, in every frame.

    Frames are not stored: 10 minutes of them are 50 GB. The contact sheet shows what the result will look like.
    """
    from dualface_core.advice.advisories import enlargement_advisory, framing_advisory  # with scipy

    started = time.monotonic()
    with as_failure(context), store.mounted(context.instance):
        video = store.video_info(context.partition_key)
        pipeline.load_for_later().join()
        with in_time(step_seconds(video)):
            plan = pipeline.plan_tiles(video, face_tracks, settings=config.settings())
            preview = pipeline.preview(video, face_tracks, plan)
        figures, advisories = _figures(plan), [framing_advisory(face_tracks, plan), enlargement_advisory(plan)]
    seconds = time.monotonic() - started
    yield dg.MaterializeResult(
        value=plan,
        metadata=entries(
            {
                "contact sheet": image(preview.contact_sheet, "frames of the result"),
                "cameras": image(preview.camera_plot, "where the cameras look over time"),
                "scenes": summary(plan.timed_scenes),
                "first scenes": _scenes(plan),
                **figures,
                "seconds": seconds,
                **Record(seconds={"plan": seconds}).entry(),
                COLUMN_SCHEMA: columns(TilePlan.SCHEMA, COLUMNS),
                COLUMN_LINEAGE: lineage(ORIGINS, "face_tracks"),
            }
        ),
        data_version=dg.DataVersion(plan.sha256),
    )
    checks.record(context, (checks.advisory_result("composed_tiles", advisory) for advisory in advisories))


def _scenes(plan: TilePlan) -> dg.TableMetadataValue:
    """What is shown when, and why; of many scenes the first ones."""
    types = {"from (s)": "float", "to (s)": "float", "kind": "string", "cast": "string", "reason": "string"}
    rows = [
        (round(scene.start, 3), round(scene.end, 3), scene.kind.value, ", ".join(scene.cast), scene.reason)
        for scene in plan.timed_scenes[:_MOST_SCENES]
    ]
    return dg.MetadataValue.table(
        [dg.TableRecord(dict(zip(types, row, strict=True))) for row in rows],
        schema=dg.TableSchema([dg.TableColumn(name, type=kind) for name, kind in types.items()]),
    )


def _figures(plan: TilePlan) -> dict[str, Any]:
    figures: dict[str, Any] = {"layout": plan.layout.name, "frames": plan.frame_count}
    for subject, enlargement in plan.largest_enlargements.items():
        shown = plan.drawn & (plan.subjects == subject)
        for state in CameraState:
            figures[f"{subject}: {state} (%)"] = 100 * float((shown & (plan.states == state)).any(axis=1).mean())
        figures[f"{subject}: largest enlargement"] = enlargement
    return figures
