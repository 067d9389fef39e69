"""A store behind an fsspec URL: objects, each fetched before it is read, and put once it was written locally.

Belongs here: what is special about a remote store, its credentials included. An object is whole or not there: an object
store makes one upload visible at once, and in other file systems a rename does that.
"""

from __future__ import annotations

import errno
import hashlib
import os
import re
import time
from collections.abc import Collection, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager, suppress
from datetime import datetime
from email.utils import parsedate_to_datetime
from functools import cache
from pathlib import Path
from typing import Any, Final
from urllib.parse import unquote
from uuid import uuid4

from fsspec import AbstractFileSystem
from fsspec.registry import known_implementations
from upath import UPath

from dualface_assets.store.files import LocalFiles, OpenedFile, StoreError, file_sha256, files_below
from dualface_core.errors import FileError, MissingInputError, OutputError, SettingsError, one_line
from dualface_core.system.atomic_files import atomic_write, output_error

OBJECT_STORES: Final = frozenset(
    {"abfs", "abfss", "az", "gcs", "gs", "memory", "oci", "ocilake", "oss", "s3", "s3a", "tos", "tosfs"}
)
"""Protocols of stores in which a new object is seen when it is complete, and not before."""

_CHUNK_BYTES: Final = 4 << 20
_INCOMING: Final = ".incoming"
_NO_ROOM_HERE: Final = frozenset({errno.ENOSPC, errno.EDQUOT})
_TRANSFERS_AT_ONCE: Final = 2
_ABANDONED_AFTER: Final = 86_400.0
"""Seconds after which an unfinished upload to the store is orphaned."""

_NO_SECRETS: Final = frozenset({"host", "protocol", "target_protocol", "endpoint_url", "region_name", "account_name"})
"""Options of a file system that may be shown."""

_MOST_SAID: Final = 300
"""Letters of what a client library says; some quote the whole page that a server sent."""

_SETTING: Final = "DUALFACE_STORE"

_CREDENTIALS: Final = re.compile(r"(?<=://)(?:[^/\s]*|[^/\s@:]*:(?!\d+(?:/|\s|$))[^\s@]*)@")
"""Name and password in a URL, with the @ behind them."""

_QUERY: Final = re.compile(r"(?<=://)([^\s?'\"<>]*)\?[^\s'\"<>)]*")


def without_password(text: str) -> str:
    """The same without name, password and query of the URLs in it.

    A query may hold a token, or the signature of what was asked for. A slash in a password should have been quoted;
    where it was not, the password is not shown either.
    """
    return _QUERY.sub(r"\1", _CREDENTIALS.sub("", text))


