"""A way to a server on loopback that can be closed, as a network or a server that is restarted is at times."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from threading import Thread

from deploy.local.servers import free_port

_CHUNK_BYTES = 1 << 16


class Gate:
    """Hands on what clients of `port` say to the server's own port, and what it answers."""

    def __init__(self, server: int) -> None:
        self.port = free_port()
        self._server = server
        self._open: list[socket.socket] = []

    def open(self) -> None:
        """Let clients through."""
        listener = socket.create_server(("127.0.0.1", self.port))
        self._open = [listener]
        Thread(target=self._let_through, args=(listener,), daemon=True).start()

    def close(self) -> None:
        """Refuse new connections, and break those that there are."""
        for end in self._open:
            with suppress(OSError):  # its other end was quicker
                end.shutdown(socket.SHUT_RDWR)
            end.close()

    def _let_through(self, listener: socket.socket) -> None:
        with suppress(OSError):  # closed
            while True:
                client = listener.accept()[0]
                server = socket.create_connection(("127.0.0.1", self._server))
                self._open += [client, server]
                for ends in ((client, server), (server, client)):
                    Thread(target=_hand_on, args=ends, daemon=True).start()


def _hand_on(source: socket.socket, target: socket.socket) -> None:
    with suppress(OSError):  # closed
        while content := source.recv(_CHUNK_BYTES):
            target.sendall(content)
    with suppress(OSError):
        target.shutdown(socket.SHUT_WR)


@contextmanager
def gate(server: int) -> Iterator[Gate]:
    """A gate that is open when the block begins."""
    made = Gate(server)
    made.open()
    try:
        yield made
    finally:
        made.close()
