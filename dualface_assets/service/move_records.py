"""`python -m dualface_assets.service.move_records`: what SQLite knows, into the PostgreSQL database of the instance.

Belongs here: copying runs, events, assets, partitions, sensors and their positions, for which Dagster (1.13) has
nothing. It is one transaction: the database has all of it in the end, counted, or nothing. The files of SQLite are only
read, and stay.

SQLite has the events of each run in a file of its own, and those that are asked for across runs (of assets, checks, and
the states of runs) in an index besides, under numbers of its own. PostgreSQL has one table, whose numbers are the order
of each run. So all events are numbered anew, in the order of the index, and what refers to a number is changed with it.
See https://docs.dagster.io/deployment/oss/dagster-instance.
"""

from __future__ import annotations

import argparse
import json
import sqlite3
import sys
import tempfile
from bisect import bisect_right
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, closing, contextmanager
from itertools import islice
from pathlib import Path
from typing import Any, Final

import dagster as dg
import sqlalchemy as sa

from dualface_assets.service.instance_home import instance_home, opened_instance
from dualface_core.errors import DualfaceError, MachineError, SettingsError
from dualface_core.system.locks import FileLock

_EVENTS: Final = "event_logs"

_FILES: Final[Mapping[str, frozenset[str]]] = {
    "history/runs.db": frozenset(
        {"snapshots", "runs", "run_tags", "bulk_actions", "backfill_tags", "kvs"},
    ),
    "history/runs/index.db": frozenset(
        {
            "asset_keys",
            "asset_event_tags",
            "asset_check_executions",
            "dynamic_partitions",
            "concurrency_limits",
            "concurrency_slots",
            "pending_steps",
        }
    ),
    "schedules/schedules.db": frozenset({"jobs", "instigators", "job_ticks", "asset_daemon_asset_evaluations"}),
}
"""Tables whose rows are copied, by the file of SQLite that has them. Not heartbeats, and what a database notes of
itself."""

_NUMBERS: Final = {
    "event_id",
    "evaluation_event_storage_id",
    "materialization_event_storage_id",
}
"""Columns that are the number of an event."""

_TEXTS: Final = {"event", "last_materialization", "evaluation_event", "instigator_body", "job_body"}
"""Columns in whose text there may be such numbers."""

_POINTER: Final = "dagster/input_event_pointer/"
"""The tags of a materialization by which it names those that it was made from."""

_CURSOR: Final = "EVENT_LOG_CONSUMER_CURSOR-"
"""How far the daemon has read of runs that have ended."""

_BATCH: Final = 1000

_Renumber = Callable[[int], int]


def main() -> int:
    """Copy all records, and say how many. The exit status is 2 if that was not possible, and nothing was changed."""
    parser = argparse.ArgumentParser(
        prog="python -m dualface_assets.service.move_records",
        description="Copy all records of an instance on SQLite into the PostgreSQL database that dagster.yaml names.",
    )
    parser.add_argument(
        "old", type=Path, nargs="?", help="DAGSTER_HOME of the instance on SQLite, if it is another one"
    )
    old = parser.parse_args().old
    try:
        with opened_instance() as instance:
            counts = move_records((old or instance_home()).absolute(), instance)
    except DualfaceError as error:
        print(error, file=sys.stderr)
        return 2
    for table, rows in sorted(counts.items()):
        print(f"{rows:>9,}  {table}")
    print("All of it is in PostgreSQL. The files of SQLite are as they were; they are of no more use.")
    return 0


