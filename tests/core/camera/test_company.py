from __future__ import annotations

import numpy as np
import pytest

from dualface_core.tables.face_tracks import FaceTracks
from tests.core.camera.faces import FPS, SIDE_BY_SIDE, Boxes, at, filmed, person, tile
from tests.core.made_tracks import face_tracks, plan_camera, with_columns


def with_stranger(subject: Boxes, stranger: Boxes) -> FaceTracks:
    """Tracks of A and of somebody without a name."""
    return face_tracks({"A": subject, "somebody": stranger})


def share_shown(window: Boxes, boxes: Boxes) -> Boxes:
    """The share of a face's width that a window shows, per frame."""
    x, _, width, _ = window.T
    common = np.minimum(boxes[:, 0] + boxes[:, 2], x + width / 2) - np.maximum(boxes[:, 0], x - width / 2)
    return np.clip(common / boxes[:, 2], 0, 1)


@pytest.mark.parametrize("x", [800, 830, 850, 870, 900])
def test_a_strangers_face_is_wholly_in_the_tile_or_wholly_out(x: float) -> None:
    stranger = person(x, 420, 150)
    plan = plan_camera(with_stranger(person(600), stranger), SIDE_BY_SIDE)
    shown = share_shown(tile(plan), stranger)
    assert ((shown == 0) | (shown == 1)).all()
    assert np.ptp(tile(plan), axis=0) == pytest.approx([0, 0, 0, 0], abs=1e-3)


def test_the_other_person_is_left_out_by_looking_aside() -> None:
    a, b = person(700, 400, 180), person(950, 400, 180)
    plan = filmed(a, b)
    assert share_shown(tile(plan, 0), b).max() == 0
    assert share_shown(tile(plan, 1), a).max() == 0


def test_a_stranger_who_comes_too_close_changes_nothing() -> None:
    alone = filmed(person(600))
    beside = plan_camera(with_stranger(person(600), person(690, 420, 150)), SIDE_BY_SIDE)
    assert tile(beside) == pytest.approx(tile(alone), abs=1e-3)


def test_a_stranger_who_walks_past_makes_the_camera_neither_hurry_nor_lose_its_face() -> None:
    passing = person(at((0, 1500), (10, 100)), 420, 150)
    plan = plan_camera(with_stranger(person(600), passing), SIDE_BY_SIDE)
    assert set(plan.states[:, 0]) == {"tracking"}
    steps = np.abs(np.diff(tile(plan)[:, 0])) / tile(plan)[1:, 2]
    assert steps.max() <= 1 / 200


def test_a_profile_has_room_where_it_looks() -> None:
    boxes = person(600, seconds=10)
    tracks = face_tracks({"A": boxes})
    landmarks = np.array(tracks.table["landmarks"].to_pylist())
    landmarks[:, 4] += 0.3 * boxes[:, 2]  # the nose is further to the right
    windows = tile(plan_camera(with_columns(tracks, landmarks=landmarks.tolist()), SIDE_BY_SIDE))
    assert windows[0, 0] - 600 == pytest.approx(0.06 * windows[0, 2], rel=0.05)
    assert np.ptp(windows, axis=0) == pytest.approx([0, 0, 0, 0], abs=1e-3)


def test_where_a_face_goes_on_over_a_cut_its_camera_does_too() -> None:
    lean = person(at((0, 600), (5, 660), (10, 660)))
    assert tile(filmed(lean, cuts=[5 * FPS])) == pytest.approx(tile(filmed(lean)), abs=1e-3)
