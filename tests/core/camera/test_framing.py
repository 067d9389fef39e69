from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from dualface_core.camera.framing import EYES_IN_BOX, Boxes, Framing, bounds, clear_of
from dualface_core.camera.parameters import CameraParameters
from dualface_core.tables.face_tracks import Box, Overlay, Shot

SIZE = (1920, 1080)


def face(x: float, y: float = 400.0, height: float = 200.0) -> Boxes:
    """A face whose middle is at x, y."""
    return np.array([[x - 0.4 * height, y - height / 2, 0.8 * height, height]])


def half(within: tuple[float, float, float, float] = (0, 0, *SIZE)) -> Framing:
    """A tile of half a canvas of 1920x1080."""
    return Framing(np.array([within], np.float64), 960 / 1080, 1080, CameraParameters())


def edges(window: Boxes) -> list[float]:
    x, y, width, height = window[0]
    return [x - width / 2, y - height / 2, x + width / 2, y + height / 2]


def test_a_face_is_a_third_of_the_tile_with_its_eyes_above_the_middle() -> None:
    x, y, width, height = half().wanted(face(700))[0]
    assert (x, height) == pytest.approx((700, 200 / 0.32))
    assert width / height == pytest.approx(960 / 1080)
    assert (300 + EYES_IN_BOX * 200 - (y - height / 2)) / height == pytest.approx(0.4)


def test_a_crop_window_stays_in_its_pane_before_it_is_as_large_as_it_should_be() -> None:
    window = half((100, 100, 300, 800)).wanted(face(250, height=180))
    assert edges(window)[0] == pytest.approx(100)
    assert edges(window)[2] == pytest.approx(400)


def test_who_is_far_away_changes_nothing() -> None:
    assert half().leaving_out(face(500), face(1400)) == pytest.approx(half().wanted(face(500)))


@pytest.mark.parametrize("other", [face(820), face(180), face(500, 820), face(500, 20)], ids=str)
def test_who_sits_close_is_left_out_by_looking_aside_or_closer(other: Boxes) -> None:
    wanted, found = half().wanted(face(500)), half().leaving_out(face(500), other)
    assert not np.isnan(found).any()
    assert found != pytest.approx(wanted)
    assert found[0, 3] <= wanted[0, 3]


def test_who_is_too_close_cannot_be_left_out() -> None:
    assert np.isnan(half().leaving_out(face(500), face(650))).all()


def test_two_panes_keep_two_people_apart_however_close_they_are() -> None:
    shot = Shot(first=0, last=0, picture=(0, 90, 1920, 900), panes=((0, 90, 960, 900), (960, 90, 960, 900)))
    left, right = face(860, height=220), face(1060, height=220)
    for own, other in ((left, right), (right, left)):
        inside = replace(half(), bounds=bounds(shot, own, SIZE))
        assert not np.isnan(inside.leaving_out(own, other)).any()


def test_the_bounds_are_the_pane_around_the_face_or_the_picture_or_the_frame() -> None:
    inset = (1500.0, 700.0, 300.0, 200.0)
    shot = Shot(first=0, last=0, picture=(0, 90, 1920, 900), panes=(inset, (0, 90, 1920, 900)))
    assert bounds(shot, face(1650, 800), SIZE).tolist() == [list(inset)]
    assert bounds(shot, face(600), SIZE).tolist() == [[0, 90, 1920, 900]]
    assert bounds(Shot(first=0, last=0, picture=(0, 90, 1920, 900)), face(600), SIZE).tolist() == [[0, 90, 1920, 900]]
    assert bounds(Shot(first=0, last=0), face(600), SIZE).tolist() == [[0, 0, 1920, 1080]]


places = st.tuples(st.floats(0, 1920), st.floats(0, 1080), st.floats(20, 700))


@settings(deadline=None, max_examples=300)
@example(own=(0.0, 453.0, 579.0), other=(647.0, 0.0, 328.0), aspect=9 / 16)
@given(own=places, other=places, aspect=st.sampled_from([960 / 1080, 1080 / 960, 16 / 9, 9 / 16]))
def test_a_crop_window_holds_its_face_and_nothing_of_the_other_or_there_is_none(
    own: tuple[float, float, float], other: tuple[float, float, float], aspect: float
) -> None:
    mine, theirs = face(*own), face(*other)
    framing = replace(half(), aspect=aspect)
    found = framing.leaving_out(mine, theirs)
    if np.isnan(found).any():
        return
    left, top, right, bottom = edges(found)
    assert min(left, top, 1920 - right, 1080 - bottom) >= -1e-6
    assert found[0, 2] == pytest.approx(aspect * found[0, 3])
    if framing.least(mine)[0] <= framing.widest[0]:
        x0, y0, x1, y1 = (float(value[0]) for value in framing.kept(mine))
        assert left <= x0 + 1e-6
        assert top <= y0 + 1e-6
        assert right >= x1 - 1e-6
        assert bottom >= y1 - 1e-6
    x, y, width, height = theirs[0]
    assert left >= x + width - 1e-6 or right <= x + 1e-6 or top >= y + height - 1e-6 or bottom <= y + 1e-6


FRAME = np.array([0.0, 0.0, *SIZE])


@pytest.mark.parametrize(
    ("caption", "held"), [((1300.0, 120.0, 200.0, 60.0), True), ((1560.0, 120.0, 200.0, 60.0), False)]
)
def test_what_the_usual_window_holds_whole_is_not_left_out(caption: Box, held: bool) -> None:
    overlay = Overlay(box=caption)
    clearing = clear_of([overlay], FRAME, [face(960, 430, 260)], SIZE, CameraParameters())
    assert (clearing.bounds[2:] == SIZE).all() == held
    assert clearing.held == ([overlay] if held else [])


@pytest.mark.parametrize(
    ("caption", "held"), [((230.0, 600.0, 740.0, 80.0), True), ((60.0, 600.0, 1200.0, 80.0), False)]
)
def test_a_caption_under_the_chin_is_held_by_a_wider_window_unless_it_is_too_wide(caption: Box, held: bool) -> None:
    overlay = Overlay(box=caption, begin=3.0, end=6.0)
    own = face(600, 450, 240)
    clearing = clear_of([overlay], FRAME, [own], (960, 1080), CameraParameters())
    assert clearing.held == ([overlay] if held else [])
    if not held:
        return
    included = clearing.included(np.array([0.0, 4.0, 9.0]))
    assert included is not None
    assert np.isnan(included[[0, 2]]).all()
    framing = replace(half(), bounds=np.tile(FRAME, (3, 1)), included=included)
    without, during, after = framing.wanted(np.repeat(own, 3, axis=0))
    assert (without == after).all()
    left, top, right, bottom = edges(during[None])
    assert left <= caption[0]
    assert top <= caption[1]
    assert right >= caption[0] + caption[2]
    assert bottom >= caption[1] + caption[3]
    assert without[3] < during[3] <= 1.35 * without[3]
