"""The contract of every place where uploads are dropped: a folder, one on another disk, and buckets."""

from __future__ import annotations

import hashlib
import os
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from uuid import uuid4

import fsspec
import pytest
from fsspec.implementations.memory import MemoryFileSystem

from dualface_assets.settings import ServiceSettings
from dualface_assets.store.bucket import Bucket
from dualface_assets.store.files import StoreError
from dualface_assets.store.video_store import Upload, VideoStore, video_store
from dualface_assets.uploads.bucket import BucketInbox
from dualface_assets.uploads.claims import acknowledge, pending
from dualface_assets.uploads.inbox import StabilityWindow
from dualface_assets.uploads.intake import Intake, TickReport
from dualface_core.errors import SettingsError
from tests.assets.conftest import LanFileSystem, S3Server, eager
from tests.file_steps import crash_at

AMPLE = 600.0
"""Seconds for a tick that must get all of its work done, however busy the machine is."""


class DiskBucket(LanFileSystem):
    """A bucket whose objects are files, so that they are there when the process that used it has died."""

    protocol = ("disk", "memory")  # and is taken for an object store for the second


fsspec.register_implementation("disk", DiskBucket)


@dataclass
class Place:
    """Somewhere to drop uploads, and what is there."""

    store: VideoStore
    put: Callable[[str, bytes], object]
    contents: Callable[[], dict[str, bytes]]


def folder(store: VideoStore) -> Place:
    inbox = store.inbox_folder

    def put(name: str, content: bytes) -> None:
        (inbox / name).parent.mkdir(parents=True, exist_ok=True)
        (inbox / name).write_bytes(content)

    return Place(
        store, put, lambda: {str(p.relative_to(inbox)): p.read_bytes() for p in inbox.rglob("*") if p.is_file()}
    )


def bucket(tmp_path: Path, url: str) -> Place:
    store = VideoStore(root=str(tmp_path / "store"), inbox_url=url)
    system, path = fsspec.core.url_to_fs(url)

    def put(name: str, content: bytes) -> None:
        if "disk" in system.protocol:
            system.makedirs(f"{path}/{name}".rpartition("/")[0], exist_ok=True)
        system.pipe_file(f"{path}/{name}", content)

    def contents() -> dict[str, bytes]:
        system.invalidate_cache()
        return {name.removeprefix(f"{path}/"): system.cat_file(name) for name in system.find(path)}

    return Place(store, put, contents)


@pytest.fixture
def same_disk(tmp_path: Path) -> Place:
    return folder(VideoStore(root=str(tmp_path / "store")))


@pytest.fixture
def other_disk(tmp_path: Path) -> Iterator[Place]:
    with tempfile.TemporaryDirectory(dir="/dev/shm") as inbox:
        if Path(inbox).stat().st_dev == tmp_path.stat().st_dev:
            pytest.skip("there is only one file system")
        yield folder(VideoStore(root=str(tmp_path / "store"), inbox=inbox))


@pytest.fixture
def disk_bucket(tmp_path: Path) -> Place:
    return bucket(tmp_path, f"disk://{tmp_path}/far/inbox")


@pytest.fixture
def memory_bucket(tmp_path: Path) -> Iterator[Place]:
    yield bucket(tmp_path, f"memory://{tmp_path.name}/inbox")
    MemoryFileSystem.store.clear()
    MemoryFileSystem.pseudo_dirs[:] = [""]


@pytest.fixture
def s3_bucket(tmp_path: Path, s3: S3Server, monkeypatch: pytest.MonkeyPatch) -> Iterator[Place]:
    """A bucket on an S3 server that fails 5 % of what it is asked."""
    for name, value in s3.environment.items():
        monkeypatch.setenv(name, value)
    place = bucket(tmp_path, f"s3://videos/{uuid4().hex}")
    s3.trouble(fail_every=20)
    yield place
    s3.trouble()


@pytest.fixture(params=["same_disk", "other_disk", "memory_bucket", "s3_bucket"])
def place(request: pytest.FixtureRequest) -> Place:
    found = request.getfixturevalue(request.param)
    assert isinstance(found, Place)
    return found


