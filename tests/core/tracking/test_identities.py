from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from dualface_core.errors import PortraitError
from dualface_core.faces.portrait import Portrait
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


ALIKE = {11: (1, 0.28), 12: (1, 0.55), 13: (1, 0.7)}
"""People who look like another one, with the cosine of their directions."""


def direction(seed: int) -> NDArray[np.float64]:
    vector = np.random.default_rng(seed).normal(size=128)
    return vector / np.linalg.norm(vector)


def look_of(person: int, *, unlike: float = 0.5, seed: int = 0) -> NDArray[np.float32]:
    """An embedding of a person: their own direction and, `unlike` as long, one of its own."""
    own = direction(person)
    if person in ALIKE:
        other, cosine = ALIKE[person]
        aside = own - (own @ direction(other)) * direction(other)
        own = cosine * direction(other) + np.sqrt(1 - cosine**2) * aside / np.linalg.norm(aside)
    vector = own + unlike * direction(1000 + seed)
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
    score: float = 0.9
    quality: float | None = None
    wears: int | None = None


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
        tracklet.scores = [seen.score] * len(frames)
        if len(frames) > 1:
            tracklet.velocity = np.array([(places[-1] - places[-2]) * RATE, 0])
        look = look_of(seen.person, unlike=seen.unlike, seed=number)
        quality = min(1.0, seen.clear / 3) if seen.quality is None else seen.quality
        attire = np.zeros(4, np.float32) if seen.wears is None else np.eye(4, dtype=np.float32)[seen.wears]
        made.append(EmbeddedTracklet(tracklet, look, seen.clear, quality, attire))
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


@pytest.mark.parametrize("other", [2, 11], ids=["unlike", "somewhat alike"])
def test_two_who_are_never_seen_together_are_two_people(other: int) -> None:
    scene = [Seen(person=(1, other)[n % 2], begin=4 * n, end=4 * n + 3, x=5, shot=n, unlike=0.2) for n in range(6)]
    assert persons(scene) == ("A", "B") * 3


def test_two_groups_that_are_clearly_alike_are_one_person() -> None:
    scene = [Seen(person=(1, 12)[n % 2], begin=4 * n, end=4 * n + 3, x=5, shot=n, unlike=0.2) for n in range(6)]
    assert persons(scene) == ("A",) * 6


def test_a_look_alike_is_known_by_having_been_seen_beside_the_person() -> None:
    scene = [
        Seen(person=1, begin=0, end=9, x=2),
        Seen(person=2, begin=0, end=9, x=8),
        Seen(person=13, begin=10, end=13, x=2, shot=1, unlike=0.3),
        Seen(person=1, begin=14, end=17, x=2, shot=2, unlike=0.3),
        Seen(person=13, begin=14, end=17, x=5, shot=2, unlike=0.3),
        Seen(person=1, begin=18, end=21, x=5, shot=3, unlike=0.3),
    ]
    assert persons(scene) == ("A", "B", None, "A", None, "A")


def test_what_the_detector_was_never_sure_of_is_nobody_however_long_and_clear_it_is() -> None:
    # A flower pot: always the same, from the front, and large.
    scene = [
        Seen(person=1, begin=0, end=9, x=2),
        Seen(person=7, begin=0, end=9, x=8, score=0.58, unlike=0.1),
        Seen(person=7, begin=10, end=19, x=8, shot=1, score=0.58, unlike=0.1),
    ]
    assert persons(scene) == ("A", None, None)


def test_a_face_that_looks_like_neither_is_nobody_also_where_both_are_away() -> None:
    scene = [
        Seen(person=1, begin=0, end=9, x=2),
        Seen(person=2, begin=0, end=9, x=8),
        Seen(person=5, begin=10, end=12, x=2, shot=1, clear=0.4, size=40),
        Seen(person=6, begin=10, end=12, x=8, shot=1, clear=0.4, size=40),
    ]
    assert persons(scene) == ("A", "B", None, None)


@pytest.mark.parametrize(("x", "size", "person"), [(2.2, 100, "A"), (5, 100, None), (2.2, 30, None)])
def test_a_face_that_says_little_is_whose_place_it_is_at(x: float, size: float, person: str | None) -> None:
    scene = [
        Seen(person=1, begin=0, end=4, x=2),
        Seen(person=2, begin=0, end=9, x=8),
        Seen(person=9, begin=6, end=9, x=x, clear=0.1, unlike=3, size=size),
    ]
    assert persons(scene) == ("A", "B", person)


@pytest.mark.parametrize(("wears", "person"), [(0, "A"), (1, None), (2, None), (None, None)])
def test_a_face_that_says_little_and_is_a_bit_aside_is_known_by_hair_and_clothes(
    wears: int | None, person: str | None
) -> None:
    scene = [
        Seen(person=1, begin=0, end=4, x=2, wears=0),
        Seen(person=2, begin=0, end=9, x=8, wears=1),
        Seen(person=9, begin=6, end=9, x=3.2, clear=0.1, unlike=3, wears=wears),
    ]
    assert persons(scene) == ("A", "B", person)


def test_who_is_seen_from_the_front_counts_for_more_than_who_passes_in_profile() -> None:
    scene = [
        Seen(person=3, begin=0, end=11, x=1, quality=0.1),
        Seen(person=1, begin=0, end=8, x=4, quality=0.9),
        Seen(person=2, begin=0, end=8, x=8, quality=0.9),
    ]
    assert persons(scene) == (None, "A", "B")


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


def test_of_three_people_the_two_with_the_most_presence_are_a_and_b() -> None:
    scene = [
        Seen(person=3, begin=0, end=8, x=1, size=30),
        Seen(person=1, begin=0, end=8, x=4),
        Seen(person=2, begin=0, end=8, x=8),
        Seen(person=3, begin=9, end=11, x=5, shot=1, size=30),
    ]
    assert persons(scene) == (None, "A", "B", None)


