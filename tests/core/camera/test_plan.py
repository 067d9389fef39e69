from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from dualface_core.camera.plan import CameraParameters, kept_in_tile, plan_camera, tracks_digest
from dualface_core.tables.face_tracks import FaceTracks
from dualface_core.tables.layouts import LAYOUTS, Layout, Tile
from dualface_core.tables.tile_plan import TilePlan

BuildTracks = Callable[..., FaceTracks]
Boxes = NDArray[np.float64]

FPS = 30
SIDE_BY_SIDE = LAYOUTS["side-by-side"]
ABSENT = np.nan


def person(x: object, y: object = 400.0, height: object = 180.0, *, seconds: float = 10.0) -> Boxes:
    """Boxes of a face whose center is at x, y; each a number or one value per frame."""
    frames = round(seconds * FPS)
    x, y, height = (np.broadcast_to(np.asarray(value, np.float64), frames) for value in (x, y, height))
    width = 0.75 * height
    return np.stack([x - width / 2, y - height / 2, width, height], axis=1)


def at(*moments: tuple[float, float], seconds: float = 10.0) -> NDArray[np.float64]:
    """A value per frame, on straight lines between (seconds, value)."""
    times, values = np.array(moments).T
    return np.interp(np.arange(round(seconds * FPS)) / FPS, times, values)


def gone(boxes: Boxes, *spans: tuple[float, float]) -> Boxes:
    boxes = boxes.copy()
    for start, stop in spans:
        boxes[round(start * FPS) : round(stop * FPS)] = ABSENT
    return boxes


def tile(plan: TilePlan, index: int = 0) -> Boxes:
    """(frames, 4) of center x, center y, width, height."""
    return plan.crop_windows()[:, index].astype(np.float64)


def speed(crop_windows: Boxes) -> NDArray[np.float64]:
    return np.abs(np.diff(crop_windows[:, 0])) * FPS


def assert_whole_face_in_tile(plan: TilePlan, boxes: Boxes, index: int = 0) -> None:
    """In every tracking frame in which the person was seen, if the widest rectangle can hold face and margin."""
    metadata = plan.metadata
    margin = CameraParameters.model_validate(metadata.camera).face_margin
    counted = (plan.states()[:, index] == "tracking") & ~np.isnan(boxes[:, 0])
    left, top, right, bottom = kept_in_tile(boxes, margin, metadata.frame_width, metadata.frame_height)
    crop_windows = tile(plan, index)
    widest = np.array([SIDE_BY_SIDE.tiles[0].aspect, 1.0]) * min(
        metadata.frame_height, metadata.frame_width / SIDE_BY_SIDE.tiles[0].aspect
    )
    counted &= (right - left <= widest[0]) & (bottom - top <= widest[1])
    x, y, width, height = crop_windows[counted].T
    rounding = 0.01
    assert (left[counted] >= x - width / 2 - rounding).all()
    assert (right[counted] <= x + width / 2 + rounding).all()
    assert (top[counted] >= y - height / 2 - rounding).all()
    assert (bottom[counted] <= y + height / 2 + rounding).all()


# --- what holds for any tracks ---------------------------------------------------------------------------------------


@st.composite
def scenes(draw: st.DrawFn) -> dict[str, object]:
    """Somebody who moves as nobody would: jumps, vanishes, grows, in odd frame rates, across cuts."""
    frames = draw(st.integers(1, 150))
    size = draw(st.sampled_from([(1920, 1080), (640, 360), (1080, 1920), (3840, 2160), (500, 500)]))
    knots = draw(st.integers(1, 6))
    position = st.floats(-0.1, 1.1, allow_nan=False)

    def signal(values: st.SearchStrategy[float]) -> NDArray[np.float64]:
        heights = [draw(values) for _ in range(knots)]
        moments = np.arange(frames) / max(frames - 1, 1) * (knots - 1)
        if draw(st.booleans()):
            return np.array(heights)[np.rint(moments).astype(int)]
        return np.interp(moments, np.arange(knots), heights)

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


