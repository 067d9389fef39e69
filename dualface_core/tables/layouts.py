"""Layouts: a canvas and the tiles on it. Pure geometry."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from dualface_core.errors import SettingsError
from dualface_core.tables.labels import Person


@dataclass(frozen=True)
class Tile:
    """A rectangle of the canvas, in pixels, and whose it is. All numbers are even, so that chroma planes align."""

    person: Person
    x: int
    y: int
    width: int
    height: int

    @property
    def aspect(self) -> float:
        """Width divided by height."""
        return self.width / self.height


@dataclass(frozen=True)
class Layout:
    """A canvas, in pixels, fully covered by its tiles."""

    name: str
    width: int
    height: int
    tiles: tuple[Tile, ...]


LAYOUTS: Final = {
    "side-by-side": Layout(
        "side-by-side", 1920, 1080, (Tile(Person.A, 0, 0, 960, 1080), Tile(Person.B, 960, 0, 960, 1080))
    ),
    "stacked": Layout("stacked", 1080, 1920, (Tile(Person.A, 0, 0, 1080, 960), Tile(Person.B, 0, 960, 1080, 960))),
}


def layout(name: str) -> Layout:
    """Find a layout by name. Raises SettingsError for an unknown one."""
    try:
        return LAYOUTS[name]
    except KeyError:
        raise SettingsError(f"Unknown layout {name!r}. Choose one of: {', '.join(LAYOUTS)}.") from None