class RemoteFiles:
    """Objects behind an fsspec URL.

    Args:
        url: of the store, such as `s3://bucket/prefix`.
        folder: the local folder whose paths name the objects.

    Raises SettingsError for a URL that nothing can be done with, as when a package is not installed.
    """

    def __init__(self, url: str, folder: Path) -> None:
        self._folder = folder
        self._shown = without_password(url).rstrip("/")
        self._root, self._fs = open_url(url, _SETTING)
        self._secrets = secrets_of(url, self._fs.storage_options)
        protocols = {self._fs.protocol} if isinstance(self._fs.protocol, str) else set(self._fs.protocol)
        self._atomic = bool(protocols & OBJECT_STORES)
        self._has_folders = not self._atomic or "memory" in protocols
        if not self._atomic and type(self._fs).mv is AbstractFileSystem.mv:  # which copies and deletes
            raise SettingsError(
                f"DUALFACE_STORE is {self._shown!r}; there a file cannot be renamed, so a half-written one could be "
                "seen. Use a folder, an object store, or a file system such as sftp."
            )

    def check(self) -> None:
        """Ask for what is there. Of an object store, the bucket must exist; we make none."""
        self.names(self._folder)
        with self._asking(self._folder):
            if not self._has_folders and not self._fs.exists(self._root.path.lstrip("/").partition("/")[0]):
                raise StoreError(
                    self._shown, "there is no such bucket", action="Create it, or set DUALFACE_STORE to another one."
                )

    def is_versioned(self) -> bool | None:
        """Whether the bucket keeps what is replaced or removed; None where that is not S3. Raises StoreError."""
        answer = self._ask_s3("get_bucket_versioning")
        return None if answer is None else answer.get("Status") == "Enabled"

    def clock(self) -> float | None:
        """What time it is there, to the second, since the epoch; None where it is not said. Raises StoreError."""
        answer = self._ask_s3("head_bucket")
        said = answer["ResponseMetadata"]["HTTPHeaders"].get("date") if answer else None
        return parsedate_to_datetime(said).timestamp() if said else None

    def _ask_s3(self, question: str) -> dict[str, Any] | None:
        """Ask something of the bucket itself."""
        if "s3" not in self._fs.protocol:
            return None
        with self._asking(self._folder):
            return dict(self._fs.call_s3(question, Bucket=self._root.path.lstrip("/").partition("/")[0]))

    def address(self, path: Path) -> str:
        """The URL."""
        inside = path.relative_to(self._folder)
        return "/".join((self._shown, *inside.parts))

    def exists(self, path: Path) -> bool:
        """Whether there is an object, or one below this name."""
        with self._asking(path):
            return bool(self._fs.find(self._name(path)))

    def names(self, folder: Path) -> list[str]:
        """The next component of all names below this one."""
        with self._asking(folder):
            try:
                found = self._fs.ls(self._name(folder), detail=False)
            except FileNotFoundError:
                return []
            return [name.rstrip("/").rpartition("/")[2] for name in found]

    def size(self, path: Path) -> int:
        """Bytes of all objects."""
        with self._asking(path):
            return int(self._fs.du(self._name(path)))

    def modified(self, path: Path) -> float:
        """The newest time of all objects, by the store's clock."""
        with self._asking(path):
            return max(map(modified_at, self._fs.find(self._name(path), detail=True).values()), default=time.time())

    def read(self, path: Path) -> bytes:
        """The content."""
        with self._asking(path):
            return bytes(self._fs.cat_file(self._name(path)))

    @contextmanager
    def opened(self, path: Path) -> Iterator[OpenedFile]:
        """The object; parts of it are fetched as they are read."""
        name = self._name(path)
        with self._asking(path):
            if not self._fs.isfile(name):
                raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), str(path))
            opened = OpenedFile(self._fs.open(name, "rb"), self._fs.size(name), self._fs.ukey(name))
        with opened.content:
            yield opened

    def write(self, path: Path, content: bytes) -> None:
        """Send a small object, by way of a local file."""
        local = self.staging_path(path, self._folder / _INCOMING)
        try:
            local.write_bytes(content)
            self.put(local, path)
        finally:
            local.unlink(missing_ok=True)

    def sha256(self, path: Path) -> str:
        """Of the object, which is read for that."""
        digest = hashlib.sha256()
        with self._asking(path), self._fs.open(self._name(path), "rb") as file:
            while chunk := file.read(_CHUNK_BYTES):
                digest.update(chunk)
        return digest.hexdigest()

    def fetch(self, path: Path, into: Path, *, sha256: str | None = None) -> Path:
        """A complete copy, named after the object and its folder.

        Client libraries compare checksums where a store has one of the whole object, which it has not of one that was
        sent in parts.
        """
        copy = into / f"{path.parent.name}-{path.name}"
        if copy.exists():
            return copy
        into.mkdir(parents=True, exist_ok=True)
        with atomic_write(copy) as temporary, self._asking(path):
            try:
                size = self._fs.info(self._name(path))["size"]
                self._fs.get_file(self._name(path), str(temporary))
            except FileNotFoundError:
                found = "this file is not in the store (any more)"
                raise MissingInputError(self.address(path), found, action="Make it, or upload it, again.") from None
            except OSError as error:
                if error.errno in _NO_ROOM_HERE:
                    raise output_error(copy, error) from None
                raise
            self._compare(path, size, temporary.stat().st_size)
            if sha256 is not None and sha256 != file_sha256(temporary):
                found = "what has arrived is not what was stored (its SHA-256 is another)"
                raise StoreError(self.address(path), found, action="Look at the store and the network.")
        return copy

    def staging_path(self, path: Path, folder: Path) -> Path:
        """A new name in the folder."""
        folder.mkdir(parents=True, exist_ok=True)
        return folder / f"{uuid4().hex}{path.suffix}"

    def put(self, local: Path, path: Path) -> None:
        """Send a file, make sure that all of it has arrived, and only then remove it here."""
        name = self._name(path)
        with self._asking(path):
            sent = name if self._atomic else self._root.joinpath(_INCOMING, f"{uuid4().hex}{path.suffix}").path
            if not self._atomic:
                self._fs.makedirs(sent.rpartition("/")[0], exist_ok=True)
                self._fs.makedirs(name.rpartition("/")[0], exist_ok=True)
            try:
                self._fs.put_file(str(local), sent)
                self._fs.invalidate_cache()
                self._compare(path, local.stat().st_size, self._fs.info(sent)["size"])
                if sent != name:
                    self._fs.mv(sent, name)
            except FileNotFoundError as error:
                found = f"it cannot be sent there ({_said(error, self._secrets)})"
                raise StoreError(self.address(path), found, action="Look at the store: make doctor") from None
            except BaseException:
                if sent != name:
                    with suppress(Exception):
                        self._fs.rm_file(sent)
                raise
        local.unlink(missing_ok=True)

    def upload_within(self, local: Path, path: Path) -> Future[None]:
        """Send it in the background."""
        return _transfers().submit(self.put, local, path)

    def share(self, path: Path) -> None:
        """Send copies."""
        for file in files_below(path):
            self.write(file, file.read_bytes())

    def gather(self, folder: Path, names: Collection[str]) -> list[str]:
        """Fetch those that are newer there than here."""
        above, folders = self._name(folder), set[str]()
        with self._asking(folder):
            found = self._fs.find(above, detail=True)
        for name, info in found.items():
            path = folder / name.removeprefix(above).lstrip("/")
            if path.parent == folder:
                continue
            folders.add(path.relative_to(folder).parts[0])
            if path.name in names and _written(path) < (modified := modified_at(info)):
                with suppress(FileNotFoundError):  # removed since
                    LocalFiles(self._folder).write(path, self.read(path))
                    os.utime(path, (modified, modified))
        return sorted(folders)

    def move_to_trash(self, path: Path, trash: Path) -> None:
        """Move aside and delete; in an object store, delete one object after the other, the rest the next time."""
        LocalFiles(self._folder).move_to_trash(path, trash)  # if it was shared
        name = self._name(path)
        with self._asking(path):
            if self._atomic:
                for found in self._fs.find(name):
                    self._fs.rm_file(found)
                if self._has_folders:
                    with suppress(OSError):
                        self._fs.rmdir(name)
            elif self._fs.exists(name):
                aside = self._root.joinpath(_INCOMING, uuid4().hex).path
                self._fs.makedirs(aside.rpartition("/")[0], exist_ok=True)
                self._fs.mv(name, aside)
                self._fs.rm(aside, recursive=True)

    def remove_forgotten(self) -> None:
        """Remove what lies among the incoming files for a day, and the parts of a file whose newest is as old."""
        incoming = self._folder / _INCOMING
        if self._atomic:
            with suppress(StoreError):  # not everybody may list them; then a rule of the bucket has to do it
                self._abort_forgotten_parts()
            return
        for name in self.names(incoming):
            if time.time() - self.modified(incoming / name) > _ABANDONED_AFTER:
                self.move_to_trash(incoming / name, incoming)

    def _abort_forgotten_parts(self) -> None:
        """In S3, parts stay, unseen and paid for, until somebody ends what they were to become."""
        if not hasattr(self._fs, "list_multipart_uploads"):  # s3fs has it
            return
        bucket, _, prefix = self._root.path.lstrip("/").partition("/")
        with self._asking(self._folder):
            for begun in self._fs.list_multipart_uploads(bucket):
                key, upload_id = begun["Key"], begun["UploadId"]
                if not key.startswith(prefix):
                    continue  # it is another program's
                parts = self._fs.call_s3("list_parts", Bucket=bucket, Key=key, UploadId=upload_id).get("Parts", [])
                newest = max((part["LastModified"].timestamp() for part in parts), default=time.time())
                if time.time() - newest > _ABANDONED_AFTER:
                    self._fs.abort_mpu(bucket, key, upload_id)

    def _name(self, path: Path) -> str:
        return self._root.joinpath(*path.relative_to(self._folder).parts).path

    def _compare(self, path: Path, expected: int, found: int) -> None:
        if expected != found:
            raise OutputError(
                self.address(path),
                f"{found} of {expected} bytes have arrived",
                action="Look at the store and the network.",
            )

    @contextmanager
    def _asking(self, path: Path) -> Iterator[None]:
        with asking(self.address(path), self._secrets, _SETTING):
            self._fs.invalidate_cache()  # other processes write, too
            yield


