"""A calm virtual camera for each tile: from where the faces are to what each tile shows.

Belongs here: the camera's path, in numpy alone; no pixels. The one idea: the future is known, so the camera behaves
like an operator with a tripod who has seen the take before. Per shot and person it stands still while the face stays
inside a dead zone, moves in one eased stroke when it does not, opens out when the person is gone for long, and is
already waiting where they come back. Time is always presentation time in seconds, never a frame rate, and nothing is
smoothed across a cut.

The method, per shot: gaps filled, median, piecewise hold inside a dead zone, zero-phase ease, then a guarantee pass
that adds the smallest eased correction that keeps the face inside the tile. Zoom goes first, apart and slower.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field
from scipy.interpolate import CubicSpline
from scipy.ndimage import convolve1d, maximum_filter1d, median_filter

from dualface_core.tables.face_tracks import FaceTracks
from dualface_core.tables.layouts import Layout, Tile
from dualface_core.tables.tile_plan import SCHEMA, PlanMetadata, TilePlan

Signal = NDArray[np.float64]
"""One value per sample of a shot."""

EYE_LINE_IN_BOX: Final = 0.38
"""Height of the eyes within a detector's face box, as a share of the box from its top."""

STATES: Final = ("tracking", "holding", "wide")
_TRACKING, _HOLDING, _WIDE = range(3)

_STEP: Final = 0.02
"""Seconds between the samples on which paths are smoothed; frames are then read off at their own times."""

_LONGEST_FRAME: Final = 1.0
"""Seconds. A frame that is shown for longer counts as this long, so that broken timestamps cannot exhaust memory."""


_OUTLIER_WINDOW: Final = 0.8
"""Seconds of the median that a face is compared with; one that lies a face's height away from it is not believed."""


