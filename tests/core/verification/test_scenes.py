"""Plans that show something else than their scenes say, judged by what is composed of them: there is no more to ask."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from numpy.typing import NDArray

from dualface_core import pipeline
from dualface_core.faces.detector import FaceDetector
from dualface_core.faces.embedder import FaceEmbedder
from dualface_core.settings import Settings
from dualface_core.tables.face_tracks import FaceTracks
from dualface_core.tables.labels import Person, SceneKind, Subject
from dualface_core.tables.layouts import LAYOUTS
from dualface_core.tables.scenes import Scene
from dualface_core.tables.tile_plan import TilePlan
from dualface_core.verification.expected import Sample, Source, source_frames, tile_frame
from dualface_core.verification.findings import Check, Finding
from dualface_core.verification.identity import IdentityCheck, faces_in_tiles, faces_of_source
from tests.core.verification.results import Job, swapped_names

LAYOUT = LAYOUTS["side-by-side"]
CANVAS, NOWHERE = (0, 0, LAYOUT.width, LAYOUT.height), (0, 0, 0, 0)
LEFT, RIGHT = (tile.rectangle for tile in LAYOUT.tiles)
A, B = Person


def plan(
    tracks: FaceTracks,
    kind: SceneKind,
    cast: tuple[Subject, ...],
    *shown: tuple[tuple[int, int, int, int], tuple[Person, ...]],
    scenes: str = "auto",
) -> TilePlan:
    """A plan of one scene: what it says of its cast, and for each slot its place, and whose faces it really shows."""
    windows = [around(tracks, people, place) for place, people in shown]
    return TilePlan.of(
        tracks,
        LAYOUT,
        scenes=[Scene(first=0, last=tracks.frame_count - 1, kind=kind, cast=cast, reason="The test wants it.")],
        tiles=np.broadcast_to([place for place, _ in shown], (tracks.frame_count, 2, 4)),
        crop_windows=np.stack(windows, axis=1),
        states=np.zeros((tracks.frame_count, 2), np.int8),
        camera={},
        direction={"scenes": scenes},
    )


def around(tracks: FaceTracks, people: tuple[Person, ...], place: tuple[int, int, int, int]) -> NDArray[np.float64]:
    """A crop window around some faces, of the shape of a place on the canvas: (frames, 4)."""
    boxes = np.stack([tracks.boxes(person) for person in people])
    low, high = boxes[..., :2].min(axis=0), (boxes[..., :2] + boxes[..., 2:]).max(axis=0)
    height = 2.5 * boxes[..., 3].max(axis=0)
    aspect = place[2] / place[3] if place[3] else 1.0
    height = np.maximum(height, 1.2 * (high - low)[:, 0] / aspect)
    return np.column_stack([(low + high) / 2, height * aspect, height])


def right_split(tracks: FaceTracks) -> TilePlan:
    return plan(tracks, SceneKind.SPLIT, (Subject.A, Subject.B), (LEFT, (A,)), (RIGHT, (B,)))


def solo(tracks: FaceTracks, person: Person) -> TilePlan:
    return plan(tracks, SceneKind.SOLO, (Subject.A,), (CANVAS, (person,)), (NOWHERE, (B,)))


def two_shot(tracks: FaceTracks, *people: Person) -> TilePlan:
    return plan(tracks, SceneKind.TOGETHER, (Subject.PAIR,), (CANVAS, people), (NOWHERE, (B,)))


def twice(tracks: FaceTracks, scenes: str = "auto") -> TilePlan:
    return plan(tracks, SceneKind.SPLIT, (Subject.A, Subject.B), (LEFT, (A,)), (RIGHT, (A,)), scenes=scenes)


@pytest.fixture(scope="module")
def judged(good: Job) -> Callable[[FaceTracks, TilePlan], list[Finding]]:
    """What is found in the tiles that a plan makes of the good job's source."""
    settings = Settings()
    detector, embedder = FaceDetector(settings.detector_weights), FaceEmbedder(settings.embedder_weights)

    def judge(tracks: FaceTracks, wrong: TilePlan) -> list[Finding]:
        check, source = IdentityCheck(tracks, wrong, embedder.embed), Source(good.video, wrong.layout)
        frames = list(source_frames(good.video, Sample.of(wrong, sorted({*check.frames, *range(0, 30, 6)}))))
        for sample, frame in frames[::2]:
            check.learn(faces_of_source(check.wanted(sample.number), frame, detector))
        check.finish_learning()
        for sample, frame in frames:
            if sample.number in check.frames:
                canvas = source.composed(frame, sample.shown)
                tiles = [tile_frame(canvas, tile, frame.color) if tile[2] else None for tile in sample.shown.tiles]
                check.look(faces_in_tiles(check.wanted(sample.number), tiles, detector, embedder))
        return [finding for finding in check.findings() if not finding.passed]

    return judge


@pytest.mark.parametrize(
    "make",
    [right_split, lambda tracks: solo(tracks, A), lambda tracks: two_shot(tracks, A, B)],
    ids=["split", "solo", "together"],
)
def test_a_plan_that_shows_the_cast_of_its_scene_is_right(
    good: Job, judged: Callable[..., list[Finding]], make: Callable[[FaceTracks], TilePlan]
) -> None:
    assert judged(good.tracks, make(good.tracks)) == []


@pytest.mark.parametrize(
    ("make", "check", "words"),
    [
        (lambda tracks: solo(tracks, B), Check.FACE, "Tile A shows a face where the plan has one in 0 of"),
        (lambda tracks: two_shot(tracks, A), Check.FACE, "Tile B shows a face where the plan has one in 0 of"),
        (twice, Check.DOUBLED, "sampled frames, the first time at 0:00.0, the longest from 0:00.0 to 0:02."),
    ],
    ids=["a solo of A that shows B", "a two-shot without B", "both tiles show A"],
)
def test_a_plan_that_shows_another_cast_is_refused(
    good: Job,
    judged: Callable[..., list[Finding]],
    make: Callable[[FaceTracks], TilePlan],
    check: Check,
    words: str,
) -> None:
    found = judged(good.tracks, make(good.tracks))
    errors = [finding.message for finding in found if finding.check is check and finding.severity == "error"]
    assert any(words in message for message in errors), found


def test_one_face_in_two_tiles_is_a_warning_where_there_is_nothing_but_a_split(
    good: Job, judged: Callable[..., list[Finding]]
) -> None:
    found = judged(good.tracks, twice(good.tracks, scenes="off"))
    assert [finding.severity for finding in found if finding.check is Check.DOUBLED] == ["warning"]


def test_labels_that_change_sides_in_the_middle_are_found_without_asking_them(
    good: Job, judged: Callable[..., list[Finding]]
) -> None:
    tracks = swapped_names(good.tracks, range(12, 30))
    found = judged(tracks, pipeline.plan_tiles(good.video, tracks))
    errors = [finding for finding in found if finding.check is Check.PEOPLE and finding.severity == "error"]
    messages = [finding.message for finding in errors if finding.message.startswith("Tiles show two people as")]
    assert len(messages) == 2, found
    assert "faces from 0:0" in messages[0]
    assert "who are B's." in messages[0] or "who are A's." in messages[1]
