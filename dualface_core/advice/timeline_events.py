"""Timeline events: the places of a video that a person should check, with their times.

Belongs here: finding them in the tables. What is too unsure, too long or too much is `advisories`' business.
"""

from __future__ import annotations

from collections.abc import Iterator
from enum import StrEnum
from typing import Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict

from dualface_core.tables.face_tracks import FaceTracks
from dualface_core.tables.labels import CameraState, Person
from dualface_core.tables.tile_plan import TilePlan

LEAST_MARGIN: Final = 3.0
"""Nats by which a name must be better than the other one and than none: odds of 20 to 1 (e^3), which leaves the
customary 5 % to chance. A clear face crop gives ten or more where two people look different."""


class Kind(StrEnum):
    """What happens."""

    CUT = "cut"
    HOLDING = "holding"
    WIDE = "wide"
    UNSURE = "unsure"
    LOST = "lost"


class TimelineEvent(BaseModel):
    """A stretch of a video, or a point in it.

    Attributes:
        kind: what happens.
        person: whose tile or whose name it is about; None for a cut and for what is lost to damage.
        start, end: in seconds by the file's own timestamps; equal for a cut.
        margin: of an unsure name, how sure it is, in nats.
    """

    model_config = ConfigDict(frozen=True)

    kind: Kind
    person: Person | None = None
    start: float
    end: float
    margin: float | None = None


def events(tracks: FaceTracks, plan: TilePlan) -> list[TimelineEvent]:
    """All of them, in order of time."""
    times = tracks.times
    found = [TimelineEvent(kind=Kind.CUT, start=at, end=at) for at in times[tracks.cuts].tolist()]
    found += unsure_events(tracks)
    found += [TimelineEvent(kind=Kind.LOST, start=start, end=end) for start, end in tracks.metadata.lost]
    for person in Person:
        alone = plan.drawn & (plan.subjects == person)
        for kind, state in ((Kind.HOLDING, CameraState.HOLDING), (Kind.WIDE, CameraState.WIDE)):
            for first, last in _runs((alone & (plan.states == state)).any(axis=1)):
                end = times[min(last + 1, len(times) - 1)]
                found.append(TimelineEvent(kind=kind, person=person, start=float(times[first]), end=float(end)))
    return sorted(found, key=lambda event: (event.start, event.end))


def unsure_events(tracks: FaceTracks) -> list[TimelineEvent]:
    """Tracklets of which it is less sure than `LEAST_MARGIN` that they have the right name."""
    table = tracks.table.select(["tracklet", "time", "identity_margin"]).append_column(
        "person", tracks.table.column("person").cast(pa.string())
    )
    named = pc.and_(pc.is_valid(table["person"]), pc.less(table["identity_margin"], LEAST_MARGIN))
    grouped = table.filter(named).group_by(["tracklet", "person"])
    rows = grouped.aggregate([("time", "min"), ("time", "max"), ("identity_margin", "min")]).to_pylist()
    return [
        TimelineEvent(
            kind=Kind.UNSURE,
            person=row["person"],
            start=row["time_min"],
            end=row["time_max"],
            margin=row["identity_margin_min"],
        )
        for row in sorted(rows, key=lambda row: (row["time_min"], row["tracklet"]))
    ]


def _runs(mask: NDArray[np.bool_]) -> Iterator[tuple[int, int]]:
    """First and last index of every unbroken run of True."""
    edges = np.flatnonzero(np.diff(np.concatenate([[False], mask, [False]]).astype(np.int8)))
    for first, stop in edges.reshape(-1, 2).tolist():
        yield first, stop - 1
