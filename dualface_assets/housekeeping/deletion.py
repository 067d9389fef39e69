"""Deleting what there is of a video, so that nothing which is in use is touched, wherever the process is killed.

Belongs here: how a part of a video is deleted. Which, and when, is the caller's. Three things make it safe:

- While one video is judged and its files are moved into `trash/KEY/`, no upload is taken and no run begins: both
  wait for a lock, for as long as a few renames take. A run that began before is seen, and the video is left alone.
- What is in the trash is removed afterwards. A folder in there also says that the video's partition may have to go, so
  a process that is killed in between has its work finished by the next one.
- An upload whose claim isn't settled belongs to a run that is yet to come. The video is left alone, too.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import dagster as dg

from dualface_assets.runs.in_use import why_in_use
from dualface_assets.store.files import empty
from dualface_assets.store.partitions import is_key, videos
from dualface_assets.store.tables import TABLES
from dualface_assets.store.video_store import VideoStore
from dualface_assets.uploads.claims import claimed_keys
from dualface_assets.uploads.intake import taking_uploads
from dualface_core import pipeline

Part = Literal["upload", "tables", "result", "page", "report"]


@dataclass(frozen=True)
class Deletion:
    """One part of a video that was deleted, or would be."""

    key: str
    part: Part
    size_bytes: int
    why: str


def parts_of(store: VideoStore, key: str) -> dict[Part, list[Path]]:
    """The files and folders that there are of each part of a video."""
    result = store.result_path(key)
    parts: dict[Part, list[Path]] = {
        "upload": [store.video_folder(key)],
        "tables": [store.table_path(table, key) for table in TABLES],
        "result": [result, pipeline.load_path(result)],
        "page": [store.page_folder(key)],
        "report": [pipeline.report_path(result)],
    }
    return {part: [path for path in paths if store.files.exists(path)] for part, paths in parts.items()}


def why_kept(store: VideoStore, key: str, instance: dg.DagsterInstance, *, retries_later: bool = True) -> str | None:
    """Why nothing of a video may be deleted at this moment; None if it may. See `why_in_use`."""
    if key in claimed_keys(store):
        return "it was uploaded again, and its run is yet to come"
    return why_in_use(key, instance, retries_later=retries_later)


@contextmanager
def undisturbed(store: VideoStore, instance: dg.DagsterInstance) -> Iterator[None]:
    """For the length of the block, no upload is taken and no run begins its first step."""
    with taking_uploads(store, wait=True), store.no_run_begins(instance):
        yield


def move_into_trash(store: VideoStore, key: str, paths: list[Path]) -> None:
    """Have files and folders of a video vanish from the store."""
    folder = store.trash_folder / key
    folder.mkdir(parents=True, exist_ok=True)
    for path in paths:
        store.files.move_to_trash(path, folder)


def empty_trash(store: VideoStore, instance: dg.DagsterInstance) -> None:
    """Remove what was moved there, now or by a process that was killed; and partitions of which nothing is left."""
    folders = [path for path in store.trash_folder.glob("*") if is_key(path.name)]
    for folder in folders:
        empty(folder)
        with undisturbed(store, instance):
            if why_kept(store, folder.name, instance):
                continue  # the next scan finds out whether something of it is left
            if not any(parts_of(store, folder.name).values()):
                instance.delete_dynamic_partition(str(videos.name), folder.name)
                store.files.move_to_trash(store.result_path(folder.name).parent, folder)
                empty(folder)
            folder.rmdir()
