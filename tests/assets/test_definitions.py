from __future__ import annotations

import json
import os
import subprocess
import sys
import tomllib
from pathlib import Path
from types import ModuleType
from typing import Any

import dagster as dg
import pytest
import yaml

from dualface_assets.assets import composed_tiles, face_tracks
from dualface_assets.assets.metadata import columns, entries, image
from dualface_assets.definitions import build_defs
from dualface_assets.store.video_store import VideoStore
from dualface_core.tables.face_tracks import FaceTracks
from dualface_core.tables.tile_plan import TilePlan
from tests.dagster_internals import RepositorySnap

REPOSITORY = Path(__file__).parents[2]
SNAPSHOT = Path(__file__).with_name("definitions.yaml")


def test_the_code_location_loads_without_onnx_runtime_opencv_or_pyav() -> None:
    program = "import json, sys; import dualface_assets.definitions; print(json.dumps(sorted(sys.modules)))"
    loaded = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    modules = set(json.loads(loaded.stdout.splitlines()[-1]))
    assert not modules & {"onnxruntime", "cv2", "av", "scipy", "pandas", "dagster_webserver", "uvicorn"}


def test_what_dagster_stores_and_shows_of_them_holds_no_password(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DUALFACE_STORE", "sftp://ann:s3cret@host/x")
    monkeypatch.setenv("DUALFACE_INBOX_URL", "s3://ann:s3cret@bucket/inbox")
    monkeypatch.setenv("DUALFACE_INBOX", str(tmp_path))
    shown = dg.serialize_value(RepositorySnap.from_def(build_defs().get_repository_def()))
    assert "sftp://host/x" in shown
    assert "s3cret" not in shown


def test_the_workspace_names_the_definitions() -> None:
    workspace = yaml.safe_load((REPOSITORY / "workspace.yaml").read_text())
    (location,) = workspace["load_from"]
    assert location["python_module"]["module_name"] == "dualface_assets.definitions"
    project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["tool"]["dg"]["project"]
    named = {"module_name": project["code_location_target_module"], "location_name": project["code_location_name"]}
    assert location["python_module"] == named  # `dg` and `dagster dev` load the same


def test_the_definitions_are_those_of_the_snapshot(store: VideoStore) -> None:
    """If a change is meant: UPDATE_SNAPSHOT=1 pytest tests/assets/test_definitions.py, and look at the diff."""
    described = as_data(build_defs(resource_overrides={"store": store}))
    found = yaml.safe_dump(described, default_flow_style=None, sort_keys=False, width=120)
    if os.environ.get("UPDATE_SNAPSHOT"):
        SNAPSHOT.write_text(found)
    assert found == SNAPSHOT.read_text()


def as_data(defs: dg.Definitions) -> dict[str, Any]:
    """All definitions, as far as somebody who uses them would notice a change."""
    graph = defs.resolve_asset_graph()
    repository = defs.get_repository_def()
    assets = {key.to_user_string(): graph.get(key) for key in sorted(graph.get_all_asset_keys())}
    checks = sorted(graph.asset_check_keys, key=lambda key: (key.asset_key, key.name))
    return {
        "assets": {
            name: {
                "from": sorted(parent.to_user_string() for parent in asset.parent_keys),
                "description": str(asset.description).partition("\n")[0],
                "group": asset.group_name,
                "kinds": sorted(asset.kinds),
                "owners": list(asset.owners),
                "partitions": getattr(asset.partitions_def, "name", None),
                "columns": [column.name for column in asset.metadata["dagster/column_schema"].columns]
                if "dagster/column_schema" in asset.metadata
                else [],
                "checks": {
                    key.name: graph.get_check_spec(key).description for key in checks if key.asset_key == asset.key
                },
            }
            for name, asset in assets.items()
        },
        "jobs": {
            job.name: {
                "assets": sorted(key.to_user_string() for key in job.asset_layer.executable_asset_keys),
                "steps": {node.name: getattr(node.definition, "pool", None) for node in _steps(job.graph)},
                "executor": job.executor_def.name,
                "tags": dict(sorted(job.tags.items())),
            }
            for job in sorted(repository.get_all_jobs(), key=lambda job: job.name)
            if not job.name.startswith("__")
        },
        "sensors": {
            sensor.name: {
                "every (s)": sensor.minimum_interval_seconds,
                "by default": sensor.default_status.value,
                "description": sensor.description,
            }
            for sensor in sorted(repository.sensor_defs, key=lambda sensor: sensor.name)
        },
        "schedules": {schedule.name: str(schedule.cron_schedule) for schedule in repository.schedule_defs},
        "resources": sorted(defs.resources or {}),
    }


def _steps(graph: dg.GraphDefinition) -> list[Any]:
    """The ops of a graph and of the graphs in it."""
    found: list[Any] = []
    for node in sorted(graph.nodes, key=lambda node: node.name):
        found += _steps(node.definition) if isinstance(node.definition, dg.GraphDefinition) else [node]
    return found


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


def test_the_job_asks_for_retries_of_whole_assets(store: VideoStore) -> None:
    job = build_defs(resource_overrides={"store": store}).resolve_job_def("process_video")
    assert job.tags["dagster/max_retries"] == "4"
    assert job.tags["dagster/retry_strategy"] == "FROM_ASSET_FAILURE"
    assert job.executor_def.name == "one_process"


def test_only_the_step_on_the_gpu_takes_a_slot(store: VideoStore) -> None:
    job = build_defs(resource_overrides={"store": store}).resolve_job_def("process_video")
    encoded = job.graph.node_named("encoded_video").definition
    assert isinstance(encoded, dg.GraphDefinition)
    pools = {node.name: getattr(node.definition, "pool", None) for node in encoded.nodes}
    assert pools == {"choose_encoder": None, "encode_on_gpu": "nvenc", "encode_in_software": None, "publish": None}


def test_the_instance_limits_pools_and_ends_what_hangs(instance: dg.DagsterInstance) -> None:
    pools = instance.get_concurrency_config().pool_config
    assert pools.default_pool_limit == 2
    assert pools.pool_granularity is not None
    assert pools.pool_granularity.value == "op"
    instance.event_log_storage.initialize_concurrency_limit_to_default("nvenc")
    assert instance.event_log_storage.get_concurrency_info("nvenc").slot_count == 2
    assert instance.run_retries_enabled
    assert instance.run_retries_max_retries == 0
    assert instance.run_launcher.supports_check_run_worker_health
    assert instance.run_monitoring_enabled
    assert instance.run_monitoring_max_runtime_seconds > 0
    assert instance.get_settings("run_monitoring")["free_slots_after_run_end_seconds"] > 0
    assert not instance.telemetry_enabled


@pytest.mark.parametrize(("table", "module"), [(FaceTracks, face_tracks), (TilePlan, composed_tiles)])
def test_every_column_is_explained(table: type[FaceTracks | TilePlan], module: ModuleType) -> None:
    schema = columns(table.SCHEMA, module.COLUMNS)
    assert [column.name for column in schema.columns] == table.SCHEMA.names
    assert all(column.description for column in schema.columns)


def test_the_lineage_names_columns_that_exist() -> None:
    assert set(composed_tiles.ORIGINS) <= set(TilePlan.SCHEMA.names)
    assert {origin for found in composed_tiles.ORIGINS.values() for origin in found} <= set(FaceTracks.SCHEMA.names)


def test_figures_are_as_long_as_people_want_to_read_and_nothing_is_empty() -> None:
    shown = entries({"seconds": 3.8378271389999554, "rate": 29.97002997, "bytes": 123456789, "why": "", "wait": None})
    assert shown == {"seconds": 3.8378, "rate": 29.97, "bytes": 123456789}


def test_a_picture_is_shown_as_it_is_and_must_be_small() -> None:
    assert image(b"\xff\xd8\xff", "a frame").value == "![a frame](data:image/jpeg;base64,/9j/)"
    assert str(image(b"\x89PNG", "a plot").value).startswith("![a plot](data:image/png;base64,")
    with pytest.raises(ValueError, match="30000 are allowed"):
        image(bytes(30_001), "too large")
