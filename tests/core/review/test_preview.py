from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dualface_core.media.color import ColorInfo
from dualface_core.media.frames import Frame
from dualface_core.review.preview import contact_sheet, preview_frames, thumbnail
from dualface_core.tables.face_tracks import FaceTracks
from dualface_core.tables.layouts import LAYOUTS
from dualface_core.tables.tile_plan import TilePlan
from tests.core.made_tracks import face_tracks, plan_camera
from tests.core.review.images import BLUE, ORANGE, SIZE, decoded, has, sitting


def some_frame(index: int, *, noise: bool = False) -> Frame:
    """Gray on the left, white on the right; or noise, which no JPEG makes small."""
    luma = np.full((SIZE[1], SIZE[0]), 90, np.uint8)
    luma[:, SIZE[0] // 2 :] = 235
    if noise:
        luma = np.random.default_rng(index).integers(16, 235, luma.shape, dtype=np.uint8)
    chroma = np.full((SIZE[1] // 2, SIZE[0] // 2), 128, np.uint8)
    return Frame(index, index, index / 30, (luma, chroma, chroma), ColorInfo())


def test_a_contact_sheet_shows_the_canvas_below_the_source_with_its_rectangles(plan: TilePlan) -> None:
    data = contact_sheet([some_frame(index) for index in (10, 270)], plan)
    assert data.startswith(b"\xff\xd8")
    sheet = decoded(data)
    assert sheet.shape[1] <= 800
    source, canvas = sheet[: sheet.shape[0] // 2], sheet[-100:-20]
    assert has(source, BLUE)
    assert has(source, ORANGE)
    middle = sheet.shape[1] // 4
    assert canvas[:, middle - 150 : middle - 20].mean() == pytest.approx(86, abs=8)  # tile A: the gray half
    assert canvas[:, middle + 20 : middle + 150].mean() == pytest.approx(255, abs=8)  # tile B: the white half


@pytest.mark.parametrize("layout", sorted(LAYOUTS))
@pytest.mark.parametrize("noise", [False, True])
@pytest.mark.parametrize("count", [1, 8])
def test_a_contact_sheet_stays_below_its_limit_whatever_it_shows(
    tracks: FaceTracks, layout: str, noise: bool, count: int
) -> None:
    plan = plan_camera(tracks, LAYOUTS[layout])
    frames = [some_frame(index, noise=noise) for index in preview_frames(plan, count)]
    data = contact_sheet(frames, plan)
    assert len(data) <= 30_000
    assert min(decoded(data).shape[:2]) > 100


def test_a_thumbnail_names_the_faces_where_they_are_known(tracks: FaceTracks) -> None:
    both, one = (decoded(thumbnail(some_frame(index), tracks)) for index in (10, 150))
    assert has(both, BLUE)
    assert has(both, ORANGE)
    assert not has(one, BLUE)
    assert not has(decoded(thumbnail(some_frame(10), None)), BLUE)


def test_a_thumbnail_stays_below_its_limit(tracks: FaceTracks) -> None:
    assert len(thumbnail(some_frame(0, noise=True), tracks)) <= 30_000


@settings(max_examples=60, deadline=None)
@given(lengths=st.lists(st.integers(1, 60), min_size=1, max_size=12), count=st.integers(1, 10))
def test_preview_frames_are_spread_over_the_shots(lengths: list[int], count: int) -> None:
    frames, cuts = sum(lengths), np.cumsum(lengths)[:-1].tolist()
    tracks = face_tracks({"A": sitting(160, frames)}, size=SIZE, cuts=cuts)
    chosen = preview_frames(plan_camera(tracks, LAYOUTS["side-by-side"]), count)
    assert len(chosen) == min(count, frames)
    assert chosen == sorted(set(chosen))
    assert chosen[0] >= 0
    assert chosen[-1] < frames
    shots = np.searchsorted(cuts, chosen, side="right")
    assert len(set(shots.tolist())) == min(count, len(lengths))


def test_a_preview_of_one_long_shot_is_evenly_spread() -> None:
    plan = plan_camera(face_tracks({"A": sitting(160, 80)}, size=SIZE), LAYOUTS["side-by-side"])
    assert preview_frames(plan, 4) == [10, 30, 50, 70]
