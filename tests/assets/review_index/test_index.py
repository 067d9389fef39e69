from __future__ import annotations

import fcntl
import os
import re
import threading
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from dualface_assets.review_index.index import rebuild_index
from dualface_assets.review_index.records import FailureRecord, PageRecord
from dualface_assets.store.remote import RemoteFiles
from dualface_assets.store.video_store import VideoStore

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)


@pytest.fixture
def reviews(tmp_path: Path) -> Path:
    """The folder of all pages."""
    return tmp_path / "review"


def index_of(reviews: Path) -> Path:
    """Write the index anew."""
    return rebuild_index(VideoStore(root=str(reviews.parent)))


def page(
    key: str, *, made_at: datetime = NOON, name: str = "talk.mp4", warnings: list[str] | None = None
) -> PageRecord:
    return PageRecord(
        key=key, name=name, made_at=made_at, duration=60, encoder="libx264", size_bytes=1000, seconds=80,
        warnings=warnings or [],
    )  # fmt: skip


def failure(key: str, *, failed_at: datetime = NOON, name: str = "talk.mp4") -> FailureRecord:
    return FailureRecord(
        key=key, name=name, failed_at=failed_at, failure="unreadable-video", reason="It is no video.",
        action="Export it again.", run="0123456789", tried_again=False,
    )  # fmt: skip


def states(folder: Path) -> dict[str, str]:
    """Each key of the index with its state, in the order of the rows."""
    html = index_of(folder).read_text()
    rows = re.findall(r'<tr data-state="(\w+)">(.*?)</tr>', html, re.DOTALL)
    return {re.search(r'quiet small broken">([^<]+)<', row)[1]: state for state, row in rows}


def test_all_videos_are_listed_the_latest_first(reviews: Path) -> None:
    for number in (2, 1, 3):
        made = page(f"v-{number}", made_at=NOON + timedelta(hours=number), warnings=["Look."] if number == 2 else [])
        made.write(reviews / f"v-{number}")
    failure("v-4").write(reviews / "v-4")
    assert list(states(reviews).items()) == [
        ("v-3", "passed"),
        ("v-2", "warning"),
        ("v-1", "passed"),
        ("v-4", "error"),
    ]


def test_a_failed_video_is_listed_with_its_reason(reviews: Path) -> None:
    failure("v-1").write(reviews / "v-1")
    html = index_of(reviews).read_text()
    for text in ("It is no video.", "Export it again.", "unreadable-video", "run 01234567"):
        assert text in html
    assert "<a href" not in html


def test_a_success_makes_the_failures_before_it_void(reviews: Path) -> None:
    failure("v-1", failed_at=NOON - timedelta(seconds=1)).write(reviews / "v-1")
    page("v-1").write(reviews / "v-1")
    assert states(reviews) == {"v-1": "passed"}
    assert "It is no video." not in index_of(reviews).read_text()


def test_a_result_with_a_later_failure_keeps_its_page(reviews: Path) -> None:
    failure("v-1", failed_at=NOON + timedelta(seconds=1)).write(reviews / "v-1")
    page("v-1").write(reviews / "v-1")
    html = index_of(reviews).read_text()
    assert 'href="v-1/index.html"' in html
    assert "A later run failed. It is no video." in html
    assert states(reviews) == {"v-1": "warning"}


def test_a_record_that_is_damaged_does_not_hide_the_others(reviews: Path) -> None:
    page("v-1").write(reviews / "v-1")
    for name, content in (("v-2", b""), ("v-3", b"\xff{"), ("v-4", b'{"key": 1}')):
        (reviews / name).mkdir()
        (reviews / name / PageRecord.FILE).write_bytes(content)
    unnamable = reviews / os.fsdecode(b"\xff")
    unnamable.mkdir()
    (unnamable / PageRecord.FILE).write_text(page("v-5").model_dump_json())
    (reviews / "v-5").mkdir()
    (reviews / "a file.txt").touch()
    assert states(reviews) == {"v-1": "passed"}


