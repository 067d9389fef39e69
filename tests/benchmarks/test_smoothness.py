from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from benchmarks.smoothness import Smoothness, smoothness
from dualface_core.tables.face_tracks import FaceTracks
from dualface_core.tables.layouts import LAYOUTS
from dualface_core.tables.tile_plan import TilePlan
from tests.core.made_tracks import face_tracks, plan_camera, split_plan

FPS = 30
HEIGHT = 540.0
"""Of the crop window: every pixel of the source is two of the tile."""


def plan_of(tracks: FaceTracks, path: NDArray[np.float64]) -> TilePlan:
    """A plan whose tile A follows `path`: (frames, 3) of center x, center y and height. Tile B holds."""
    x, y, height = path.T
    follows = np.stack([x, y, height * 960 / 1080, height], axis=1)
    windows = np.stack([follows, np.full_like(follows, [500, 500, HEIGHT * 960 / 1080, HEIGHT])], axis=1)
    return split_plan(tracks, windows)


def path_of(x: object, y: object = 500.0, height: object = HEIGHT, *, frames: int = 300) -> NDArray[np.float64]:
    return np.stack([np.broadcast_to(np.asarray(value, float), frames) for value in (x, y, height)], axis=1)


def face(x: float, eyes: float, height: float = 150.0, *, frames: int = 300) -> NDArray[np.float64]:
    """A face in the middle of x, with its eyes at a height."""
    return np.tile([x - 0.375 * height, eyes - 0.38 * height, 0.75 * height, height], (frames, 1))


def measured(tracks: FaceTracks, path: NDArray[np.float64]) -> Smoothness:
    return smoothness(plan_of(tracks, path), tracks)[0]


EYES = 500 - HEIGHT / 2 + 0.40 * HEIGHT
"""Where the eyes of a face are on their line, for a crop window that is centered on 500."""


def test_a_camera_at_rest_does_not_move() -> None:
    result = measured(face_tracks({"A": face(500, EYES)}), path_of(500))
    assert result.path_length == result.acceleration == result.jerk == 0
    assert result.still == 1


def test_speed_is_that_which_a_viewer_of_the_tile_sees() -> None:
    times = np.arange(300) / FPS
    result = measured(face_tracks({"A": face(500, EYES)}), path_of(500 + 30 * times, 500 + 40 * times))
    assert result.path_length == pytest.approx(2 * 50, rel=1e-3)
    assert result.still == 0
    assert result.acceleration == pytest.approx(0, abs=1)


def test_acceleration_and_jerk_are_those_of_a_swinging_camera() -> None:
    omega, times = 2 * np.pi * 0.5, np.arange(300) / FPS
    result = measured(face_tracks({"A": face(500, EYES)}), path_of(500 + 20 * np.sin(omega * times)))
    assert result.acceleration == pytest.approx(2 * 20 * omega**2 / np.sqrt(2), rel=0.02)
    assert result.jerk == pytest.approx(2 * 20 * omega**3 / np.sqrt(2), rel=0.02)


def test_an_uneven_frame_rate_does_not_look_like_shaking() -> None:
    pts = np.cumsum(np.resize([11, 70, 33], 300))
    tracks = face_tracks({"A": face(500, EYES)}, pts=pts, time_base="1/1000")
    result = measured(tracks, path_of(500 + 0.05 * pts))
    assert result.path_length == pytest.approx(2 * 50, rel=1e-3)
    assert result.acceleration == pytest.approx(0, abs=1)


def test_a_jump_at_a_cut_is_not_a_movement() -> None:
    tracks = face_tracks({"A": face(500, EYES)}, cuts=[100])
    result = measured(tracks, path_of(np.where(np.arange(300) < 100, 500, 1400)))
    assert result.path_length == 0
    assert result.still == 1


def test_the_real_camera_is_calm_on_someone_who_sits_and_leans() -> None:
    random, times = np.random.default_rng(0), np.arange(60 * FPS) / FPS
    x = 700 + 15 * np.sin(times) + random.normal(0, 3, len(times)) + 90 * ((times > 20) & (times < 32))
    boxes = np.stack([x - 60, np.full_like(x, 300), np.full_like(x, 120), np.full_like(x, 160)], axis=1)
    tracks = face_tracks({"A": boxes})
    camera, _ = smoothness(plan_camera(tracks, LAYOUTS["side-by-side"]), tracks)
    shaky = measured(tracks, path_of(x, frames=len(x)))
    assert camera.still > 0.85
    assert camera.jerk < shaky.jerk / 1000
