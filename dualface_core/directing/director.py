"""The director: from face tracks to a list of scenes.

Belongs here: the choices that a layout offers, and scenes with their reasons. Read before: Kumar, Gandhi, Ronfard and
Gleicher, "Zooming on all actors: focus+context split screen video generation" (2017), which merges tiles when actors
come close; single, two-shot and master shot are the same choices of an editor.
"""

from __future__ import annotations

from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from dualface_core.camera.parameters import CameraParameters
from dualface_core.directing.parameters import Direction
from dualface_core.directing.prospects import PEOPLE, Choice, Footage, Prospects, Refused
from dualface_core.directing.reasons import reason
from dualface_core.directing.sequence import best_sequence
from dualface_core.tables.face_tracks import FaceTracks
from dualface_core.tables.labels import SceneKind, SceneMode, Subject
from dualface_core.tables.layouts import Layout
from dualface_core.tables.scenes import Scene


def direct(
    tracks: FaceTracks,
    layout: Layout,
    camera: CameraParameters,
    direction: Direction,
    refused: Refused | None = None,
) -> list[Scene]:
    """Decide what is shown when.

    Args:
        tracks: who is where.
        layout: whose tiles a split has, and their shapes.
        camera: how close and how wide a crop window may be, and which losses are brief.
        direction: how the director chooses.
        refused: what turned out wrong when earlier choices were filmed; nothing if None.

    Returns:
        Scenes that cover every frame once, in order. Two that follow one another differ. Within a shot, none lasts
        less than `direction.shortest_scene`, unless the shot does.
    """
    choices = choices_of(layout)
    if direction.scenes is SceneMode.OFF:
        split = choices[0]
        why = "Scenes are off: one split throughout."
        return [Scene(first=0, last=tracks.frame_count - 1, kind=split.kind, cast=split.cast, reason=why)]

    footage = Footage.of(tracks)
    chosen, prospects = [], []
    for shot in tracks.shots:
        found = Prospects.of(footage, shot, layout, choices, camera, direction, refused)
        seconds = np.diff(footage.times[shot.first : shot.last + 2])
        costs = found.costs(choices, direction)
        chosen.append(best_sequence(costs, seconds, shortest=direction.shortest_scene, change=direction.switch))
        prospects.append(found)
    return _scenes(np.concatenate(chosen), choices, Prospects.joined(prospects), footage.times)


def choices_of(layout: Layout) -> list[Choice]:
    """What there is to choose from: the split first, which is taken where nothing else is better."""
    people = [tile.subject for tile in layout.tiles if tile.subject in PEOPLE]
    return [
        Choice(SceneKind.SPLIT, tuple(tile.subject for tile in layout.tiles)),
        *(Choice(SceneKind.SOLO, (person,)) for person in people),
        *([Choice(SceneKind.TOGETHER, (Subject.PAIR,))] if len(people) == len(PEOPLE) else []),
        Choice(SceneKind.WHOLE, (Subject.FRAME,)),
    ]


def _scenes(
    chosen: NDArray[np.intp], choices: list[Choice], prospects: Prospects, times: NDArray[np.float64]
) -> list[Scene]:
    edges = [0, *(np.flatnonzero(np.diff(chosen)) + 1).tolist(), len(chosen)]
    scenes = []
    for first, stop in pairwise(edges):
        choice = choices[chosen[first]]
        why = reason(choice, prospects.of_frames(slice(first, stop)), np.diff(times[first : stop + 1]))
        scenes.append(Scene(first=first, last=stop - 1, kind=choice.kind, cast=choice.cast, reason=why))
    return scenes
