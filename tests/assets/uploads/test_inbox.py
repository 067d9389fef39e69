from __future__ import annotations

import fcntl
import io
import os
import subprocess
import sys
import time
from pathlib import Path

import av
import numpy as np
import pytest

from dualface_assets.uploads.inbox import Inbox, StabilityWindow
from tests.permissions import another_user_can, public_folder


class Clock:
    """A clock that tests turn forward. It starts now, so that files made now are new."""

    def __init__(self) -> None:
        self.ahead = 0.0

    def __call__(self) -> float:
        return time.time() + self.ahead


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def inbox(clock: Clock) -> Inbox:
    return Inbox(StabilityWindow(quiet=30, unknown=60, empty=300), clock=clock)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path


def complete(inbox: Inbox, folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in inbox.scan(folder, beside=folder / "store", most=100).complete}


def test_a_file_is_complete_once_it_has_been_quiet(inbox: Inbox, folder: Path, clock: Clock) -> None:
    (folder / "a.mp4").write_bytes(b"video")
    assert complete(inbox, folder) == set()
    clock.ahead = 120
    inbox.scan(folder, beside=folder, most=100)
    clock.ahead = 240
    assert complete(inbox, folder) == {"a.mp4"}


def test_a_file_that_grows_is_left_alone(inbox: Inbox, folder: Path, clock: Clock) -> None:
    path = folder / "a.mp4"
    path.write_bytes(b"begin")
    for minutes in range(1, 6):
        clock.ahead = -3600  # a server whose clock is an hour ahead of ours: only watching helps
        clock.ahead += minutes * 60
        assert complete(inbox, folder) == set()
        with path.open("ab") as file:
            file.write(b"more")
    assert complete(inbox, folder) == set()
    clock.ahead += 120
    assert complete(inbox, folder) == {"a.mp4"}


def test_a_file_is_taken_soon_although_the_clock_was_set_back(inbox: Inbox, folder: Path, clock: Clock) -> None:
    (folder / "a.mp4").write_bytes(b"video")
    for ahead, taken in ((0, set[str]()), (-10_800, set[str]()), (-10_700, {"a.mp4"})):
        clock.ahead = ahead
        assert complete(inbox, folder) == taken


def kernel_tells_who_writes(folder: Path) -> bool:
    """Whether a lease can be had where no process writes (fcntl(2)); not so on some file systems of networks."""
    trial = folder / ".lease"
    trial.touch()
    with trial.open() as file:
        try:
            fcntl.fcntl(file, fcntl.F_SETLEASE, fcntl.F_RDLCK)
        except OSError:
            return False
    trial.unlink()
    return True


