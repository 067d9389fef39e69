"""Scenes: what is shown when, and why.

Belongs here: the data, and what follows from it alone. Who decides on scenes is `directing`; what each of their tiles
shows is `TilePlan`.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict

from dualface_core.tables.labels import SceneKind, Subject


class Scene(BaseModel):
    """A stretch of frames with one arrangement of the canvas.

    Attributes:
        first, last: its frames, both included. The scenes of a plan cover every frame, in order.
        kind: the arrangement.
        cast: who or what is shown, in the order of its tiles: for a split one subject for each tile of the
            layout, for the others one for the whole canvas.
        reason: why it is this one, as a plain sentence.
    """

    model_config = ConfigDict(frozen=True)

    first: int
    last: int
    kind: SceneKind
    cast: tuple[Subject, ...]
    reason: str

    @property
    def frames(self) -> slice:
        """The scene's frames, as an index of arrays with one entry per frame."""
        return slice(self.first, self.last + 1)

    def __len__(self) -> int:
        """How many frames it has."""
        return self.last + 1 - self.first


class TimedScene(BaseModel):
    """A scene by the clock: from `start` to `end`, in seconds of the result, and what `Scene` says."""

    model_config = ConfigDict(frozen=True)

    start: float
    end: float
    kind: SceneKind
    cast: tuple[Subject, ...]
    reason: str


def summary(scenes: Sequence[TimedScene]) -> str:
    """How many scenes there are, and how much of the time each kind takes: "3 scenes: split 62 %, solo 38 %"."""
    if not scenes:
        return ""
    seconds = {kind: sum(scene.end - scene.start for scene in scenes if scene.kind is kind) for kind in SceneKind}
    total = sum(seconds.values()) or 1.0
    shares = ", ".join(f"{kind} {part / total:.0%}".replace("%", " %") for kind, part in seconds.items() if part)
    return f"{len(scenes)} {'scene' if len(scenes) == 1 else 'scenes'}: {shares}"


def slot_subjects(scenes: Sequence[Scene], tiles: NDArray[np.integer]) -> NDArray[np.str_]:
    """Who or what every tile shows in every frame: (frames, slots) of `Subject`.

    In a split, each tile shows its own of the cast. In any other scene the cast is one, and the tile that is largest
    shows it; the others, which are not drawn or are just leaving, keep what they showed before.

    Args:
        scenes: those of all frames, in order.
        tiles: (frames, slots, 4) of x, y, width and height on the canvas; of width 0 where a tile is not drawn.
    """
    subjects = np.empty(tiles.shape[:2], "U5")
    for scene in scenes:
        if scene.kind is SceneKind.SPLIT:
            subjects[scene.frames] = scene.cast
            continue
        subjects[scene.frames] = subjects[scene.first - 1] if scene.first else scene.cast[0]
        areas = tiles[scene.frames, :, 2:].prod(axis=2, dtype=np.int64).sum(axis=0)
        subjects[scene.frames, areas.argmax()] = scene.cast[0]
    return subjects