def test_who_is_one_of_an_audience_is_nobody() -> None:
    """However clear they are: never with the person on the stage, and never alone."""
    audience = [Seen(person, 10, 15, x=3.0 * person, shot=1, clear=6) for person in (2, 3, 4, 5)]
    assert persons([Seen(1, 0, 10, x=0), *audience]) == ("A", None, None, None, None)


def test_three_of_a_panel_are_no_audience() -> None:
    panel = [Seen(person, 0, 15, x=3.0 * person, clear=9 - person) for person in (1, 2, 3, 4)]
    assert persons(panel) == ("A", "B", None, None)


@pytest.mark.parametrize(("seconds", "person"), [(1.0, None), (5.0, "B")])
def test_who_is_inserted_for_a_moment_is_nobody(seconds: float, person: str | None) -> None:
    video = [Seen(1, 0, 10, x=0), Seen(2, 10, 10 + seconds, x=0, shot=1), Seen(1, 10 + seconds, 20, x=0, shot=2)]
    assert persons(video) == ("A", person, "A")


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


@pytest.mark.parametrize(("portrait", "names"), [(1, ("A", "B")), (2, ("B", "A"))])
def test_a_portrait_says_who_is_a(portrait: int, names: tuple[str, str]) -> None:
    scene = embedded_of([Seen(person=1, begin=0, end=8, x=2), Seen(person=2, begin=0, end=8, x=8)])
    assert identify(scene, person_a=Portrait(Path("face.jpg"), look_of(portrait))).persons == names


def test_who_is_like_the_portrait_is_a_although_others_are_seen_for_longer() -> None:
    scene = embedded_of([Seen(person=n, begin=0, end=5 + n, x=3 * n) for n in (1, 2, 3)])
    assert identify(scene).persons == (None, "A", "B")
    assert identify(scene, person_a=Portrait(Path("face.jpg"), look_of(1))).persons == ("A", None, "B")


def test_a_portrait_that_is_like_nobody_is_refused() -> None:
    scene = embedded_of([Seen(person=1, begin=0, end=8, x=2), Seen(person=2, begin=0, end=8, x=8)])
    with pytest.raises(PortraitError, match=r"face.jpg: nobody .* cosine of -?0\.\d\d, not 0\.363 or more"):
        identify(scene, person_a=Portrait(Path("face.jpg"), look_of(5)))


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


def test_the_margin_is_small_where_a_face_may_be_nobody_although_the_other_one_is_elsewhere() -> None:
    scene = [
        Seen(person=1, begin=0, end=8, x=2),
        Seen(person=2, begin=0, end=3, x=8),
        Seen(person=2, begin=5, end=8, x=8, score=0.66),
    ]
    sure, _, doubtful = identify(embedded_of(scene)).margins
    assert sure is not None
    assert doubtful is not None
    assert doubtful < sure - 1


def test_one_person_alone_has_a_margin_and_nobody_has_none() -> None:
    scene = [Seen(person=1, begin=0, end=8, x=4), Seen(person=7, begin=3, end=3.2, x=8, clear=0.1)]
    alone, nobody = identify(embedded_of(scene)).margins
    assert alone is not None
    assert alone > 3
    assert nobody is None


def crops(people: Sequence[int], *, unlike: float = 0.5) -> NDArray[np.float32]:
    return np.array([look_of(person, unlike=unlike, seed=seed) for seed, person in enumerate(people)])


def test_a_tracklet_that_shows_two_people_is_divided() -> None:
    (whole,) = embedded_of([Seen(person=1, begin=0, end=5, x=3)])
    first, second = split(
        whole.tracklet,
        times=np.array([0.5, 1.5, 2.5, 3.5, 4.5]),
        embeddings=crops([1, 1, 2, 2, 2]),
        quality=np.full(5, 0.8),
        attire=np.eye(5, dtype=np.float32),
    )
    # What lies between 1.5 and 2.5 s may be either.
    assert (first.tracklet.times[0], first.tracklet.times[-1]) == (0, 1.5)
    assert (second.tracklet.times[0], second.tracklet.times[-1]) == (2.5, 5)
    assert first.embedding @ look_of(1, unlike=0) > 0.8
    assert second.embedding @ look_of(2, unlike=0) > 0.8
    assert (first.weight, second.weight) == pytest.approx((1.6, 2.4))
    assert first.attire == pytest.approx([0.5, 0.5, 0, 0, 0])


@pytest.mark.parametrize(
    ("people", "quality"),
    [([1, 1, 1, 1], [0.8] * 4), ([1, 1, 1, 2], [0.8, 0.8, 0.8, 0.1]), ([1], [0.8])],
    ids=["one person", "a blurred portrait", "a single portrait"],
)
def test_a_tracklet_of_one_person_stays_whole(people: list[int], quality: list[float]) -> None:
    (whole,) = embedded_of([Seen(person=1, begin=0, end=5, x=3)])
    (same,) = split(
        whole.tracklet,
        times=np.linspace(0.5, 4.5, len(people)),
        embeddings=crops(people),
        quality=np.array(quality),
        attire=np.eye(len(people), dtype=np.float32),
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


@settings(deadline=None, max_examples=60)
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


@settings(deadline=None, max_examples=60)
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
    labels, margins = _most_likely(embedded, label_costs)
    assert costs[tuple(labels)] == pytest.approx(best)
    for number, (label, margin) in enumerate(zip(labels, margins, strict=True)):
        otherwise = min(value for other, value in costs.items() if other[number] != label)
        assert margin == pytest.approx(otherwise - best)
