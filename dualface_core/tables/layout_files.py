"""Layouts as YAML: what a file may say, and where it is wrong.

Belongs here: reading and checking. What a layout is once it is read is in `layouts`. The files that ship with the
program are read in the same way, so they are examples as well.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from itertools import combinations
from pathlib import Path
from reprlib import repr as shortened
from typing import Annotated, Final, Literal

import yaml
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, model_validator
from pydantic_core import ErrorDetails, PydanticCustomError

from dualface_core.errors import LayoutFileError, MissingInputError
from dualface_core.system.read_errors import read_error
from dualface_core.tables.labels import Subject

LEAST_SIDE: Final = 320
MOST_SIDE: Final = 4096
MOST_PIXELS: Final = 4096 * 2304
"""Pixels of a canvas: what is smaller, encoders refuse; the largest is that of H.264's level 5.2, and more than 4K."""

LEAST_TILE: Final = 96
"""Pixels of a tile's sides: a face in a smaller one is too small to be told from another."""

MOST_TILES: Final = 4

_ACTION: Final = "docs/tiles.md says what a layout file may hold."


def _color(text: object) -> str:
    if (
        isinstance(text, str)
        and len(text) == 7
        and text[0] == "#"
        and all(digit in "0123456789abcdef" for digit in text[1:].lower())
    ):
        return text.lower()
    raise ValueError('allowed is a color in quotes, such as "#101010"')


def _background(text: object) -> str:
    try:
        return "blurred" if text == "blurred" else _color(text)
    except ValueError as error:
        raise ValueError(f"{error}, or blurred") from None


Even = Annotated[int, Field(strict=True, ge=0, le=MOST_SIDE, multiple_of=2)]
Color = Annotated[str, BeforeValidator(_color)]


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class TileEntry(_Part):
    """A tile: whom it shows in a split, and its place on the canvas in pixels."""

    shows: Subject
    x: Even
    y: Even
    width: Annotated[Even, Field(ge=LEAST_TILE)]
    height: Annotated[Even, Field(ge=LEAST_TILE)]


class BorderEntry(_Part):
    """A line along the edge of every tile, inside it."""

    width: Annotated[Even, Field(ge=2, le=64)]
    color: Color = "#f0f0f0"


class LayoutEntry(_Part):
    """A layout file.

    Attributes:
        width, height: of the canvas, in pixels, even.
        tiles: in the order in which they are drawn.
        background: the color of what no tile covers, or "blurred": the source, blurred and darkened.
        gap: pixels of background between tiles, and around them; a multiple of 4.
        border: a line along the edges of tiles.
        corners: radius of the tiles' corners, in pixels.
        captions: the names to write into the tiles of A and B.
    """

    width: Annotated[Even, Field(ge=LEAST_SIDE)]
    height: Annotated[Even, Field(ge=LEAST_SIDE)]
    tiles: Annotated[tuple[TileEntry, ...], Field(max_length=MOST_TILES)]
    background: Annotated[str, BeforeValidator(_background)] = "#101010"
    gap: Annotated[int, Field(strict=True, ge=0, le=200, multiple_of=4)] = 0
    border: BorderEntry | None = None
    corners: Annotated[Even, Field(le=400)] = 0
    captions: dict[Literal["A", "B"], Annotated[str, Field(min_length=1, max_length=40)]] = {}

    @model_validator(mode="after")
    def _fits(self) -> LayoutEntry:
        if self.width * self.height > MOST_PIXELS:
            raise _wrong(f"the canvas has {self.width * self.height} pixels; allowed are {MOST_PIXELS}", "width")
        shown = Counter(tile.shows for tile in self.tiles)
        if (shown[Subject.A], shown[Subject.B]) != (1, 1):
            shows = ", ".join(tile.shows for tile in self.tiles)
            raise _wrong(f"the tiles show {shows}; allowed are one of A, one of B, and any of pair and frame", "tiles")
        canvas = TileEntry(shows=Subject.FRAME, x=0, y=0, width=self.width, height=self.height)
        for place, tile in enumerate(self.tiles):
            if not _inside(tile, canvas):
                raise _wrong(f"the tile ends outside the canvas of {self.width}x{self.height}", "tiles", place)
        for (below, earlier), (above, later) in combinations(enumerate(self.tiles), 2):
            if _meet(earlier, later) and not _inside(later, earlier):
                overlap = f"tiles {below + 1} and {above + 1} overlap; allowed is a later one within an earlier one"
                raise _wrong(overlap, "tiles", above)
        a, b = (next(tile for tile in self.tiles if tile.shows == person) for person in (Subject.A, Subject.B))
        if (b.x, b.y) < (a.x, a.y):
            wrong = "tile A is to the right of tile B, or below it; allowed is that A, who is on the left, stays there"
            raise _wrong(wrong, "tiles", self.tiles.index(a))
        return self


