"""10,000 videos a day: which part of an instance on several hosts gives way first, and what it costs.

A discrete-event simulation of what uploads pass: the sensor, which asks for so many runs in a tick; the daemon, which
looks at the queue and hands runs out one after the other; the workers' places; and the index of videos, which each run
writes anew and of which one writes at a time on a host. How long each takes is what was measured
(`benchmarks/fleet_measured.json`, from `benchmarks.fleet`). What was not measured, such as
prices, is an argument, and the page says so.

    python -m benchmarks.fleet_simulation --check      # against what was measured
    python -m benchmarks.fleet_simulation --a-day 10000 --price cpu=0.70 --price gpu=1.50
"""

from __future__ import annotations

import argparse
import heapq
import json
import math
import random
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path
from statistics import mean, median, quantiles
from typing import Any, Final

MEASURED: Final = Path(__file__).with_name("fleet_measured.json")
DAY: Final = 86_400.0
LENGTHS: Final = ((60.0, 0.6), (600.0, 0.3), (3600.0, 0.1))
"""Assumed: seconds of a video, and the share of such videos. The mean is 9.6 minutes."""

BY_HOUR: Final = (1, 1, 1, 1, 1, 1, 2, 4, 6, 8, 9, 9, 8, 8, 9, 9, 8, 7, 5, 4, 3, 2, 2, 1)
"""Assumed: how uploads spread over the hours of a day. The busiest hour has twice the mean."""

LISTED: Final = 1000
"""Objects in an answer of S3."""

LIST_SECONDS: Final = 0.05
UPLOAD_BYTES_A_SECOND: Final = 100e6
"""Assumed of the store: an answer to a listing, and how fast a host sends."""

INDEX_SECONDS: Final = 0.00016
INDEX_BYTES: Final = 944
"""A video in the index: processor time to read and draw it (a 10,000th of what 10,000 take), and bytes of the page."""

PAGE_OBJECTS: Final = 3
"""Objects of a video below `review/`, all listed when the index is written: the page, its record and the thumbnail."""


MOST_PASSES: Final = 3.0
"""The natural logarithm of how often an index is made in vain before the simulation says so: about 20 times."""


@dataclass(frozen=True)
class Hosts:
    """Hosts of a kind.

    Attributes:
        name: of the kind.
        runs: at once on one of them.
        speed: seconds of video that one of them makes in a second when it is busy with as many runs.
    """

    name: str
    runs: int
    speed: float


CPU: Final = Hosts("cpu", 4, 16 / 2.6)
"""16 cores: one minute of 1080p took 156 s of processors, 2.6 for a second."""

GPU: Final = Hosts("gpu", 2, 264 / 30)
"""A card with one encoder, estimated: 264 frames a second (NVIDIA's figure for H.264 with P5) at 30 frames a second.
Looking for faces and verifying, at 1,820 and 1,740 on an H200 (docs/gpu.md), are not what limits it."""


@dataclass(frozen=True)
class Parts:
    """How long the parts take, in seconds, and how many there are.

    Attributes:
        tick: between two ticks of the sensor.
        runs_per_tick: that it asks for at most.
        look: between two looks of the daemon at its queue.
        hand_out: the daemon's time for one run.
        begin: from a run's being handed out to its first step: one of these, by chance.
        hosts, places: how many hosts there are, and runs at once on each.
        videos: that the store holds at the beginning.
        grows: whether the cost of listings and of the index counts.
    """

    tick: float = 5.0
    runs_per_tick: int = 1
    look: float = 2.0
    hand_out: float = 0.25
    begin: Sequence[float] = (3.0,)
    hosts: int = 2
    places: int = 2
    videos: int = 0
    grows: bool = True


@dataclass
class Run:
    """An upload and its run: when what happened, in seconds, and how long its steps take."""

    dropped: float
    seconds: float
    asked: float = math.nan
    begun: float = math.nan
    ended: float = math.nan

    @property
    def waited(self) -> float:
        """From the inbox to the first step."""
        return self.begun - self.dropped


