from __future__ import annotations

import http.client
import os
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import uvicorn
from starlette.responses import PlainTextResponse

from dualface_assets.service.served_store import ServedStore
from dualface_assets.service.web_page import OwnPagesOnly
from dualface_assets.store.video_store import VideoStore
from dualface_core.system.marked_folders import mark
from tests.assets.conftest import publish
from tests.unmounted import unmounted

if TYPE_CHECKING:
    from starlette.types import Receive, Scope, Send

KEY = "talk-0123456789"
RESULT = f"/encoded_video/{KEY}/talk.split.mp4"
CONTENT = bytes(range(200))


async def dagster(scope: Scope, receive: Receive, send: Send) -> None:
    """Dagster's own web page."""
    await PlainTextResponse("Dagster")(scope, receive, send)


@dataclass(frozen=True)
class Answer:
    status: int
    headers: Mapping[str, str]
    body: bytes


@dataclass(frozen=True)
class Site:
    port: int

    def ask(self, path: str, method: str = "GET", **headers: str) -> Answer:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        connection.request(method, path, headers={name.replace("_", "-"): text for name, text in headers.items()})
        response = connection.getresponse()
        return Answer(response.status, {k.lower(): v for k, v in response.getheaders()}, response.read())


@contextmanager
def served(store: VideoStore) -> Iterator[Site]:
    """A store behind the guard of the web page."""
    config = uvicorn.Config(
        OwnPagesOnly(ServedStore(dagster, store, Path(store.root).parent / "home")), port=0, log_level="warning"
    )
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run)
    thread.start()
    while not server.started:
        time.sleep(0.01)
    try:
        yield Site(server.servers[0].sockets[0].getsockname()[1])
    finally:
        server.should_exit = True
        thread.join()


@pytest.fixture
def site(store: VideoStore) -> Iterator[Site]:
    with served(store) as site:
        yield site


def put(store: VideoStore, path: str, content: bytes = b"not for people") -> Path:
    store.files.write(store.folder / path, content)
    return store.folder / path


def test_a_result_and_its_page_are_served_from_every_kind_of_store(any_store: VideoStore) -> None:
    publish(any_store, KEY, CONTENT)
    put(any_store, f"review/{KEY}/index.html", b"<!doctype html>")
    with served(any_store) as site:
        whole, part = site.ask(RESULT), site.ask(RESULT, Range="bytes=100-109")
        page = site.ask(f"/review/{KEY}/index.html")
        missing = site.ask("/encoded_video/other-0123456789/other.split.mp4")
    assert (whole.status, whole.headers["content-type"], whole.body) == (200, "video/mp4", CONTENT)
    assert (part.status, part.headers["content-range"], part.body) == (206, "bytes 100-109/200", CONTENT[100:110])
    assert (page.status, page.headers["content-type"], page.body) == (
        200, "text/html; charset=utf-8", b"<!doctype html>",
    )  # fmt: skip
    assert missing.status == 404


@pytest.mark.parametrize(
    ("asked", "status", "content"),
    [
        ("bytes=0-", 206, CONTENT),
        ("bytes=190-1000", 206, CONTENT[190:]),
        ("bytes=-10", 206, CONTENT[190:]),
        ("bytes=-1000", 206, CONTENT),
        ("bytes=200-", 416, b""),
        ("bytes=-0", 416, b""),
        ("bytes=10-5", 200, CONTENT),
        ("bytes=-", 200, CONTENT),
        ("bytes=0-1,5-6", 200, CONTENT),
        ("lines=1-2", 200, CONTENT),
        ("bytes=" + "9" * 5000 + "-", 200, CONTENT),
    ],
)
def test_the_range_that_is_asked_for_is_sent(
    store: VideoStore, site: Site, asked: str, status: int, content: bytes
) -> None:
    publish(store, KEY, CONTENT)
    answer = site.ask(RESULT, Range=asked)
    assert (answer.status, answer.body) == (status, content)
    assert (site.ask(RESULT, "HEAD", Range=asked).status, site.ask(RESULT, "HEAD").body) == (status, b"")


def test_no_part_of_another_version_is_sent_and_what_is_known_is_not_sent_again(store: VideoStore, site: Site) -> None:
    publish(store, KEY, CONTENT)
    known = site.ask(RESULT).headers["etag"]
    assert site.ask(RESULT, If_None_Match=known).status == 304
    assert site.ask(RESULT, Range="bytes=5-9", If_Range=known).body == CONTENT[5:10]
    publish(store, KEY, CONTENT[::-1])
    assert site.ask(RESULT, If_None_Match=known).status == 200
    assert site.ask(RESULT, Range="bytes=5-9", If_Range=known).body == CONTENT[::-1]


