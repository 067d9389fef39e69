from __future__ import annotations

import hashlib
import json
import os
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import dagster as dg
import fsspec
import pytest
import sqlalchemy
from fsspec.implementations.local import LocalFileSystem
from fsspec.implementations.memory import MemoryFileSystem

from deploy.local import servers
from deploy.local.servers import Server
from dualface_assets.store.video_store import VideoStore
from dualface_assets.uploads.inbox import Inbox, StabilityWindow
from dualface_assets.uploads.intake import Intake
from dualface_core.pipeline import report_path
from tests.own_instance import own_instance
from tests.s3_server import S3Server, s3_server, why_unavailable


class LanFileSystem(LocalFileSystem):
    """Another machine's folder: not ours, with folders, and with a rename."""

    protocol = "lan"

    def invalidate_cache(self, path: str | None = None) -> None:
        """Nothing is cached."""


fsspec.register_implementation("lan", LanFileSystem)


@pytest.fixture
def instance(tmp_path: Path) -> Iterator[dg.DagsterInstance]:
    """An instance with our configuration."""
    with own_instance(tmp_path / "home") as instance:
        yield instance


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[tuple[Server, str]]:
    """A PostgreSQL server and its URL. The name of its socket must be short, so it lies in no folder of pytest's."""
    pytest.importorskip("dagster_postgres", reason="dagster-postgres is not installed")
    if reason := servers.why_unavailable("postgres"):
        pytest.skip(reason)
    with tempfile.TemporaryDirectory(prefix="dualface-") as folder:
        Path(folder).chmod(0o755)  # another user's server is to reach its own folder in it
        with servers.postgres(Path(folder) / "postgres") as server:
            yield server


@pytest.fixture
def postgres_instance(tmp_path: Path, postgres_server: tuple[Server, str]) -> Iterator[dg.DagsterInstance]:
    """An instance with our configuration and a PostgreSQL database of its own."""
    name, (_, url) = uuid4().hex, postgres_server
    with sqlalchemy.create_engine(url, isolation_level="AUTOCOMMIT").connect() as connection:
        connection.execute(sqlalchemy.text(f'CREATE DATABASE "{name}"'))
    storage = {"postgres": {"postgres_url": url.replace("/postgres?", f"/{name}?")}}
    with own_instance(tmp_path / "home", storage=storage) as instance:
        yield instance


@pytest.fixture(params=["instance", "postgres_instance"])
def any_instance(request: pytest.FixtureRequest) -> dg.DagsterInstance:
    """An instance on each kind of database."""
    found = request.getfixturevalue(request.param)
    assert isinstance(found, dg.DagsterInstance)
    return found


@pytest.fixture
def store(tmp_path: Path) -> VideoStore:
    return VideoStore(root=str(tmp_path / "store"))


@pytest.fixture
def lan_store(tmp_path: Path) -> VideoStore:
    """A remote file system."""
    return VideoStore(root=f"lan://{tmp_path}/far", inbox=str(tmp_path / "inbox"), work=str(tmp_path / "work"))


@pytest.fixture
def object_store(tmp_path: Path) -> Iterator[VideoStore]:
    """A remote object store."""
    root = f"memory://{tmp_path.name}/videos"
    yield VideoStore(root=root, inbox=str(tmp_path / "inbox"), work=str(tmp_path / "work"))
    MemoryFileSystem.store.clear()
    MemoryFileSystem.pseudo_dirs[:] = [""]


@pytest.fixture(scope="session")
def s3(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3Server]:
    """An S3 server."""
    if reason := why_unavailable():
        pytest.skip(reason)
    with s3_server(tmp_path_factory.mktemp("s3")) as server:
        server.create("videos")
        yield server


@pytest.fixture
def s3_store(tmp_path: Path, s3: S3Server, monkeypatch: pytest.MonkeyPatch) -> Iterator[VideoStore]:
    """A store on an S3 server that is slow, and fails 5 % of what it is asked."""
    for name, value in s3.environment.items():
        monkeypatch.setenv(name, value)
    s3.trouble(fail_every=20, delay_ms=2)
    root = f"s3://videos/{uuid4().hex}"
    yield VideoStore(root=root, inbox=str(tmp_path / "inbox"), work=str(tmp_path / "work"))
    s3.trouble()


@pytest.fixture(params=["store", "lan_store", "object_store", "s3_store"])
def any_store(request: pytest.FixtureRequest) -> VideoStore:
    """A store of each kind."""
    found = request.getfixturevalue(request.param)
    assert isinstance(found, VideoStore)
    return found


def publish(store: VideoStore, key: str, content: bytes = b"a result") -> None:
    """Put a result into the store, with as much of its report as says that it is whole."""
    result = store.result_path(key)
    store.files.write(result, content)
    report = {"size_bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()}
    store.files.write(report_path(result), json.dumps(report).encode())


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
    """The files that Python opens while the test runs, and the databases of SQLite, each time that it does."""
    paths: list[str] = []
    listening = True

    def hear(event: str, arguments: tuple[Any, ...]) -> None:
        if event in {"open", "sqlite3.connect"} and listening and isinstance(arguments[0], str | os.PathLike):
            paths.append(os.fspath(arguments[0]))

    sys.addaudithook(hear)  # there is no way to remove one
    yield paths
    listening = False


def eager(inbox: type[Inbox] = Inbox, **options: int) -> Intake:
    """An intake that takes a file as soon as no program writes it."""
    return Intake(inbox(StabilityWindow(quiet=0, unknown=0, empty=0, unfinished=0)), **options)


@pytest.fixture
def intake() -> Intake:
    return eager()
