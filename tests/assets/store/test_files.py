"""What a store's files have in common, wherever they are; and what is special about a remote store."""

from __future__ import annotations

import errno
import hashlib
import os
import time
from collections.abc import Iterator
from concurrent.futures import Future
from pathlib import Path
from typing import Any

import dagster as dg
import fsspec
import pytest
from fsspec.implementations.local import LocalFileSystem

from dualface_assets.housekeeping.recovery import remove_leftovers
from dualface_assets.settings import ServiceSettings
from dualface_assets.store.files import LocalFiles, StoreError
from dualface_assets.store.remote import without_password
from dualface_assets.store.video_store import VideoStore, video_store
from dualface_assets.uploads.claims import acknowledge, pending
from dualface_assets.uploads.sensor import upload_sensor
from dualface_core.errors import MissingInputError, OutputError, SettingsError
from tests.assets.conftest import eager, publish
from tests.file_steps import crash_at

CONTENT = b"a video" * 1000
KEY = f"a-{hashlib.sha256(CONTENT).hexdigest()[:10]}"


class TroubledFileSystem(LocalFileSystem):
    """Another machine's folder behind a bad line."""

    protocol = "troubled"
    trouble = ""

    def invalidate_cache(self, path: str | None = None) -> None:
        """Nothing is cached."""

    def put_file(self, path1: Any, path2: Any, **_: Any) -> None:
        content = Path(path1).read_bytes()
        if self.trouble and (self.trouble != "only videos break" or not str(path1).endswith(".json")):
            content = content[: len(content) // 2]
        Path(self._strip_protocol(path2)).write_bytes(content)
        if self.trouble == "the line breaks":
            raise ConnectionError(self.trouble)

    def get_file(self, path1: Any, path2: Any, **_: Any) -> None:
        content = Path(self._strip_protocol(path1)).read_bytes()
        Path(path2).write_bytes(content[: len(content) // 2] if self.trouble else content)


class CopyingFileSystem(LocalFileSystem):
    """A file system that renames by copying."""

    protocol = "copying"
    mv = fsspec.AbstractFileSystem.mv


fsspec.register_implementation("troubled", TroubledFileSystem)
fsspec.register_implementation("copying", CopyingFileSystem)


@pytest.fixture
def troubled_store(tmp_path: Path) -> Iterator[VideoStore]:
    root = f"troubled://{tmp_path}/far"
    yield VideoStore(root=root, inbox=str(tmp_path / "inbox"), work=str(tmp_path / "work"))
    TroubledFileSystem.trouble = ""


def a_file(folder: Path, content: bytes = CONTENT) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "written.mp4"
    path.write_bytes(content)
    return path


def take(store: VideoStore, content: bytes = CONTENT, name: str = "a.mp4") -> str:
    """Put a video into the inbox, and tick until it is in the store. Gives its key."""
    a_file(store.inbox_folder, content).rename(store.inbox_folder / name)
    intake = eager()
    while not (taken := intake.tick(store).taken):
        time.sleep(0.01)
    return taken[0].key


def everything_in(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}


def test_what_was_put_is_there_and_is_read_as_it_was_written(any_store: VideoStore, tmp_path: Path) -> None:
    files, path = any_store.files, any_store.result_path(KEY)
    assert not files.exists(path)
    assert files.names(path.parent) == []
    before = time.time()
    any_store.files.put(a_file(tmp_path / "drafts"), path)
    assert files.exists(path)
    assert files.exists(path.parent)
    assert files.names(path.parent) == ["a.split.mp4"]
    assert files.names(path.parent.parent) == [KEY]
    assert files.size(path) == files.size(path.parent) == len(CONTENT)
    assert before - 2 < files.modified(path) <= files.modified(path.parent) <= time.time() + 2
    with any_store.reading(path) as local:
        assert local.read_bytes() == CONTENT
    assert not list((tmp_path / "drafts").iterdir())
    assert not any_store.has_result(KEY)  # its report is missing
    publish(any_store, KEY)
    assert any_store.has_result(KEY)
    assert any_store.known_keys() == {KEY}


def test_a_file_is_replaced_as_a_whole(any_store: VideoStore, tmp_path: Path) -> None:
    path = any_store.table_path("face_tracks", KEY)
    for content in (b"old", b"new content"):
        with any_store.writing(path) as local:
            local.write_bytes(content)
        assert any_store.files.read(path) == content
    with pytest.raises(ZeroDivisionError), any_store.writing(any_store.table_path("composed_tiles", KEY)) as local:
        raise ZeroDivisionError
    assert not any_store.files.exists(any_store.table_path("composed_tiles", KEY))


def test_what_is_discarded_is_gone(any_store: VideoStore, tmp_path: Path) -> None:
    any_store.files.write(any_store.video_folder(KEY) / "video.json", b"{}")
    any_store.files.move_to_trash(any_store.video_folder(KEY), tmp_path)
    assert any_store.video_keys() == []
    assert not any_store.files.exists(any_store.video_folder(KEY))


def test_what_lies_at_its_place_is_shared_and_stays(any_store: VideoStore, tmp_path: Path) -> None:
    page = any_store.page_folder(KEY) / "index.html"
    page.parent.mkdir(parents=True)
    page.write_bytes(CONTENT)
    any_store.files.share(page.parent)
    assert any_store.files.read(page) == page.read_bytes() == CONTENT
    assert any_store.known_keys() == {KEY}
    any_store.files.move_to_trash(page.parent, tmp_path)
    assert not page.exists()
    assert not any_store.files.exists(page)


def test_what_is_not_there_is_said_to_be_missing(any_store: VideoStore) -> None:
    with pytest.raises(FileNotFoundError):
        any_store.files.read(any_store.folder / "raw_video" / "nothing.json")
    with pytest.raises(MissingInputError, match="not in the store"):
        any_store.video_path(KEY)


def test_an_upload_is_taken_into_any_store(any_store: VideoStore) -> None:
    key = take(any_store)
    assert key == KEY
    assert any_store.video_path(key).read_bytes() == CONTENT
    assert any_store.video_place(key) == any_store.video_folder(key) / "a.mp4"
    assert any_store.video_keys() == [key]
    (upload,) = pending(any_store)
    assert any_store.upload(key) == upload
    assert everything_in(any_store.claims_folder) == {f"{upload.claim}/source.json", f"{upload.claim}/upload.json"}
    assert take(any_store, name="again.mp4") == key


def test_a_local_store_never_copies(store: VideoStore, tmp_path: Path) -> None:
    path = a_file(tmp_path)
    inode = path.stat().st_ino
    store.files.put(path, store.result_path(KEY))
    assert store.result_path(KEY).stat().st_ino == inode
    with store.reading(store.result_path(KEY)) as local:
        assert local == store.result_path(KEY)
    with store.writing(store.table_path("face_tracks", KEY)) as local:
        local.touch()
        assert local == store.table_path("face_tracks", KEY)
    assert store.result_path(KEY).exists()


def test_a_file_url_is_a_local_store(tmp_path: Path) -> None:
    store = VideoStore(root=f"file://{tmp_path}/store")
    assert store.folder == tmp_path / "store"
    assert isinstance(store.files, LocalFiles)
    assert store.inbox_folder == tmp_path / "store" / "inbox"


def test_the_sensor_makes_partitions_and_runs_of_a_remote_store(object_store: VideoStore) -> None:
    a_file(object_store.inbox_folder)
    sensor = upload_sensor(eager())
    with dg.DagsterInstance.ephemeral() as instance:
        result = None
        while not isinstance(result, dg.SensorResult) or not result.run_requests:
            time.sleep(0.01)
            result = sensor(dg.build_sensor_context(instance, resources={"store": object_store}))
        (request,) = result.run_requests or []
        (registered,) = result.dynamic_partitions_requests or []
    assert registered.partition_keys == [request.partition_key]


@pytest.mark.parametrize("trouble", ["the line breaks", "half of it arrives"])
def test_a_file_that_did_not_arrive_whole_is_not_seen_and_not_lost(troubled_store: VideoStore, trouble: str) -> None:
    path = troubled_store.result_path(KEY)
    troubled_store.files.put(a_file(troubled_store.scratch("run"), b"old"), path)
    TroubledFileSystem.trouble = trouble
    local = a_file(troubled_store.scratch("run"))
    with pytest.raises((StoreError, OutputError), match=r"troubled://.*/a\.split\.mp4: "):
        troubled_store.files.put(local, path)
    assert local.read_bytes() == CONTENT
    TroubledFileSystem.trouble = ""
    assert troubled_store.files.read(path) == b"old"
    assert everything_in(Path(troubled_store.root.removeprefix("troubled://"))) == {f"encoded_video/{KEY}/a.split.mp4"}
    troubled_store.files.put(local, path)
    assert troubled_store.files.read(path) == CONTENT


def test_a_video_that_was_not_fetched_whole_is_not_used(troubled_store: VideoStore) -> None:
    key = take(troubled_store)
    TroubledFileSystem.trouble = "half of it arrives"
    with pytest.raises(OutputError, match="3500 of 7000 bytes") as error:
        troubled_store.video_path(key)
    assert error.value.action == "Look at the store and the network."  # whether it is tried again is not known here
    TroubledFileSystem.trouble = ""
    assert troubled_store.video_path(key).read_bytes() == CONTENT


def test_a_full_disk_here_is_not_taken_for_a_store_that_does_not_answer(
    troubled_store: VideoStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    key = take(troubled_store)

    def full(*_: Any) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(TroubledFileSystem, "get_file", full)
    with pytest.raises(OutputError, match="the disk is full"):
        troubled_store.video_path(key)


def test_an_upload_that_cannot_be_sent_waits_and_is_sent_later(troubled_store: VideoStore) -> None:
    a_file(troubled_store.inbox_folder)
    TroubledFileSystem.trouble = "only videos break"
    intake, waiting = eager(), dict[str, str]()
    while "cannot be sent to the store" not in waiting.get("written.mp4", ""):
        waiting = intake.tick(troubled_store).waiting
        time.sleep(0.01)
    assert "3500 of 7000 bytes have arrived" in waiting["written.mp4"]
    assert pending(troubled_store) == []
    TroubledFileSystem.trouble = ""
    while not (taken := intake.tick(troubled_store).taken):
        time.sleep(0.01)
    assert troubled_store.video_path(taken[0].key).read_bytes() == CONTENT


def take_all(store: VideoStore) -> None:
    intake = eager()
    while not intake.tick(store).taken:
        time.sleep(0.001)


def test_a_crash_at_any_step_of_sending_loses_nothing(lan_store: VideoStore) -> None:
    step, finished = 0, False
    while not finished:
        content = f"video {step}".encode()
        a_file(lan_store.inbox_folder, content)
        finished = crash_at(step, lambda: take_all(lan_store), below=lan_store.inbox_folder.parent.name)
        intake = eager()
        intake.tick(lan_store)
        while not pending(lan_store) or list(lan_store.claims_folder.glob("*/data*")):
            time.sleep(0.01)
            intake.tick(lan_store)
        waiting = pending(lan_store)
        assert {upload.sha256 for upload in waiting} == {hashlib.sha256(content).hexdigest()}
        assert lan_store.video_path(waiting[0].key).read_bytes() == content
        for upload in waiting:
            acknowledge(lan_store, upload)
        assert everything_in(lan_store.claims_folder) == set()
        step += 1
    assert step > 15


def test_what_was_sent_by_halves_is_removed_after_a_day(lan_store: VideoStore) -> None:
    incoming = Path(lan_store.root.removeprefix("lan://")) / ".incoming"
    old, new = a_file(incoming).rename(incoming / "old.mp4"), a_file(incoming)
    os.utime(old, (time.time() - 90_000, time.time() - 90_000))
    with dg.DagsterInstance.ephemeral() as instance:
        remove_leftovers(lan_store, instance)
    assert list(incoming.iterdir()) == [new]


def test_a_run_fetches_its_video_once_and_keeps_it_to_itself(object_store: VideoStore) -> None:
    key = take(object_store)
    first = object_store.video_path(key)
    inode = first.stat().st_ino
    assert object_store.video_path(key).stat().st_ino == inode
    assert object_store.scratch_folder in first.parents


@pytest.mark.parametrize(
    ("url", "sentence"),
    [
        ("gs://bucket/prefix", "Run: pip install gcsfs"),
        ("nosuch://bucket", "which fsspec does not know"),
        ("copying:///tmp/x", "cannot be renamed"),
    ],
)
def test_a_store_that_cannot_be_used_is_explained(tmp_path: Path, url: str, sentence: str) -> None:
    store = VideoStore(root=url, inbox=str(tmp_path / "inbox"), work=str(tmp_path / "work"))
    with pytest.raises(SettingsError, match=sentence):
        _ = store.files


def test_a_remote_store_needs_a_folder_for_uploads() -> None:
    with pytest.raises(SettingsError, match="Set DUALFACE_INBOX"):
        _ = VideoStore(root="memory://store").inbox_folder


def test_a_password_is_not_shown(tmp_path: Path) -> None:
    root = f"lan://user:secret@host/{tmp_path}"
    store = VideoStore(root=root, inbox=str(tmp_path / "inbox"), work=str(tmp_path / "work"))
    assert "secret" not in store.files.address(store.result_path(KEY))
    with pytest.raises(SettingsError) as error:
        _ = VideoStore(root="copying://user:secret@host/x", work=str(tmp_path), inbox="/inbox").files
    assert "secret" not in str(error.value)


def test_a_password_that_is_taken_for_a_port_is_not_shown(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="no address") as error:
        _ = VideoStore(root="webhdfs://ann:s3cret/x", work=str(tmp_path), inbox="/inbox").files
    assert "s3cret" not in f"{error.value} {error.value.__cause__}"


def test_a_store_of_the_settings_is_reached_with_the_password_that_it_does_not_hold(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("DUALFACE_STORE", "lan://ann:s3cret@host/x")
    monkeypatch.setenv("DUALFACE_INBOX", str(tmp_path / "inbox"))
    monkeypatch.setenv("DUALFACE_WORK", str(tmp_path / "work"))
    store = video_store(ServiceSettings.load())
    assert "s3cret" not in repr(store)
    store.files.put(a_file(tmp_path), store.result_path(KEY))
    found = list(tmp_path.rglob("ann:s3cret@host/x/encoded_video/*/*.mp4"))  # this file system has it in its paths
    assert [path.name for path in found] == [store.result_path(KEY).name]


def test_moving_into_a_local_store_is_done_at_once(store: VideoStore, tmp_path: Path) -> None:
    move: Future[None] = store.files.upload_within(a_file(tmp_path), store.result_path(KEY))
    assert move.done()
    assert store.result_path(KEY).exists()


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("sftp://ann:s3cret@host/x", "sftp://host/x"),
        ("sftp://ann:s3@cret@host/x", "sftp://host/x"),
        ("cannot open 'sftp://ann:s3cret@host/x': ask ann@host", "cannot open 'sftp://host/x': ask ann@host"),
        ("sftp://ann:s3/cret@host/x", "sftp://host/x"),
        ("http://host:8080/a@b", "http://host:8080/a@b"),
        ("Forbidden, url='https://host/x?X-Amz-Signature=s3cret&a=b'.", "Forbidden, url='https://host/x'."),
        ("s3://bucket/a@b", "s3://bucket/a@b"),
        ("/data/a@b", "/data/a@b"),
    ],
)
def test_a_url_is_shown_without_its_password(text: str, shown: str) -> None:
    assert without_password(text) == shown
