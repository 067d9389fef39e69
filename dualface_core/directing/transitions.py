"""From one scene to the next within a shot, where one of the two has a single tile: its picture is put together before.

Belongs here: the half second in which tiles and their crop windows glide to parts of the picture that comes, or from
those of the picture that goes. The one idea: a split whose tiles show the two halves of a two-shot looks like that
two-shot, so nothing jumps when the one takes the other's place, and nobody is shown twice on the way. Likewise the view
of one person opens until it is that of two, or the whole picture. It happens in the frames of the scene that shows
less, so that the other one is what it says from its first frame to its last.

Between a split and one person alone, a tile grows instead (`arrangement`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Final

import numpy as np
from numpy.typing import NDArray

from dualface_core.camera.film import Filmed
from dualface_core.camera.framing import Boxes, Values, edges, holds
from dualface_core.camera.presence import HOLDING, TRACKING
from dualface_core.directing.arrangement import NARROWEST, Rectangles, overlapping
from dualface_core.directing.parameters import Direction
from dualface_core.tables.face_tracks import FaceTracks
from dualface_core.tables.labels import SceneKind, Subject, Transition
from dualface_core.tables.layouts import Layout
from dualface_core.tables.scenes import Scene

_FROM_LESS_TO_MORE: Final = [SceneKind.SPLIT, SceneKind.SOLO, SceneKind.TOGETHER, SceneKind.WHOLE]
"""Of two scenes, tiles glide in the frames of the one that comes first here."""

_GROWS: Final = {SceneKind.SPLIT, SceneKind.SOLO}
"""Between these, one of the tiles grows."""


@dataclass(frozen=True)
class Glide:
    """A change of scene within a shot.

    Attributes:
        frames: in which tiles glide, of one of the two scenes.
        share: (frames,) how far they have come towards the other one, from 0 to 1.
        cast: who is shown in these frames, as the scene has it.
        other: the frame of the other scene that is next to them.
    """

    frames: slice
    share: Values
    cast: tuple[Subject, ...]
    other: int


def glides(scenes: Sequence[Scene], tracks: FaceTracks, direction: Direction) -> list[Glide]:
    """The changes in which tiles may glide: within a shot, where one of the two scenes has a single tile."""
    if direction.transition is Transition.HARD or not direction.transition_seconds:
        return []
    times = np.append(tracks.times, 2 * tracks.times[-1] - tracks.times[-2:].min())
    cuts = set(tracks.cuts.tolist())
    found = []
    for before, after in pairwise(scenes):
        ranks = [_FROM_LESS_TO_MORE.index(scene.kind) for scene in (before, after)]
        if after.first in cuts or ranks[0] == ranks[1] or {before.kind, after.kind} == _GROWS:
            continue
        scene, ends = (before, times[:-1]) if ranks[0] < ranks[1] else (after, times[1:])
        seconds = min(direction.transition_seconds, (times[scene.last + 1] - times[scene.first]) / 2)
        share = 1 - np.abs(ends[scene.frames] - times[after.first]) / seconds
        gliding = scene.first + np.flatnonzero(share > 0)
        if len(gliding):
            frames = slice(int(gliding[0]), int(gliding[-1]) + 1)
            other = after.first if scene is before else before.last
            found.append(Glide(frames, share[share > 0], scene.cast, other))
    return found


def eased(
    scenes: Sequence[Scene],
    layout: Layout,
    tracks: FaceTracks,
    tiles: NDArray[np.int32],
    filmed: Filmed,
    direction: Direction,
) -> tuple[NDArray[np.int32], Filmed]:
    """The tiles and what they show, with the changes eased that `glides` finds.

    A change stays hard where tiles lie on one another, where the shot is made of boxes, and where on the way somebody
    would be in the other's tile: two people side by side are no upper and lower half of a picture.

    Args:
        scenes: what is shown when; they cover every frame.
        layout: the canvas.
        tracks: who is where, and the shots.
        tiles: (frames, slots, 4) of x, y, width and height on the canvas.
        filmed: what each tile shows.
        direction: how scenes become one another.

    Returns:
        The same, but for the frames of glides. Crop windows have the shapes of their tiles, and lie inside the active
        picture. Who isn't wholly in their tile on the way is not "tracking".
    """
    tiles = tiles.copy()
    windows, states = filmed.crop_windows.copy(), filmed.states.copy()
    people = {Subject(person): tracks.boxes(person) for person in tracks.people}
    for glide in glides(scenes, tracks, direction):
        frames, shot = glide.frames, tracks.shots[int(np.searchsorted(tracks.cuts, glide.other, side="right"))]
        slots = np.flatnonzero(tiles[frames.start, :, 2])
        if shot.panes or (len(slots) > 1 and overlapping(layout)):
            continue
        single = int(np.flatnonzero(tiles[glide.other, :, 2])[0])
        whole, view = _corners(tiles[glide.other, single]), filmed.crop_windows[glide.other, single]
        rest = _corners(tiles[frames][:, slots])
        parts = np.array([_part(rest[0], number, whole) for number in range(len(slots))])
        eased = ((1 - np.cos(np.pi * glide.share)) / 2)[:, None, None]
        places = 2 * np.rint((rest + eased * (parts - rest)) / 2)
        if (places[..., 2:] - places[..., :2]).min() < NARROWEST:
            continue
        room = np.array(shot.picture or (0.0, 0.0, *tracks.metadata.frame_size), np.float64)
        own = filmed.crop_windows[frames][:, slots]
        shown = _between(own, rest, _parts_of(view, whole, parts), parts, places, eased, room)
        faces = {subject: boxes[frames] for subject, boxes in people.items()}
        if len(slots) > 1 and _confuses(shown, glide.cast, faces):
            continue
        tiles[frames, slots] = np.concatenate([places[..., :2], places[..., 2:] - places[..., :2]], axis=-1)
        windows[frames, slots] = shown
        for number, slot in enumerate(slots.tolist()):
            subject = glide.cast[number if len(slots) > 1 else 0]
            wanted = [faces[Subject(person)] for person in subject.people if Subject(person) in faces]
            seen = np.all([holds(shown[:, number], edges(boxes, 0.0)) for boxes in wanted], axis=0)
            states[frames, slot] = np.where((states[frames, slot] == TRACKING) & ~seen, HOLDING, states[frames, slot])
    return tiles, Filmed(windows, states)


def _corners(places: NDArray[np.integer]) -> Rectangles:
    return np.concatenate([places[..., :2], places[..., :2] + places[..., 2:]], axis=-1).astype(np.float64)


def _part(tiles: Rectangles, number: int, whole: Rectangles) -> Rectangles:
    """The part of a single tile that one of several takes: up to halfway to its neighbors, and else to the border."""
    own, part = tiles[number], whole.copy()
    for other in np.delete(tiles, number, axis=0):
        for side in range(4):
            axis, sign = side % 2, 1 if side > 1 else -1
            room = sign * (other[(side + 2) % 4] - own[side])
            across = min(own[3 - axis], other[3 - axis]) - max(own[1 - axis], other[1 - axis])
            if room >= 0 and across > 0:
                halfway = own[side] + sign * room / 2
                part[side] = (min if sign > 0 else max)(part[side], halfway)
    return part


def _parts_of(view: Values, whole: Rectangles, parts: Rectangles) -> Boxes:
    """What each part of a tile shows of the tile's crop window: (parts, 4)."""
    scale = view[2] / (whole[2] - whole[0])
    middles, extents = (parts[:, :2] + parts[:, 2:]) / 2, parts[:, 2:] - parts[:, :2]
    return np.concatenate([view[:2] + scale * (middles - (whole[:2] + whole[2:]) / 2), scale * extents], axis=1)


