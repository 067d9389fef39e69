"""How much of a host's disk runs may take: of a remote store each run copies its video to the folder for work."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from dualface_assets.store.video_store import NoRoomError, VideoStore

GIB = 1 << 30
VIDEO = 2 * GIB
"""Bytes; a run needs three times as many, and 256 MiB."""


class Run:
    """A run on a host with a limit of 15 GiB: as much of one as takes room."""

    def __init__(self, folder: Path, run_id: str, limit: int | None = 15 * GIB) -> None:
        self.store = VideoStore(
            root="memory://room/videos", inbox=str(folder / "inbox"), work=str(folder / "work"), work_limit=limit
        )
        self.store._run_id = run_id
        self.folder = self.store.scratch_folder / run_id

    def take(self, size: int) -> None:
        """Write a (sparse) file of so many bytes."""
        with (self.folder / f"{size}").open("wb") as file:
            file.truncate(size)


def test_runs_wait_that_together_would_exceed_the_limit(tmp_path: Path) -> None:
    first, second, third = (Run(tmp_path, name) for name in ("first", "second", "third"))
    first.store.require_room(VIDEO)
    second.store.require_room(VIDEO)
    with pytest.raises(NoRoomError, match=r"6\.2 GiB are needed, 2\.5 GiB of DUALFACE_WORK_LIMIT are left"):
        third.store.require_room(VIDEO)
    assert third.store.why_no_room(VIDEO // 4) is None
    (first.folder / ".room").unlink()  # as when it is over
    third.store.require_room(VIDEO)


def test_what_a_run_has_taken_already_is_not_asked_for_twice(tmp_path: Path) -> None:
    only = Run(tmp_path, "only", limit=8 * GIB)
    only.store.require_room(VIDEO)
    only.take(VIDEO)
    only.store.require_room(VIDEO)
    only.take(VIDEO + 1)
    other = Run(tmp_path, "other", limit=8 * GIB)
    assert "1.8 GiB of DUALFACE_WORK_LIMIT" in (other.store.why_no_room(VIDEO) or "")


def test_what_killed_runs_have_left_counts_until_it_is_removed(tmp_path: Path) -> None:
    killed, other = Run(tmp_path, "killed"), Run(tmp_path, "other")
    killed.store.require_room(VIDEO)
    killed.take(12 * GIB)
    (killed.folder / ".room").unlink()
    assert "3.0 GiB of DUALFACE_WORK_LIMIT" in (other.store.why_no_room(VIDEO) or "")


def test_without_a_limit_the_disk_is_one_and_keeps_what_was_promised(tmp_path: Path) -> None:
    first, second = Run(tmp_path, "first", limit=None), Run(tmp_path, "second", limit=None)
    quarter = shutil.disk_usage(tmp_path).free // 4
    first.store.require_room(quarter)
    assert "are free" in (second.store.why_no_room(quarter) or "")
