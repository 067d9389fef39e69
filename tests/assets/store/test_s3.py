"""What is special about a store in S3: large files go in parts. What all stores have in common is in `test_files`."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import httpx
import pytest

from deploy.local.servers import PATIENCE
from dualface_assets.store.files import StoreError
from dualface_assets.store.video_store import VideoStore
from tests.assets.conftest import S3Server

LARGE = 101 << 20
"""Bytes. s3fs sends a file in parts of 50 MiB, if it has two of them or more."""


@pytest.fixture
def large(tmp_path: Path) -> Path:
    """A sparse file, every part of which is another."""
    path = tmp_path / "large.mp4"
    with path.open("wb") as file:
        file.truncate(LARGE)
        for at in range(0, LARGE, LARGE // 7):
            file.seek(at)
            file.write(b"%d bytes in" % at)
    return path


def test_a_file_in_parts_is_seen_when_all_have_arrived_and_not_before(
    s3_store: VideoStore, s3: S3Server, large: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    s3fs = pytest.importorskip("s3fs", reason="s3fs is not installed")
    path = s3_store.folder / "raw_video" / "large.mp4"
    digest, size = hashlib.sha256(large.read_bytes()).hexdigest(), large.stat().st_size
    asked, ask = [], s3fs.S3FileSystem._call_s3

    async def interrupted(self: Any, method: str, *arguments: Any, **options: Any) -> Any:
        asked.append(method)
        if method == "complete_multipart_upload":
            raise ConnectionResetError
        return await ask(self, method, *arguments, **options)

    with monkeypatch.context() as patched:
        patched.setattr(s3fs.S3FileSystem, "_call_s3", interrupted)
        with pytest.raises(StoreError):
            s3_store.files.put(large, path)
    assert asked.count("upload_part") == 3
    assert not s3_store.files.exists(path)
    assert large.stat().st_size == size
    s3_store.files.put(large, path)
    assert not large.exists()
    assert s3_store.files.sha256(path) == digest


def test_a_video_that_has_changed_on_the_way_is_fetched_again_and_not_used(
    s3_store: VideoStore, s3: S3Server, large: Path, tmp_path: Path
) -> None:
    path, digest = s3_store.folder / "raw_video" / "large.mp4", hashlib.sha256(large.read_bytes()).hexdigest()
    s3_store.files.put(large, path)
    s3.trouble(flip_every=1)
    with pytest.raises(StoreError, match="its SHA-256 is another"):
        s3_store.files.fetch(path, tmp_path / "copies", sha256=digest)
    s3.trouble()
    copy = s3_store.files.fetch(path, tmp_path / "copies", sha256=digest)
    assert hashlib.sha256(copy.read_bytes()).hexdigest() == digest


def test_parts_of_a_file_that_was_never_finished_are_removed_after_a_day_and_no_other_program_s(
    s3_store: VideoStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    s3fs = pytest.importorskip("s3fs", reason="s3fs is not installed")
    system = s3fs.S3FileSystem(skip_instance_cache=True)
    ours = s3_store.root.removeprefix("s3://videos/") + "/raw_video/a-0123456789/a.mp4"
    for key in (ours, "another/a.mp4"):
        begun = system.call_s3("create_multipart_upload", Bucket="videos", Key=key)
        part = {"Bucket": "videos", "Key": key, "UploadId": begun["UploadId"], "PartNumber": 1, "Body": b"a part"}
        system.call_s3("upload_part", **part)

    def unfinished() -> set[str]:
        return {upload["Key"] for upload in system.list_multipart_uploads("videos")}

    s3_store.files.remove_forgotten()
    assert unfinished() == {ours, "another/a.mp4"}
    monkeypatch.setattr("dualface_assets.store.remote._ABANDONED_AFTER", -5.0)
    s3_store.files.remove_forgotten()
    assert unfinished() == {"another/a.mp4"}


def test_the_server_of_these_tests_fails(s3: S3Server) -> None:
    before = s3.trouble(fail_every=2)
    answers = [
        httpx.get(s3.environment["AWS_ENDPOINT_URL"] + "/videos", timeout=PATIENCE).status_code for _ in range(2)
    ]
    after = s3.trouble()
    assert min(answers) == 200
    assert after["failed"] - before["failed"] == 1
