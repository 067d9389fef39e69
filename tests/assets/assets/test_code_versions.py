from __future__ import annotations

import shutil
from pathlib import Path

import grimp
import pytest

import dualface_core
from dualface_assets.assets.code_versions import MADE_BY, code_version

JUDGE_OR_SERVE = {"errors", "gpu", "settings", "system", "verification"}
DECIDE_NOTHING = {
    "raw_video": {"encoding"},  # for the writer
    "face_tracks": {"encoding"},
    "composed_tiles": {"engine", "media"},  # which hands frames over, and for their type
    "encoded_video": {"advice"},  # in its report
    "review_page": {"camera", "encoding", "engine", "rendering"},  # shown as in plan and report
}


def test_a_changed_line_is_another_version_of_the_assets_that_it_makes(tmp_path: Path) -> None:
    library = tmp_path / "dualface_core"
    shutil.copytree(Path(dualface_core.__file__).parent, library)
    before = {asset: code_version(asset, library=library) for asset in MADE_BY}
    assert before == {asset: code_version(asset) for asset in MADE_BY}
    with (library / "camera" / "plan.py").open("a") as source:
        source.write("LATER = 1\n")
    changed = {asset for asset, version in before.items() if code_version(asset, library=library) != version}
    assert changed == {"composed_tiles"}


@pytest.mark.parametrize("asset", MADE_BY)
def test_no_room_is_forgotten(asset: str) -> None:
    graph = grimp.build_graph("dualface_core")
    modules = [module for room in MADE_BY[asset] for module in graph.find_descendants(f"dualface_core.{room}")]
    used = {name.split(".")[1] for module in modules for name in graph.find_modules_directly_imported_by(module)}
    assert used - set(MADE_BY[asset]) - JUDGE_OR_SERVE == DECIDE_NOTHING[asset]
