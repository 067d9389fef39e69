from __future__ import annotations

from dataclasses import replace
from itertools import groupby, pairwise
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dualface_core.sample.drawing import Region
from dualface_core.sample.moments import Actor, Moment, View
from dualface_core.sample.scenes import Scene, choreograph, protagonists
from dualface_core.sample.truth import may_be_shown

SECONDS = st.floats(2, 60)
SEEDS = st.integers(0, 10_000)
STEP = 1 / 20


def moments(scene: Scene, seconds: float, seed: int) -> list[Moment]:
    choreography = choreograph(scene, seconds=seconds, seed=seed)
    return [choreography.at(number * STEP) for number in range(int(seconds / STEP))]


def positions(moment: Moment) -> dict[str, float]:
    return {place.person: place.x for place in moment.placements}


def from_left_to_right(moment: Moment) -> tuple[str, ...]:
    return tuple(sorted(positions(moment), key=positions(moment).__getitem__))


def runs(values: list[Any]) -> list[Any]:
    """The values without their repetitions."""
    return [value for value, _ in groupby(values)]


@pytest.mark.parametrize("scene", Scene)
@settings(max_examples=15, deadline=None)
@given(seconds=SECONDS, seed=SEEDS)
def test_a_seed_always_gives_the_same_choreography(scene: Scene, seconds: float, seed: int) -> None:
    assert moments(scene, seconds, seed) == moments(scene, seconds, seed)


@pytest.mark.parametrize("scene", Scene)
def test_seeds_differ(scene: Scene) -> None:
    assert len({str(moments(scene, 10, seed)) for seed in range(5)}) == 5


@pytest.mark.parametrize("scene", Scene)
@settings(max_examples=15, deadline=None)
@given(seconds=SECONDS, seed=SEEDS)
def test_nobody_jumps_but_across_a_cut(scene: Scene, seconds: float, seed: int) -> None:
    fastest = 0.6 + 4 / seconds  # picture widths a second; in a short sample people have to hurry
    for before, after in pairwise(moments(scene, seconds, seed)):
        if before.shot == after.shot and not before.fade and not after.fade:
            assert before.view == after.view
            for person in positions(before).keys() & positions(after).keys():
                assert abs(positions(after)[person] - positions(before)[person]) <= fastest * STEP


@settings(max_examples=15, deadline=None)
@given(seconds=SECONDS, seed=SEEDS)
def test_talk_keeps_each_in_their_half(seconds: float, seed: int) -> None:
    for moment in moments(Scene.TALK, seconds, seed):
        left, right = from_left_to_right(moment)
        assert positions(moment)[left] < 0.45
        assert positions(moment)[right] > 0.55
    assert len({from_left_to_right(moment) for moment in moments(Scene.TALK, seconds, seed)}) == 1


@settings(max_examples=15, deadline=None)
@given(seconds=SECONDS, seed=SEEDS)
def test_cross_swaps_sides_and_takes_turns_in_front(seconds: float, seed: int) -> None:
    all_moments = moments(Scene.CROSS, seconds, seed)
    orders = runs([from_left_to_right(moment) for moment in all_moments])
    crossings = max(1, round(seconds / 12))
    assert len(orders) == crossings + 1
    passing = [m for m in all_moments if abs(positions(m)[Actor.WOMAN] - positions(m)[Actor.MAN]) < 0.06]
    in_front = runs([moment.placements[-1].person for moment in passing])
    assert len(in_front) == crossings  # never the same one twice in a row


def test_cross_happens_five_times_a_minute() -> None:
    assert len(runs([from_left_to_right(moment) for moment in moments(Scene.CROSS, 60, 0)])) == 6


@settings(max_examples=15, deadline=None)
@given(seconds=SECONDS, seed=SEEDS)
def test_leave_brings_the_leaver_back_on_the_other_side(seconds: float, seed: int) -> None:
    orders = runs([from_left_to_right(moment) for moment in moments(Scene.LEAVE, seconds, seed)])
    both = [order for order in orders if len(order) == 2]
    alone = [order for order in orders if len(order) == 1]
    assert len(alone) == len(both) - 1 >= 1
    assert runs(both) == both  # after each absence, the sides are swapped


