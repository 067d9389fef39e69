from __future__ import annotations

from pathlib import Path

import pytest

from dualface_core.errors import MachineError
from dualface_core.system.marked_folders import MARKER, mark, why_missing


def test_a_new_folder_and_one_from_before_there_were_markers_are_marked_without_ceremony(tmp_path: Path) -> None:
    (tmp_path / "old" / "raw_video").mkdir(parents=True)
    for folder in (tmp_path / "new", tmp_path / "old"):
        assert why_missing(folder, tmp_path / "home") is None
        mark(folder, tmp_path / "home")
        assert (folder / MARKER).exists()


def test_a_folder_that_has_lost_its_marker_is_not_made_again(tmp_path: Path) -> None:
    folder, home = tmp_path / "store", tmp_path / "home"
    mark(folder, home)
    folder.rename(tmp_path / "elsewhere")
    for there in ("nothing", "the empty folder that it is mounted on"):
        with pytest.raises(MachineError, match=r"store: is not the store: there is no \.dualface-store in it\. Mount"):
            mark(folder, home)
        assert folder.exists() == (there != "nothing")
        folder.mkdir(exist_ok=True)
    assert list(folder.iterdir()) == []
    (folder / MARKER).touch()  # as the sentence says
    mark(folder, home)


def test_another_instance_may_work_on_the_same_folder(tmp_path: Path) -> None:
    for home in ("one", "another"):
        mark(tmp_path / "store", tmp_path / home)
        assert why_missing(tmp_path / "store", tmp_path / home) is None


def test_a_drive_that_does_not_answer_is_missing(lost_drive: Path, tmp_path: Path) -> None:
    assert "does not answer (Transport endpoint" in str(why_missing(lost_drive, tmp_path))
