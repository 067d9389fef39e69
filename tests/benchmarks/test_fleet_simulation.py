from __future__ import annotations

import json

from hypothesis import given
from hypothesis import strategies as st

from benchmarks.fleet_simulation import MEASURED, Parts, Run, check, index_seconds, simulate


@given(
    dropped=st.lists(st.floats(0, 500), min_size=1, max_size=40),
    seconds=st.floats(0.5, 300),
    hosts=st.integers(1, 4),
    places=st.integers(1, 3),
    runs_per_tick=st.integers(1, 8),
    videos=st.sampled_from([0, 20_000]),
)
def test_every_upload_is_made_once_in_order_and_never_more_of_them_at_once_than_there_are_places(
    dropped: list[float], seconds: float, hosts: int, places: int, runs_per_tick: int, videos: int
) -> None:
    uploads = [Run(at, seconds) for at in sorted(dropped)]
    parts = Parts(hosts=hosts, places=places, runs_per_tick=runs_per_tick, videos=videos)
    made = simulate(uploads, parts)
    assert len({id(run) for run in made}) == len(made) == len(uploads)
    assert all(run.dropped <= run.asked < run.begun < run.ended for run in made)
    assert [run.begun for run in uploads] == sorted(run.begun for run in uploads)
    begins = sorted(run.begun for run in made)
    for begin in begins:
        assert sum(run.begun <= begin < run.ended for run in made) <= hosts * places


def test_what_was_measured_is_met_within_a_tenth_but_for_the_first_pages_of_a_database() -> None:
    errors = {what: abs(int(error.removesuffix(" %"))) for what, _, _, error in check(json.loads(MEASURED.read_text()))}
    assert len(errors) > 10
    assert {what for what, error in errors.items() if error > 10 and "bytes" not in what} == set()


def test_an_index_of_more_videos_takes_longer_and_longer_still_where_others_write_it_too() -> None:
    assert 0 == index_seconds(0) < index_seconds(1_000) < index_seconds(100_000) < index_seconds(100_000, 0.1)
