"""Removing one video with all that is known of it, because somebody says so.

Belongs here: taking a video out of store, tables, index of videos and partitions, and its runs with it: their events
hold its images, and would have the same video count as made already if it was ever uploaded again. (Dagster without its
paid service cannot wipe a single partition of an asset, #14749.) What Dagster keeps of the last run of each asset stays
until the next one.
"""

from __future__ import annotations

import shutil
from dataclasses import dataclass

import dagster as dg

from dualface_assets.housekeeping.deletion import (
    Deletion,
    empty_trash,
    move_into_trash,
    parts_of,
    undisturbed,
    why_kept,
)
from dualface_assets.review_index.index import rebuild_index
from dualface_assets.runs.tags import PARTITION
from dualface_assets.store.partitions import is_key, videos
from dualface_assets.store.video_store import VideoStore
from dualface_core.errors import DualfaceError, MissingInputError


class VideoInUseError(DualfaceError):
    """A video cannot be removed while something is at work on it, or soon will be."""

    permanent = True


@dataclass(frozen=True)
class Removal:
    """What there is of a video, all of which goes.

    Attributes:
        key: the video.
        name: what the uploaded file was called; None if that is not known (any more).
        parts: what lies in the store.
        runs: ids of the runs that were about it.
    """

    key: str
    name: str | None
    parts: list[Deletion]
    runs: list[str]

    @property
    def size_bytes(self) -> int:
        """Of all that lies in the store."""
        return sum(part.size_bytes for part in self.parts)


def removal_of(key: str, store: VideoStore, instance: dg.DagsterInstance) -> Removal:
    """What would be removed. Raises MissingInputError where nothing is known of such a video."""
    action = "Give the key of a video, as the web page and the index of videos show it."
    if not is_key(key):
        raise MissingInputError(key, "this is no key of a video, such as interview-0123456789", action=action)
    parts = [
        Deletion(key, part, sum(map(store.files.size, paths)), "it is to be removed")
        for part, paths in parts_of(store, key).items()
        if paths
    ]
    runs = [run.run_id for run in instance.get_runs(dg.RunsFilter(tags={PARTITION: key}))]
    if not (parts or runs or instance.has_dynamic_partition(str(videos.name), key)):
        action = "Give the key of a video, as the web page and the index of videos show it."
        raise MissingInputError(key, "there is no such video", action=action)
    return Removal(key, store.uploaded_name(key), parts, runs)


def remove(key: str, store: VideoStore, instance: dg.DagsterInstance) -> Removal:
    """Remove a video, and say what there was of it.

    Raises:
        VideoInUseError: a run of it is in flight or about to begin, or an upload of it waits for its run.
        MissingInputError: there is none.
    """
    with undisturbed(store, instance):
        removal = removal_of(key, store, instance)
        if reason := why_kept(store, key, instance, retries_later=False):
            raise VideoInUseError(f"{key} is not removed: {reason}. Wait until that is over, or terminate it.")
        for paths in parts_of(store, key).values():
            move_into_trash(store, key, paths)
        shutil.rmtree(store.spans_folder(key), ignore_errors=True)
        for run_id in removal.runs:
            instance.delete_run(run_id)
            instance.compute_log_manager.delete_logs(prefix=[run_id])
    empty_trash(store, instance)
    if store.review_folder.exists():
        rebuild_index(store)
    return removal
