"""What is to be seen at one instant of a sample: the words that scenes are written in and that `drawing` reads.

Belongs here: data alone, in units that don't depend on the size of the frame. What happens when is `scenes`' and
`edited`'s business.

Units: `x` is a share of the frame's width. `y` and sizes are shares of the frame's *unit*, which is its height or,
where it is narrower than 16:9, the height that 16:9 would have; `y` counts downwards from the middle of the frame.
Inside a pane, the pane takes the place of the frame.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Final, Protocol


class Actor(StrEnum):
    """Who plays in a sample. The first two come from clips, the others from photographs."""

    WOMAN = "woman"
    MAN = "man"
    SISTER = "sister"
    LOOK_ALIKE = "look-alike"
    """Another one than the sister, and as like her as two photographs of one person are to one another."""
    VISITOR = "visitor"


class View(StrEnum):
    """What the camera is pointed at."""

    WIDE = "wide"
    CLOSE_LEFT = "close-left"
    CLOSE_RIGHT = "close-right"
    CARD = "card"
    """A title on a plain ground."""
    INSERT = "insert"
    """A sheet of paper on the table."""


@dataclass(frozen=True)
class Placement:
    """A person in the picture.

    Attributes:
        person: who it is.
        x, y: center of the head; see the module for units.
        head: height of the head, as a share of the unit.
        angle: degrees counter-clockwise.
        turned: 0 for somebody who faces the camera, 1 for the back of their head.
    """

    person: Actor
    x: float
    y: float
    head: float
    angle: float
    turned: float = 0.0


@dataclass(frozen=True)
class Pane:
    """A box of a composed picture, with a picture of its own. Shares of the frame's width and height."""

    x: float
    y: float
    width: float
    height: float
    moment: Moment

    def pixels(self, width: int, height: int) -> tuple[int, int, int, int]:
        """Left, top, width and height in a frame of this size; all even, so that chroma planes align."""
        left, right = (2 * round(side * width / 2) for side in (self.x, self.x + self.width))
        top, bottom = (2 * round(side * height / 2) for side in (self.y, self.y + self.height))
        return left, top, right - left, bottom - top


@dataclass(frozen=True)
class Fade:
    """A shot on its way to the next.

    Attributes:
        before: what is left.
        share: how much of the picture is the next shot's, between 0 and 1.
        wipe: whether an edge moves across from the left; else the two are blended.
    """

    before: Moment
    share: float
    wipe: bool


@dataclass(frozen=True)
class Moment:
    """One instant of a scene.

    Attributes:
        shot: number of the shot, from 0; within a fade, of the one that has the larger share.
        view: what the camera shows.
        placements: people from back to front. Whoever is not in the scene at this moment is left out.
        banner: how far a title bar has come up, from 0 to 1.
        panes: if there are any, the picture is made of them alone, on black. A single one is a letterboxed picture.
        fade: the shot before, while it gives way to this one.
    """

    shot: int
    view: View
    placements: tuple[Placement, ...] = ()
    banner: float = 0.0
    panes: tuple[Pane, ...] = ()
    fade: Fade | None = None


class Choreography(Protocol):
    """A scene of a certain length."""

    def at(self, time: float) -> Moment:
        """What is to be seen at `time`, in seconds from 0."""


LEFT: Final = 0.29
RIGHT: Final = 0.71
OUTSIDE: Final = 0.12
"""How far beyond an edge of the picture nothing of a person is to be seen any more."""
WIDE_HEAD: Final = 0.23
WIDE_Y: Final = -0.05
CLOSE_HEAD: Final = 0.5
CLOSE_Y: Final = -0.09
CLOSE_X: Final = {View.CLOSE_LEFT: 0.44, View.CLOSE_RIGHT: 0.56}
