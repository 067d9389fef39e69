from __future__ import annotations

import hashlib
import os
import re
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dualface_assets.store.partitions import partition_key
from dualface_assets.store.video_store import Upload, VideoStore
from dualface_assets.uploads.claims import acknowledge, pending
from dualface_assets.uploads.inbox import Inbox
from dualface_assets.uploads.intake import Intake, add
from dualface_assets.uploads.source import Scan
from dualface_core.errors import MissingInputError, SettingsError
from tests.assets.conftest import eager
from tests.permissions import another_user_can, public_folder

Drop = Callable[..., Path]

AMPLE = 600.0
"""Seconds for a tick that must get all of its work done, however busy the machine is."""


def files(folder: Path) -> dict[str, bytes]:
    return {
        str(p.relative_to(folder)): p.read_bytes()
        for p in folder.rglob("*")
        if p.is_file() and p.parent.name != "locks"
    }


@pytest.fixture
def other_file_system(store: VideoStore) -> Iterator[VideoStore]:
    """A store whose inbox lies on another file system."""
    shared_memory = Path("/dev/shm")
    store.folder.mkdir(parents=True)
    if not os.access(shared_memory, os.W_OK) or shared_memory.stat().st_dev == store.folder.stat().st_dev:
        pytest.skip("there is only one file system")
    with tempfile.TemporaryDirectory(dir=shared_memory) as inbox:
        yield VideoStore(root=store.root, inbox=inbox)


def test_an_upload_on_another_disk_stays_there_until_there_is_room_for_it(small_disk: Path, tmp_path: Path) -> None:
    store = VideoStore(root=str(small_disk), inbox=str(tmp_path / "inbox"))
    store.inbox_folder.mkdir()
    (store.inbox_folder / "talk.mp4").write_bytes(b"a video")
    intake = eager()
    for _ in range(2):
        why = "cannot be taken (waits for room: 0.3 GiB are needed, 0.0 GiB are free)"
        assert intake.tick(store).waiting == {"talk.mp4": why}
    assert files(store.inbox_folder) == {"talk.mp4": b"a video"}


def test_a_file_of_two_names_is_one_video(store: VideoStore, drop: Drop, intake: Intake) -> None:
    os.link(drop("a.mp4"), store.inbox_folder / "b.mp4")
    for _ in range(2):
        intake.tick(store, seconds=AMPLE)
    assert len(store.video_keys()) == 1
    assert sorted(upload.name for upload in pending(store)) == ["a.mp4", "b.mp4"]
    assert files(store.inbox_folder) == {}
    assert not intake.tick(store, seconds=AMPLE).taken


def test_a_settled_claim_leaves_nothing_behind(store: VideoStore, drop: Drop, intake: Intake) -> None:
    drop("a.mp4")
    (upload,) = intake.tick(store, seconds=AMPLE).taken
    acknowledge(store, upload)
    assert pending(store) == []
    assert files(store.claims_folder) == {}


def test_a_copy_that_was_damaged_in_the_store_is_healed_by_uploading_again(
    store: VideoStore, drop: Drop, intake: Intake
) -> None:
    drop("a.mp4", b"content")
    (upload,) = intake.tick(store, seconds=AMPLE).taken
    store.video_path(upload.key).write_bytes(b"damaged")
    drop("again.mp4", b"content")
    intake.tick(store, seconds=AMPLE)
    assert store.video_path(upload.key).read_bytes() == b"content"


def test_different_content_never_shares_a_key(store: VideoStore, drop: Drop, intake: Intake) -> None:
    drop("a.mp4", b"content")
    (upload,) = intake.tick(store, seconds=AMPLE).taken
    # Make the store believe that a file with the same first ten digits is there already.
    other = upload.model_copy(update={"sha256": upload.sha256[:10] + "0" * 54})
    (store.video_folder(upload.key) / "video.json").write_text(other.model_dump_json())
    drop("a.mp4", b"content")
    (longer,) = intake.tick(store, seconds=AMPLE).taken
    assert longer.key == f"a-{upload.sha256[:20]}"
    assert store.upload(upload.key) == other