class CameraParameters(BaseModel):
    """How the virtual cameras behave.

    Attributes:
        face_height: height of the face box, as a share of the tile's height.
        eye_line: distance of the eyes from the top of the tile, as a share of the tile's height.
        max_upscale: tile pixels per source pixel that zooming in may reach.
        closest: the rectangle may always shrink to this share of the widest one, however small the source is.
        position_dead_zone: how far a face may drift to either side while the camera stands still, as a share of the
            rectangle.
        zoom_dead_zone: how far its size may drift meanwhile, in natural logarithms (0.08 is about 8 %).
        position_ease: seconds that the camera takes from one stand to the next.
        zoom_ease: seconds that a change of zoom takes.
        pan_speed: extents of the widest rectangle per second, at most, for a move while nobody is in the picture, where
            there is time for it.
        shortest_stand: seconds. Briefer stands become part of one continuous move.
        median_window: seconds of the median that removes lone outliers of position; for zoom it is four times as long.
        bridge: seconds. A person lost for no longer counts as in the picture.
        hold: seconds that the camera waits for a lost person before it opens out.
        shortest_appearance: seconds. A person seen more briefly than this, away from the rest, is not followed.
        face_margin: room around the face box that always stays inside the tile, as a share of the box.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    face_height: float = Field(default=0.32, ge=0.05, le=0.8)
    eye_line: float = Field(default=0.40, ge=0.2, le=0.6)
    max_upscale: float = Field(default=2.0, ge=1.0, le=8.0)
    closest: float = Field(default=0.6, ge=0.2, le=1.0)
    position_dead_zone: float = Field(default=0.05, ge=0.0, le=0.2)
    zoom_dead_zone: float = Field(default=0.08, ge=0.0, le=0.5)
    position_ease: float = Field(default=2.0, ge=0.1, le=10.0)
    zoom_ease: float = Field(default=2.5, ge=0.1, le=10.0)
    pan_speed: float = Field(default=0.5, ge=0.05, le=10.0)
    shortest_hold: float = Field(default=2.0, ge=0.0, le=10.0)
    median_window: float = Field(default=0.4, ge=0.0, le=5.0)
    bridge: float = Field(default=0.5, ge=0.0, le=5.0)
    hold: float = Field(default=2.0, ge=0.0, le=30.0)
    shortest_appearance: float = Field(default=0.4, ge=0.0, le=5.0)
    face_margin: float = Field(default=0.1, ge=0.0, le=0.5)


def plan_camera(tracks: FaceTracks, layout: Layout, parameters: CameraParameters | None = None) -> TilePlan:
    """Decide what each tile shows in every frame.

    Args:
        tracks: who is where.
        layout: the tiles, and whose they are.
        parameters: how the cameras behave; the defaults if None.

    Returns:
        One row per frame and tile. Every rectangle has its tile's aspect and lies inside the frame. In the state
        "tracking" the face box with its margin lies inside the rectangle, wherever the widest rectangle can hold it.
        "holding" also covers an absence too short to open out and close in again calmly; then the camera goes
        straight to where the person comes back.
    """
    parameters = parameters or CameraParameters()
    metadata = tracks.metadata
    pts = np.asarray(metadata.frame_pts, np.int64)
    times = _camera_clock(pts, float(metadata.seconds_per_pts))
    boxes = {person: face_boxes(tracks, person) for person in metadata.people}
    absent = np.full((len(pts), 4), np.nan)

    crop_windows = np.empty((len(pts), len(layout.tiles), 4), np.float32)
    states = np.empty((len(pts), len(layout.tiles)), np.int8)
    for index, tile in enumerate(layout.tiles):
        stage = _Stage.of(metadata.frame_width, metadata.frame_height, tile, parameters)
        person = boxes.get(tile.person, absent)
        others = [boxes[name] for name in boxes if name != tile.person]
        for shot in metadata.shots:
            span = slice(shot.first, shot.last + 1)
            if (appearances := _appearances(times[span], person[span], parameters)) is None:
                crop_windows[span, index] = _widest(stage, [other[span] for other in others], parameters)
                states[span, index] = _WIDE
            else:
                take = _Take.of(times[span], person[span], appearances)
                crop_windows[span, index] = _film(take, stage, parameters)
                states[span, index] = _states(take, parameters)
    return _plan(tracks, layout, parameters, crop_windows, states)


def face_boxes(tracks: FaceTracks, person: str) -> NDArray[np.float64]:
    """The face boxes of one person: (frames, 4) of x, y, width, height in pixels, NaN where the person is not seen."""
    boxes = np.full((len(tracks.metadata.frame_pts), 4), np.nan)
    rows = tracks.table.filter(pc.equal(tracks.table.column("person").cast(pa.string()), person))
    frames = rows.column("frame").to_numpy()
    for column, name in enumerate(("x", "y", "width", "height")):
        boxes[frames, column] = rows.column(name).to_numpy()
    return boxes


def kept_in_tile(boxes: NDArray[np.float64], margin: float, width: float, height: float) -> tuple[Signal, ...]:
    """What a tile must show of a face: left, top, right and bottom of the box with its margin, inside the frame.

    Args:
        boxes: (n, 4) of x, y, width, height.
        margin: as a share of the box.
        width: of the frame.
        height: of the frame.
    """
    x, y, w, h = boxes.T
    left, right = np.clip((x - margin * w, x + (1 + margin) * w), 0, width)
    top, bottom = np.clip((y - margin * h, y + (1 + margin) * h), 0, height)
    return left, top, right, bottom


def tracks_digest(tracks: FaceTracks) -> str:
    """SHA-256 in hex of what the tracks say, whatever the chunks and dictionaries that hold it."""
    digest = hashlib.sha256(tracks.metadata.model_dump_json().encode())
    for column in tracks.table.columns:
        array = column.combine_chunks()
        if pa.types.is_dictionary(array.type):
            digest.update("\n".join(text or "" for text in array.cast(pa.string()).to_pylist()).encode())
        elif pa.types.is_list(array.type) or pa.types.is_fixed_size_list(array.type):
            digest.update(array.flatten().to_numpy(zero_copy_only=False).tobytes())
        else:
            digest.update(array.to_numpy(zero_copy_only=False).tobytes())
    return digest.hexdigest()


@dataclass(frozen=True)
class _Stage:
    """The room that a camera has: frame size, aspect of the tile, and the rectangle's least and greatest height."""

    width: int
    height: int
    aspect: float
    closest: float
    widest: float

    @classmethod
    def of(cls, width: int, height: int, tile: Tile, parameters: CameraParameters) -> _Stage:
        widest = min(height, width / tile.aspect)
        closest = min(tile.height / parameters.max_upscale, widest * parameters.closest)
        return cls(width, height, tile.aspect, closest, widest)


def _camera_clock(pts: NDArray[np.int64], seconds_per_pts: float) -> Signal:
    return np.concatenate([[0.0], np.cumsum(np.clip(np.diff(pts) * seconds_per_pts, 0.0, _LONGEST_FRAME))])