def simulate(uploads: Sequence[Run], parts: Parts) -> list[Run]:
    """What becomes of uploads, which are given in order. Gives their runs, in the order in which they end."""
    inbox, queue, over = deque(uploads), deque[Run](), list[Run]()
    free, chance = [parts.places] * parts.hosts, random.Random(0)
    index_free = [0.0] * parts.hosts
    videos, rate = parts.videos, len(uploads) / max(DAY, uploads[-1].dropped)
    events: list[tuple[float, int, str, Any]] = [(parts.tick, 0, "tick", None), (parts.look, 1, "look", None)]
    number = 2
    while len(over) < len(uploads):
        now, _, kind, subject = heapq.heappop(events)
        number += 1
        if kind == "tick":
            taken = 0
            while inbox and inbox[0].dropped <= now and taken < parts.runs_per_tick:
                run = inbox.popleft()
                run.asked = now
                queue.append(run)
                taken += 1
                videos += 1
            listed = LIST_SECONDS * math.ceil(videos / LISTED) * (1 + taken) if parts.grows else 0.0
            heapq.heappush(events, (now + max(parts.tick, listed), number, "tick", None))
        elif kind == "look":
            handed = 0
            while queue and any(free):
                host = max(range(parts.hosts), key=free.__getitem__)
                free[host] -= 1
                handed += 1
                run = queue.popleft()
                run.begun = now + handed * parts.hand_out + chance.choice(parts.begin)
                heapq.heappush(events, (run.begun + run.seconds, number, "made", (run, host)))
                number += 1
            heapq.heappush(events, (now + max(parts.look, handed * parts.hand_out), number, "look", None))
        elif kind == "made":  # and now the index
            run, host = subject
            index_free[host] = max(index_free[host], now) + (index_seconds(videos, rate) if parts.grows else 0.0)
            heapq.heappush(events, (index_free[host], number, "over", subject))
        else:
            run, host = subject
            run.ended = now
            free[host] += 1
            over.append(run)
    return over


def index_seconds(videos: int, results_a_second: float = 0.0) -> float:
    """To write the index of so many videos: listing what there is, drawing, sending, listing again.

    Where another host has made a result meanwhile, all of it is done again.
    """
    listing = LIST_SECONDS * math.ceil(PAGE_OBJECTS * videos / LISTED)
    once = listing + INDEX_SECONDS * videos + INDEX_BYTES * videos / UPLOAD_BYTES_A_SECOND
    again = math.exp(min(results_a_second * once, MOST_PASSES))
    return listing + once * again


def day(videos: int, speed: float, places: int, overhead: float, chance: random.Random) -> list[Run]:
    """Uploads of a day, as they come: of the assumed lengths, at the assumed hours, on hosts of such a speed."""
    lengths = chance.choices([length for length, _ in LENGTHS], [share for _, share in LENGTHS], k=videos)
    hours = chance.choices(range(24), BY_HOUR, k=videos)
    dropped = sorted(3600 * (hour + chance.random()) for hour in hours)
    return [Run(at, overhead + length * places / speed) for at, length in zip(dropped, lengths, strict=True)]


def percentile(values: Sequence[float], share: int) -> float:
    """Of values, of which there may be one."""
    return quantiles(values, n=100, method="inclusive")[share - 1] if len(values) > 1 else values[0]


# Against what was measured.


def check(measured: dict[str, Any]) -> list[tuple[str, str, str, str]]:
    """Figures of both sizes: what, measured, simulated, error."""
    return [*_check_few(measured["twenty"]), *_check_many(measured["two_hundred"], measured["twenty"])]


def _check_few(found: dict[str, Any]) -> list[tuple[str, str, str, str]]:
    """From the first runs, which found places free, comes what a start takes; the others are predicted."""
    waits = [run["queue_wait"] for run in found["runs"]]
    seconds = [run["seconds"] for run in found["runs"]]
    parts = Parts(grows=False)
    parts = replace(parts, begin=[median(waits[:4]) - parts.look / 2 - parts.hand_out])
    simulated = simulate([Run(0.0, median(seconds)) for _ in waits], parts)
    predicted = [run.begun - run.asked for run in simulated]
    size = f"{len(waits)} runs"
    return [
        _row(f"{size}: wait in the queue, median", median(waits), median(predicted)),
        _row(f"{size}: the same, 95th percentile", percentile(waits, 95), percentile(predicted, 95)),
        _row(f"{size}: until the last is made", found["seconds"], max(run.ended for run in simulated)),
    ]


