"""A calm virtual camera for each tile: from where the faces are to what each tile shows.

Belongs here: the camera's crop path, run by run; no pixels. The one idea: the future is known, so the camera behaves
like an operator with a tripod who has seen the take before. For each run of frames with one subject in a tile it holds
while the face stays inside a dead zone, makes one eased move when it does not, opens out when the person is gone for
long, and is already waiting where they come back. Time is always presentation time in seconds, never a frame rate, and
nothing is smoothed across a cut.

The method, per run: gaps filled, median, piecewise hold inside a dead zone, zero-phase ease, then a guarantee pass
that adds the smallest eased correction that keeps the face inside the tile. Zoom goes first, apart and slower.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Final

import numpy as np
from numpy.typing import NDArray

from dualface_core.camera.framing import Boxes, Framing, Sights, bounds
from dualface_core.camera.parameters import CameraParameters
from dualface_core.camera.path import STEP, Pace, Signal, hold, least_jerk, median
from dualface_core.camera.presence import HOLDING, TRACKING, WIDE, Gap, Take
from dualface_core.tables.face_tracks import FaceTracks, Shot
from dualface_core.tables.labels import Subject
from dualface_core.tables.scenes import Scene, slot_subjects

_IN_PLACE: Final = 100.0
"""How much it counts to be in place when somebody comes back, where being on target usually counts 1."""

_ARRIVED: Final = round(1.0 / STEP)
"""For how long it does, in control points."""

FASTEST: Final = 2.0
"""Extents of the crop window per second that a camera may reach at most, to keep up with somebody."""

FASTEST_ZOOM: Final = 1.5
"""The same for a change of zoom, in natural logarithms per second."""

_LONGEST_FRAME: Final = 1.0
"""Seconds. A frame that is shown for longer counts as this long, so that broken timestamps cannot exhaust memory."""


@dataclass(frozen=True)
class Filmed:
    """What every tile shows.

    Attributes:
        crop_windows: (frames, slots, 4) of center x, center y, width and height, in pixels of the source frame.
        states: (frames, slots), each by its place in `CameraState`.
    """

    crop_windows: NDArray[np.float64]
    states: NDArray[np.int8]


def film(
    tracks: FaceTracks, scenes: Sequence[Scene], tiles: NDArray[np.integer], parameters: CameraParameters | None = None
) -> Filmed:
    """Decide what each tile shows in every frame.

    Args:
        tracks: who is where, and what the picture of each shot is made of.
        scenes: who or what is shown when.
        tiles: (frames, slots, 4) of x, y, width and height on the canvas; the width is 0 where a tile is not drawn.
        parameters: how the cameras behave; the defaults if None.

    Returns:
        One crop window per frame and slot. It has the aspect of its tile, and lies inside the pane that holds the
        subject's face, or else inside the active picture. In the state "tracking" the face box with its margin lies
        inside the crop window, wherever the widest one can hold it. "holding" also covers an absence too short to open
        out and close in again calmly; then the camera goes straight to where the person comes back. Where a tile is
        not drawn, the window is the whole picture.
    """
    parameters = parameters or CameraParameters()
    times = _camera_clock(tracks)
    boxes = {person: tracks.boxes(person) for person in tracks.people}
    subjects = slot_subjects(scenes, tiles)
    crop_windows = np.empty((*subjects.shape, 4))
    states = np.full(subjects.shape, WIDE, np.int8)
    for shot in tracks.shots:
        whole = bounds(shot, np.full((1, 4), np.nan), tracks.metadata.frame_size)
        for slot in range(subjects.shape[1]):
            for span in _runs(shot.frames, subjects[:, slot], tiles[:, slot]):
                if not tiles[span.start, slot, 2]:
                    crop_windows[span, slot] = Framing(whole, whole[0, 2] / whole[0, 3], 1, parameters).widest_window
                    continue
                people = Subject(subjects[span.start, slot]).people
                faces = [boxes[person][span] for person in people if person in boxes]
                others = [] if not people else [part[span] for part in boxes.values()]
                pane = _pane(shot, faces, tracks.metadata.frame_size)
                width, height = tiles[span, slot, 2:].T.astype(np.float64)
                framing = Framing(np.tile(pane, (len(width), 1)), width / height, height, parameters)
                if faces and (take := Take.of(times[span], Sights.of(faces), parameters)):
                    crop_windows[span, slot], states[span, slot] = _film(take, framing)
                else:
                    crop_windows[span, slot] = _widest(framing, others)
    return Filmed(crop_windows, states)


def _runs(frames: slice, subjects: NDArray[np.str_], tiles: NDArray[np.integer]) -> Iterator[slice]:
    """The stretches of a shot in which a tile has one subject and is not put elsewhere at one stroke.

    Args:
        frames: those of the shot.
        subjects: (all frames,) of `Subject`.
        tiles: (all frames, 4) of x, y, width and height on the canvas.
    """
    extents = tiles[frames, 2:]
    changes = (extents[1:] != extents[:-1]).any(axis=1)
    quiet = np.concatenate([[True], ~changes, [True]])
    breaks = changes & quiet[:-2] & quiet[2:]
    breaks |= (subjects[frames][1:] != subjects[frames][:-1]) | ((extents[1:, 0] == 0) != (extents[:-1, 0] == 0))
    edges = [0, *(np.flatnonzero(breaks) + 1).tolist(), len(extents)]
    return (slice(frames.start + first, frames.start + stop) for first, stop in pairwise(edges))


def _camera_clock(tracks: FaceTracks) -> Signal:
    seconds = np.diff(tracks.pts) * float(tracks.metadata.seconds_per_pts)  # rounded once: a plan is made anew exactly
    return np.concatenate([[0.0], np.cumsum(np.clip(seconds, 0.0, _LONGEST_FRAME))])


def _pane(shot: Shot, faces: list[Boxes], frame_size: tuple[int, int]) -> Boxes:
    """What a camera must stay in for a whole run: one box."""
    usual = [np.nanmedian(boxes, axis=0) for boxes in faces if not np.isnan(boxes[:, 0]).all()]
    panes = bounds(shot, np.array([*usual, np.full(4, np.nan)]), frame_size)
    return np.asarray(panes[0] if len(np.unique(panes[: len(usual)], axis=0)) == 1 else panes[-1])


def _widest(framing: Framing, others: list[Boxes]) -> Boxes:
    """The wide shot for someone who is not in it: centered on the people who are."""
    boxes = np.concatenate([*others, np.empty((0, 4))])
    if np.isnan(boxes[:, 0]).all():
        return framing.widest_window
    usual = np.nanmedian(Sights.of([boxes]).boxes, axis=0)
    return framing.placed(Sights.of([np.broadcast_to(usual, framing.bounds.shape)]), framing.widest)


def _film(take: Take, framing: Framing) -> tuple[Boxes, NDArray[np.int8]]:
    """The crop windows of one run, (frames, 4) of center x, center y, width, height, and its states."""
    left, top, right, bottom = framing.kept(take.sights.boxes)
    height = _film_zoom(take, framing)
    width = framing.aspect * height
    x, y, _, _ = framing.placed(take.sights, height).T
    near_x, near_y, room_x, room_y = framing.bounds.T
    x = _film_axis(take, x, (left, right), (near_x, near_x + room_x), width, framing.parameters)
    y = _film_axis(take, y, (top, bottom), (near_y, near_y + room_y), height, framing.parameters)
    windows = framing.inside(x, y, height)
    states = take.states(framing.parameters)
    states[(states == TRACKING) & ~framing.shows(windows, take.sights.boxes)] = HOLDING
    return windows, states


def _film_zoom(take: Take, framing: Framing) -> Signal:
    """The crop window's height, per frame."""
    parameters = framing.parameters
    lowest, highest = np.log(framing.closest), np.log(framing.widest)
    wanted, farthest = take.sample(np.log(framing.wanted_height(take.sights))), take.sample(highest)
    target, weight = np.empty(len(take.grid)), np.ones(len(take.grid))
    for first, stop in take.runs:
        smooth = median(wanted[first:stop], 4 * parameters.median_window)
        target[first:stop] = hold(smooth, np.full(stop - first, parameters.zoom_dead_zone), parameters.shortest_hold)
    for gap in take.gaps:
        before, after = _ends(target, gap)
        if not gap.opens_out(parameters):
            _cross(target, weight, gap, gap.first, before, after)
            continue
        target[gap.first : gap.end] = farthest[gap.first : gap.end]
        if gap.lost:
            opening = take.index(gap.start + parameters.hold)
            target[gap.first : opening], weight[gap.first : opening] = before, _IN_PLACE
            weight[opening : take.index(gap.start + parameters.hold + parameters.zoom_ease)] = 0
        if gap.back:
            weight[take.index(gap.stop - parameters.zoom_ease) : gap.end] = 0
            weight[gap.end : gap.end + _ARRIVED] = _IN_PLACE

    least = np.log(np.clip(framing.least(take.sights.boxes), framing.closest, framing.widest))
    held = take.between(np.where(take.followed, least, lowest), highest)
    walls = take.between(np.full_like(lowest, lowest.min()), highest)
    calm = _calm(take, parameters.zoom_pace, parameters.absent_zoom_pace)
    path = least_jerk(target, weight, held, walls, Pace(calm, np.full_like(calm, FASTEST_ZOOM)), extent=1.0)
    return np.minimum(np.exp(take.read(path)), framing.widest)


