from __future__ import annotations

import re
from collections.abc import Callable

import numpy as np
import pytest

from dualface_core.advice.timeline_events import Kind, events
from dualface_core.camera.plan import plan_camera
from dualface_core.review.charts import HEIGHT, WIDTH, Axis, Chart, charts
from dualface_core.tables.face_tracks import FaceTracks
from dualface_core.tables.layouts import LAYOUTS

BuildTracks = Callable[..., FaceTracks]


def sitting(x: float, frames: int) -> np.ndarray:
    return np.tile([x, 300.0, 200.0, 260.0], (frames, 1))


def drawn(tracks: FaceTracks, layout: str = "side-by-side") -> list[Chart]:
    plan = plan_camera(tracks, LAYOUTS[layout])
    return charts(Axis(0, tracks.frame_count / 30), tracks, plan, events(tracks, plan))


def points(path: str) -> list[tuple[int, int]]:
    return [(int(x), int(y)) for x, y in re.findall(r"(-?\d+),(-?\d+)", path)]


@pytest.mark.parametrize("layout", sorted(LAYOUTS))
def test_all_shapes_lie_in_the_chart(face_tracks: BuildTracks, layout: str) -> None:
    b = sitting(1300, 900)
    b[300:700] = np.nan
    for chart in drawn(face_tracks({"A": sitting(300, 900), "B": b}, cuts=[800]), layout):
        for shape in chart.shapes:
            assert re.fullmatch(r"(M-?\d+,-?\d+( -?\d+,-?\d+)+Z?)*", shape.path)
            assert all(0 <= x <= WIDTH and 0 <= y <= HEIGHT for x, y in points(shape.path))
        for shade in chart.shades:
            assert 0 <= shade.left <= shade.left + shade.width <= 100.001


def test_who_is_on_the_left_is_below(face_tracks: BuildTracks) -> None:
    faces = drawn(face_tracks({"A": sitting(300, 300), "B": sitting(1300, 300)}))[0]
    height = {shape.person: points(shape.path)[0][1] for shape in faces.shapes if shape.kind == "line"}
    assert height["A"] > HEIGHT / 2 > height["B"]


def test_a_line_is_broken_where_nobody_is_seen_and_where_the_picture_cuts(face_tracks: BuildTracks) -> None:
    b = sitting(1300, 900)
    b[300:700] = np.nan
    faces = drawn(face_tracks({"A": sitting(300, 900), "B": b}, cuts=[800]))[0]
    lines = {shape.person: shape.path for shape in faces.shapes if shape.kind == "line"}
    assert lines["A"].count("M") == 2
    assert lines["B"].count("M") == 3


def test_where_a_tile_holds_or_goes_wide_its_chart_is_shaded(face_tracks: BuildTracks) -> None:
    b = sitting(1300, 900)
    b[300:] = np.nan
    by_title = {chart.title: chart for chart in drawn(face_tracks({"A": sitting(300, 900), "B": b}))}
    assert by_title["Camera A"].shades == []
    assert [shade.kind for shade in by_title["Camera B"].shades] == [Kind.HOLDING, Kind.WIDE]
    assert by_title["Camera B"].shades[0].left == pytest.approx(100 / 3, abs=0.2)


def test_charts_do_not_grow_with_the_video(face_tracks: BuildTracks) -> None:
    sizes = [
        sum(len(shape.path) for chart in drawn(face_tracks({"A": sitting(300, n)})) for shape in chart.shapes)
        for n in (3_000, 12_000)
    ]
    assert sizes[1] < 1.5 * sizes[0]


def test_a_video_of_one_frame_can_be_drawn(face_tracks: BuildTracks) -> None:
    assert all(shape.path for chart in drawn(face_tracks({"A": sitting(300, 1)})) for shape in chart.shapes)


@pytest.mark.parametrize(("seconds", "step"), [(0.5, 0.1), (60, 10), (3600, 600)])
def test_the_axis_has_round_times(seconds: float, step: float) -> None:
    ticks = Axis(0, seconds).ticks()
    assert 4 <= len(ticks) <= 9
    assert ticks[1][0] - ticks[0][0] == pytest.approx(step)
    assert ticks[0][1] == 0
