"""Thousands of damaged files, and a table in Markdown of what became of them: `make fuzz`."""

from __future__ import annotations

import argparse
import platform
import sys
from collections import Counter
from importlib.metadata import version
from time import perf_counter

from tests.fuzz.campaign import Tally, run_campaign
from tests.fuzz.mutants import SEEDS
from tests.matrix.making import ffmpeg_version
from tests.matrix.recipes import RECIPES

_COLUMNS = ("mutants", "whole", "crashes", "hangs", "bugs", "partial", "left")


def main() -> int:
    """Run a campaign and print its table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--mutants", type=int, default=2000)
    parser.add_argument("--whole-every", type=int, default=10, help="every n-th mutant of a seed is run as a whole")
    parser.add_argument("--workers", type=int, default=2)
    options = parser.parse_args()
    recipes = {recipe.name: recipe for recipe in RECIPES}
    seeds = [recipes[name].make() for name in SEEDS]
    started = perf_counter()

    def progress(done: int) -> None:
        if done % 100 == 0:
            print(f"{done} of {options.mutants}", file=sys.stderr, flush=True)

    tallies = run_campaign(
        seeds,
        mutants=options.mutants,
        whole_every=options.whole_every,
        workers=options.workers,
        progress=progress,
    )
    print(
        "| seed | mutants | whole runs | crashes | hangs | bugs | partial files | leftovers | slowest (s) | outcomes |"
    )
    print("|---|---|---|---|---|---|---|---|---|---|")
    for name, tally in tallies.items():
        print(_row(name, tally))
    total = Tally(slowest=max(tally.slowest for tally in tallies.values()))
    total.found = sum((tally.found for tally in tallies.values()), Counter())
    for column in _COLUMNS:
        setattr(total, column, sum(getattr(tally, column) for tally in tallies.values()))
    print(_row("all", total))
    faults = [fault for tally in tallies.values() for fault in tally.faults]
    print(f"\n{perf_counter() - started:.0f} s, {platform.machine()}, Python {platform.python_version()}, ", end="")
    print(f"PyAV {version('av')}; seeds by {ffmpeg_version()}.")
    for fault in faults:
        print(f"- {fault}")
    return 1 if faults else 0


def _row(name: str, tally: Tally) -> str:
    outcomes = ", ".join(f"{found} {count}" for found, count in tally.found.most_common())
    cells = [name, *(str(getattr(tally, column)) for column in _COLUMNS), f"{tally.slowest:.1f}", outcomes]
    return f"| {' | '.join(cells)} |"


if __name__ == "__main__":
    sys.exit(main())
