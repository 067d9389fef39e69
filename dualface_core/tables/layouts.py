"""Layouts: a canvas, the tiles on it, and how they look. Pure data.

Belongs here: what a plan carries. How a file says it, and what it may say, is in `layout_files`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import field
from pathlib import Path
from typing import Final, Self

from pydantic.dataclasses import dataclass

from dualface_core.errors import SettingsError
from dualface_core.tables.labels import Person, Subject
from dualface_core.tables.layout_files import LayoutEntry, TileEntry, read_layout_file

BLURRED: Final = "blurred"
"""The background that is the source itself, blurred and darkened."""


@dataclass(frozen=True)
class Tile:
    """A rectangle of the canvas, in pixels, and whose it is. All numbers are even, so that chroma planes align."""

    subject: Subject
    x: int
    y: int
    width: int
    height: int

    @property
    def aspect(self) -> float:
        """Width divided by height."""
        return self.width / self.height

    @property
    def size(self) -> tuple[int, int]:
        """Width and height."""
        return self.width, self.height

    @property
    def rectangle(self) -> tuple[int, int, int, int]:
        """Left, top, width and height."""
        return self.x, self.y, self.width, self.height


@dataclass(frozen=True)
class Region:
    """A part of the canvas, whatever is drawn there: its name for people, and its place in even pixels."""

    name: str
    x: int
    y: int
    width: int
    height: int


@dataclass(frozen=True)
class Border:
    """A line along the edges of tiles: its width in even pixels, and its color."""

    width: int
    color: str


@dataclass(frozen=True)
class Layout:
    """A canvas, in pixels, and its tiles, in the order in which they are drawn.

    In a split, every tile is where it is said here, and shows its subject. In any other scene one of them is larger,
    and the others are not drawn (`TilePlan.tiles`). A tile that covers the canvas has neither border nor corners.

    Attributes:
        name: for people.
        width, height: of the canvas, even.
        tiles: those of a split. A later one may lie within an earlier one.
        background: the color of what no tile covers, such as "#101010"; or `BLURRED`, the source.
        border: of tiles, inside them; None for none.
        corners: radius of the tiles' corners, in pixels.
        captions: what is written into the tile of a person.
    """

    name: str
    width: int
    height: int
    tiles: tuple[Tile, ...]
    background: str = "#101010"
    border: Border | None = None
    corners: int = 0
    captions: Mapping[Person, str] = field(default_factory=dict)

    @classmethod
    def of(cls, name: str, said: LayoutEntry) -> Self:
        """The layout that a file describes."""
        return cls(
            name,
            said.width,
            said.height,
            tuple(_tile(entry, said) for entry in said.tiles),
            said.background,
            None if said.border is None else Border(said.border.width, said.border.color),
            said.corners,
            {Person(person): text for person, text in said.captions.items()},
        )

    @property
    def regions(self) -> tuple[Region, Region]:
        """The two halves of the canvas along its longer side: what is compared, in every scene alike."""
        if self.width > self.height:
            left = self.width // 4 * 2
            return (
                Region("left half", 0, 0, left, self.height),
                Region("right half", left, 0, self.width - left, self.height),
            )
        upper = self.height // 4 * 2
        return (
            Region("upper half", 0, 0, self.width, upper),
            Region("lower half", 0, upper, self.width, self.height - upper),
        )


def _tile(entry: TileEntry, said: LayoutEntry) -> Tile:
    """A tile without the gap: all of it at the edge of the canvas, and half of it where another tile may be."""
    half = said.gap // 2
    left, top = entry.x + (half if entry.x else said.gap), entry.y + (half if entry.y else said.gap)
    right, bottom = entry.x + entry.width, entry.y + entry.height
    right -= said.gap if right == said.width else half
    bottom -= said.gap if bottom == said.height else half
    return Tile(entry.shows, left, top, right - left, bottom - top)


_SHIPPED: Final = Path(__file__).with_name("shipped_layouts")

LAYOUTS: Final = {path.stem: Layout.of(path.stem, read_layout_file(path)) for path in sorted(_SHIPPED.glob("*.yaml"))}
"""Those that ship with the program, by name."""


def layout(name: str) -> Layout:
    """A layout that ships with the program, by its name; or any, by the path of a YAML file.

    Raises:
        SettingsError: there is none of that name.
        MissingInputError, LayoutFileError: there is no such file, or it is wrong.
    """
    if name.endswith((".yaml", ".yml")):
        path = Path(name)
        return Layout.of(path.stem, read_layout_file(path))
    try:
        return LAYOUTS[name]
    except KeyError:
        known = ", ".join(LAYOUTS)
        raise SettingsError(f"Unknown layout {name!r}. Choose one of: {known}; or name a YAML file.") from None
