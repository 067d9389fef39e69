from __future__ import annotations

import numpy as np
import pytest

from dualface_core.review.plots import camera_plot, load_plot, tracks_plot
from dualface_core.tables.face_tracks import FaceTracks
from dualface_core.tables.layouts import LAYOUTS
from dualface_core.tables.tile_plan import TilePlan
from tests.core.gpu.load import long_log
from tests.core.made_tracks import face_tracks, plan_camera
from tests.core.review.images import BLUE, ORANGE, SIZE, decoded, has, sitting


def test_plots_show_each_person_in_their_color_and_fit_a_web_page(tracks: FaceTracks, plan: TilePlan) -> None:
    for data in (tracks_plot(tracks), camera_plot(tracks, plan)):
        assert data.startswith(b"\x89PNG")
        assert len(data) <= 30_000
        image = decoded(data)
        assert image.shape[1] == 800
        assert has(image, BLUE, 30)
        assert has(image, ORANGE, 30)


def test_plots_of_a_long_restless_video_stay_below_the_limit() -> None:
    random = np.random.default_rng(0)
    people = {}
    for name, x in (("A", 160), ("B", 480)):
        boxes = sitting(x, 6000) + random.normal(0, 3, (6000, 4))
        for start in random.integers(0, 6000, 40):
            boxes[start : start + random.integers(10, 300)] = np.nan
        people[name] = boxes
    tracks = face_tracks(people, size=SIZE, cuts=sorted(set(random.integers(1, 6000, 60).tolist())))
    for data in (tracks_plot(tracks), camera_plot(tracks, plan_camera(tracks, LAYOUTS["side-by-side"]))):
        assert len(data) <= 30_000
        assert decoded(data).shape[1] >= 400


def test_one_frame_of_video_can_be_plotted() -> None:
    tracks = face_tracks({"A": sitting(160, 1)}, size=SIZE)
    assert decoded(tracks_plot(tracks)).size
    assert decoded(camera_plot(tracks, plan_camera(tracks, LAYOUTS["side-by-side"]))).size


@pytest.mark.parametrize("gpu", [None, "NVIDIA GeForce RTX 4060"])
def test_the_plot_of_ten_hours_is_a_small_picture(gpu: str | None) -> None:
    data = load_plot(long_log(36_000, gpu=gpu))
    assert data.startswith(b"\x89PNG")
    assert len(data) <= 30_000
    image = decoded(data)
    # A panel more for the GPU, and curves in more than one color.
    assert image.shape[0] / image.shape[1] > (0.6 if gpu else 0.4)
    assert len(np.unique(image.reshape(-1, 3), axis=0)) > 8


def test_one_sample_is_enough_for_a_plot() -> None:
    assert decoded(load_plot(long_log(1, gpu=None))).shape[1] == 800
