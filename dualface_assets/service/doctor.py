"""`python -m dualface_assets.service.doctor`: whether everything is set up, and what to do where it is not.

Belongs here: questions about a machine and its instance, each with an answer for people. It changes nothing. What a
setting means is said where the setting is; what NVENC can do is found out by those who use it; what is asked of other
machines is in `doctor_of_hosts`.
"""

from __future__ import annotations

import dataclasses
import os
import shutil
import sys
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

import dagster as dg
import psutil
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from dualface_assets.housekeeping.retention import Retention
from dualface_assets.notifications.webhook import Webhook
from dualface_assets.runs.earlier_encodes import NVENC
from dualface_assets.runs.instance_locks import spans_hosts
from dualface_assets.service.clock import TOLERATED, ticks_ahead
from dualface_assets.service.diagnosis import Diagnosis, Verdict
from dualface_assets.service.instance_home import CONFIGURATION, instance_home, opened_instance
from dualface_assets.service.only_daemon import daemon_host
from dualface_assets.settings import ServiceSettings, WebhookSettings, local_folder
from dualface_assets.store.video_store import VideoStore, video_store
from dualface_core.engine.cores import CoreBudget
from dualface_core.errors import DualfaceError, SettingsError
from dualface_core.rendering.choice import choose_encoder
from dualface_core.settings import Settings

_COLORS: Final[Mapping[Verdict, str]] = {"good": "green", "warning": "yellow", "problem": "red"}
_NETWORK_DRIVES: Final = frozenset({"nfs", "nfs4", "cifs", "smb3", "smbfs", "9p", "fuse.sshfs", "afs", "ceph"})
_HEARTBEAT_PATIENCE: Final = 120.0
"""Seconds. A daemon that lives says so every 30."""

_LOW_SPACE: Final = 10 << 30
_NO_SPACE: Final = 1 << 30
"""Bytes. What a run renders lies in the store a second time until it is published."""


def main() -> int:
    """Show all answers. The exit status is 1 if there is a problem, 2 if the settings or DAGSTER_HOME make no sense."""
    try:
        home = instance_home()
        if not home.exists():
            raise SettingsError(f"There is no DAGSTER_HOME {str(home)!r} yet. It is made by: make up")
        settings, service = Settings.load(), ServiceSettings.load()
        with opened_instance() as instance:
            answers = list(examine(settings, service, instance))
    except DualfaceError as error:
        print(error, file=sys.stderr)
        return 2
    table = Table(show_header=False, box=None)
    for column in ("verdict", "subject", "text"):
        table.add_column(column, overflow="fold")
    for answer in answers:
        color = _COLORS[answer.verdict]
        table.add_row(f"[{color}]{answer.verdict}[/]", answer.subject, escape(answer.text))
    Console().print(table)
    return int(any(answer.verdict == "problem" for answer in answers))


def examine(settings: Settings, service: ServiceSettings, instance: dg.DagsterInstance) -> Iterator[Diagnosis]:
    """Check everything. Takes a few seconds, since NVENC is really tried where the answer isn't known yet."""
    store = video_store(service)
    if missing := store.why_missing(instance):
        yield Diagnosis("store", "problem", f"Uploads and runs wait. {missing}")
    else:
        yield from folders(settings, store, service.outbox_folder)
        yield disk_space(store)
    yield retention(service)
    yield from models(settings)
    yield cores(settings)
    yield encoder(settings)
    yield from configuration(instance)
    yield pool(instance, settings)
    if not missing and _has_several_hosts(instance, store):
        from dualface_assets.service import doctor_of_hosts  # which others have no need of

        yield from doctor_of_hosts.examine(instance, store)
    yield daemon(instance)
    yield sensors(instance)
    yield clock(instance)
    yield notifications()


def _has_several_hosts(instance: dg.DagsterInstance, store: VideoStore) -> bool:
    """Whether anything of the instance is on another machine, or may be."""
    postgres = type(instance.run_storage).__name__.startswith("Postgres")
    own_processes = isinstance(instance.run_launcher, dg.DefaultRunLauncher)
    return postgres or not own_processes or local_folder(store.root) is None or store.inbox_url is not None


