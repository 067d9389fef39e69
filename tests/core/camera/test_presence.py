from __future__ import annotations

import numpy as np
import pytest

from tests.core.camera.faces import ABSENT, FPS, assert_whole_face_in_tile, at, filmed, gone, person, speed, tile


def test_a_moment_without_a_sighting_counts_as_tracking() -> None:
    plan = filmed(gone(person(600), (4.0, 4.4)))
    assert set(plan.states[:, 0]) == {"tracking"}


def test_during_a_short_absence_the_camera_waits_where_the_person_was() -> None:
    plan = filmed(gone(person(600), (4.0, 6.0)))
    assert plan.states[round(4.0 * FPS) : round(6.0 * FPS), 0].tolist() == ["holding"] * 2 * FPS
    assert np.ptp(tile(plan), axis=0) == pytest.approx([0, 0, 0, 0], abs=1e-3)


def test_in_a_long_absence_the_camera_waits_and_then_opens_out() -> None:
    plan = filmed(gone(person(600, seconds=30), (5, 25)))
    states, height = plan.states[:, 0], tile(plan)[:, 3]
    assert set(states[round(5.1 * FPS) : round(6.9 * FPS)]) == {"holding"}
    assert set(states[round(7.1 * FPS) : 25 * FPS]) == {"wide"}
    assert height[: round(6.9 * FPS)] == pytest.approx(562.5, abs=2)
    assert height[12 * FPS : 20 * FPS] == pytest.approx(1080)
    assert height[25 * FPS :] == pytest.approx(562.5, abs=2)


@pytest.mark.parametrize(("seconds", "off"), [(1.5, 40), (4, 10), (8, 2), (20, 2)])
def test_the_camera_is_in_place_before_the_person_is_back_elsewhere(seconds: float, off: float) -> None:
    back = 5 + seconds
    path = at((0, 400), (back - 0.01, 400), (back, 1500), (40, 1500), seconds=40)
    plan = filmed(gone(person(path, seconds=40), (5, back)))
    crop_windows = tile(plan)
    returned = crop_windows[int(np.ceil(back * FPS)) :]
    assert returned == pytest.approx(np.broadcast_to(returned[-1], returned.shape), abs=off)
    assert returned[-1, 0] == pytest.approx(1500, abs=0.5)


def test_a_move_while_nobody_is_there_is_calm() -> None:
    path = at((0, 400), (12, 400), (12.01, 1500), (30, 1500), seconds=30)
    crop_windows = tile(filmed(gone(person(path, seconds=30), (5, 20))))
    assert (speed(crop_windows) / 960).max() < 0.7  # widths of the widest crop window per second
    assert (np.abs(np.diff(crop_windows[:, 0], n=3)) * FPS**3).max() < 3000


def test_a_person_who_comes_in_later_is_awaited_where_they_appear() -> None:
    plan = filmed(gone(person(1300), (0, 6)))
    assert plan.states[[0, 170, 185], 0].tolist() == ["wide", "wide", "tracking"]
    assert tile(plan)[0, 0] == pytest.approx(1300, abs=1)
    assert tile(plan)[0, 3] > 1.2 * tile(plan)[-1, 3]


def test_someone_who_hurries_in_through_the_edge_of_the_frame_is_met_without_a_jolt() -> None:
    walk = at((0, 1880), (5, 1880), (5.6, 1400), (10, 1400))
    plan = filmed(gone(person(walk), (0, 5)))
    path = tile(plan)[:, 0]
    assert_whole_face_in_tile(plan, gone(person(walk), (0, 5)))
    assert (np.diff(path[5 * FPS :]) <= 0.2).all()  # it never swings back
    assert (np.abs(np.diff(path, n=2)) * FPS**2).max() < 6000


def test_a_shot_that_ends_soon_after_someone_left_is_held() -> None:
    plan = filmed(gone(person(600), (7, 10)))
    assert set(plan.states[round(7.1 * FPS) :, 0]) == {"holding"}
    assert np.ptp(tile(plan), axis=0) == pytest.approx([0, 0, 0, 0], abs=1e-3)


def test_someone_seen_for_a_fifth_of_a_second_only_is_not_followed() -> None:
    plan = filmed(gone(person(600), (0, 5), (5.2, 10)))
    assert set(plan.states[:, 0]) == {"wide"}


def test_a_shot_of_a_few_frames_is_tracked() -> None:
    boxes = np.concatenate([person(500, seconds=2), person(1400, seconds=0.1), person(500, seconds=2)])
    plan = filmed(boxes, cuts=[60, 63])
    assert set(plan.states[:, 0]) == {"tracking"}
    assert tile(plan)[60:63, 0] == pytest.approx(1400, abs=0.1)


def test_a_tile_whose_person_is_not_in_the_shot_shows_the_widest_view_of_whoever_is() -> None:
    plan = filmed(person(600, seconds=2), np.full((60, 4), ABSENT))
    assert set(plan.states[:, 1]) == {"wide"}
    assert tile(plan, 1)[0] == pytest.approx([600, 540, 960, 1080])


def test_a_video_of_one_person_shows_them_wide_in_the_other_tile() -> None:
    plan = filmed(person(300, seconds=2))
    assert set(plan.states[:, 1]) == {"wide"}
    assert tile(plan, 1)[0] == pytest.approx([480, 540, 960, 1080])