def test_a_file_that_another_process_still_writes_is_left_alone(inbox: Inbox, folder: Path, clock: Clock) -> None:
    if not kernel_tells_who_writes(folder):
        pytest.skip("this file system does not tell who writes")
    program = "import sys; f = open('a.mp4', 'wb'); f.write(b'x'); f.flush(); print(flush=True); sys.stdin.read()"
    with subprocess.Popen(
        [sys.executable, "-c", program], cwd=folder, stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as writer:
        assert writer.stdout is not None
        writer.stdout.readline()
        complete(inbox, folder)
        clock.ahead = 3600
        scan = inbox.scan(folder, beside=folder, most=100)
        assert set(scan.waiting.values()) == {"another program is still writing it"}
        assert not scan.complete
        writer.communicate()
    assert complete(inbox, folder) == {"a.mp4"}


def test_an_empty_file_gets_more_time_to_become_a_video(inbox: Inbox, folder: Path, clock: Clock) -> None:
    (folder / "a.mp4").touch()
    complete(inbox, folder)
    clock.ahead = 100
    assert complete(inbox, folder) == set()
    clock.ahead = 400
    assert complete(inbox, folder) == {"a.mp4"}


def recording(suffix: str, options: dict[str, str], codec: str = "mpeg4") -> bytes:
    whole = io.BytesIO()
    form = {"mkv": "matroska", "ts": "mpegts", "m2ts": "mpegts", "mpg": "mpeg"}.get(suffix, suffix)
    with av.open(whole, "w", format=form, options=options) as container:
        stream = container.add_stream(codec, rate=25)
        stream.width, stream.height, stream.pix_fmt = 64, 64, "yuv420p"
        for shade in range(50):
            frame = av.VideoFrame.from_ndarray(np.full((96, 64), shade, np.uint8), format="yuv420p")
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return whole.getvalue()


@pytest.mark.parametrize(
    ("suffix", "options"), [("mp4", {}), ("mkv", {}), ("avi", {}), ("mp4", {"movflags": "frag_every_frame"})]
)
def test_a_recording_that_is_continued_every_few_seconds_is_taken_when_it_has_its_end(
    folder: Path, clock: Clock, suffix: str, options: dict[str, str]
) -> None:
    content = recording(suffix, options)
    path = folder / f"a.{suffix}"
    inbox = Inbox(StabilityWindow(quiet=2, unknown=2, unfinished=600), clock=clock)
    for number in range(4):
        with path.open("ab") as file:
            file.write(content[number * len(content) // 4 : (number + 1) * len(content) // 4])
        complete(inbox, folder)
        clock.ahead += 9
        assert complete(inbox, folder) == ({path.name} if number == 3 else set())


@pytest.mark.parametrize(
    ("suffix", "options", "codec"),
    [
        ("ts", {}, "mpeg4"),
        ("m2ts", {"mpegts_m2ts_mode": "1"}, "mpeg4"),
        ("flv", {}, "flv"),
        ("mpg", {}, "mpeg1video"),
        ("ogg", {}, "libvpx"),
    ],
)
def test_a_recording_whose_format_has_no_end_is_left_alone_for_longer(
    folder: Path, clock: Clock, suffix: str, options: dict[str, str], codec: str
) -> None:
    (folder / f"a.{suffix}").write_bytes(recording(suffix, options, codec))
    inbox = Inbox(StabilityWindow(quiet=2, unknown=2, unfinished=600), clock=clock)
    for ahead, taken in ((0, set[str]()), (300, set[str]()), (900, {f"a.{suffix}"})):
        clock.ahead = ahead
        assert complete(inbox, folder) == taken


def test_nothing_that_another_user_has_put_into_the_inbox_keeps_uploads_from_being_seen() -> None:
    with public_folder() as shared:
        shared.chmod(0o1777)
        assert another_user_can(lambda: os.mkfifo(shared / ".dualface-lease"))
        (shared / "a.mp4").write_bytes(b"x")
        assert complete(Inbox(StabilityWindow(0, 0, 0)), shared) == {"a.mp4"}


def test_a_recording_that_never_gets_its_end_is_taken_all_the_same(folder: Path, clock: Clock) -> None:
    (folder / "a.mp4").write_bytes(b"\0\0\0\x10ftypisom\0\0\0\0\0\0\x10\0mdat")
    inbox = Inbox(StabilityWindow(), clock=clock)
    for ahead, taken in ((0, set[str]()), (30, set[str]()), (90, {"a.mp4"})):
        clock.ahead = ahead
        assert complete(inbox, folder) == taken
    assert not inbox.scan(folder, beside=folder, most=100).waiting


def test_temporary_hidden_and_half_downloaded_files_are_no_uploads(folder: Path) -> None:
    names = [
        *(".hidden.mp4", "a.mp4.part", "b.tmp", "c.MP4.CRDOWNLOAD", "~lock.mp4", "d.mp4~", "Thumbs.db"),
        *("e.mp4", "e.mp4.part"),  # Firefox: an empty file of the final name beside the download
        ".sync/f.mp4",
        "store/g.mp4",
    ]
    for name in (*names, "deep/er/video.mp4", "tmp.mp4"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(b"x")
    (folder / "link.mp4").symlink_to(folder / "tmp.mp4")
    os.mkfifo(folder / "pipe.mp4")
    assert complete(Inbox(StabilityWindow(0, 0, 0)), folder) == {"deep/er/video.mp4", "tmp.mp4"}


def test_smaller_files_come_first(folder: Path) -> None:
    for name, size in (("big", 300), ("small", 1), ("middle", 20)):
        (folder / name).write_bytes(bytes(size))
    scan = Inbox(StabilityWindow(0, 0, 0)).scan(folder, beside=folder, most=100)
    assert [path.name for path in scan.complete] == ["small", "middle", "big"]


def test_files_behind_as_many_as_can_be_taken_are_only_counted(folder: Path, opened: list[str]) -> None:
    for number in range(5):
        (folder / f"{number}.mp4").write_bytes(bytes(number + 1))
    opened.clear()
    scan = Inbox(StabilityWindow(0, 0, 0)).scan(folder, beside=folder, most=2)
    assert [path.name for path in scan.complete] == ["0.mp4", "1.mp4"]
    assert (scan.waiting, scan.backlog) == ({}, 3)
    assert {Path(path).name for path in opened if path.endswith(".mp4")} == {"0.mp4", "1.mp4"}


def test_looking_leaves_nothing_behind(folder: Path) -> None:
    (folder / "a.mp4").write_bytes(b"x")
    Inbox(StabilityWindow(0, 0, 0)).scan(folder, beside=folder, most=100)
    assert [path.name for path in folder.iterdir()] == ["a.mp4"]
