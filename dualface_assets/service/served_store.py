"""The web page's part of the store: review pages, results and uploads, for the browser that shows Dagster's pages.

Belongs here: which files of the store are served, and how. Dagster's page and these have one origin, and who can run
a script there can do everything that Dagster can. So what is served as HTML may run our own scripts and no other,
whatever its file holds, and an upload is a video or a download. Nothing can be changed from here, so it is the same
where the web page may only be read.
"""

from __future__ import annotations

import errno
import re
from collections.abc import AsyncIterator
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Final

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import PlainTextResponse, RedirectResponse, Response, StreamingResponse

from dualface_assets.review_index.index import INDEX_SCRIPT
from dualface_assets.review_index.records import PAGE, THUMBNAIL
from dualface_assets.store.files import OpenedFile, StoreError
from dualface_assets.store.partitions import is_key
from dualface_core.errors import one_line
from dualface_core.pipeline import report_path
from dualface_core.review.templating import PAGE_SCRIPT, digest
from dualface_core.system.marked_folders import why_missing

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Receive, Scope, Send

    from dualface_assets.store.video_store import VideoStore

_FOLDERS: Final = frozenset({"review", "encoded_video", "raw_video"})
_CHUNK_BYTES: Final = 256 << 10
_NOT_THERE: Final = frozenset({errno.ENOENT, errno.ENOTDIR, errno.ELOOP, errno.EINVAL, errno.ENAMETOOLONG})
_RANGE: Final = re.compile(r"bytes=([0-9]{0,18})-([0-9]{0,18})")

_VIDEOS: Final = {
    ".m4v": "video/mp4",
    ".mkv": "video/x-matroska",
    ".mov": "video/quicktime",
    ".mp4": "video/mp4",
    ".webm": "video/webm",
}
"""What an upload may be shown as, by its suffix. Any other is a download."""

_OWN: Final = _VIDEOS | {".html": "text/html; charset=utf-8", ".jpg": "image/jpeg", ".json": "application/json"}

_NOTHING_ELSE: Final = "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
_OF_PAGES: Final = (
    f"default-src 'none'; script-src {digest(PAGE_SCRIPT)} {digest(INDEX_SCRIPT)}; style-src 'unsafe-inline'; "
    f"img-src 'self' data:; media-src 'self'; {_NOTHING_ELSE}"
)
_OF_OTHERS: Final = f"default-src 'none'; style-src 'unsafe-inline'; media-src 'self'; {_NOTHING_ELSE}"
"""What a browser needs in order to show a video that was opened by itself, and no more."""

_HEADERS: Final = {
    "Accept-Ranges": "bytes",
    "Cache-Control": "private, no-cache",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "same-origin",
    "X-Content-Type-Options": "nosniff",
}


class ServedStore:
    """Answers for the files of a store, and leaves every other request to another application (ASGI).

    The addresses are the paths in the store, so that links between its files hold: `/review/index.html`,
    `/review/KEY/index.html`, `/encoded_video/KEY/NAME.split.mp4`, `/raw_video/KEY/FILE`. There is no list of a folder.

    Args:
        app: the other application.
        store: whose files these are.
        home: the folder of the instance, which knows whether the store's disk is mounted.
    """

    def __init__(self, app: ASGIApp, store: VideoStore, home: Path) -> None:
        self._app = app
        self._store = store
        self._home = home

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request, or hand it on."""
        if scope["type"] != "http" or scope["path"].split("/")[1] not in _FOLDERS:
            await self._app(scope, receive, send)
            return
        request = Request(scope)
        with ExitStack() as stack:
            answer = await self._answer(request, stack)
            await answer(scope, receive, send)

    async def _answer(self, request: Request, stack: ExitStack) -> Response:
        if request.method not in {"GET", "HEAD"}:
            return PlainTextResponse("Files are only read here.\n", 405, {"Allow": "GET, HEAD"})
        parts = request.scope["path"].split("/")[1:]
        if parts == ["review"]:
            return RedirectResponse("/review/")
        if (path := self._path(parts)) is None:
            return _nothing_here()
        try:
            file = await run_in_threadpool(lambda: stack.enter_context(self._store.files.opened(path)))
        except StoreError as error:
            return PlainTextResponse(f"{error}\n", 503)
        except OSError as error:
            if missing := why_missing(self._store.folder, self._home):
                return PlainTextResponse(f"{missing}\n", 503)
            if error.errno in _NOT_THERE:
                return _nothing_here()
            return PlainTextResponse(f"The store cannot be read: {one_line(str(error.strerror))}.\n", 503)
        kind = (_VIDEOS if parts[0] == "raw_video" else _OWN).get(path.suffix)
        return _content(request, file, kind)

    def _path(self, parts: list[str]) -> Path | None:
        """The file in the store that an address stands for; None if there is no such address."""
        store = self._store
        match parts:
            case ["review", name] if name in {PAGE, ""}:
                return store.review_folder / PAGE
            case ["review", key, name] if is_key(key) and name in {PAGE, THUMBNAIL, ""}:
                return store.page_folder(key) / (name or PAGE)
            case ["encoded_video", key, name] if is_key(key):
                result = store.result_path(key)
                return next((path for path in (result, report_path(result)) if path.name == name), None)
            case ["raw_video", key, name] if is_key(key) and re.fullmatch(r"[^.\0][^\0]*", name):
                return None if name.endswith(".json") else store.video_folder(key) / name
        return None


def _nothing_here() -> Response:
    return PlainTextResponse("Nothing is here, or not any more.\n", 404)


def _content(request: Request, file: OpenedFile, kind: str | None) -> Response:
    """All of a file, or the range of it that was asked for. Without a `kind` it is a download."""
    headers = _HEADERS | {
        "Content-Type": kind or "application/octet-stream",
        "Content-Security-Policy": _OF_PAGES if kind == _OWN[".html"] else _OF_OTHERS,
        "ETag": f'"{file.version}"',
    }
    if kind is None:
        headers["Content-Disposition"] = "attachment"
    if request.headers.get("if-none-match") == headers["ETag"]:
        return Response(None, 304, headers)
    wanted, status = range(file.size), 200
    if request.headers.get("if-range", headers["ETag"]) == headers["ETag"]:
        asked = _asked(request.headers.get("range", ""), file.size)
        if asked is not None and not asked:
            return Response(None, 416, headers | {"Content-Range": f"bytes */{file.size}"})
        if asked is not None:
            wanted, status = asked, 206
            headers["Content-Range"] = f"bytes {asked.start}-{asked.stop - 1}/{file.size}"
    headers["Content-Length"] = str(len(wanted))
    if request.method == "HEAD":
        return Response(None, status, headers)
    return StreamingResponse(_read(file, wanted), status, headers)


def _asked(header: str, size: int) -> range | None:
    """The bytes that a `Range` asks for, none if the file has no such bytes; None if all are to be sent (RFC 9110)."""
    match = _RANGE.fullmatch(header)
    if match is None or match[0] == "bytes=-":
        return None
    first, last = match.groups()
    if not first:
        return range(max(0, size - int(last)), size)
    if last and int(last) < int(first):
        return None
    return range(int(first), min(size, int(last) + 1) if last else size)


async def _read(file: OpenedFile, wanted: range) -> AsyncIterator[bytes]:
    await run_in_threadpool(file.content.seek, wanted.start)
    left = len(wanted)
    while left and (chunk := await run_in_threadpool(file.content.read, min(left, _CHUNK_BYTES))):
        left -= len(chunk)
        yield chunk