def test_leave_means_four_seconds_of_absence() -> None:
    absent = [moment for moment in moments(Scene.LEAVE, 20, 3) if len(moment.placements) == 1]
    assert len(absent) * STEP == pytest.approx(4, abs=2 * STEP)


@settings(max_examples=15, deadline=None)
@given(seconds=SECONDS, seed=SEEDS)
def test_cuts_show_everybody_close_and_swap_sides_across_a_cut(seconds: float, seed: int) -> None:
    shots = runs([(m.shot, m.view, from_left_to_right(m)) for m in moments(Scene.CUTS, seconds, seed)])
    assert [shot for shot, _, _ in shots] == list(range(len(shots)))
    close = {cast for _, view, cast in shots if view is not View.WIDE}
    assert close == {(person,) for person in protagonists(Scene.CUTS)}
    wide_to_wide = [(a[2], b[2]) for a, b in pairwise(shots) if a[1] is b[1] is View.WIDE]
    assert wide_to_wide
    assert all(before == after[::-1] for before, after in wide_to_wide)


def kinds_of(distance: float, **changes: Any) -> set[str]:
    """What may be shown of two heads of 100 pixels at a distance in heads; the changes are the second one's."""
    first, second = (Region(0, 0, 0, 0, x, 0, 100, visible=1, head_visible=1, turned=0) for x in (0, 100 * distance))
    return set(may_be_shown([first, replace(second, **changes)], [], panes=False))


@pytest.mark.parametrize(
    ("distance", "changes", "kinds"),
    [
        (3.0, {}, {"split"}),
        (1.1, {}, {"split", "together"}),
        (0.8, {}, {"together"}),
        (3.0, {"head_visible": 0.2}, {"solo"}),
        (3.0, {"turned": 1.0}, {"split"}),
    ],
)
def test_what_may_be_shown_follows_from_who_is_there_and_how_close(
    distance: float, changes: dict[str, float], kinds: set[str]
) -> None:
    assert kinds_of(distance, **changes) == kinds


def test_nobody_there_means_the_whole_picture_and_a_stranger_allows_it() -> None:
    heads = [Region(0, 0, 0, 0, x, 0, 100, visible=1, head_visible=1, turned=0) for x in (0, 300, 600)]
    assert may_be_shown([replace(head, head_visible=0.4) for head in heads[:2]], [], panes=False) == {"whole"}
    assert may_be_shown(heads[:2], heads[2:], panes=False) == {"split", "whole"}


@settings(max_examples=15, deadline=None)
@given(seconds=SECONDS, seed=SEEDS)
def test_the_two_are_never_together_in_apart_and_both_appear(seconds: float, seed: int) -> None:
    casts = {tuple(positions(moment)) for moment in moments(Scene.APART, seconds, seed)}
    assert casts == {(person,) for person in protagonists(Scene.APART)}


@settings(max_examples=15, deadline=None)
@given(seconds=SECONDS, seed=SEEDS)
def test_the_visitor_comes_and_goes(seconds: float, seed: int) -> None:
    there = runs([Actor.VISITOR in positions(moment) for moment in moments(Scene.THIRD, seconds, seed)])
    assert there == [False, True] * max(1, round(seconds / 15)) + [False]


@settings(max_examples=15, deadline=None)
@given(seconds=SECONDS, seed=SEEDS)
def test_each_in_turn_is_seen_from_behind(seconds: float, seed: int) -> None:
    turned = runs([{p.person for p in m.placements if p.turned == 1} for m in moments(Scene.BEHIND, seconds, seed)])
    names = [name for names in turned for name in names]
    assert len(names) == max(1, round(seconds / 10))
    assert runs(names) == names
