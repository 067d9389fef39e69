"""What is noted down of each frame while a sample is drawn, and the truth that comes of it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import astuple, dataclass, field
from itertools import groupby, pairwise
from typing import Any, TypeVar

import pyarrow as pa

from dualface_core.sample.drawing import Region
from dualface_core.sample.moments import Actor, Moment
from dualface_core.sample.truth import Allowed, SampleTruth, TruthMetadata, may_be_shown
from dualface_core.tables.face_tracks import Box, Shot
from dualface_core.tables.labels import SceneKind

_ABSENT = Region(0, 0, 0, 0, 0, 0, 0, visible=0, head_visible=0, turned=0)
T = TypeVar("T")


@dataclass
class TruthNotes:
    """The notes of one sample.

    Args:
        cast: everybody who has rows in the truth; the first two are those that the scene is about.
        width, height: of the frame, in pixels.
    """

    cast: tuple[Actor, ...]
    width: int
    height: int
    _rows: list[tuple[Any, ...]] = field(default_factory=list)
    _shots: list[int] = field(default_factory=list)
    _fading: list[bool] = field(default_factory=list)
    _boxes: list[tuple[Box, ...]] = field(default_factory=list)
    _kinds: list[frozenset[SceneKind]] = field(default_factory=list)

    def add(self, pts: int, moment: Moment, regions: dict[Actor, Region]) -> None:
        """Note down the next frame."""
        drawn = [regions.get(person, _ABSENT) for person in self.cast]
        frame = len(self._shots)
        self._rows += [
            (frame, pts, moment.shot, person, *astuple(region)) for person, region in zip(self.cast, drawn, strict=True)
        ]
        self._shots.append(moment.shot)
        self._fading.append(moment.fade is not None)
        self._boxes.append(tuple(pane.pixels(self.width, self.height) for pane in moment.panes))
        self._kinds.append(may_be_shown(drawn[:2], drawn[2:], panes=len(moment.panes) > 1))

    def truth(self, **known: Any) -> SampleTruth:
        """The truth, once every frame is noted down. `known`: the metadata that is known without the frames."""
        shots = []
        for first, last in _runs(self._shots):
            boxes = self._boxes[first]
            picture, panes = (boxes[0], ()) if len(boxes) == 1 else (None, boxes)
            shots.append(Shot(first=first, last=last, picture=picture, panes=panes))
        metadata = TruthMetadata(
            **known,
            frame_width=self.width,
            frame_height=self.height,
            frame_count=len(self._shots),
            people=(self.cast[0], self.cast[1]),
            shots=shots,
            cuts=[self._beginnings(after.first) for _, after in pairwise(shots)],
            allowed=[Allowed(first=first, last=last, kinds=self._kinds[first]) for first, last in _runs(self._kinds)],
        )
        columns = dict(zip(SampleTruth.SCHEMA.names, zip(*self._rows, strict=True), strict=True))
        return SampleTruth(pa.table(columns, schema=SampleTruth.SCHEMA), metadata)

    def _beginnings(self, first: int) -> tuple[int, int]:
        """The frames that a shot may be said to begin with."""
        earliest = latest = first
        while self._fading[earliest - 1]:
            earliest -= 1
        while latest + 1 < len(self._fading) and self._fading[latest]:
            latest += 1
        return earliest, latest


def _runs(values: Sequence[T]) -> Iterator[tuple[int, int]]:
    """First and last index of each stretch of equal values."""
    first = 0
    for _, same in groupby(values):
        last = first + len(list(same)) - 1
        yield first, last
        first = last + 1
