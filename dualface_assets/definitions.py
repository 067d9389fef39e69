"""The code location that `workspace.yaml` names.

Belongs here: putting the parts together. Loading it must be quick (Dagster does it at every start of a run), so ONNX
Runtime, OpenCV and PyAV are loaded by the steps that need them.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import dagster as dg

from dualface_assets.assets import check_again
from dualface_assets.assets.composed_tiles import composed_tiles
from dualface_assets.assets.delivered_video import delivered_video
from dualface_assets.assets.encoded_video import encoded_video
from dualface_assets.assets.face_tracks import face_tracks
from dualface_assets.assets.gpu import GpuResource
from dualface_assets.assets.raw_video import raw_video
from dualface_assets.assets.review_page import review_page
from dualface_assets.assets.worker_processes import seen_ahead, worker_processes
from dualface_assets.housekeeping.recovery import recovery
from dualface_assets.housekeeping.removal_job import remove_video
from dualface_assets.housekeeping.retention_job import retention_daily, retention_job
from dualface_assets.notifications.notifier import run_failed, video_finished
from dualface_assets.review_index.failed_videos import failed_videos
from dualface_assets.runs.executor import one_process
from dualface_assets.runs.process_video import process_video
from dualface_assets.settings import ServiceSettings
from dualface_assets.store.scratch import ScratchStorage
from dualface_assets.store.tables import TableStorage
from dualface_assets.store.video_store import video_store
from dualface_assets.uploads.intake import Intake
from dualface_assets.uploads.sensor import upload_sensor


def build_defs(*, resource_overrides: Mapping[str, Any] | None = None) -> dg.Definitions:
    """Fresh definitions.

    Args:
        resource_overrides: resources to take instead of those that the settings imply: `store` (a VideoStore),
            `gpu` (a GpuResource) and `workers` (worker_processes).
    """
    overrides = dict(resource_overrides or {})
    settings = ServiceSettings.load()
    store = overrides.pop("store", None) or video_store(settings)
    delivered = [delivered_video] if settings.outbox_folder else []
    return dg.Definitions(
        assets=[raw_video, face_tracks, composed_tiles, encoded_video, review_page, *delivered],
        asset_checks=check_again.definitions,
        jobs=[process_video, check_again.check_again, retention_job, remove_video],
        schedules=[retention_daily],
        sensors=[
            upload_sensor(Intake(), runs_per_tick=settings.runs_per_tick),
            recovery,
            failed_videos,
            video_finished,
            run_failed,
        ],
        executor=one_process,
        resources={
            "store": store,
            "gpu": GpuResource(),
            "workers": worker_processes,
            "seen_ahead": seen_ahead,
            "table_storage": TableStorage(store=store),
            "io_manager": ScratchStorage(store=store),
            **overrides,
        },
    )


defs = build_defs()
