from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from dualface_assets.inbox import Inbox, Patience
from dualface_assets.resources import VideoStore
from dualface_assets.uploads import Intake


@pytest.fixture
def store(tmp_path: Path) -> VideoStore:
    return VideoStore(root=str(tmp_path / "store"))


@pytest.fixture
def drop(store: VideoStore) -> Callable[..., Path]:
    """Put a file into the inbox."""

    def drop(name: str | bytes, content: bytes = b"a video") -> Path:
        path = store.inbox_folder / os.fsdecode(name)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
        return path

    return drop


@pytest.fixture
def opened() -> Iterator[list[str]]:
    """The files that Python opens while the test runs, each time that it does."""
    paths: list[str] = []
    listening = True

    def hear(event: str, arguments: tuple[Any, ...]) -> None:
        if event == "open" and listening and isinstance(arguments[0], str | os.PathLike):
            paths.append(os.fspath(arguments[0]))

    sys.addaudithook(hear)  # there is no way to remove one
    yield paths
    listening = False


@pytest.fixture
def intake() -> Intake:
    """An intake that takes a file as soon as nobody writes it any more."""
    return Intake(Inbox(Patience(quiet=0, unknown=0, empty=0)))
