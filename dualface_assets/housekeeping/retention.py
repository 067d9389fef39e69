"""Retention: what of a video may be deleted after how long, and carrying that out.

Belongs here: the rules: what has expired. How it is deleted is in `deletion`.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Final, Literal, Self

import dagster as dg

from dualface_assets.housekeeping.deletion import (
    Deletion,
    Part,
    empty_trash,
    move_into_trash,
    parts_of,
    undisturbed,
    why_kept,
)
from dualface_assets.review_index.index import rebuild_index
from dualface_assets.review_index.records import RemovalRecord
from dualface_assets.settings import ServiceSettings
from dualface_assets.store.video_store import VideoStore
from dualface_core.errors import DualfaceError

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
        with undisturbed(store, instance):
            if reason := why_kept(store, key, instance):
                outcome.left_alone[key] = reason
                continue
            overdue = _overdue(store, key, retention, now)  # again, since a moment ago it could still be uploaded
            if not dry_run:
                _note_on_the_page(store, key, overdue, now)
            for part, why in overdue.items():
                paths = parts_of(store, key)[part]
                outcome.deleted.append(Deletion(key, part, sum(map(store.files.size, paths)), why))
                if not dry_run:
                    move_into_trash(store, key, paths)
    if not dry_run:
        empty_trash(store, instance)
        if any(deletion.part in {"page", *_SHOWN} for deletion in outcome.deleted) and store.review_folder.exists():
            rebuild_index(store)
    return outcome


def _overdue(store: VideoStore, key: str, retention: Retention, now: float) -> dict[Part, str]:
    """The parts that have expired, each with the reason in words."""
    present = parts_of(store, key)
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


def _uploaded_at(store: VideoStore, key: str) -> list[float]:
    try:
        return [datetime.fromisoformat(store.upload(key).claimed_at).timestamp()]
    except DualfaceError:
        return []  # it was deleted earlier


def _note_on_the_page(store: VideoStore, key: str, overdue: Mapping[Part, str], now: float) -> None:
    """Note for the index which video goes, unless the page does, too: first, so that a kill loses nothing."""
    going: list[Literal["upload", "result"]] = [part for part in _SHOWN if part in overdue]
    if going and "page" not in overdue and parts_of(store, key)["page"]:
        record = RemovalRecord(part=going[0], removed_at=datetime.fromtimestamp(now, UTC))
        store.files.share(record.write(store.page_folder(key)))
