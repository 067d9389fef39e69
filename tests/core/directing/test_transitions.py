"""Within a shot, a picture of one tile comes and goes as the parts of it that the tiles of a split show."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from dualface_core.camera.film import film
from dualface_core.camera.parameters import CameraParameters
from dualface_core.directing.arrangement import arrange
from dualface_core.directing.parameters import Direction
from dualface_core.directing.transitions import eased
from dualface_core.tables.face_tracks import FaceTracks, Shot
from dualface_core.tables.labels import SceneKind, Subject
from dualface_core.tables.layouts import LAYOUTS
from dualface_core.tables.scenes import Scene
from tests.core.directing.people import FPS, person
from tests.core.made_tracks import face_tracks

CASTS = {
    SceneKind.SPLIT: (Subject.A, Subject.B),
    SceneKind.SOLO: (Subject.A,),
    SceneKind.TOGETHER: (Subject.PAIR,),
    SceneKind.WHOLE: (Subject.FRAME,),
}
CHANGE = 4 * FPS
HALF = FPS // 2


def two_people() -> FaceTracks:
    return face_tracks({"A": person(800, seconds=8), "B": person(1200, seconds=8)})


def shown(
    first: str, then: str, tracks: FaceTracks | None = None, layout: str = "side-by-side", **direction: Any
) -> tuple[NDArray[np.int32], NDArray[np.float64]]:
    """Tiles and crop windows of two scenes, of which the one becomes the other in the middle of a shot."""
    tracks = tracks or two_people()
    spans = ((first, 0, CHANGE - 1), (then, CHANGE, tracks.frame_count - 1))
    scenes = [
        Scene(first=begin, last=end, kind=SceneKind(kind), cast=CASTS[SceneKind(kind)], reason="")
        for kind, begin, end in spans
    ]
    canvas, parameters = LAYOUTS[layout], Direction.model_validate(direction)
    tiles = arrange(scenes, canvas, tracks, parameters)
    tiles, filmed = eased(scenes, canvas, tracks, tiles, film(tracks, scenes, tiles, CameraParameters()), parameters)
    return tiles, filmed.crop_windows


def at(tiles: NDArray[np.int32], windows: NDArray[np.float64], frame: int, x: float, y: float) -> list[float]:
    """The place in the source that is shown at one place of the canvas."""
    for tile, window in zip(tiles[frame], windows[frame], strict=True):
        if tile[0] <= x < tile[0] + tile[2] and tile[1] <= y < tile[1] + tile[3]:
            inside = (np.array([x, y]) - tile[:2]) / tile[2:] - 0.5
            return [float(value) for value in window[:2] + inside * window[2:]]
    raise AssertionError(f"nothing is drawn at {x}, {y}")


@pytest.mark.parametrize(
    ("less", "more"),
    [("split", "together"), ("solo", "together"), ("split", "whole"), ("solo", "whole"), ("together", "whole")],
)
@pytest.mark.parametrize("opens", [True, False])
def test_what_shows_less_glides_into_what_shows_more_and_back(less: str, more: str, opens: bool) -> None:
    tiles, windows = shown(less, more) if opens else shown(more, less)
    last, outside = (CHANGE - 1, CHANGE) if opens else (CHANGE, CHANGE - 1)
    onward = 1 if opens else -1
    places = [(240.0, 300.0), (700.0, 800.0), (1300.0, 300.0), (1800.0, 1000.0)]

    def moved(one: int, other: int) -> float:
        return max(np.hypot(*np.subtract(at(tiles, windows, one, *p), at(tiles, windows, other, *p))) for p in places)

    at_rest = last - onward * (HALF + 1)
    assert moved(at_rest, at_rest - onward) < 2
    whole_way = moved(at_rest, outside)
    assert whole_way > 40
    steps = [moved(last - onward * n, last - onward * (n - 1)) for n in range(HALF + 1)]
    assert max(steps) < 0.25 * whole_way
    assert steps[0] < 0.05 * whole_way  # from the last frame of the one to the first of the other


def test_nobody_is_in_two_tiles_while_they_glide() -> None:
    tracks = two_people()
    tiles, windows = shown("split", "together", tracks)
    gliding = slice(CHANGE - HALF, CHANGE)
    assert (np.diff(tiles[gliding, :, 2:], axis=0) == 0).all(), "two halves of the canvas stay where they are"
    for own, boxes in enumerate((tracks.boxes("A"), tracks.boxes("B"))):
        middle = boxes[gliding, None, :2] + boxes[gliding, None, 2:] / 2
        inside = (np.abs(middle - windows[gliding, :, :2]) < windows[gliding, :, 2:] / 2).all(axis=2)
        assert inside[:, own].all()
        assert not inside[:, 1 - own].any()


def test_crop_windows_have_the_shape_of_their_tiles_and_stay_in_the_picture() -> None:
    tracks = two_people()
    picture = (0.0, 140.0, 1920.0, 800.0)
    shots = [Shot(first=0, last=tracks.frame_count - 1, picture=picture)]
    tracks = FaceTracks(tracks.table, tracks.metadata.model_copy(update={"shots": shots}))
    tiles, windows = shown("split", "whole", tracks)
    drawn = tiles[..., 2] > 0
    shapes = windows[drawn][:, 2] / windows[drawn][:, 3]
    np.testing.assert_allclose(shapes, tiles[drawn][:, 2] / tiles[drawn][:, 3], rtol=2e-3)
    low, high = windows[drawn][:, :2] - windows[drawn][:, 2:] / 2, windows[drawn][:, :2] + windows[drawn][:, 2:] / 2
    assert (low >= np.array([0, 140]) - 1).all()
    assert (high <= np.array([1920, 940]) + 1).all()


@pytest.mark.parametrize(
    ("layout", "panes", "transition"),
    [
        ("stacked", (), "eased"),
        ("picture-in-picture", (), "eased"),
        ("side-by-side", ((0.0, 0.0, 1000.0, 1080.0), (1000.0, 0.0, 920.0, 1080.0)), "eased"),
        ("side-by-side", (), "hard"),
    ],
)
def test_a_change_stays_hard_where_tiles_are_no_parts_of_the_picture_or_by_setting(
    layout: str, panes: tuple[tuple[float, ...], ...], transition: str
) -> None:
    tracks = two_people()
    shots = [Shot(first=0, last=tracks.frame_count - 1, panes=panes)]
    tracks = FaceTracks(tracks.table, tracks.metadata.model_copy(update={"shots": shots}))
    tiles, _ = shown("split", "together", tracks, layout, transition=transition)
    assert (tiles[:CHANGE] == tiles[0]).all()
    assert (tiles[CHANGE:] == tiles[-1]).all()
