from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from dualface_core.tracking.identities import (
    EmbeddedTracklet,
    Labeling,
    _label_costs,
    _link_cost,
    _matters,
    _most_likely,
    _People,
    identify,
    split,
)
from dualface_core.tracking.tracklets import Tracklet

RATE = 6
"""Looks per second."""


def look_of(person: int, *, unlike: float = 0.5, seed: int = 0) -> NDArray[np.float32]:
    """An embedding of a person: their own direction and, `unlike` as long, one of its own."""
    own = np.random.default_rng(person).normal(size=128)
    off = np.random.default_rng(1000 + seed).normal(size=128)
    vector = own / np.linalg.norm(own) + unlike * off / np.linalg.norm(off)
    return np.asarray(vector / np.linalg.norm(vector), np.float32)


@dataclass(frozen=True)
class Seen:
    """A person from `begin` to `end` seconds, at `x` (and, at the end, `to`) in face sizes from the left."""

    person: int
    begin: float
    end: float
    x: float
    to: float | None = None
    shot: int = 0
    clear: float = 3.0
    unlike: float = 0.5
    size: float = 100.0


def embedded_of(scene: Sequence[Seen]) -> list[EmbeddedTracklet]:
    made = []
    for number, seen in enumerate(sorted(scene, key=lambda seen: seen.begin)):
        frames = np.arange(round(seen.begin * RATE), round(seen.end * RATE) + 1)
        places = np.linspace(seen.x, seen.x if seen.to is None else seen.to, len(frames)) * 100
        tracklet = Tracklet(number, seen.shot)
        tracklet.frames = frames.tolist()
        tracklet.times = (frames / RATE).tolist()
        tracklet.boxes = [np.float32([x - seen.size / 2, 100, seen.size, seen.size]) for x in places]
        tracklet.landmarks = [np.zeros((5, 2), np.float32)] * len(frames)
        tracklet.scores = [0.9] * len(frames)
        if len(frames) > 1:
            tracklet.velocity = np.array([(places[-1] - places[-2]) * RATE, 0])
        made.append(EmbeddedTracklet(tracklet, look_of(seen.person, unlike=seen.unlike, seed=number), seen.clear))
    return made


def persons(scene: Sequence[Seen]) -> tuple[str | None, ...]:
    return identify(embedded_of(scene)).persons


def test_the_one_on_the_left_where_both_are_first_seen_is_a() -> None:
    alone_first = Seen(person=2, begin=0, end=3, x=5, shot=0)
    together = [Seen(person=1, begin=4, end=9, x=2, shot=1), Seen(person=2, begin=4, end=9, x=8, shot=1)]
    assert persons([alone_first, *together]) == ("B", "A", "B")


def test_somebody_who_leaves_and_comes_back_on_the_other_side_is_the_same_person() -> None:
    scene = [
        Seen(person=1, begin=0, end=5, x=2),
        Seen(person=2, begin=0, end=12, x=5),
        Seen(person=1, begin=9, end=12, x=8),
    ]
    assert persons(scene) == ("A", "B", "A")


def test_people_who_swap_sides_across_a_cut_keep_their_names() -> None:
    scene = [
        Seen(person=1, begin=0, end=5, x=2),
        Seen(person=2, begin=0, end=5, x=8),
        Seen(person=2, begin=5.2, end=9, x=2, shot=1),
        Seen(person=1, begin=5.2, end=9, x=8, shot=1),
    ]
    assert persons(scene) == ("A", "B", "B", "A")


def test_short_fragments_while_two_cross_get_the_names_that_movement_suggests() -> None:
    # In the middle, each is seen for an instant and hardly recognizable.
    scene = [
        Seen(person=1, begin=0, end=3, x=2, to=4.6),
        Seen(person=2, begin=0, end=3, x=8, to=5.4),
        Seen(person=8, begin=3.2, end=3.4, x=4.8, to=5.1, clear=0.1, unlike=3),
        Seen(person=9, begin=3.2, end=3.4, x=5.2, to=4.9, clear=0.1, unlike=3),
        Seen(person=1, begin=3.7, end=7, x=5.4, to=8),
        Seen(person=2, begin=3.7, end=7, x=4.6, to=2),
    ]
    assert persons(scene) == ("A", "B", "A", "B", "A", "B")