def folders(settings: Settings, store: VideoStore, outbox: Path | None = None) -> Iterator[Diagnosis]:
    """Whether every folder can be written to, and whether uploads can be moved rather than copied."""
    remote = local_folder(store.root) is None
    if remote:
        yield _remote_store(store)
    named = {
        "work" if remote else "store": (store.folder, "DUALFACE_WORK" if remote else "DUALFACE_STORE"),
        "inbox": (store.inbox_folder, "DUALFACE_INBOX"),
        "runtime": (settings.runtime, "DUALFACE_RUNTIME"),
        "cache": (settings.cache, "DUALFACE_CACHE"),
    }
    if outbox is not None:
        named["outbox"] = (outbox, "DUALFACE_OUTBOX")
    for name, (folder, variable) in named.items():
        existing = _nearest(folder)
        if not existing.is_dir():
            yield Diagnosis(name, "problem", f"{folder}: {existing} is no folder. Set {variable} to one.")
        elif folder is outbox and existing != folder:
            yield Diagnosis(name, "problem", f"{folder} is not there, and is not made. Create it, or mount its disk.")
        elif not os.access(existing, os.W_OK | os.X_OK):
            advice = f"Change its permissions, or set {variable}."
            yield Diagnosis(name, "problem", f"{folder}: no permission to write to {existing}. {advice}")
        else:
            yield Diagnosis(name, "good", f"{folder}" if existing == folder else f"{folder}: will be made")
    if _nearest(store.folder).stat().st_dev != _nearest(store.inbox_folder).stat().st_dev:
        advice = "so uploads are copied, which takes time and space. Have both on one if you can."
        both = "the folder for work" if remote else "store"
        yield Diagnosis("inbox", "warning", f"Inbox and {both} are on different file systems, {advice}")


def _remote_store(store: VideoStore) -> Diagnosis:
    """Whether a remote store answers."""
    try:
        store.files.check()
        videos = len(store.video_keys())
    except DualfaceError as error:
        return Diagnosis("store", "problem", str(error))
    return Diagnosis("store", "good", f"{store.files.address(store.folder)} answers: {videos} videos")


def disk_space(store: VideoStore) -> Diagnosis:
    """Whether there is room for results."""
    free = shutil.disk_usage(_nearest(store.folder)).free
    text = f"{free / (1 << 30):.1f} GiB free in {store.folder}"
    if free >= _LOW_SPACE:
        return Diagnosis("disk space", "good", text)
    return Diagnosis(
        "disk space", "problem" if free < _NO_SPACE else "warning", f"{text}. Free some, or move the store."
    )


def retention(settings: ServiceSettings) -> Diagnosis:
    """What is deleted by itself."""
    kept = Retention.of(settings)
    days = {name: days for name, days in dataclasses.asdict(kept).items() if days is not None}
    if not days:
        return Diagnosis("retention", "good", "Everything is kept for ever. Set DUALFACE_KEEP_... to change that.")
    return Diagnosis("retention", "good", ", ".join(f"{name} are kept for {n:g} days" for name, n in days.items()))


def models(settings: Settings) -> Iterator[Diagnosis]:
    """Whether both networks' files are there, and are what they should be."""
    from dualface_core.faces.weights import SFACE, YUNET, read_weights

    for model, path in ((YUNET, settings.detector_weights), (SFACE, settings.embedder_weights)):
        try:
            yield Diagnosis("model", "good", f"{model.title}: {read_weights(model, path).path}")
        except DualfaceError as error:
            yield Diagnosis("model", "problem", str(error))


def cores(settings: Settings) -> Diagnosis:
    """How many cores all videos on this host share, and whether they can."""
    budget = CoreBudget(settings.runtime, cores=settings.cores)
    if budget.folder is None:
        advice = "Give dualface a folder of its own as DUALFACE_RUNTIME."
        return Diagnosis("cores", "warning", f"Runs do not share them: {settings.runtime} cannot be used. {advice}")
    return Diagnosis("cores", "good", f"{budget.cores} for all videos together, {budget.in_use} in use now")


def encoder(settings: Settings) -> Diagnosis:
    """Who would encode a video now."""
    try:
        choice = choose_encoder(settings)
    except DualfaceError as error:
        return Diagnosis("encoder", "problem", str(error))
    if choice.nvenc:
        sessions = f"{settings.nvenc_max_sessions} sessions at once"
        return Diagnosis("encoder", "good", f"NVENC, {sessions}, driver {choice.driver}. `dualface gpu` says more.")
    return Diagnosis("encoder", "good", f"Software. {choice.why or 'The settings say so.'}")


