from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from dualface_core.camera.framing import EYES_IN_BOX
from dualface_core.tables.tile_plan import TilePlan
from tests.core.camera.faces import SIDE_BY_SIDE, Boxes, filmed, gone, person, tile
from tests.core.made_tracks import face_tracks, plan_camera, with_columns


def looks(plan: TilePlan, *faces: Boxes) -> NDArray[np.float64]:
    """Size of the face and height of the eyes in each tile, as shares of it: (tiles, 2), in the usual frame."""
    result = []
    for index, boxes in enumerate(faces):
        _, y, _, height = tile(plan, index).T
        eyes = (boxes[:, 1] + EYES_IN_BOX * boxes[:, 3] - (y - height / 2)) / height
        result.append((np.nanmedian(boxes[:, 3] / height), np.nanmedian(eyes)))
    return np.array(result)


@pytest.mark.parametrize(
    ("a", "b"),
    [
        pytest.param(person(500, 400, 200), person(1400, 480, 180), id="nearly alike"),
        pytest.param(person(500, 600, 240), person(1400, 500, 110), id="one is nearer"),
        pytest.param(person(400, 300, 60), person(1500, 320, 90), id="both are far away"),
        pytest.param(person(500, 150, 200), person(1400, 500, 200), id="one is at the top of the frame"),
        pytest.param(person(500, 400, 200), gone(person(1400, 600, 120), (3, 4)), id="one is away for a moment"),
    ],
)
def test_both_faces_have_one_size_and_one_eye_line(a: Boxes, b: Boxes) -> None:
    sizes, lines = looks(filmed(a, b), a, b).T
    assert sizes.max() / sizes.min() < 1.15
    assert abs(lines[0] - lines[1]) < 0.03


def test_the_eye_line_is_that_of_the_eyes_wherever_they_are_in_the_box_of_a_face() -> None:
    a, b = person(500, 450, 200, seconds=4), person(1400, 450, 200, seconds=4)
    tracks = face_tracks({"A": a, "B": b})
    landmarks = np.array(tracks.table["landmarks"].to_pylist())
    own = np.array(tracks.table["person"].to_pylist()) == "A"
    landmarks[own, 1::2] -= 0.08 * 200  # A has a beard, and it is part of the face
    plan = plan_camera(with_columns(tracks, landmarks=landmarks.tolist()), SIDE_BY_SIDE)
    lines = []
    for index, lift in enumerate((0.08, 0.0)):
        _, y, _, height = tile(plan, index).T
        eyes = 450 + (EYES_IN_BOX - 0.5 - lift) * 200
        lines.append((eyes - (y - height / 2)) / height)
    assert np.abs(lines[0] - lines[1]).max() < 0.005


def test_where_the_source_has_no_room_each_comes_as_near_to_the_other_as_it_can() -> None:
    a, b = person(500, 540, 700), person(1400, 540, 60)
    sizes, _ = looks(filmed(a, b), a, b).T
    assert sizes == pytest.approx([700 / 1080, 60 / 540], abs=0.01)


def test_a_small_face_has_little_room_above_it() -> None:
    far = person(500, 500, 60)
    (size, eyes), _ = looks(filmed(far, person(1400, 500, 60)), far, far)
    head = size * 0.75  # from the eyes to the top of the hair
    assert size == pytest.approx(60 / 540, abs=0.002)
    assert 0.05 < eyes - head < 0.2


def test_nobody_is_shown_twice_for_the_sake_of_one_size() -> None:
    near, far = person(700, 540, 240), person(1150, 540, 100)
    plan = filmed(near, far)
    left, width = (tile(plan, 0)[:, axis] for axis in (0, 2))
    assert (left + width / 2).max() <= far[0, 0]
