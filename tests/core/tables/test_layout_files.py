from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest

from dualface_core.errors import LayoutFileError, MachineError, MissingInputError, SettingsError
from dualface_core.tables.labels import Person
from dualface_core.tables.layouts import LAYOUTS, Layout, layout

Say = Callable[..., Path]

TILES = """tiles:
  - {shows: A, x: 0, y: 0, width: 640, height: 720}
  - {shows: B, x: 640, y: 0, width: 640, height: 720}
"""
CANVAS = "width: 1280\nheight: 720\n"


@pytest.fixture
def said(tmp_path: Path) -> Say:
    """Write a layout file."""

    def say(*parts: str) -> Path:
        path = tmp_path / "mine.yaml"
        path.write_text("".join(parts), encoding="utf-8")
        return path

    return say


def test_a_layout_of_ones_own_is_called_what_its_file_is(said: Say) -> None:
    mine = layout(str(said(CANVAS, TILES)))
    assert (mine.name, mine.width, mine.height) == ("mine", 1280, 720)
    assert [tile.rectangle for tile in mine.tiles] == [(0, 0, 640, 720), (640, 0, 640, 720)]


def test_a_gap_lies_between_tiles_and_around_them(said: Say) -> None:
    mine = layout(str(said(CANVAS, "gap: 24\n", TILES)))
    assert [tile.rectangle for tile in mine.tiles] == [(24, 24, 604, 672), (652, 24, 604, 672)]


def test_how_tiles_look_is_part_of_a_layout(said: Say) -> None:
    look = "background: blurred\nborder: {width: 4, color: '#E07B00'}\ncorners: 16\ncaptions: {A: Änna, B: B.}\n"
    mine = layout(str(said(CANVAS, look, TILES)))
    assert (mine.background, mine.corners) == ("blurred", 16)
    assert mine.border is not None
    assert (mine.border.width, mine.border.color) == (4, "#e07b00")
    assert dict(mine.captions) == {Person.A: "Änna", Person.B: "B."}


WRONG = {
    "nothing": ("", "line 1: the file is None; allowed are width, height, tiles,"),
    "a list": ("- 1\n", "line 1: the file is [1]; allowed are width,"),
    "no YAML": (CANVAS + "tiles: [{\n", "line 4: it is not YAML"),
    "an odd width": ("width: 1281\nheight: 720\n" + TILES, "line 1: width is 1281; should be a multiple of 2"),
    "too high": ("width: 1280\nheight: 9000\n" + TILES, "line 2: height is 9000; should be less than or equal to 4096"),
    "too many pixels": ("height: 4000\nwidth: 4000\n" + TILES, "line 2: the canvas has 16000000 pixels; allowed are"),
    "a fraction": (
        CANVAS + TILES.replace("x: 640", "x: 640.5"),
        "line 5: tiles.2.x is 640.5; should be a valid integer",
    ),
    "no height": ("width: 1280\n" + TILES, "line 1: height is missing"),
    "no place": (CANVAS + TILES.replace("y: 0, ", ""), "line 4: tiles.1.y is missing; line 5: tiles.2.y is missing"),
    "a word that is not known": (
        CANVAS + "colour: red\n" + TILES,
        "line 3: colour is unknown; allowed are width, height,",
    ),
    "the same of a tile": (
        CANVAS + TILES.replace("x: 640", "left: 640"),
        "line 5: tiles.2.x is missing; line 5: tiles.2.left is unknown; allowed are shows, x, y, width, height.",
    ),
    "somebody else": (
        CANVAS + TILES.replace("B", "C"),
        "line 5: tiles.2.shows is 'C'; should be 'A', 'B', 'pair' or 'frame'",
    ),
    "A twice": (CANVAS + TILES.replace("B", "A"), "line 3: the tiles show A, A; allowed are one of A, one of B,"),
    "A on the right": (
        CANVAS + TILES.replace("B", "C").replace("A", "B").replace("C", "A"),
        "line 5: tile A is to the right of tile B",
    ),
    "outside": (CANVAS + TILES.replace("x: 640", "x: 642"), "line 5: the tile ends outside the canvas of 1280x720"),
    "half over another": (CANVAS + TILES.replace("x: 640", "x: 600"), "line 5: tiles 1 and 2 overlap; allowed is"),
    "a color that is a comment": (
        CANVAS + "background: #101010\n" + TILES,
        'line 3: background is None; allowed is a color in quotes, such as "#101010", or blurred',
    ),
    "a border of no width": (CANVAS + "border: {color: '#101010'}\n" + TILES, "line 3: border.width is missing"),
    "a caption of nobody": (CANVAS + "captions:\n  A: x\n  C: y\n" + TILES, "line 5: captions.C is 'C'; should be"),
}


@pytest.mark.parametrize("name", WRONG)
def test_a_wrong_file_is_named_with_the_line_and_what_is_allowed(said: Say, name: str) -> None:
    text, sentence = WRONG[name]
    path = said(text)
    with pytest.raises(LayoutFileError, match=re.escape(sentence)) as error:
        layout(str(path))
    assert str(error.value).startswith(f"{path}: line ")


def test_a_file_that_is_not_there_or_is_no_text_is_told(tmp_path: Path, lost_drive: Path) -> None:
    with pytest.raises(MissingInputError, match="there is no such layout file"):
        layout(str(tmp_path / "mine.yaml"))
    with pytest.raises(MachineError, match="The file may be fine"):
        layout(str(lost_drive / "mine.yaml"))
    (tmp_path / "mine.yaml").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(LayoutFileError, match="not UTF-8"):
        layout(str(tmp_path / "mine.yaml"))


def test_a_name_that_is_not_known_is_told_with_those_that_are() -> None:
    with pytest.raises(SettingsError, match=r"Choose one of: four-by-five, .*stacked.*; or name a YAML file"):
        layout("diagonal")


@pytest.mark.parametrize("shipped", LAYOUTS.values(), ids=LAYOUTS)
def test_in_every_layout_a_is_left_of_b_or_above_and_its_halves_are_its_regions(shipped: Layout) -> None:
    a, b = (next(tile for tile in shipped.tiles if tile.subject == person) for person in "AB")
    assert (a.x, a.y) < (b.x, b.y)
    first, second = shipped.regions
    if shipped.width > shipped.height:
        assert (first.width + second.width, first.height, second.x) == (shipped.width, shipped.height, first.width)
    else:
        assert (first.height + second.height, first.width, second.y) == (shipped.height, shipped.width, first.height)
