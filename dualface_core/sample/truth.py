"""SampleTruth: where each person really is in every frame of a sample, and what a director may make of it.

Belongs here: the schema, its metadata, and what may be shown. The rows come from the drawing.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Final

import pyarrow as pa
from pydantic import BaseModel, ConfigDict

from dualface_core.sample.drawing import Region
from dualface_core.tables.declared import BOX, DeclaredTable, VideoMetadata, schema
from dualface_core.tables.face_tracks import Shot
from dualface_core.tables.labels import SceneKind

IN_VIEW: Final = 0.5
"""Share of a head that must be visible for its person to count as being there."""

_APART: Final = 0.6
_TOGETHER: Final = 0.1
"""Room between two heads, in heights of a head, from which they can be shown apart, and below which they cannot. Two
crop windows that each show a head with its room need about as much."""

_HEAD_WIDTH: Final = 0.75
"""Of its height."""


class Allowed(BaseModel):
    """What may be shown in a stretch of frames.

    Attributes:
        first, last: the frames, both included.
        kinds: every arrangement that shows what is there, and nothing twice.
    """

    model_config = ConfigDict(frozen=True)

    first: int
    last: int
    kinds: frozenset[SceneKind]


class TruthMetadata(VideoMetadata):
    """What the rows alone don't say.

    Attributes:
        scene, seconds, seed: what `make_sample` was asked for.
        frame_count: frames of the video; the table has this many rows per person.
        people: the two that the scene is about; all others are strangers.
        shots: the stretches between cuts, with their bars and panes. Within a fade, a frame belongs to the shot that
            has the larger share of it.
        cuts: for each shot but the first, the first and the last of the frames that it may be said to begin with: one
            and the same for a hard cut, from the first frame that is changed to the first that is whole for a fade.
        allowed: what may be shown when; it covers every frame.
    """

    scene: str
    seconds: float
    seed: int
    frame_count: int
    people: tuple[str, str]
    shots: list[Shot]
    cuts: list[tuple[int, int]]
    allowed: list[Allowed]


class SampleTruth(DeclaredTable[TruthMetadata]):
    """The truth about one sample, sorted by frame and person: a row also where the person is not to be seen.

    `person` is an `Actor`. `x`, `y`, `width`, `height` are the smallest box that holds everything drawn of the
    person, from the hair down to the chest, in pixels; it may reach beyond the frame, and is all 0 where nothing was
    drawn. `head_x`, `head_y`, `head_height` are the center and the height of the head. `visible` is the share of the
    person's pixels, weighted by opacity, that is inside the frame and covered by nothing: neither by another person nor
    by the table; within a fade, times the share of the person's shot. `head_visible` is the same of the head alone.
    `turned` is 0 for somebody who faces the camera and 1 for the back of their head.
    """

    FORMAT = "dualface.sample-truth.2"
    METADATA = TruthMetadata
    SCHEMA = schema(
        {
            "frame": pa.int32(),
            "pts": pa.int64(),
            "shot": pa.int32(),
            "person": pa.string(),
            **dict.fromkeys(
                (*BOX, "head_x", "head_y", "head_height", "visible", "head_visible", "turned"), pa.float32()
            ),
        }
    )


def may_be_shown(people: Sequence[Region], strangers: Sequence[Region], *, panes: bool) -> frozenset[SceneKind]:
    """The arrangements that show what is there, and nothing twice.

    Args:
        people: what was drawn of the two that the scene is about.
        strangers: and of all others.
        panes: whether the picture is composed of boxes, in which everybody is apart.
    """
    there = [region for region in people if region.head_visible >= IN_VIEW]
    if not there:
        return frozenset({SceneKind.WHOLE})
    if len(there) == 1:
        return frozenset({SceneKind.SOLO})
    first, second = there
    mean_height = (first.head_height + second.head_height) / 2
    gap = abs(first.head_x - second.head_x) / mean_height - _HEAD_WIDTH
    if panes or gap >= _APART:
        kinds = {SceneKind.SPLIT}
    elif gap <= _TOGETHER:
        kinds = {SceneKind.TOGETHER}
    else:
        kinds = {SceneKind.SPLIT, SceneKind.TOGETHER}
    if any(region.head_visible >= IN_VIEW for region in strangers):
        kinds.add(SceneKind.WHOLE)
    return frozenset(kinds)


def truth_path(video: Path) -> Path:
    """Where the truth about a sample lies: `NAME.truth.parquet` beside `NAME.mp4`."""
    return video.with_suffix(".truth.parquet")
