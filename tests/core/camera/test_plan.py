from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from dualface_core.camera.parameters import CameraParameters
from dualface_core.tables.layouts import LAYOUTS, Layout, Tile
from dualface_core.tables.tile_plan import TilePlan
from tests.core.camera.faces import ABSENT, SIDE_BY_SIDE, assert_whole_face_in_tile, filmed, person, tile
from tests.core.made_tracks import face_tracks, plan_camera

# --- what holds for any tracks ----------------------------------------------------------------------------------------


@st.composite
def scenes(draw: st.DrawFn) -> dict[str, object]:
    """Somebody who moves as nobody would: jumps, vanishes, grows, in odd frame rates, across cuts."""
    frames = draw(st.integers(1, 150))
    size = draw(st.sampled_from([(1920, 1080), (640, 360), (1080, 1920), (3840, 2160), (500, 500)]))
    knots = draw(st.integers(1, 6))
    position = st.floats(-0.1, 1.1, allow_nan=False)

    def signal(values: st.SearchStrategy[float]) -> NDArray[np.float64]:
        heights = [draw(values) for _ in range(knots)]
        places = np.arange(frames) / max(frames - 1, 1) * (knots - 1)
        if draw(st.booleans()):
            return np.array(heights)[np.rint(places).astype(int)]
        return np.interp(places, np.arange(knots), heights)

    height = size[1] * signal(st.floats(0.01, 1.3, allow_nan=False))
    noise = np.random.default_rng(draw(st.integers(0, 2**32 - 1))).normal(0, draw(st.floats(0, 30)), (frames, 4))
    boxes = np.stack(
        [size[0] * signal(position) - 0.4 * height, size[1] * signal(position) - height / 2, 0.8 * height, height], 1
    )
    boxes += noise * (1, 1, 0.1, 0.1)
    boxes[:, 2:] = np.maximum(boxes[:, 2:], 2)
    for _ in range(draw(st.integers(0, 3))):
        start = draw(st.integers(0, frames - 1))
        boxes[start : start + draw(st.integers(1, 90))] = ABSENT
    steps = draw(st.sampled_from([[33], [1], [16, 50], [7, 7, 500], [3000]]))
    cuts = sorted(set(draw(st.lists(st.integers(1, frames - 1), max_size=3)))) if frames > 1 else []
    return {
        "boxes": boxes,
        "size": size,
        "pts": np.cumsum(np.resize(steps, frames)).tolist(),
        "time_base": "1/1000",
        "cuts": cuts,
    }


@settings(max_examples=40, deadline=None)
@given(scene=scenes())
def test_while_a_face_is_tracked_it_never_leaves_its_tile(scene: dict[str, object]) -> None:
    boxes = scene.pop("boxes")
    plan = filmed(boxes, **scene)
    assert_whole_face_in_tile(plan, boxes)


@settings(max_examples=30, deadline=None)
@given(scene=scenes(), layout=st.sampled_from(sorted(LAYOUTS)))
def test_every_rectangle_lies_in_the_frame_and_has_the_aspect_of_its_tile(
    scene: dict[str, object], layout: str
) -> None:
    boxes, (width, height) = scene.pop("boxes"), scene["size"]
    plan = plan_camera(face_tracks({"A": boxes}, **scene), LAYOUTS[layout])
    crop_windows = plan.crop_windows.astype(np.float64)
    assert np.isfinite(crop_windows).all()
    assert (crop_windows[..., :2] - crop_windows[..., 2:] / 2 >= -0.01).all()
    assert (crop_windows[..., :2] + crop_windows[..., 2:] / 2 <= np.array([width, height]) + 0.01).all()
    aspects = [tile.aspect for tile in LAYOUTS[layout].tiles]
    assert crop_windows[..., 2] / crop_windows[..., 3] == pytest.approx(
        np.broadcast_to(aspects, crop_windows.shape[:2])
    )


@settings(max_examples=20, deadline=None)
@given(scene=scenes())
def test_a_person_is_only_called_tracked_near_a_sighting(scene: dict[str, object]) -> None:
    boxes = scene.pop("boxes")
    plan = filmed(boxes, **scene)
    times = np.array(scene["pts"]) / 1000
    seen = times[~np.isnan(boxes[:, 0])]
    for time in times[plan.states[:, 0] == "tracking"]:
        assert np.abs(seen - time).min() <= CameraParameters().bridge / 2 + 1e-9


# --- framing ----------------------------------------------------------------------------------------------------------


def test_the_face_has_its_size_and_the_eyes_stand_on_their_line() -> None:
    plan = filmed(person(1500, 900, 400), size=(3840, 2160))
    center_x, center_y, _, height = tile(plan)[0]
    assert 400 / height == pytest.approx(0.32, abs=0.001)
    assert center_x == pytest.approx(1500, abs=0.1)
    eyes = 900 - 200 + 0.38 * 400
    assert (eyes - (center_y - height / 2)) / height == pytest.approx(0.40, abs=0.001)


def test_zooming_in_stops_where_pixels_would_be_stretched_too_far() -> None:
    plan = filmed(person(960, 540, 60))
    assert 1080 / tile(plan)[:, 3].min() == pytest.approx(2.0)


def test_a_small_source_may_be_stretched_further_but_not_without_limit() -> None:
    plan = filmed(person(320, 180, 20), size=(640, 360))
    assert tile(plan)[:, 3].min() == pytest.approx(0.6 * 360)


def test_a_face_larger_than_the_tile_is_put_in_its_middle() -> None:
    plan = filmed(person(900, 540, 1500))
    assert tile(plan)[:, 0] == pytest.approx(900, abs=0.1)
    assert tile(plan)[:, 3] == pytest.approx(1080)


def test_two_people_who_sit_close_together_are_each_in_the_middle_of_their_own_tile() -> None:
    plan = filmed(person(900, seconds=4), person(1080, seconds=4))
    assert tile(plan, 0)[:, 0] == pytest.approx(900, abs=0.1)
    assert tile(plan, 1)[:, 0] == pytest.approx(1080, abs=0.1)


# --- the table --------------------------------------------------------------------------------------------------------


def test_a_plan_has_a_row_per_frame_and_tile_and_can_be_stored(tmp_path) -> None:
    tracks = face_tracks(
        {"A": person(600, seconds=1), "B": person(1400, seconds=1)}, pts=range(100, 130), time_base="1/30", cuts=[12]
    )
    plan = plan_camera(tracks, SIDE_BY_SIDE)
    assert plan.table["frame"].to_pylist() == [frame for frame in range(30) for _ in range(2)]
    assert plan.table["pts"].to_pylist() == [100 + frame for frame in range(30) for _ in range(2)]
    assert plan.table["subject"].to_pylist() == ["A", "B"] * 30
    assert plan.table["shot"].to_pylist() == [0] * 24 + [1] * 36
    assert plan.frame_count == 30
    plan.write(tmp_path / "plan.parquet")
    stored = TilePlan.read(tmp_path / "plan.parquet")
    assert stored.metadata == plan.metadata
    assert stored.table.equals(plan.table)


def test_a_layout_may_give_one_person_two_tiles() -> None:
    twice = Layout("twice", 200, 100, (Tile("A", 0, 0, 100, 100), Tile("A", 100, 0, 100, 100)))
    plan = plan_camera(face_tracks({"A": person(600, seconds=1)}), twice)
    assert tile(plan, 0) == pytest.approx(tile(plan, 1))
