from pathlib import Path

import dagster as dg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dualface_assets.partitions import UnsafeKeyError, is_key, videos
from dualface_assets.resources import VideoStore
from dualface_assets.storage import TableStorage
from dualface_core.errors import MissingInputError
from dualface_core.tracking.table import SCHEMA, FaceTracks, TracksMetadata

KEY = "interview-0123456789"
TRACKS = FaceTracks(
    SCHEMA.empty_table(),
    TracksMetadata(
        fingerprint="00", time_base="1/25", frame_width=64, frame_height=36, frame_pts=[0], shots=[], people=[]
    ),
)


def everything_in(folder: Path) -> set[Path]:
    return set(folder.rglob("*"))


def test_a_table_is_read_as_it_was_written(store: VideoStore) -> None:
    storage = TableStorage(store=store)
    output = dg.build_output_context(asset_key="face_tracks", partition_key=KEY)
    storage.handle_output(output, TRACKS)
    path = store.folder / "face_tracks" / f"{KEY}.parquet"
    assert FaceTracks.read(path).metadata == TRACKS.metadata
    found = storage.load_input(dg.build_input_context(asset_key="face_tracks", partition_key=KEY))
    assert isinstance(found, FaceTracks)
    assert found.metadata == TRACKS.metadata
    assert output.get_logged_metadata()["dagster/row_count"].value == 0


def test_a_table_that_was_not_made_is_said_to_be_missing(store: VideoStore) -> None:
    context = dg.build_input_context(asset_key="composed_tiles", partition_key=KEY)
    with pytest.raises(MissingInputError, match="there is no such file"):
        TableStorage(store=store).load_input(context)


@given(key=st.text() | st.from_regex(r"(\.\./){1,3}[a-z]-[0-9a-f]{10}", fullmatch=True))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=40)
def test_no_key_leads_out_of_the_store(store: VideoStore, tmp_path: Path, key: str) -> None:
    before = everything_in(tmp_path) - everything_in(store.folder)
    storage = TableStorage(store=store)
    if is_key(key):
        storage.handle_output(dg.build_output_context(asset_key="face_tracks", partition_key=key), TRACKS)
    else:
        with pytest.raises(UnsafeKeyError):
            storage.handle_output(dg.build_output_context(asset_key="face_tracks", partition_key=key), TRACKS)
        with pytest.raises(UnsafeKeyError):
            storage.load_input(dg.build_input_context(asset_key="face_tracks", partition_key=key))
        for path in (store.video_folder, store.result_path, store.upload):
            with pytest.raises(UnsafeKeyError):
                path(key)
    assert everything_in(tmp_path) - everything_in(store.folder) - {store.folder} == before - {store.folder}


def test_a_partition_with_a_hostile_key_fails_and_writes_nothing(store: VideoStore, tmp_path: Path) -> None:
    @dg.asset(partitions_def=videos, io_manager_key="table_storage")
    def face_tracks() -> FaceTracks:
        return TRACKS

    with dg.DagsterInstance.ephemeral() as instance:
        instance.add_dynamic_partitions("videos", ["../../escape"])
        result = dg.materialize(
            [face_tracks],
            instance=instance,
            partition_key="../../escape",
            resources={"table_storage": TableStorage(store=store)},
            raise_on_error=False,
        )
    assert not result.success
    assert everything_in(tmp_path) == set()