@contextmanager
def asking(address: str, secrets: frozenset[str], setting: str) -> Iterator[None]:
    """Turn what a client library raises into a sentence. That there is no such file is an answer.

    The error itself goes no further, not even as a cause: Dagster stores and shows causes, and the text of one may
    hold the address with its password, or a signature that lets its reader into the store.

    Args:
        address: what is asked for, for people.
        secrets: what must not be seen.
        setting: the variable that names the store.
    """
    try:
        yield
    except (FileNotFoundError, FileError):
        raise
    except Exception as error:  # noqa: BLE001  every package has errors of its own
        found = f"the store does not answer as it should ({_said(error, secrets)})"
        raise StoreError(address, found, action=_remedy(setting)) from None


def _remedy(setting: str) -> str:
    return f"Check {setting}, the credentials and the network."


def modified_at(info: Mapping[str, Any]) -> float:
    """When an object was written, by the store's clock: seconds since the epoch. File systems name it in many ways."""
    found = next(
        (info[name] for name in ("LastModified", "last_modified", "mtime", "updated", "created") if name in info),
        time.time(),
    )
    return found.timestamp() if isinstance(found, datetime) else float(found)


def _written(path: Path) -> float:
    return path.stat().st_mtime if path.exists() else 0.0


@cache
def _transfers() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(_TRANSFERS_AT_ONCE, thread_name_prefix="store")


