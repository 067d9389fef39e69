"""The files of a store: what is done with them (StoreFiles), and a store that is a local folder (LocalFiles).

Belongs here: the few things that are done with a store's files. Every caller names a file by its path below the store's
folder. In a local store that is where the file is, and nothing is ever copied. `remote` has the other kind of store.
"""

from __future__ import annotations

import errno
import hashlib
import os
import shutil
import stat
from collections.abc import Collection, Iterator
from concurrent.futures import Future
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import dataclass
from io import BufferedReader
from pathlib import Path
from typing import BinaryIO, Final, Protocol
from uuid import uuid4

from dualface_core.errors import FileError
from dualface_core.system.atomic_files import atomic_write, output_error, sync

_FOLDER_MODE: Final = 0o750
_FILE_MODE: Final = 0o640


class StoreError(FileError):
    """A remote store does not answer, or not as it should."""

    back_off = True


@dataclass(frozen=True)
class OpenedFile:
    """A file of a store, any part of which can be read: its content, bytes, and a mark that changes with it."""

    content: BinaryIO
    size: int
    version: str


class StoreFiles(Protocol):
    """What is done with the files of a store. Paths are those below the store's folder."""

    def check(self) -> None:
        """Raise StoreError if there is no such store, or it does not answer."""

    def address(self, path: Path) -> str:
        """Where a file is, for people: a path or a URL."""

    def exists(self, path: Path) -> bool:
        """Whether there is a file, or anything in a folder."""

    def names(self, folder: Path) -> list[str]:
        """What is in a folder; nothing if there is no such folder."""

    def size(self, path: Path) -> int:
        """Bytes of a file, or of all files in a folder."""

    def modified(self, path: Path) -> float:
        """When a file, or the newest one in a folder, was written: seconds since the epoch."""

    def read(self, path: Path) -> bytes:
        """A small file's content. Raises FileNotFoundError."""

    def opened(self, path: Path) -> AbstractContextManager[OpenedFile]:
        """Open a file for the length of the block. Raises OSError, as where there is none, or a link leads to it."""

    def write(self, path: Path, content: bytes) -> None:
        """Write a small file, whole and lasting."""

    def sha256(self, path: Path) -> str:
        """Digest of a file's content, in hex. Raises FileNotFoundError."""

    def fetch(self, path: Path, into: Path, *, sha256: str | None = None) -> Path:
        """A local file of this content: the file itself, or a copy in the folder `into`, made unless it is there.

        A copy whose digest is not `sha256` (hex; None: not known) is none. Raises MissingInputError, or StoreError.
        """

    def staging_path(self, path: Path, folder: Path) -> Path:
        """Where to write what will be put at `path`: there, or in `folder`. The writer makes it appear whole."""

    def put(self, local: Path, path: Path) -> None:
        """Move a local file to its place, where it appears whole, in place of an older one, or not at all."""

    def upload_within(self, local: Path, path: Path) -> Future[None]:
        """The same, but without waiting where that takes long."""

    def share(self, path: Path) -> None:
        """Have a small file, or a folder of some, at its place, where it was written already."""

    def gather(self, folder: Path, names: Collection[str]) -> list[str]:
        """Have here, below a folder, the small files of these names that other hosts have shared. Gives its folders."""

    def move_to_trash(self, path: Path, trash: Path) -> None:
        """Have a file or folder vanish; what is left to be removed lies in the local folder `trash`."""

    def remove_forgotten(self) -> None:
        """Remove what was begun to be sent and never finished."""


