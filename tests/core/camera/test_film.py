from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from dualface_core.camera.film import FASTEST, FASTEST_ZOOM, Filmed, film
from dualface_core.tables.face_tracks import Box, FaceTracks
from dualface_core.tables.labels import SceneKind, Subject
from dualface_core.tables.scenes import Scene
from tests.core.camera.faces import FPS, Boxes, at, gone, person
from tests.core.camera.test_plan import scenes as wild_scenes
from tests.core.made_tracks import face_tracks

CANVAS = (0, 0, 1920, 1080)
LEFT, RIGHT = (0, 0, 960, 1080), (960, 0, 960, 1080)
NOTHING = (0, 0, 0, 0)

Rectangle = tuple[int, int, int, int]


def scene(kind: str, *cast: str, first: int = 0, last: int = 0) -> Scene:
    return Scene(first=first, last=last, kind=SceneKind(kind), cast=tuple(map(Subject, cast)), reason="So.")


def throughout(tracks: FaceTracks, kind: str, *cast: str, rectangles: tuple[Rectangle, ...]) -> Filmed:
    """One scene from the first frame to the last."""
    tiles = np.broadcast_to(rectangles, (tracks.frame_count, len(rectangles), 4))
    return film(tracks, [scene(kind, *cast, last=tracks.frame_count - 1)], tiles)


def staged(tracks: FaceTracks, *, picture: Box | None = None, panes: tuple[Box, ...] = ()) -> FaceTracks:
    """The same tracks with a picture and panes in all shots."""
    shots = [shot.model_copy(update={"picture": picture, "panes": panes}) for shot in tracks.shots]
    return replace(tracks, metadata=tracks.metadata.model_copy(update={"shots": shots}))


def edges(windows: Boxes) -> tuple[NDArray[np.float64], ...]:
    """Left, top, right and bottom."""
    x, y, width, height = windows.T
    return x - width / 2, y - height / 2, x + width / 2, y + height / 2


def assert_within(windows: Boxes, box: Box) -> None:
    left, top, right, bottom = edges(windows)
    assert min(left.min() - box[0], top.min() - box[1]) >= -0.01
    assert max(right.max() - box[0] - box[2], bottom.max() - box[1] - box[3]) <= 0.01


# --- subjects ---------------------------------------------------------------------------------------------------------


def test_a_single_fills_the_canvas_with_one_person() -> None:
    tracks = face_tracks({"A": person(600, seconds=2), "B": person(1400, seconds=2)})
    filmed = throughout(tracks, "solo", "B", rectangles=(NOTHING, CANVAS))
    windows = filmed.crop_windows[:, 1]
    assert windows[0] == pytest.approx([1400, windows[0, 1], 1000, 562.5], abs=1)
    assert np.ptp(windows, axis=0).max() < 1e-9


def test_two_together_are_both_in_the_picture_with_room_beside_them() -> None:
    left, right = person(700, seconds=2), person(1000, 430, 160, seconds=2)
    windows = throughout(
        face_tracks({"A": left, "B": right}), "together", "pair", rectangles=(CANVAS, NOTHING)
    ).crop_windows[:, 0]
    assert np.ptp(windows, axis=0).max() < 1e-9
    assert windows[0, 0] == pytest.approx((left[0, 0] + right[0, 0] + right[0, 2]) / 2, abs=1)
    assert windows[0, 2] / windows[0, 3] == pytest.approx(16 / 9)
    assert left[0, 0] - edges(windows)[0][0] > 0.1 * windows[0, 2]


def test_the_two_stay_in_the_picture_while_one_of_them_turns_away() -> None:
    left, right = person(500), gone(person(1300), (4, 8))
    windows = throughout(
        face_tracks({"A": left, "B": right}), "together", "pair", rectangles=(CANVAS, NOTHING)
    ).crop_windows[:, 0]
    assert np.ptp(windows, axis=0).max() < 1e-9


def test_the_whole_frame_is_shown_as_it_is_without_its_bars() -> None:
    tracks = staged(face_tracks({"A": person(600, seconds=1)}), picture=(0, 140, 1920, 800))
    filmed = throughout(tracks, "whole", "frame", rectangles=((0, 140, 1920, 800), NOTHING))
    assert filmed.crop_windows[:, 0] == pytest.approx(np.broadcast_to([960, 540, 1920, 800], (30, 4)))


# --- what a window stays in -------------------------------------------------------------------------------------------


def test_no_window_leaves_the_active_picture() -> None:
    picture = (240.0, 100.0, 1440.0, 880.0)
    walk = person(at((0, 300), (10, 1600)), 180, 100)
    filmed = throughout(staged(face_tracks({"A": walk}), picture=picture), "split", "A", "B", rectangles=(LEFT, RIGHT))
    for slot in range(2):
        assert_within(filmed.crop_windows[:, slot], picture)


def test_each_of_two_stays_in_their_pane_though_it_is_closer_than_zooming_may_go() -> None:
    panes = ((100.0, 300.0, 420.0, 480.0), (1400.0, 300.0, 420.0, 480.0))
    tracks = face_tracks({"A": person(310, 500, 150, seconds=2), "B": person(1700, 500, 150, seconds=2)})
    filmed = throughout(staged(tracks, panes=panes), "split", "A", "B", rectangles=(LEFT, RIGHT))
    for slot, pane in enumerate(panes):
        assert_within(filmed.crop_windows[:, slot], pane)


