"""The rehearsal: what the director chose is filmed, looked at, and chosen anew where a tile shows what it must not.

Belongs here: what is wrong with the crop windows of a plan. The one idea: the director judges every frame by the window
that a camera would like, and a real camera is elsewhere while it waits for a movement to end or is on its way. So a
split in which somebody turns out to be in the other's tile is none, and an edge that turns out to go through somebody
else's face or a caption counts as one.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from dualface_core.camera.film import Filmed, film
from dualface_core.camera.framing import Boxes, Values, edges, holds, overlap
from dualface_core.camera.parameters import CameraParameters
from dualface_core.directing.arrangement import arrange
from dualface_core.directing.director import direct
from dualface_core.directing.parameters import Direction
from dualface_core.directing.prospects import PEOPLE, Choice, Footage, Refused
from dualface_core.directing.transitions import eased, glides
from dualface_core.tables.face_tracks import FaceTracks
from dualface_core.tables.labels import SceneKind, SceneMode
from dualface_core.tables.layouts import Layout
from dualface_core.tables.scenes import Scene

_ROUNDS: Final = 4
"""Films at the most. In the last but one, what is wrong with a split is wrong with all of it, so that none is left."""

_SLICED: Final = (0.15, 0.85)
"""A face of which a window holds a share between these is cut by its edge: less is a rim, more is nearly all of it."""


_FOUND_TO: Final = 0.01
"""Share of its width and height to which an overlay is found."""


@dataclass(frozen=True)
class Rehearsed:
    """A film without what was found wrong with earlier ones.

    Attributes:
        scenes: what is shown when.
        tiles: (frames, slots, 4) of x, y, width and height on the canvas.
        filmed: what each tile shows.
    """

    scenes: list[Scene]
    tiles: NDArray[np.int32]
    filmed: Filmed


def rehearsed(tracks: FaceTracks, layout: Layout, camera: CameraParameters, direction: Direction) -> Rehearsed:
    """Direct and film until nothing new is found wrong; arguments as for `director.direct`."""
    refused = Refused.nothing(tracks.frame_count)
    footage = Footage.of(tracks)
    shot: Filmed | None = None
    for number in range(1, _ROUNDS + 1):
        scenes = direct(tracks, layout, camera, direction, refused)
        tiles = arrange(scenes, layout, tracks, direction)
        shot = film(tracks, scenes, tiles, camera, before=shot)
        tiles, filmed = eased(scenes, layout, tracks, tiles, shot, direction)
        resting = np.ones(tracks.frame_count, bool)
        for glide in glides(scenes, tracks, direction):
            resting[glide.frames] = False
        before = refused.count
        refused = refused.joined(_wrong(scenes, tiles, filmed, footage, tracks, resting, whole=number >= _ROUNDS - 1))
        if direction.scenes is SceneMode.OFF or refused.count == before:
            break
    return Rehearsed(scenes, tiles, filmed)


def _wrong(
    scenes: Sequence[Scene],
    tiles: NDArray[np.int32],
    filmed: Filmed,
    footage: Footage,
    tracks: FaceTracks,
    resting: NDArray[np.bool_],
    *,
    whole: bool,
) -> Refused:
    """What a film shows that it must not while its tiles are `resting`; of `whole` splits, where there is anything."""
    doubled = np.zeros(len(tiles), bool)
    cut: dict[Choice, NDArray[np.bool_]] = {}
    for scene in scenes:
        if scene.kind is SceneKind.WHOLE:
            continue
        windows, drawn = filmed.crop_windows[scene.frames], tiles[scene.frames, :, 2] > 0
        if scene.kind is SceneKind.SPLIT:
            found = _elsewhere(scene, windows, drawn, footage) & resting[scene.frames]
            doubled[scene.frames] = found.any() if whole else found
        sliced = np.zeros(len(tiles), bool)
        found = _slices(scene, windows, drawn, footage) | _through(scene, windows, drawn, tracks)
        sliced[scene.frames] = found & resting[scene.frames]
        choice = Choice(scene.kind, scene.cast)
        cut[choice] = cut.get(choice, sliced) | sliced
    return Refused(doubled, cut)


def _elsewhere(scene: Scene, windows: Boxes, drawn: NDArray[np.bool_], footage: Footage) -> NDArray[np.bool_]:
    """Where any of the people of a split is in the tile of the other one, or a part of their face."""
    found = np.zeros(len(windows), bool)
    for slot, subject in enumerate(scene.cast):
        for person, boxes in footage.boxes.items():
            if subject in PEOPLE and person not in subject.people:
                found |= drawn[:, slot] & (_shares(windows[:, slot], boxes[scene.frames]) > _SLICED[0])
    return found


def _slices(scene: Scene, windows: Boxes, drawn: NDArray[np.bool_], footage: Footage) -> NDArray[np.bool_]:
    """Where an edge of any tile goes through the face of a stranger."""
    found = np.zeros(len(windows), bool)
    part = slice(*np.searchsorted(footage.other_frames, [scene.first, scene.last + 1]))
    frames, boxes = footage.other_frames[part] - scene.first, footage.other_boxes[part]
    for slot in range(windows.shape[1]):
        shares = _shares(windows[frames, slot], boxes)
        found[frames[drawn[frames, slot] & (shares > _SLICED[0]) & (shares < _SLICED[1])]] = True
    return found


def _through(scene: Scene, windows: Boxes, drawn: NDArray[np.bool_], tracks: FaceTracks) -> NDArray[np.bool_]:
    """Where an edge of any tile goes through what is laid over the picture."""
    found = np.zeros(len(windows), bool)
    times = tracks.times[scene.frames]
    for shot in tracks.shots:
        part = slice(max(shot.first - scene.first, 0), max(shot.last + 1 - scene.first, 0))
        for overlay in shot.overlays:
            there = (times[part] >= (overlay.begin or -np.inf)) & (times[part] <= (overlay.end or np.inf))
            box = edges(np.tile(overlay.box, (len(times[part]), 1)), -_FOUND_TO)
            for slot in range(windows.shape[1]):
                seen = windows[part, slot]
                found[part] |= there & drawn[part, slot] & overlap(seen, box) & ~holds(seen, box)
    return found


def _shares(windows: Boxes, boxes: Boxes) -> Values:
    """The share of each face that lies in its window; NaN where there is no face."""
    x, y, width, height = boxes.T
    low = np.maximum(windows[:, :2] - windows[:, 2:] / 2, boxes[:, :2])
    high = np.minimum(windows[:, :2] + windows[:, 2:] / 2, np.stack([x + width, y + height], axis=1))
    return np.asarray(np.prod(np.maximum(high - low, 0.0), axis=1) / np.maximum(width * height, 1e-6))
