"""The best sequence of choices over time: a dynamic program with a least length.

Belongs here: the optimum over one shot, for any choices and costs. The one idea: the whole shot is known, so nothing
has to be guessed and then taken back; that nothing flickers, and that short reasons are no reasons, follows from the
cost of a change and from the least length.
"""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

_GRID: Final = 0.25
"""Seconds between the places where a change is possible although no cost changes there."""

_ROUNDING: Final = 1e-6
"""Seconds by which a length may fall short."""


def best_sequence(
    costs: NDArray[np.float64], seconds: NDArray[np.float64], *, shortest: float, change: float
) -> NDArray[np.intp]:
    """The cheapest choice for each frame.

    Args:
        costs: (frames, choices) of each choice per second. Of equal ones the first is taken.
        seconds: (frames,) that each frame lasts.
        shortest: seconds that a choice lasts at least; one alone, where there is less time.
        change: cost of taking another.

    Returns:
        The number of the choice: (frames,).
    """
    frames, choices = costs.shape
    paid = np.concatenate([np.zeros((1, choices)), np.cumsum(costs * seconds[:, None], axis=0)])
    times = np.concatenate([[0.0], np.cumsum(seconds)])
    edges = _edges(costs, times)
    if len(edges) == 2 or times[-1] < 2 * shortest:
        return np.full(frames, paid[-1].argmin())
    at = times[edges]
    ready = np.searchsorted(at, at - shortest + _ROUNDING, side="right")  # one past the last edge to begin at

    # Of all ways to an edge, by the choice that ends there: the cost, the edge at which the choice began, and the one
    # before it. `open` has the cheapest beginning of each choice so far, less what was paid by then.
    best = np.full((len(edges), choices), np.inf)
    began = np.zeros((len(edges), choices), np.intp)
    before = np.full((len(edges), choices), -1, np.intp)
    open_cost = np.full(choices, np.inf)
    open_edge = np.zeros(choices, np.intp)
    open_before = np.full(choices, -1, np.intp)
    everyone = np.arange(choices)
    opened = 0
    for edge in range(1, len(edges)):
        while opened < min(ready[edge], edge):
            if opened == 0:
                cost, source = np.zeros(choices), np.full(choices, -1)
            else:
                cheapest, second = np.argsort(best[opened], kind="stable")[:2] if choices > 1 else (0, 0)
                source = np.where(everyone == cheapest, second, cheapest)
                cost = best[opened, source] + change
            cost = cost - paid[edges[opened]]
            better = cost < open_cost - 1e-9
            open_cost[better], open_edge[better], open_before[better] = cost[better], opened, source[better]
            opened += 1
        best[edge] = open_cost + paid[edges[edge]]
        began[edge], before[edge] = open_edge, open_before

    result = np.empty(frames, np.intp)
    edge, choice = len(edges) - 1, int(best[-1].argmin())
    while edge > 0:
        start = int(began[edge, choice])
        result[edges[start] : edges[edge]] = choice
        edge, choice = start, int(before[edge, choice])
    return result


def _edges(costs: NDArray[np.float64], times: NDArray[np.float64]) -> NDArray[np.intp]:
    """The frames at which a choice may begin, and the one after the last."""
    changes = np.flatnonzero((np.diff(costs, axis=0) != 0).any(axis=1)) + 1
    grid = np.searchsorted(times, np.arange(0.0, times[-1], _GRID))
    return np.unique(np.concatenate([changes, grid, [0, len(costs)]]))