def take(place: Place, *, uploads: int = 1, intake: Intake | None = None) -> list[Upload]:
    """Tick until so many uploads wait for their run."""
    intake = intake or eager()
    deadline = time.monotonic() + AMPLE
    while len(found := pending(place.store)) < uploads and time.monotonic() < deadline:
        intake.tick(place.store, seconds=AMPLE)
    return found


def settle(place: Place) -> TickReport:
    """What a tick says when there is nothing left to take."""
    for upload in pending(place.store):
        acknowledge(place.store, upload)
    return eager().tick(place.store, seconds=AMPLE)


def test_an_upload_moves_into_the_store_under_its_key(place: Place) -> None:
    place.put("team/Interview #3.MP4", b"a video")
    (upload,) = take(place)
    digest = hashlib.sha256(b"a video").hexdigest()
    assert (upload.key, upload.name, upload.file) == (
        f"interview-3-{digest[:10]}",
        "Interview #3.MP4",
        "interview-3.mp4",
    )
    assert place.store.video_path(upload.key).read_bytes() == b"a video"
    assert place.contents() == {}
    assert settle(place) == TickReport([], {})


def test_a_video_of_several_pieces_arrives_whole(place: Place) -> None:
    content = os.urandom(9 << 20)
    place.put("a.mp4", content)
    intake = eager()
    while not (found := pending(place.store)):
        intake.tick(place.store, seconds=0)
    assert found[0].sha256 == hashlib.sha256(content).hexdigest()
    assert place.store.video_path(found[0].key).read_bytes() == content


def test_the_same_content_twice_is_one_video_and_two_claims(place: Place) -> None:
    for name in ("a.mp4", "b.mp4"):
        place.put(name, b"same")
    first, second = take(place, uploads=2)
    assert (first.key, first.claim != second.claim) == (second.key, True)
    assert place.store.video_keys() == [first.key]
    assert place.contents() == {}


def test_the_same_file_again_is_another_claim(place: Place) -> None:
    place.put("a.mp4", b"same")
    (first,) = take(place)
    acknowledge(place.store, first)
    if place.store.inbox_url:
        time.sleep(1.1)  # S3 has the times of objects by the second
    place.put("a.mp4", b"same")
    (second,) = take(place)
    assert (first.key, first.claim != second.claim) == (second.key, True)


def test_a_video_is_made_again_only_if_it_lies_in_the_folder_for_that(place: Place) -> None:
    for name in (".reprocess/a.mp4", ".reprocess/deep/b.mp4", "c.mp4", "team/.reprocess/e.mp4"):
        place.put(name, name.encode())
    assert {each.name: each.reprocess for each in take(place, uploads=3)} == {
        "a.mp4": True,
        "b.mp4": True,
        "c.mp4": False,
    }
    assert place.contents().keys() == {"team/.reprocess/e.mp4"}


def test_what_is_hidden_or_temporary_is_left_alone(place: Place) -> None:
    names = {".hidden.mp4", ".folder/a.mp4", "a.mp4.part", "~a.mp4", "b.crdownload", "Thumbs.db", "x/c.tmp"}
    for name in names:
        place.put(name, b"a video")
    assert settle(place) == TickReport([], {})
    assert place.contents().keys() == names


def test_what_is_empty_waits_for_its_content(place: Place) -> None:
    place.put("a.mp4", b"")
    patient = Intake()
    assert list(patient.tick(place.store, seconds=AMPLE).waiting.values()) == ["empty so far"]
    assert place.contents() == {"a.mp4": b""}
    (upload,) = take(place)  # by an intake that waits for nothing
    assert upload.size_bytes == 0


@pytest.mark.parametrize("name", ["-rf.mkv", "한" * 60 + ".mp4", "video.json", "a?b#c%d+e&.mp4", "'; DROP.mp4"])
def test_any_name_is_taken_and_stored_harmlessly(place: Place, name: str) -> None:
    place.put(name, b"a video")
    (upload,) = take(place)
    assert upload.name == name
    assert place.store.video_path(upload.key).read_bytes() == b"a video"
    assert place.contents() == {}