def test_the_index_is_at_the_folder_and_everything_else_is_dagsters(store: VideoStore, site: Site) -> None:
    assert site.ask("/review/").status == 404
    put(store, "review/index.html", b"all videos")
    put(store, f"review/{KEY}/index.html", b"one video")
    assert (site.ask("/review").status, site.ask("/review").headers["location"]) == (307, "/review/")
    assert [site.ask(path).body for path in ("/review/", f"/review/{KEY}/")] == [b"all videos", b"one video"]
    assert [site.ask(path).body for path in ("/", "/reviews", "/assets/review", "//review/")] == [b"Dagster"] * 4


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH", "OPTIONS"])
def test_files_are_only_read(store: VideoStore, site: Site, method: str) -> None:
    publish(store, KEY)
    assert site.ask(RESULT, method).status == 405
    assert site.ask(RESULT).body == b"a result"


def test_only_what_is_for_people_is_served(store: VideoStore, site: Site, tmp_path: Path) -> None:
    for path in (f"raw_video/{KEY}/video.json", f"raw_video/{KEY}/.hidden", f"encoded_video/{KEY}/.dualface-1.mp4",
                 f"encoded_video/{KEY}/other.mp4", f"review/{KEY}/record.json", "review/notes.html",
                 "claims/1/data", f"face_tracks/{KEY}.parquet", "raw_video/KEY/a.mp4"):  # fmt: skip
        put(store, path)
        assert b"not for people" not in site.ask(f"/{path}").body
    (tmp_path / "secret").write_text("not for people")
    (store.folder / "raw_video" / KEY / "link.mp4").symlink_to(tmp_path / "secret")
    (store.folder / "raw_video" / "link-0123456789").symlink_to(store.folder / "raw_video" / KEY)
    put(store, f"raw_video/{KEY}/data.mp4")
    (store.folder / "raw_video" / KEY / "folder.mp4").mkdir()
    os.mkfifo(store.folder / "raw_video" / KEY / "pipe.mp4")
    for name in ("link.mp4", "folder.mp4", "pipe.mp4", "", ".", "..", "%00", "a%00.mp4", "%2e%2e", "a" * 300,
                 "..%2f..%2f..%2fsecret", "../../../secret", "%2e%2e/%2e%2e/%2e%2e/secret", "data.mp4/"):  # fmt: skip
        assert site.ask(f"/raw_video/{KEY}/{name}").status == 404
    assert site.ask("/raw_video/link-0123456789/data.mp4").status == 404
    assert site.ask(f"/raw_video/{KEY}").status == site.ask(f"/raw_video/{KEY}/").status == 404
    assert site.ask(f"/raw_video/{KEY}/data.mp4").status == 200


@pytest.mark.parametrize("name", ["page.html", "page.xhtml", "image.svg", "script.js", "image.jpg", "noname", "a.pdf"])
def test_an_upload_is_a_video_or_a_download_and_never_a_page(store: VideoStore, site: Site, name: str) -> None:
    put(store, f"raw_video/{KEY}/{name}", b"<script>alert(1)</script>")
    answer = site.ask(f"/raw_video/{KEY}/{name}")
    assert answer.headers["content-type"] == "application/octet-stream"
    assert answer.headers["content-disposition"] == "attachment"
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.headers["content-security-policy"].startswith("default-src 'none'; style-src")


def test_a_link_may_lead_here_but_no_other_site_may_embed_or_read_anything(store: VideoStore, site: Site) -> None:
    publish(store, KEY)
    for origin in ("cross-site", "same-site"):  # of the same site is every other port of localhost
        followed = {"Sec_Fetch_Site": origin, "Sec_Fetch_Mode": "navigate"}
        assert site.ask(RESULT, Sec_Fetch_Dest="document", **followed).status == 200
        assert site.ask(RESULT, Sec_Fetch_Dest="iframe", **followed).status == 403
        assert site.ask(RESULT, Sec_Fetch_Dest="video", Sec_Fetch_Site=origin, Sec_Fetch_Mode="no-cors").status == 403
    assert site.ask(RESULT, Sec_Fetch_Dest="video", Sec_Fetch_Site="same-origin").status == 200
    assert site.ask(RESULT, Origin="https://elsewhere.example").status == 403
    assert site.ask(RESULT, Host="elsewhere.example").status == 403
    assert site.ask(RESULT).headers["cross-origin-resource-policy"] == "same-origin"


def test_a_store_that_is_not_mounted_is_said(store: VideoStore, site: Site) -> None:
    publish(store, KEY)
    mark(store.folder, Path(store.root).parent / "home")
    with unmounted(store):
        answer = site.ask(RESULT)
    assert (answer.status, b"is not the store: there is no .dualface-store in it" in answer.body) == (503, True)
    assert site.ask(RESULT).status == 200


def test_a_drive_that_does_not_answer_is_said(lost_drive: Path) -> None:
    with served(VideoStore(root=str(lost_drive))) as site:
        answer = site.ask(RESULT)
    assert (answer.status, b"does not answer (Transport endpoint is not connected)" in answer.body) == (503, True)
