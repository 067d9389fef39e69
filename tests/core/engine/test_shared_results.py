from __future__ import annotations

import os
import pickle
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from numpy.typing import NDArray

from dualface_core.engine.cores import CoreBudget
from dualface_core.engine.shared_results import SharedResult
from dualface_core.engine.workers import Workers
from tests.core.engine.tasks import card_processes, large_array

shapes = arrays.array_shapes(min_dims=0, min_side=0, max_side=40)
kinds = st.sampled_from([np.uint8, np.float32, np.float64, np.complex128, np.bool_])


def taken(result: object) -> object:
    shared = SharedResult(result)
    try:
        return pickle.loads(pickle.dumps(shared))
    finally:
        shared.close()


def open_files() -> int:
    return len(os.listdir("/proc/self/fd"))  # noqa: PTH208  not their names, one of which is of this list


@given(st.lists(st.tuples(arrays.arrays(kinds, shapes), st.integers(1, 30), st.booleans()), max_size=5))
def test_arrays_of_all_kinds_and_sizes_come_as_they_were(made: list[tuple[NDArray[np.generic], int, bool]]) -> None:
    sent = [np.asfortranarray(part) if other else np.stack([part] * times) for part, times, other in made]
    got = taken({"some": sent, "views": [array[..., ::2] for array in sent if array.ndim], "text": "and more"})
    assert isinstance(got, dict)
    assert got["text"] == "and more"
    for before, after in zip(sent, got["some"], strict=True):
        assert before.dtype == after.dtype
        np.testing.assert_array_equal(before, after)
    for before, after in zip([array for array in sent if array.ndim], got["views"], strict=True):
        np.testing.assert_array_equal(before[..., ::2], after)


@pytest.mark.parametrize("length", [100_000, 1_000_000])
def test_what_is_written_into_an_array_nobody_else_sees(length: int) -> None:
    shared = SharedResult(np.zeros(length))
    one, other = (pickle.loads(pickle.dumps(shared)) for _ in range(2))
    shared.close()
    one += 1
    assert (one.min(), other.max()) == (1, 0)


@pytest.mark.parametrize(("count", "files"), [(150, 0), (1_500, 1)])
def test_a_result_that_was_taken_holds_one_file_at_most_however_many_arrays_it_has(count: int, files: int) -> None:
    before = open_files()
    made = taken([np.full(20_001, number % 256, np.uint8) for number in range(count)])
    assert isinstance(made, list)
    assert [array[-1] for array in made] == [number % 256 for number in range(count)]
    assert open_files() == before + files
    del made
    assert open_files() == before


@pytest.mark.parametrize("on_card", [False, True])
def test_arrays_outlive_the_process_that_made_them(tmp_path: Path, on_card: bool) -> None:
    budget, card = CoreBudget(tmp_path, cores=2), card_processes(tmp_path)
    with Workers(budget, preload=["tests.core.engine.tasks"], card=card) as workers:
        made = list(
            workers.map_on_card(large_array, range(6), memory=1, without_card=abs)
            if on_card
            else workers.map(large_array, range(6))
        )
    assert [(array[0], array[-1], len(array)) for array in made] == [(number, number, 50_000) for number in range(6)]