def move_records(old: Path, instance: dg.DagsterInstance) -> Mapping[str, int]:
    """Copy the records of an instance on SQLite into an instance on PostgreSQL that has none.

    Args:
        old: DAGSTER_HOME of the one on SQLite, where nothing may be at work.
        instance: the one on PostgreSQL.

    Returns:
        rows, by table.

    Raises:
        SettingsError: the instance is not on PostgreSQL, or has records.
        MachineError: there are no records, they are of another release, or something is at work on them.
    """
    url = getattr(instance.run_storage, "postgres_url", None)
    if url is None:
        found = type(instance.run_storage).__name__.removesuffix("RunStorage")
        raise SettingsError(
            f"The records of {instance.root_directory} are in {found}. Name a PostgreSQL database first."
        )
    engine = sa.create_engine(url)
    with ExitStack() as stack:
        stack.callback(engine.dispose)
        stack.enter_context(_nothing_at_work(old))
        connection = stack.enter_context(engine.begin())
        target = sa.MetaData()
        target.reflect(connection)
        order = {table.name: number for number, table in enumerate(target.sorted_tables)}
        copied = sorted([_EVENTS, *(table for tables in _FILES.values() for table in tables)], key=order.__getitem__)
        for table in copied:
            if there := connection.execute(sa.select(sa.func.count()).select_from(target.tables[table])).scalar_one():
                raise SettingsError(f"The database has {there} rows of {table!r}. Name a database that has none.")
        events = stack.enter_context(_Events.read(old))
        sources = {
            table: stack.enter_context(_read_only(old / file)) for file, tables in _FILES.items() for table in tables
        }
        counts = {}
        for table in copied:
            rows = events.rows() if table == _EVENTS else _rows(sources[table], table, target.tables[table])
            renumbered = (_renumbered(row, events.renumber) for row in rows)
            counts[table] = _insert(connection, target.tables[table], renumbered)
        return counts


@contextmanager
def _nothing_at_work(home: Path) -> Iterator[None]:
    """Keep the service away for the length of the block. Raises MachineError where it, or a run, is at work."""
    file = home / "history" / "runs.db"
    if not file.exists():
        raise MachineError(home, "has no records of runs in SQLite", action="Name the DAGSTER_HOME that they are in.")
    lock = FileLock.attempt(home / "serve.lock")
    if lock is None:
        raise MachineError(home, "its service is running", action="Let its runs finish, and end it.")
    try:
        with _read_only(file) as records:
            at_work = "SELECT run_id FROM runs WHERE status IN ('STARTING', 'STARTED', 'CANCELING')"
            if runs := [row["run_id"] for row in records.execute(at_work)]:
                action = "Start the service on SQLite once more, which finishes them or tries them again."
                raise MachineError(file, f"runs are at work: {', '.join(runs)}", action=action)
        yield
    finally:
        lock.release()


class _Events:
    """All events in one order, and the new number of each that had one in the index.

    The order is that of the index. An event that is in the file of its run only comes after the one of the index that
    it follows there, so that each run keeps its order.
    """

    def __init__(self, sorted_events: sqlite3.Connection) -> None:
        self._connection = sorted_events
        numbered = sorted_events.execute("SELECT number, place FROM placed WHERE number IS NOT NULL ORDER BY number")
        pairs = numbered.fetchall()
        self._before, self._after = [pair[0] for pair in pairs], [pair[1] for pair in pairs]

    @classmethod
    @contextmanager
    def read(cls, home: Path) -> Iterator[_Events]:
        """Read the index and the files of all runs, by way of a temporary file."""
        folder = home / "history" / "runs"
        with (
            tempfile.NamedTemporaryFile(prefix="dualface-", suffix=".db") as temporary,
            closing(sqlite3.connect(temporary.name)) as connection,
        ):
            connection.row_factory = sqlite3.Row
            connection.execute("ATTACH ? AS indexed", (f"{folder / 'index.db'}",))
            columns = [row["name"] for row in connection.execute(f"PRAGMA indexed.table_info({_EVENTS})")]
            named = ", ".join(f'"{name}"' for name in columns if name != "id")
            connection.execute(f"CREATE TABLE found (number, anchor, behind, {named})")
            place = f"INSERT INTO found VALUES (?, ?, ?, {', '.join('?' * (len(columns) - 1))})"
            runs = [row[0] for row in connection.execute(f"SELECT DISTINCT run_id FROM indexed.{_EVENTS}")]
            for run in runs:
                connection.executemany(place, _placed(connection, folder / f"{run}.db", run, columns))
            place = "row_number() OVER (ORDER BY anchor, behind, run_id) AS place"
            connection.execute(f"CREATE TABLE placed AS SELECT {place}, * FROM found")
            yield cls(connection)

    def rows(self) -> Iterator[dict[str, Any]]:
        """Rows of the one table, in their order."""
        for row in self._connection.execute("SELECT * FROM placed ORDER BY place"):
            yield {"id": row["place"], **{name: row[name] for name in row.keys()[4:]}}

    def renumber(self, number: int) -> int:
        """The new number of an event; for a position after one that was deleted, that of the last one before it."""
        found = bisect_right(self._before, number)
        return self._after[found - 1] if found else 0


