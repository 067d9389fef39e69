"""Charts of what happens over time: one model of axis, series and shades, whatever draws it.

Belongs here: numbers into shapes. The review page writes them as SVG paths, so that a playhead can cross them, and
`plots` draws them as PNG for Dagster's metadata; how they look is up to these two. All charts of a page share one time
axis. Sizes do not grow with the length of the video.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from dualface_core.advice.timeline_events import Kind, TimelineEvent
from dualface_core.gpu.monitor import LoadLog
from dualface_core.review.timeline import Timeline
from dualface_core.tables.face_tracks import FaceTracks
from dualface_core.tables.labels import SceneKind
from dualface_core.tables.tile_plan import TilePlan

WIDTH: Final = 2000
HEIGHT: Final = 1000
"""Of a chart, in units of its own; what draws it stretches it."""

_TICKS: Final = 8
_STEPS: Final = (0.1, 0.2, 0.5, 1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200)
_STRANGER_GRID: Final = 100
"""Places from left to right that faces of anyone else are told apart by, in each bin."""

SCENE_NAMES: Final[dict[Kind | SceneKind, str]] = {
    SceneKind.SPLIT: "split",
    SceneKind.SOLO: "one person",
    SceneKind.TOGETHER: "both together",
    SceneKind.WHOLE: "whole picture",
}

_SHADES: Final[dict[Kind | SceneKind, str]] = {
    **SCENE_NAMES,
    Kind.HOLDING: "tile holds still",
    Kind.WIDE: "wide shot",
    Kind.UNSURE: "not sure who it is",
}


@dataclass(frozen=True)
class Series:
    """One line, or the area between two.

    Attributes:
        kind: "band", "line" or "thin" (a thin line): how it is drawn.
        color: a `Subject`, that one's; "face"; "other"; or "C" and "D" for more.
        parts: unbroken stretches, (points, 2) of x and y in units of the chart; of a band, its outline.
        label: what it is, for the legend; empty if it needs none.
    """

    kind: str
    color: str
    parts: Sequence[NDArray[np.int32]]
    label: str = ""

    @property
    def path(self) -> str:
        """The parts as SVG writes them; a single point is drawn as a dot."""
        end = "Z" if self.kind == "band" else ""
        return "".join(f"M{' '.join(f'{x},{y}' for x, y in part.tolist())}{end}" for part in self.parts)


@dataclass(frozen=True)
class Shade:
    """A stretch of time: what it is, its place and width in percent of the chart's width, and a sentence about it."""

    kind: Kind | SceneKind
    left: float
    width: float
    sentence: str = ""


@dataclass(frozen=True)
class Chart:
    """One chart.

    Attributes:
        title: what it shows, in a few words.
        description: the same for those who cannot see it.
        top, bottom: what its upper and lower edge stand for.
        series: bands first, so that lines lie on top.
        shades: stretches of time to mark.
        low: whether half the height is enough for it.
    """

    title: str
    description: str
    top: str
    bottom: str
    series: Sequence[Series]
    shades: Sequence[Shade] = ()
    low: bool = False


@dataclass(frozen=True)
class Axis:
    """The time axis of all charts, in seconds by the file's own timestamps, and the cuts on it."""

    start: float
    end: float
    cuts: Sequence[float] = ()

    @classmethod
    def of(cls, tracks: FaceTracks) -> Axis:
        """The axis of a video: from its first frame's begin to its last one's end."""
        times = tracks.times
        last = times[-1] - times[-2] if len(times) > 1 else 0.04
        return cls(float(times[0]), float(times[-1] + last), times[tracks.cuts].tolist())

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


@dataclass(frozen=True)
class _Scale:
    """From times and values to units of a chart whose lower edge is 0 and whose upper one is `top`."""

    axis: Axis
    at: NDArray[np.float64]
    top: float

    def line(self, kind: str, color: str, values: NDArray[np.float64], label: str = "") -> Series:
        """A line through all values, broken where there are none."""
        points = self._points(values)
        return Series(kind, color, [_at_least_two(points[part]) for part in _unbroken(values)], label)

    def band(self, color: str, low: NDArray[np.float64], high: NDArray[np.float64]) -> Series:
        """The area between two lines, broken where there is none."""
        below, above = self._points(low), self._points(high)
        return Series(
            "band", color, [np.concatenate([below[part], above[part][::-1]]) for part in _unbroken(low + high)]
        )

    def dots(self, color: str, values: NDArray[np.float64], label: str) -> Series:
        """A dot for each value."""
        return Series("line", color, [_at_least_two(point[None]) for point in self._points(values)], label)

    def _points(self, values: NDArray[np.float64]) -> NDArray[np.int32]:
        x = (self.at - self.axis.start) * (WIDTH / (self.axis.end - self.axis.start))
        y = HEIGHT * (1 - np.clip(np.nan_to_num(values) / self.top, 0, 1))
        return np.rint(np.stack([x, y], axis=1)).astype(np.int32)


