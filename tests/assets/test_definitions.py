from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import dagster as dg
import pytest
import yaml

from dualface_assets.assets import composed_tiles, face_tracks
from dualface_assets.definitions import build_defs
from dualface_assets.metadata import columns, picture
from dualface_assets.resources import VideoStore

REPOSITORY = Path(__file__).parents[2]


def test_the_code_location_loads_without_torch_opencv_or_pyav() -> None:
    program = "import json, sys; import dualface_assets.definitions; print(json.dumps(sorted(sys.modules)))"
    loaded = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    modules = set(json.loads(loaded.stdout.splitlines()[-1]))
    assert not modules & {"torch", "cv2", "av", "pandas", "scipy", "matplotlib"}


def test_the_workspace_names_the_definitions() -> None:
    workspace = yaml.safe_load((REPOSITORY / "workspace.yaml").read_text())
    (location,) = workspace["load_from"]
    assert location["python_module"]["module_name"] == "dualface_assets.definitions"


def test_the_assets_form_the_pipeline(store: VideoStore) -> None:
    graph = build_defs(resource_overrides={"store": store}).resolve_asset_graph()
    edges = {
        key.to_user_string(): sorted(parent.to_user_string() for parent in graph.get(key).parent_keys)
        for key in graph.get_all_asset_keys()
    }
    assert edges == {
        "raw_video": [],
        "face_tracks": ["raw_video"],
        "composed_tiles": ["face_tracks"],
        "encoded_video": ["composed_tiles", "face_tracks", "raw_video"],
    }
    checks = {(key.asset_key.to_user_string(), key.name) for key in graph.asset_check_keys}
    assert checks == {("encoded_video", name) for name in ("file", "timing", "sound", "picture", "people")}


def test_every_asset_says_what_it_is(store: VideoStore) -> None:
    graph = build_defs(resource_overrides={"store": store}).resolve_asset_graph()
    for key in graph.get_all_asset_keys():
        asset = graph.get(key)
        assert asset.description
        assert asset.kinds
        assert asset.owners == ["team:video"]
        assert asset.code_version
        assert asset.group_name == "dualface"
        assert asset.partitions_def == dg.DynamicPartitionsDefinition(name="videos")


def test_the_job_retries_a_failed_asset_once(store: VideoStore) -> None:
    job = build_defs(resource_overrides={"store": store}).resolve_job_def("process_video")
    assert job.tags["dagster/max_retries"] == "1"
    assert job.tags["dagster/retry_strategy"] == "FROM_ASSET_FAILURE"
    assert job.executor_def.name == "one_process"


def test_only_the_step_on_the_gpu_takes_a_slot(store: VideoStore) -> None:
    job = build_defs(resource_overrides={"store": store}).resolve_job_def("process_video")
    encoded = job.graph.node_named("encoded_video").definition
    assert isinstance(encoded, dg.GraphDefinition)
    pools = {node.name: getattr(node.definition, "pool", None) for node in encoded.nodes}
    assert pools == {"choose_encoder": None, "encode_on_gpu": "nvenc", "encode_in_software": None, "publish": None}


def test_the_instance_limits_pools_and_ends_what_hangs(tmp_path: Path) -> None:
    shutil.copy(REPOSITORY / "dagster_home" / "dagster.yaml", tmp_path)
    with dg.DagsterInstance.from_config(str(tmp_path)) as instance:
        pools = instance.get_concurrency_config().pool_config
        assert pools.default_pool_limit == 2
        assert pools.pool_granularity is not None
        assert pools.pool_granularity.value == "op"
        instance.event_log_storage.initialize_concurrency_limit_to_default("nvenc")
        assert instance.event_log_storage.get_concurrency_info("nvenc").slot_count == 2
        assert instance.run_retries_enabled
        assert instance.run_retries_max_retries == 0
        assert instance.run_monitoring_enabled
        assert instance.run_monitoring_max_runtime_seconds > 0
        assert instance.get_settings("run_monitoring")["free_slots_after_run_end_seconds"] > 0
        assert not instance.telemetry_enabled


@pytest.mark.parametrize("module", [face_tracks, composed_tiles])
def test_every_column_is_explained(module: type) -> None:
    schema = columns(module.SCHEMA, module.COLUMNS)
    assert [column.name for column in schema.columns] == module.SCHEMA.names
    assert all(column.description for column in schema.columns)


def test_the_lineage_names_columns_that_exist() -> None:
    assert set(composed_tiles.ORIGINS) <= set(composed_tiles.SCHEMA.names)
    assert {origin for found in composed_tiles.ORIGINS.values() for origin in found} <= set(face_tracks.SCHEMA.names)


def test_a_picture_is_shown_as_it_is_and_must_be_small() -> None:
    assert picture(b"\xff\xd8\xff", "a frame").value == "![a frame](data:image/jpeg;base64,/9j/)"
    assert str(picture(b"\x89PNG", "a plot").value).startswith("![a plot](data:image/png;base64,")
    with pytest.raises(ValueError, match="30000 are allowed"):
        picture(bytes(30_001), "too large")