def _check_many(found: dict[str, Any], few: dict[str, Any]) -> list[tuple[str, str, str, str]]:
    """What each part takes by itself is that of all runs; what they leave behind is so many times that of the few."""
    runs = sorted(found["runs"], key=lambda run: run["asked_for"])
    size = f"{len(runs)} runs"
    parts = Parts(
        tick=mean(later["asked_for"] - earlier["asked_for"] for earlier, later in pairwise(runs)),
        begin=[run["begun"] - run["handed_out"] for run in runs],
        grows=False,
    )
    simulated = simulate([Run(0.0, run["ended"] - run["begun"]) for run in runs], parts)
    rows = []
    for what, measured, predicted in (
        ("from the inbox to the first step", [run["begun"] for run in runs], [run.begun for run in simulated]),
        (
            "of that from being asked for",
            [run["begun"] - run["asked_for"] for run in runs],
            [run.begun - run.asked for run in simulated],
        ),
    ):
        rows.append(_row(f"{size}: {what}, median", median(measured), median(predicted)))
        rows.append(_row(f"{size}: {what}, 95th percentile", percentile(measured, 95), percentile(predicted, 95)))
    last = max(run["ended"] for run in runs)
    rows.append(_row(f"{size}: until the last is over", last, max(run.ended for run in simulated)))
    for names, shown in (
        (("rows of event_logs",), "rows of the event log"),
        (("database bytes",), "bytes of the database"),
        (("store PUT", "store GET", "store HEAD"), "requests to the store but listings"),
    ):
        spent, expected = (len(runs) * sum(_for_a_run(each, name) for name in names) for each in (found, few))
        rows.append(_row(f"{size}: {shown}, from those of {few['uploads']}", spent, expected))
    return rows


def _for_a_run(found: dict[str, Any], name: str) -> float:
    """What each run asks for, without what the service asks for anyway."""
    resting = found["idle"].get(name, 0) / found["idle_seconds"]
    return float((found["work"][name] - resting * found["seconds"]) / found["uploads"])


def _row(what: str, measured: float, simulated: float) -> tuple[str, str, str, str]:
    return what, f"{measured:,.0f}", f"{simulated:,.0f}", f"{100 * (simulated - measured) / measured:+.0f} %"


# 10,000 videos a day.


def hosts_needed(kind: Hosts, uploads: int, overhead: float, patience: float, parts: Parts) -> tuple[int, list[Run]]:
    """The fewest hosts of a kind with which 19 of 20 videos wait for less than `patience` seconds; and their day."""
    fewest = math.ceil(uploads * _mean_length() / kind.speed / DAY)
    for hosts in range(fewest, 20 * fewest):
        made = _one_day(kind, uploads, overhead, replace(parts, hosts=hosts, places=kind.runs))
        if percentile([run.waited for run in made], 95) < patience:
            return hosts, made
    raise ValueError(f"No number of hosts makes {uploads} videos a day wait for less than {patience:.0f} s.")


def _one_day(kind: Hosts, uploads: int, overhead: float, parts: Parts) -> list[Run]:
    return simulate(day(uploads, kind.speed, kind.runs, overhead, random.Random(0)), parts)


def _mean_length() -> float:
    return sum(length * share for length, share in LENGTHS)


def _waits(made: Sequence[Run]) -> tuple[str, str]:
    waits = [run.waited for run in made]
    return _minutes(median(waits)), _minutes(percentile(waits, 95))


def _minutes(seconds: float) -> str:
    return (
        f"{seconds:.0f} s"
        if seconds < 120
        else f"{seconds / 60:.0f} min"
        if seconds < 7200
        else f"{seconds / 3600:.1f} h"
    )


def fleets(uploads: int, overhead: float, patience: float, prices: dict[str, float]) -> list[list[str]]:
    """Rows: hosts of each kind, how long videos wait, and what an hour of video costs."""
    rows = []
    turned = Parts(runs_per_tick=8, grows=False)
    for kind in (CPU, GPU):
        hosts, made = hosts_needed(kind, uploads, overhead, patience, turned)
        cost = hosts * 24 * prices[kind.name] / (uploads * _mean_length() / 3600)
        busy = sum(run.seconds for run in made) / (hosts * kind.runs * DAY)
        rows.append([kind.name, f"{hosts}", f"{hosts * kind.runs}", f"{busy:.0%}", *_waits(made), f"{cost:.2f}"])
    return rows


def sizes(overhead: float, hosts: int) -> list[list[str]]:
    """Rows: videos a day, and how long they wait where the sensor asks for one run in a tick, or for eight.

    There are twice the hosts that are needed, so that nothing waits for a host.
    """
    rows = []
    for uploads in (1_000, 5_000, 7_000, 10_000, 15_000, 20_000):
        enough = math.ceil(2 * hosts * uploads / 10_000) + 2
        row = [f"{uploads:,}"]
        for runs_per_tick in (1, 8):
            parts = Parts(runs_per_tick=runs_per_tick, hosts=enough, places=CPU.runs, grows=False)
            row += _waits(_one_day(CPU, uploads, overhead, parts))
        rows.append(row)
    return rows