def _appearances(times: Signal, boxes: NDArray[np.float64], parameters: CameraParameters) -> NDArray[np.intp] | None:
    """Stretches in which the person counts as in the picture: (n, 2) of first and last frame, or None."""
    known = np.flatnonzero(~np.isnan(boxes[:, 0]))
    if not len(known):
        return None
    # Seconds without the person between two sightings; none if the frames are neighbors, however slow the video.
    missing = np.where(np.diff(known) > 1, np.diff(times[known]), 0.0)
    breaks = np.flatnonzero(missing > parameters.bridge)
    runs = np.stack([known[np.append(0, breaks + 1)], known[np.append(breaks, len(known) - 1)]], axis=1)
    frame = np.median(np.diff(times)) if len(times) > 1 else 0.0
    seconds = times[runs[:, 1]] - times[runs[:, 0]] + frame
    worth = (seconds >= parameters.shortest_appearance) | ((runs[:, 1] - runs[:, 0] + 1) * 2 > len(times))
    return runs[worth] if worth.any() else None


def _widest(stage: _Stage, others: list[NDArray[np.float64]], parameters: CameraParameters) -> NDArray[np.float64]:
    """The wide shot for someone who is not in it: centered on whoever is."""
    height, width = stage.widest, stage.widest * stage.aspect
    x, y = stage.width / 2, stage.height / 2
    boxes = np.concatenate([*others, np.empty((0, 4))])
    boxes = boxes[~np.isnan(boxes[:, 0])]
    if len(boxes):
        x = float(np.median(boxes[:, 0] + boxes[:, 2] / 2))
        y = float(np.median(boxes[:, 1] + EYE_LINE_IN_BOX * boxes[:, 3])) + (0.5 - parameters.eye_line) * height
    x = min(max(x, width / 2), stage.width - width / 2)
    y = min(max(y, height / 2), stage.height - height / 2)
    return np.array([x, y, width, height])


@dataclass(frozen=True)
class _Gap:
    """A stretch of a shot without the person.

    Attributes:
        start: time of the last frame with the person, or of the shot's first frame if they were not there before.
        stop: time of the first frame with the person again, or of the shot's last frame if they don't come back.
        lost: they were there before.
        back: they come back.
        first, end: its samples, half open.
        earliest: the sample at which a move towards the return may begin, though the person is still there.
    """

    start: float
    stop: float
    lost: bool
    back: bool
    first: int
    end: int
    earliest: int

    def opens_out(self, parameters: CameraParameters) -> bool:
        """True if there is time to open out fully, after the wait, and to close in again before they are back."""
        waiting = parameters.hold + parameters.zoom_ease if self.lost else 0.0
        return self.stop - self.start >= waiting + (parameters.zoom_ease if self.back else 0.0)

    def latest_turn(self, lead: float) -> int:
        """The sample that lies `lead` seconds before the return."""
        return max(self.end - int(np.ceil(lead / _STEP)) - 1, self.earliest) if self.back else self.end


