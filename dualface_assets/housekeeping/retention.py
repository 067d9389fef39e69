"""Retention: what of a video may be deleted after how long, and deleting it.

Belongs here: the rules, and carrying them out so that nothing which is in use is touched, whenever a run begins or an
upload arrives, and wherever the process that deletes is killed. Three things make that so:

- While one video is judged and its files are moved into `trash/KEY/`, no upload is taken and no run begins: both
  wait for a lock, for as long as a few renames take. A run that began before is seen, and the video is left alone.
- What is in the trash is removed afterwards. A folder in there also says that the video's partition may have to go, so
  a process that is killed in between has its work finished by the next one.
- An upload whose claim isn't settled belongs to a run that is yet to come. The video is left alone, too.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Final, Literal, Self

import dagster as dg

from dualface_assets.review_index.index import rebuild_index
from dualface_assets.review_index.records import RemovalRecord
from dualface_assets.runs.in_use import why_in_use
from dualface_assets.settings import ServiceSettings
from dualface_assets.store.files import empty
from dualface_assets.store.partitions import is_key, videos
from dualface_assets.store.tables import TABLES
from dualface_assets.store.video_store import VideoStore
from dualface_assets.uploads.intake import claimed_keys, taking_uploads
from dualface_core import pipeline
from dualface_core.errors import DualfaceError

Part = Literal["upload", "tables", "result", "page", "report"]

_SHOWN: Final[tuple[Literal["upload", "result"], ...]] = ("upload", "result")
_DAY: Final = 86_400.0


@dataclass(frozen=True)
class Retention:
    """For how many days each part of a video is kept; None for ever.

    Attributes:
        uploads: the video as it came, since its result was published.
        tables: face tracks and tile plans, since then.
        results: the result itself, since then.
        unfinished: upload and tables of a video that has had no result, since anything was last done with it.
    """

    uploads: float | None = None
    tables: float | None = None
    results: float | None = None
    unfinished: float | None = None

    @classmethod
    def of(cls, settings: ServiceSettings) -> Self:
        """What the settings say."""
        return cls(settings.keep_uploads, settings.keep_tables, settings.keep_results, settings.keep_unfinished)

    @property
    def for_ever(self) -> bool:
        """Whether nothing may be deleted at all."""
        return self == Retention()


@dataclass(frozen=True)
class Deletion:
    """One part of a video that was deleted, or would be."""

    key: str
    part: Part
    size_bytes: int
    why: str


@dataclass(frozen=True)
class RetentionOutcome:
    """What was deleted, and what was left alone although its time had come: keys with the reason."""

    deleted: list[Deletion] = field(default_factory=list)
    left_alone: dict[str, str] = field(default_factory=dict)


def delete_expired(
    store: VideoStore,
    instance: dg.DagsterInstance,
    retention: Retention,
    *,
    dry_run: bool = False,
    now: float | None = None,
) -> RetentionOutcome:
    """Delete everything that has expired, and partitions of which nothing is left.

    Args:
        store: where to delete.
        instance: knows what is at work on each video.
        retention: how long things are kept.
        dry_run: only say what would be deleted.
        now: the time by which ages are judged, in seconds since the epoch; the clock's if None.
    """
    now = time.time() if now is None else now
    outcome = RetentionOutcome()
    for key in sorted(store.known_keys()):
        overdue = _overdue(store, key, retention, now)
        if not overdue:
            continue
        if "upload" in overdue and store.files.exists(store.result_path(key)) and not store.has_result(key):
            outcome.left_alone[key] = "its result is not what its report says, so it can only be made again"
            continue
        with _undisturbed(store):
            if reason := _why_not(store, key, instance):
                outcome.left_alone[key] = reason
                continue
            overdue = _overdue(store, key, retention, now)  # again, since a moment ago it could still be uploaded
            if not dry_run:
                _note_on_the_page(store, key, overdue, now)
            for part, why in overdue.items():
                paths = _present(store, key)[part]
                outcome.deleted.append(Deletion(key, part, sum(map(store.files.size, paths)), why))
                if not dry_run:
                    _move_into_trash(store, key, paths)
    if not dry_run:
        _empty_trash(store, instance)
        if any(deletion.part in {"page", *_SHOWN} for deletion in outcome.deleted) and store.review_folder.exists():
            store.files.share(rebuild_index(store.review_folder))
    return outcome


def _overdue(store: VideoStore, key: str, retention: Retention, now: float) -> dict[Part, str]:
    """The parts that have expired, each with the reason in words."""
    present = _present(store, key)
    published = [store.files.modified(path) for path in present["result"][:1] or present["report"]]
    # A video that is uploaded again is wanted, so all its times begin anew.
    signs = published + _uploaded_at(store, key)
    limits: dict[Part, float | None] = {"upload": retention.unfinished, "tables": retention.unfinished}
    if published:
        limits = {"upload": retention.uploads, "tables": retention.tables, "result": retention.results}
    else:
        signs += [store.files.modified(path) for paths in present.values() for path in paths]
    age = (now - max(signs, default=now)) / _DAY
    since = "published" if published else "last worked on, without a result,"
    overdue: dict[Part, str] = {
        part: f"{since} {age:.1f} days ago, and to be kept for {limit:g} days"
        for part, limit in limits.items()
        if present[part] and limit is not None and age >= limit
    }
    # The page shows frames of both.
    shown = [part for part in _SHOWN if present[part] and part not in overdue]
    if present["page"] and not shown and any(limits.get(part) is not None for part in _SHOWN):
        overdue["page"] = "neither the upload nor the result is left"
    # The report says when the result was published, for as long as something is kept by that time.
    if present["report"] and all(part in overdue or not paths for part, paths in present.items() if part != "report"):
        overdue["report"] = "nothing else of this video is left"
    return overdue


def _present(store: VideoStore, key: str) -> dict[Part, list[Path]]:
    """The files and folders that there are of each part of a video."""
    result = store.result_path(key)
    parts: dict[Part, list[Path]] = {
        "upload": [store.video_folder(key)],
        "tables": [store.table_path(table, key) for table in TABLES],
        "result": [result, pipeline.load_path(result)],
        "page": [store.page_folder(key)],
        "report": [pipeline.report_path(result)],
    }
    return {part: [path for path in paths if store.files.exists(path)] for part, paths in parts.items()}


def _uploaded_at(store: VideoStore, key: str) -> list[float]:
    try:
        return [datetime.fromisoformat(store.upload(key).claimed_at).timestamp()]
    except DualfaceError:
        return []  # it was deleted earlier


def _why_not(store: VideoStore, key: str, instance: dg.DagsterInstance) -> str | None:
    if key in claimed_keys(store):
        return "it was uploaded again, and its run is yet to come"
    return why_in_use(key, instance)


@contextmanager
def _undisturbed(store: VideoStore) -> Iterator[None]:
    """For the length of the block, no upload is taken and no run begins its first step."""
    with taking_uploads(store, wait=True), store.no_run_begins():
        yield


def _note_on_the_page(store: VideoStore, key: str, overdue: Mapping[Part, str], now: float) -> None:
    """Note for the index which video goes, unless the page does, too: first, so that a kill loses nothing."""
    going: list[Literal["upload", "result"]] = [part for part in _SHOWN if part in overdue]
    if going and "page" not in overdue and _present(store, key)["page"]:
        record = RemovalRecord(part=going[0], removed_at=datetime.fromtimestamp(now, UTC))
        store.files.share(record.write(store.page_folder(key)))


def _move_into_trash(store: VideoStore, key: str, paths: list[Path]) -> None:
    folder = store.trash_folder / key
    folder.mkdir(parents=True, exist_ok=True)
    for path in paths:
        store.files.move_to_trash(path, folder)


def _empty_trash(store: VideoStore, instance: dg.DagsterInstance) -> None:
    """Remove what was moved there, now or by a process that was killed; and partitions of which nothing is left."""
    folders = [path for path in store.trash_folder.glob("*") if is_key(path.name)]
    for folder in folders:
        empty(folder)
        with _undisturbed(store):
            if _why_not(store, folder.name, instance):
                continue  # the next scan finds out whether something of it is left
            if not any(_present(store, folder.name).values()):
                instance.delete_dynamic_partition(str(videos.name), folder.name)
                store.files.move_to_trash(store.result_path(folder.name).parent, folder)
                empty(folder)
            folder.rmdir()