@settings(max_examples=150, deadline=None)
@given(scene=scenes())
def test_while_a_face_is_tracked_it_never_leaves_its_tile(face_tracks: BuildTracks, scene: dict[str, object]) -> None:
    boxes = scene.pop("boxes")
    plan = plan_camera(face_tracks({"A": boxes}, **scene), SIDE_BY_SIDE)
    assert_whole_face_in_tile(plan, boxes)


@settings(max_examples=100, deadline=None)
@given(scene=scenes(), layout=st.sampled_from(sorted(LAYOUTS)))
def test_every_rectangle_lies_in_the_frame_and_has_the_aspect_of_its_tile(
    face_tracks: BuildTracks, scene: dict[str, object], layout: str
) -> None:
    boxes, (width, height) = scene.pop("boxes"), scene["size"]
    plan = plan_camera(face_tracks({"A": boxes}, **scene), LAYOUTS[layout])
    crop_windows = plan.crop_windows().astype(np.float64)
    assert np.isfinite(crop_windows).all()
    assert (crop_windows[..., :2] - crop_windows[..., 2:] / 2 >= -0.01).all()
    assert (crop_windows[..., :2] + crop_windows[..., 2:] / 2 <= np.array([width, height]) + 0.01).all()
    aspects = [tile.aspect for tile in LAYOUTS[layout].tiles]
    assert crop_windows[..., 2] / crop_windows[..., 3] == pytest.approx(
        np.broadcast_to(aspects, crop_windows.shape[:2])
    )


@settings(max_examples=50, deadline=None)
@given(scene=scenes())
def test_a_person_is_only_called_tracked_near_a_sighting(face_tracks: BuildTracks, scene: dict[str, object]) -> None:
    boxes = scene.pop("boxes")
    plan = plan_camera(face_tracks({"A": boxes}, **scene), SIDE_BY_SIDE)
    times = np.array(scene["pts"]) / 1000
    seen = times[~np.isnan(boxes[:, 0])]
    for time in times[plan.states()[:, 0] == "tracking"]:
        assert np.abs(seen - time).min() <= CameraParameters().bridge / 2 + 1e-9


# --- framing ---------------------------------------------------------------------------------------------------------


def test_the_face_has_its_size_and_the_eyes_stand_on_their_line(face_tracks: BuildTracks) -> None:
    plan = plan_camera(face_tracks({"A": person(1500, 900, 400)}, size=(3840, 2160)), SIDE_BY_SIDE)
    center_x, center_y, _, height = tile(plan)[0]
    assert 400 / height == pytest.approx(0.32, abs=0.001)
    assert center_x == pytest.approx(1500, abs=0.1)
    eyes = 900 - 200 + 0.38 * 400
    assert (eyes - (center_y - height / 2)) / height == pytest.approx(0.40, abs=0.001)


def test_zooming_in_stops_where_pixels_would_be_stretched_too_far(face_tracks: BuildTracks) -> None:
    plan = plan_camera(face_tracks({"A": person(960, 540, 60)}), SIDE_BY_SIDE)
    assert 1080 / tile(plan)[:, 3].min() == pytest.approx(2.0)


def test_a_small_source_may_be_stretched_further_but_not_without_limit(face_tracks: BuildTracks) -> None:
    plan = plan_camera(face_tracks({"A": person(320, 180, 20)}, size=(640, 360)), SIDE_BY_SIDE)
    assert tile(plan)[:, 3].min() == pytest.approx(0.6 * 360)


def test_a_face_larger_than_the_tile_is_put_in_its_middle(face_tracks: BuildTracks) -> None:
    plan = plan_camera(face_tracks({"A": person(900, 540, 1500)}), SIDE_BY_SIDE)
    assert tile(plan)[:, 0] == pytest.approx(900, abs=0.1)
    assert tile(plan)[:, 3] == pytest.approx(1080)