@dataclass(frozen=True)
class _Take:
    """One shot in which a person appears, on the uniform time grid on which paths are smoothed.

    Attributes:
        times: of the frames, in seconds.
        followed: per frame, whether the person counts as in the picture, and where they are believed to be.
        boxes: per frame, x, y, width, height of the face; between sightings on a straight line.
        grid: times of the samples; they reach from the first frame to the last, or beyond.
        before: per frame, the sample at or before it.
        runs: (n, 2) first sample of each appearance and the one after its last.
        gaps: the stretches before, between and after the appearances that have any frames.
    """

    times: Signal
    followed: NDArray[np.bool_]
    boxes: NDArray[np.float64]
    grid: Signal
    before: NDArray[np.intp]
    runs: NDArray[np.intp]
    gaps: list[_Gap]

    @classmethod
    def of(cls, times: Signal, boxes: NDArray[np.float64], appearances: NDArray[np.intp]) -> _Take:
        samples = max(4, int(np.ceil((times[-1] - times[0]) / _STEP - 1e-9)) + 1)
        grid = times[0] + _STEP * np.arange(samples)
        before = np.clip(np.searchsorted(grid, times + 1e-9, side="right") - 1, 0, samples - 2)
        runs = before[appearances] + np.array([0, 2])

        followed = np.zeros(len(times), bool)
        for first, last in appearances:
            followed[first : last + 1] = True
        followed &= ~_outliers(times, boxes, grid, followed)
        seen = followed & ~np.isnan(boxes[:, 0])
        boxes = np.stack([np.interp(times, times[seen], column[seen]) for column in boxes.T], axis=1)

        gaps = []
        for index in range(len(runs) + 1):
            lost, back = index > 0, index < len(runs)
            start = times[appearances[index - 1, 1]] if lost else times[0]
            stop = times[appearances[index, 0]] if back else times[-1]
            first = int(runs[index - 1, 1]) if lost else 0
            end = int(runs[index, 0]) if back else samples
            earliest = int(runs[index - 1].mean()) if lost else 0
            if stop > start:
                gaps.append(_Gap(float(start), float(stop), lost, back, first, end, earliest))
        return cls(times, followed, boxes, grid, before, runs, gaps)

    def sample(self, values: NDArray[np.float64]) -> NDArray[np.float64]:
        """Values per frame, on the grid, on straight lines."""
        return np.interp(self.grid, self.times, values)

    def read(self, path: Signal) -> Signal:
        """A smooth path on the grid, at the times of the frames."""
        return np.asarray(CubicSpline(self.grid, path)(self.times))

    def greatest(self, values: Signal, otherwise: float) -> Signal:
        """On the grid, the greatest value of the followed frames beside each sample."""
        result = np.full(len(self.grid), otherwise)
        for neighbor in (self.before, self.before + 1):
            np.maximum.at(result, neighbor[self.followed], values[self.followed])
        return result

    def index(self, time: float) -> int:
        """The sample nearest to a time."""
        return int(np.clip(round((time - self.grid[0]) / _STEP), 0, len(self.grid)))


def _outliers(
    times: Signal, boxes: NDArray[np.float64], grid: Signal, followed: NDArray[np.bool_]
) -> NDArray[np.bool_]:
    """Frames in which a face is for a moment far from where it is just before and after: a detector's mistake."""
    known = followed & ~np.isnan(boxes[:, 0])
    outlying = np.zeros(len(times), bool)
    for corner, extent in ((0, 2), (1, 3)):
        center = boxes[known, corner] + boxes[known, extent] / 2
        usual = _median(np.interp(grid, times[known], center), _OUTLIER_WINDOW)
        outlying[known] |= np.abs(center - np.interp(times[known], grid, usual)) > boxes[known, 3]
    return outlying if (known & ~outlying).any() else np.zeros_like(outlying)


def _film(take: _Take, stage: _Stage, parameters: CameraParameters) -> NDArray[np.float64]:
    """The rectangles of one shot: (frames, 4) of center x, center y, width, height."""
    x, y, width, height = take.boxes.T
    left, top, right, bottom = kept_in_tile(take.boxes, parameters.face_margin, stage.width, stage.height)

    size = _film_zoom(take, np.maximum(bottom - top, (right - left) / stage.aspect), stage, parameters)
    eyes_to_center = (0.5 - parameters.eye_line) * size.on_grid
    center_x = _film_axis(
        take, take.sample(x + width / 2), (left, right), stage.width, size.times(stage.aspect), parameters
    )
    center_y = _film_axis(
        take, take.sample(y + EYE_LINE_IN_BOX * height) + eyes_to_center, (top, bottom), stage.height, size, parameters
    )
    return np.stack([center_x, center_y, stage.aspect * size.at_frames, size.at_frames], axis=1)


@dataclass(frozen=True)
class _Size:
    """Extent of the rectangle along one axis, in pixels."""

    on_grid: Signal
    at_frames: Signal

    def times(self, factor: float) -> _Size:
        return _Size(factor * self.on_grid, factor * self.at_frames)


def _film_zoom(take: _Take, face: Signal, stage: _Stage, parameters: CameraParameters) -> _Size:
    """The rectangle's height; `face` is, per frame, the least that holds the face."""
    lowest, highest = np.log(stage.closest), np.log(stage.widest)
    framed = np.log(take.sample(np.maximum(take.boxes[:, 3], 1.0)) / parameters.face_height)
    path = np.empty(len(take.grid))
    for first, stop in take.runs:
        target = np.clip(_median(framed[first:stop], 4 * parameters.median_window), lowest, highest)
        path[first:stop] = _hold(target, np.full(stop - first, parameters.zoom_dead_zone), parameters.shortest_hold)
    for gap in take.gaps:
        _zoom_across(path, take, gap, float(highest), parameters)
    path = _eased(path, parameters.zoom_ease)

    least = np.where(take.followed, np.clip(np.log(np.maximum(face, 1.0)), lowest, highest), lowest)
    floor = take.greatest(least, float(lowest))
    path = np.clip(path + _correction(floor - path, parameters.zoom_ease), floor, highest)
    return _Size(np.exp(path), np.exp(np.clip(take.read(path), least, highest)))