def configuration(instance: dg.DagsterInstance) -> Iterator[Diagnosis]:
    """Whether the instance is ours, lies on a local drive, retries, and recovers runs that die."""
    home, database = Path(instance.root_directory), type(instance.run_storage).__name__.removesuffix("RunStorage")
    if not (home / "dagster.yaml").exists():
        advice = f"Start the service, which brings it, or copy {CONFIGURATION} there."
        yield Diagnosis("instance", "problem", f"{home} has no dagster.yaml. {advice}")
    else:
        elsewhere = "" if database == "Sqlite" else f", its records in {database}"
        yield Diagnosis("instance", "good", f"{home}{elsewhere}")
    if (drive := _drive(home)) in _NETWORK_DRIVES:
        lost = "SQLite loses data" if database == "Sqlite" else "The locks of this host's runs may not hold"
        advice = f"{lost} there. Set DAGSTER_HOME to a local folder."
        yield Diagnosis("instance", "problem", f"{home} is on a network drive ({drive}). {advice}")
    needed = {
        "run_retries": ("enabled",),
        "run_monitoring": ("enabled", "free_slots_after_run_end_seconds", "max_runtime_seconds"),
    }
    found = {part: instance.get_settings(part) or {} for part in needed}
    missing = [f"{part}.{name}" for part, names in needed.items() for name in names if not found[part].get(name)]
    if not instance.run_launcher.supports_check_run_worker_health:
        missing.append("run_launcher")
    if missing:
        advice = f"Set {', '.join(missing)} in {home / 'dagster.yaml'}, as in {CONFIGURATION}."
        yield Diagnosis("recovery", "problem", f"What fails is not tried again, or keeps its slot. {advice}")
    else:
        yield Diagnosis("recovery", "good", "Failed runs are tried again, and dead ones give back their slots.")


def pool(instance: dg.DagsterInstance, settings: Settings) -> Diagnosis:
    """Whether the pool is really limited, and to as many slots as there are sessions."""
    pools = instance.get_concurrency_config().pool_config
    limits = {limit.name: limit.limit for limit in instance.event_log_storage.get_pool_limits()}
    limit = limits.get(NVENC, pools.default_pool_limit)
    sessions = settings.nvenc_max_sessions
    command = f"Run: dagster instance concurrency set {NVENC} {sessions}"
    if limit is None:
        return Diagnosis("pool", "problem", f"Nothing limits the pool {NVENC!r}. {command}")
    if pools.pool_granularity is not None and pools.pool_granularity.value != "op":
        advice = "Set concurrency.pools.granularity to op in dagster.yaml."
        return Diagnosis("pool", "problem", f"Whole runs take slots, so software encodes would wait, too. {advice}")
    if not isinstance(instance.run_launcher, dg.DefaultRunLauncher):  # which starts runs on this host
        return Diagnosis("pool", "good", f"{NVENC}: {limit} at once, over all hosts")
    if limit > sessions > 0:
        waiting = f"so {limit - sessions} may wait for a session in vain"
        return Diagnosis("pool", "warning", f"{limit} runs may use NVENC at once, {waiting}. {command}")
    if limit < sessions:
        return Diagnosis("pool", "warning", f"{limit} of {sessions} NVENC sessions are used at most. {command}")
    return Diagnosis("pool", "good", f"{NVENC}: {limit} at once")


def daemon(instance: dg.DagsterInstance) -> Diagnosis:
    """Whether the daemon lives: it takes uploads, starts runs and tries again."""
    beats = instance.get_daemon_heartbeats()
    fresh = {kind for kind, beat in beats.items() if time.time() - beat.timestamp < _HEARTBEAT_PATIENCE}
    late = sorted(set(instance.get_required_daemon_types()) - fresh)
    if not late and (two := _one_daemon({kind: beats[kind] for kind in fresh})):
        return two
    if not late and spans_hosts(instance):
        if where := daemon_host(instance):
            return Diagnosis("daemon", "good", f"running {where}")
        advice = "Nothing keeps a second one away but care: its log says so when there is another."
        return Diagnosis("daemon", "warning", f"One runs that `serve` has not started. {advice}")
    if not late:
        return Diagnosis("daemon", "good", "running")
    if beats.keys() - late:
        advice = "If it stays like this, end `make up` and start it again."
        return Diagnosis("daemon", "problem", f"Parts of it do not answer: {', '.join(late).lower()}. {advice}")
    return Diagnosis(
        "daemon", "problem", "Not running: uploads stay where they are, and nothing is tried again. Start it: make up"
    )


