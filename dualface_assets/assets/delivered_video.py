"""delivered_video: a copy of the verified result in the outbox, under the name of its upload."""

import time

import dagster as dg

from dualface_assets.assets.encoded_video import encoded_video
from dualface_assets.assets.metadata import entries
from dualface_assets.runs.failures import as_failure
from dualface_assets.runs.timeouts import in_time, reading_seconds
from dualface_assets.settings import ServiceSettings
from dualface_assets.store.outbox import deliver
from dualface_assets.store.partitions import videos
from dualface_assets.store.video_store import VideoStore
from dualface_core.errors import SettingsError


@dg.asset(
    partitions_def=videos,
    deps=[encoded_video],
    group_name="dualface",
    kinds={"video"},
    owners=["team:video"],
    code_version="1",
)
def delivered_video(context: dg.AssetExecutionContext, store: VideoStore) -> dg.MaterializeResult[None]:
    """A copy of the verified result in the outbox, under the name of its upload.

    It is made where DUALFACE_OUTBOX is set. Nothing in the outbox is ever overwritten or removed from here. Materialize
    it to have a result there once more.
    """
    key = context.partition_key
    started = time.monotonic()
    with as_failure(context), store.mounted(context.instance):
        outbox = ServiceSettings.load().outbox_folder
        if outbox is None:
            raise SettingsError("There is no outbox. Set DUALFACE_OUTBOX to a folder.")
        size_bytes = store.files.size(store.result_path(key))
        with in_time(reading_seconds(size_bytes)):
            path = deliver(store, key, outbox)
    return dg.MaterializeResult(
        metadata=entries(
            {
                "path": dg.MetadataValue.path(str(path)),
                "size (bytes)": size_bytes,
                "seconds": time.monotonic() - started,
            }
        ),
        data_version=dg.DataVersion(store.result_sha256(key)),
    )
