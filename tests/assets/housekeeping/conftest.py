"""Videos in a store with everything that a run makes of them, and runs that an instance knows of."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import dagster as dg
import pytest

from dualface_assets.store.video_store import VideoStore
from dualface_assets.uploads.claims import acknowledge
from dualface_assets.uploads.intake import add
from dualface_core import pipeline
from tests.assets.conftest import publish
from tests.dagster_internals import RegisteredCodeLocationOrigin, RemoteJobOrigin, RemoteRepositoryOrigin

Processed = Callable[..., str]


@pytest.fixture
def processed(store: VideoStore, instance: dg.DagsterInstance, tmp_path: Path) -> Processed:
    """Put a video into the store, with everything that a run makes of it, or without a result. Gives its key."""

    def processed(content: bytes = b"a video", *, result: bool = True, store: VideoStore = store) -> str:
        source = tmp_path / "a.mp4"
        source.write_bytes(content)
        upload = add(store, source)
        acknowledge(store, upload)
        instance.add_dynamic_partitions("videos", [upload.key])
        output = store.result_path(upload.key)
        made = [store.table_path("face_tracks", upload.key), store.table_path("composed_tiles", upload.key)]
        made += [pipeline.load_path(output)] if result else []
        for path in made:
            store.files.write(path, b"made")
        if result:
            publish(store, upload.key, b"made")
        return upload.key

    return processed


def what_is_left(store: VideoStore, key: str) -> set[str]:
    """The parts of a video that are there."""
    places = {
        "upload": store.video_folder(key),
        "tables": store.table_path("face_tracks", key),
        "result": store.result_path(key),
        "report": pipeline.report_path(store.result_path(key)),
    }
    return {part for part, path in places.items() if store.files.exists(path)}


def add_run(
    instance: dg.DagsterInstance, key: str, status: dg.DagsterRunStatus, tags: dict[str, str] | None = None
) -> dg.DagsterRun:
    tags = {"dagster/partition": key, **(tags or {})}
    repository = RemoteRepositoryOrigin(RegisteredCodeLocationOrigin("dualface"), "__repository__")
    origin = RemoteJobOrigin(repository, "process_video")
    return instance.add_run(dg.DagsterRun("process_video", tags=tags, status=status, remote_job_origin=origin))