def _film_axis(
    take: _Take, target: Signal, face: tuple[Signal, Signal], room: float, size: _Size, parameters: CameraParameters
) -> Signal:
    """The rectangle's center along one axis, per frame.

    Args:
        take: the shot.
        target: where the center should be, on the grid.
        face: near and far edge of the face with its margin, per frame.
        room: extent of the frame.
        size: extent of the rectangle.
        parameters: how the camera behaves.
    """
    ease = parameters.position_ease
    nearest, farthest = size.on_grid / 2, room - size.on_grid / 2
    path = np.empty(len(take.grid))
    for first, stop in take.runs:
        part = slice(first, stop)
        smooth = np.clip(_median(target[part], parameters.median_window), nearest[part], farthest[part])
        path[part] = _hold(smooth, parameters.position_dead_zone * size.on_grid[part], parameters.shortest_hold)
    for gap in take.gaps:
        _pan_across(path, take, gap, float(parameters.pan_speed * size.on_grid.max()), parameters)
    path = _eased(np.clip(path, nearest, farthest), ease)
    path += _correction(nearest - path, ease)
    path -= _correction(path - farthest, ease)

    near = np.where(take.followed, face[0], room)
    far = np.where(take.followed, face[1], 0.0)
    lower, upper = _limits(-take.greatest(-near, -room), take.greatest(far, 0.0), size.on_grid, room)
    # Here the camera just stops at the frame's edge: one more eased correction would take back that for the face.
    path = np.clip(path + _correction(lower - path, ease), nearest, farthest)
    path = np.clip(path - _correction(path - upper, ease), nearest, farthest)
    return np.clip(take.read(np.clip(path, lower, upper)), *_limits(near, far, size.at_frames, room))


def _limits(near: Signal, far: Signal, size: Signal, room: float) -> tuple[Signal, Signal]:
    """Least and greatest center with which a rectangle lies in the frame and holds what is from `near` to `far`.

    What is larger than the rectangle is put in its middle.
    """
    lower = np.clip(far - size / 2, size / 2, room - size / 2)
    upper = np.clip(near + size / 2, size / 2, room - size / 2)
    middle = (lower + upper) / 2
    too_large = lower > upper
    return np.where(too_large, middle, lower), np.where(too_large, middle, upper)


def _hold(target: Signal, dead_zone: Signal, shortest: float) -> Signal:
    """Stand still as long as the target stays within the dead zone; between two stands, move in one stroke.

    The greedy longest hold, at the median of what it covers: not in the middle of its range, since that is drawn
    towards the move at its end. Holds shorter than `shortest` seconds are only points that a longer move passes.
    """
    lower, upper = target - dead_zone, target + dead_zone
    holds: list[tuple[int, int, float]] = []
    start = 0
    while start < len(target):
        stop = _longest_hold(lower, upper, start)
        holds.append((start, stop, float(np.median(target[start:stop]))))
        start = stop
    knots: list[tuple[float, float]] = []
    passed: list[tuple[float, float]] = []
    samples = shortest / _STEP
    moving_since = 0
    for index, (start, stop, value) in enumerate(holds):
        if stop - start < samples and 0 < index < len(holds) - 1:
            passed.append(((start + stop - 1) / 2, value))
            continue
        if start - moving_since >= samples:
            knots += passed
        knots += [(start, value), (stop - 1, value)]
        passed, moving_since = [], stop
    at, values = np.array(knots, np.float64).T
    return np.asarray(np.interp(np.arange(len(target)), at, values))


def _longest_hold(lower: Signal, upper: Signal, start: int) -> int:
    """The end of the longest stretch from `start` in which one value lies between all lower and upper bounds."""
    length = 64
    while True:
        part = slice(start, start + length)
        possible = np.maximum.accumulate(lower[part]) <= np.minimum.accumulate(upper[part])
        if not possible[-1]:
            return start + int(np.argmin(possible))
        if start + length >= len(lower):
            return len(lower)
        length *= 4


