from __future__ import annotations

import numpy as np
import pytest

from dualface_core.camera.plan import plan_camera
from dualface_core.errors import SettingsError
from dualface_core.tables.labels import CameraState, Person
from dualface_core.tables.layouts import LAYOUTS
from dualface_core.tables.tile_plan import TilePlan
from tests.core.made_tracks import face_tracks


@pytest.fixture
def plan() -> TilePlan:
    """Six frames in two shots of A alone."""
    boxes = np.tile([900.0, 400.0, 200.0, 200.0], (6, 1))
    return plan_camera(face_tracks({"A": boxes}, pts=[0, 3, 6, 9, 12, 15], cuts=[2]), LAYOUTS["stacked"])


def test_a_plan_answers_per_frame_and_tile(plan: TilePlan) -> None:
    assert plan.layout is LAYOUTS["stacked"]
    assert plan.frame_count == 6
    assert plan.pts.tolist() == [0, 3, 6, 9, 12, 15]
    assert plan.states.tolist() == [[CameraState.TRACKING, CameraState.WIDE]] * 6
    assert plan.crop_windows.shape == (6, 2, 4)
    assert plan.crop_windows.dtype == np.float32
    assert plan.crop_windows[0, 0].tolist() == [plan.table[name][0].as_py() for name in plan.SCHEMA.names[4:8]]


def test_the_shots_of_a_plan_are_those_of_its_tracks(plan: TilePlan) -> None:
    assert [(shot.first, shot.last) for shot in plan.shots] == [(0, 1), (2, 5)]


def test_a_plan_with_an_unknown_layout_says_so(plan: TilePlan) -> None:
    other = TilePlan(plan.table, plan.metadata.model_copy(update={"layout": "diagonal"}))
    with pytest.raises(SettingsError, match="Unknown layout 'diagonal'"):
        _ = other.layout


@pytest.mark.parametrize("layout", LAYOUTS.values(), ids=LAYOUTS)
def test_every_layout_has_a_tile_for_each_person(layout) -> None:
    assert [tile.person for tile in layout.tiles] == list(Person)
