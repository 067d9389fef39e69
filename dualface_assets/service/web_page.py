"""`python -m dualface_assets.service.web_page`: Dagster's web page, with the same options, for its own pages only.

It serves the review pages and videos of the store, too (`served_store`).

Belongs here: keeping out what other pages make a browser ask. On 127.0.0.1 no other machine can reach the web
page, but every page that is open in a browser on this machine can: Dagster (1.13) checks no `Origin`, and executes a
mutation that comes as a plain link. An image on any web site could so start runs or delete partitions.
"""

from __future__ import annotations

import ipaddress
import sys
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

from starlette.responses import PlainTextResponse

from dualface_assets.runs.dagster_internals import run_web_page
from dualface_assets.service.instance_home import instance_home
from dualface_assets.service.served_store import ServedStore
from dualface_assets.settings import ServiceSettings
from dualface_assets.store.video_store import video_store
from dualface_core.errors import DualfaceError

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Receive, Scope, Send

_REFUSED: Final = (
    "This web page answers to its own pages only, and on 127.0.0.1 only under that name or as localhost. "
    "A proxy in front of it must check the Origin, remove it, and send its own Host: see docs/deployment.md.\n"
)
_VIOLATES_POLICY: Final = 1008


class OwnPagesOnly:
    """Refuses requests that another page has made a browser send."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let a request pass, or refuse it (ASGI)."""
        if scope["type"] not in {"http", "websocket"} or not foreign(scope):
            await self._app(scope, receive, send)
        elif scope["type"] == "http":
            await PlainTextResponse(_REFUSED, status_code=403)(scope, receive, send)
        else:
            await send({"type": "websocket.close", "code": _VIOLATES_POLICY})


def foreign(scope: Scope) -> bool:
    """Whether a request comes from another page, or would be the same if it did.

    Browsers say what else than a followed link another site has asked for (`Sec-Fetch-Site`), such as an image or a
    frame. They do so on 127.0.0.1 and over TLS only, so no question may be asked in a link either. A name that has been
    made to lead to this machine (DNS rebinding) looks like our own page but for the name.
    """
    headers = {name.lower(): value.decode("latin-1") for name, value in scope["headers"]}
    host = headers.get(b"host", "")
    origin = headers.get(b"origin")
    if origin is not None and urlsplit(origin).netloc != host:
        return True
    if headers.get(b"sec-fetch-site") in {"cross-site", "same-site"} and headers.get(b"sec-fetch-dest") != "document":
        return True
    if scope.get("method") == "GET" and scope["path"].rstrip("/").endswith("/graphql") and scope["query_string"]:
        return True
    return _is_loopback(scope["server"][0]) and not _is_loopback(urlsplit(f"//{host}").hostname or "")


def _is_loopback(name: str) -> bool:
    if name == "localhost":
        return True
    try:
        return ipaddress.ip_address(name).is_loopback
    except ValueError:
        return False


def main() -> int:
    """Run until a signal comes. The exit status is 2 if the settings are not allowed."""
    try:
        store = video_store(ServiceSettings.load())
        home, _ = instance_home(), store.files  # what is not allowed is said now
    except DualfaceError as error:
        print(error, file=sys.stderr)
        return 2
    run_web_page(lambda app: OwnPagesOnly(ServedStore(app, store, home)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
