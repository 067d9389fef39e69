"""Charts of a review page: what happens over time, as paths of scalable graphics.

Belongs here: numbers into shapes. All charts of a page share one time axis, so that a playhead can cross them; how they
look (colors, light or dark) is the page's style. Sizes do not grow with the length of the video.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from dualface_core.advice.timeline_events import Kind, TimelineEvent
from dualface_core.media.probe import VideoInfo
from dualface_core.review.timeline import Timeline
from dualface_core.tables.face_tracks import FaceTracks
from dualface_core.tables.labels import Person
from dualface_core.tables.tile_plan import TilePlan

WIDTH: Final = 2000
HEIGHT: Final = 1000
"""Of a chart, in units of its own; the page stretches it."""

_TICKS: Final = 8
_STEPS: Final = (0.1, 0.2, 0.5, 1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200)


@dataclass(frozen=True)
class Shape:
    """A path.

    Attributes:
        kind: "band", "line" or "face": how it is drawn.
        person: whose color it has.
        path: in units of the chart, as SVG writes it.
    """

    kind: str
    person: Person
    path: str


@dataclass(frozen=True)
class Shade:
    """A stretch of time: what it is, and its place and width in percent of the chart's width."""

    kind: Kind
    left: float
    width: float


@dataclass(frozen=True)
class Chart:
    """One chart.

    Attributes:
        title: what it shows, in a few words.
        description: the same for those who cannot see it.
        top, bottom: what its upper and lower edge stand for.
        shapes: bands first, so that lines lie on top.
        shades: stretches of time to mark.
    """

    title: str
    description: str
    top: str
    bottom: str
    shapes: Sequence[Shape]
    shades: Sequence[Shade]


@dataclass(frozen=True)
class Axis:
    """The time axis of all charts, in seconds by the file's own timestamps."""

    start: float
    end: float

    @classmethod
    def of(cls, video: VideoInfo) -> Axis:
        """The axis of a video: from its first picture's begin to its last one's end."""
        start = float(video.first_pts * video.time_base)
        return cls(start, start + max(video.duration, 0.001))

    def percent(self, time: float) -> float:
        """Where a time lies, in percent of the width."""
        return round(100 * (time - self.start) / (self.end - self.start), 3)

    def ticks(self) -> list[tuple[float, float]]:
        """Round times to label, each with its place in percent."""
        span = self.end - self.start
        step = next((step for step in _STEPS if span / step <= _TICKS), span / _TICKS)
        first = int(np.ceil(self.start / step))
        times = [number * step for number in range(first, int(self.end / step) + 1)]
        return [(time, self.percent(time)) for time in times]


def charts(axis: Axis, tracks: FaceTracks, plan: TilePlan, found: Sequence[TimelineEvent]) -> list[Chart]:
    """All charts of a page: where the faces are, what each tile's camera does, and how much it enlarges."""
    timeline = Timeline.of(tracks)
    width = float(tracks.metadata.frame_width)
    x = (timeline.at - axis.start) * (WIDTH / (axis.end - axis.start))
    boxes = {person: tracks.boxes(person) for person in tracks.people}

    def across(values: NDArray[np.float64]) -> NDArray[np.float64]:
        """Places in the picture, from its left edge (the chart's lower) to its right one."""
        return HEIGHT * (1 - np.clip(values / width, 0, 1))

    faces: list[Shape] = []
    for person, box in boxes.items():
        low, high = timeline.least(box[:, 0]), timeline.greatest(box[:, 0] + box[:, 2])
        faces.append(Shape("band", person, _band(x, across(low), across(high))))
        faces.append(Shape("line", person, _line(x, across((low + high) / 2))))
    made = [
        Chart(
            "Faces",
            f"Where the faces of {' and '.join(boxes)} are from the left to the right of the picture, over time.",
            "right",
            "left",
            faces,
            _shades(axis, found, {Kind.UNSURE}),
        )
    ]
    crop_windows = plan.crop_windows.astype(np.float64)
    zooms: list[tuple[Person, NDArray[np.float64]]] = []
    for index, tile in enumerate(plan.layout.tiles):
        center, wide = crop_windows[:, index, 0], crop_windows[:, index, 2]
        low, high = timeline.least(center - wide / 2), timeline.greatest(center + wide / 2)
        shapes = [
            Shape("band", tile.person, _band(x, across(low), across(high))),
            Shape("line", tile.person, _line(x, across(timeline.middle(center)))),
        ]
        if tile.person in boxes:
            box = boxes[tile.person]
            face = _line(x, across(timeline.middle(box[:, 0] + box[:, 2] / 2)))
            shapes.append(Shape("face", tile.person, face))
        of_tile = [event for event in found if event.person == tile.person]
        made.append(
            Chart(
                f"Camera {tile.person}",
                f"Which part of the picture, from left to right, tile {tile.person} shows over time, and where the "
                "middle of the face is.",
                "right",
                "left",
                shapes,
                _shades(axis, of_tile, {Kind.HOLDING, Kind.WIDE}),
            )
        )
        zooms.append((tile.person, timeline.middle(tile.width / wide)))
    top = max(2.0, float(np.ceil(max(np.nanmax(zoom) for _, zoom in zooms))))
    lines = [Shape("line", person, _line(x, HEIGHT * (1 - zoom / top))) for person, zoom in zooms]
    made.append(
        Chart("Zoom", "How many times each tile enlarges the picture, over time.", f"{top:g}x", "0x", lines, ())
    )
    return made


def _shades(axis: Axis, found: Sequence[TimelineEvent], kinds: set[Kind]) -> list[Shade]:
    return [
        Shade(event.kind, axis.percent(event.start), max(0.2, axis.percent(event.end) - axis.percent(event.start)))
        for event in found
        if event.kind in kinds
    ]


def _line(x: NDArray[np.float64], y: NDArray[np.float64]) -> str:
    """A path through all points, broken where there are none."""
    return "".join(f"M{_points(x[part], y[part])}" for part in _unbroken(y))


def _band(x: NDArray[np.float64], low: NDArray[np.float64], high: NDArray[np.float64]) -> str:
    """The area between two lines, broken where there is none."""
    parts = []
    for part in _unbroken(low + high):
        along = np.concatenate([x[part], x[part][::-1]])
        parts.append(f"M{_points(along, np.concatenate([low[part], high[part][::-1]]))}Z")
    return "".join(parts)


def _points(x: NDArray[np.float64], y: NDArray[np.float64]) -> str:
    points = [f"{across:.0f},{down:.0f}" for across, down in zip(x.tolist(), y.tolist(), strict=True)]
    return " ".join(points if len(points) > 1 else points * 2)  # one point is drawn as a dot


def _unbroken(values: NDArray[np.float64]) -> list[slice]:
    """The stretches without NaN."""
    there = np.concatenate([[False], ~np.isnan(values), [False]]).astype(np.int8)
    return [slice(first, stop) for first, stop in np.flatnonzero(np.diff(there)).reshape(-1, 2).tolist()]