@dataclass(frozen=True)
class LocalFiles:
    """A folder of this machine."""

    folder: Path

    def check(self) -> None:
        """A folder is made when it is needed."""

    def address(self, path: Path) -> str:
        """The path."""
        return str(path)

    def exists(self, path: Path) -> bool:
        """Whether there is anything of this name."""
        return path.exists()

    def names(self, folder: Path) -> list[str]:
        """What is in a folder."""
        try:
            with os.scandir(folder) as entries:
                return [entry.name for entry in entries]
        except FileNotFoundError:
            return []

    def size(self, path: Path) -> int:
        """Bytes of all files."""
        return sum(file.stat().st_size for file in files_below(path))

    def modified(self, path: Path) -> float:
        """The newest time of all files."""
        return max((file.stat().st_mtime for file in files_below(path)), default=path.stat().st_mtime)

    def read(self, path: Path) -> bytes:
        """The content."""
        return path.read_bytes()

    @contextmanager
    def opened(self, path: Path) -> Iterator[OpenedFile]:
        """The file itself."""
        with folder_below(self.folder, path.parent) as folder, reading(path.name, folder) as file:
            found = os.fstat(file.fileno())
            yield OpenedFile(file, found.st_size, f"{found.st_ino:x}-{found.st_mtime_ns:x}-{found.st_size:x}")

    def write(self, path: Path, content: bytes) -> None:
        """Write a file that is on the disk itself on return."""
        make_folder(path.parent)
        with atomic_write(path) as temporary:
            temporary.write_bytes(content)
            temporary.chmod(_FILE_MODE)

    def sha256(self, path: Path) -> str:
        """Of the file."""
        return file_sha256(path)

    def fetch(self, path: Path, into: Path, *, sha256: str | None = None) -> Path:  # noqa: ARG002  there is no copy
        """The file itself."""
        return path

    def staging_path(self, path: Path, folder: Path) -> Path:  # noqa: ARG002  it can be written where it belongs
        """Its own place."""
        make_folder(path.parent)
        return path

    def put(self, local: Path, path: Path) -> None:
        """Rename, once the content is on the disk."""
        local.chmod(_FILE_MODE)
        if local == path:
            return
        sync(local)
        self._move(local, path)

    def _move(self, local: Path, path: Path) -> None:
        make_folder(path.parent)
        try:
            local.replace(path)
            local.unlink(missing_ok=True)  # a rename leaves two names of one file as they are: rename(2)
        except OSError as error:
            raise output_error(path, error) from error
        sync(path.parent)

    def upload_within(self, local: Path, path: Path) -> Future[None]:
        """Rename, at once."""
        with suppress(PermissionError):  # the owner of an upload may be another user
            local.chmod(_FILE_MODE)
        self._move(local, path)
        done: Future[None] = Future()
        done.set_result(None)
        return done

    def share(self, path: Path) -> None:
        """It is there."""

    def gather(self, folder: Path, names: Collection[str]) -> list[str]:  # noqa: ARG002  all are here
        """They are there."""
        return self.names(folder)

    def move_to_trash(self, path: Path, trash: Path) -> None:
        """Rename."""
        with suppress(FileNotFoundError):
            path.rename(trash / uuid4().hex)

    def remove_forgotten(self) -> None:
        """Nothing is ever sent."""


def empty(trash: Path) -> None:
    """Remove what was moved into this folder."""
    for path in trash.iterdir():
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink()


def make_folder(folder: Path) -> None:
    """Make a folder, unless it is there, and those that it is in. Only their user and group may enter."""
    if not folder.exists():
        make_folder(folder.parent)
        folder.mkdir(mode=_FOLDER_MODE, exist_ok=True)
        sync(folder.parent)


def file_sha256(path: Path) -> str:
    """Digest of a local file's content, in hex."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def files_below(path: Path) -> list[Path]:
    """The file itself, or all files in a folder and its sub-folders."""
    return [path] if path.is_file() else [file for file in path.rglob("*") if file.is_file()]


@contextmanager
def folder_below(root: Path, folder: str | Path) -> Iterator[int]:
    """Yield a descriptor of a folder, or of one below it, for what is done with files there (`dir_fd`).

    The upper one itself may be a link; nothing below it may. Raises OSError, as for a link in the place of a folder.
    """
    descriptor = os.open(root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        for part in Path(folder).relative_to(root).parts:
            below = os.open(part, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=descriptor)
            os.close(descriptor)
            descriptor = below
        yield descriptor
    finally:
        os.close(descriptor)


@contextmanager
def reading(path: str | Path, folder: int | None = None) -> Iterator[BufferedReader]:
    """Read a regular file: neither what a link points at, nor a pipe, which would have us wait for its other end.

    A relative path is relative to the folder of the descriptor. Raises OSError.
    """
    flags = os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK
    descriptor = os.open(path, flags, dir_fd=folder)
    try:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise OSError(errno.EINVAL, "it is no regular file")
        with os.fdopen(descriptor, "rb", closefd=False) as file:
            yield file
    finally:
        os.close(descriptor)
