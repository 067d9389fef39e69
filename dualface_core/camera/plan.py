"""A calm virtual camera for each tile: from where the faces are to what each tile shows.

Belongs here: the camera's crop path, shot by shot; no pixels. The one idea: the future is known, so the camera behaves
like an operator with a tripod who has seen the take before. Per shot and person it holds while the face stays inside a
dead zone, makes one eased move when it does not, opens out when the person is gone for long, and is already waiting
where they come back. Time is always presentation time in seconds, never a frame rate, and nothing is smoothed across a
cut.

The method, per shot: gaps filled, median, piecewise hold inside a dead zone, zero-phase ease, then a guarantee pass
that adds the smallest eased correction that keeps the face inside the tile. Zoom goes first, apart and slower.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from dualface_core.camera.parameters import CameraParameters
from dualface_core.camera.path import STEP, Signal, correction, eased, hold, limits, median
from dualface_core.camera.presence import WIDE, Gap, Take
from dualface_core.tables.face_tracks import FaceTracks
from dualface_core.tables.labels import SceneKind, Subject
from dualface_core.tables.layouts import Layout, Tile
from dualface_core.tables.scenes import Scene
from dualface_core.tables.tile_plan import TilePlan

EYE_LINE_IN_BOX: Final = 0.38
"""Height of the eyes within a detector's face box, as a share of the box from its top."""

_LONGEST_FRAME: Final = 1.0
"""Seconds. A frame that is shown for longer counts as this long, so that broken timestamps cannot exhaust memory."""


def plan_camera(tracks: FaceTracks, layout: Layout, parameters: CameraParameters | None = None) -> TilePlan:
    """Decide what each tile shows in every frame.

    Args:
        tracks: who is where.
        layout: the tiles, and whose they are.
        parameters: how the cameras behave; the defaults if None.

    Returns:
        One row per frame and tile. Every crop window has its tile's aspect and lies inside the frame. In the state
        "tracking" the face box with its margin lies inside the crop window, wherever the widest one can hold it.
        "holding" also covers an absence too short to open out and close in again calmly; then the camera goes
        straight to where the person comes back.
    """
    parameters = parameters or CameraParameters()
    times = _camera_clock(tracks)
    boxes = {Subject(person): tracks.boxes(person) for person in tracks.people}
    absent = np.full((len(times), 4), np.nan)

    crop_windows = np.empty((len(times), len(layout.tiles), 4), np.float32)
    states = np.empty((len(times), len(layout.tiles)), np.int8)
    for index, tile in enumerate(layout.tiles):
        stage = _Stage.of(*tracks.metadata.frame_size, tile, parameters)
        person = boxes.get(tile.subject, absent)
        others = [boxes[name] for name in boxes if name != tile.subject]
        for shot in tracks.shots:
            span = shot.frames
            if (take := Take.of(times[span], person[span], parameters)) is None:
                crop_windows[span, index] = _widest(stage, [other[span] for other in others], parameters)
                states[span, index] = WIDE
            else:
                crop_windows[span, index] = _film(take, stage, parameters)
                states[span, index] = take.states(parameters)
    cast = tuple(tile.subject for tile in layout.tiles)
    split = Scene(first=0, last=len(times) - 1, kind=SceneKind.SPLIT, cast=cast, reason="One layout throughout.")
    return TilePlan.of(
        tracks,
        layout,
        scenes=[split],
        tiles=np.broadcast_to([tile.rectangle for tile in layout.tiles], crop_windows.shape),
        crop_windows=crop_windows,
        states=states,
        camera=parameters.model_dump(),
        direction={},
    )


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


@dataclass(frozen=True)
class _Stage:
    """What a camera may show: frame size, aspect of the tile, and the crop window's least and greatest height."""

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


def _camera_clock(tracks: FaceTracks) -> Signal:
    seconds = np.diff(tracks.pts) * float(tracks.metadata.seconds_per_pts)  # rounded once: a plan is made anew exactly
    return np.concatenate([[0.0], np.cumsum(np.clip(seconds, 0.0, _LONGEST_FRAME))])


def _widest(stage: _Stage, others: list[NDArray[np.float64]], parameters: CameraParameters) -> NDArray[np.float64]:
    """The wide shot for someone who is not in it: centered on the people who are."""
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


def _film(take: Take, stage: _Stage, parameters: CameraParameters) -> NDArray[np.float64]:
    """The crop windows of one shot: (frames, 4) of center x, center y, width, height."""
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
    """Extent of the crop window along one axis, in pixels."""

    on_grid: Signal
    at_frames: Signal

    def times(self, factor: float) -> _Size:
        return _Size(factor * self.on_grid, factor * self.at_frames)


