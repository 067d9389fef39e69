"""The job that removes one video, for those who work in the web page; on a shell it is `dualface remove`.

Belongs here: the job and its config. What goes, and how, is in `removal`.
"""

import dagster as dg
from pydantic import Field

from dualface_assets.housekeeping import removal
from dualface_assets.runs.failures import as_failure
from dualface_assets.runs.tags import MAX_RETRIES
from dualface_assets.store.video_store import VideoStore


class RemovalConfig(dg.Config):
    """Which video is removed. There is no default, and no way back."""

    video: str = Field(description="Key of the video, such as interview-0123456789.")


@dg.op
def remove_from_store(context: dg.OpExecutionContext, config: RemovalConfig, store: VideoStore) -> None:
    """Remove a video with its tables, result and page, its partition and its runs. Refused while it is in use."""
    with as_failure(context), store.mounted(context.instance):
        removed = removal.remove(config.video, store, context.instance)
    context.add_output_metadata(
        {
            "video": dg.MetadataValue.text(removed.name or removed.key),
            "removed": dg.MetadataValue.text(", ".join(part.part for part in removed.parts)),
            "freed (bytes)": removed.size_bytes,
            "runs": len(removed.runs),
        }
    )


@dg.job(
    name="remove_video",
    description="Removes one video with all that is known of it: upload, tables, result, page, partition and runs. "
    "Give its key in the launchpad.",
    tags={MAX_RETRIES: "0"},
)
def remove_video() -> None:
    """One step."""
    remove_from_store()
