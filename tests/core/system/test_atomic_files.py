from __future__ import annotations

import errno
import os
import signal
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest

from dualface_core.errors import InputError, OutputError
from dualface_core.system import atomic_files
from dualface_core.system.atomic_files import TEMPORARY_PREFIX, atomic_write, output_error
from tests.permissions import permissions_count


def publish(target: Path) -> None:
    with atomic_write(target) as temporary:
        temporary.touch()


def test_a_file_appears_whole_and_nothing_else_does(tmp_path: Path) -> None:
    target = tmp_path / "result.mp4"
    with atomic_write(target) as temporary:
        temporary.write_bytes(b"half")
        assert not target.exists()
        temporary.write_bytes(b"whole")
    assert [path.name for path in tmp_path.iterdir()] == ["result.mp4"]
    assert target.read_bytes() == b"whole"


def test_the_temporary_file_is_hidden_beside_its_target_and_keeps_the_suffix(tmp_path: Path) -> None:
    with atomic_write(tmp_path / "result.parquet") as temporary:
        assert temporary.parent == tmp_path
        assert temporary.name.startswith(TEMPORARY_PREFIX)
        assert temporary.name.startswith(".")
        assert temporary.suffix == ".parquet"
        temporary.touch()


def test_a_name_that_is_no_text_is_refused_before_anything_is_written(tmp_path: Path) -> None:
    named = tmp_path / os.fsdecode(b"caf\xe9.mp4")
    with pytest.raises(OutputError, match=r"not UTF-8.*Rename it"), atomic_write(named):
        pytest.fail("it began")
    assert list(tmp_path.iterdir()) == []


def test_two_writers_of_one_target_do_not_meet(tmp_path: Path) -> None:
    with atomic_write(tmp_path / "x") as first, atomic_write(tmp_path / "x") as second:
        first.write_text("first")
        second.write_text("second")
    assert (tmp_path / "x").read_text() == "first"
    assert len(list(tmp_path.iterdir())) == 1


def test_a_temporary_file_that_is_written_atomically_is_not_taken_for_an_abandoned_one(tmp_path: Path) -> None:
    with atomic_write(tmp_path / "a.mp4") as temporary:
        with atomic_write(temporary) as inner:
            inner.write_bytes(b"whole")
        with atomic_write(tmp_path / "b.mp4"):
            pass
    assert (tmp_path / "a.mp4").read_bytes() == b"whole"


def test_what_a_killed_process_has_left_goes_with_the_next_write_and_nothing_else_does(tmp_path: Path) -> None:
    child = os.fork()
    if not child:
        with atomic_write(tmp_path / "killed.mp4") as temporary:
            temporary.write_bytes(b"half")
            os.kill(os.getpid(), signal.SIGKILL)
    os.waitpid(child, 0)
    (abandoned,) = tmp_path.iterdir()
    (tmp_path / ".dualface-taken-1").touch()
    with atomic_write(tmp_path / "a.mp4") as first:
        assert not abandoned.exists()
        with atomic_write(tmp_path / "b.mp4"):
            assert first.exists()  # its process lives
    assert sorted(path.name for path in tmp_path.iterdir()) == [".dualface-taken-1", "a.mp4", "b.mp4"]


@pytest.mark.parametrize("kind", [True, False])
def test_a_file_that_must_stay_is_not_replaced_even_if_it_comes_at_the_last_moment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: bool
) -> None:
    if not kind:  # as on file systems that do not know this kind of rename
        monkeypatch.setattr(atomic_files, "_RENAME_NOREPLACE", 1 << 20)
    target = tmp_path / "talk.mp4"

    def write(name: str, meanwhile: Callable[[], object]) -> None:
        with atomic_write(target, overwrite=False) as temporary:
            temporary.write_text(name)
            meanwhile()

    with pytest.raises(OutputError, match="a file of this name is there already"):
        write("late", lambda: write("first", dict))
    assert target.read_text() == "first"
    assert len(list(tmp_path.iterdir())) == 1


def test_what_a_file_holds_is_on_the_disk_before_its_name_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    synced = []

    def fsync(descriptor: int, real: Callable[[int], None] = os.fsync) -> None:
        synced.append((Path(f"/proc/self/fd/{descriptor}").readlink(), (tmp_path / "x").exists()))
        real(descriptor)

    monkeypatch.setattr(os, "fsync", fsync)
    with atomic_write(tmp_path / "x") as temporary:
        temporary.write_bytes(b"content")
    assert synced == [(temporary, False), (tmp_path, True)]


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt, GeneratorExit])
def test_after_an_error_the_older_result_is_still_there(tmp_path: Path, error: type[BaseException]) -> None:
    target = tmp_path / "result.mp4"
    target.write_bytes(b"older")
    with suppress(error), atomic_write(target) as temporary:
        temporary.write_bytes(b"half")
        raise error
    assert [path.name for path in tmp_path.iterdir()] == ["result.mp4"]
    assert target.read_bytes() == b"older"


def test_a_typed_error_passes_unchanged(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="it is broken"), atomic_write(tmp_path / "x"):
        raise InputError("x", "it is broken", action="Mend it.")


def test_a_name_of_255_bytes_can_be_published(tmp_path: Path) -> None:
    target = tmp_path / ("n" * 251 + ".mp4")
    publish(target)
    assert target.exists()


def test_a_name_that_is_too_long_is_said_to_be(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="the name is too long"):
        publish(tmp_path / ("n" * 300))
    assert list(tmp_path.iterdir()) == []


def test_a_missing_folder_is_named(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="its folder does not exist"):
        publish(tmp_path / "none" / "x")


def test_a_file_in_place_of_the_folder_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(OutputError, match="its folder does not exist"):
        publish(tmp_path / "file" / "x")


def test_a_folder_in_place_of_the_file_is_told(tmp_path: Path) -> None:
    (tmp_path / "x").mkdir()
    with pytest.raises(OutputError, match="a folder has this name"):
        publish(tmp_path / "x")
    assert [path.name for path in tmp_path.iterdir()] == ["x"]


def test_a_folder_without_permission_is_told(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    with permissions_count(), pytest.raises(OutputError, match="no permission to write here"):
        publish(tmp_path / "x")


def test_a_full_disk_is_told_and_gets_its_space_back(small_disk: Path) -> None:
    with pytest.raises(OutputError, match="the disk is full"), atomic_write(small_disk / "x") as temporary:
        temporary.write_bytes(bytes(1_000_000))
    assert list(small_disk.iterdir()) == []


@pytest.mark.parametrize(
    ("number", "expected"),
    [
        (errno.ENOSPC, "the disk is full"),
        (errno.EDQUOT, "the disk is full"),
        (errno.EROFS, "no permission"),
        (errno.EIO, "Input/output error). Check the disk"),
        (errno.EPERM, "Operation not permitted). Run again. If"),  # of FFmpeg: the folder may be written to
        (1_094_995_529, "). Run again. If it ends in the same way, report it"),  # FFmpeg's own: invalid data
    ],
)
def test_every_reason_is_a_sentence_that_names_the_file(number: int, expected: str) -> None:
    message = str(output_error(Path("a\nb.mp4"), OSError(number, os.strerror(number))))
    assert message.startswith(r"a\nb.mp4: ")
    assert expected in message
    assert message.endswith(".")
    assert len(message.splitlines()) == 1
