"""Scenes: what is shown when, and why.

Belongs here: the data alone. Who decides on scenes is `directing`; what each of their tiles shows is `TilePlan`.
"""

from __future__ import annotations

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