def test_two_people_who_sit_close_together_are_each_in_the_middle_of_their_own_tile(face_tracks: BuildTracks) -> None:
    plan = plan_camera(face_tracks({"A": person(900, seconds=4), "B": person(1080, seconds=4)}), SIDE_BY_SIDE)
    assert tile(plan, 0)[:, 0] == pytest.approx(900, abs=0.1)
    assert tile(plan, 1)[:, 0] == pytest.approx(1080, abs=0.1)


# --- calm ------------------------------------------------------------------------------------------------------------


def test_someone_who_sways_a_little_is_filmed_without_any_movement(face_tracks: BuildTracks) -> None:
    times = np.arange(20 * FPS) / FPS
    noise = np.random.default_rng(0).normal(0, 2, (3, len(times)))
    swaying = person(
        700 + 12 * np.sin(times) + noise[0],
        400 + 6 * np.sin(1.7 * times) + noise[1],
        180 * np.exp(0.03 * np.sin(0.8 * times) + 0.01 * noise[2]),
        seconds=20,
    )
    crop_windows = tile(plan_camera(face_tracks({"A": swaying}), SIDE_BY_SIDE))
    assert np.ptp(crop_windows, axis=0) == pytest.approx([0, 0, 0, 0], abs=1e-3)


def test_someone_who_moves_to_another_seat_is_followed_in_one_stroke(face_tracks: BuildTracks) -> None:
    path = tile(plan_camera(face_tracks({"A": person(at((0, 500), (4, 500), (5, 800), (10, 800)))}), SIDE_BY_SIDE))[
        :, 0
    ]
    assert (np.diff(path) >= -1e-3).all()
    assert path[0] == pytest.approx(500, abs=1)
    assert path[-1] == pytest.approx(800, abs=1)
    still = np.abs(np.diff(path)) * FPS < 1
    assert still[: round(2.5 * FPS)].all()
    assert still[round(7 * FPS) :].all()


def test_someone_who_crosses_the_room_in_two_seconds_stays_well_inside_the_tile(face_tracks: BuildTracks) -> None:
    walk = at((0, 300), (3, 300), (5, 1600), (10, 1600))
    plan = plan_camera(face_tracks({"A": person(walk)}), SIDE_BY_SIDE)
    crop_windows = tile(plan)
    assert_whole_face_in_tile(plan, person(walk))
    assert (np.abs(walk - crop_windows[:, 0]) / crop_windows[:, 2]).max() < 0.3


def test_a_slow_walk_is_one_even_pan_and_no_stop_and_go(face_tracks: BuildTracks) -> None:
    walk = at((0, 400), (20, 1400), seconds=20)
    crop_windows = tile(plan_camera(face_tracks({"A": person(walk, seconds=20)}), SIDE_BY_SIDE))
    assert speed(crop_windows)[4 * FPS : -4 * FPS] == pytest.approx(50, rel=0.2)


def test_one_wrong_detection_moves_nothing_and_is_not_called_tracked(face_tracks: BuildTracks) -> None:
    x = np.full(10 * FPS, 600.0)
    x[150:153] = 1200
    plan = plan_camera(face_tracks({"A": person(x)}), SIDE_BY_SIDE)
    assert np.ptp(tile(plan), axis=0) == pytest.approx([0, 0, 0, 0], abs=1e-3)
    assert np.flatnonzero(plan.states()[:, 0] != "tracking").tolist() == [150, 151, 152]


def test_zoom_moves_more_slowly_than_position(face_tracks: BuildTracks) -> None:
    def duration(values: NDArray[np.float64]) -> int:
        return int(np.count_nonzero(np.abs(np.diff(values)) > 1e-3))

    boxes = person(at((0, 500), (5, 500), (5.01, 600), (10, 600)), 540, at((0, 250), (5, 250), (5.01, 180), (10, 180)))
    crop_windows = tile(plan_camera(face_tracks({"A": boxes}), SIDE_BY_SIDE))
    assert duration(crop_windows[:, 3]) > duration(crop_windows[:, 0])


