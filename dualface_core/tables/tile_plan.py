"""TilePlan: one row per tile per output frame.

Belongs here: the schema, its metadata, and the questions that are asked of a plan. How the camera moves is `camera`'s
business.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from typing import Any, Final, Self

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from pydantic import Field

from dualface_core.tables.declared import LABEL, DeclaredTable, VideoMetadata, schema
from dualface_core.tables.face_tracks import FaceTracks, Shot
from dualface_core.tables.labels import CameraState, Person, Subject
from dualface_core.tables.layouts import Layout
from dualface_core.tables.scenes import Scene, TimedScene, slot_subjects

CROP_WINDOW: Final = ("center_x", "center_y", "width", "height")
"""The columns of a crop window."""

_TOLD: Final = {"kind", "cast", "reason"}
"""What a scene by the clock says of a scene."""

RECTANGLE: Final = ("tile_x", "tile_y", "tile_width", "tile_height")
"""The columns of a tile's place on the canvas."""


@dataclass(frozen=True)
class FramePlan:
    """What a plan says of one frame.

    Attributes:
        tiles: (slots, 4) of x, y, width and height on the canvas, even; the width is 0 where a tile is not drawn.
        crop_windows: (slots, 4) of center x, center y, width and height in pixels of the source.
        subjects: (slots,) of `Subject`.
    """

    tiles: NDArray[np.integer]
    crop_windows: NDArray[np.floating]
    subjects: NDArray[np.str_]


@dataclass(frozen=True)
class PlanPart:
    """What a plan says of some frames.

    Attributes:
        layout: the canvas.
        first: number of the first of them.
        pts: presentation timestamps: (frames,), in units of the source's time base.
        tiles, crop_windows, subjects: those of all these frames, as `FramePlan` has them of one: (frames, slots, ...).
    """

    layout: Layout
    first: int
    pts: NDArray[np.int64]
    tiles: NDArray[np.integer]
    crop_windows: NDArray[np.floating]
    subjects: NDArray[np.str_]

    def frame(self, number: int) -> FramePlan:
        """What is shown in the frame of that number in the video."""
        at = number - self.first
        return FramePlan(self.tiles[at], self.crop_windows[at], self.subjects[at])

    def part(self, first: int, stop: int) -> PlanPart:
        """Some of these frames, counted from the first one."""
        part = slice(first, stop)
        return PlanPart(
            self.layout,
            self.first + first,
            self.pts[part],
            self.tiles[part],
            self.crop_windows[part],
            self.subjects[part],
        )


class PlanMetadata(VideoMetadata):
    """What the rows alone don't say.

    Attributes:
        fingerprint: SHA-256 of the video file, in hex.
        tracks_sha256: SHA-256 of the tracks that the plan came from (`FaceTracks.sha256`).
        frame_count: output frames; the table has this many rows per tile.
        layout: the canvas and its tiles, as data, so that a plan can be rendered without a file that it came from.
        people: the persons that the video has; a tile of anyone else is "wide" throughout.
        scenes: what is shown when, and why; they cover every frame, in order.
        camera: the camera parameters that were used.
        direction: the director's.
    """

    fingerprint: str
    tracks_sha256: str
    frame_count: int
    layout: Layout
    people: list[Person]
    scenes: list[Scene]
    camera: dict[str, Any] = Field(default={})
    direction: dict[str, Any] = Field(default={})