@pytest.mark.parametrize(
    ("name", "stored"),
    [
        (b"\xff\xfe.mp4", "video.mp4"),
        ("video.json", "video"),
        ("probe.json", "probe"),
        ("a.<b>", "a"),
        ("no suffix", "no-suffix"),
        ("-rf.mkv", "rf.mkv"),
        ("new\nline.mp4", "new-line.mp4"),
        ("\u202egnp.mp4", "gnp.mp4"),
        ("한" * 83 + ".mp4", "한" * 26 + ".mp4"),
    ],
)
def test_any_name_is_stored_harmlessly(store: VideoStore, drop: Drop, intake: Intake, name: str, stored: str) -> None:
    drop(name)
    (upload,) = intake.tick(store, seconds=AMPLE).taken
    assert upload.file == stored
    assert upload.name.isprintable()
    assert store.video_path(upload.key).read_bytes() == b"a video"


def test_an_upload_from_another_file_system_is_copied_and_then_removed(other_file_system: VideoStore) -> None:
    source = other_file_system.inbox_folder / "a.mp4"
    source.write_bytes(os.urandom(9 << 20))
    content = source.read_bytes()
    intake = eager()
    assert intake.tick(other_file_system, seconds=0).waiting == {"a.mp4": "being copied into the store"}
    assert source.exists()
    while not (taken := intake.tick(other_file_system, seconds=0).taken):
        pass
    assert other_file_system.video_path(taken[0].key).read_bytes() == content
    assert not source.exists()


def test_a_large_file_is_read_beside_the_ticks(store: VideoStore, drop: Drop, intake: Intake) -> None:
    drop("large.mp4", content := os.urandom(9 << 20))
    report = intake.tick(store, seconds=0)
    assert report.taken == []
    assert report.waiting.keys() == {"large.mp4"}
    assert re.fullmatch(r"being read \((44|89|100)%\)", report.waiting["large.mp4"])
    drop("small.mp4", b"small")
    taken: list[Upload] = []
    while len(taken) < 2:
        taken += intake.tick(store, seconds=0).taken
    assert {upload.name for upload in taken} == {"small.mp4", "large.mp4"}
    (large,) = (upload for upload in taken if upload.name == "large.mp4")
    assert large.sha256 == hashlib.sha256(content).hexdigest()


def test_a_file_that_changes_while_it_is_read_is_read_again(store: VideoStore, drop: Drop, intake: Intake) -> None:
    drop("large.mp4", os.urandom(9 << 20))
    intake.tick(store, seconds=0)
    (claim,) = (path for path in store.claims_folder.iterdir() if path.is_dir())
    (claim / "data").write_bytes(b"somebody had it open and has written it anew")
    while not (taken := intake.tick(store, seconds=0).taken):
        pass
    assert taken[0].sha256 == hashlib.sha256(b"somebody had it open and has written it anew").hexdigest()


