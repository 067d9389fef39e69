"""Layouts: a canvas and the tiles on it. Pure geometry."""

from __future__ import annotations

from typing import Final

from pydantic.dataclasses import dataclass

from dualface_core.errors import SettingsError
from dualface_core.tables.labels import Subject


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
class Layout:
    """A canvas, in pixels, and its tiles, in the order in which they are drawn.

    In a split, every tile is where it is said here, and shows its subject. In any other scene one of them is larger,
    and the others are not drawn (`TilePlan.tiles`). `background` is the color of what no tile covers.
    """

    name: str
    width: int
    height: int
    tiles: tuple[Tile, ...]
    background: str = "#101010"

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


LAYOUTS: Final = {
    "side-by-side": Layout(
        "side-by-side", 1920, 1080, (Tile(Subject.A, 0, 0, 960, 1080), Tile(Subject.B, 960, 0, 960, 1080))
    ),
    "stacked": Layout("stacked", 1080, 1920, (Tile(Subject.A, 0, 0, 1080, 960), Tile(Subject.B, 0, 960, 1080, 960))),
}


def layout(name: str) -> Layout:
    """Find a layout by name. Raises SettingsError for an unknown one."""
    try:
        return LAYOUTS[name]
    except KeyError:
        raise SettingsError(f"Unknown layout {name!r}. Choose one of: {', '.join(LAYOUTS)}.") from None