def test_two_who_are_never_seen_together_are_two_people() -> None:
    scene = [Seen(person=1 + n % 2, begin=4 * n, end=4 * n + 3, x=5, shot=n) for n in range(6)]
    assert persons(scene) == ("A", "B") * 3


def test_one_person_has_no_double() -> None:
    # From the front, in profile, and hardly to be seen.
    scene = [
        Seen(person=1, begin=0, end=5, x=5),
        Seen(person=1, begin=6, end=9, x=5, clear=0.6, unlike=3),
        Seen(person=1, begin=10, end=20, x=4, shot=1),
        Seen(person=1, begin=21, end=22, x=4, shot=1, clear=0.2, unlike=5),
    ]
    labeling = identify(embedded_of(scene))
    assert labeling.people == ("A",)
    assert labeling.persons[0] == labeling.persons[2] == "A"
    assert set(labeling.margins) == {None}


def test_of_three_people_the_two_with_the_most_presence_are_a_and_b() -> None:
    scene = [
        Seen(person=3, begin=0, end=8, x=1, size=30),
        Seen(person=1, begin=0, end=8, x=4),
        Seen(person=2, begin=0, end=8, x=8),
        Seen(person=3, begin=9, end=11, x=5, shot=1, size=30),
    ]
    assert persons(scene) == (None, "A", "B", None)


def test_a_clip_of_a_moment_has_people_too() -> None:
    scene = embedded_of([Seen(person=1, begin=0, end=0.2, x=4), Seen(person=2, begin=0, end=0.2, x=8)])
    assert identify(scene, 0.2).persons == ("A", "B")
    assert identify(scene, 8).persons == (None, None)


@pytest.mark.parametrize(("seconds", "clear"), [(0.0, 0.2), (0.2, 0.2), (0.5, 0.3)])
def test_a_clip_of_a_moment_needs_no_more_face_crops_than_it_can_have(seconds: float, clear: float) -> None:
    scene = embedded_of([Seen(person=1, begin=0, end=seconds, x=4, clear=clear)])
    assert identify(scene, seconds).persons == ("A",)
    assert identify(scene).persons == (None,)


def test_a_false_detection_in_a_single_frame_is_nobody() -> None:
    assert identify(embedded_of([Seen(person=7, begin=0, end=0, x=4, clear=0.05)]), 0).people == ()


def test_a_passing_false_detection_is_nobody() -> None:
    scene = [Seen(person=1, begin=0, end=8, x=4), Seen(person=7, begin=3, end=3.2, x=8, clear=0.1)]
    assert persons(scene) == ("A", None)
    assert identify(embedded_of(scene[1:])).people == ()


def test_no_faces_are_no_people() -> None:
    assert identify([]) == Labeling((), (), (), {})


def test_prototypes_look_like_the_people_they_are_named_after() -> None:
    scene = [Seen(person=2, begin=0, end=5, x=2), Seen(person=1, begin=0, end=5, x=8)]
    prototypes = identify(embedded_of(scene)).prototypes
    assert prototypes["A"] @ look_of(2, unlike=0) > 0.7
    assert prototypes["B"] @ look_of(1, unlike=0) > 0.7


def test_the_margin_is_small_where_a_face_says_little() -> None:
    scene = [
        Seen(person=1, begin=0, end=8, x=2),
        Seen(person=2, begin=0, end=3, x=8),
        Seen(person=2, begin=5, end=8, x=8, clear=0.1, unlike=3),
    ]
    clear, _, doubtful = identify(embedded_of(scene)).margins
    assert clear is not None
    assert doubtful is not None
    assert 0 <= doubtful < clear


def crops(people: Sequence[int], *, unlike: float = 0.5) -> NDArray[np.float32]:
    return np.array([look_of(person, unlike=unlike, seed=seed) for seed, person in enumerate(people)])


def test_a_tracklet_that_shows_two_people_is_divided() -> None:
    (whole,) = embedded_of([Seen(person=1, begin=0, end=5, x=3)])
    first, second = split(
        whole.tracklet,
        times=np.array([0.5, 1.5, 2.5, 3.5, 4.5]),
        embeddings=crops([1, 1, 2, 2, 2]),
        quality=np.full(5, 0.8),
    )
    # What lies between 1.5 and 2.5 s may be either.
    assert (first.tracklet.times[0], first.tracklet.times[-1]) == (0, 1.5)
    assert (second.tracklet.times[0], second.tracklet.times[-1]) == (2.5, 5)
    assert first.embedding @ look_of(1, unlike=0) > 0.8
    assert second.embedding @ look_of(2, unlike=0) > 0.8
    assert (first.weight, second.weight) == pytest.approx((1.6, 2.4))


