"""Company: what a tile shows of people who aren't its subject, wholly or not at all.

Belongs here: moving crop windows aside, within the freedom that good framing leaves, so that no edge goes through
somebody else's face. How the camera gets there is `film`'s business.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from dualface_core.camera.framing import ASIDE, HEAD, UP_OR_DOWN, Boxes, Framing, edges, overlap

_FREEDOM: Final = 1.2
"""How much of the usual freedom may be used: the zoom that was to make it enough is held within a dead zone."""


@dataclass(frozen=True)
class Other:
    """Somebody else.

    Attributes:
        frames: those of the run between which they are seen.
        boxes: (frames, 4) their face in these; NaN where it isn't seen.
        welcome: whether the tile may show them; if not, they are left out where that is possible.
    """

    frames: slice
    boxes: Boxes
    welcome: bool


def aside(windows: Boxes, framing: Framing, faces: Boxes, others: Sequence[Other]) -> Boxes:
    """The same windows, moved so that each other head is wholly in or out where it can be.

    In one run of frames, somebody is left out on one side, or let in, throughout.

    Args:
        windows: (frames, 4) of center x, center y, width and height.
        framing: of the tile.
        faces: (frames, 4) what of the subject must stay in it.
        others: whoever else is in the frame. Those who come first count most.
    """
    windows = windows.copy()
    for other in others:
        part = windows[other.frames]
        head = edges(other.boxes, HEAD)
        touched = overlap(part, head)
        if not touched.any():
            continue
        moves = _moves(part, head, other)
        costs = np.array([_cost(part, move, framing.part(other.frames), faces[other.frames]) for move in moves])
        usual = np.median(costs[:, touched], axis=1)
        if np.isfinite(usual.min()):
            best = int(usual.argmin())
            moved = touched & np.isfinite(costs[best])
            part[moved] += moves[best][moved]
    return windows


def _moves(windows: Boxes, head: Sequence[NDArray[np.float64]], other: Other) -> list[Boxes]:
    """Ways to have a head out, or wholly in: what to add to the windows."""
    x, y, width, height = windows.T
    left, top, right, bottom = head
    still = np.zeros_like(x)
    ways = [
        (np.minimum(0, left - (x + width / 2)), still),
        (np.maximum(0, right - (x - width / 2)), still),
        (still, np.minimum(0, top - (y + height / 2))),
        (still, np.maximum(0, bottom - (y - height / 2))),
    ]
    if other.welcome:
        in_x = np.maximum(0, right - (x + width / 2)) + np.minimum(0, left - (x - width / 2))
        in_y = np.maximum(0, bottom - (y + height / 2)) + np.minimum(0, top - (y - height / 2))
        ways.append((in_x, in_y))
    return [np.stack([dx, dy, still, still], axis=1) for dx, dy in ways]


def _cost(windows: Boxes, move: Boxes, framing: Framing, faces: Boxes) -> NDArray[np.float64]:
    """How much of its freedom a window needs for a move; infinite where it has not enough."""
    _, _, width, height = windows.T
    used = np.abs(move[:, 0]) / (ASIDE * width) + np.abs(move[:, 1]) / (UP_OR_DOWN * height)
    moved = windows + move
    x, y, _, _ = moved.T
    inside = np.abs(framing.including(framing.inside(x, y, height)) - moved).max(axis=1) < 0.5
    return np.where((used <= _FREEDOM) & inside & framing.shows(moved, faces), used, np.inf)