def test_many_uploads_wait_for_their_turn_and_none_is_left_behind(place: Place) -> None:
    intake = eager(claims_at_once=5)
    for number in range(8):
        place.put(f"{number}.mp4", str(number).encode())
    keys = {each.key for each in take(place, uploads=5, intake=intake)}
    assert len(keys) == 5
    intake.tick(place.store, seconds=AMPLE)
    assert len(pending(place.store)) == 5
    for upload in pending(place.store):
        acknowledge(place.store, upload)
    assert len(keys | {each.key for each in take(place, uploads=3, intake=intake)}) == 8


def test_a_preview_names_what_is_there_and_touches_nothing(place: Place) -> None:
    place.put("a.mp4", b"a video")
    (name,) = eager().preview(place.store).waiting
    assert name.endswith("a.mp4")
    assert place.contents() == {"a.mp4": b"a video"}
    assert not place.store.claims_folder.exists()


@pytest.mark.parametrize("kind", ["same_disk", "other_disk", "disk_bucket"])
def test_a_crash_at_any_step_loses_nothing(request: pytest.FixtureRequest, kind: str) -> None:
    place: Place = request.getfixturevalue(kind)
    step, finished = 0, False
    while not finished:
        content = f"video {step}".encode()
        place.put(".reprocess/a.mp4", content)
        finished = crash_at(step, lambda: eager().tick(place.store, seconds=AMPLE))
        for _ in range(2):
            eager().tick(place.store, seconds=AMPLE)
        waiting = pending(place.store)
        assert {(upload.sha256, upload.reprocess) for upload in waiting} == {
            (hashlib.sha256(content).hexdigest(), True)
        }
        if kind == "disk_bucket":
            assert len(waiting) == 1  # a run each would be one too many
        assert place.store.video_path(waiting[0].key).read_bytes() == content
        assert place.contents() == {}
        assert settle(place) == TickReport([], {})
        assert [each for each in place.store.claims_folder.iterdir() if each.is_dir()] == []
        step += 1
    assert step > 15


# What is special about a bucket.


def test_an_original_stays_in_the_bucket_until_the_store_has_the_video(s3_bucket: Place, tmp_path: Path) -> None:
    s3_bucket.put("a.mp4", b"a video")
    (tmp_path / "far").touch()  # where the store's folder should be
    store = VideoStore(root=f"lan://{tmp_path}/far", inbox_url=s3_bucket.store.inbox_url, work=str(tmp_path / "work"))
    for _ in range(2):
        with pytest.raises(StoreError):
            eager().tick(store, seconds=AMPLE)
    assert s3_bucket.contents() == {"a.mp4": b"a video"}
    (tmp_path / "far").unlink()
    (upload,) = take(Place(store, s3_bucket.put, s3_bucket.contents))
    assert store.upload(upload.key) == upload
    assert s3_bucket.contents() == {}


def test_an_object_that_was_replaced_meanwhile_is_not_removed(s3_bucket: Place) -> None:
    s3_bucket.put("a.mp4", b"old")
    found = s3_bucket.store.bucket
    assert found is not None
    (old,), _ = found.page()
    s3_bucket.put("a.mp4", b"new")
    found.remove(old)
    assert s3_bucket.contents() == {"a.mp4": b"new"}
    with pytest.raises(FileNotFoundError), found.opened(old):
        pass


def test_lists_that_overlap_give_one_claim_and_so_one_run(s3_bucket: Place, tmp_path: Path) -> None:
    s3_bucket.put("a.mp4", b"a video")
    claims = set()
    for host in ("here", "there"):
        store = VideoStore(root=str(tmp_path / host), inbox_url=s3_bucket.store.inbox_url)
        store.private_folder("claims")
        BucketInbox(StabilityWindow()).claim(store, 9, time.monotonic() + AMPLE)
        (claim,) = store.claims_folder.glob("*")
        assert (claim / "data").read_bytes() == b"a video"
        claims.add(claim.name)
    assert len(claims) == 1


