"""One daemon on all hosts of an instance: two would start runs twice, and each end what the other began.

Belongs here: the lock that a daemon has while it lives, and what the second one is told. On one host `serve` locks a
file. Where the records are in PostgreSQL the lock is the database's, and whoever holds it says on which host. A daemon
that loses it, as when the database is started again, takes it again as soon as it can; one that finds it taken by then
ends. Dagster itself lets both run and complains in both logs ("Another SENSOR daemon is still sending heartbeats").
"""

from __future__ import annotations

import os
import socket
import sys
import time
from collections.abc import Callable
from queue import SimpleQueue
from threading import Thread
from typing import Final

import dagster as dg
from sqlalchemy.exc import SQLAlchemyError

from dualface_assets.runs.instance_locks import Holder, InstanceLock, attempted, holder, spans_hosts
from dualface_core.errors import SettingsError

REFUSED: Final = 3
"""Exit status of a daemon that ends because of another one."""

_SECONDS_BETWEEN_CHECKS: Final = 2.0
_NAME: Final = "dualface daemon on "
_ME: Final = f"{_NAME}{socket.gethostname()}, process {os.getpid()}"


def become_the_only_daemon(instance: dg.DagsterInstance) -> None:
    """Take the lock, for as long as this process lives. While the database is away, wait for it.

    Raises SettingsError where another daemon has it. On one host it does nothing.
    """
    if not spans_hosts(instance):
        return
    outcome: SimpleQueue[str | None] = SimpleQueue()
    Thread(target=_hold, args=(instance, outcome.put), name="only daemon", daemon=True).start()
    if refused := outcome.get():
        raise SettingsError(refused)


def require_no_other_daemon(instance: dg.DagsterInstance) -> None:
    """Raise SettingsError where a daemon has the lock: said before anything is started."""
    if spans_hosts(instance) and (other := holder(instance, InstanceLock.DAEMON)):
        raise SettingsError(_refusal(other))


def daemon_host(instance: dg.DagsterInstance) -> str | None:
    """Where the daemon of an instance that spans hosts is, and since when; None if none has the lock."""
    found = holder(instance, InstanceLock.DAEMON)
    return _where(found) if found else None


def _hold(instance: dg.DagsterInstance, tell: Callable[[str | None], None]) -> None:
    while True:
        try:
            with attempted(instance, InstanceLock.DAEMON, _ME) as still_held:
                if still_held:
                    tell(None)
                    tell = _end
                while still_held:
                    still_held()
                    time.sleep(_SECONDS_BETWEEN_CHECKS)
            if (other := holder(instance, InstanceLock.DAEMON)) and other.name != _ME:  # a lost connection of our own
                tell(_refusal(other))
                return
        except SQLAlchemyError:  # the database is away, and no daemon can do anything meanwhile
            pass
        time.sleep(_SECONDS_BETWEEN_CHECKS)


def _refusal(other: Holder) -> str:
    return (
        f"The daemon of this instance is running already, {_where(other)}. There must be one only, on one host. This "
        "one ends. Start workers on the other hosts, or end that daemon first: see docs/scale.md."
    )


def _where(daemon: Holder) -> str:
    name = daemon.name.removeprefix(_NAME)
    return f"on {name}, since {daemon.since.astimezone():%Y-%m-%d %H:%M:%S %z}"


def _end(refused: str | None) -> None:
    """Be told about the lock after it was had once."""
    if refused:
        print(refused, file=sys.stderr, flush=True)
        os._exit(REFUSED)  # its threads must not do anything more