def _one_daemon(beats: Mapping[str, Any]) -> Diagnosis | None:
    """Whether all parts of the daemon are of one process. Two of them start each run twice."""
    ids: dict[str | None, list[float]] = {}
    for beat in beats.values():
        ids.setdefault(beat.daemon_id, []).append(beat.timestamp)
    if len(ids) < 2:
        return None
    found = f"{len(ids)} daemons have shown themselves within {_HEARTBEAT_PATIENCE:.0f} s; expected: one"
    *_, newest = sorted(ids.values(), key=max)
    if all(max(times) < min(newest) for times in ids.values() if times is not newest):
        return Diagnosis("daemon", "warning", f"{found}. If it was started again just now, ask again in two minutes.")
    advice = "Have one host alone run dualface_assets.service.serve or dagster-daemon, and end the others."
    return Diagnosis("daemon", "problem", f"{found}. {advice}")


def sensors(instance: dg.DagsterInstance) -> Diagnosis:
    """Whether a sensor or schedule was switched off in the web page; all are on by default."""
    from dualface_assets.definitions import defs  # not before it is known that the settings are allowed

    ours = {each.name for each in (*(defs.sensors or ()), *(defs.schedules or ()))}
    states = instance.all_instigator_state()
    stopped = sorted(ours & {each.instigator_name for each in states if each.status.value == "STOPPED"})
    if stopped:
        advice = "Switch on under Automation in the web page."
        return Diagnosis("sensors", "warning", f"Switched off: {', '.join(stopped)}. {advice}")
    return Diagnosis("sensors", "good", "on")


def clock(instance: dg.DagsterInstance) -> Diagnosis:
    """Whether anything has happened in the future, by the clock of now."""
    ahead = {
        **ticks_ahead(instance, time.time()),
        **{
            f"the heartbeat of {kind.lower()}": beat.timestamp - time.time()
            for kind, beat in instance.get_daemon_heartbeats().items()
            if beat.timestamp - time.time() > TOLERATED
        },
    }
    if not ahead:
        return Diagnosis("clock", "good", "no tick lies in the future")
    found = f"{max(ahead.values()) / 3600:.1f} hours ahead of the clock: {', '.join(sorted(ahead))}"
    advice = "Dagster waits until the clock has caught up, unless `make up` is started again."
    return Diagnosis("clock", "problem", f"Set back? {found}. {advice}")


def notifications() -> Diagnosis:
    """Who is notified of finished and failed videos, and whether the recipient can know the sender."""
    try:
        webhook = Webhook.configured(WebhookSettings.load())
    except DualfaceError as error:
        return Diagnosis("notifications", "problem", str(error))
    if webhook is None:
        return Diagnosis("notifications", "good", "There is no recipient: DUALFACE_WEBHOOK_URL is not set.")
    if webhook.secret is None:
        advice = "Set DUALFACE_WEBHOOK_SECRET, so that the recipient can know who sent them."
        return Diagnosis("notifications", "warning", f"Messages to {webhook.recipient} are not signed. {advice}")
    return Diagnosis("notifications", "good", f"Signed messages go to {webhook.recipient}.")


def _nearest(folder: Path) -> Path:
    """The folder itself, or what there is of the way to it."""
    folder = folder.absolute()
    return next(path for path in (folder, *folder.parents) if path.exists())


def _drive(folder: Path) -> str:
    """The kind of file system that a folder is on."""
    above = {*map(str, folder.parents), str(folder)}
    mounts = [mount for mount in psutil.disk_partitions(all=True) if mount.mountpoint in above]
    return max(mounts, key=lambda mount: len(mount.mountpoint)).fstype if mounts else ""


if __name__ == "__main__":
    sys.exit(main())