def ages(uploads: int, overhead: float, hosts: int) -> list[list[str]]:
    """Rows: videos that the store holds when a day begins; what tick and index take at noon; how long videos wait."""
    rows = []
    rate = uploads / DAY
    for videos in (0, 10_000, 30_000, 100_000):
        parts = Parts(runs_per_tick=8, hosts=hosts, places=CPU.runs, videos=videos)
        by_noon = videos + uploads // 2
        index, tick = index_seconds(by_noon, rate), max(parts.tick, 2 * LIST_SECONDS * math.ceil(by_noon / LISTED))
        sent = uploads * INDEX_BYTES * by_noon
        listings = DAY / tick * math.ceil(by_noon / LISTED) + uploads * (
            2 * math.ceil(PAGE_OBJECTS * by_noon / LISTED) + 1
        )
        row = [f"{videos:,}", f"{tick:.0f} s", _minutes(index), f"{sent / 1e9:,.0f} GB", f"{listings:,.0f}"]
        rows.append([*row, *_waits(_one_day(CPU, uploads, overhead, parts))])
    return rows


def asked_of_servers(measured: dict[str, Any], uploads: int) -> list[list[str]]:
    """Rows: what database and store are asked, for a run, on a day, and in a second of the busiest hour."""
    few, many = measured["twenty"], measured["two_hundred"]
    busiest = max(BY_HOUR) / sum(BY_HOUR) * uploads / 3600
    rows, a_second = [], {}
    for name, shown in (
        ("rows of event_logs", "rows of the event log"),
        ("rows of run_tags", "rows of tags"),
        ("database bytes", "bytes of the database"),
        ("database transactions", "transactions"),
        ("store requests", "requests to the store, without listings that grow"),
        ("database sessions", "connections, opened and closed"),
    ):
        resting = few["idle"][name] / few["idle_seconds"]
        each = _for_a_run(few, name)
        a_second[name] = each * busiest + resting
        a_day = each * uploads + resting * DAY
        rows.append([shown, f"{each:,.0f}", f"{resting:.1f}", f"{a_day:,.0f}", f"{a_second[name]:,.0f}"])
    kept = many["mean_connections"] * many["seconds"] / many["work"]["database sessions"]
    now, then = kept * resting, kept * a_second["database sessions"]
    return [*rows, ["connections open at once, on average", "", f"{now:.1f}", "", f"{then:.0f}"]]


def _table(head: str, rows: Sequence[Sequence[str]]) -> str:
    lines = [f"| {' | '.join(row)} |" for row in rows]
    return "\n".join([head, "|" + "---|" * (head.count("|") - 1), *lines, ""])


def main() -> None:
    """Print all tables, in Markdown."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true", help="only against what was measured")
    parser.add_argument("--a-day", type=int, default=10_000, help="videos")
    parser.add_argument("--price", action="append", default=[], help="of a host and hour: cpu=0.70 or gpu=1.50")
    parser.add_argument("--overhead", type=float, default=14.0, help="seconds of a run that do not depend on its video")
    parser.add_argument("--patience", type=float, default=1800.0, help="seconds that 19 of 20 videos may wait at most")
    arguments = parser.parse_args()
    measured = json.loads(MEASURED.read_text())
    print(_table("| what | measured | simulated | error |", check(measured)))
    if arguments.check:
        return
    prices = {"cpu": 0.70, "gpu": 1.50}
    for name, _, price in (given.partition("=") for given in arguments.price):
        prices[name] = float(price)
    uploads, overhead = arguments.a_day, arguments.overhead
    needed = fleets(uploads, overhead, arguments.patience, prices)
    hosts = int(needed[0][1])
    asked = asked_of_servers(measured, uploads)
    waits = "wait, median | 95 %"
    print(_table(f"| hosts | how many | runs at once | busy | {waits} | an hour of video |", needed))
    print(_table("| | for a run | at rest, a second | a day | a second of the busiest hour |", asked))
    print(_table(f"| videos a day | one run a tick: {waits} | eight: {waits} |", sizes(overhead, hosts)))
    head = f"| videos in the store | a tick | an index | index sent, a day | listings a day | {waits} |"
    print(_table(head, ages(uploads, overhead, hosts)))


if __name__ == "__main__":
    main()
