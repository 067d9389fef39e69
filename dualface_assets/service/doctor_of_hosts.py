"""What the doctor asks of an instance on several hosts: database, bucket, clocks, broker, workers.

Belongs here: questions to other machines. Only an instance that has one of these parts has this module imported. Each
answer says what was found, what was expected, and what to do.
"""

from __future__ import annotations

import shutil
import sys
import time
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any, Final
from uuid import uuid4

import dagster as dg
from pydantic import BaseModel
from sqlalchemy import text

from dualface_assets.service.clock import TOLERATED
from dualface_assets.service.diagnosis import Diagnosis
from dualface_assets.store.remote import RemoteFiles, without_password
from dualface_core.encoding.settings import EncoderKind
from dualface_core.errors import DualfaceError
from dualface_core.settings import Settings

if TYPE_CHECKING:
    from celery import Celery

    from dualface_assets.store.video_store import VideoStore

_ANSWERS_WITHIN: Final = 3.0
"""Seconds in which workers answer. All of them pass: nobody knows how many workers there are."""

_SMALL_VIDEO: Final = 2 << 30
"""Bytes. A disk that has no room for one of these for each run at once is too small: an hour of 1080p has so many."""


class Host(BaseModel):
    """What a worker says of its host.

    Attributes:
        runs: how many it has at once.
        queues: whose runs it takes.
        sessions: NVENC sessions that its cards may have open at once.
        slots: the folder with their slot files, by which workers of one host are known; with the host's name.
        clock: seconds since the epoch, when it answered.
        release: of dualface.
    """

    runs: int
    queues: list[str]
    sessions: int
    slots: str
    clock: float
    release: str


def sessions_of_host(settings: Settings) -> int:
    """NVENC sessions that all cards of this host may have open at once, by the settings."""
    from dualface_core.gpu.nvml import find_gpus

    if settings.encoder is EncoderKind.SOFTWARE:
        return 0
    return settings.nvenc_max_sessions * sum(gpu.nvenc_engines != 0 for gpu in find_gpus().gpus)


def database(instance: dg.DagsterInstance) -> Diagnosis:
    """Whether the tables are those of this release. That the database answers was known before: it has opened."""
    storages = {
        "runs": instance.run_storage,
        "events": instance.event_log_storage,
        "schedules": instance.schedule_storage,
    }
    found = {name: storage.alembic_version() for name, storage in storages.items() if storage}
    old = sorted(name for name, versions in found.items() if versions and versions[0] != versions[1])
    if old:
        advice = "End the service and the workers, and run: dagster instance migrate"
        return Diagnosis("database", "problem", f"The tables of {', '.join(old)} are of another release. {advice}")
    return Diagnosis("database", "good", "answers, and its tables are those of this release")


def bucket(files: RemoteFiles, store: VideoStore) -> Iterator[Diagnosis]:
    """Whether a remote store takes an object, gives it back and removes it, and whether it keeps what is replaced."""
    path, content = store.folder / f".doctor-{uuid4().hex}", uuid4().bytes
    try:
        files.write(path, content)
        back = files.read(path)
        files.move_to_trash(path, store.private_folder("trash"))
    except (DualfaceError, FileNotFoundError) as error:
        action = "Objects must be written, read and removed there: look at what the credentials allow."
        yield Diagnosis("bucket", "problem", f"{error} {action}")
        return
    if back != content:
        advice = "Use a store that shows an object as it was written last."
        yield Diagnosis("bucket", "problem", f"What was written is not what is read. {advice}")
        return
    try:
        versioned = files.is_versioned()
    except DualfaceError as error:
        yield Diagnosis("bucket", "warning", f"Whether it keeps versions cannot be seen. {error}")
        return
    if versioned is False:
        advice = "Turn on versioning, with a rule that deletes old versions after some weeks."
        yield Diagnosis("bucket", "warning", f"What is deleted by mistake is gone: it keeps no versions. {advice}")
    else:
        yield Diagnosis("bucket", "good", f"written, read and removed{', keeps versions' if versioned else ''}")


