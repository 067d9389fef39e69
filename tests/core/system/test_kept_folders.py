from __future__ import annotations

import os
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path

import pytest

from dualface_core.errors import MachineError, NativeCrashError, OutputError
from dualface_core.system.atomic_files import atomic_write
from dualface_core.system.kept_folders import kept_folder, removed_in_the_end, taken_over
from dualface_core.system.private_folders import PrivateFolderError
from tests.permissions import another_user_can, public_folder

LONG_AGO = time.time() - 4 * 86_400


def abandon(folder: Path) -> None:
    """Leave a folder as a process does that is killed."""
    folder.mkdir()
    (folder / "lock").touch()
    (folder / "span").write_text("finished")


def test_a_folder_is_hidden_beside_the_output_and_the_same_each_time(tmp_path: Path) -> None:
    folder = kept_folder(tmp_path / "a.mp4")
    assert folder == kept_folder(tmp_path / "a.mp4")
    assert folder != kept_folder(tmp_path / "b.mp4")
    assert folder.parent == tmp_path
    assert folder.name.startswith(".dualface-")


def test_what_a_killed_process_has_left_is_there_for_the_next_until_that_is_done(tmp_path: Path) -> None:
    folder = kept_folder(tmp_path / "a.mp4")
    abandon(folder)
    with removed_in_the_end(folder):
        with taken_over(folder) as ours:
            assert ours
            assert (folder / "span").read_text() == "finished"
        assert (folder / "span").exists()
    assert not folder.exists()


def test_two_processes_do_not_have_one_folder(tmp_path: Path) -> None:
    folder = kept_folder(tmp_path / "a.mp4")
    with taken_over(folder) as first:
        with removed_in_the_end(folder), taken_over(folder) as second:
            assert (first, second) == (True, False)
        assert folder.stat().st_mode & 0o777 == 0o700


@pytest.mark.parametrize("context", [taken_over, removed_in_the_end])
@pytest.mark.parametrize(
    ("error", "stays"),
    [
        (KeyboardInterrupt(), False),
        (OutputError("a.mp4", "the disk is full", action="Free some."), False),
        (NativeCrashError("a.mp4", "a library crashed", action="Run again."), True),
        (MachineError("a.mp4", "the drive does not answer", action="Look at it."), True),
    ],
)
def test_a_folder_stays_after_what_may_pass_and_is_gone_after_all_else(
    tmp_path: Path, context: Callable[[Path], AbstractContextManager[object]], error: BaseException, stays: bool
) -> None:
    folder = kept_folder(tmp_path / "a.mp4")
    abandon(folder)
    with pytest.raises(type(error)), context(folder):
        raise error
    assert folder.exists() == stays


def test_a_forgotten_folder_goes_with_whatever_is_written_beside_it_next(tmp_path: Path) -> None:
    forgotten, fresh, in_use = (kept_folder(tmp_path / name) for name in ("a.mp4", "b.mp4", "c.mp4"))
    for folder in (forgotten, fresh):
        abandon(folder)
    with taken_over(in_use):
        for folder in (forgotten, in_use):
            os.utime(folder, (LONG_AGO, LONG_AGO))
        with atomic_write(tmp_path / "other.mp4") as temporary:
            temporary.touch()
        assert not forgotten.exists()
        assert fresh.exists()
        assert in_use.exists()


@pytest.mark.parametrize("put", ["a link to our files", "a folder", "a file", "a pipe"])
def test_what_another_user_has_put_in_its_place_is_not_taken_over_and_nothing_is_done_to_it(
    tmp_path: Path, put: str
) -> None:
    ours = tmp_path / "thesis.txt"
    ours.write_text("two years of work")
    with public_folder() as shared:
        shared.chmod(0o777)
        folder = kept_folder(shared / "talk.mp4")
        makers = {
            "a link to our files": lambda: folder.symlink_to(tmp_path),
            "a folder": folder.mkdir,
            "a file": folder.touch,
            "a pipe": lambda: os.mkfifo(folder),
        }
        assert another_user_can(makers[put])
        os.utime(folder, (LONG_AGO, LONG_AGO), follow_symlinks=False)
        with removed_in_the_end(folder), pytest.raises(PrivateFolderError), taken_over(folder):
            pass
        with atomic_write(shared / "other.mp4") as temporary:
            temporary.touch()
        assert folder.is_symlink() or folder.exists()
    assert [path.name for path in tmp_path.iterdir()] == [ours.name]
