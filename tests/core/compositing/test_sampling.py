from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from dualface_core.compositing.sampling import plan_axes, unshifted_edge, unshifted_step

COLUMNS, ROWS = 960, 1080


@given(height=st.floats(560, 1080), left=st.floats(0, 900), top=st.floats(0, 500))
def test_a_crop_window_a_pixel_away_from_any_is_resampled_without_a_shift(
    height: float, left: float, top: float
) -> None:
    step = unshifted_step(height / ROWS, (height - 1) / ROWS, (height + 1) / ROWS)
    near_x = unshifted_edge(left, step, left - 1, left + 1, 0)
    near_y = unshifted_edge(top, step, top - 1, top + 1, 1)
    assert max(abs(near_x - left), abs(near_y - top), abs(step * ROWS - height)) <= 1 + 1e-9
    width, height = step * COLUMNS, step * ROWS
    window = np.array([near_x + width / 2, near_y + height / 2, width, height], np.float32)  # as a plan holds it
    luma, (_, chroma_y) = plan_axes(np.array([0, 0, COLUMNS, ROWS]), window)["reach"]
    assert [*luma, chroma_y] == [0, 0, 0]


def test_a_camera_that_moves_passes_places_that_need_no_shift_most_of_the_time() -> None:
    chance = np.random.default_rng(0)
    steps = np.array([unshifted_step(step, step - 1 / ROWS, step + 1 / ROWS) for step in chance.uniform(0.5, 1, 500)])
    sizes = steps[:, np.newaxis] * (COLUMNS, ROWS)
    windows = np.concatenate([chance.uniform(0, 400, (500, 2)) + sizes / 2, sizes], axis=1)
    reach = plan_axes(np.tile([0, 0, COLUMNS, ROWS], (500, 1)), windows)["reach"]
    assert (reach == 0).mean() > 0.5


def test_a_tile_that_shrinks_its_source_stays_where_it_is() -> None:
    assert unshifted_edge(100.3, 1.2, 99.0, 102.0, 0) == 100.3
    assert unshifted_step(1.2, 1.19, 1.21) == 1.2
