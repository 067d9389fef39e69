from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from dualface_core.camera.plan import plan_camera
from dualface_core.tables.face_tracks import FaceTracks
from tests.core.camera.faces import ABSENT, FPS, SIDE_BY_SIDE, assert_whole_face_in_tile, at, gone, person, speed, tile

BuildTracks = Callable[..., FaceTracks]


def test_a_moment_without_a_sighting_counts_as_tracking(face_tracks: BuildTracks) -> None:
    plan = plan_camera(face_tracks({"A": gone(person(600), (4.0, 4.4))}), SIDE_BY_SIDE)
    assert set(plan.states[:, 0]) == {"tracking"}


def test_during_a_short_absence_the_camera_waits_where_the_person_was(face_tracks: BuildTracks) -> None:
    plan = plan_camera(face_tracks({"A": gone(person(600), (4.0, 6.0))}), SIDE_BY_SIDE)
    assert plan.states[round(4.0 * FPS) : round(6.0 * FPS), 0].tolist() == ["holding"] * 2 * FPS
    assert np.ptp(tile(plan), axis=0) == pytest.approx([0, 0, 0, 0], abs=1e-3)


def test_in_a_long_absence_the_camera_waits_and_then_opens_out(face_tracks: BuildTracks) -> None:
    plan = plan_camera(face_tracks({"A": gone(person(600, seconds=30), (5, 25))}), SIDE_BY_SIDE)
    states, height = plan.states[:, 0], tile(plan)[:, 3]
    assert set(states[round(5.1 * FPS) : round(6.9 * FPS)]) == {"holding"}
    assert set(states[round(7.1 * FPS) : 25 * FPS]) == {"wide"}
    assert height[: round(6.9 * FPS)] == pytest.approx(562.5, abs=0.1)
    assert height[10 * FPS : 22 * FPS] == pytest.approx(1080)
    assert height[25 * FPS :] == pytest.approx(562.5, abs=0.1)


@pytest.mark.parametrize("seconds", [1.5, 4, 8, 20])
def test_the_camera_is_in_place_before_the_person_is_back_elsewhere(face_tracks: BuildTracks, seconds: float) -> None:
    back = 5 + seconds
    path = at((0, 400), (back - 0.01, 400), (back, 1500), (40, 1500), seconds=40)
    plan = plan_camera(face_tracks({"A": gone(person(path, seconds=40), (5, back))}), SIDE_BY_SIDE)
    crop_windows = tile(plan)
    returned = crop_windows[int(np.ceil(back * FPS)) :]
    assert returned == pytest.approx(np.broadcast_to(returned[-1], returned.shape), abs=0.2)
    assert returned[-1, 0] == pytest.approx(1500, abs=0.5)


def test_a_move_while_nobody_is_there_is_calm(face_tracks: BuildTracks) -> None:
    path = at((0, 400), (12, 400), (12.01, 1500), (30, 1500), seconds=30)
    crop_windows = tile(plan_camera(face_tracks({"A": gone(person(path, seconds=30), (5, 20))}), SIDE_BY_SIDE))
    assert (speed(crop_windows) / 960).max() < 0.7  # widths of the widest crop window per second
    assert (np.abs(np.diff(crop_windows[:, 0], n=3)) * FPS**3).max() < 3000


def test_a_person_who_comes_in_later_is_awaited_where_they_appear(face_tracks: BuildTracks) -> None:
    plan = plan_camera(face_tracks({"A": gone(person(1300), (0, 6))}), SIDE_BY_SIDE)
    assert plan.states[[0, 170, 185], 0].tolist() == ["wide", "wide", "tracking"]
    assert tile(plan)[0] == pytest.approx([1300, 540, 960, 1080], abs=1)


def test_someone_who_hurries_in_through_the_edge_of_the_frame_is_met_without_a_jolt(face_tracks: BuildTracks) -> None:
    walk = at((0, 1880), (5, 1880), (5.6, 1400), (10, 1400))
    plan = plan_camera(face_tracks({"A": gone(person(walk), (0, 5))}), SIDE_BY_SIDE)
    path = tile(plan)[:, 0]
    assert_whole_face_in_tile(plan, gone(person(walk), (0, 5)))
    assert (np.diff(path[5 * FPS :]) <= 1e-3).all()  # it never swings back
    assert (np.abs(np.diff(path, n=2)) * FPS**2).max() < 6000


def test_a_shot_that_ends_soon_after_someone_left_is_held(face_tracks: BuildTracks) -> None:
    plan = plan_camera(face_tracks({"A": gone(person(600), (7, 10))}), SIDE_BY_SIDE)
    assert set(plan.states[round(7.1 * FPS) :, 0]) == {"holding"}
    assert np.ptp(tile(plan), axis=0) == pytest.approx([0, 0, 0, 0], abs=1e-3)


def test_someone_seen_for_a_fifth_of_a_second_only_is_not_followed(face_tracks: BuildTracks) -> None:
    plan = plan_camera(face_tracks({"A": gone(person(600), (0, 5), (5.2, 10))}), SIDE_BY_SIDE)
    assert set(plan.states[:, 0]) == {"wide"}


def test_a_shot_of_a_few_frames_is_tracked(face_tracks: BuildTracks) -> None:
    boxes = np.concatenate([person(500, seconds=2), person(1400, seconds=0.1), person(500, seconds=2)])
    plan = plan_camera(face_tracks({"A": boxes}, cuts=[60, 63]), SIDE_BY_SIDE)
    assert set(plan.states[:, 0]) == {"tracking"}
    assert tile(plan)[60:63, 0] == pytest.approx(1400, abs=0.1)


def test_a_tile_whose_person_is_not_in_the_shot_shows_the_widest_view_of_whoever_is(face_tracks: BuildTracks) -> None:
    plan = plan_camera(face_tracks({"A": person(600, seconds=2), "B": np.full((60, 4), ABSENT)}), SIDE_BY_SIDE)
    assert set(plan.states[:, 1]) == {"wide"}
    assert tile(plan, 1)[0] == pytest.approx([600, 540, 960, 1080])


def test_a_video_of_one_person_shows_them_wide_in_the_other_tile(face_tracks: BuildTracks) -> None:
    plan = plan_camera(face_tracks({"A": person(300, seconds=2)}), SIDE_BY_SIDE)
    assert set(plan.states[:, 1]) == {"wide"}
    assert tile(plan, 1)[0] == pytest.approx([480, 540, 960, 1080])
