"""How the director chooses: every figure that a user may change, with its unit.

Belongs here: the parameters alone. The costs are in "bad seconds": what is shown at a cost of 1 for a second weighs as
much as a tile that shows for a second a place where nobody is.
"""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field

from dualface_core.tables.labels import SceneMode, Transition


class Direction(BaseModel):
    """How the director chooses scenes, and how one becomes the next.

    Attributes:
        scenes: whether there are any, or one split throughout.
        transition: how tiles change their places within a shot. At a cut they always do at once.
        transition_seconds: how long that takes where it is eased.
        shortest_scene: seconds. Within a shot that is longer, no scene is shorter.
        switch: cost of another scene within a shot; none at a cut.
        absent: cost per second of a tile whose person is not there, or of a two-shot without one of the two.
        unseen: cost per second of a person who is there and in no tile.
        together: cost per second of a two-shot where two tiles could be had.
        whole: cost per second of the whole picture where somebody is there.
        crowded: cost per second of a choice among more people than there are tiles, none of whom stands out.
        cut: cost per second of a choice whose windows cut somebody else's face, or a caption, title bar or pop-up.
        stands_out: how many times larger than those of all others a person's face must be for that.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    scenes: SceneMode = SceneMode.AUTO
    transition: Transition = Transition.EASED
    transition_seconds: float = Field(default=0.5, ge=0.0, le=5.0)
    shortest_scene: float = Field(default=2.0, ge=0.0, le=60.0)
    switch: float = Field(default=0.75, ge=0.0)
    absent: float = Field(default=1.0, ge=0.0)
    unseen: float = Field(default=1.0, ge=0.0)
    together: float = Field(default=0.25, ge=0.0)
    whole: float = Field(default=0.8, ge=0.0)
    crowded: float = Field(default=0.9, ge=0.0)
    cut: float = Field(default=1.5, ge=0.0)
    stands_out: float = Field(default=1.33, ge=1.0)