def test_what_is_swapped_for_a_link_is_not_taken(store: VideoStore, drop: Drop, tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_bytes(b"a secret")
    upload = drop("a.mp4")

    class Swapped(Inbox):
        """Looks, and is deceived right after that."""

        def scan(self, folder: Path, *, beside: Path, most: int) -> Scan:
            found = super().scan(folder, beside=beside, most=most)
            if not upload.is_symlink():
                upload.unlink()
                upload.symlink_to(secret)
            return found

    deceived = eager(Swapped)
    for _ in range(3):
        assert deceived.tick(store, seconds=AMPLE).taken == []
    assert upload.is_symlink()
    assert files(store.folder) == {"inbox/a.mp4": b"a secret"}


@pytest.mark.parametrize("where", ["store", "copied"])
def test_no_file_is_taken_through_a_folder_that_another_user_has_swapped_for_a_link(where: str) -> None:
    with public_folder() as public, tempfile.TemporaryDirectory(dir="/dev/shm") as shared_memory:
        private, team = public / "private", public / "inbox" / "team"
        private.mkdir(mode=0o700)
        (private / "a.mp4").write_bytes(b"a video")  # as long and as old as the upload
        team.mkdir(parents=True)
        team.parent.chmod(0o777)
        (team / "a.mp4").write_bytes(b"a video")
        now = time.time_ns()
        for path in (private / "a.mp4", team / "a.mp4"):
            os.utime(path, ns=(now, now))

        class Swapped(Inbox):
            """Scans, and right after that another user swaps the folder."""

            def scan(self, folder: Path, *, beside: Path, most: int) -> Scan:
                found = super().scan(folder, beside=beside, most=most)

                def swap() -> None:
                    team.rename(public / "inbox" / ".away")
                    team.symlink_to(private)

                if not team.is_symlink():
                    assert another_user_can(swap)
                return found

        root = public / "store" if where == "store" else Path(shared_memory)
        store = VideoStore(root=str(root), inbox=str(public / "inbox"))
        deceived = eager(Swapped)
        for _ in range(3):
            assert deceived.tick(store, seconds=AMPLE).taken == []
        assert (private / "a.mp4").exists()
        assert b"a video" not in files(root).values()
        assert files(public / "inbox") == {".away/a.mp4": b"a video"}


@pytest.mark.parametrize("event", ["os.rename", "os.remove"])
def test_a_newer_version_that_arrives_while_the_copied_one_is_removed_is_not_removed(
    other_file_system: VideoStore, event: str
) -> None:
    inbox = other_file_system.inbox_folder
    source, newer = inbox / "a.mp4", inbox / ".newer"
    source.write_bytes(b"old")
    newer.write_bytes(b"new")

    def arrive(happened: str, arguments: tuple[object, ...]) -> None:
        # Right before the copied file is put aside, or removed.
        if happened == event and str(arguments[0]).endswith("a.mp4") and "data" not in str(arguments[1]):
            with suppress(FileNotFoundError):
                os.replace(newer, source)  # noqa: PTH105  which would end up here again

    sys.addaudithook(arrive)
    intake, taken = eager(), list[Upload]()
    for _ in range(6):
        taken += intake.tick(other_file_system, seconds=AMPLE).taken
    assert not newer.exists()
    assert "new" in {other_file_system.video_path(upload.key).read_text() for upload in taken}
    assert files(inbox) == {}


def test_damaged_notes_of_a_claim_are_written_again_while_the_video_is_there(
    store: VideoStore, drop: Drop, intake: Intake
) -> None:
    claim = store.claims_folder / "20260101T000000.000000-0123456789ab"
    claim.mkdir(parents=True)
    (claim / "data").write_bytes(b"a video")
    (claim / "source.json").write_bytes(b"{")
    (claim / "upload.json").write_bytes(b"")
    drop("b.mp4", b"another one")
    taken = {upload.name: upload.sha256 for upload in intake.tick(store, seconds=AMPLE).taken}
    assert taken == {
        "video": hashlib.sha256(b"a video").hexdigest(),
        "b.mp4": hashlib.sha256(b"another one").hexdigest(),
    }


def test_a_claim_that_tells_nothing_any_more_holds_up_nobody(store: VideoStore, drop: Drop, intake: Intake) -> None:
    claim = store.claims_folder / "20260101T000000.000000-0123456789ab"
    claim.mkdir(parents=True)
    (claim / "upload.json").write_bytes(b"\0" * 100)
    drop("b.mp4")
    report = intake.tick(store, seconds=AMPLE)
    assert [upload.name for upload in report.taken] == ["b.mp4"]
    assert report.waiting == {str(claim): "upload.json is damaged: remove this folder, and upload the video again"}
    assert pending(store) == report.taken


def test_a_tick_does_a_little_however_many_files_there_are(store: VideoStore, drop: Drop, opened: list[str]) -> None:
    intake = eager(claims_at_once=5)
    for number in range(2000):
        drop(f"{number:04}.mp4", str(number).encode())
    opened.clear()
    report = intake.tick(store, seconds=AMPLE)
    assert len(report.taken) == 5
    assert report.reasons(20) == ["1,995 more wait for their turn"]
    assert len([path for path in opened if path.endswith(".mp4")]) == 5  # whether somebody writes them
    data = [path for path in opened if path.endswith("/data")]
    assert len(data) == len(set(data)) == 5  # each is read once
    opened.clear()
    assert intake.tick(store, seconds=AMPLE).taken == []
    assert [path for path in opened if path.endswith((".mp4", "/data"))] == []


def test_a_tick_without_time_takes_one_upload(store: VideoStore, drop: Drop, intake: Intake) -> None:
    for number in range(3):
        drop(f"{number}.mp4", b"video" * (number + 1))
    report = intake.tick(store, seconds=0)
    assert [upload.name for upload in report.taken] == ["0.mp4"]
    assert (report.waiting, report.backlog) == ({}, 2)


def test_two_processes_do_not_take_the_same_upload(store: VideoStore, drop: Drop) -> None:
    for number in range(20):
        drop(f"{number}.mp4", str(number).encode())
    children = []
    for _ in range(4):
        child = os.fork()
        if child == 0:
            try:
                eager().tick(store, seconds=AMPLE)
                os._exit(0)
            finally:
                os._exit(1)
        children.append(child)
    assert [os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children] == [0] * 4
    eager().tick(store, seconds=AMPLE)
    assert len(pending(store)) == len({upload.key for upload in pending(store)}) == 20


def test_a_video_is_added_without_the_inbox(store: VideoStore, tmp_path: Path) -> None:
    source = tmp_path / "a.mp4"
    source.write_bytes(b"a video")
    upload = add(store, source)
    assert source.exists()
    assert store.video_path(upload.key).read_bytes() == b"a video"
    assert pending(store) == [upload]
    with pytest.raises(MissingInputError):
        add(store, tmp_path / "missing.mp4")


def test_a_video_that_is_not_in_the_store_is_said_to_be_missing(store: VideoStore) -> None:
    with pytest.raises(MissingInputError, match="not in the store"):
        store.upload("a-0123456789")


@pytest.mark.parametrize("inbox", ["", "raw_video", "encoded_video/x", "claims"])
def test_the_inbox_may_not_be_a_folder_of_the_store(tmp_path: Path, inbox: str) -> None:
    store = VideoStore(root=str(tmp_path), inbox=str(tmp_path / inbox))
    with pytest.raises(SettingsError, match="that the store uses itself"):
        eager().tick(store, seconds=AMPLE)


def test_an_inbox_around_the_store_does_not_take_what_is_in_the_store(tmp_path: Path) -> None:
    store = VideoStore(root=str(tmp_path / "data"), inbox=str(tmp_path))
    (tmp_path / "a.mp4").write_bytes(b"a video")
    intake = eager()
    (upload,) = intake.tick(store, seconds=AMPLE).taken
    acknowledge(store, upload)
    assert intake.tick(store, seconds=AMPLE).taken == []
    assert store.video_path(upload.key).exists()


KEYS = st.builds(partition_key, st.text(), st.text("0123456789abcdef", min_size=64, max_size=64))
COMPONENTS = st.text().filter(lambda text: text and text[0] != "." and not {"/", "\0"} & set(text))


@given(st.builds(Upload, key=KEYS, name=st.text(), file=COMPONENTS, sha256=st.text(), claim=COMPONENTS))
def test_what_is_noted_of_an_upload_reads_back(upload: Upload) -> None:
    assert Upload.model_validate_json(upload.model_dump_json()) == upload