def _film_axis(
    take: Take,
    wanted: Signal,
    face: tuple[Signal, Signal],
    room: tuple[Signal, Signal],
    size: Signal,
    parameters: CameraParameters,
) -> Signal:
    """The crop window's center along one axis, per frame.

    Args:
        take: the run.
        wanted: where the center should be, per frame.
        face: near and far edge of the face with its margin, per frame.
        room: near and far edge of what the window must lie in, per frame.
        size: extent of the crop window, per frame.
        parameters: how the camera behaves.
    """
    extent, smooth = take.sample(size), take.sample(wanted)
    target, weight = np.empty(len(take.grid)), np.ones(len(take.grid))
    for first, stop in take.runs:
        dead_zone = parameters.position_dead_zone * extent[first:stop]
        target[first:stop] = hold(
            median(smooth[first:stop], parameters.median_window), dead_zone, parameters.shortest_hold
        )
    for gap in take.gaps:
        waits = take.index(gap.start + parameters.hold) if gap.opens_out(parameters) else gap.first
        _cross(target, weight, gap, waits, *_ends(target, gap))

    nearest, farthest = room[0] + size / 2, room[1] - size / 2
    lower, upper = np.clip(face[1] - size / 2, nearest, farthest), np.clip(face[0] + size / 2, nearest, farthest)
    held = take.between(np.where(take.followed, lower, nearest), np.where(take.followed, upper, farthest))
    scale = np.minimum(extent[1:], extent[:-1])
    pace = Pace(_calm(take, parameters.pace, parameters.absent_pace) * scale, FASTEST * scale)
    path = least_jerk(target, weight, held, take.between(nearest, farthest), pace, extent=float(np.median(extent)))
    return take.read(path)


def _cross(target: Signal, weight: Signal, gap: Gap, departure: int, before: float, after: float) -> None:
    """Wait until the departure, and be in place when the person comes back."""
    target[gap.first : gap.end] = before
    if before != after:
        weight[departure : gap.end] = 0
        weight[gap.end : gap.end + _ARRIVED] = _IN_PLACE


def _calm(take: Take, present: float, absent: float) -> Signal:
    """The pace, from each control point to the next: another one where nobody is seen."""
    pace = np.full(len(take.grid) - 1, present)
    for gap in take.gaps:
        pace[gap.first : gap.end - 1] = absent
    return pace


def _ends(path: Signal, gap: Gap) -> tuple[float, float]:
    """The path's values on both sides of a gap; the same where the run begins or ends with it."""
    before = path[gap.first - 1] if gap.lost else path[gap.end]
    return float(before), float(path[gap.end] if gap.back else before)
