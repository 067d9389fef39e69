"""Locks that hold on all hosts of an instance: PostgreSQL's advisory locks, which end with their holder's connection.

Belongs here: taking them, and saying who has one. Only an instance whose records are in PostgreSQL has more than one
host; on one host files are locked, which needs no server. Whoever loses the connection has lost the lock: a host that
vanishes keeps it for half a minute. See https://www.postgresql.org/docs/current/explicit-locking.html#ADVISORY-LOCKS.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from enum import IntEnum
from typing import Final

import dagster as dg
import sqlalchemy

_OURS: Final = 0x6475616C
"""The first of the two numbers that name a lock, since all programs of a database share them. In ASCII it is "dual"."""

_LOST_HOSTS: Final = "SET tcp_keepalives_idle = 15; SET tcp_keepalives_interval = 5; SET tcp_keepalives_count = 3"
"""When the server gives up a connection whose other end says nothing, such as that of a host without power."""

_LONGEST_NAME: Final = 63
"""Bytes that PostgreSQL keeps of the name of a connection."""


class InstanceLock(IntEnum):
    """What is locked: the second of the two numbers."""

    DAEMON = 1
    DELETION = 2


@dataclass(frozen=True)
class Holder:
    """Who has a lock: what it calls itself, and since when it is connected."""

    name: str
    since: datetime


def spans_hosts(instance: dg.DagsterInstance) -> bool:
    """Whether other hosts may work on this instance."""
    return _url(instance) is not None


@contextmanager
def locked(instance: dg.DagsterInstance, lock: InstanceLock, *, shared: bool = False) -> Iterator[None]:
    """Hold a lock over all hosts for the length of the block, for which it waits. On one host it does nothing.

    It is a transaction's, so it holds through a pooler of connections, too. Raises SQLAlchemy's errors.
    """
    if not spans_hosts(instance):
        yield
        return
    function = sqlalchemy.func.pg_advisory_xact_lock_shared if shared else sqlalchemy.func.pg_advisory_xact_lock
    with _connection(instance, f"dualface {lock.name.lower()}") as connection, connection.begin():
        connection.execute(sqlalchemy.select(function(_OURS, int(lock))))
        yield


@contextmanager
def attempted(instance: dg.DagsterInstance, lock: InstanceLock, name: str) -> Iterator[Callable[[], object] | None]:
    """Take a lock for the length of the block if it is free. The instance must span hosts.

    Gives what asks whether it is still held, which raises SQLAlchemy's OperationalError if not; None where another has
    the lock. It is a session's: a pooler must leave it its connection.

    Args:
        instance: whose hosts share the lock.
        lock: which.
        name: what its holder is called, for those who ask.
    """
    with _connection(instance, name) as connection:
        connection.execution_options(isolation_level="AUTOCOMMIT")
        taken = connection.scalar(sqlalchemy.select(sqlalchemy.func.pg_try_advisory_lock(_OURS, int(lock))))
        yield (lambda: connection.scalar(sqlalchemy.select(1))) if taken else None


def holder(instance: dg.DagsterInstance, lock: InstanceLock) -> Holder | None:
    """Who has a lock of an instance that spans hosts; None if nobody has. Raises SQLAlchemy's errors."""
    query = sqlalchemy.text(
        "SELECT application_name, backend_start FROM pg_locks JOIN pg_stat_activity USING (pid) WHERE granted AND "
        "locktype = 'advisory' AND datname = current_database() AND classid = :ours AND objid = :lock AND objsubid = 2"
    )
    with _connection(instance, "dualface") as connection:
        found = connection.execute(query, {"ours": _OURS, "lock": int(lock)}).first()
    return Holder(*found) if found else None


def _url(instance: dg.DagsterInstance) -> str | None:
    """Where the records of an instance are, if in PostgreSQL."""
    return getattr(instance.run_storage, "postgres_url", None)


@contextmanager
def _connection(instance: dg.DagsterInstance, name: str) -> Iterator[sqlalchemy.Connection]:
    url = _url(instance)
    assert url is not None, "it spans hosts"
    engine = sqlalchemy.create_engine(url, poolclass=sqlalchemy.NullPool)
    with engine.connect() as connection:
        connection.exec_driver_sql(_LOST_HOSTS)
        shown = name.encode()[:_LONGEST_NAME].decode(errors="ignore")
        connection.execute(sqlalchemy.select(sqlalchemy.func.set_config("application_name", shown, False)))
        connection.commit()
        yield connection
