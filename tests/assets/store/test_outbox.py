"""A copy of each result under the name of its upload: whole, and never in the place of another file."""

from __future__ import annotations

from pathlib import Path

import pytest

from dualface_assets.settings import ServiceSettings
from dualface_assets.store.outbox import deliver
from dualface_assets.store.video_store import VideoStore
from dualface_assets.uploads.intake import add
from dualface_core.errors import MissingInputError, OutputError, SettingsError
from tests.assets.conftest import publish


@pytest.fixture
def outbox(tmp_path: Path) -> Path:
    folder = tmp_path / "outbox"
    folder.mkdir()
    return folder


def names(folder: Path) -> list[str]:
    return [path.name for path in folder.iterdir()]


def finished(store: VideoStore, folder: Path, name: str, result: bytes = b"a result") -> str:
    """Have an upload of this name in the store, and its result. Gives the key."""
    upload = folder / "uploads" / name
    upload.parent.mkdir(exist_ok=True)
    upload.write_bytes(b"a video" + result)
    key = add(store, upload).key
    publish(store, key, result)
    return key


def test_a_result_arrives_under_the_name_of_its_upload(any_store: VideoStore, tmp_path: Path, outbox: Path) -> None:
    key = finished(any_store, tmp_path, "Ann & Bob, Take 2.MOV")
    path = deliver(any_store, key, outbox)
    assert (path, path.read_bytes()) == (outbox / "Ann & Bob, Take 2.split.mp4", b"a result")
    assert deliver(any_store, key, outbox) == path  # as when a run is tried again
    assert names(outbox) == [path.name]


def test_nothing_in_the_outbox_is_overwritten(store: VideoStore, tmp_path: Path, outbox: Path) -> None:
    key = finished(store, tmp_path, "talk.mp4")
    digest = key.rpartition("-")[2]
    (outbox / "talk.split.mp4").symlink_to(tmp_path / "nowhere")
    assert deliver(store, key, outbox).name == f"talk-{digest}.split.mp4"
    publish(store, key, b"a result that was made anew")
    assert deliver(store, key, outbox).name == f"talk-{digest}-2.split.mp4"
    other = finished(store, tmp_path, "talk.mkv", b"another video of that name")
    assert deliver(store, other, outbox).name == f"talk-{other.rpartition('-')[2]}.split.mp4"
    assert (outbox / f"talk-{digest}.split.mp4").read_bytes() == b"a result"
    assert not (tmp_path / "nowhere").exists()
    assert len(names(outbox)) == 4


def test_what_is_done_to_a_delivered_file_leaves_the_stores_result_alone(
    store: VideoStore, tmp_path: Path, outbox: Path
) -> None:
    key = finished(store, tmp_path, "talk.mp4")
    with deliver(store, key, outbox).open("r+b") as file:
        file.write(b"edited")
    assert store.has_result(key)


@pytest.mark.parametrize("damage", ["cut off", "gone", "no report"])
def test_a_result_that_is_not_what_its_report_says_is_not_delivered(
    any_store: VideoStore, tmp_path: Path, outbox: Path, damage: str
) -> None:
    key = finished(any_store, tmp_path, "talk.mp4")
    result = any_store.result_path(key)
    if damage == "cut off":
        any_store.files.write(result, b"a res")
    else:
        gone = result if damage == "gone" else result.with_suffix(".report.json")
        (tmp_path / "trash").mkdir()
        any_store.files.move_to_trash(gone, tmp_path / "trash")
    with pytest.raises(MissingInputError):
        deliver(any_store, key, outbox)
    assert names(outbox) == []


def test_a_full_or_missing_outbox_is_said_and_nothing_partial_is_left(
    store: VideoStore, tmp_path: Path, small_disk: Path
) -> None:
    key = finished(store, tmp_path, "talk.mp4", bytes(1 << 20))
    with pytest.raises(OutputError, match=r"talk.split.mp4: the disk is full"):
        deliver(store, key, small_disk)
    assert names(small_disk) == []
    with pytest.raises(OutputError, match="its folder does not exist"):
        deliver(store, key, tmp_path / "unmounted" / "outbox")
    assert not (tmp_path / "unmounted").exists()


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        (".hidden.mp4", "hidden.split.mp4"),
        ("noname", "noname.split.mp4"),
        ("...", "video.split.mp4"),
        ("\u05d0\u05d1\u05d2 \U0001f3ac.mp4", "\u05d0\u05d1\u05d2 \U0001f3ac.split.mp4"),
        ("ä" * 120 + ".mp4", "ä" * 100 + ".split.mp4"),
        ("line\nbreak.mp4", "line\N{REPLACEMENT CHARACTER}break.split.mp4"),
    ],
)
def test_every_name_becomes_one_that_can_be_seen(
    store: VideoStore, tmp_path: Path, outbox: Path, name: str, expected: str
) -> None:
    assert deliver(store, finished(store, tmp_path, name), outbox).name == expected


@pytest.mark.parametrize("place", ["inbox", "inbox/done", "store", "store/encoded_video", "link"])
def test_an_outbox_whose_files_would_be_uploads_is_refused(tmp_path: Path, place: str) -> None:
    (tmp_path / "inbox").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "inbox")
    given = {"store": str(tmp_path / "store"), "inbox": tmp_path / "inbox"}
    with pytest.raises(SettingsError, match="Choose a folder elsewhere"):
        _ = ServiceSettings(**given, outbox=tmp_path / place).outbox_folder
    assert ServiceSettings(**given, outbox=tmp_path / "out").outbox_folder == tmp_path / "out"
