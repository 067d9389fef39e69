"""Names that want to be more than names: as uploads, and as keys of partitions that somebody types in."""

from __future__ import annotations

import os
from pathlib import Path

import dagster as dg
import pytest

from dualface_assets.definitions import build_defs
from dualface_assets.runs.failures import explanation_of
from dualface_assets.store.partitions import UnsafeKeyError, is_key
from dualface_assets.store.video_store import VideoStore
from dualface_assets.uploads.claims import acknowledge, pending
from dualface_assets.uploads.intake import Intake, add
from dualface_assets.uploads.sensor import upload_sensor
from dualface_core.errors import MissingInputError
from tests.end_to_end.hostile import KEYS, NAMES

NO_UPLOADS = {name for name in NAMES if name.startswith((b".", b"~"))}
"""Hidden files and programs' own ones."""


def test_uploads_of_any_name_become_videos_in_the_store_and_nowhere_else(
    store: VideoStore, intake: Intake, tmp_path: Path
) -> None:
    store.inbox_folder.mkdir(parents=True)
    for number, name in enumerate(NAMES):
        (store.inbox_folder / os.fsdecode(name)).write_bytes(str(number).encode())
    taken = []
    said = []
    with dg.DagsterInstance.ephemeral() as instance:
        for _ in range(200):
            context = dg.build_sensor_context(instance, resources={"store": store})
            result = upload_sensor(intake)(context)
            if isinstance(result, dg.SkipReason):
                said.append(result.skip_message or "")
            else:
                assert isinstance(result, dg.SensorResult)
                for request in result.dynamic_partitions_requests or []:
                    instance.add_dynamic_partitions("videos", list(request.partition_keys))
                taken += [(str(run.partition_key), run.tags) for run in result.run_requests or []]
            for upload in pending(store):
                if upload.key in dict(taken):
                    acknowledge(store, upload)
            if len(taken) == len(NAMES) - len(NO_UPLOADS):
                break
    assert len(dict(taken)) == len(NAMES) - len(NO_UPLOADS)
    assert {os.fsencode(path.name) for path in store.inbox_folder.iterdir()} == NO_UPLOADS
    for key, tags in taken:
        assert is_key(key)
        assert store.video_path(key).parent.parent == store.raw_folder
        assert store.video_path(key).read_bytes().isdigit()
        assert tags["dualface/upload"].isprintable()  # one line, nothing that turns the text around
    assert all(line.isprintable() for line in said)
    assert list(tmp_path.iterdir()) == [store.folder]


def test_no_path_is_built_from_a_key_that_was_typed_in(store: VideoStore) -> None:
    for key in KEYS:
        for build in (store.video_folder, store.result_path, lambda key: store.table_path("face_tracks", key)):
            with pytest.raises(UnsafeKeyError):
                build(key)
    assert not store.folder.exists()


@pytest.mark.parametrize("place", ["../../../secret", "/etc/passwd", "..", "a/b", ".hidden", ""])
def test_no_path_is_built_from_a_note_that_somebody_else_wrote(store: VideoStore, tmp_path: Path, place: str) -> None:
    (tmp_path / "secret").write_bytes(b"a secret")
    (tmp_path / "talk.mp4").write_bytes(b"a video")
    upload = add(store, tmp_path / "talk.mp4")
    note = store.video_folder(upload.key) / "video.json"
    note.write_text(upload.model_copy(update={"file": place}).model_dump_json())
    with pytest.raises(MissingInputError, match="not a note of ours"):
        store.video_path(upload.key)
    claim = store.claims_folder / upload.claim / "upload.json"
    claim.write_text(upload.model_copy(update={"claim": place}).model_dump_json())
    assert pending(store) == []


@pytest.mark.parametrize("key", ["../../x", "<script>alert(1)</script>", "a\nb", "-rf"])
def test_a_run_of_a_key_that_was_typed_in_fails_with_a_reason_and_touches_nothing(
    store: VideoStore, tmp_path: Path, key: str
) -> None:
    with dg.DagsterInstance.ephemeral() as instance:
        instance.add_dynamic_partitions("videos", [key])
        job = build_defs(resource_overrides={"store": store}).resolve_job_def("process_video")
        run = job.execute_in_process(instance=instance, partition_key=key, raise_on_error=False)
        found = explanation_of(run.run_id, instance)
    assert found.failure == "unsafe-key"
    assert repr(key) in found.sentence  # in quotes, on one line
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]