def inbox_bucket(store: VideoStore) -> Diagnosis:
    """Whether the bucket for uploads answers."""
    try:
        found, more = store.bucket.page() if store.bucket else ([], False)
    except DualfaceError as error:
        return Diagnosis("inbox bucket", "problem", str(error))
    return Diagnosis("inbox bucket", "good", f"{store.inbox_url} answers: {len(found)}{'+' * more} objects")


def clocks(instance: dg.DagsterInstance, files: RemoteFiles | None, hosts: Mapping[str, Host]) -> Diagnosis:
    """Whether the clocks of all machines agree: what is deleted, retried and signed depends on them."""
    ahead: dict[str, float] = {}
    if is_postgres(instance):
        begun = time.time()
        with instance.run_storage.connect() as connection:  # type: ignore[attr-defined]  # of every SQL storage
            theirs = connection.execute(text("select extract(epoch from clock_timestamp())")).scalar()
        ahead["the database"] = float(theirs) - (begun + time.time()) / 2
    if files is not None:
        try:
            begun = time.time()
            seen = files.clock()
        except DualfaceError:  # which is said elsewhere
            seen = None
        if seen is not None:
            ahead["the store"] = seen + 0.5 - (begun + time.time()) / 2  # which says whole seconds
    ahead |= {name: host.clock - time.time() for name, host in hosts.items()}
    wrong = {name: seconds for name, seconds in ahead.items() if abs(seconds) > TOLERATED}
    if not wrong:
        compared = ", ".join(ahead) or "nothing"
        return Diagnosis("clocks", "good", f"within {TOLERATED:.0f} s of this host's: {compared}")
    said = ", ".join(f"{name} is {seconds:+.0f} s" for name, seconds in sorted(wrong.items()))
    advice = f"Expected: at most {TOLERATED:.0f} s. Set the clocks by NTP (chrony, systemd-timesyncd)."
    return Diagnosis("clocks", "problem", f"By this host's clock {said}. {advice}")


def workers(celery: Celery, instance: dg.DagsterInstance, hosts: dict[str, Host]) -> Iterator[Diagnosis]:
    """Whether the broker and the workers answer, and have as many places as the instance gives out.

    Args:
        celery: the application of the launcher.
        instance: whose pool and queue are compared.
        hosts: what the workers say is added to it, by name.
    """
    from kombu.exceptions import KombuError

    address = without_password(celery.conf.broker_url)
    with celery.connection_for_read() as connection:
        try:
            connection.ensure_connection(max_retries=1, timeout=_ANSWERS_WITHIN)
            inspect = celery.control.inspect(timeout=_ANSWERS_WITHIN, connection=connection)
            answers = inspect._request("dualface_host") or {}  # noqa: SLF001  how Celery asks for commands of others
        except (KombuError, OSError, *connection.recoverable_connection_errors) as error:
            advice = "Start it, or look at DUALFACE_BROKER. Runs at work go on; no other begins."
            yield Diagnosis("broker", "problem", f"{address} does not answer ({type(error).__name__}). {advice}")
            return
    yield Diagnosis("broker", "good", f"{address} answers")
    hosts.update({name: Host.model_validate(answer) for name, answer in answers.items() if "error" not in answer})
    if not hosts:
        advice = "Start one on each host: celery --app dualface_assets.service.celery_app worker"
        yield Diagnosis("hosts", "problem", f"No worker answers, so runs wait. {advice}")
        return
    yield from _queues(celery, hosts)
    yield _places(instance, hosts)
    yield slots(instance, hosts)


def _queues(celery: Celery, hosts: Mapping[str, Host]) -> Iterator[Diagnosis]:
    releases = {host.release for host in hosts.values()}
    queue = celery.conf.task_default_queue
    said = "; ".join(f"{name}: {host.runs} at once, {host.sessions} NVENC sessions" for name, host in hosts.items())
    if not any(queue in host.queues for host in hosts.values()):
        advice = f"Start one with -Q {queue}."
        yield Diagnosis("hosts", "problem", f"No worker takes from the queue {queue!r}, in which runs wait. {advice}")
    elif len(releases) > 1:
        found = ", ".join(sorted(releases))
        yield Diagnosis("hosts", "warning", f"They have several releases of dualface: {found}. Have one on all.")
    else:
        yield Diagnosis("hosts", "good", said)