def video_charts(axis: Axis, tracks: FaceTracks, plan: TilePlan, found: Sequence[TimelineEvent]) -> list[Chart]:
    """What is shown, where the faces are, what each tile's camera does, and how much it enlarges."""
    return [scenes_chart(axis, plan), faces_chart(axis, tracks, found), *camera_charts(axis, tracks, plan, found)]


def scenes_chart(axis: Axis, plan: TilePlan) -> Chart:
    """A band of scenes, each with its reason."""
    shades = [
        Shade(scene.kind, axis.percent(scene.start), axis.percent(scene.end) - axis.percent(scene.start), scene.reason)
        for scene in plan.timed_scenes
    ]
    return Chart("Scenes", "What is shown over time.", "", "", [], shades, low=True)


def faces_chart(axis: Axis, tracks: FaceTracks, found: Sequence[TimelineEvent]) -> Chart:
    """Where the faces are from left to right: bold where they were detected, thin where they are interpolated."""
    timeline = Timeline.of(tracks.times, tracks.cuts)
    width, people = float(tracks.metadata.frame_width), tracks.people
    scale = _Scale(axis, timeline.at, width)
    names, detected = (tracks.table.column(name).cast(pa.string()).to_numpy() for name in ("person", "source"))
    detected = detected == "detected"
    frames, left, wide = (tracks.table.column(name).to_numpy() for name in ("frame", "x", "width"))
    series: list[Series] = []
    strangers = np.array([name is None for name in names], bool)
    if strangers.any():
        bins = np.searchsorted(timeline.starts, frames[strangers], side="right") - 1
        places = np.rint((left + wide / 2)[strangers] * (_STRANGER_GRID / width))
        dots = np.unique(np.stack([timeline.at[timeline.slots][bins], places], axis=1), axis=0)
        around = _Scale(axis, dots[:, 0], _STRANGER_GRID)
        series.append(around.dots("other", dots[:, 1], "anyone else"))
    for person in people:
        box = tracks.boxes(person)
        low, high = timeline.least(box[:, 0]), timeline.greatest(box[:, 0] + box[:, 2])
        seen = np.full(len(box), np.nan)
        seen[frames[(names == person) & detected]] = 0
        share = np.count_nonzero(seen == 0) / max(1, int(np.count_nonzero(names == person)))
        middle = (low + high) / 2
        series += [
            scale.band(person, low, high),
            scale.line("thin", person, middle),
            scale.line("line", person, middle + timeline.least(seen), f"{person}, {share:.0%} detected"),
        ]
    return Chart(
        "Faces",
        f"Where the faces of {' and '.join(people)} are from the left to the right of the frame, over time.",
        "right",
        "left",
        series,
        _shades(axis, found, {Kind.UNSURE}),
    )