def _placed(connection: sqlite3.Connection, file: Path, run: str, columns: list[str]) -> Iterator[tuple[Any, ...]]:
    """The events of a run: number in the index, the one that it follows there, how far behind that, and its columns."""
    names = [f'"{name}"' for name in columns if name != "id"]
    wanted = f"SELECT id, {', '.join(names)} FROM"
    indexed = deque(connection.execute(f"{wanted} indexed.{_EVENTS} WHERE run_id = ? ORDER BY id", (run,)).fetchall())
    anchor, behind = indexed[0]["id"] - 1, 0
    if file.exists():
        with _read_only(file) as own:
            for row in own.execute(f"{wanted} {_EVENTS} ORDER BY id"):
                if indexed and row["event"] == indexed[0]["event"]:
                    anchor, behind = indexed.popleft()["id"], 0
                    yield anchor, anchor, behind, *tuple(row)[1:]
                else:
                    behind += 1
                    yield None, anchor, behind, *tuple(row)[1:]
    for row in indexed:  # what was reported without a run, for one, is in no file of a run
        yield row["id"], row["id"], 0, *tuple(row)[1:]


@contextmanager
def _read_only(file: Path) -> Iterator[sqlite3.Connection]:
    with closing(sqlite3.connect(f"{file.absolute().as_uri()}?mode=ro", uri=True)) as connection:
        connection.row_factory = sqlite3.Row
        yield connection


def _rows(source: sqlite3.Connection, name: str, target: sa.Table) -> Iterator[dict[str, Any]]:
    columns = {row["name"] for row in source.execute(f"PRAGMA table_info({name})")}
    if columns != set(target.columns.keys()):
        differing = ", ".join(sorted(columns ^ set(target.columns.keys())))
        file = next(file for file, tables in _FILES.items() if name in tables)
        action = "Bring both to this release, with: dagster instance migrate"
        raise MachineError(file, f"the columns of {name} are not those of PostgreSQL: {differing}", action=action)
    for row in source.execute(f"SELECT * FROM {name} ORDER BY id"):
        yield dict(row)


def _renumbered(row: dict[str, Any], renumber: _Renumber) -> dict[str, Any]:
    """A row whose references to events are to their new numbers."""
    for name in _NUMBERS & row.keys():
        row[name] = None if row[name] is None else renumber(row[name])
    for name in _TEXTS & row.keys():
        if row[name] and ("storage_id" in row[name] or _POINTER in row[name] or "cursor" in row[name]):
            row[name] = json.dumps(json.loads(row[name], object_hook=lambda found: _renumbered_text(found, renumber)))
    if str(row.get("key")).startswith(_CURSOR):  # of kvs
        row["value"] = str(renumber(int(row["value"])))
    if "cached_status_data" in row:  # Dagster makes it again
        row["cached_status_data"] = None
    return row


def _renumbered_text(found: dict[str, Any], renumber: _Renumber) -> dict[str, Any]:
    for name, value in found.items():
        if name in {"storage_id", "record_id", "seen"} and isinstance(value, int):
            found[name] = renumber(value)
        elif name.startswith(_POINTER) and str(value).isdigit():
            found[name] = str(renumber(int(value)))
        elif name == "cursor" and isinstance(value, str) and value.startswith("{"):
            inside = json.loads(value, object_hook=lambda found: _renumbered_text(found, renumber))
            found[name] = json.dumps(inside)
    return found


def _insert(connection: sa.Connection, table: sa.Table, rows: Iterator[dict[str, Any]]) -> int:
    """Write rows, have the next one of others continue their numbers, and count what is there."""
    written = 0
    while batch := list(islice(rows, _BATCH)):
        connection.execute(table.insert(), batch)
        written += len(batch)
    if "id" in table.columns:
        newest = sa.select(sa.func.max(table.c.id)).scalar_subquery()
        sequence = sa.func.pg_get_serial_sequence(table.name, "id")
        connection.execute(sa.select(sa.func.setval(sequence, sa.func.coalesce(newest, 1), newest.is_not(None))))
    count = connection.execute(sa.select(sa.func.count()).select_from(table)).scalar_one()
    assert count == written, f"{table.name}: {count} rows of {written}"
    return count


if __name__ == "__main__":
    sys.exit(main())
