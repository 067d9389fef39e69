"""The rows of FaceTracks: labeled tracklets, and what lies between their detections.

Belongs here: interpolation and the layout of the table. A face is interpolated between two detections of one tracklet,
and between two tracklets of one person in a shot if the gap is short. Where no face is found for longer, the rows say
where the head was followed to (`heads`); nothing else is ever guessed before the first or after the last detection.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from dualface_core.tables.declared import BOX
from dualface_core.tables.face_tracks import FaceTracks
from dualface_core.tables.labels import FaceSource, Person
from dualface_core.tracking.heads import HeadPath, through_gap
from dualface_core.tracking.identities import EmbeddedTracklet, Labeling
from dualface_core.tracking.tracklets import LONGEST_GAP, Tracklet

_DETECTED, _INTERPOLATED, _FOLLOWED = range(len(FaceSource))

_FOLLOWED_SCORE: Final = 0.5
"""Of a head without a face, as a share of the score of its nearest face."""


def face_rows(
    embedded: Sequence[EmbeddedTracklet],
    labeling: Labeling,
    heads: Sequence[tuple[HeadPath, HeadPath]],
    pts: NDArray[np.int64],
    times: NDArray[np.float64],
) -> pa.Table:
    """Lay out the table.

    Args:
        embedded: in the order of their first frames.
        labeling: who they are.
        heads: for each of them, where the head was before the first face and after the last one.
        pts: (frames,) presentation timestamp of every frame.
        times: (frames,) the same in seconds.

    Returns:
        The rows of FaceTracks, sorted by frame and tracklet.
    """
    blocks: list[_Columns] = []
    last: dict[Person, tuple[_Named, HeadPath]] = {}
    for item, person, margin, (before, after) in zip(embedded, labeling.persons, labeling.margins, heads, strict=True):
        label = list(Person).index(person) if person is not None else -1
        named = _Named(item.tracklet, label, np.nan if margin is None else margin)
        blocks.append(named.block(times, _keys(item.tracklet)))
        if person is None:
            continue
        if person not in last:
            blocks.append(named.followed(times, before, 0))
        else:
            earlier, onward = last[person]
            if earlier.tracklet.shot != item.tracklet.shot:
                blocks += [earlier.followed(times, onward, -1), named.followed(times, before, 0)]
            elif item.tracklet.times[0] - earlier.tracklet.times[-1] <= LONGEST_GAP:
                (frames, values), (next_frames, next_values) = _keys(earlier.tracklet), _keys(item.tracklet)
                keys = np.append(frames[-1:], next_frames[:1]), np.vstack([values[-1:], next_values[:1]])
                between = replace(earlier, margin=min(earlier.margin, named.margin)).block(times, keys)
                blocks.append({name: column[1:-1] for name, column in between.items()})
            else:
                ways = through_gap(onward, before)
                ends = earlier.tracklet.frames[-1], item.tracklet.frames[0]
                blocks += [
                    known.followed(times, way, row, *ends)
                    for known, row, way in zip((earlier, named), (-1, 0), ways, strict=False)
                ]
        last[person] = named, after
    blocks += [named.followed(times, after, -1) for named, after in last.values()]
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


_Columns = dict[str, NDArray[Any]]


@dataclass(frozen=True)
class _Named:
    """A tracklet, the place of its person in `Person` (-1 for nobody), and how sure that is."""

    tracklet: Tracklet
    label: int
    margin: float

    def block(self, times: NDArray[np.float64], keys: tuple[NDArray[np.intp], NDArray[np.float64]]) -> _Columns:
        """Columns for every frame from the first key to the last, linear in time between the keys."""
        frames, values = keys
        every = np.arange(frames[0], frames[-1] + 1)
        filled = np.column_stack([np.interp(times[every], times[frames], column) for column in values.T])
        return {
            "frame": every,
            "shot": np.full(len(every), self.tracklet.shot),
            "tracklet": np.full(len(every), self.tracklet.number),
            "person": np.full(len(every), self.label),
            "values": filled,
            "source": np.where(np.isin(every, frames), _DETECTED, _INTERPOLATED),
            "identity_margin": np.full(len(every), self.margin),
        }

    def followed(self, times: NDArray[np.float64], path: HeadPath, row: int, *also: int) -> _Columns:
        """Columns for the frames of a path from detection `row` on, or back to it, but its own frame and `also` those.

        Score and landmarks come from that detection; the landmarks move and grow with the box.
        """
        tracklet = self.tracklet
        box = tracklet.boxes[row]
        shares = (tracklet.landmarks[row] - box[:2]) / box[2:]
        landmarks = path.boxes[:, None, :2] + shares * path.boxes[:, None, 2:]
        scores = np.full((len(path.frames), 1), _FOLLOWED_SCORE * tracklet.scores[row])
        keys = np.hstack([path.boxes, scores, landmarks.reshape(-1, 10)])
        columns = self.block(times, (path.frames, keys))
        columns["source"] = np.full(len(columns["frame"]), _FOLLOWED)
        alone = ~np.isin(columns["frame"], [tracklet.frames[row], *also])
        return {name: column[alone] for name, column in columns.items()}


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
