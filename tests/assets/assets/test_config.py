from __future__ import annotations

from typing import Any, get_args

import dagster as dg
import pytest

from dualface_assets.assets.config import CodecName, EncoderName, LayoutName, SceneModeName, TilesConfig, TransitionName
from dualface_assets.definitions import build_defs
from dualface_assets.store.video_store import VideoStore
from dualface_core.encoding.settings import Codec, EncoderKind
from dualface_core.tables.labels import SceneMode, Transition
from dualface_core.tables.layouts import LAYOUTS


@pytest.fixture
def job(store: VideoStore) -> dg.JobDefinition:
    return build_defs(resource_overrides={"store": store}).resolve_job_def("process_video")


def test_the_launchpad_offers_what_there_is_to_choose_from(job: dg.JobDefinition) -> None:
    types = job.get_job_snapshot().config_schema_snapshot.all_config_snaps_by_key.values()
    offered = {str(each.given_name): {str(value.value) for value in each.enum_values or []} for each in types}
    assert offered["LayoutName"] == set(LayoutName) == set(LAYOUTS)
    assert offered["SceneModeName"] == set(SceneModeName) == set(SceneMode)
    assert offered["TransitionName"] == set(TransitionName) == set(Transition)
    assert offered["EncoderName"] == set(EncoderName) == set(EncoderKind)
    assert offered["CodecName"] == set(CodecName) == set(get_args(Codec))


@pytest.mark.parametrize(
    ("asset", "chosen"),
    [
        ("raw_video", {"salvage": True}),
        ("face_tracks", {"person_a": "face.jpg"}),
        ("composed_tiles", {"layout": "stacked"}),
        ("composed_tiles", {"layout_file": "mine.yaml"}),
        ("composed_tiles", {"scenes": "off", "transition": "hard"}),
        ("encoded_video", {}),
        ("encoded_video", {"encoder": "software", "codec": "hevc", "quality": 18, "preset": "best"}),
        ("encoded_video", {"preset": "p5"}),
    ],
)
def test_a_run_can_be_configured(job: dg.JobDefinition, asset: str, chosen: dict[str, Any]) -> None:
    assert dg.validate_run_config(job, {"ops": {asset: {"config": chosen}}})


@pytest.mark.parametrize(
    ("asset", "chosen", "said"),
    [
        ("composed_tiles", {"layout": "diagonal"}, "not in enum type LayoutName got diagonal"),
        ("encoded_video", {"encoder": "magic"}, "not in enum type EncoderName got magic"),
        ("encoded_video", {"codec": "h266"}, "not in enum type CodecName got h266"),
        ("encoded_video", {"quality": 99}, "quality: found 99. Input should be less than or equal to 51"),
        ("encoded_video", {"preset": "zippy"}, "no preset 'zippy'. Choose one of: fast, balanced, best,"),
        ("encoded_video", {"preset": "p5", "encoder": "software"}, "libx264 has no preset 'p5'"),
    ],
)
def test_what_cannot_be_is_refused_before_anything_runs(
    job: dg.JobDefinition, asset: str, chosen: dict[str, Any], said: str
) -> None:
    with pytest.raises(dg.DagsterInvalidConfigError, match=said):
        dg.validate_run_config(job, {"ops": {asset: {"config": chosen}}})


def test_a_layout_of_ones_own_goes_before_a_name() -> None:
    assert TilesConfig(layout="stacked", layout_file="/srv/mine.yaml").settings().layout == "/srv/mine.yaml"
    assert TilesConfig(layout="stacked").settings().layout == "stacked"
    assert TilesConfig().settings().layout == "side-by-side"
