"""The job that makes a result of an upload.

An asset job: https://docs.dagster.io/guides/build/jobs/asset-jobs.

Belongs here: which assets run together and what happens when one fails. Retries are asked for by a run's own tags;
the instance retries nothing by itself.
"""

from __future__ import annotations

from typing import Final

import dagster as dg

from dualface_assets.runs.tags import MAX_RETRIES, RETRY_STRATEGY

RETRIES: Final = {
    # For processes that are killed, which is seldom the video's fault; one that kills its process each time must end.
    # What a run can report itself is tried again once: see `launcher`.
    MAX_RETRIES: "4",
    # After a failed encode or check the whole asset is made again (in software if NVENC was the cause), and what came
    # before it is not. The default strategy would only run the failed step again.
    RETRY_STRATEGY: "FROM_ASSET_FAILURE",
}
"""Tags of a run that ask for another one if it fails."""

process_video = dg.define_asset_job(
    "process_video",
    selection=dg.AssetSelection.groups("dualface").without_checks(),
    description="From an upload to a verified split-screen video and its review page. Needs no configuration.",
    tags=RETRIES,
)