def read_layout_file(path: Path) -> LayoutEntry:
    """Read a layout file.

    Raises:
        MissingInputError: there is no such file.
        MachineError: it cannot be read at this moment.
        LayoutFileError: it is not YAML, or not a layout; the sentence names the line, what was found and what is
            allowed.
    """
    try:
        text = path.read_text(encoding="utf-8")
        loader = yaml.SafeLoader(text)
        root = loader.get_single_node()
        said = loader.construct_document(root) if root is not None else None
    except FileNotFoundError:
        raise MissingInputError(path, "there is no such layout file", action="Check the name and the folder.") from None
    except OSError as error:
        raise read_error(path, error) from error
    except UnicodeDecodeError as error:
        raise LayoutFileError(path, f"it is not UTF-8 text ({error.reason})", action=_ACTION) from None
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line = f"line {mark.line + 1}: " if mark is not None else ""
        raise LayoutFileError(path, f"{line}it is not YAML ({error.problem})", action=_ACTION) from None
    except yaml.YAMLError as error:
        raise LayoutFileError(path, f"it is not YAML ({error})", action=_ACTION) from None
    try:
        return LayoutEntry.model_validate(said)
    except ValidationError as error:
        raise LayoutFileError(
            path, "; ".join(_sentence(root, item) for item in error.errors()), action=_ACTION
        ) from None


def _wrong(message: str, *place: int | str) -> PydanticCustomError:
    """An error about more than one value, with the place of one of them."""
    return PydanticCustomError("layout", "{message}", {"message": message, "place": place})


def _sentence(root: yaml.Node | None, item: ErrorDetails) -> str:
    """Where a file is wrong, what was found there, and what is allowed."""
    place, found = item["loc"], item["input"]
    name = ".".join(str(part + 1) if isinstance(part, int) else part for part in place if part != "[key]")
    line = f"line {_line(root, item.get('ctx', {}).get('place', place))}: "
    message = item["msg"].removeprefix("Value error, ").removeprefix("Input ")
    match item["type"]:
        case "missing":
            return f"{line}{name} is missing"
        case "extra_forbidden":
            return f"{line}{name} is unknown; allowed are {', '.join(_allowed(place))}"
        case "model_type":
            return f"{line}{name or 'the file'} is {shortened(found)}; allowed are {', '.join(_allowed(place))}"
        case "layout":
            return f"{line}{message}"
        case _:
            return f"{line}{name} is {shortened(found)}; {message}"


def _allowed(place: Sequence[int | str]) -> Sequence[str]:
    match place:
        case ("tiles", _, *_):
            return list(TileEntry.model_fields)
        case ("border", *_):
            return list(BorderEntry.model_fields)
        case _:
            return list(LayoutEntry.model_fields)


def _line(root: yaml.Node | None, place: Sequence[int | str]) -> int:
    """The line, from 1, of what is at a place in the document; of what holds it where it is missing."""
    node, line = root, 1
    for part in place:
        if isinstance(node, yaml.MappingNode):
            found = next(((key, value) for key, value in node.value if key.value == part), None)
            if found is None:
                break
            line, node = found[0].start_mark.line + 1, found[1]
        elif isinstance(node, yaml.SequenceNode) and isinstance(part, int):
            node = node.value[part]
            line = node.start_mark.line + 1
    return line


def _meet(one: TileEntry, other: TileEntry) -> bool:
    across = one.x < other.x + other.width and other.x < one.x + one.width
    return across and one.y < other.y + other.height and other.y < one.y + one.height


def _inside(one: TileEntry, other: TileEntry) -> bool:
    across = other.x <= one.x and one.x + one.width <= other.x + other.width
    return across and other.y <= one.y and one.y + one.height <= other.y + other.height
