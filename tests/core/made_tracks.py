"""Face tracks made by hand, for tests of what is done with them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import pairwise
from typing import Any, TypeVar

import numpy as np
import pyarrow as pa
from numpy.typing import ArrayLike, NDArray

from dualface_core.camera.film import film
from dualface_core.camera.parameters import CameraParameters
from dualface_core.tables.declared import DeclaredTable
from dualface_core.tables.face_tracks import FaceTracks, Shot, TracksMetadata
from dualface_core.tables.labels import Person, SceneKind
from dualface_core.tables.layouts import LAYOUTS, Layout
from dualface_core.tables.scenes import Scene
from dualface_core.tables.tile_plan import TilePlan


def face_tracks(
    people: Mapping[str, ArrayLike],
    *,
    size: tuple[int, int] = (1920, 1080),
    pts: Sequence[int] | None = None,
    time_base: str = "1/30",
    cuts: Sequence[int] = (),
    detected: Mapping[str, ArrayLike] | None = None,
    fingerprint: str = "0" * 64,
) -> FaceTracks:
    """Tracks of the given boxes: `face_tracks({"A": boxes})`.

    `people` holds (frames, 4) of x, y, width, height for each person, NaN where they are not seen; all but A and B are
    anyone else. `pts` are 0, 1, 2... unless given; `cuts` are the first frames of all shots but the first; `detected`
    says which frames' faces were detected, all unless given.
    """
    boxes = {person: np.asarray(values, np.float64) for person, values in people.items()}
    frames = len(next(iter(boxes.values())))
    frame_pts = list(range(frames)) if pts is None else [int(value) for value in pts]
    edges = [0, *cuts, frames]
    shot_of = np.searchsorted(list(cuts), np.arange(frames), side="right")
    metadata = TracksMetadata(
        fingerprint=fingerprint,
        time_base=time_base,
        frame_width=size[0],
        frame_height=size[1],
        frame_pts=frame_pts,
        shots=[Shot(first=first, last=stop - 1) for first, stop in pairwise(edges)],
        people=[person for person in people if person in list(Person)],
    )
    rows = []
    for tracklet, (person, values) in enumerate(boxes.items()):
        name = person if person in metadata.people else None
        for frame in np.flatnonzero(~np.isnan(values[:, 0])).tolist():
            x, y, width, height = values[frame].tolist()
            eyes, mouth = y + 0.38 * height, y + 0.78 * height
            left, right = x + 0.3 * width, x + 0.7 * width
            landmarks = [left, eyes, right, eyes, x + width / 2, y + 0.6 * height, left, mouth, right, mouth]
            source = "detected" if detected is None or np.asarray(detected[person])[frame] else "interpolated"
            time = frame_pts[frame] * float(metadata.seconds_per_pts)
            place = (frame, frame_pts[frame], time, int(shot_of[frame]), tracklet, name)
            row = (*place, x, y, width, height, 0.9, landmarks, source, 1.0)
            rows.append(dict(zip(FaceTracks.SCHEMA.names, row, strict=True)))
    rows.sort(key=lambda row: (row["frame"], row["tracklet"]))
    return FaceTracks(pa.Table.from_pylist(rows, schema=FaceTracks.SCHEMA), metadata)


def split_plan(
    tracks: FaceTracks,
    crop_windows: NDArray[np.floating],
    states: NDArray[np.integer] | None = None,
    *,
    layout: Layout = LAYOUTS["side-by-side"],
    camera: Mapping[str, Any] | None = None,
) -> TilePlan:
    """A plan of one split from first to last, of (frames, tiles, 4) of center x, center y, width and height."""
    return TilePlan.of(
        tracks,
        layout,
        scenes=[_split(tracks, layout)],
        tiles=np.broadcast_to([tile.rectangle for tile in layout.tiles], crop_windows.shape),
        crop_windows=crop_windows,
        states=np.zeros(crop_windows.shape[:2], np.int8) if states is None else states,
        camera=camera or {},
        direction={},
    )


def plan_camera(tracks: FaceTracks, layout: Layout, parameters: CameraParameters | None = None) -> TilePlan:
    """What the cameras make of one split from first to last."""
    parameters = parameters or CameraParameters()
    rectangles = np.array([tile.rectangle for tile in layout.tiles])
    tiles = np.broadcast_to(rectangles, (tracks.frame_count, *rectangles.shape))
    filmed = film(tracks, [_split(tracks, layout)], tiles, parameters)
    return split_plan(tracks, filmed.crop_windows, filmed.states, layout=layout, camera=parameters.model_dump())


def _split(tracks: FaceTracks, layout: Layout) -> Scene:
    cast = tuple(tile.subject for tile in layout.tiles)
    return Scene(first=0, last=tracks.frame_count - 1, kind=SceneKind.SPLIT, cast=cast, reason="The test wants it.")


Table = TypeVar("Table", bound=DeclaredTable[Any])


def with_columns(table: Table, **columns: ArrayLike) -> Table:
    """The same table with other values in some columns."""
    rows = table.table
    for name, values in columns.items():
        field = rows.schema.field(name)
        rows = rows.set_column(rows.schema.get_field_index(name), field, pa.array(values, field.type))
    return replace(table, table=rows)
