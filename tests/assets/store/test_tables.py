import subprocess
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dualface_assets.runs.failures import explanation_of
from dualface_assets.runs.tags import RETRY_ON_STEP_FAILURE
from dualface_assets.store.partitions import UnsafeKeyError, is_key, videos
from dualface_assets.store.tables import TableStorage
from dualface_assets.store.video_store import VideoStore
from dualface_core.errors import MachineError
from dualface_core.tables.face_tracks import FaceTracks, TracksMetadata
from tests.unmounted import unmounted

KEY = "interview-0123456789"
TRACKS = FaceTracks(
    FaceTracks.SCHEMA.empty_table(),
    TracksMetadata(
        fingerprint="00", time_base="1/25", frame_width=64, frame_height=36, frame_pts=[0], shots=[], people=[]
    ),
)


def everything_in(folder: Path) -> set[Path]:
    return set(folder.rglob("*"))


def run_of_tables(
    store: VideoStore, instance: dg.DagsterInstance, key: str, *selection: str
) -> dg.ExecuteInProcessResult:
    """A run in which face_tracks are stored, and loaded by the asset that follows."""

    @dg.asset(partitions_def=videos, io_manager_key="table_storage")
    def face_tracks() -> FaceTracks:
        return TRACKS

    @dg.asset(partitions_def=videos)
    def reader(face_tracks: FaceTracks) -> None:
        assert face_tracks.metadata == TRACKS.metadata

    instance.add_dynamic_partitions("videos", [key])
    return dg.materialize(
        [face_tracks, reader],
        selection=list(selection) or None,
        instance=instance,
        partition_key=key,
        resources={"table_storage": TableStorage(store=store)},
        raise_on_error=False,
    )


def test_a_table_is_read_as_it_was_written(store: VideoStore) -> None:
    with dg.DagsterInstance.ephemeral() as instance:
        done = run_of_tables(store, instance, KEY)
    assert done.success
    assert FaceTracks.read(store.folder / "face_tracks" / f"{KEY}.parquet").metadata == TRACKS.metadata
    (event,) = done.asset_materializations_for_node("face_tracks")
    assert event.metadata["dagster/partition_row_count"].value == 0


def test_a_table_that_was_not_made_is_said_to_be_missing(store: VideoStore) -> None:
    with dg.DagsterInstance.ephemeral() as instance:
        result = run_of_tables(store, instance, KEY, "reader")
        told = explanation_of(result.run_id, instance)
    assert told.failure == "missing-input"
    assert "there is no such file" in told.sentence
    assert told.remedy == "Run the step that makes it first."


@given(key=st.text() | st.from_regex(r"(\.\./){1,3}[a-z]-[0-9a-f]{10}", fullmatch=True))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=40)
def test_no_key_leads_out_of_the_store(store: VideoStore, tmp_path: Path, key: str) -> None:
    before = everything_in(tmp_path) - everything_in(store.folder)
    storage = TableStorage(store=store)
    if is_key(key):
        storage.handle_output(dg.build_output_context(asset_key="face_tracks", partition_key=key), TRACKS)
    else:
        for path in (store.video_folder, store.result_path, store.upload, store.page_folder):
            with pytest.raises(UnsafeKeyError):
                path(key)
        with pytest.raises(UnsafeKeyError):
            store.table_path("face_tracks", key)
    assert everything_in(tmp_path) - everything_in(store.folder) - {store.folder} == before - {store.folder}


def test_a_partition_with_a_hostile_key_fails_for_good_and_writes_nothing(store: VideoStore, tmp_path: Path) -> None:
    with dg.DagsterInstance.ephemeral() as instance:
        for selection in ("face_tracks", "reader"):
            result = run_of_tables(store, instance, "../../escape", selection)
            assert not result.success
            told = explanation_of(result.run_id, instance)
            assert told.failure == "unsafe-key"
            run = instance.get_run_by_id(result.run_id)
            assert run is not None
            assert run.tags[RETRY_ON_STEP_FAILURE] == "false"
    assert everything_in(tmp_path) == set()


def test_a_bug_while_storing_is_called_one(store: VideoStore) -> None:
    @dg.asset(partitions_def=videos, io_manager_key="table_storage")
    def face_tracks() -> Any:
        return "no table"

    with dg.DagsterInstance.ephemeral() as instance:
        instance.add_dynamic_partitions("videos", [KEY])
        resources = {"table_storage": TableStorage(store=store)}
        result = dg.materialize(
            [face_tracks], instance=instance, partition_key=KEY, resources=resources, raise_on_error=False
        )
        told = explanation_of(result.run_id, instance)
    assert (told.failure, told.step) == ("bug", "face_tracks")
    assert told.sentence == "A bug in dualface stopped the storing of face_tracks (AttributeError)."


def test_a_run_that_begins_while_the_store_is_not_mounted_does_not_blame_the_video(store: VideoStore) -> None:
    with dg.DagsterInstance.ephemeral() as instance:
        store.mark(instance)
        run_of_tables(store, instance, KEY)
        with unmounted(store):
            done = run_of_tables(store, instance, KEY, "reader")
        assert explanation_of(done.run_id, instance).failure == "machine"
        assert run_of_tables(store, instance, KEY, "reader").success


def test_a_video_is_not_called_missing_while_the_store_is(store: VideoStore) -> None:
    with dg.DagsterInstance.ephemeral() as instance:
        store.mark(instance)
        with pytest.raises(MachineError, match="is not the store"), store.mounted(instance), unmounted(store):
            store.upload(KEY)


def test_a_run_that_begins_on_a_full_disk_fails_in_a_step_which_is_tried_again_later(small_disk: Path) -> None:
    subprocess.run(["mount", "-o", "remount,nr_inodes=1", small_disk], check=True)
    with dg.DagsterInstance.ephemeral() as instance:
        done = run_of_tables(VideoStore(root=str(small_disk)), instance, KEY)
        told = explanation_of(done.run_id, instance)
    assert (told.failure, told.step) == ("machine", "face_tracks")
    assert "No space left on device" in told.sentence
