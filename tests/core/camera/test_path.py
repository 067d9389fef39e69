from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from tests.core.camera.faces import FPS, Boxes, assert_whole_face_in_tile, at, filmed, person, speed, tile


def test_someone_who_sways_a_little_is_filmed_without_any_movement() -> None:
    times = np.arange(20 * FPS) / FPS
    noise = np.random.default_rng(0).normal(0, 2, (3, len(times)))
    swaying = person(
        700 + 12 * np.sin(times) + noise[0],
        400 + 6 * np.sin(1.7 * times) + noise[1],
        180 * np.exp(0.03 * np.sin(0.8 * times) + 0.01 * noise[2]),
        seconds=20,
    )
    crop_windows = tile(filmed(swaying))
    assert np.ptp(crop_windows, axis=0) == pytest.approx([0, 0, 0, 0], abs=1e-3)


def test_someone_who_moves_to_another_seat_is_followed_in_one_stroke() -> None:
    crop_windows = tile(filmed(person(at((0, 500), (6, 500), (7, 800), (14, 800), seconds=14), seconds=14)))
    path = crop_windows[:, 0]
    assert (np.diff(path) >= -1e-3).all()
    assert path[0] == pytest.approx(500, abs=1)
    assert path[-1] == pytest.approx(800, abs=1)
    assert (np.diff(path) / crop_windows[1:, 2]).max() <= 1 / 200
    still = np.abs(np.diff(path)) * FPS < 1
    assert still[: 2 * FPS].all()
    assert still[11 * FPS :].all()


def test_someone_who_crosses_the_room_in_two_seconds_stays_well_inside_the_tile() -> None:
    walk = at((0, 300), (3, 300), (5, 1600), (10, 1600))
    plan = filmed(person(walk))
    crop_windows = tile(plan)
    assert_whole_face_in_tile(plan, person(walk))
    assert (np.abs(walk - crop_windows[:, 0]) / crop_windows[:, 2]).max() < 0.3


def test_someone_who_hurries_to_another_seat_has_room_on_both_sides_all_the_way() -> None:
    walk = person(at((0, 1600), (3, 1600), (3.6, 1300), (8, 1300), seconds=8), 400, 160, seconds=8)
    crop_windows = tile(filmed(walk))
    x, _, width, _ = crop_windows.T
    left, right = walk[:, 0] - (x - width / 2), x + width / 2 - walk[:, 0] - walk[:, 2]
    assert min(left.min(), right.min()) > 0.38 * 120
    assert (np.abs(np.diff(x)) / width[1:]).max() <= 1 / 200


def test_a_slow_walk_is_one_even_pan_and_no_stop_and_go() -> None:
    walk = at((0, 400), (20, 1400), seconds=20)
    crop_windows = tile(filmed(person(walk, seconds=20)))
    assert speed(crop_windows)[4 * FPS : -4 * FPS] == pytest.approx(50, rel=0.2)


def test_one_wrong_detection_moves_nothing_and_is_not_called_tracked() -> None:
    x = np.full(10 * FPS, 600.0)
    x[150:153] = 1200
    plan = filmed(person(x))
    assert np.ptp(tile(plan), axis=0) == pytest.approx([0, 0, 0, 0], abs=1e-3)
    assert np.flatnonzero(plan.states[:, 0] != "tracking").tolist() == [150, 151, 152]


def test_zoom_moves_more_slowly_than_position() -> None:
    def duration(values: NDArray[np.float64]) -> int:
        return int(np.count_nonzero(np.abs(np.diff(values)) > 1e-3))

    boxes = person(at((0, 500), (5, 500), (5.01, 600), (10, 600)), 540, at((0, 250), (5, 250), (5.01, 180), (10, 180)))
    crop_windows = tile(filmed(boxes))
    assert duration(crop_windows[:, 3]) > duration(crop_windows[:, 0])


def test_nothing_is_smoothed_across_a_cut() -> None:
    first, second = person(at((0, 400), (4, 700), seconds=4), seconds=4), person(1500, 500, 300, seconds=3)
    both = filmed(np.concatenate([first, second]), cuts=[len(first)])
    apart = [tile(filmed(boxes)) for boxes in (first, second)]
    assert tile(both) == pytest.approx(np.concatenate(apart), abs=1e-3)


def test_timestamps_and_not_frame_numbers_decide_how_the_camera_moves() -> None:
    uneven = np.cumsum(np.resize([11, 70, 33, 33, 16, 120], 300)) - 11
    even = np.arange(0, uneven[-1] + 1, 20)

    def boxes(pts: NDArray[np.int64]) -> Boxes:
        x = np.interp(pts / 1000, [0, 4, 5.5, 9, 11], [500, 500, 900, 900, 700])
        return np.stack([x - 70, np.full(len(x), 300), np.full(len(x), 140), np.full(len(x), 180)], 1)

    paths = [tile(filmed(boxes(pts), pts=pts, time_base="1/1000"))[:, 0] for pts in (uneven, even)]
    assert paths[0] == pytest.approx(np.interp(uneven, even, paths[1]), abs=8)
