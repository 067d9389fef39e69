from __future__ import annotations

import re

import numpy as np
import pyarrow as pa
import pytest

from dualface_core.advice.timeline_events import Kind, events
from dualface_core.review.charts import HEIGHT, WIDTH, Axis, Chart, faces_chart, legend, scenes_chart, video_charts
from dualface_core.tables.face_tracks import FaceTracks
from dualface_core.tables.labels import Person, SceneKind, Subject
from dualface_core.tables.layouts import LAYOUTS
from dualface_core.tables.scenes import Scene
from dualface_core.tables.tile_plan import TilePlan
from tests.core.made_tracks import face_tracks, plan_camera, split_plan


def sitting(x: float, frames: int) -> np.ndarray:
    return np.tile([x, 300.0, 200.0, 260.0], (frames, 1))


def drawn(tracks: FaceTracks, layout: str = "side-by-side") -> list[Chart]:
    plan = plan_camera(tracks, LAYOUTS[layout])
    return video_charts(Axis.of(tracks), tracks, plan, events(tracks, plan))


def points(path: str) -> list[tuple[int, int]]:
    return [(int(x), int(y)) for x, y in re.findall(r"(-?\d+),(-?\d+)", path)]


@pytest.mark.parametrize("layout", sorted(LAYOUTS))
def test_all_shapes_lie_in_the_chart(layout: str) -> None:
    b = sitting(1300, 900)
    b[300:700] = np.nan
    for chart in drawn(face_tracks({"A": sitting(300, 900), "B": b}, cuts=[800]), layout):
        for series in chart.series:
            assert re.fullmatch(r"(M-?\d+,-?\d+( -?\d+,-?\d+)+Z?)*", series.path)
            assert all(0 <= x <= WIDTH and 0 <= y <= HEIGHT for x, y in points(series.path))
        for shade in chart.shades:
            assert 0 <= shade.left <= shade.left + shade.width <= 100.001


def test_who_is_on_the_left_is_below() -> None:
    faces = drawn(face_tracks({"A": sitting(300, 300), "B": sitting(1300, 300)}))[1]
    height = {series.color: points(series.path)[0][1] for series in faces.series if series.kind == "line"}
    assert height["A"] > HEIGHT / 2 > height["B"]


def test_a_line_is_broken_where_nobody_is_seen_and_where_the_picture_cuts() -> None:
    b = sitting(1300, 900)
    b[300:700] = np.nan
    faces = drawn(face_tracks({"A": sitting(300, 900), "B": b}, cuts=[800]))[1]
    lines = {series.color: series.path for series in faces.series if series.kind == "line"}
    assert lines["A"].count("M") == 2
    assert lines["B"].count("M") == 3


def test_where_a_tile_holds_or_goes_wide_its_chart_is_shaded() -> None:
    b = sitting(1300, 900)
    b[300:] = np.nan
    by_title = {chart.title: chart for chart in drawn(face_tracks({"A": sitting(300, 900), "B": b}))}
    assert by_title["Camera A"].shades == []
    assert [shade.kind for shade in by_title["Camera B"].shades] == [Kind.HOLDING, Kind.WIDE]
    assert by_title["Camera B"].shades[0].left == pytest.approx(100 / 3, abs=0.2)


def test_charts_do_not_grow_with_the_video() -> None:
    sizes = [
        sum(len(series.path) for chart in drawn(face_tracks({"A": sitting(300, n)})) for series in chart.series)
        for n in (3_000, 12_000)
    ]
    assert sizes[1] < 1.5 * sizes[0]


def test_a_video_of_one_frame_can_be_drawn() -> None:
    assert all(series.path for chart in drawn(face_tracks({"A": sitting(300, 1)})) for series in chart.series)


def test_the_line_of_a_face_is_thin_where_it_was_not_detected() -> None:
    detected = np.arange(300) < 120
    tracks = face_tracks({"A": sitting(300, 300)}, detected={"A": detected})
    lines = {series.kind: series for series in faces_chart(Axis.of(tracks), tracks, ()).series}
    assert lines["line"].label == "A, 40% detected"
    assert max(x for x, _ in points(lines["line"].path)) == pytest.approx(WIDTH * 119 / 300, abs=1)
    assert max(x for x, _ in points(lines["thin"].path)) == pytest.approx(WIDTH * 299 / 300, abs=1)


def test_the_faces_of_anyone_else_are_dots() -> None:
    both = face_tracks({"A": sitting(300, 3), "B": sitting(1300, 3)})
    rows = [row | {"person": "A" if row["person"] == "A" else None} for row in both.table.to_pylist()]
    table = pa.Table.from_pylist(rows, schema=FaceTracks.SCHEMA)
    alone = FaceTracks(table, both.metadata.model_copy(update={"people": [Person.A]}))
    (others,) = [line for line in faces_chart(Axis.of(alone), alone, ()).series if line.color == "other"]
    assert [len(part) for part in others.parts] == [2, 2, 2]
    assert {y for _, y in points(others.path)} == {HEIGHT * 27 // 100}


def test_the_legend_names_each_color_once_and_only_what_is_there() -> None:
    b = sitting(1300, 900)
    b[300:700] = np.nan
    tracks = face_tracks({"A": sitting(300, 900), "B": b}, cuts=[800])
    labels = [label for _, _, label in legend(Axis.of(tracks), drawn(tracks))]
    assert labels == [
        "A, 100% detected", "B, 100% detected", "middle of the face", "split", "tile holds still", "wide shot",
        "not sure who it is", "cut",
    ]  # fmt: skip
    calm = face_tracks({"A": sitting(300, 30)})
    assert "cut" not in [label for _, _, label in legend(Axis.of(calm), drawn(calm))]


@pytest.mark.parametrize(("seconds", "step"), [(0.5, 0.1), (60, 10), (3600, 600)])
def test_the_axis_has_round_times(seconds: float, step: float) -> None:
    ticks = Axis(0, seconds).ticks()
    assert 4 <= len(ticks) <= 9
    assert ticks[1][0] - ticks[0][0] == pytest.approx(step)
    assert ticks[0][1] == 0


def test_scenes_are_a_band_with_their_reasons() -> None:
    tracks = face_tracks({"A": sitting(300, 90), "B": sitting(1300, 90)})
    cast = (Subject.A, Subject.B)
    parts = [(0, 59, SceneKind.SPLIT, cast, "Both."), (60, 89, SceneKind.WHOLE, (Subject.FRAME,), "Nobody.")]
    scenes = [Scene(first=a, last=b, kind=kind, cast=who, reason=why) for a, b, kind, who, why in parts]
    plan = split_plan(tracks, np.ones((90, 2, 4)))
    plan = TilePlan(plan.table, plan.metadata.model_copy(update={"scenes": scenes}))
    shades = scenes_chart(Axis.of(tracks), plan).shades
    assert [(shade.kind, shade.left, shade.width, shade.sentence) for shade in shades] == [
        ("split", 0, pytest.approx(200 / 3, abs=0.01), "Both."),
        ("whole", pytest.approx(200 / 3, abs=0.01), pytest.approx(100 / 3, abs=0.01), "Nobody."),
    ]
