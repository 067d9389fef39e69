from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import dagster as dg

from dualface_assets.assets.worker_processes import seen_ahead, worker_processes


def test_looking_ahead_ends_when_a_result_is_encoded_anew_and_with_the_run() -> None:
    ended: list[str] = []

    @contextmanager
    def looking(result: str) -> Iterator[None]:
        yield
        ended.append(result)

    with dg.build_resources({"workers": worker_processes, "seen_ahead": seen_ahead}) as resources:
        resources.seen_ahead.begin(looking("first"))
        assert ended == []
        resources.seen_ahead.begin(looking("second"))
        assert ended == ["first"]
    assert ended == ["first", "second"]