def test_two_together_in_different_panes_are_filmed_in_the_whole_picture() -> None:
    tracks = face_tracks({"A": person(310, 500, 150, seconds=2), "B": person(1700, 500, 150, seconds=2)})
    panes = ((100.0, 300.0, 420.0, 480.0), (1400.0, 300.0, 420.0, 480.0))
    filmed = throughout(staged(tracks, panes=panes), "together", "pair", rectangles=(CANVAS, NOTHING))
    assert filmed.crop_windows[0, 0] == pytest.approx([960, 540, 1920, 1080])


# --- scenes within a shot ---------------------------------------------------------------------------------------------


def grown(seconds: float) -> tuple[list[Scene], NDArray[np.int64]]:
    """A split that becomes a single of A after five seconds; the tile takes some time to grow."""
    share = np.clip((np.arange(10 * FPS) / FPS - 5) / seconds, 0, 1) if seconds else np.arange(10 * FPS) >= 5 * FPS
    left = 960 + 2 * np.rint(480 * share).astype(int)
    tiles = np.zeros((10 * FPS, 2, 4), int)
    tiles[:, 0, 2], tiles[:, 0, 3] = left, 1080
    tiles[:, 1] = np.stack([left, 0 * left, 1920 - left, np.where(left < 1920, 1080, 0)], axis=1)
    half = 5 * FPS
    return [scene("split", "A", "B", last=half - 1), scene("solo", "A", first=half, last=10 * FPS - 1)], tiles


@pytest.mark.parametrize("seconds", [0, 0.5])
def test_while_a_tile_grows_its_window_has_its_shape_and_stays_in_the_frame(seconds: float) -> None:
    scenes, tiles = grown(seconds)
    tracks = face_tracks({"A": person(400), "B": person(1400)})
    filmed = film(tracks, scenes, tiles)
    windows = filmed.crop_windows[:, 0]
    assert windows[:, 2] / windows[:, 3] == pytest.approx(tiles[:, 0, 2] / tiles[:, 0, 3])
    assert_within(windows, (0, 0, 1920, 1080))
    assert not filmed.states[:, 0].any()  # tracking throughout
    steps = np.abs(np.diff(windows[:, 0]))
    assert (steps.max() > 50) == (not seconds)  # it is put elsewhere at one stroke only where its tile is


def test_a_tile_that_is_not_drawn_has_the_whole_picture_and_no_state_of_a_person() -> None:
    scenes, tiles = grown(0)
    filmed = film(face_tracks({"A": person(400), "B": person(1400)}), scenes, tiles)
    assert filmed.crop_windows[6 * FPS, 1] == pytest.approx([960, 540, 1920, 1080])
    assert filmed.states[6 * FPS, 1] == 2


def test_a_film_after_another_one_is_as_if_it_were_the_first_and_takes_what_is_the_same() -> None:
    tracks = face_tracks({"A": person(400), "B": person(1400)})
    split = [scene("split", "A", "B", last=10 * FPS - 1)], np.tile([LEFT, RIGHT], (10 * FPS, 1, 1))
    hard = grown(0)
    for one, other, same in ((split, split, 2), (split, hard, 0), (hard, grown(0.5), 0), (hard, hard, 3)):
        before, alone = film(tracks, *one), film(tracks, *other)
        again = film(tracks, *other, before=before)
        assert np.array_equal(again.crop_windows, alone.crop_windows)
        assert np.array_equal(again.states, alone.states)
        assert len(before.runs.keys() & again.runs.keys()) >= same


# --- what holds for any tracks ----------------------------------------------------------------------------------------


@settings(max_examples=40, deadline=None)
@given(wild=wild_scenes())
def test_whatever_a_face_does_the_camera_never_snaps(wild: dict[str, object]) -> None:
    tracks = face_tracks({"A": wild.pop("boxes")}, **wild)
    windows = throughout(tracks, "split", "A", "B", rectangles=(LEFT, RIGHT)).crop_windows[:, 0]
    for shot in tracks.shots:
        seconds = np.diff(tracks.times[shot.frames])
        x, y, width, height = windows[shot.frames].T
        extent = np.maximum(width[1:], width[:-1]) * np.exp(
            FASTEST_ZOOM * 0.4
        )  # as it may be within a grid step or two
        assert (np.abs(np.diff(x)) <= 1.01 * FASTEST * extent * seconds + 0.1).all()
        assert (np.abs(np.diff(y)) <= 1.01 * FASTEST * extent * 1080 / 960 * seconds + 0.1).all()
        assert (np.abs(np.diff(np.log(height))) <= 1.01 * FASTEST_ZOOM * seconds + 1e-4).all()


@settings(max_examples=30, deadline=None)
@given(wild=wild_scenes(), data=st.data())
def test_whatever_becomes_of_a_tile_its_window_has_its_shape_and_stays_in_its_pane(
    wild: dict[str, object], data: st.DataObject
) -> None:
    width, height = wild["size"]
    tracks = face_tracks({"A": wild.pop("boxes")}, **wild)
    left, top = (data.draw(st.floats(0, 0.5)) * side for side in (width, height))
    pane = (left, top, data.draw(st.floats(0.1, 0.5)) * width, data.draw(st.floats(0.1, 0.5)) * height)
    walk = np.random.default_rng(data.draw(st.integers(0, 99))).normal(0, 40, tracks.frame_count).cumsum()
    tiles = np.zeros((tracks.frame_count, 1, 4), int)
    tiles[:, 0, 2:] = np.stack([2 * np.rint(np.clip(480 + walk, 10, 960)), np.full(len(walk), 1080)], axis=1)
    solo = scene("solo", "A", last=tracks.frame_count - 1)
    windows = film(staged(tracks, picture=pane), [solo], tiles).crop_windows[:, 0]
    assert windows[:, 2] / windows[:, 3] == pytest.approx(tiles[:, 0, 2] / tiles[:, 0, 3])
    assert_within(windows, pane)