def _zoom_across(path: Signal, take: _Take, gap: _Gap, widest: float, parameters: CameraParameters) -> None:
    """Fill a gap of the zoom path: wait, open out if there is time, and be closed in again by the return."""
    ease = parameters.zoom_ease
    before, after = _ends(path, gap)
    path[gap.first : gap.end] = before
    turn = gap.latest_turn(ease / 2)
    if gap.opens_out(parameters):
        path[take.index(gap.start + parameters.hold + ease / 2) if gap.lost else 0 : turn] = widest
    path[turn : gap.end] = after


def _pan_across(path: Signal, take: _Take, gap: _Gap, speed: float, parameters: CameraParameters) -> None:
    """Fill a gap of the position path: wait, then go straight to where the person comes back."""
    ease = parameters.position_ease
    before, after = _ends(path, gap)
    path[gap.first : gap.end] = before
    opens_out = gap.opens_out(parameters)
    arrival = gap.latest_turn(max(parameters.zoom_ease, ease / 2) if opens_out else ease / 2)
    earliest = take.index(gap.start + (parameters.hold if opens_out else 0.0) + ease / 2)
    departure = max(earliest, arrival - int(abs(after - before) / speed / _STEP))
    if departure < arrival:
        path[departure:arrival] = np.linspace(before, after, arrival - departure)
    path[arrival : gap.end] = after


def _ends(path: Signal, gap: _Gap) -> tuple[float, float]:
    """The path's values on both sides of a gap; the same where the shot begins or ends with it."""
    before = path[gap.first - 1] if gap.lost else path[gap.end]
    return float(before), float(path[gap.end] if gap.back else before)


def _states(take: _Take, parameters: CameraParameters) -> NDArray[np.int8]:
    states = np.where(take.followed, _TRACKING, _HOLDING).astype(np.int8)
    for gap in take.gaps:
        absent = ~take.followed & (take.times >= gap.start) & (take.times <= gap.stop)
        states[absent] = _WIDE if gap.opens_out(parameters) else _HOLDING
        if gap.lost:
            states[absent & (take.times <= gap.start + parameters.hold)] = _HOLDING
    return states


def _median(values: Signal, seconds: float) -> Signal:
    size = 2 * round(seconds / 2 / _STEP) + 1
    return np.asarray(median_filter(values, size, mode="nearest"))


def _eased(path: Signal, seconds: float) -> Signal:
    """Zero-phase smoothing with a raised cosine: a step becomes an S-curve that takes `seconds` and no longer."""
    kernel = np.hanning(2 * round(seconds / 2 / _STEP) + 3)[1:-1]
    return np.asarray(convolve1d(path, kernel / kernel.sum(), mode="nearest"))


def _correction(violation: Signal, seconds: float) -> Signal:
    """A smooth signal, nowhere less than the violation where that is positive."""
    if not (violation > 0).any():
        return np.zeros_like(violation)
    size = 2 * round(seconds / 2 / _STEP) + 1
    return _eased(maximum_filter1d(np.maximum(violation, 0.0), size, mode="nearest"), seconds)


def _plan(
    tracks: FaceTracks,
    layout: Layout,
    parameters: CameraParameters,
    crop_windows: NDArray[np.float32],
    states: NDArray[np.int8],
) -> TilePlan:
    source = tracks.metadata
    frames, tiles = states.shape
    frame = np.repeat(np.arange(frames, dtype=np.int32), tiles)
    shots = np.repeat(
        np.arange(len(source.shots), dtype=np.int32), [shot.last - shot.first + 1 for shot in source.shots]
    )
    persons = list(dict.fromkeys(tile.person for tile in layout.tiles))
    person = np.array([persons.index(tile.person) for tile in layout.tiles], np.int8)
    columns = [
        frame,
        np.asarray(source.frame_pts, np.int64)[frame],
        np.tile(np.arange(tiles, dtype=np.int8), frames),
        pa.DictionaryArray.from_arrays(np.tile(person, frames), pa.array(persons)),
        *crop_windows.reshape(-1, 4).T,
        shots[frame],
        pa.DictionaryArray.from_arrays(states.ravel(), pa.array(STATES)),
    ]
    return TilePlan(
        pa.table(columns, schema=SCHEMA),
        PlanMetadata(
            fingerprint=source.fingerprint,
            tracks_sha256=tracks_digest(tracks),
            time_base=source.time_base,
            frame_width=source.frame_width,
            frame_height=source.frame_height,
            frame_count=frames,
            layout=layout.name,
            people=source.people,
            camera=parameters.model_dump(),
        ),
    )