def camera_charts(axis: Axis, tracks: FaceTracks, plan: TilePlan, found: Sequence[TimelineEvent]) -> list[Chart]:
    """For each tile what its camera shows from left to right against where the face is; and how much they enlarge."""
    timeline = Timeline.of(tracks.times, tracks.cuts)
    scale = _Scale(axis, timeline.at, float(tracks.metadata.frame_width))
    crop_windows = np.where(plan.drawn[..., None], plan.crop_windows.astype(np.float64), np.nan)
    made: list[Chart] = []
    zooms: list[tuple[str, NDArray[np.float64]]] = []
    for index, tile in enumerate(plan.layout.tiles):
        name, center, wide = tile.subject, crop_windows[:, index, 0], crop_windows[:, index, 2]
        low, high = timeline.least(center - wide / 2), timeline.greatest(center + wide / 2)
        series = [
            scale.band(name, low, high),
            scale.line("line", name, timeline.middle(center), f"camera {name}"),
        ]
        for person in set(name.people) & set(tracks.people):
            box = tracks.boxes(person)
            face = timeline.middle(box[:, 0] + box[:, 2] / 2)
            series.append(scale.line("thin", "face", face, "middle of the face"))
        made.append(
            Chart(
                f"Camera {name}",
                f"Which part of the frame, from left to right, {name.tile} shows over time, and where the "
                "middle of the face is.",
                "right",
                "left",
                series,
                _shades(axis, [event for event in found if event.person in name.people], {Kind.HOLDING, Kind.WIDE}),
            )
        )
        zooms.append((name, timeline.middle(plan.tiles[:, index, 2] / wide)))
    top = max(2.0, float(np.ceil(1.05 * max(np.nanmax(zoom, initial=0) for _, zoom in zooms))))
    scale = _Scale(axis, timeline.at, top)
    lines = [scale.line("line", name, zoom) for name, zoom in zooms]
    about = "How many times each tile enlarges the frame, over time."
    return [*made, Chart("Zoom", about, f"{top:g}x", "0x", lines, low=True)]


def load_charts(log: LoadLog) -> tuple[Axis, list[Chart]]:
    """Load of processors, memory and, where there is one, the GPU, from the job's begin."""
    table, gib = log.table, float(1 << 30)
    times = table.column("time").to_numpy()
    axis, timeline = Axis(0.0, max(float(times[-1]), 0.001)), Timeline.of(times)

    def values(name: str) -> NDArray[np.float64]:
        return timeline.mean(table.column(name).cast(pa.float64()).fill_null(np.nan).to_numpy())

    panels = {
        "CPU": ("%", 100.0, {"host": values("cpu_percent"), "job": values("job_cpu_percent") / log.metadata.cores}),
        "Memory": (" GiB", 0.0, {"job": values("job_memory") / gib}),
    }
    if log.metadata.gpu is not None:
        panels["Memory"][2]["GPU"] = values("gpu_memory_used") / gib
        loads = {"GPU": "gpu_percent", "NVENC": "encoder_percent", "NVDEC": "decoder_percent"}
        panels["GPU"] = ("%", 100.0, {label: values(name) for label, name in loads.items()})
    colors = {"host": "other", "job": "A", "GPU": "B", "NVENC": "C", "NVDEC": "D"}
    made = []
    for title, (unit, top, lines) in panels.items():
        most = top or max(1.0, *(float(np.ceil(np.nanmax(line, initial=0))) for line in lines.values()))
        scale = _Scale(axis, timeline.at, most)
        series = [scale.line("thin", colors[label], line, label) for label, line in lines.items()]
        made.append(Chart(title, f"Load over time: {title}.", f"{most:g}{unit}", "0", series))
    return axis, made


def legend(axis: Axis, charts: Sequence[Chart]) -> list[tuple[str, str, str]]:
    """What is to be explained, once each: kind, color and label of series, then of shades, then of cuts."""
    series: dict[tuple[str, str], str] = {}
    for line in (line for chart in charts for line in chart.series if line.label):
        series.setdefault((line.kind, line.color), line.label)
    shades = {shade.kind for chart in charts for shade in chart.shades}
    return [
        *((kind, color, label) for (kind, color), label in series.items()),
        *((kind.value, "", label) for kind, label in _SHADES.items() if kind in shades),
        *([("cut", "", "cut")] if axis.cuts else []),
    ]


def _shades(axis: Axis, found: Iterable[TimelineEvent], kinds: set[Kind]) -> list[Shade]:
    return [
        Shade(event.kind, axis.percent(event.start), max(0.2, axis.percent(event.end) - axis.percent(event.start)))
        for event in found
        if event.kind in kinds
    ]


def _at_least_two(points: NDArray[np.int32]) -> NDArray[np.int32]:
    """One point is drawn as a dot: a line from it to itself."""
    return points if len(points) > 1 else points.repeat(2, axis=0)


def _unbroken(values: NDArray[np.float64]) -> list[slice]:
    """The stretches without NaN."""
    there = np.concatenate([[False], ~np.isnan(values), [False]]).astype(np.int8)
    return [slice(first, stop) for first, stop in np.flatnonzero(np.diff(there)).reshape(-1, 2).tolist()]
