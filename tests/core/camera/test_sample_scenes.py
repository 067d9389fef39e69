from __future__ import annotations

import numpy as np
import pytest

from benchmarks.footage.motion import motion
from dualface_core.camera.film import film
from dualface_core.camera.parameters import CameraParameters
from dualface_core.directing.arrangement import arrange
from dualface_core.directing.director import direct
from dualface_core.directing.parameters import Direction
from dualface_core.sample.scenes import Actor, Scene, choreograph
from dualface_core.tables.face_tracks import FaceTracks
from dualface_core.tables.labels import Person, Subject
from dualface_core.tables.tile_plan import TilePlan
from tests.core.camera.faces import FPS, SIDE_BY_SIDE
from tests.core.made_tracks import face_tracks

SECONDS = 20
WIDTH, HEIGHT = 1920, 1080
PEOPLE = (Actor.WOMAN, Actor.MAN)


def tracks_of(scene: Scene, seed: int, seconds: int = SECONDS) -> FaceTracks:
    """Tracks of the faces of a sample, from its choreography, as a detector would see them."""
    played, frames = choreograph(scene, seconds=seconds, seed=seed), seconds * FPS
    boxes = {actor: np.full((frames, 4), np.nan) for actor in PEOPLE}
    shots = []
    for frame in range(frames):
        moment = played.at(frame / FPS)
        shots.append(moment.shot)
        for place in moment.placements:
            if 0.02 < place.x < 0.98:
                face = 0.7 * place.head * HEIGHT
                corner = (place.x * WIDTH - 0.4 * face, HEIGHT / 2 + place.y * HEIGHT - 0.4 * face)
                boxes[place.person][frame] = (*corner, 0.8 * face, face)
    noise = np.random.default_rng(seed).normal(0, 1.5, (len(PEOPLE), frames, 4))
    faces = [boxes[actor] + part for actor, part in zip(PEOPLE, noise, strict=True)]
    first = next(frame for frame in range(frames) if not np.isnan([face[frame, 0] for face in faces]).any())
    faces.sort(key=lambda face: float(face[first, 0]))
    cuts = (np.flatnonzero(np.diff(shots)) + 1).tolist()
    return face_tracks(dict(zip(Person, faces, strict=True)), cuts=cuts)


@pytest.mark.parametrize(
    ("scene", "step"),
    [
        (Scene.TALK, 1 / 200),
        (Scene.CROSS, 1 / 200),
        (Scene.CUTS, 1 / 200),
        (Scene.LEAVE, 1 / 25),  # somebody walks in at a tile's width a second, and is kept in the tile
    ],
)
@pytest.mark.parametrize("seed", [100, 101])
def test_samples_are_filmed_calmly_and_nobody_is_lost(scene: Scene, step: float, seed: int) -> None:
    tracks, camera, direction = tracks_of(scene, seed), CameraParameters(), Direction()
    scenes = direct(tracks, SIDE_BY_SIDE, camera, direction)
    tiles = arrange(scenes, SIDE_BY_SIDE, tracks, direction)
    filmed = film(tracks, scenes, tiles, camera)
    plan = TilePlan.of(
        tracks,
        SIDE_BY_SIDE,
        scenes=scenes,
        tiles=tiles,
        crop_windows=filmed.crop_windows,
        states=filmed.states,
        camera={},
        direction={},
    )
    moved = motion(plan, tracks)
    assert moved.step <= step
    assert moved.jerk <= moved.followed / 20
    for slot in range(2):
        for person in Person:
            seen = ~np.isnan(tracks.boxes(person)[:, 0])
            shown = plan.drawn[:, slot] & (plan.subjects[:, slot] == Subject(person)) & seen
            assert (plan.states[shown, slot] == "tracking").mean() > 0.97 if shown.any() else True


@pytest.mark.parametrize(("scene", "crossings"), [(Scene.TALK, 0), (Scene.CROSS, 5)])
def test_a_long_wide_shot_of_two_people_is_one_split_but_for_where_they_cross(scene: Scene, crossings: int) -> None:
    scenes = direct(tracks_of(scene, 7, seconds=60), SIDE_BY_SIDE, CameraParameters(), Direction())
    assert [each.kind for each in scenes] == ["split", *["together", "split"] * crossings]
    assert sum(len(each) for each in scenes if each.kind == "together") < crossings * 2.5 * FPS + 1
