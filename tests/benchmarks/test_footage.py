from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from benchmarks.footage.looks import has_bar, seams, standing
from benchmarks.footage.motion import motion, one_euro
from benchmarks.footage.windows import Faces, flaws
from dualface_core.tables.tile_plan import TilePlan
from tests.core.made_tracks import face_tracks, split_plan

SIZE = np.array([1000.0, 500.0])
A, B = (300, 200, 100, 100), (600, 200, 100, 100)


def judged(left: tuple[float, ...], right: tuple[float, ...], *others: tuple[float, ...]) -> set[str]:
    """The flaws of one frame with a face of A at 350 and of B at 650, and windows of these centers and sizes."""
    boxes = np.array([A, B, *others], np.float64)
    people = np.array(["A", "B", *("" for _ in others)])
    faces = Faces(np.zeros(len(boxes), np.intp), boxes, people)
    windows = np.array([[left, right]], np.float64)
    found = flaws(faces, windows, np.ones((1, 2), bool), np.array([["A", "B"]]), SIZE)
    return {name for name in ("doubled", "both", "empty", "sliced", "strangers") if getattr(found, name)[0]}


@pytest.mark.parametrize(
    ("left", "right", "expected"),
    [
        ((350, 250, 200, 200), (650, 250, 200, 200), set()),
        ((500, 250, 500, 400), (650, 250, 200, 200), {"doubled"}),
        ((500, 250, 500, 400), (500, 250, 500, 400), {"doubled", "both"}),
        ((100, 250, 200, 200), (650, 250, 200, 200), {"empty"}),
        ((420, 250, 200, 200), (650, 250, 200, 200), {"sliced"}),
        ((450, 250, 340, 300), (650, 250, 200, 200), {"strangers"}),
    ],
)
def test_each_flaw_is_found_where_it_is_and_nowhere_else(
    left: tuple[float, ...], right: tuple[float, ...], expected: set[str]
) -> None:
    assert judged(left, right) == expected


def test_a_face_that_the_frame_itself_cuts_is_not_sliced_by_the_tile() -> None:
    assert judged((350, 250, 200, 200), (900, 250, 200, 200), (970, 200, 100, 100)) == {"empty"}


def noise() -> NDArray[np.uint8]:
    return np.random.default_rng(0).integers(90, 160, (540, 480), np.uint8)


@pytest.mark.parametrize(("edge", "rows"), [("top", 6), ("left", 20), ("right", 6)])
def test_a_black_edge_is_a_bar(edge: str, rows: int) -> None:
    image = noise()
    assert not has_bar(image)
    {"top": image[:rows], "left": image[:, :rows], "right": image[:, -rows:]}[edge][:] = 16
    assert has_bar(image)


def test_darkness_is_no_bar() -> None:
    assert not has_bar(np.full((540, 480), 17, np.uint8))


def test_an_edge_from_side_to_side_is_a_seam_and_one_that_ends_is_none() -> None:
    image = np.full((540, 480), 100, np.uint8)
    image[:, 300:] = 140
    found = seams(image, np.array([340.0, 270.0, 480.0, 540.0]))
    assert {axis for axis, _ in found} == {0}
    assert [place for _, place in found] == pytest.approx([400] * len(found), abs=1.5)
    image[:200] = 100
    assert not seams(image, np.array([340.0, 270.0, 480.0, 540.0]))


def test_a_post_that_is_not_straight_to_the_pixel_is_no_seam() -> None:
    image = np.full((540, 480), 100, np.uint8)
    for row in range(540):
        image[row, 300 + 3 * row // 540 :] = 140
    assert not seams(image, np.array([240.0, 270.0, 480.0, 540.0]))
    assert seams(image, np.array([80.0, 90.0, 160.0, 180.0]))


def test_a_seam_stays_where_it_is_in_the_source() -> None:
    assert standing([[(0, 400.0)], [], [(0, 100.0)], [(0, 100.5), (1, 9.0)], [(1, 100.0)], [(0, 9.0)]]) == [2, 3]


def plan(x: NDArray[np.float64], **where: Any) -> TilePlan:
    windows = np.full((len(x), 2, 4), [500, 300, 960 / 4, 1080 / 4])
    windows[:, 0, 0] = x
    tracks = face_tracks({"A": np.tile([450, 250, 80, 100], (len(x), 1))}, **where)
    return split_plan(tracks, windows)


def test_the_largest_step_is_told_in_widths_of_the_tile_and_not_across_a_cut() -> None:
    x = np.full(60, 500.0)
    x[20:] += 2.4
    x[40:] += 100
    tracks = face_tracks({"A": np.tile([450, 250, 80, 100], (60, 1))}, cuts=[40])
    moved = motion(plan(x, cuts=[40]), tracks)
    assert moved.step == pytest.approx(0.01, rel=1e-3)
    assert moved.step_at == pytest.approx(20 / 30)


def test_a_camera_at_rest_has_no_jerk_and_a_follow_of_a_trembling_face_has() -> None:
    boxes = np.tile([450.0, 250, 80, 100], (90, 1)) + np.random.default_rng(0).normal(0, 2, (90, 4))
    moved = motion(plan(np.full(90, 500.0)), face_tracks({"A": boxes}))
    assert moved.jerk == 0
    assert moved.followed > 1


def test_the_one_euro_filter_calms_noise_and_follows_a_move() -> None:
    times = np.arange(300) / 30
    still = np.random.default_rng(0).normal(0, 0.01, (300, 2))
    assert one_euro(still, times).std() < still.std() / 2
    moving = np.stack([times, times], axis=1)
    assert np.abs(one_euro(moving, times) - moving).max() < 0.2