def _between(
    first: Boxes,
    first_places: Rectangles,
    last: Boxes,
    last_places: Rectangles,
    places: Rectangles,
    share: Values,
    room: Values,
) -> Boxes:
    """Crop windows on the way from the first to the last ones: (frames, slots, 4), of the shapes of their places."""
    extents = places[..., 2:] - places[..., :2]
    scales = [
        np.log(windows[..., 2] / (at[..., 2] - at[..., 0]))[..., None]
        for windows, at in ((first, first_places), (last, last_places))
    ]
    scale = np.minimum(np.exp(scales[0] + share * (scales[1] - scales[0])), (room[2:] / extents).min(-1, keepdims=True))
    middles, half = first[..., :2] + share * (last[..., :2] - first[..., :2]), scale * extents / 2
    return np.concatenate([np.clip(middles, room[:2] + half, room[:2] + room[2:] - half), 2 * half], axis=-1)


def _confuses(windows: Boxes, cast: Sequence[Subject], faces: Mapping[Subject, Boxes]) -> bool:
    """Whether the middle of anybody's face is ever outside of their own tile, or in another's."""
    for subject, boxes in faces.items():
        seen = np.flatnonzero(~np.isnan(boxes[:, 0]))
        middles = boxes[:, :2] + boxes[:, 2:] / 2
        inside = np.asarray((np.abs(middles[:, None] - windows[..., :2]) < windows[..., 2:] / 2).all(axis=-1))
        owners = np.array([tile in (subject, Subject.FRAME) for tile in cast])
        if (inside[seen] != owners).any():
            return True
    return False