@pytest.mark.parametrize(
    ("people", "quality"),
    [([1, 1, 1, 1], [0.8] * 4), ([1, 1, 1, 2], [0.8, 0.8, 0.8, 0.1]), ([1], [0.8])],
    ids=["one person", "a blurred portrait", "a single portrait"],
)
def test_a_tracklet_of_one_person_stays_whole(people: list[int], quality: list[float]) -> None:
    (whole,) = embedded_of([Seen(person=1, begin=0, end=5, x=3)])
    (same,) = split(
        whole.tracklet, times=np.linspace(0.5, 4.5, len(people)), embeddings=crops(people), quality=np.array(quality)
    )
    assert same.tracklet is whole.tracklet
    assert np.linalg.norm(same.embedding) == pytest.approx(1)


seen = st.builds(
    Seen,
    person=st.integers(1, 3),
    begin=st.integers(0, 40).map(lambda tick: tick / RATE),
    end=st.just(0.0),
    x=st.floats(0, 10),
    clear=st.floats(0.1, 5),
    unlike=st.floats(0, 4),
).flatmap(lambda s: st.integers(0, 20).map(lambda length: replace(s, end=s.begin + length / RATE)))
scenes = st.lists(seen, min_size=1, max_size=12)


@settings(deadline=None)
@given(scene=scenes)
def test_nobody_is_in_two_places_at_once(scene: list[Seen]) -> None:
    embedded = embedded_of(scene)
    labeling = identify(embedded)
    occupied: set[tuple[str, int]] = set()
    for item, person in zip(embedded, labeling.persons, strict=True):
        if person is not None:
            frames = range(item.tracklet.frames[0], item.tracklet.frames[-1] + 1)
            taken = {(person, frame) for frame in frames}
            assert not occupied & taken
            occupied |= taken
            assert person in labeling.people


@settings(deadline=None)
@given(scene=scenes)
def test_in_a_mirror_a_and_b_change_their_names(scene: list[Seen]) -> None:
    # Two at exactly the same place are neither on the left.
    assume(len({round(seen.x, 3) for seen in scene}) == len(scene))
    plain = identify(embedded_of(scene))
    mirrored = identify(embedded_of([replace(seen, x=10 - seen.x) for seen in scene]))
    together = any(
        a.tracklet.times[0] <= b.tracklet.times[-1] and b.tracklet.times[0] <= a.tracklet.times[-1]
        for (a, p), (b, q) in itertools.combinations(zip(embedded_of(scene), plain.persons, strict=True), 2)
        if {p, q} == {"A", "B"}
    )
    names = {"A": "B", "B": "A", None: None} if together else {"A": "A", "B": "B", None: None}
    assert mirrored.persons == tuple(names[person] for person in plain.persons)


@settings(deadline=None, max_examples=60)
@given(scene=st.lists(seen, min_size=1, max_size=6))
def test_no_other_labeling_is_more_likely(scene: list[Seen]) -> None:
    """The labels and margins are those that trying out every labeling finds."""
    embedded = embedded_of(scene)
    prototypes = np.array([look_of(person, unlike=0) for person in (1, 2)])
    people = _People(prototypes, np.zeros((0, 128), np.float32))
    label_costs = _label_costs(embedded, people)

    def cost(labels: Sequence[int]) -> float:
        total = 0.0
        last: list[Tracklet | None] = [None, None]
        for number, (item, label) in enumerate(zip(embedded, labels, strict=True)):
            tracklet = item.tracklet
            total += label_costs[number, label]
            if label == 2:
                continue
            before = last[label]
            if before is not None and before.frames[-1] >= tracklet.frames[0]:
                return np.inf
            if before is not None and _matters(before, tracklet):
                total += _link_cost(before, tracklet)
            last[label] = tracklet
        return total

    costs = {labels: cost(labels) for labels in itertools.product(range(3), repeat=len(embedded))}
    best = min(costs.values())
    labels, margins = _most_likely(embedded, people)
    assert costs[tuple(labels)] == pytest.approx(best)
    for number, (label, margin) in enumerate(zip(labels, margins, strict=True)):
        if label != 2:
            swapped = min(value for other, value in costs.items() if other[number] == 1 - label)
            assert margin == pytest.approx(swapped - best)
