"""A calm virtual camera for each tile: from where the faces are to what each tile shows.

Belongs here: the camera's crop path, run by run; no pixels. The one idea: the future is known, so the camera behaves
like an operator with a tripod who has seen the take before. For each run of frames with one subject in a tile it holds
while the face stays inside a dead zone, makes one slow move when it does not, opens out when the person is gone for
long, and is already waiting where they come back. Time is always presentation time in seconds, never a frame rate, and
nothing is smoothed across a cut.

The method, per run: gaps filled, the window that is wanted (`framing`, `pair`, `company`), median, holds inside a dead
zone, and the path of least jerk to them (`path`). Zoom goes first, apart and slower.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Final

import numpy as np
from numpy.typing import NDArray

from dualface_core.camera.cast import Cast
from dualface_core.camera.company import Other, aside
from dualface_core.camera.framing import Boxes, Composition, Framing, Sights, bounds, clear_of, laid_over
from dualface_core.camera.pair import compose
from dualface_core.camera.parameters import CameraParameters
from dualface_core.camera.path import STEP, Limits, Pace, Signal, hold, least_jerk, median
from dualface_core.camera.presence import HOLDING, TRACKING, WIDE, Gap, Take
from dualface_core.camera.rests import rested_axis, rested_zoom
from dualface_core.system.machine_cores import machine_cores
from dualface_core.tables.face_tracks import FaceTracks, Shot
from dualface_core.tables.labels import Person, Subject
from dualface_core.tables.scenes import Scene, slot_subjects

_IN_PLACE: Final = 100.0
"""How much it counts to be in place when somebody comes back, where being on target usually counts 1."""

_ARRIVED: Final = round(1.0 / STEP)
"""For how long it does, in control points."""

FASTEST: Final = 2.0
"""Extents of the crop window per second that a camera may reach at most, to keep up with somebody."""

FASTEST_ZOOM: Final = 1.5
"""The same for a change of zoom, in natural logarithms per second."""

_UNSEEN: Final = 10.0
"""How many times as fast as usual the zoom may change, calmly, while it opens out because nobody is there."""

_UNCHANGED: Final = 0.12
"""Share of its height by which a face may move and grow from one frame to the next as if there were no cut."""

_SHOULDERS: Final = 0.3
"""Room on both sides of a face with its margin, as a share of its width, that whoever walks has if the camera can: for
hair and shoulders."""

_NOBODY: Final = np.full((1, 4), np.nan)

_AT_ONCE: Final = 8
"""Runs that are filmed at once at the most, and axes besides those that these are at: the solver, which takes four
fifths of the time, leaves Python to others."""


@dataclass(frozen=True)
class Filmed:
    """What every tile shows.

    Attributes:
        crop_windows: (frames, slots, 4) of center x, center y, width and height, in pixels of the source frame.
        states: (frames, slots), each by its place in `CameraState`.
        runs: the slot of each run of frames, by what the run was made of: another film of it would be the same.
    """

    crop_windows: NDArray[np.float64]
    states: NDArray[np.int8]
    runs: Mapping[tuple[str, int, int, bytes], int] = field(default_factory=dict)


def film(
    tracks: FaceTracks,
    scenes: Sequence[Scene],
    tiles: NDArray[np.integer],
    parameters: CameraParameters | None = None,
    *,
    before: Filmed | None = None,
) -> Filmed:
    """Decide what each tile shows in every frame.

    Args:
        tracks: who is where, and what the picture of each shot is made of.
        scenes: who or what is shown when.
        tiles: (frames, slots, 4) of x, y, width and height on the canvas; the width is 0 where a tile is not drawn.
        parameters: how the cameras behave; the defaults if None.
        before: an earlier film with the same tracks and parameters, whose runs are taken where they are the same.

    Returns:
        One crop window per frame and slot. It has the aspect of its tile, and lies inside the pane that holds the
        subject's face, or else inside the active picture. In the state "tracking" the face box with its margin lies
        inside the crop window, wherever the widest one can hold it. "holding" also covers an absence too short to open
        out and close in again calmly; then the camera goes straight to where the person comes back. Where a tile is
        not drawn, the window is the whole picture.
    """
    parameters = parameters or CameraParameters()
    cast = Cast.of(tracks)
    subjects = slot_subjects(scenes, tiles)
    compositions = _composed(cast, tracks, subjects, tiles, parameters)
    crop_windows = np.empty((*subjects.shape, 4))
    states = np.full(subjects.shape, WIDE, np.int8)
    runs: dict[tuple[str, int, int, bytes], int] = {}

    def shoot(slot: int, span: slice) -> None:
        given = hashlib.sha256(tiles[span, slot].tobytes() + compositions[:, span, slot].tobytes()).digest()
        run = str(subjects[span.start, slot]), span.start, span.stop, given
        runs[run] = slot
        if before and (known := before.runs.get(run)) is not None:
            crop_windows[span, slot], states[span, slot] = before.crop_windows[span, known], before.states[span, known]
            return
        shot = tracks.shots[int(np.searchsorted(tracks.cuts, span.start, side="right"))]
        size = tracks.metadata.frame_size
        if not tiles[span.start, slot, 2]:
            crop_windows[span, slot] = Framing(bounds(shot, _NOBODY, size), size[0] / size[1], 1, parameters).whole
            return
        subject = Subject(subjects[span.start, slot])
        faces, others = cast.faces(subject, span), cast.others(subject, span)
        composition = Composition(*compositions[:, span, slot])
        framing = _framing(tracks, span, faces, tiles[span, slot], parameters, composition)
        eyes = cast.eyes_in_box(subject, span)
        sights = Sights.of(faces, cast.gaze(subject, span), eyes) if faces else None
        if sights and (take := Take.of(cast.times[span], sights, parameters)):
            crop_windows[span, slot], states[span, slot] = _film(take, framing, others, axes)
        else:
            crop_windows[span, slot] = _widest(framing, [other.boxes for other in others if not other.welcome])

    at_once = min(_AT_ONCE, machine_cores())
    with ThreadPoolExecutor(at_once, "axis") as axes, ThreadPoolExecutor(at_once, "run") as threads:
        begun = [
            threads.submit(shoot, slot, span)
            for slot in range(subjects.shape[1])
            for span in _runs(cast, tracks, subjects[:, slot], tiles[:, slot])
        ]
        for future in begun:
            future.result()
    return Filmed(crop_windows, states, runs)


def _composed(
    cast: Cast,
    tracks: FaceTracks,
    subjects: NDArray[np.str_],
    tiles: NDArray[np.integer],
    parameters: CameraParameters,
) -> NDArray[np.float64]:
    """What tiles have in common: (2, frames, slots) of size of the face and eye line; NaN where one is on its own."""
    result = np.full((2, *subjects.shape), np.nan)
    drawn = tiles[..., 2] > 0
    changes = (subjects[1:] != subjects[:-1]).any(axis=1) | (drawn[1:] != drawn[:-1]).any(axis=1)
    edges = sorted({0, len(subjects), *tracks.cuts.tolist(), *(np.flatnonzero(changes) + 1).tolist()})
    for first, stop in pairwise(edges):
        span = slice(first, stop)
        slots = {subject: slot for slot, subject in enumerate(subjects[first].tolist()) if drawn[first, slot]}
        faces = [boxes for person in Person for boxes in cast.faces(Subject(person), span)]
        if not set(slots) >= set(Person) or len(faces) < 2 or any(np.isnan(boxes[:, 0]).all() for boxes in faces):
            continue
        places = [slots[person] for person in Person]
        framings = [
            _framing(tracks, span, [boxes], tiles[span, slot], parameters)
            for boxes, slot in zip(faces, places, strict=True)
        ]
        eyes = [cast.eyes_in_box(Subject(person), span) for person in Person]
        for slot, composition in zip(places, compose(framings, faces, eyes, cast.times[span]), strict=True):
            result[:, span, slot] = composition.face, composition.eyes
    return result


def _runs(cast: Cast, tracks: FaceTracks, subjects: NDArray[np.str_], tiles: NDArray[np.integer]) -> Iterator[slice]:
    """The stretches in which a tile has one subject, is not put elsewhere at one stroke, and its source has no cut.

    Where a face goes on over a cut unchanged, its camera does, too: something beside it has changed.

    Args:
        cast: everybody.
        tracks: the shots.
        subjects: (frames,) of `Subject`.
        tiles: (frames, 4) of x, y, width and height on the canvas.
    """
    extents = tiles[:, 2:]
    changes = (extents[1:] != extents[:-1]).any(axis=1)
    quiet = np.concatenate([[True], ~changes, [True]])
    breaks = changes & quiet[:-2] & quiet[2:]
    breaks |= (subjects[1:] != subjects[:-1]) | ((extents[1:, 0] == 0) != (extents[:-1, 0] == 0))
    cuts = [
        after.first
        for before, after in pairwise(tracks.shots)
        if not _goes_on(
            cast.faces(Subject(subjects[after.first]), slice(after.first - 1, after.first + 1)), before, after
        )
    ]
    edges = sorted({0, len(subjects), *cuts, *(np.flatnonzero(breaks) + 1).tolist()})
    return (slice(first, stop) for first, stop in pairwise(edges))


def _goes_on(faces: list[Boxes], before: Shot, after: Shot) -> bool:
    """Whether the faces are the same in the last frame before a cut and in the first one after it."""
    if (before.picture, before.panes) != (after.picture, after.panes) or not faces:
        return False
    return all(np.abs(boxes[1] - boxes[0]).max() < _UNCHANGED * boxes[0, 3] for boxes in faces)


def _framing(
    tracks: FaceTracks,
    span: slice,
    faces: list[Boxes],
    tiles: NDArray[np.integer],
    parameters: CameraParameters,
    composition: Composition | None = None,
) -> Framing:
    """That of a whole run, in one pane, if it holds all of the faces, and clear of what is laid over the picture."""
    shot = tracks.shots[int(np.searchsorted(tracks.cuts, span.start, side="right"))]
    seen = [boxes for boxes in faces if not np.isnan(boxes[:, 0]).all()]
    usual = [np.nanmedian(boxes, axis=0) for boxes in seen]
    panes = bounds(shot, np.array([*usual, *_NOBODY]), tracks.metadata.frame_size)
    pane = panes[0] if len(np.unique(panes[: len(usual)], axis=0)) == 1 else panes[-1]
    width, height = tiles[:, 2:].T.astype(np.float64)
    first, last = tracks.times[span.start], tracks.times[span.stop - 1]
    overlays, included = laid_over(shot, pane, first, last), None
    if overlays and seen:
        clearing = clear_of(overlays, pane, seen, (float(np.median(width)), float(np.median(height))), parameters)
        pane, included = clearing.bounds, clearing.included(tracks.times[span])
    return Framing(np.tile(pane, (len(tiles), 1)), width / height, height, parameters, composition, included)


def _widest(framing: Framing, others: list[Boxes]) -> Boxes:
    """The wide shot for someone who is not in it: centered on the people who are."""
    boxes = np.concatenate([*others, _NOBODY])
    if np.isnan(boxes[:, 0]).all():
        return framing.whole
    usual = np.nanmedian(boxes, axis=0)
    return framing.placed(Sights.of([np.broadcast_to(usual, framing.bounds.shape)]), framing.widest)


def _film(take: Take, framing: Framing, others: list[Other], axes: Executor) -> tuple[Boxes, NDArray[np.int8]]:
    """The crop windows of one run, (frames, 4) of center x, center y, width, height, and its states.

    `axes` are threads for what may be done beside it.
    """
    faces = take.sights.boxes
    left, top, right, bottom = framing.kept(faces)
    height = _film_zoom(take, framing)
    wanted = aside(framing.placed(take.sights, height), framing, faces, others)
    near_x, near_y, room_x, room_y = framing.bounds.T
    sides = (left, right), (near_x, near_x + room_x)
    x = axes.submit(_film_axis, take, wanted[:, 0], *sides, framing, height, axis=0)
    y = _film_axis(take, wanted[:, 1], (top, bottom), (near_y, near_y + room_y), framing, height, axis=1)
    windows = framing.inside(x.result(), y, height)
    states = take.states(framing.parameters)
    states[(states == TRACKING) & ~framing.shows(windows, faces)] = HOLDING
    return windows, states


def _film_zoom(take: Take, framing: Framing) -> Signal:
    """The crop window's height, per frame."""
    parameters = framing.parameters
    lowest, highest = np.log(framing.closest), np.log(framing.widest)
    wanted, farthest = take.sample(np.log(framing.wanted_height(take.sights))), take.sample(highest)
    target, weight = np.empty(len(take.grid)), np.ones(len(take.grid))
    calm = np.full(len(take.grid) - 1, parameters.zoom_pace)
    for first, stop in take.runs:
        smooth = median(wanted[first:stop], 4 * parameters.median_window)
        target[first:stop] = hold(smooth, np.full(stop - first, parameters.zoom_dead_zone), parameters.shortest_hold)
    for gap in take.gaps:
        before, after = _ends(target, gap)
        if not gap.opens_out(parameters):
            _cross(target, weight, gap, gap.first, before, after)
            continue
        target[gap.first : gap.end] = farthest[gap.first : gap.end]
        calm[gap.first : gap.end - 1] *= _UNSEEN
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
    path = least_jerk(target, weight, held, walls, Pace(calm, np.full_like(calm, FASTEST_ZOOM)), extent=1.0)
    path = rested_zoom(path, held, take.sample(framing.rows))
    return np.minimum(np.exp(take.read(path)), framing.widest)


