"""What is chosen anew because a camera showed something else than the window that it would have liked."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest

from dualface_core.camera.film import Filmed, film
from dualface_core.camera.parameters import CameraParameters
from dualface_core.directing.arrangement import arrange
from dualface_core.directing.parameters import Direction
from dualface_core.directing.rehearsal import rehearsed
from dualface_core.tables.face_tracks import Overlay
from dualface_core.tables.labels import SceneKind, SceneMode
from dualface_core.tables.scenes import Scene
from tests.core.directing.people import FPS, SIDE_BY_SIDE, Boxes, directed, person
from tests.core.made_tracks import face_tracks

SECONDS = 8.0
TIMES = np.arange(round(SECONDS * FPS)) / FPS


def swung(x: float, **choices: float) -> Boxes:
    """A face that a hand-held camera swings past: all that is in the picture moves to and fro together."""
    return person(x + 420 * np.sin(2.6 * TIMES), seconds=SECONDS, **choices)


def in_the_others_tile(scenes: SceneMode) -> int:
    """In how many frames half of anybody's face is in the other one's tile of a split."""
    people = {"A": swung(640, height=240), "B": swung(1090, height=240)}
    tracks = face_tracks(people)
    film = rehearsed(tracks, SIDE_BY_SIDE, CameraParameters(), Direction(scenes=scenes))
    split = np.zeros(len(TIMES), bool)
    for scene in film.scenes:
        split[scene.frames] = scene.kind is SceneKind.SPLIT
    windows = film.filmed.crop_windows
    found = np.zeros(len(TIMES), bool)
    for slot, other in ((0, "B"), (1, "A")):
        middle = people[other][:, 0] + people[other][:, 2] / 2
        found |= np.abs(middle - windows[:, slot, 0]) < windows[:, slot, 2] / 2
    return int((found & split).sum())


def test_a_split_in_which_a_camera_is_too_slow_to_leave_somebody_out_is_none() -> None:
    """Each frame by itself could be a split; on the way from one to the next the cameras show somebody twice."""
    tracks = face_tracks({"A": swung(640, height=240), "B": swung(1090, height=240)})
    assert [scene.kind for scene in directed(tracks)] == [SceneKind.SPLIT]
    assert in_the_others_tile(SceneMode.OFF) > 0
    assert in_the_others_tile(SceneMode.AUTO) == 0


def test_a_caption_that_a_camera_on_its_way_would_cut_is_cut_by_no_tile() -> None:
    """The windows that are wanted hold it or leave it out; a camera that follows somebody who sways does neither."""
    name = (150.0, 760.0, 480.0, 60.0)
    swaying = person(560 + 240 * np.sin(2.6 * TIMES), height=240, seconds=SECONDS)
    tracks = face_tracks({"A": swaying, "B": person(1490, height=240, seconds=SECONDS)})
    shots = [shot.model_copy(update={"overlays": (Overlay(box=name),)}) for shot in tracks.shots]
    tracks = replace(tracks, metadata=tracks.metadata.model_copy(update={"shots": shots}))

    def cut(scenes: Sequence[Scene], filmed: Filmed) -> int:
        x, y, width, height = filmed.crop_windows.T
        left, top = np.maximum(x - width / 2, name[0]), np.maximum(y - height / 2, name[1])
        right, bottom = np.minimum(x + width / 2, name[0] + name[2]), np.minimum(y + height / 2, name[1] + name[3])
        shown = np.maximum(right - left, 0) * np.maximum(bottom - top, 0) / (name[2] * name[3])
        split = np.concatenate([np.full(len(scene), scene.kind is SceneKind.SPLIT) for scene in scenes])
        return int((((shown > 0.02) & (shown < 0.98)).any(axis=0) & split).sum())

    first = directed(tracks)
    tiles = arrange(first, SIDE_BY_SIDE, tracks, Direction())
    assert cut(first, film(tracks, first, tiles)) > 0
    after = rehearsed(tracks, SIDE_BY_SIDE, CameraParameters(), Direction())
    assert cut(after.scenes, after.filmed) == 0


def test_what_was_right_at_once_is_filmed_as_it_was_chosen() -> None:
    tracks = face_tracks({"A": person(500), "B": person(1400)})
    film = rehearsed(tracks, SIDE_BY_SIDE, CameraParameters(), Direction())
    assert film.scenes == directed(tracks)


@pytest.mark.parametrize("x", [70.0, 1850.0])
def test_who_is_at_the_edge_of_the_picture_gets_no_tile(x: float) -> None:
    """Half of the head is cut by the frame itself, and the rest of it would be at the side of the tile."""
    tracks = face_tracks({"A": person(960.0), "B": person(x)})
    assert [(scene.kind, scene.cast) for scene in directed(tracks)] == [(SceneKind.SOLO, ("A",))]


def test_who_fills_the_picture_from_side_to_side_is_not_at_its_edge() -> None:
    tracks = face_tracks({"A": person(300.0, height=700.0)}, size=(608, 1080))
    assert [scene.kind for scene in directed(tracks)] == [SceneKind.SOLO]
