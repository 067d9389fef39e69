"""A web server that takes messages, and answers as it is told."""

from __future__ import annotations

import json
import ssl
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Request:
    path: str
    headers: dict[str, str]
    body: bytes

    @property
    def document(self) -> dict[str, Any]:
        return json.loads(self.body)


@dataclass
class Receiver:
    """What has come, and what is answered.

    Attributes:
        url: where messages go.
        requests: those that came, in order.
        status: of the next answers.
        location: where an answer leads to.
        drip: send the head of the answer so slowly that it has no end.
    """

    url: str = ""
    requests: list[Request] = field(default_factory=list)
    status: int = 204
    location: str | None = None
    drip: bool = False


@contextmanager
def receiving(certificate: Path | None = None) -> Iterator[Receiver]:
    """Receive messages for the length of the block; over TLS with a certificate (and its key, in one file)."""
    receiver = Receiver()
    over = threading.Event()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            receiver.requests.append(Request(self.path, {k.lower(): v for k, v in self.headers.items()}, body))
            while receiver.drip and not over.is_set():
                self.wfile.write(b"H")
                time.sleep(0.02)
            self.send_response(receiver.status)
            if receiver.location:
                self.send_header("Location", receiver.location)
            self.end_headers()

        def do_GET(self) -> None:
            receiver.requests.append(Request(self.path, {}, b""))
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        if certificate is not None:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(certificate)
            server.socket = context.wrap_socket(server.socket, server_side=True)
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
        receiver.url = f"http{'s' if certificate else ''}://127.0.0.1:{server.server_address[1]}/hook"
        try:
            yield receiver
        finally:
            over.set()
            server.shutdown()
