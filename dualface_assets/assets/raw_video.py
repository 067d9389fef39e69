"""raw_video: an upload, probed and found fit to be used."""

import time
from dataclasses import replace
from hashlib import sha256
from pathlib import Path

import dagster as dg
from pydantic import TypeAdapter

from dualface_assets.assets.code_versions import code_version
from dualface_assets.assets.config import RawVideoConfig
from dualface_assets.assets.metadata import Record, entries, image
from dualface_assets.runs.failures import as_failure
from dualface_assets.runs.timeouts import in_time, limit_runtime, reading_seconds
from dualface_assets.store.partitions import videos
from dualface_assets.store.video_store import VideoStore
from dualface_core import pipeline
from dualface_core.engine.workers import Workers
from dualface_core.errors import ChangedVideoError


@dg.asset(
    partitions_def=videos,
    group_name="dualface",
    kinds={"video", "ffmpeg"},
    owners=["team:video"],
    code_version=code_version("raw_video"),
)
def raw_video(
    context: dg.AssetExecutionContext,
    config: RawVideoConfig,
    store: VideoStore,
    workers: dg.ResourceParam[Workers],
) -> dg.MaterializeResult[None]:
    """A video as it was uploaded, and what it is: exact frame count, timestamps, rotation, color and audio.

    The upload sensor has put it into the store, so it can be materialized from here at any time; a damaged one with
    `salvage`. A file that is not a usable video fails here, with the reason.
    """
    key = context.partition_key
    started = time.monotonic()
    with as_failure(context), store.mounted(context.instance):
        upload, made = store.upload(key), context.job_def.asset_layer.executable_asset_keys
        if dg.AssetKey("encoded_video") in made:
            store.require_room(upload.size_bytes)  # before any of the work, for runs that the sensor has not held back
        context.log.info("Probing %s, uploaded %s.", upload.name, upload.claimed_at)
        with in_time(reading_seconds(upload.size_bytes)):
            path = store.video_path(key)
            if dg.AssetKey("face_tracks") in made:
                workers.prepare()  # seldom in vain: for a video of a few seconds
                pipeline.prepare_card(workers, [path])
            info = pipeline.probe(path, settings=config.settings())
        limit_runtime(context, info)
        if info.fingerprint != upload.sha256:
            raise ChangedVideoError(
                info.path, "its content has changed since it was uploaded", action="Put it into the inbox again."
            )
        store.write_video_info(key, info)
        thumbnail = pipeline.thumbnail(info)
        known = TypeAdapter(type(info)).dump_json(replace(info, path=Path(upload.file)))  # wherever the store is
    seconds = time.monotonic() - started
    return dg.MaterializeResult(
        metadata=entries(
            {
                "thumbnail": image(thumbnail, "a frame of the video"),
                "uploaded as": dg.MetadataValue.text(upload.name),
                "path": dg.MetadataValue.path(store.files.address(store.video_place(key))),
                "duration (s)": info.duration,
                "width": info.width,
                "height": info.height,
                "frames": info.frame_count,
                "frames per second": float(info.average_rate),
                "constant frame rate": info.constant_rate,
                "rotation (degrees)": info.orientation.rotation,
                "mirrored": info.orientation.mirrored,
                "codec": f"{info.codec}, {info.pixel_format}",
                "audio": "; ".join(map(str, info.audio)) or "none",
                "size (bytes)": info.size_bytes,
                "bits per second": info.bit_rate,
                "SHA-256": info.fingerprint,
                "seconds": seconds,
                **Record(seconds={"probe": seconds}).entry(),
            }
        ),
        # Its content, and what was found in it: with other settings, or by a later release, that may be something else.
        data_version=dg.DataVersion(sha256(known).hexdigest()),
    )
