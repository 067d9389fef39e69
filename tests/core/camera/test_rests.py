from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dualface_core.camera.path import Limits
from dualface_core.camera.rests import FARTHEST, rested_axis, rested_zoom
from dualface_core.compositing.sampling import plan_axes
from tests.core.camera.faces import FPS, at, filmed, person, tile


@pytest.mark.parametrize(("x", "y", "height"), [(611.3, 401.7, 203.0), (500.0, 150.0, 190.0), (1300.4, 505.1, 230.6)])
def test_a_camera_that_holds_needs_no_shift_by_a_fraction_of_a_sample(x: float, y: float, height: float) -> None:
    window = tile(filmed(person(x, y, height, seconds=2)))[30]
    luma, (_, chroma_y) = plan_axes(np.array([0, 0, 960, 1080]), window)["reach"]
    assert [*luma, chroma_y] == [0, 0, 0]


def test_between_two_rests_the_camera_eases_to_the_next_one() -> None:
    windows = tile(filmed(person(at((0, 500), (5, 500), (7, 810), (12, 810), seconds=12), 401.3, 210, seconds=12)))
    for frame in (FPS, 11 * FPS):
        assert plan_axes(np.array([0, 0, 960, 1080]), windows[frame])["reach"][0, 0] == 0
    speeds = np.diff(windows[:, 0]) * FPS
    assert np.abs(np.diff(speeds)).max() < 15  # pixels a second, from frame to frame
    assert speeds.min() > -1


@settings(max_examples=50, deadline=None)
@given(
    first=st.floats(300, 700),
    second=st.floats(300, 700),
    room=st.floats(0, 2),
    share=st.floats(0, 1),
    height=st.floats(560, 1080),
)
def test_no_rest_is_moved_far_or_beyond_its_limits(
    first: float, second: float, room: float, share: float, height: float
) -> None:
    path = np.interp(np.arange(60), [20, 40], [first, second])
    held = Limits(path - share * room, path + (1 - share) * room)
    sizes = np.full(60, height)
    moved = rested_axis(path, held, sizes, sizes / 1080, axis=0)
    assert (moved >= held.lower - 1e-9).all()
    assert (moved <= held.upper + 1e-9).all()
    assert np.abs(moved - path).max() <= FARTHEST + 1e-9
    assert np.ptp(moved[:20]) == np.ptp(moved[41:]) == 0

    zoom = np.full(60, np.log(height))
    heights = np.exp(rested_zoom(zoom, Limits(zoom, zoom + 0.001), np.full(60, 1080.0)))
    assert (height - 1e-6 <= heights).all()
    assert (heights <= height + FARTHEST + 1e-6).all()