def test_nothing_is_smoothed_across_a_cut(face_tracks: BuildTracks) -> None:
    first, second = person(at((0, 400), (4, 700), seconds=4), seconds=4), person(1500, 500, 300, seconds=3)
    both = plan_camera(face_tracks({"A": np.concatenate([first, second])}, cuts=[len(first)]), SIDE_BY_SIDE)
    apart = [tile(plan_camera(face_tracks({"A": boxes}), SIDE_BY_SIDE)) for boxes in (first, second)]
    assert tile(both) == pytest.approx(np.concatenate(apart), abs=1e-3)


def test_timestamps_and_not_frame_numbers_decide_how_the_camera_moves(face_tracks: BuildTracks) -> None:
    uneven = np.cumsum(np.resize([11, 70, 33, 33, 16, 120], 300)) - 11
    even = np.arange(0, uneven[-1] + 1, 20)

    def boxes(pts: NDArray[np.int64]) -> Boxes:
        x = np.interp(pts / 1000, [0, 4, 5.5, 9, 11], [500, 500, 900, 900, 700])
        return np.stack([x - 70, np.full(len(x), 300), np.full(len(x), 140), np.full(len(x), 180)], 1)

    paths = [
        tile(plan_camera(face_tracks({"A": boxes(pts)}, pts=pts, time_base="1/1000"), SIDE_BY_SIDE))[:, 0]
        for pts in (uneven, even)
    ]
    assert paths[0] == pytest.approx(np.interp(uneven, even, paths[1]), abs=8)


# --- absences --------------------------------------------------------------------------------------------------------


def test_a_moment_without_a_sighting_counts_as_tracking(face_tracks: BuildTracks) -> None:
    plan = plan_camera(face_tracks({"A": gone(person(600), (4.0, 4.4))}), SIDE_BY_SIDE)
    assert set(plan.states()[:, 0]) == {"tracking"}


def test_during_a_short_absence_the_camera_waits_where_the_person_was(face_tracks: BuildTracks) -> None:
    plan = plan_camera(face_tracks({"A": gone(person(600), (4.0, 6.0))}), SIDE_BY_SIDE)
    assert plan.states()[round(4.0 * FPS) : round(6.0 * FPS), 0].tolist() == ["holding"] * 2 * FPS
    assert np.ptp(tile(plan), axis=0) == pytest.approx([0, 0, 0, 0], abs=1e-3)


def test_in_a_long_absence_the_camera_waits_and_then_opens_out(face_tracks: BuildTracks) -> None:
    plan = plan_camera(face_tracks({"A": gone(person(600, seconds=30), (5, 25))}), SIDE_BY_SIDE)
    states, height = plan.states()[:, 0], tile(plan)[:, 3]
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
    assert (speed(crop_windows) / 960).max() < 0.7  # widths of the widest rectangle per second
    assert (np.abs(np.diff(crop_windows[:, 0], n=3)) * FPS**3).max() < 3000


def test_a_person_who_comes_in_later_is_awaited_where_they_appear(face_tracks: BuildTracks) -> None:
    plan = plan_camera(face_tracks({"A": gone(person(1300), (0, 6))}), SIDE_BY_SIDE)
    assert plan.states()[[0, 170, 185], 0].tolist() == ["wide", "wide", "tracking"]
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
    assert set(plan.states()[round(7.1 * FPS) :, 0]) == {"holding"}
    assert np.ptp(tile(plan), axis=0) == pytest.approx([0, 0, 0, 0], abs=1e-3)


