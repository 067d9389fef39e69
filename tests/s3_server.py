"""An S3 server on loopback, for tests: moto's, whose answers may be made to fail or to be slow.

`python -m tests.s3_server -p PORT` is the server. What is wrong with it is set from outside, by `S3Server.trouble`.
"""

from __future__ import annotations

import itertools
import os
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from email.utils import formatdate
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

import httpx

from deploy.local.servers import PATIENCE, free_port
from tests.web_server import REPOSITORY, program

TROUBLE = "/tests/trouble"
"""A path that is no bucket's, since a bucket's name has three letters or more and this server is asked for its own."""


def why_unavailable() -> str | None:
    """Why there can be no such server here; None if there can."""
    missing = [name for name in ("moto", "flask", "s3fs") if find_spec(name) is None]
    return f"not installed: {', '.join(missing)} (pip install 'dualface[dev]')" if missing else None


@dataclass(frozen=True)
class S3Server:
    """A running server, and the variables by which its clients find it."""

    port: int

    @property
    def environment(self) -> dict[str, str]:
        return {
            "AWS_ENDPOINT_URL": f"http://127.0.0.1:{self.port}",
            "AWS_ACCESS_KEY_ID": "tests",
            "AWS_SECRET_ACCESS_KEY": "tests",
            "AWS_DEFAULT_REGION": "us-east-1",
        }

    def create(self, bucket: str) -> None:
        """Make a bucket."""
        httpx.put(f"http://127.0.0.1:{self.port}/{bucket}", timeout=PATIENCE).raise_for_status()

    def trouble(
        self, *, fail_every: int = 0, delay_ms: int = 0, flip_every: int = 0, ahead_s: int = 0, refuse_puts: int = 0
    ) -> dict[str, int]:
        """Have every so manieth request fail, each take so long, or a byte of every so manieth answer be wrong.

        0 is never. Its clock may be ahead, and it may take no objects (1). Gives what has happened until now: how many
        requests there were, how many have failed, and how many there were of each kind, such as "GET", or "GET list"
        for one that lists.
        """
        asked = {"fail_every": fail_every, "delay_ms": delay_ms, "flip_every": flip_every}
        asked |= {"ahead_s": ahead_s, "refuse_puts": refuse_puts}
        answer = httpx.post(f"http://127.0.0.1:{self.port}{TROUBLE}", params=asked, timeout=PATIENCE)
        return dict(answer.raise_for_status().json())


@contextmanager
def s3_server(folder: Path) -> Iterator[S3Server]:
    """Run a server for the length of the block."""
    port = free_port()
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY)}
    command = [sys.executable, "-m", "tests.s3_server", "-p", str(port)]
    with program(command, port, folder / "s3.log", environment) as process:
        try:
            yield S3Server(port)
        finally:
            process.kill()  # it keeps nothing, and would wait for clients that leave their connections open


class Troubled:
    """A WSGI application in front of the server's own, with what is wrong with it.

    Failures take turns: the request is refused (503), it is carried out and the answer is lost (500), the answer breaks
    off in the middle.
    """

    def __init__(self, server: Callable[..., Iterable[bytes]]) -> None:
        self._server = server
        self._wrong = dict.fromkeys(("fail_every", "delay_ms", "flip_every", "ahead_s", "refuse_puts"), 0)
        self._requests = itertools.count(1)
        self._seen = {"requests": 0, "failed": 0}

    def __call__(self, request: dict[str, Any], start: Callable[..., Any]) -> Iterable[bytes]:
        if request["PATH_INFO"] == TROUBLE:
            self._wrong = {name: int(values[0]) for name, values in parse_qs(request["QUERY_STRING"]).items()}
            start("200 OK", [("Content-Type", "application/json")])
            return [repr(self._seen).replace("'", '"').encode()]
        number = self._seen["requests"] = next(self._requests)
        kind = request["REQUEST_METHOD"] + (" list" if "list-type=" in request["QUERY_STRING"] else "")
        self._seen[kind] = self._seen.get(kind, 0) + 1  # one that is lost now and then matters to nobody
        time.sleep(self._wrong["delay_ms"] / 1000)
        fails, flips = self._wrong["fail_every"], self._wrong["flip_every"]
        if fails and number % fails == 0:
            self._seen["failed"] += 1
            return self._fail(number // fails % 3, request, start)
        if self._wrong["refuse_puts"] and request["REQUEST_METHOD"] == "PUT":
            start("403 Forbidden", [("Content-Length", "0")])
            return [b""]
        answer = self._server(request, partial(_dated, start, time.time() + self._wrong["ahead_s"]))
        return _flipped(answer) if flips and number % flips == 0 else answer

    def _fail(self, kind: int, request: dict[str, Any], start: Callable[..., Any]) -> Iterable[bytes]:
        if kind == 2:
            return _broken_off(self._server(request, start))
        if kind == 1:
            list(self._server(request, lambda *_: None))
        start("500 Internal Error" if kind else "503 Slow Down", [("Content-Length", "0")])
        return [b""]


def _dated(start: Callable[..., Any], now: float, status: str, headers: list[tuple[str, str]], *rest: Any) -> Any:
    """Have an answer say that it is so late."""
    others = [(name, value) for name, value in headers if name.lower() != "date"]
    return start(status, [*others, ("Date", formatdate(now, usegmt=True))], *rest)


def _broken_off(answer: Iterable[bytes]) -> Iterator[bytes]:
    content = b"".join(answer)
    yield content[: len(content) // 2]
    raise ConnectionAbortedError


def _flipped(answer: Iterable[bytes]) -> Iterator[bytes]:
    content = bytearray(b"".join(answer))
    if content:
        content[len(content) // 2] ^= 1
    yield bytes(content)


if __name__ == "__main__":
    from moto.moto_server.werkzeug_app import DomainDispatcherApplication, MotoRequestHandler, create_backend_app
    from werkzeug.serving import run_simple

    troubled = Troubled(DomainDispatcherApplication(create_backend_app))
    run_simple("127.0.0.1", int(sys.argv[-1]), troubled, threaded=True, request_handler=MotoRequestHandler)