os.register_at_fork(after_in_child=_transfers.cache_clear)  # a child process has none of its parent's threads


def open_url(url: str, setting: str) -> tuple[UPath, AbstractFileSystem]:
    """The place that a URL names, and its file system. `setting` is the variable that it comes from.

    Raises SettingsError, or StoreError.
    """
    protocol = url.partition("://")[0]
    try:
        root = UPath(url)
        file_system = root.fs  # which is made only when it is asked for
    except ImportError as error:
        package = known_implementations.get(protocol, {"class": "fsspec"})["class"].partition(".")[0]
        advice = f"Run: pip install {package}" if package != "fsspec" else f"{error}."
        raise SettingsError(
            f"{setting} begins with {protocol}://, and the package for that is not installed. {advice}"
        ) from None
    except ValueError:  # which may quote a part of the URL, such as a password that it takes for a port
        found = "which fsspec does not know" if protocol not in known_implementations else "but is no address"
        raise SettingsError(
            f"{setting} begins with {protocol}://, {found}. Use a folder, or a URL such as s3://bucket/prefix."
        ) from None
    except Exception as error:  # noqa: BLE001  some log in at once, as for sftp://
        found = f"the store does not answer ({_said(error, secrets_of(url, {}))})"
        raise StoreError(without_password(url), found, action=_remedy(setting)) from None
    return root, file_system


def secrets_of(url: str, options: Any) -> frozenset[str]:
    """What must not be seen of an address, and of what its file system was made with."""
    credentials = _CREDENTIALS.search(url)
    address = credentials[0].removesuffix("@") if credentials else ""
    found = {part for part in (*address.split(":", 1), url.partition("?")[2]) if part}
    return frozenset(found | {unquote(part) for part in found} | set(_texts(options)))


def _texts(options: Any) -> Iterator[str]:
    if isinstance(options, dict):
        for name, value in options.items():
            yield from _texts(value) if name not in _NO_SECRETS else ()
    elif isinstance(options, list | tuple):
        for value in options:
            yield from _texts(value)
    elif isinstance(options, str) and options:
        yield options


def _said(error: Exception, secrets: frozenset[str]) -> str:
    """What a client library says, in one line; only what kind of error it is if there is any secret in it."""
    kind, text = type(error).__name__, str(error)
    if not text or any(secret in text for secret in secrets):
        return kind
    return f"{kind}: {one_line(without_password(text))[:_MOST_SAID]}"
