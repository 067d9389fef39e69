"""TilePlan: one row per tile per output frame.

Belongs here: the schema, its metadata, and the questions that are asked of a plan. How the camera moves is `camera`'s
business.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from itertools import pairwise
from typing import Any, Final, Self

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from pydantic import Field

from dualface_core.tables.declared import LABEL, DeclaredTable, VideoMetadata, schema
from dualface_core.tables.face_tracks import FaceTracks, Shot
from dualface_core.tables.labels import CameraState, Person
from dualface_core.tables.layouts import Layout, layout

CROP_WINDOW: Final = ("center_x", "center_y", "width", "height")
"""The columns of a crop window."""


class PlanMetadata(VideoMetadata):
    """What the rows alone don't say.

    Attributes:
        fingerprint: SHA-256 of the video file, in hex.
        tracks_sha256: SHA-256 of the tracks that the plan came from (`FaceTracks.sha256`).
        frame_count: output frames; the table has this many rows per tile.
        layout: name of the layout.
        people: the persons that the video has; a tile of anyone else is "wide" throughout.
        camera: the camera parameters that were used.
    """

    fingerprint: str
    tracks_sha256: str
    frame_count: int
    layout: str
    people: list[Person]
    camera: dict[str, Any] = Field(default={})


class TilePlan(DeclaredTable[PlanMetadata]):
    """What each tile shows in each frame, sorted by frame and tile.

    The crop window is sub-pixel, in pixels of the upright source frame; `state` is a `CameraState`.
    """

    FORMAT = "dualface.tile-plan.1"
    METADATA = PlanMetadata
    SCHEMA = schema(
        {
            "frame": pa.int32(),
            "pts": pa.int64(),
            "tile": pa.int8(),
            "person": LABEL,
            **dict.fromkeys(CROP_WINDOW, pa.float32()),
            "shot": pa.int32(),
            "state": LABEL,
        }
    )

    @classmethod
    def of(
        cls,
        tracks: FaceTracks,
        layout: Layout,
        crop_windows: NDArray[np.floating],
        states: NDArray[np.integer],
        *,
        camera: Mapping[str, Any],
    ) -> Self:
        """The plan that gives these answers.

        Args:
            tracks: where it comes from.
            layout: the tiles.
            crop_windows: (frames, tiles, 4) of center x, center y, width and height in pixels.
            states: (frames, tiles), each by its place in `CameraState`.
            camera: the camera parameters that were used.
        """
        frames, tiles = states.shape
        frame = np.repeat(np.arange(frames, dtype=np.int32), tiles)
        shots = np.repeat(np.arange(len(tracks.shots), dtype=np.int32), [len(shot) for shot in tracks.shots])
        person = np.array([list(Person).index(tile.person) for tile in layout.tiles], np.int8)
        columns = [
            frame,
            tracks.pts[frame],
            np.tile(np.arange(tiles, dtype=np.int8), frames),
            pa.DictionaryArray.from_arrays(np.tile(person, frames), pa.array(list(Person))),
            *crop_windows.astype(np.float32).reshape(-1, 4).T,
            shots[frame],
            pa.DictionaryArray.from_arrays(states.astype(np.int8).ravel(), pa.array(list(CameraState))),
        ]
        metadata = PlanMetadata(
            **tracks.metadata.model_dump(include={"fingerprint", *VideoMetadata.model_fields, "people"}),
            tracks_sha256=tracks.sha256,
            frame_count=frames,
            layout=layout.name,
            camera=dict(camera),
        )
        return cls(pa.table(columns, schema=cls.SCHEMA), metadata)

    @property
    def layout(self) -> Layout:
        """The canvas and its tiles. Raises SettingsError for a layout that is not known."""
        return layout(self.metadata.layout)

    @property
    def frame_count(self) -> int:
        """Output frames."""
        return self.metadata.frame_count

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
        """What the tiles show of the source: (frames, tiles, 4) of center x, center y, width and height in pixels."""
        windows = np.stack([self._grid(name) for name in CROP_WINDOW], axis=-1)
        windows.flags.writeable = False
        return windows

    @cached_property
    def states(self) -> NDArray[np.str_]:
        """Camera states: (frames, tiles) of `CameraState`."""
        states = self._grid("state").astype(np.str_)
        states.flags.writeable = False
        return states

    def _grid(self, name: str) -> NDArray[Any]:
        """A column as (frames, tiles)."""
        values: NDArray[Any] = self.table[name].to_numpy()
        return values.reshape(self.frame_count, -1)
