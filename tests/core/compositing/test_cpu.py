from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from dualface_core.compositing.background import uncovered
from dualface_core.compositing.cpu import Compositor
from dualface_core.media.color import ColorInfo
from dualface_core.media.frames import CENTER, LEFT, Frame, Planes, Siting
from dualface_core.tables.layouts import LAYOUTS, Layout, Tile
from dualface_core.tables.tile_plan import FramePlan

WIDTH, HEIGHT = 400, 300
ONE_TILE = Layout("one", 96, 108, (Tile("A", 0, 0, 96, 108),))
TWO_TILES = Layout("two", 128, 80, (Tile("A", 0, 0, 64, 80), Tile("B", 64, 0, 64, 80)))


def ramp_planes(axis: str, width: int, height: int) -> Planes:
    """Planes whose value is the distance from the left or the top edge, in luma pixels, where 4:2:0 has its samples.

    Chroma is in line with even columns and between two rows. Luma is half a level darker, which makes it whole.
    """
    luma_x, luma_y = np.arange(width) + 0.5, np.arange(height) + 0.5
    chroma_x, chroma_y = 2 * np.arange((width + 1) // 2) + 0.5, 2 * np.arange((height + 1) // 2) + 1
    luma = np.broadcast_to(luma_x[None, :] if axis == "x" else luma_y[:, None], (height, width)) - 0.5
    chroma = np.broadcast_to(
        chroma_x[None, :] - 0.5 if axis == "x" else chroma_y[:, None], (len(chroma_y), len(chroma_x))
    )
    return tuple(plane.astype(np.uint8) for plane in (luma, chroma, 255 - chroma))


def random_planes(seed: int = 0, width: int = WIDTH, height: int = HEIGHT) -> Planes:
    random = np.random.default_rng(seed)
    shapes = [(height, width), *[((height + 1) // 2, (width + 1) // 2)] * 2]
    return tuple(random.integers(0, 256, shape, dtype=np.uint8) for shape in shapes)


def composed(
    layout: Layout,
    planes: Planes,
    crop_windows: NDArray[np.float32],
    canvas: Planes | None = None,
    *,
    siting: Siting = LEFT,
) -> Planes:
    """What a compositor that knows nothing yet makes of a frame, with the tiles where the layout has them."""
    compositor = Compositor(layout, planes[0].shape[1], planes[0].shape[0])
    return compositor.compose(frame_of(planes, siting), shown(layout, crop_windows), canvas)


def frame_of(planes: Planes, siting: Siting = LEFT) -> Frame:
    return Frame(0, 0, 0.0, planes, ColorInfo(), siting=siting)


def shown(layout: Layout, crop_windows: NDArray[np.float32], tiles: NDArray[np.intp] | None = None) -> FramePlan:
    """A plan of one frame: the tiles are where the layout has them unless it is said where."""
    rectangles = np.array([tile.rectangle for tile in layout.tiles]) if tiles is None else tiles
    return FramePlan(rectangles, crop_windows, np.array([tile.subject for tile in layout.tiles]))


def crop_window(left: float, top: float, width: float, height: float) -> NDArray[np.float32]:
    return np.array([[left + width / 2, top + height / 2, width, height]], np.float32)


@settings(max_examples=150, deadline=None)
@given(
    axis=st.sampled_from("xy"), zoom=st.floats(0.5, 3.0), left=st.floats(0, 1), top=st.floats(0, 1), odd=st.booleans()
)
def test_a_ramp_is_reproduced_within_one_level_at_any_position_and_zoom(
    axis: str, zoom: float, left: float, top: float, odd: bool
) -> None:
    size = 250 + odd
    width, height = 96 / zoom, 108 / zoom
    border = 16  # the ramp ends at the frame's edge, and every filter looks a little further than the crop window
    left, top = (border + share * (size - 2 * border - extent) for share, extent in ((left, width), (top, height)))
    y, u, v = composed(ONE_TILE, ramp_planes(axis, size, size), crop_window(left, top, width, height))

    if axis == "x":
        luma = left + (np.arange(96) + 0.5)[None, :] / zoom - 0.5
        chroma = left + (2 * np.arange(48) + 0.5)[None, :] / zoom - 0.5
    else:
        luma = top + (np.arange(108) + 0.5)[:, None] / zoom - 0.5
        chroma = top + (2 * np.arange(54) + 1.0)[:, None] / zoom
    level = 1.25  # rounded twice, and interpolation may magnify the first rounding
    assert np.abs(y - luma).max() < level
    assert np.abs(u - chroma).max() < level
    assert np.abs(v - (255 - chroma)).max() < level


@pytest.mark.parametrize("zoom", [0.7, 1.0, 1.6, 2.0])
def test_a_quarter_of_a_pixel_moves_the_picture_by_a_quarter_of_a_pixel(zoom: float) -> None:
    columns = np.arange(WIDTH)
    wave = np.rint(128 + 100 * np.sin(2 * np.pi * (columns + 0.5) / 16)).astype(np.uint8)
    planes = (np.broadcast_to(wave, (HEIGHT, WIDTH)).copy(), *random_planes()[1:])

    def phase(left: float) -> float:
        row = composed(ONE_TILE, planes, crop_window(left, 100, 96 / zoom, 108 / zoom))[0][50].astype(float)
        positions = (np.arange(96) + 0.5) / zoom
        design = np.stack([np.sin(2 * np.pi * positions / 16), np.cos(2 * np.pi * positions / 16), np.ones(96)], axis=1)
        sine, cosine, _ = np.linalg.lstsq(design, row)[0]
        return float(np.arctan2(cosine, sine) * 16 / (2 * np.pi))

    phases = np.unwrap([phase(100 + step / 4) for step in range(9)], period=16)
    assert np.diff(phases) == pytest.approx(np.full(8, 0.25), abs=0.01)


@pytest.mark.parametrize("step", [0.9999, 0.9996, 1.0004])
def test_a_scale_that_hardly_differs_from_one_still_scales(step: float) -> None:
    tile = Tile("A", 0, 0, 960, 540)
    width, height = 960 * step, 540 * step
    wave = np.rint(128 + 100 * np.sin(np.pi / 8 * (np.arange(1000) + 0.5))).astype(np.uint8)
    planes = (np.broadcast_to(wave, (600, 1000)).copy(), *random_planes(width=1000, height=600)[1:])
    y, _, _ = composed(Layout("wide", 960, 540, (tile,)), planes, crop_window(20, 20, width, height))
    expected = 128 + 100 * np.sin(np.pi / 8 * (20 + (np.arange(960) + 0.5) * step))
    assert np.abs(y - expected).max() < 4


def test_a_rectangle_of_the_tiles_size_on_whole_pixels_is_copied_exactly() -> None:
    planes = random_planes()
    y, u, v = composed(ONE_TILE, planes, crop_window(100, 60, 96, 108))
    assert (y == planes[0][60:168, 100:196]).all()
    assert (u == planes[1][30:84, 50:98]).all()
    assert (v == planes[2][30:84, 50:98]).all()


def test_each_tile_shows_its_own_rectangle_and_nothing_of_its_neighbor() -> None:
    dark_and_bright = tuple(np.full_like(plane, 40) for plane in random_planes())
    for plane in dark_and_bright:
        plane[:, plane.shape[1] // 2 :] = 200
    crop_windows = np.concatenate([crop_window(20.3, 50.2, 100.1, 125.125), crop_window(250.7, 90.9, 80.3, 100.375)])
    for canvas in composed(TWO_TILES, dark_and_bright, crop_windows):
        half = canvas.shape[1] // 2
        assert (canvas[:, :half] == 40).all()
        assert (canvas[:, half:] == 200).all()


@pytest.mark.parametrize("left", [-0.3, 0.0, WIDTH - 120.0, WIDTH - 119.7])
def test_at_the_edge_of_the_frame_nothing_foreign_comes_in(left: float) -> None:
    gray = tuple(np.full_like(plane, 77) for plane in random_planes())
    for canvas in composed(ONE_TILE, gray, crop_window(left, 0, 120, 135)):
        assert (canvas == 77).all()


@pytest.mark.parametrize("zoom", [0.3, 0.45, 0.5, 0.6])
def test_detail_that_the_tile_cannot_hold_turns_gray_instead_of_into_false_patterns(zoom: float) -> None:
    columns = np.arange(WIDTH)
    stripes = np.rint(128 + 100 * np.cos(2 * np.pi * 0.46 * columns)).astype(np.uint8)
    planes = (np.broadcast_to(stripes, (HEIGHT, WIDTH)).copy(), *random_planes()[1:])
    small = Layout("small", 60, 60, (Tile("A", 0, 0, 60, 60),))
    y, _, _ = composed(small, planes, crop_window(50.4, 50.4, 60 / zoom, 60 / zoom))
    assert y.std() < 0.3 * stripes.std()


@pytest.mark.parametrize("zoom", [0.55, 0.8, 1.0, 1.3, 2.0])
def test_detail_that_the_tile_can_hold_is_kept_at_any_fraction_of_a_pixel(zoom: float) -> None:
    frequency = 0.25 * min(zoom, 1.0)  # cycles per source pixel: half of what source and tile can hold
    wave = np.rint(128 + 100 * np.cos(2 * np.pi * frequency * np.arange(WIDTH))).astype(np.uint8)
    planes = (np.broadcast_to(wave, (HEIGHT, WIDTH)).copy(), *random_planes()[1:])
    for fraction in (0, 0.125, 0.25, 0.5, 0.75):
        y, _, _ = composed(ONE_TILE, planes, crop_window(100 + fraction, 90, 96 / zoom, 108 / zoom))
        assert y.std() > 0.85 * wave.std()


def test_drawing_on_a_given_canvas_leaves_the_compositors_own_alone() -> None:
    planes, crop_windows = random_planes(), crop_window(40.3, 60.6, 120, 135)
    compositor, frame, plan = Compositor(ONE_TILE, WIDTH, HEIGHT), frame_of(planes), shown(ONE_TILE, crop_windows)
    drawn = compositor.compose(frame, plan)
    own = [plane.copy() for plane in drawn]
    given = tuple(np.empty_like(plane) for plane in own)
    assert compositor.compose(frame, plan, given) is given
    assert all((one == other).all() for one, other in zip(own, given, strict=True))
    compositor.compose(frame_of(random_planes(1)), plan, given)
    assert all((one == other).all() for one, other in zip(own, drawn, strict=True))


def test_a_picture_of_another_size_is_refused() -> None:
    with pytest.raises(ValueError, match="compositor was made for"):
        Compositor(ONE_TILE, WIDTH, HEIGHT).compose(
            frame_of(random_planes(width=100, height=80)), shown(ONE_TILE, crop_window(0, 0, 50, 50))
        )


@pytest.mark.parametrize("name", sorted(name for name, layout in LAYOUTS.items() if layout.border is None))
def test_every_layout_without_a_gap_is_covered_by_its_tiles(name: str) -> None:
    layout = LAYOUTS[name]
    white = tuple(np.full_like(plane, 255) for plane in random_planes())
    crop_windows = np.concatenate([crop_window(10, 10, 100 * tile.aspect, 100) for tile in layout.tiles])
    for canvas in composed(layout, white, crop_windows):
        assert (canvas == 255).all()


@pytest.mark.parametrize("siting", [LEFT, CENTER, (0.5, 0.0), (1.0, 0.5), (0.0, -0.5)])
def test_chroma_is_drawn_where_it_lies_however_it_is_sited(siting: Siting) -> None:
    window = crop_window(31.3, 40.6, 80, 90)
    drawn = []
    for x, y in (LEFT, siting):
        luma = np.broadcast_to(np.arange(200, dtype=np.uint8)[None, :], (200, 200))
        across = np.broadcast_to(2 * np.arange(100)[None, :] + x, (100, 100))
        down = np.broadcast_to(2 * np.arange(100)[:, None] + y, (100, 100))
        planes = luma, np.rint(across).astype(np.uint8), np.rint(down).astype(np.uint8)
        drawn.append(composed(ONE_TILE, planes, window, siting=(x, y)))
    for ours, theirs in zip(*drawn, strict=True):
        np.testing.assert_allclose(ours.astype(int), theirs.astype(int), atol=1)


def test_a_tile_is_drawn_where_it_is_in_the_frame_and_the_background_elsewhere() -> None:
    white = frame_of(tuple(np.full_like(plane, 235) for plane in random_planes()))
    compositor = Compositor(TWO_TILES, WIDTH, HEIGHT)
    window = crop_window(10, 10, 100, 100).repeat(2, axis=0)
    for left in range(0, 64, 2):  # one tile slides out, and the other after it
        tiles = np.array([[0, 20, 64 - left, 60], [64 - left, 0, 64, 80]])
        canvas = compositor.compose(white, shown(TWO_TILES, window, tiles))
        dark = np.full((80, 128), True)
        for x, y, width, height in tiles.tolist():
            dark[y : y + height, x : x + width] = False
        assert (canvas[0] == np.where(dark, 30, 235)).all()  # "#101010" in limited range
        assert (canvas[1] == np.where(dark[::2, ::2], 128, 235)).all()


def test_a_tile_of_no_width_is_not_drawn_and_one_on_the_whole_canvas_leaves_no_background() -> None:
    planes = random_planes()
    whole = np.array([[0, 0, 0, 0], [0, 0, 128, 80]])
    windows = np.concatenate([crop_window(0, 0, 1, 1), crop_window(100, 60, 128, 80)])
    y, u, v = Compositor(TWO_TILES, WIDTH, HEIGHT).compose(frame_of(planes), shown(TWO_TILES, windows, whole))
    assert (y == planes[0][60:140, 100:228]).all()
    assert (u == planes[1][30:70, 50:114]).all()
    assert (v == planes[2][30:70, 50:114]).all()


@settings(max_examples=100, deadline=None)
@given(st.lists(st.tuples(*[st.integers(0, 20)] * 4), max_size=4))
def test_what_no_tile_covers_is_found_once(rectangles: list[tuple[int, int, int, int]]) -> None:
    covered, found = np.zeros((24, 32), int), np.zeros((24, 32), int)
    for x, y, width, height in rectangles:
        covered[y : y + height, x : x + width] = 1
    for x, y, width, height in uncovered(tuple(rectangles), 32, 24):
        found[y : y + height, x : x + width] += 1
    assert (found == 1 - covered).all()
