"""Bars, seams and what is beside the tiles: on frames that are drawn, which need no encoder."""

from __future__ import annotations

import numpy as np
import pytest

from dualface_core.compositing.cpu import Compositor
from dualface_core.media.color import ColorInfo
from dualface_core.media.frames import Frame, Planes
from dualface_core.tables.face_tracks import FaceTracks
from dualface_core.tables.labels import SceneKind, Subject
from dualface_core.tables.layouts import LAYOUTS
from dualface_core.tables.scenes import Scene
from dualface_core.tables.tile_plan import TilePlan
from dualface_core.verification.canvas import CanvasCheck, bars, canvas_shown
from dualface_core.verification.findings import Check, Finding
from tests.core.made_tracks import face_tracks, split_plan

FRAMES, SIZE = 4, (640, 360)
COLOR = ColorInfo()
FACE_A, FACE_B = (140.0, 140.0, 60.0, 80.0), (440.0, 140.0, 60.0, 80.0)


def drawn(number: int, *, bar: int = 0, floor: int = 0) -> Frame:
    """A frame with a letterbox of `bar` lines; the picture's lowest `floor` lines are dark but for some lights."""
    rng = np.random.default_rng(number)
    y = rng.integers(60, 200, (SIZE[1] // 8, SIZE[0] // 8)).astype(np.uint8).repeat(8, 0).repeat(8, 1)
    if floor:
        y[-floor:] = 18
        y[-floor:, 100:140] = 90
    if bar:
        y[:bar] = y[-bar:] = 16
    half = np.full((SIZE[1] // 2, SIZE[0] // 2), 128, np.uint8)
    return Frame(number, number, number / 30, (y, half, half), COLOR)


def tracks(panes: tuple[tuple[float, float, float, float], ...] = ()) -> FaceTracks:
    made = face_tracks({"A": [FACE_A] * FRAMES, "B": [FACE_B] * FRAMES}, size=SIZE)
    shots = [shot.model_copy(update={"panes": panes}) for shot in made.shots]
    return FaceTracks(made.table, made.metadata.model_copy(update={"shots": shots}))


def windows(height: float) -> np.ndarray:
    """Crop windows of the two tiles, in the middle of the frame's height."""
    return np.array([[[170, 180, height * 8 / 9, height], [470, 180, height * 8 / 9, height]]] * FRAMES)


def whole(made: FaceTracks) -> TilePlan:
    layout = LAYOUTS["stacked"]
    return TilePlan.of(
        made,
        layout,
        scenes=[Scene(first=0, last=FRAMES - 1, kind=SceneKind.WHOLE, cast=(Subject.FRAME,), reason="The test's.")],
        tiles=np.broadcast_to([(0, 656, 1080, 608), (0, 0, 0, 0)], (FRAMES, 2, 4)),
        crop_windows=np.broadcast_to([320.0, 180.0, 640.0, 360.0], (FRAMES, 2, 4)),
        states=np.zeros((FRAMES, 2), np.int8),
        camera={},
        direction={},
    )


def findings(made: FaceTracks, plan: TilePlan, *frames: Frame, paint: int | None = None) -> dict[Check, Finding]:
    check, compositor = CanvasCheck(made, plan), Compositor(plan.layout, *SIZE)
    for frame in frames:
        check.learn(frame.index, bars(frame))
        shown = plan.frame(frame.index)
        planes: Planes = compositor.compose(frame, shown)
        if paint is not None:
            planes[0][:300] = paint
        canvas = Frame(0, 0, 0.0, planes, COLOR)
        check.look(frame.index, canvas_shown(canvas, shown.tiles, plan.layout.background))
    return {finding.check: finding for finding in check.findings()}


@pytest.mark.parametrize(
    ("height", "passed", "severity"), [(280, True, "warning"), (290, False, "warning"), (340, False, "error")]
)
def test_a_bar_of_the_source_inside_a_tile_is_found(height: float, passed: bool, severity: str) -> None:
    made = tracks()
    found = findings(made, split_plan(made, windows(height)), *(drawn(number, bar=40) for number in (1, 3)))[Check.BARS]
    assert (found.passed, found.severity) == (passed, severity), found.message
    if not passed:
        share = 100 * (height - 280) / 2 / height
        assert found.value == pytest.approx(share, abs=0.4)
        assert found.message.startswith("Tile A shows a black bar of the source in ")
        assert found.message.endswith("of its width or height at 0:00.0.")


def test_a_dark_floor_and_a_frame_that_is_black_are_no_bars() -> None:
    made = tracks()
    frames = [drawn(0, floor=60), drawn(1, floor=60), drawn(2, bar=180)]
    assert findings(made, split_plan(made, windows(360)), *frames)[Check.BARS].passed


@pytest.mark.parametrize(("edge", "share"), [(305.0, 0), (285.0, 7.44)])
def test_a_tile_that_reaches_over_the_edge_of_its_pane_is_found(edge: float, share: float) -> None:
    made = tracks(panes=((0, 0, edge, 360), (320, 0, 320, 360)))
    found = findings(made, split_plan(made, windows(304)), drawn(0))[Check.SEAMS]
    assert found.value == pytest.approx(share, abs=0.1)
    assert found.passed is not bool(share)
    assert not share or found.message.startswith("Tile A shows what is beyond the edge of its pane in 7.4%")


@pytest.mark.parametrize(("paint", "passed"), [(None, True), (16, False), (60, False)])
def test_what_no_tile_covers_must_be_the_background(paint: int | None, passed: bool) -> None:
    made = tracks()
    found = findings(made, whole(made), drawn(2), paint=paint)[Check.BACKGROUND]
    assert found.passed is passed, found.message
    assert "from the background, at 0:00.1." in found.message


def test_tiles_that_cover_the_canvas_leave_no_background() -> None:
    made = tracks()
    found = findings(made, split_plan(made, windows(280)), drawn(0))[Check.BACKGROUND]
    assert found.passed
    assert "tiles cover the canvas" in found.message
