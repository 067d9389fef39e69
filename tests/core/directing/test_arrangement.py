from __future__ import annotations

from dataclasses import replace
from itertools import combinations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from dualface_core.camera.parameters import CameraParameters
from dualface_core.directing.arrangement import arrange
from dualface_core.directing.director import direct
from dualface_core.directing.parameters import Direction
from dualface_core.tables.face_tracks import FaceTracks, Shot
from dualface_core.tables.layouts import LAYOUTS, Layout
from tests.core.directing.people import FPS, away, person
from tests.core.made_tracks import face_tracks

SIDE_BY_SIDE = LAYOUTS["side-by-side"]


def placed(tracks: FaceTracks, layout: Layout = SIDE_BY_SIDE, **direction: object) -> NDArray[np.int32]:
    parameters = Direction.model_validate(direction)
    return arrange(direct(tracks, layout, CameraParameters(), parameters), layout, tracks, parameters)


def in_a_shot(tracks: FaceTracks, **shot: object) -> FaceTracks:
    shots = [Shot(first=0, last=tracks.frame_count - 1, **shot)]
    return type(tracks)(tracks.table, tracks.metadata.model_copy(update={"shots": shots}))


def test_a_split_is_the_layout() -> None:
    tiles = placed(face_tracks({"A": person(500), "B": person(1400)}))
    assert np.unique(tiles, axis=0).tolist() == [[[0, 0, 960, 1080], [960, 0, 960, 1080]]]


def test_one_alone_has_the_whole_canvas_in_their_own_tile() -> None:
    nobody = away(person(0), (0, 10))
    assert placed(face_tracks({"A": nobody, "B": person(900)}))[0].tolist() == [[0, 0, 0, 0], [0, 0, 1920, 1080]]


@pytest.mark.parametrize(
    ("size", "picture", "expected"),
    [
        ((1920, 1080), None, [0, 0, 1920, 1080]),
        ((1920, 1080), (0.0, 140.0, 1920.0, 800.0), [0, 140, 1920, 800]),
        ((1080, 1920), None, [656, 0, 608, 1080]),
        ((720, 577), None, [286, 0, 1348, 1080]),
    ],
)
def test_the_whole_picture_lies_in_the_middle_in_its_own_shape(
    size: tuple[int, int], picture: tuple[float, ...] | None, expected: list[int]
) -> None:
    nobody = away(person(0), (0, 10))
    tracks = in_a_shot(face_tracks({"A": nobody, "B": nobody}, size=size), picture=picture)
    assert placed(tracks)[0].tolist() == [expected, [0, 0, 0, 0]]


def test_who_stays_grows_over_the_canvas_in_half_a_second_and_makes_room_again() -> None:
    tiles = placed(face_tracks({"A": away(person(500), (3, 7)), "B": person(1400)}))
    left = tiles[:, 1, 0]
    assert (left[: 3 * FPS] == 960).all()
    assert (left[round(3.5 * FPS) : round(6.5 * FPS)] == 0).all()
    assert (left[7 * FPS :] == 960).all()
    assert (np.diff(left[3 * FPS - 1 : round(3.5 * FPS) + 1]) <= 0).all()
    assert np.abs(np.diff(left)).max() <= 110
    assert np.ptp(tiles[..., 2].sum(axis=1)) <= 16


def test_tiles_change_at_once_at_a_cut_and_wherever_it_is_wanted() -> None:
    a = np.concatenate([person(560, seconds=4), away(person(0, seconds=4), (0, 4))])
    at_a_cut = placed(face_tracks({"A": a, "B": person(1360, seconds=8)}, cuts=[4 * FPS]))
    assert set(at_a_cut[:, 1, 0].tolist()) == {960, 0}
    within = face_tracks({"A": away(person(500), (3, 7)), "B": person(1400)})
    assert set(placed(within, transition="hard")[:, 1, 0].tolist()) == {960, 0}


def test_a_gap_between_tiles_stays_as_wide_as_it_is_while_they_move() -> None:
    a, b = SIDE_BY_SIDE.tiles
    gapped = replace(SIDE_BY_SIDE, tiles=(replace(a, width=940), replace(b, x=980, width=940)))
    tiles = placed(face_tracks({"A": away(person(500), (3, 7)), "B": person(1400)}), gapped)
    both = (tiles[..., 2] > 0).all(axis=1)
    assert np.unique(tiles[both, 1, 0] - tiles[both, 0, 0] - tiles[both, 0, 2]).tolist() == [40]


def spans() -> st.SearchStrategy[list[tuple[float, float]]]:
    return st.lists(st.tuples(st.floats(0, 12), st.floats(0, 12)).map(lambda span: tuple(sorted(span))), max_size=3)


@settings(deadline=None, max_examples=25)
@given(
    layout=st.sampled_from(sorted(set(LAYOUTS) - {"picture-in-picture"})),
    a=spans(),
    b=spans(),
    cuts=st.lists(st.integers(1, 12 * FPS - 1), max_size=3, unique=True).map(sorted),
    x=st.floats(300, 1600),
)
def test_tiles_are_even_on_the_canvas_and_never_on_one_another(
    layout: str, a: list[tuple[float, float]], b: list[tuple[float, float]], cuts: list[int], x: float
) -> None:
    tracks = face_tracks({"A": away(person(600, seconds=12), *a), "B": away(person(x, seconds=12), *b)}, cuts=cuts)
    canvas = LAYOUTS[layout]
    tiles = placed(tracks, canvas)
    drawn = tiles[..., 2] > 0
    assert (drawn == (tiles[..., 3] > 0)).all()
    assert drawn.any(axis=1).all()
    assert not (tiles % 2).any()
    shown = tiles[drawn]
    assert (shown[:, :2] >= 0).all()
    assert (shown[:, :2] + shown[:, 2:] <= (canvas.width, canvas.height)).all()
    for one, other in combinations(range(tiles.shape[1]), 2):
        both = tiles[drawn[:, one] & drawn[:, other]]
        corner = np.maximum(both[:, one, :2], both[:, other, :2])
        end = np.minimum(both[:, one, :2] + both[:, one, 2:], both[:, other, :2] + both[:, other, 2:])
        assert not (corner < end).all(axis=1).any()