def test_a_bucket_that_does_not_answer_holds_up_no_file_of_the_inbox(s3_bucket: Place, s3: S3Server) -> None:
    s3_bucket.put("a.mp4", b"a video")
    folder(s3_bucket.store).put("b.mp4", b"another")
    s3.trouble(fail_every=1)
    report = eager().tick(s3_bucket.store, seconds=AMPLE)
    s3.trouble()
    assert [each.name for each in report.taken] == ["b.mp4"]
    (why,) = report.waiting.values()
    assert "the store does not answer" in why
    assert "Check DUALFACE_INBOX_URL" in why
    assert {each.name for each in take(s3_bucket, uploads=2)} == {"a.mp4", "b.mp4"}


def test_a_tick_asks_for_one_page_however_many_objects_there_are(
    s3: S3Server, s3_bucket: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    s3.trouble()
    monkeypatch.setattr("dualface_assets.store.bucket._PAGE", 20)
    for number in range(25):
        s3_bucket.put(f"{number:02}.mp4", b"%d" % number)

    intake = eager(claims_at_once=3)
    before = s3.trouble()["requests"]
    report = intake.tick(s3_bucket.store, seconds=AMPLE)
    asked = s3.trouble()["requests"] - before
    assert len(report.taken) == 3
    assert report.reasons(9) == ["17 more wait for their turn"]
    assert asked == 1 + 3 * 4  # a list; and for each of three: its state, its content, its state again, removal
    intake.tick(s3_bucket.store, seconds=AMPLE)  # there is no room for another
    assert s3.trouble()["requests"] == before + asked
    for upload in pending(s3_bucket.store):
        acknowledge(s3_bucket.store, upload)
    taken = intake.tick(s3_bucket.store, seconds=AMPLE).taken  # from the second page
    assert sorted(each.name for each in taken) == ["20.mp4", "21.mp4", "22.mp4"]


def test_a_page_is_the_same_in_every_kind_of_bucket(memory_bucket: Place, s3_bucket: Place) -> None:
    for place in (memory_bucket, s3_bucket):
        for name in ("b/c.mp4", "a.mp4", "b.mp4"):
            place.put(name, b"a video")
        found = place.store.bucket
        assert found is not None
        assert [each.key for each in found.page()[0]] == ["a.mp4", "b.mp4", "b/c.mp4"]
        assert [each.key for each in found.page("b.mp4")[0]] == ["b/c.mp4"]
        assert found.page("b/c.mp4") == ([], False)


@pytest.mark.parametrize("url", ["memory://videos", "memory://videos/store", "memory://videos/store/raw_video/x"])
def test_a_place_that_the_store_uses_itself_is_refused(url: str, tmp_path: Path) -> None:
    store = VideoStore(root="memory://videos/store", inbox_url=url, work=str(tmp_path))
    with pytest.raises(SettingsError, match="where the store keeps its own"):
        _ = store.bucket


def test_a_place_where_uploads_are_seen_too_early_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="before all of it has arrived"):
        Bucket(f"lan://{tmp_path}")


def test_a_remote_store_with_a_bucket_for_uploads_needs_no_inbox(tmp_path: Path) -> None:
    settings = ServiceSettings(store="memory://a/store", work=tmp_path / "work", inbox_url="memory://ann:s3cret@a/in")
    store = video_store(settings)
    assert store.inbox_folder == tmp_path / "work" / "inbox"
    assert store.inbox_url == "memory://a/in"
    assert "s3cret" not in repr(settings)
    assert store.upload_places == f"{store.inbox_folder} and memory://a/in"


def test_an_empty_object_counts_as_long_as_it_was_watched_though_the_clock_of_the_store_is_ahead(
    memory_bucket: Place,
) -> None:
    now = time.time() - 3600
    waiting = BucketInbox(StabilityWindow(empty=60), clock=lambda: now)
    memory_bucket.put("a.mp4", b"")
    memory_bucket.store.private_folder("claims")
    assert waiting.claim(memory_bucket.store, 9, 0)[0]
    now += 61
    assert waiting.claim(memory_bucket.store, 9, 0)[0] == {}
