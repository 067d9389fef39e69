"""What is drawn beside and over tiles: backgrounds, borders, corners, captions."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dualface_core.compositing.cpu import Compositor
from dualface_core.media.color import SDR
from dualface_core.media.frames import Frame, Planes
from dualface_core.tables.labels import Person, Subject
from dualface_core.tables.layout_files import LayoutEntry
from dualface_core.tables.layouts import Border, Layout, Tile
from dualface_core.tables.tile_plan import FramePlan

PLAIN = Layout(
    "plain", 480, 320, (Tile(Subject.A, 16, 16, 216, 288), Tile(Subject.B, 248, 16, 216, 288)), background="#808080"
)
WHOLE_AND_CORNER = (Tile(Subject.A, 0, 0, 480, 320), Tile(Subject.B, 344, 184, 120, 120))
WINDOWS = np.array([[200.0, 150, 108, 144], [420.0, 150, 108, 144]])


def frame(*, bars: int = 0) -> Frame:
    """Noise of 640x300, so that no part is like another; with black bars on both sides if wanted."""
    random = np.random.default_rng(0)
    y, u, v = (random.integers(100, 236, shape, np.uint8) for shape in ((300, 640), (150, 320), (150, 320)))
    if bars:
        y[:, :bars] = y[:, -bars:] = 16
    return Frame(0, 0, 0.0, (y, u, v), SDR)


def shown(layout: Layout, tiles: object = None, windows: object = WINDOWS) -> FramePlan:
    places = [tile.rectangle for tile in layout.tiles] if tiles is None else tiles
    return FramePlan(np.array(places), np.array(windows), np.array([tile.subject for tile in layout.tiles]))


def drawn(layout: Layout, tiles: object = None, windows: object = WINDOWS, source: Frame | None = None) -> Planes:
    y, u, v = Compositor(layout, 640, 300).compose(source or frame(), shown(layout, tiles, windows))
    return y.copy(), u.copy(), v.copy()


def test_a_rounded_corner_shows_the_background_and_blends_into_it() -> None:
    plain, rounded = drawn(PLAIN), drawn(replace(PLAIN, corners=32))
    ground = int(plain[0][0, 0])
    assert rounded[0][16, 16] == ground
    assert rounded[0][16 + 287, 16 + 215] == ground
    corner, square = rounded[0][16:48, 16:48].astype(int), plain[0][16:48, 16:48].astype(int)
    share = np.mean(corner == ground)
    assert share == pytest.approx(1 - np.pi / 4, abs=0.05)
    between = (corner != ground) & (corner != square)
    assert between.sum() > 20  # the edge is soft
    assert (np.minimum(ground, square) <= corner)[between].all()
    assert (rounded[0][48:272, 16:232] == plain[0][48:272, 16:232]).all()


def test_a_border_lies_inside_its_tile_and_follows_its_corners() -> None:
    white = replace(PLAIN, border=Border(6, "#ffffff"))
    square, rounded = drawn(white), drawn(replace(white, corners=32))
    for canvas in (square, rounded):
        assert (canvas[0][16:22, 100] == 235).all()
        assert (canvas[0][100, 226:232] == 235).all()
        assert canvas[0][15, 100] == canvas[0][100, 232] == canvas[0][0, 0]
    diagonal = np.diagonal(rounded[0][16:48, 16:48])
    assert diagonal[0] == rounded[0][0, 0]
    assert (diagonal == 235).any()


def test_a_tile_on_the_whole_canvas_has_neither_border_nor_corners() -> None:
    fine = replace(PLAIN, border=Border(6, "#ffffff"), corners=32)
    solo = [(0, 0, 480, 320), (0, 0, 0, 0)]
    assert all((one == other).all() for one, other in zip(drawn(fine, solo), drawn(PLAIN, solo), strict=True))


def test_a_caption_names_the_tile_of_its_person_and_no_other() -> None:
    named = drawn(replace(PLAIN, captions={Person.A: "Anna"}))[0].astype(int)
    plain = drawn(PLAIN)[0].astype(int)
    changed = np.argwhere(named != plain)
    assert changed.size
    assert changed[:, 1].max() < 232
    assert changed[:, 0].min() > 16 + 200  # at the bottom
    assert named[tuple(changed.T)].max() == 235  # white letters
    assert named[tuple(changed.T)].mean() < plain[tuple(changed.T)].mean()  # on a dark ground
    small = [(16, 16, 30, 288), (248, 16, 216, 288)]
    unnamed = drawn(PLAIN, small), drawn(replace(PLAIN, captions={Person.A: "Anna"}), small)
    assert all((one == other).all() for one, other in zip(*unnamed, strict=True))  # no room


@settings(max_examples=40, deadline=None)
@given(
    corners=st.integers(0, 60).map(lambda value: 2 * value),
    border=st.integers(0, 10).map(lambda value: 2 * value),
    inset=st.booleans(),
    moved=st.integers(0, 50).map(lambda value: 2 * value),
)
def test_all_that_lies_over_a_tile_is_where_it_is_said_to_be(
    corners: int, border: int, inset: bool, moved: int
) -> None:
    tiles = WHOLE_AND_CORNER if inset else PLAIN.tiles
    bare = replace(PLAIN, tiles=tiles)
    fine = replace(
        bare,
        corners=corners,
        border=Border(border, "#ff0000") if border else None,
        captions={Person.A: "Anna", Person.B: "Ben"},
    )
    places = [tile.rectangle for tile in tiles]
    x, y, width, height = places[1]
    places[1] = (x, y, width - moved, height)
    compositor = Compositor(fine, 640, 300)
    for slot, (x, y, width, height) in enumerate(places):
        alone = [place if number == slot else (0, 0, 0, 0) for number, place in enumerate(places)]
        differs = drawn(bare, alone)[0] != drawn(fine, places)[0]
        for left, top, wide, high in compositor.finish.overlaid(shown(fine, places), slot):
            differs[top : top + high, left : left + wide] = False
        assert not differs[y : y + height, x : x + width].any()


def test_a_blurred_background_is_made_of_what_the_tiles_show_and_of_no_bar_beside_it() -> None:
    blurred, whole = replace(PLAIN, background="blurred"), [(16, 70, 448, 180), (0, 0, 0, 0)]
    source = frame(bars=200)
    picture = [[320, 150, 240, 96], [320, 150, 240, 96]]  # between the bars
    ground = drawn(blurred, whole, picture, source)[0]
    outside = np.concatenate([ground[:70].ravel(), ground[250:].ravel()]).astype(float)
    level = 16 + 0.5 * (source.planes[0][:, 200:440].mean() - 16)
    assert outside.mean() == pytest.approx(level, abs=3)
    assert outside.std() < 10  # no bar, and no grain
    plain = drawn(PLAIN, whole, picture, source)
    assert (ground[70:250, 16:464] == plain[0][70:250, 16:464]).all()  # the tile is as it was


def test_a_blurred_background_keeps_colors_in_their_places() -> None:
    source = frame()
    u, v = np.full((150, 320), 128, np.uint8), np.full((150, 320), 128, np.uint8)
    u[:, :160], v[:, 160:] = 200, 200  # blue on the left, red on the right
    tinted = replace(source, planes=(source.planes[0], u, v))
    small = [(200, 100, 80, 60), (0, 0, 0, 0)]
    _, blue, red = drawn(replace(PLAIN, background="blurred"), small, [[320, 150, 640, 300]] * 2, tinted)
    assert blue[10, 10] > 150 > blue[10, 230]
    assert red[10, 230] > 150 > red[10, 10]


@settings(max_examples=40, deadline=None)
@given(
    width=st.integers(160, 500),
    height=st.integers(160, 500),
    share=st.floats(0.3, 0.7),
    gap=st.integers(0, 8),
    corners=st.integers(0, 60),
    background=st.sampled_from(["#101010", "blurred"]),
)
def test_every_pixel_of_every_layout_is_drawn_on_a_surface_that_nobody_cleared(
    width: int, height: int, share: float, gap: int, corners: int, background: str
) -> None:
    width, height, gap, corners = 2 * width, 2 * height, 4 * gap, 2 * corners
    left = round(share * width / 2) * 2
    tiles = [
        {"shows": "A", "x": 0, "y": 0, "width": left, "height": height},
        {"shows": "B", "x": left, "y": 0, "width": width - left, "height": height},
    ]
    said = {"width": width, "height": height, "gap": gap, "corners": corners, "background": background, "tiles": tiles}
    made = Layout.of("made", LayoutEntry.model_validate(said | {"border": {"width": 2}, "captions": {"A": "Anna"}}))
    compositor, plan = Compositor(made, 640, 300), shown(made)
    half = (height // 2, width // 2)
    found = [
        compositor.compose(
            frame(), plan, tuple(np.full(shape, level, np.uint8) for shape in ((height, width), half, half))
        )
        for level in (7, 250)
    ]
    assert all((one == other).all() for one, other in zip(*found, strict=True))
    assert sum(part.width * part.height for part in made.regions) == width * height
