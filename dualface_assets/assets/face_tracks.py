"""face_tracks: who is where in every frame."""

import time
from collections.abc import Iterator, Mapping
from typing import Any, Final

import dagster as dg
import numpy as np
import pyarrow.compute as pc

from dualface_assets.assets import checks
from dualface_assets.assets.code_versions import code_version
from dualface_assets.assets.config import TracksConfig
from dualface_assets.assets.metadata import Record, columns, entries, image, stage_entries
from dualface_assets.assets.progress import logged
from dualface_assets.assets.raw_video import raw_video
from dualface_assets.runs.failures import as_failure
from dualface_assets.runs.tags import COLUMN_SCHEMA
from dualface_assets.runs.timeouts import in_time, limit_runtime, step_seconds
from dualface_assets.store.partitions import videos
from dualface_assets.store.video_store import VideoStore
from dualface_core import pipeline
from dualface_core.engine.stages import StageClock
from dualface_core.engine.workers import Workers
from dualface_core.tables.face_tracks import FaceTracks

COLUMNS: Final[Mapping[str, str]] = {
    "frame": "Number of the frame, from 0, in presentation order.",
    "pts": "Presentation timestamp of the frame, in units of the file's time base.",
    "time": "The same in seconds.",
    "shot": "Number of the shot: the stretch between two cuts.",
    "tracklet": "Number of the tracklet: one face, unbroken, within a shot.",
    "person": "A, B, or null for anyone else. A is on the left where both are first seen together.",
    "x": "Left edge of the face, in pixels of the upright frame.",
    "y": "Top edge of the face.",
    "width": "Width of the face.",
    "height": "Height of the face.",
    "score": "The detector's confidence, 0 to 1.",
    "landmarks": "x and y of: eye on the image's left, eye on its right, nose, mouth corner left, mouth corner right.",
    "source": "detected, interpolated between two detections, or followed: the head alone.",
    "identity_margin": "How much worse it would be if this were the other person or nobody. Small means: look here.",
}


@dg.asset(
    partitions_def=videos,
    deps=[raw_video],
    io_manager_key="table_storage",
    group_name="dualface",
    kinds={"onnx", "parquet"},
    owners=["team:video"],
    code_version=code_version("face_tracks"),
    metadata={COLUMN_SCHEMA: columns(FaceTracks.SCHEMA, COLUMNS)},
)
def face_tracks(
    context: dg.AssetExecutionContext, config: TracksConfig, store: VideoStore, workers: dg.ResourceParam[Workers]
) -> Iterator[dg.MaterializeResult[FaceTracks]]:
    """Every face in every frame, and which of them are person A and person B. One row per face per frame."""
    from dualface_core.advice.advisories import identity_advisory  # with scipy
    from dualface_core.review.plots import tracks_plot

    started = time.monotonic()
    with as_failure(context), store.mounted(context.instance):
        settings = config.settings()
        video = store.video_info(context.partition_key)
        limit_runtime(context, video)
        with in_time(step_seconds(video)) as watched:
            told = watched(logged(context, "Detecting faces"))

            def progress(done: int, total: int) -> None:
                pipeline.load_for_later()  # while nothing is to be done here but wait
                told(done, total)

            clock = StageClock("track", workers)
            tracks = pipeline.track(video, settings=settings, workers=workers, progress=progress)
            stage = clock.stop(tracks.frame_count)
        plot, figures, advisory = tracks_plot(tracks), _figures(tracks), identity_advisory(tracks)
    seconds = time.monotonic() - started
    yield dg.MaterializeResult(
        value=tracks,
        metadata=entries(
            {
                "where the faces are": image(plot, "where the faces are over time"),
                **figures,
                "seconds": seconds,
                **stage_entries(stage, "while looking for faces"),
                **Record(seconds={"track": seconds}, stages=[stage]).entry(),
                COLUMN_SCHEMA: columns(FaceTracks.SCHEMA, COLUMNS),
            }
        ),
        data_version=dg.DataVersion(tracks.sha256),
    )
    checks.record(context, [checks.advisory_result("face_tracks", advisory)])


def _figures(tracks: FaceTracks) -> dict[str, Any]:
    seen = {
        f"frames with {person} (%)": 100 * float((~np.isnan(tracks.boxes(person)[:, 0])).mean())
        for person in tracks.people
    }
    margin = tracks.smallest_margin
    return {
        "people": len(tracks.people),
        "frames": tracks.frame_count,
        "shots": len(tracks.shots),
        "tracklets": pc.count_distinct(tracks.table["tracklet"]).as_py(),
        **seen,
        **({"smallest identity margin": margin} if margin is not None else {}),
    }