def test_someone_seen_for_a_fifth_of_a_second_only_is_not_followed(face_tracks: BuildTracks) -> None:
    plan = plan_camera(face_tracks({"A": gone(person(600), (0, 5), (5.2, 10))}), SIDE_BY_SIDE)
    assert set(plan.states()[:, 0]) == {"wide"}


def test_a_shot_of_a_few_frames_is_tracked(face_tracks: BuildTracks) -> None:
    boxes = np.concatenate([person(500, seconds=2), person(1400, seconds=0.1), person(500, seconds=2)])
    plan = plan_camera(face_tracks({"A": boxes}, cuts=[60, 63]), SIDE_BY_SIDE)
    assert set(plan.states()[:, 0]) == {"tracking"}
    assert tile(plan)[60:63, 0] == pytest.approx(1400, abs=0.1)


def test_a_tile_whose_person_is_not_in_the_shot_shows_the_widest_view_of_whoever_is(face_tracks: BuildTracks) -> None:
    plan = plan_camera(face_tracks({"A": person(600, seconds=2), "B": np.full((60, 4), ABSENT)}), SIDE_BY_SIDE)
    assert set(plan.states()[:, 1]) == {"wide"}
    assert tile(plan, 1)[0] == pytest.approx([600, 540, 960, 1080])


def test_a_video_of_one_person_shows_them_wide_in_the_other_tile(face_tracks: BuildTracks) -> None:
    plan = plan_camera(face_tracks({"A": person(300, seconds=2)}), SIDE_BY_SIDE)
    assert set(plan.states()[:, 1]) == {"wide"}
    assert tile(plan, 1)[0] == pytest.approx([480, 540, 960, 1080])


# --- the table -------------------------------------------------------------------------------------------------------


def test_a_plan_has_a_row_per_frame_and_tile_and_can_be_stored(face_tracks: BuildTracks, tmp_path) -> None:
    tracks = face_tracks(
        {"A": person(600, seconds=1), "B": person(1400, seconds=1)}, pts=range(100, 130), time_base="1/30", cuts=[12]
    )
    plan = plan_camera(tracks, SIDE_BY_SIDE)
    rows = plan.table.to_pandas()
    assert rows.frame.tolist() == [frame for frame in range(30) for _ in range(2)]
    assert rows.pts.tolist() == [100 + frame for frame in range(30) for _ in range(2)]
    assert rows.person.tolist() == ["A", "B"] * 30
    assert rows["shot"].tolist() == [0] * 24 + [1] * 36
    assert plan.metadata.frame_count == 30
    plan.write(tmp_path / "plan.parquet")
    stored = TilePlan.read(tmp_path / "plan.parquet")
    assert stored.metadata == plan.metadata
    assert stored.table.equals(plan.table)


def test_a_layout_may_give_one_person_two_tiles(face_tracks: BuildTracks) -> None:
    twice = Layout("twice", 200, 100, (Tile("A", 0, 0, 100, 100), Tile("A", 100, 0, 100, 100)))
    plan = plan_camera(face_tracks({"A": person(600, seconds=1)}), twice)
    assert tile(plan, 0) == pytest.approx(tile(plan, 1))


def test_the_digest_of_tracks_survives_storage_and_notices_any_change(face_tracks: BuildTracks, tmp_path) -> None:
    boxes = gone(person(600), (3, 4))
    tracks = face_tracks({"A": boxes, "B": person(1400)})
    tracks.write(tmp_path / "tracks.parquet")
    assert tracks_digest(FaceTracks.read(tmp_path / "tracks.parquet")) == tracks_digest(tracks)
    chunked = pa.concat_tables([tracks.table.slice(0, 100), tracks.table.slice(100)])
    assert tracks_digest(FaceTracks(chunked, tracks.metadata)) == tracks_digest(tracks)

    boxes[7, 0] += 0.5
    assert tracks_digest(face_tracks({"A": boxes, "B": person(1400)})) != tracks_digest(tracks)
