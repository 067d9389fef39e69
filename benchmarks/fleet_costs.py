"""What runs on several hosts cost: how long they wait, and what the database and the store that they share are asked.

It runs what `deploy/local/up` does, in a folder of its own: PostgreSQL, Redis, an S3 server, the service and two
workers, none with a card. So many small videos are dropped in one go. `benchmarks.fleet_simulation` starts from the
figures.

    python -m benchmarks.fleet_costs --uploads 200 --output fleet-200.json
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import re
import tempfile
import time
from collections import Counter
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

import dagster as dg
import psutil
import sqlalchemy

from deploy.local.hosts import Fleet, fleet
from dualface_core.sample import make_sample
from dualface_core.settings import Settings
from tests.end_to_end.running_instance import unlike_any_other
from tests.nvenc_emulator.driver import Card, EmulatedDriver

HOSTS: Final = 2
IDLE_SECONDS: Final = 60
BETWEEN_LOOKS: Final = 0.5
LOOKS: Final = 20
MOMENTS: Final = {
    dg.DagsterEventType.RUN_ENQUEUED: "asked_for",
    dg.DagsterEventType.RUN_STARTING: "handed_out",
    dg.DagsterEventType.RUN_START: "begun",
    dg.DagsterEventType.RUN_SUCCESS: "ended",
    dg.DagsterEventType.RUN_FAILURE: "ended",
}


class Database:
    """What PostgreSQL says of itself, through a connection of our own."""

    def __init__(self, url: str) -> None:
        self._connection = sqlalchemy.create_engine(url, isolation_level="AUTOCOMMIT").connect()

    def asked(self, query: str) -> list[Any]:
        """The rows of a query."""
        return list(self._connection.execute(sqlalchemy.text(query)))

    def counters(self) -> Counter[str]:
        """Transactions and connections since the beginning, and bytes and rows that are there now, by table."""
        ((transactions, sessions),) = self.asked(
            "SELECT xact_commit, sessions FROM pg_stat_database WHERE datname = current_database()"
        )
        found = Counter({"transactions": transactions, "connections": sessions})
        for (table,) in self.asked("SELECT tablename FROM pg_tables WHERE schemaname = 'public'"):
            ((rows, size),) = self.asked(f"SELECT count(*), pg_total_relation_size('{table}') FROM {table}")
            found[f"rows of {table}"] = rows
            found["bytes"] += size
        return found

    def open_now(self) -> int:
        """Connections that are open, without this one."""
        ((found,),) = self.asked("SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()")
        return int(found) - 1


def requests(started: Fleet) -> Counter[str]:
    """What the S3 server was asked so far, by method. Listings are those with `list-type`."""
    found: Counter[str] = Counter()
    for method, path in re.findall(r'"([A-Z]+) (\S+) HTTP', started.servers["s3"].log.read_text(errors="replace")):
        found["requests: LIST" if "list-type" in path else f"requests: {method}"] += 1
    return found


def measured(uploads: int) -> dict[str, Any]:
    """All figures of so many uploads."""
    with tempfile.TemporaryDirectory(prefix="dualface-") as name:
        folder = Path(name)
        clip = folder / "clip.mp4"
        make_sample(clip, scene="talk", seconds=1, width=320, height=180, fps=15, seed=0, cache=Settings().cache)
        cards = [
            EmulatedDriver(folder / f"card-{number}", card=Card.NO_DRIVER).environment() for number in range(HOSTS)
        ]
        with fleet(folder, cards) as started:
            os.environ.update(started.service.environment)
            time.sleep(15)  # what is done once, at a start
            database = Database(started.environment["DUALFACE_POSTGRES"])
            before = database.counters() + requests(started)
            time.sleep(IDLE_SECONDS)
            idle = database.counters() + requests(started) - before
            before = database.counters() + requests(started)
            started.inbox.mkdir(exist_ok=True)
            dropped = time.time()
            for number in range(uploads):
                hidden = started.inbox / f".{number}"
                hidden.write_bytes(unlike_any_other(clip))
                hidden.rename(started.inbox / f"upload-{number:03}.mp4")
            samples = _until_over(started, database, uploads)
            with dg.DagsterInstance.get() as instance:
                queue = instance.get_concurrency_config().run_queue_config
                assert queue is not None
                runs = [_moments(run, instance, dropped) for run in instance.get_runs(ascending=True)]
            return {
                "command": f"python -m benchmarks.fleet_costs --uploads {uploads}",
                "versions": {"python": platform.python_version(), "dagster": dg.__version__},
                "machine": f"{psutil.cpu_count()} cores, {psutil.virtual_memory().total / (1 << 30):.0f} GiB",
                "uploads": uploads,
                "slots": queue.max_concurrent_runs,
                "idle_seconds": IDLE_SECONDS,
                "idle": dict(idle),
                "before": dict(before),
                "samples": samples,
                "runs": runs,
            }


def _until_over(started: Fleet, database: Database, runs: int) -> list[dict[str, float]]:
    """Wait until so many runs are over, or Ctrl-C. Gives all counters, every few seconds."""
    begun = time.time()
    samples: list[dict[str, float]] = []
    with suppress(KeyboardInterrupt):
        while not samples or samples[-1]["over"] < runs:
            looks = []
            for _ in range(LOOKS):
                time.sleep(BETWEEN_LOOKS)
                looks.append(database.open_now())
            ((over,),) = database.asked("SELECT count(*) FROM runs WHERE status IN ('SUCCESS', 'FAILURE')")
            now = {
                "seconds": int(time.time() - begun),
                "over": int(over),
                "most open connections": max(looks),
                "mean open connections": sum(looks) / LOOKS,
            }
            samples.append({**now, **database.counters(), **requests(started)})
    return samples


def _moments(run: dg.DagsterRun, instance: dg.DagsterInstance, dropped: float) -> dict[str, Any]:
    """When what happened to a run, in seconds since the videos were dropped."""
    events = instance.all_logs(run.run_id, of_type=set(MOMENTS))
    at = {MOMENTS[event.get_dagster_event().event_type]: event.timestamp - dropped for event in events}
    return {"status": run.status.value, **at}


def main() -> None:
    """Measure, and write JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--uploads", type=int, default=20)
    parser.add_argument("--output", type=Path, required=True)
    arguments = parser.parse_args()
    found = measured(arguments.uploads)
    arguments.output.write_text(json.dumps(found, indent=1) + "\n")
    last = found["samples"][-1]
    print(f"{last['over']} of {arguments.uploads} runs in {last['seconds']} s: {arguments.output}")


if __name__ == "__main__":
    main()