def _places(instance: dg.DagsterInstance, hosts: Mapping[str, Host]) -> Diagnosis:
    limit = instance.get_concurrency_config().run_queue_config
    given = limit.max_concurrent_runs if limit else -1
    places = sum(host.runs for host in hosts.values())
    if given == places:
        return Diagnosis("runs at once", "good", f"{given}, as many as the workers have")
    advice = (
        f"Set concurrency.runs.max_concurrent_runs to {places} in dagster.yaml, or start the workers that are missing."
    )
    waiting = "runs wait in the broker, where nobody sees them" if given < 0 or given > places else "workers stay idle"
    return Diagnosis(
        "runs at once", "warning", f"{given} are given out, the workers have {places}: {waiting}. {advice}"
    )


def slots(instance: dg.DagsterInstance, hosts: Mapping[str, Host]) -> Diagnosis:
    """Whether the pool has as many slots as the cards of all hosts. Workers that share slot files are one host."""
    from dualface_assets.runs.earlier_encodes import NVENC

    limits = {limit.name: limit.limit for limit in instance.event_log_storage.get_pool_limits()}
    limit = limits.get(NVENC, instance.get_concurrency_config().pool_config.default_pool_limit) or 0
    sessions = sum({host.slots: host.sessions for host in hosts.values()}.values())
    found = f"{NVENC}: {limit} at once, and the hosts have {sessions}"
    if limit == sessions or not sessions:
        return Diagnosis("slots", "good", found if sessions else f"{found}, so software encodes, outside of the pool")
    effect = f"{limit - sessions} may wait in vain" if limit > sessions else "sessions stay unused"
    command = f"Run: dagster instance concurrency set {NVENC} {sessions}"
    return Diagnosis("slots", "warning", f"{found}: {effect}. {command}")


def scratch(store: VideoStore, runs: int) -> Diagnosis:
    """Whether the disk of this host has room for the videos and results of as many runs as it has at once."""
    from dualface_assets.store.video_store import ROOM

    free = min(shutil.disk_usage(store.folder).free, store.work_limit or sys.maxsize)
    each = (free / max(1, runs) - ROOM) / 2
    text = f"{free / (1 << 30):.1f} GiB for {store.folder}: {runs} runs at once, of videos up to "
    text += f"{max(0.0, each) / (1 << 30):.1f} GiB each"
    if each >= _SMALL_VIDEO:
        return Diagnosis("scratch", "good", text)
    advice = f"Expected: {_SMALL_VIDEO >> 30} GiB each. Set DUALFACE_WORK to a larger disk, raise DUALFACE_WORK_LIMIT, "
    advice += "or have fewer runs at once."
    return Diagnosis("scratch", "problem" if each <= 0 else "warning", f"{text}. {advice}")


def is_postgres(instance: dg.DagsterInstance) -> bool:
    """Whether the records are in PostgreSQL."""
    return type(instance.run_storage).__name__.startswith("Postgres")


def examine(instance: dg.DagsterInstance, store: VideoStore) -> Iterator[Diagnosis]:
    """Check whatever of it this instance has."""
    hosts: dict[str, Host] = {}
    remote: Any = store.files
    files = remote if isinstance(remote, RemoteFiles) else None
    if is_postgres(instance):
        yield database(instance)
    if files is not None:
        yield from bucket(files, store)
    if store.inbox_url:
        yield inbox_bucket(store)
    celery: Celery | None = getattr(instance.run_launcher, "celery", None)
    if celery is not None:
        yield from workers(celery, instance, hosts)
        yield scratch(store, int(celery.conf.worker_concurrency or 1))
    yield clocks(instance, files, hosts)
