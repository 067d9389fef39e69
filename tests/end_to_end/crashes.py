"""The scenario in which everything is killed, again and again, at random moments."""

from __future__ import annotations

import random
import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from tests.end_to_end.service import Service

VICTIMS = ("run worker", "daemon", "code server", "everything")


@dataclass(frozen=True)
class Killed:
    """What was done.

    Attributes:
        kills: how often each kind of process was killed.
        starts: how often the service had to be started again, `make up`, since all of it was killed.
        runs: how many runs were needed.
        seconds: from the first upload until the last result.
    """

    kills: Counter[str]
    starts: int
    runs: int
    seconds: float


def kill_at_random(service: Service, clip: Path, *, uploads: int, kills: int, seed: int) -> Killed:
    """Upload videos and kill what makes them, until so many kills are done; then wait until all is made and at rest.

    Only what went down as a whole is started again, as after a power cut. Nothing else is helped.
    """
    chance = random.Random(seed)
    killed: Counter[str] = Counter()
    starts = 0
    service.up()
    started = time.monotonic()
    service.drop_many(clip, uploads)
    while killed.total() < kills and len(service.host.results()) < uploads:
        service.wait_for(lambda: service.processes("run worker"), "work on a run to begin")
        time.sleep(chance.uniform(0, 7))
        what = chance.choice(VICTIMS)
        killed[what] += service.kill(what) > 0  # the last worker may have ended by now
        if what == "everything":
            service.up()
            starts += 1
    service.wait_for(lambda: len(service.host.results()) == uploads, f"{uploads} results")
    seconds = time.monotonic() - started
    service.wait_for(service.at_rest, "all runs to end")
    return Killed(killed, starts, len(service.runs()), seconds)
