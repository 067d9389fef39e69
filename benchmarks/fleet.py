"""`make fleet`: two hosts with their servers on this machine, at length: what they do, and what a fault does to them.

Each part starts a fleet of its own and drops videos into its inbox in one go. In all of them every video must have one
verified result, made once, with two NVENC sessions at once on a host at most; anything else ends this program with an
assertion. The scenarios are those of tests/end_to_end/fleets.py. It wants the machine for itself; NVENC is the emulated
driver's, PostgreSQL, Redis and the S3 server (moto's) are real ones on loopback.

    python -m benchmarks.fleet --only calm --figures figures.json     # what `benchmarks.fleet_simulation` starts from
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from statistics import mean
from typing import Any, Final

import dagster as dg
import sqlalchemy

from dualface_assets.runs.failures import explanation_of
from dualface_core.sample import make_sample
from dualface_core.settings import Settings
from tests.end_to_end.fleets import (
    Fault,
    RunningFleet,
    empty_the_broker,
    kill_a_host,
    refuse_the_store,
    running_fleet,
    start_a_second_service,
    stop_the_broker,
    stop_the_database,
    suspend_the_store,
    trouble_the_store,
)

CALM: Final = "calm"
STRUCK: Final[Mapping[str, Sequence[Fault]]] = {
    "host": (start_a_second_service, kill_a_host),
    "servers": (stop_the_broker, stop_the_database, refuse_the_store, suspend_the_store, empty_the_broker),
    "failing-store": (trouble_the_store,),
}
_IDLE_SECONDS: Final = 60.0
_MOMENTS: Final = {
    dg.DagsterEventType.RUN_ENQUEUED: "asked_for",
    dg.DagsterEventType.RUN_STARTING: "handed_out",
    dg.DagsterEventType.RUN_START: "begun",
    dg.DagsterEventType.RUN_SUCCESS: "ended",
}


def calm(clip: Path, uploads: int) -> dict[str, Any]:
    """Nothing goes wrong. Gives the figures of it."""
    with running_fleet(pace_ms=5) as running:
        before = _counted(running)
        time.sleep(_IDLE_SECONDS)
        idle = _differences(before, _counted(running))
        before, began, dropped = _counted(running), time.monotonic(), time.time()
        with _watching(running) as connections:
            running.upload(clip, uploads)
            running.wait_until_all_is_made(uploads)
        seconds, counted = time.monotonic() - began, _differences(before, _counted(running))
        running.require_all_made_once(uploads)
        sessions = running.encodes()
        assert all(sessions) or uploads <= 4, sessions  # a host takes two at once
        records = [record for record in running.instance.get_run_records() if record.dagster_run.is_success]
        return {
            "uploads": uploads,
            "seconds": seconds,
            "encodes_by_host": sessions,
            "most_sessions_at_once_by_host": running.most_sessions(),
            "most_connections": max(connections),
            "mean_connections": mean(connections),
            "idle_seconds": _IDLE_SECONDS,
            "idle": idle,
            "work": counted,
            "runs": [
                {
                    "queue_wait": (record.start_time or 0.0) - record.create_timestamp.timestamp(),
                    "seconds": (record.end_time or 0.0) - (record.start_time or 0.0),
                    **_moments(running, record.dagster_run.run_id, dropped),
                    "events": len(running.instance.all_logs(record.dagster_run.run_id)),
                    "tags": len(record.dagster_run.tags),
                }
                for record in reversed(records)
            ],
        }


def struck(faults: Sequence[Fault], clip: Path, uploads: int) -> dict[str, Any]:
    """One fault after the other strikes, each when two more videos are done. Gives what came of it."""
    with running_fleet(pace_ms=50) as running:
        began = time.monotonic()
        running.upload(clip, uploads)
        for fault in faults:
            running.wait_for_results(min(len(running.made()) + 2, uploads - 1))
            print(f"  {time.monotonic() - began:.0f} s: {fault.__name__}", flush=True)
            fault(running)
        running.wait_until_all_is_made(uploads)
        seconds = time.monotonic() - began
        running.require_all_made_once(uploads)
        runs = running.instance.get_runs()
        return {
            "faults": [" ".join((fault.__doc__ or "").split()) for fault in faults],
            "uploads": uploads,
            "seconds": seconds,
            "runs": len(runs),
            "failures": Counter(explanation_of(run.run_id, running.instance).failure for run in runs if run.is_failure),
            "most_sessions_at_once_by_host": running.most_sessions(),
        }


def _moments(running: RunningFleet, run_id: str, dropped: float) -> dict[str, float]:
    """When what happened to a run, in seconds since the videos were dropped."""
    events = running.instance.all_logs(run_id, of_type=set(_MOMENTS))
    return {_MOMENTS[event.get_dagster_event().event_type]: event.timestamp - dropped for event in events}


@contextmanager
def _watching(running: RunningFleet) -> Iterator[list[int]]:
    """Connections of the database, looked at twice a second while the block lasts."""
    found, over = [0], threading.Event()

    def watch() -> None:
        while not over.wait(0.5):
            found.append(
                _scalar(running, "SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'client backend'")
            )

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        yield found
    finally:
        over.set()
        watcher.join()


def _counted(running: RunningFleet) -> dict[str, int]:
    """What the servers have done until now: rows by table, bytes, sessions and transactions; requests by kind."""
    tables = ("event_logs", "runs", "run_tags", "job_ticks", "daemon_heartbeats", "kvs", "asset_event_tags")
    figures = {f"rows of {table}": _scalar(running, f"SELECT count(*) FROM {table}") for table in tables}
    database = "FROM pg_stat_database WHERE datname = current_database()"
    figures["database bytes"] = _scalar(running, "SELECT pg_database_size(current_database())")
    figures["database sessions"] = _scalar(running, f"SELECT sessions {database}")
    figures["database transactions"] = _scalar(running, f"SELECT xact_commit {database}")
    return figures | {f"store {kind}": count for kind, count in running.s3.trouble().items()}


def _scalar(running: RunningFleet, query: str) -> int:
    engine = sqlalchemy.create_engine(running.fleet.environment["DUALFACE_POSTGRES"], poolclass=sqlalchemy.NullPool)
    with engine.connect() as connection:
        return int(connection.execute(sqlalchemy.text(query)).scalar_one())


def _differences(before: dict[str, int], after: dict[str, int]) -> dict[str, int]:
    return {name: count - before.get(name, 0) for name, count in after.items()}


def main() -> None:
    """Run all parts, or some, and print what was seen."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--uploads", type=int, default=20)
    parser.add_argument("--only", choices=(CALM, *STRUCK), action="append", help="parts; all without it")
    parser.add_argument("--figures", type=Path, help="a JSON file to be written")
    arguments = parser.parse_args()
    seen: dict[str, dict[str, Any]] = {}
    with tempfile.TemporaryDirectory(prefix="dualface-") as name:
        clip = Path(name) / "clip.mp4"
        make_sample(clip, scene="talk", seconds=2, width=320, height=180, fps=15, seed=0, cache=Settings().cache)
        for part in arguments.only or (CALM, *STRUCK):
            print(f"{part}, {arguments.uploads} uploads", flush=True)
            seen[part] = (
                calm(clip, arguments.uploads) if part == CALM else struck(STRUCK[part], clip, arguments.uploads)
            )
            print(f"{part}: {json.dumps({**seen[part], 'runs': seen[part]['runs']}, indent=1)}", flush=True)
            if arguments.figures:
                arguments.figures.write_text(json.dumps(seen, indent=1))


if __name__ == "__main__":
    sys.exit(main())