def test_an_index_that_was_deleted_comes_back(reviews: Path) -> None:
    page("v-1").write(reviews / "v-1")
    before = states(reviews)
    (reviews / "index.html").unlink()
    assert states(reviews) == before
    assert sorted(path.name for path in reviews.iterdir()) == ["index.html", "v-1"]


def test_an_index_of_nothing_says_so(reviews: Path) -> None:
    assert "No video has been through the pipeline yet" in index_of(reviews).read_text()


def test_of_two_that_end_at_once_the_later_one_sees_both(reviews: Path) -> None:
    page("v-1").write(reviews / "v-1")
    index_of(reviews)
    with (reviews.parent / "locks" / "index").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        other = threading.Thread(target=index_of, args=(reviews,))
        other.start()
        other.join(0.3)
        assert other.is_alive()  # it waits, and looks at the folder only when it has the lock
        page("v-2").write(reviews / "v-2")
    other.join()
    assert "v-2/index.html" in (reviews / "index.html").read_text()


@pytest.mark.parametrize("name", ["</td><script>alert(1)</script>", '" onload="alert(1)', "\u202egnp.4pm \U0001f3ac"])
def test_a_hostile_name_is_shown_and_nothing_else(reviews: Path, name: str) -> None:
    page("v-1", name=name).write(reviews / "v-1")
    failure("v-2", name=name).write(reviews / "v-2")
    html = index_of(reviews).read_text()
    assert html.count("<script>") == 1
    assert 'onload="' not in html
    assert html.count("<tr ") == 2


def test_a_key_in_any_script_is_a_link_that_works(reviews: Path) -> None:
    key = "인터뷰-é-0123456789"
    page(key).write(reviews / key)
    (reviews / key / "thumbnail.jpg").touch()
    html = index_of(reviews).read_text()
    assert 'href="%EC%9D%B8%ED%84%B0%EB%B7%B0-%C3%A9-0123456789/index.html"' in html
    assert 'src="%EC%9D%B8%ED%84%B0%EB%B7%B0-%C3%A9-0123456789/thumbnail.jpg"' in html


def test_the_index_shows_what_another_host_has_made_and_not_what_it_has_removed(tmp_path: Path) -> None:
    first = "a-0123456789"
    one, other = (
        VideoStore(root=f"lan://{tmp_path}/far", inbox=str(tmp_path / "inbox"), work=str(tmp_path / name))
        for name in ("one", "other")
    )
    for store, key in ((one, first), (other, "b-0123456789")):
        page(key).write(store.page_folder(key))
        store.files.share(store.page_folder(key))
    assert first in rebuild_index(other).read_text()
    failure(first, failed_at=NOON + timedelta(hours=1)).write(one.page_folder(first))
    one.files.share(one.page_folder(first))
    assert 'data-state="warning"' in rebuild_index(other).read_text()
    one.files.move_to_trash(one.page_folder(first), one.private_folder("trash"))
    assert first not in rebuild_index(other).read_text()


def test_two_hosts_that_make_the_index_at_once_do_not_miss_one_another_s_video(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    slow, quick = (
        VideoStore(root=f"lan://{tmp_path}/far", inbox=str(tmp_path / "inbox"), work=str(tmp_path / name))
        for name in ("slow", "quick")
    )
    share = RemoteFiles.share
    for store, key in ((slow, "a-0123456789"), (quick, "b-0123456789")):
        page(key).write(store.page_folder(key))
    slow.files.share(slow.page_folder("a-0123456789"))

    def meanwhile(files: RemoteFiles, path: Path) -> None:
        """When one has read the records and is about to send its index, the other one does all that it has to do."""
        monkeypatch.setattr(RemoteFiles, "share", share)
        quick.files.share(quick.page_folder("b-0123456789"))
        rebuild_index(quick)
        files.share(path)

    monkeypatch.setattr(RemoteFiles, "share", meanwhile)
    rebuild_index(slow)
    index = (tmp_path / "far" / "review" / "index.html").read_text()
    assert "a-0123456789" in index
    assert "b-0123456789" in index