class TilePlan(DeclaredTable[PlanMetadata]):
    """What each tile shows in each frame, sorted by frame and tile.

    The crop window is sub-pixel, in pixels of the upright source frame; the tile's place is in even pixels of the
    canvas, with the width 0 where it is not drawn; `subject` is a `Subject` and `state` a `CameraState`.
    """

    FORMAT = "dualface.tile-plan.2"
    METADATA = PlanMetadata
    SCHEMA = schema(
        {
            "frame": pa.int32(),
            "pts": pa.int64(),
            "tile": pa.int8(),
            "subject": LABEL,
            **dict.fromkeys(CROP_WINDOW, pa.float32()),
            **dict.fromkeys(RECTANGLE, pa.int32()),
            "shot": pa.int32(),
            "scene": pa.int32(),
            "state": LABEL,
        }
    )

    @classmethod
    def of(
        cls,
        tracks: FaceTracks,
        layout: Layout,
        *,
        scenes: Sequence[Scene],
        tiles: NDArray[np.integer],
        crop_windows: NDArray[np.floating],
        states: NDArray[np.integer],
        camera: Mapping[str, Any],
        direction: Mapping[str, Any],
    ) -> Self:
        """The plan that gives these answers.

        Args:
            tracks: where it comes from.
            layout: the canvas, and its tiles in a split.
            scenes: those of all frames, in order.
            tiles: (frames, slots, 4) of x, y, width and height on the canvas, even; the width is 0 where a tile is not
                drawn. There are as many slots as the layout has tiles.
            crop_windows: (frames, slots, 4) of center x, center y, width and height in pixels of the source.
            states: (frames, slots), each by its place in `CameraState`.
            camera: the camera parameters that were used.
            direction: the director's.
        """
        frames, slots = states.shape
        frame = np.repeat(np.arange(frames, dtype=np.int32), slots)
        shots, spans = (
            np.repeat(np.arange(len(parts), dtype=np.int32), [len(part) for part in parts])
            for parts in (tracks.shots, scenes)
        )
        columns = [
            frame,
            tracks.pts[frame],
            np.tile(np.arange(slots, dtype=np.int8), frames),
            pa.array(slot_subjects(scenes, tiles).ravel().tolist(), LABEL),
            *crop_windows.astype(np.float32).reshape(-1, 4).T,
            *tiles.astype(np.int32).reshape(-1, 4).T,
            shots[frame],
            spans[frame],
            pa.DictionaryArray.from_arrays(states.astype(np.int8).ravel(), pa.array(list(CameraState))),
        ]
        metadata = PlanMetadata(
            **tracks.metadata.model_dump(include={"fingerprint", *VideoMetadata.model_fields, "people"}),
            tracks_sha256=tracks.sha256,
            frame_count=frames,
            layout=layout,
            scenes=list(scenes),
            camera=dict(camera),
            direction=dict(direction),
        )
        return cls(pa.table(columns, schema=cls.SCHEMA), metadata)

    @property
    def layout(self) -> Layout:
        """The canvas, and its tiles in a split."""
        return self.metadata.layout

    @property
    def scenes(self) -> list[Scene]:
        """What is shown when, and why."""
        return self.metadata.scenes

    @property
    def timed_scenes(self) -> list[TimedScene]:
        """The scenes by the clock of the result; the last one ends a frame after the last frame begins."""
        times = self.pts * float(self.metadata.seconds_per_pts)
        edges = np.append(times, 2 * times[-1] - times[-2:].min())
        return [
            TimedScene(start=edges[scene.first], end=edges[scene.last + 1], **scene.model_dump(include=_TOLD))
            for scene in self.scenes
        ]

    @property
    def frame_count(self) -> int:
        """Output frames."""
        return self.metadata.frame_count

    def frame(self, number: int) -> FramePlan:
        """What is shown in one frame."""
        return FramePlan(self.tiles[number], self.crop_windows[number], self.subjects[number])

    def part(self, first: int, stop: int) -> PlanPart:
        """What is shown in some frames."""
        return PlanPart(self.layout, 0, self.pts, self.tiles, self.crop_windows, self.subjects).part(first, stop)

    @property
    def pts(self) -> NDArray[np.int64]:
        """Presentation timestamps: (frames,), in units of the source's time base."""
        return self._grid("pts")[:, 0]

    @cached_property
    def shots(self) -> list[Shot]:
        """The stretches between cuts, in order."""
        numbers = self._grid("shot")[:, 0]
        edges = [*np.flatnonzero(np.diff(numbers, prepend=-1)).tolist(), len(numbers)]
        return [Shot(first=first, last=stop - 1) for first, stop in pairwise(edges)]

    @cached_property
    def crop_windows(self) -> NDArray[np.float32]:
        """What the tiles show of the source: (frames, slots, 4) of center x, center y, width and height in pixels."""
        return self._frozen([self._grid(name) for name in CROP_WINDOW])

    @cached_property
    def tiles(self) -> NDArray[np.int32]:
        """Where the tiles are on the canvas: (frames, slots, 4) of x, y, width and height; width 0: not drawn."""
        return self._frozen([self._grid(name) for name in RECTANGLE])

    @property
    def drawn(self) -> NDArray[np.bool_]:
        """Which tiles are drawn: (frames, slots)."""
        return self.tiles[..., 2] > 0

    @cached_property
    def subjects(self) -> NDArray[np.str_]:
        """Who or what the tiles show: (frames, slots) of `Subject`."""
        subjects = self._grid("subject").astype(np.str_)
        subjects.flags.writeable = False
        return subjects

    def showing(self, person: Person) -> NDArray[np.bool_]:
        """Which tiles are to show a person, alone or with the other: (frames, slots)."""
        wanted = [subject for subject in Subject if person in subject.people]
        return self.drawn & np.isin(self.subjects, wanted)

    @cached_property
    def states(self) -> NDArray[np.str_]:
        """Camera states: (frames, slots) of `CameraState`."""
        states = self._grid("state").astype(np.str_)
        states.flags.writeable = False
        return states

    @property
    def largest_enlargements(self) -> dict[Subject, float]:
        """How many times the tiles enlarge the source at the most, by what they show."""
        drawn, factors = self.drawn, self.tiles[..., 2] / self.crop_windows[..., 2]
        shown = {subject: factors[drawn & (self.subjects == subject)] for subject in Subject}
        return {subject: float(found.max()) for subject, found in shown.items() if len(found)}

    def _grid(self, name: str) -> NDArray[Any]:
        """A column as (frames, slots)."""
        values: NDArray[Any] = self.table[name].to_numpy()
        return values.reshape(self.frame_count, -1)

    @staticmethod
    def _frozen(columns: Sequence[NDArray[Any]]) -> NDArray[Any]:
        values = np.stack(columns, axis=-1)
        values.flags.writeable = False
        return values
