"""The rows of FaceTracks: labeled tracklets, and what lies between their detections.

Belongs here: interpolation and the layout of the table. A face is interpolated between two detections of one tracklet,
and between two tracklets of one person in a shot if the gap is short; nothing is ever guessed before the first or after
the last detection.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from dualface_core.tables.declared import BOX
from dualface_core.tables.face_tracks import FaceTracks
from dualface_core.tables.labels import FaceSource, Person
from dualface_core.tracking.identities import EmbeddedTracklet, Labeling
from dualface_core.tracking.tracklets import LONGEST_GAP, Tracklet


def face_rows(
    embedded: Sequence[EmbeddedTracklet], labeling: Labeling, pts: NDArray[np.int64], times: NDArray[np.float64]
) -> pa.Table:
    """Lay out the table.

    Args:
        embedded: in the order of their first frames.
        labeling: who they are.
        pts: (frames,) presentation timestamp of every frame.
        times: (frames,) the same in seconds.

    Returns:
        The rows of FaceTracks, sorted by frame and tracklet.
    """
    blocks: list[dict[str, NDArray[Any]]] = []
    last: dict[Person, tuple[Tracklet, float]] = {}
    for item, person, margin in zip(embedded, labeling.persons, labeling.margins, strict=True):
        tracklet = item.tracklet
        label = list(Person).index(person) if person is not None else -1
        known = np.nan if margin is None else margin
        blocks.append(_block(tracklet.number, label, known, tracklet.shot, times, _keys(tracklet)))
        if person is None:
            continue
        if person in last:
            earlier, earlier_margin = last[person]
            if earlier.shot == tracklet.shot and tracklet.times[0] - earlier.times[-1] <= LONGEST_GAP:
                (frames, values), (next_frames, next_values) = _keys(earlier), _keys(tracklet)
                ends = np.append(frames[-1:], next_frames[:1]), np.vstack([values[-1:], next_values[:1]])
                between = _block(earlier.number, label, min(known, earlier_margin), tracklet.shot, times, ends)
                blocks.append({name: column[1:-1] for name, column in between.items()})
        last[person] = (tracklet, known)
    if not blocks:
        return FaceTracks.SCHEMA.empty_table()
    columns = {name: np.concatenate([block[name] for block in blocks]) for name in blocks[0]}
    order = np.lexsort((columns["tracklet"], columns["frame"]))
    return _arrow({name: column[order] for name, column in columns.items()}, pts, times)


def _keys(tracklet: Tracklet) -> tuple[NDArray[np.intp], NDArray[np.float64]]:
    """Frame numbers (n,), and (n, 15) of x, y, width, height, score and landmarks, of the detections."""
    boxes, scores = np.array(tracklet.boxes), np.array(tracklet.scores)[:, None]
    landmarks = np.array(tracklet.landmarks).reshape(-1, 10)
    return np.array(tracklet.frames), np.hstack([boxes, scores, landmarks], dtype=np.float64)


def _block(
    number: int,
    label: int,
    margin: float,
    shot: int,
    times: NDArray[np.float64],
    keys: tuple[NDArray[np.intp], NDArray[np.float64]],
) -> dict[str, NDArray[Any]]:
    """Columns for every frame from the first key to the last, linear in time between the keys."""
    frames, values = keys
    every = np.arange(frames[0], frames[-1] + 1)
    filled = np.column_stack([np.interp(times[every], times[frames], column) for column in values.T])
    return {
        "frame": every,
        "shot": np.full(len(every), shot),
        "tracklet": np.full(len(every), number),
        "person": np.full(len(every), label),
        "values": filled,
        "source": np.where(np.isin(every, frames), 0, 1),
        "identity_margin": np.full(len(every), margin),
    }


def _arrow(columns: dict[str, NDArray[Any]], pts: NDArray[np.int64], times: NDArray[np.float64]) -> pa.Table:
    frames, values, person = columns["frame"], columns["values"].astype(np.float32), columns["person"]
    margin = columns["identity_margin"]
    arrays = {
        "frame": frames,
        "pts": pts[frames],
        "time": times[frames],
        "shot": columns["shot"],
        "tracklet": columns["tracklet"],
        "person": pa.DictionaryArray.from_arrays(pa.array(person, pa.int8(), mask=person < 0), list(Person)),
        **dict(zip((*BOX, "score"), values[:, :5].T, strict=True)),
        "landmarks": pa.FixedSizeListArray.from_arrays(values[:, 5:].ravel(), 10),
        "source": pa.DictionaryArray.from_arrays(pa.array(columns["source"], pa.int8()), list(FaceSource)),
        "identity_margin": pa.array(margin, pa.float32(), mask=np.isnan(margin)),
    }
    return pa.table(arrays).cast(FaceTracks.SCHEMA)
