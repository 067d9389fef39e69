"""Damaged files crash nothing, hang nowhere and leave nothing behind. `make fuzz` tries thousands of them."""

from __future__ import annotations

import pytest

from tests.fuzz.campaign import run_campaign
from tests.fuzz.mutants import mutant
from tests.matrix.recipes import RECIPES

_SEEDS = ("h264.mp4", "vp9.webm", "mjpeg.avi")


def test_a_mutant_is_the_same_every_time_and_never_the_seed() -> None:
    content = bytes(range(256)) * 20 + b"moovtrakmdia"
    for number in range(60):
        once = mutant(content, "seed", number)
        assert once == mutant(content, "seed", number)
    assert len({mutant(content, "seed", number) for number in range(60)} - {content}) > 50


@pytest.mark.timeout(600)
def test_damaged_files_are_refused_or_verified_and_nothing_is_left_behind() -> None:
    seeds = [recipe.make() for recipe in RECIPES if recipe.name in _SEEDS]
    tallies = run_campaign(seeds, mutants=24, whole_every=8, workers=1)
    assert [fault for tally in tallies.values() for fault in tally.faults] == []
    assert sum(tally.mutants for tally in tallies.values()) == 24
