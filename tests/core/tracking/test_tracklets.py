from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import ArrayLike

from dualface_core.faces.detections import Detections
from dualface_core.tracking.tracklets import LONGEST_GAP, Tracklet, TrackletLinker, center

STEP = 1 / 6
"""Seconds from one look to the next."""

Face = tuple[float, float, float]


def see(centers: Sequence[ArrayLike], scores: Sequence[float] | None = None) -> Detections:
    """Detections of faces: `see([(x, y, size), ...], scores=[...])`, given the centers and the sides."""
    rows = np.asarray(centers, np.float32).reshape(-1, 3)
    x, y, side = rows.T
    boxes = np.column_stack([x - side / 2, y - side / 2, side, side]).astype(np.float32)
    spots = np.array([[0.3, 0.4], [0.7, 0.4], [0.5, 0.6], [0.35, 0.8], [0.65, 0.8]], np.float32)
    landmarks = boxes[:, None, :2] + spots * boxes[:, None, 2:]
    return Detections(boxes, landmarks, np.asarray(scores or [0.9] * len(rows), np.float32))


def linked(looks: list[list[Face]], *, step: float = STEP, shot_of: int | None = None) -> list[Tracklet]:
    """All tracklets of a sequence of looks; `shot_of` is the look at which a new shot begins."""
    linker = TrackletLinker(start_score=0.6)
    found: dict[int, Tracklet] = {}
    for number, faces in enumerate(looks):
        shot = int(shot_of is not None and number >= shot_of)
        for tracklet, _ in linker.add(number, number * step, shot, see(faces)):
            found[tracklet.number] = tracklet
    return list(found.values())


def test_two_people_who_sit_side_by_side_are_two_tracklets() -> None:
    rng = np.random.default_rng(0)
    looks = [[(200 + 5 * rng.normal(), 200, 80), (500 + 5 * rng.normal(), 210, 75)] for _ in range(60)]
    tracklets = linked(looks)
    assert [len(tracklet.frames) for tracklet in tracklets] == [60, 60]


def test_the_order_of_detections_does_not_matter() -> None:
    looks: list[list[Face]] = [
        [(200, 200, 80), (500, 210, 75)] if n % 2 else [(500, 210, 75), (200, 200, 80)] for n in range(9)
    ]
    for tracklet in linked(looks):
        assert len({tuple(center(box)) for box in tracklet.boxes}) == 1


@settings(deadline=None, max_examples=60)
@given(
    speeds=st.tuples(st.floats(0.3, 2.5), st.floats(0.3, 2.5)),
    meet=st.floats(1.5, 3),
    higher=st.floats(-0.3, 0.3),
    front=st.booleans(),
    hidden=st.floats(0.3, 1.2),
    seed=st.integers(0, 100),
)
def test_no_tracklet_holds_both_of_two_people_who_pass_one_another(
    speeds: tuple[float, float], meet: float, higher: float, front: bool, hidden: float, seed: int
) -> None:
    """They walk towards each other at `speeds` face sizes a second, and the one behind is hidden when near."""
    size, rng = 80.0, np.random.default_rng(seed)
    linker = TrackletLinker(start_score=0.6)
    tracklets = []
    for number in range(30):
        time = number * STEP
        left = 400 + speeds[0] * size * (time - meet)
        right = 400 - speeds[1] * size * (time - meet)
        near = abs(left - right) < hidden * size
        # Their scores tell them apart.
        people = [((left, 200.0, size), 0.8), ((right, 200 + higher * size, size), 0.9)]
        seen = [face for person, face in enumerate(people) if not near or person == int(front)]
        faces = see([np.add(spot, (rng.normal(), rng.normal(), 0)) for spot, _ in seen], [score for _, score in seen])
        tracklets += [tracklet for tracklet, _ in linker.add(number, time, 0, faces)]
    for tracklet in tracklets:
        assert len(set(tracklet.scores)) == 1


def test_a_face_that_is_lost_for_a_moment_is_one_tracklet() -> None:
    looks: list[list[Face]] = [[(200 + 10 * n, 200, 80)] for n in range(12)]
    looks[5] = looks[6] = []
    (tracklet,) = linked(looks)
    assert tracklet.frames == [0, 1, 2, 3, 4, 7, 8, 9, 10, 11]


def test_a_face_that_is_lost_for_longer_is_two_tracklets() -> None:
    looks: list[list[Face]] = [[(200, 200, 80)] for _ in range(12)]
    lost = int(LONGEST_GAP / STEP) + 1
    looks[4 : 4 + lost] = [[]] * lost
    assert len(linked(looks)) == 2


def test_looks_that_are_seconds_apart_can_still_be_linked() -> None:
    assert len(linked([[(200, 200, 80)]] * 5, step=2.0)) == 1


def test_a_cut_ends_every_tracklet() -> None:
    tracklets = linked([[(200, 200, 80)]] * 10, shot_of=4)
    assert [(tracklet.shot, tracklet.frames) for tracklet in tracklets] == [(0, [0, 1, 2, 3]), (1, [4, 5, 6, 7, 8, 9])]


def test_a_face_that_jumps_or_changes_its_size_is_another_one() -> None:
    assert len(linked([[(200, 200, 80)]] * 3 + [[(400, 200, 80)]] * 3)) == 2
    assert len(linked([[(200, 200, 80)]] * 3 + [[(200, 200, 200)]] * 3)) == 2


def test_a_face_lost_beside_another_is_not_carried_on_by_it() -> None:
    # Both stand close; then only one is left, between where they were.
    looks: list[list[Face]] = [[(200, 200, 80), (280, 200, 80)]] * 4 + [[(240, 200, 80)]] * 4
    assert [tracklet.frames for tracklet in linked(looks)] == [[0, 1, 2, 3], [0, 1, 2, 3], [4, 5, 6, 7]]


def test_a_faint_face_extends_a_tracklet_but_begins_none() -> None:
    linker = TrackletLinker(start_score=0.6)
    assert linker.add(0, 0.0, 0, see([(200, 200, 80)], scores=[0.5])) == []
    ((tracklet, _),) = linker.add(1, 0.1, 0, see([(200, 200, 80)], scores=[0.7]))
    extended = linker.add(2, 0.2, 0, see([(202, 200, 80), (600, 200, 80)], scores=[0.5, 0.4]))
    assert extended == [(tracklet, 0)]
    assert tracklet.frames == [1, 2]