def _film_zoom(take: Take, face: Signal, stage: _Stage, parameters: CameraParameters) -> _Size:
    """The crop window's height; `face` is, per frame, the least that holds the face."""
    lowest, highest = np.log(stage.closest), np.log(stage.widest)
    framed = np.log(take.sample(np.maximum(take.boxes[:, 3], 1.0)) / parameters.face_height)
    path = np.empty(len(take.grid))
    for first, stop in take.runs:
        target = np.clip(median(framed[first:stop], 4 * parameters.median_window), lowest, highest)
        path[first:stop] = hold(target, np.full(stop - first, parameters.zoom_dead_zone), parameters.shortest_hold)
    for gap in take.gaps:
        _zoom_across(path, take, gap, float(highest), parameters)
    path = eased(path, parameters.zoom_ease)

    least = np.where(take.followed, np.clip(np.log(np.maximum(face, 1.0)), lowest, highest), lowest)
    floor = take.greatest(least, float(lowest))
    path = np.clip(path + correction(floor - path, parameters.zoom_ease), floor, highest)
    return _Size(np.exp(path), np.exp(np.clip(take.read(path), least, highest)))


def _film_axis(
    take: Take, target: Signal, face: tuple[Signal, Signal], room: float, size: _Size, parameters: CameraParameters
) -> Signal:
    """The crop window's center along one axis, per frame.

    Args:
        take: the shot.
        target: where the center should be, on the grid.
        face: near and far edge of the face with its margin, per frame.
        room: extent of the frame.
        size: extent of the crop window.
        parameters: how the camera behaves.
    """
    ease = parameters.position_ease
    nearest, farthest = size.on_grid / 2, room - size.on_grid / 2
    path = np.empty(len(take.grid))
    for first, stop in take.runs:
        part = slice(first, stop)
        smooth = np.clip(median(target[part], parameters.median_window), nearest[part], farthest[part])
        path[part] = hold(smooth, parameters.position_dead_zone * size.on_grid[part], parameters.shortest_hold)
    for gap in take.gaps:
        _pan_across(path, take, gap, float(parameters.pan_speed * size.on_grid.max()), parameters)
    path = eased(np.clip(path, nearest, farthest), ease)
    path += correction(nearest - path, ease)
    path -= correction(path - farthest, ease)

    near = np.where(take.followed, face[0], room)
    far = np.where(take.followed, face[1], 0.0)
    lower, upper = limits(-take.greatest(-near, -room), take.greatest(far, 0.0), size.on_grid, room)
    # Here the camera just stops at the frame's edge: one more eased correction would take back that for the face.
    path = np.clip(path + correction(lower - path, ease), nearest, farthest)
    path = np.clip(path - correction(path - upper, ease), nearest, farthest)
    return np.clip(take.read(np.clip(path, lower, upper)), *limits(near, far, size.at_frames, room))


def _zoom_across(path: Signal, take: Take, gap: Gap, widest: float, parameters: CameraParameters) -> None:
    """Fill a gap of the zoom path: wait, open out if there is time, and be closed in again by the return."""
    ease = parameters.zoom_ease
    before, after = _ends(path, gap)
    path[gap.first : gap.end] = before
    turn = gap.latest_turn(ease / 2)
    if gap.opens_out(parameters):
        path[take.index(gap.start + parameters.hold + ease / 2) if gap.lost else 0 : turn] = widest
    path[turn : gap.end] = after


def _pan_across(path: Signal, take: Take, gap: Gap, speed: float, parameters: CameraParameters) -> None:
    """Fill a gap of the position path: wait, then go straight to where the person comes back."""
    ease = parameters.position_ease
    before, after = _ends(path, gap)
    path[gap.first : gap.end] = before
    opens_out = gap.opens_out(parameters)
    arrival = gap.latest_turn(max(parameters.zoom_ease, ease / 2) if opens_out else ease / 2)
    earliest = take.index(gap.start + (parameters.hold if opens_out else 0.0) + ease / 2)
    departure = max(earliest, arrival - int(abs(after - before) / speed / STEP))
    if departure < arrival:
        path[departure:arrival] = np.linspace(before, after, arrival - departure)
    path[arrival : gap.end] = after


def _ends(path: Signal, gap: Gap) -> tuple[float, float]:
    """The path's values on both sides of a gap; the same where the shot begins or ends with it."""
    before = path[gap.first - 1] if gap.lost else path[gap.end]
    return float(before), float(path[gap.end] if gap.back else before)
