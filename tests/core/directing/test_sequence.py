from __future__ import annotations

from itertools import pairwise, product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dualface_core.directing.sequence import best_sequence

Costs = list[tuple[float, float]]


def lengths(chosen: np.ndarray, seconds: np.ndarray) -> list[float]:
    edges = [0, *(np.flatnonzero(np.diff(chosen)) + 1).tolist(), len(chosen)]
    return [float(seconds[first:stop].sum()) for first, stop in pairwise(edges)]


def total(chosen: np.ndarray, costs: np.ndarray, seconds: np.ndarray, change: float) -> float:
    return float((costs[np.arange(len(chosen)), chosen] * seconds).sum() + change * np.count_nonzero(np.diff(chosen)))


def test_a_reason_that_is_too_brief_changes_nothing() -> None:
    costs = np.tile([0.0, 0.1], (100, 1))
    costs[40:50, 0] = 1
    chosen = best_sequence(costs, np.full(100, 0.1), shortest=2, change=0.75)
    assert chosen.tolist() == [0] * 100


def test_what_must_not_be_shown_is_not_shown_however_briefly_it_would_be() -> None:
    costs = np.tile([0.0, 0.2], (200, 1))
    costs[100:103, 0] = 1000
    chosen = best_sequence(costs, np.full(200, 0.1), shortest=2, change=0.75)
    assert chosen[100:103].tolist() == [1, 1, 1]
    assert np.count_nonzero(chosen) == 20


def test_a_change_is_made_where_the_reason_begins() -> None:
    costs = np.zeros((101, 2))
    costs[:37, 1] = costs[37:, 0] = 1
    assert np.flatnonzero(np.diff(best_sequence(costs, np.full(101, 0.1), shortest=2, change=0.75))).tolist() == [36]


@settings(deadline=None, max_examples=100)
@given(st.lists(st.tuples(*[st.sampled_from([0.0, 0.3, 1.0])] * 2), min_size=1, max_size=9), st.floats(0, 1))
def test_no_other_sequence_is_better(rows: Costs, change: float) -> None:
    costs, seconds = np.array(rows), np.full(len(rows), 0.5)
    chosen = best_sequence(costs, seconds, shortest=1, change=change)
    allowed = [
        np.array(other)
        for other in product(range(2), repeat=len(rows))
        if min(lengths(np.array(other), seconds)) >= 1 or not np.diff(other).any()
    ]
    least = min(total(other, costs, seconds, change) for other in allowed)
    assert total(chosen, costs, seconds, change) == pytest.approx(least)
