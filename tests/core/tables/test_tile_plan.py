from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from dualface_core.tables.labels import CameraState, Person, SceneKind, Subject
from dualface_core.tables.layouts import LAYOUTS
from dualface_core.tables.scenes import Scene, summary
from dualface_core.tables.tile_plan import TilePlan
from tests.core.made_tracks import face_tracks, plan_camera

BOXES = np.tile([900.0, 400.0, 200.0, 200.0], (6, 1))
WHOLE, NONE = (0, 0, 1920, 1080), (0, 0, 0, 0)


@pytest.fixture
def plan() -> TilePlan:
    """Six frames in two shots of A alone."""
    return plan_camera(face_tracks({"A": BOXES}, pts=[0, 3, 6, 9, 12, 15], cuts=[2]), LAYOUTS["stacked"])


@pytest.fixture
def directed() -> TilePlan:
    """A split, then B alone, then both in one, then the whole picture; of two frames, and then one each."""
    layout = LAYOUTS["side-by-side"]
    split = [tile.rectangle for tile in layout.tiles]
    scenes = [
        scene(0, 1, SceneKind.SPLIT, "A", "B"),
        scene(2, 2, SceneKind.SOLO, "B"),
        scene(3, 3, SceneKind.TOGETHER, "pair"),
        scene(4, 4, SceneKind.WHOLE, "frame"),
    ]
    tiles = np.array([split, split, [NONE, WHOLE], [WHOLE, NONE], [WHOLE, NONE]])
    return TilePlan.of(
        face_tracks({"A": BOXES[:5], "B": BOXES[:5]}, cuts=[2]),
        layout,
        scenes=scenes,
        tiles=tiles,
        crop_windows=np.full((5, 2, 4), 100.0),
        states=np.zeros((5, 2), np.int8),
        camera={},
        direction={"transition": "hard"},
    )


def scene(first: int, last: int, kind: SceneKind, *cast: str) -> Scene:
    return Scene(first=first, last=last, kind=kind, cast=tuple(map(Subject, cast)), reason="")


def test_a_plan_answers_per_frame_and_tile(plan: TilePlan) -> None:
    assert plan.layout == LAYOUTS["stacked"]
    assert plan.frame_count == 6
    assert plan.pts.tolist() == [0, 3, 6, 9, 12, 15]
    assert plan.states.tolist() == [[CameraState.TRACKING, CameraState.WIDE]] * 6
    assert plan.crop_windows.shape == (6, 2, 4)
    assert plan.crop_windows.dtype == np.float32
    assert plan.crop_windows[0, 0].tolist() == [plan.table[name][0].as_py() for name in plan.SCHEMA.names[4:8]]


def test_the_shots_of_a_plan_are_those_of_its_tracks(plan: TilePlan) -> None:
    assert [(shot.first, shot.last) for shot in plan.shots] == [(0, 1), (2, 5)]


def test_a_plan_is_one_split_with_the_tiles_where_the_layout_has_them(plan: TilePlan) -> None:
    assert [(scene.first, scene.last, scene.kind) for scene in plan.scenes] == [(0, 5, SceneKind.SPLIT)]
    assert plan.tiles.tolist() == [[[0, 0, 1080, 960], [0, 960, 1080, 960]]] * 6
    assert plan.subjects.tolist() == [["A", "B"]] * 6
    assert plan.drawn.all()


def test_every_scene_says_what_is_in_which_tile(directed: TilePlan) -> None:
    assert directed.drawn.tolist() == [[True, True], [True, True], [False, True], [True, False], [True, False]]
    shown = np.where(directed.drawn, directed.subjects, "").tolist()
    assert shown == [["A", "B"], ["A", "B"], ["", "B"], ["pair", ""], ["frame", ""]]
    assert directed.table["scene"].to_pylist() == [0, 0, 0, 0, 1, 1, 2, 2, 3, 3]
    assert directed.showing(Person.A).tolist() == [[True, False]] * 2 + [[False] * 2, [True, False], [False] * 2]


def test_a_tile_that_leaves_in_a_new_scene_still_shows_what_it_showed(directed: TilePlan) -> None:
    tiles = directed.tiles.copy()
    tiles[2] = [(0, 0, 400, 1080), (400, 0, 1520, 1080)]
    leaving = TilePlan.of(
        face_tracks({"A": BOXES[:5], "B": BOXES[:5]}),
        directed.layout,
        scenes=directed.scenes,
        tiles=tiles,
        crop_windows=directed.crop_windows,
        states=np.zeros((5, 2), np.int8),
        camera={},
        direction={},
    )
    assert leaving.subjects[2].tolist() == ["A", "B"]


def test_a_plan_can_be_read_without_the_place_that_its_layout_came_from(directed: TilePlan, tmp_path: Path) -> None:
    directed.write(tmp_path / "tiles.parquet")
    read = TilePlan.read(tmp_path / "tiles.parquet")
    assert read.layout == directed.layout
    assert read.scenes == directed.scenes
    assert read.metadata.direction == {"transition": "hard"}
    assert read.tiles.tolist() == directed.tiles.tolist()


def test_scenes_have_their_times(directed: TilePlan) -> None:
    times = [(round(30 * scene.start), round(30 * scene.end)) for scene in directed.timed_scenes]
    assert times == [(0, 2), (2, 3), (3, 4), (4, 5)]
    assert [scene.kind for scene in directed.timed_scenes] == list(SceneKind)


def test_scenes_are_summed_up_by_their_share_of_the_time(directed: TilePlan) -> None:
    assert summary(directed.timed_scenes) == "4 scenes: split 40 %, solo 20 %, together 20 %, whole 20 %"
    assert summary(directed.timed_scenes[:1]) == "1 scene: split 100 %"
    assert summary([]) == ""