def _film_axis(
    take: Take,
    wanted: Signal,
    face: tuple[Signal, Signal],
    room: tuple[Signal, Signal],
    framing: Framing,
    height: Signal,
    *,
    axis: int,
) -> Signal:
    """The crop window's center along one axis, per frame.

    Args:
        take: the run.
        wanted: where the center should be, per frame.
        face: near and far edge of the face with its margin, per frame.
        room: near and far edge of what the window must lie in, per frame.
        framing: of the tile.
        height: of the crop window, per frame.
        axis: 0 from side to side, 1 up and down.
    """
    parameters, size = framing.parameters, height if axis else framing.aspect * height
    extent, smooth = take.sample(size), take.sample(wanted)
    target, weight = np.empty(len(take.grid)), np.ones(len(take.grid))
    in_line = axis == 1 and framing.composition is not None and not np.isnan(framing.composition.eyes).all()
    drift = parameters.eye_dead_zone if in_line else parameters.position_dead_zone
    for first, stop in take.runs:
        dead_zone = drift * extent[first:stop]
        target[first:stop] = hold(
            median(smooth[first:stop], parameters.median_window), dead_zone, parameters.shortest_hold
        )
    for gap in take.gaps:
        waits = take.index(gap.start + parameters.hold) if gap.opens_out(parameters) else gap.first
        _cross(target, weight, gap, waits, *_ends(target, gap))

    nearest, farthest = room[0] + size / 2, room[1] - size / 2
    first, last = framing.centers(height)[axis]

    def around(near: Signal, far: Signal) -> Limits:
        lower, upper = np.clip(far - size / 2, nearest, farthest), np.clip(near + size / 2, nearest, farthest)
        free = np.maximum(lower, first) <= np.minimum(upper, last)
        lower, upper = np.where(free, np.maximum(lower, first), lower), np.where(free, np.minimum(upper, last), upper)
        return take.between(np.where(take.followed, lower, nearest), np.where(take.followed, upper, farthest))

    held = around(*face)
    beside = _SHOULDERS * (face[1] - face[0])
    roomy = held if axis else around(face[0] - beside, face[1] + beside)
    scale = np.minimum(extent[1:], extent[:-1])
    pace = Pace(parameters.pace * scale, FASTEST * scale)
    walls = take.between(nearest, farthest)
    path = least_jerk(target, weight, held, walls, pace, float(np.median(extent)), roomy)
    return take.read(rested_axis(path, held, extent, take.sample(height / framing.rows), axis))


def _cross(target: Signal, weight: Signal, gap: Gap, departure: int, before: float, after: float) -> None:
    """Wait until the departure, and be in place when the person comes back."""
    target[gap.first : gap.end] = before
    if before != after:
        weight[departure : gap.end] = 0
        weight[gap.end : gap.end + _ARRIVED] = _IN_PLACE


def _ends(path: Signal, gap: Gap) -> tuple[float, float]:
    """The path's values on both sides of a gap; the same where the run begins or ends with it."""
    before = path[gap.first - 1] if gap.lost else path[gap.end]
    return float(before), float(path[gap.end] if gap.back else before)
