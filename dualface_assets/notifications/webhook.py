"""One message to a webhook: signed, sent, and answered or not.

Belongs here: HTTP, and what the receiver can rely on. Which runs are told of, and when again, is `notifications`'
business. The form is that of Standard Webhooks (https://www.standardwebhooks.com), so that receivers have libraries
for it. Of the URL only scheme, host and port are ever shown: with many services the path is a password.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import http.client
import json
import socket
import ssl
import threading
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Final, Self
from urllib.parse import unquote_to_bytes, urlsplit

from dualface_core.errors import DualfaceError
from dualface_core.settings import WebhookSettings

SECONDS_PER_REQUEST: Final = 10.0
"""From the first byte sent to the last one of the answer's head. The daemon waits meanwhile."""

_STANDARD_SECRET: Final = "whsec_"  # noqa: S105  a prefix
_OK: Final = range(200, 300)
_REDIRECTS: Final = range(300, 400)


class DeliveryError(DualfaceError):
    """A message was not taken.

    Args:
        message: whose fault and what, as a sentence.
        answered: whether there was an answer at all; if not, the next message need not be tried either.
    """

    def __init__(self, message: str, *, answered: bool) -> None:
        self.answered = answered
        super().__init__(message)


@dataclass(frozen=True)
class Message:
    """What is sent.

    Attributes:
        id: the same whenever the same thing is told again, so that a receiver can tell.
        type: what has happened, such as "video.finished".
        happened: seconds since the epoch.
        data: the rest, as JSON knows it.
    """

    id: str
    type: str
    happened: float
    data: Mapping[str, Any]

    def body(self) -> bytes:
        """The JSON text. It is ASCII, so that no name and no key can be one that cannot be sent."""
        moment = datetime.fromtimestamp(self.happened, UTC).isoformat(timespec="seconds")
        document = {"type": self.type, "timestamp": moment, "data": self.data}
        return json.dumps(document, allow_nan=False).encode()


@dataclass(frozen=True)
class Webhook:
    """Somebody who wants to be told.

    Attributes:
        url: http or https; user name and password before the host become basic authentication.
        secret: the key of the signature; without one nothing is signed.
        seconds: longest wait for an answer.
    """

    url: str = field(repr=False)
    secret: str | None = field(default=None, repr=False)
    seconds: float = SECONDS_PER_REQUEST

    @classmethod
    def configured(cls, settings: WebhookSettings) -> Self | None:
        """The webhook of the settings; None if there is none."""
        if settings.webhook_url is None:
            return None
        secret = settings.webhook_secret
        return cls(settings.webhook_url.get_secret_value(), None if secret is None else secret.get_secret_value())

    @property
    def receiver(self) -> str:
        """Scheme, host and port: the part of the URL that may be shown."""
        parts = urlsplit(self.url)
        return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}"

    def send(self, message: Message, *, now: float) -> None:
        """Send a message, once. Raises DeliveryError unless the receiver has taken it (2xx).

        Redirects are not followed: the secret's signature is for the receiver that was named.
        """
        status = self._post(message.body(), self._headers(message, now))
        if status in _OK:
            return
        advice = "Set DUALFACE_WEBHOOK_URL to where it leads." if status in _REDIRECTS else "Its own log may say why."
        raise DeliveryError(f"{self.receiver} answered {status}. {advice}", answered=True)

    def _headers(self, message: Message, now: float) -> dict[str, str]:
        headers = {
            "Content-Type": "application/json",
            "User-Agent": "dualface",
            "webhook-id": message.id,
            "webhook-timestamp": str(int(now)),
        }
        if self.secret is not None:
            headers["webhook-signature"] = signature(self.secret, message.id, int(now), message.body())
        credentials, at, _ = urlsplit(self.url).netloc.rpartition("@")
        if at:
            headers["Authorization"] = f"Basic {base64.b64encode(unquote_to_bytes(credentials)).decode()}"
        return headers

    def _post(self, body: bytes, headers: Mapping[str, str]) -> int:
        """Send a body; the status of the answer. Raises DeliveryError if there is none."""
        parts = urlsplit(self.url)
        kind = http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
        connection = kind(str(parts.hostname), parts.port, timeout=self.seconds)
        target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        # The timeout is that of a single read. A receiver that sends a byte now and then would never exceed it.
        late = threading.Event()
        deadline = threading.Timer(self.seconds, _cut, (connection, late))
        deadline.daemon = True
        deadline.start()
        try:
            connection.request("POST", target, body, dict(headers))
            return connection.getresponse().status
        except (OSError, http.client.HTTPException, UnicodeError) as error:  # the last for a host that can be no host
            why = f"no answer within {self.seconds:g} seconds" if late.is_set() else _reason(error, self.seconds)
            # Without its cause, whose text may hold the URL.
            raise DeliveryError(f"{self.receiver} cannot be told: {why}.", answered=False) from None
        finally:
            deadline.cancel()
            connection.close()


def signature(secret: str, message_id: str, timestamp: int, body: bytes) -> str:
    """The signature of a message: HMAC-SHA256 of id, time and body, as Standard Webhooks has it."""
    plain = secret.removeprefix(_STANDARD_SECRET)
    key = plain.encode() if plain == secret else base64.b64decode(plain)
    digest = hmac.new(key, f"{message_id}.{timestamp}.".encode() + body, hashlib.sha256).digest()
    return f"v1,{base64.b64encode(digest).decode()}"


def _cut(connection: http.client.HTTPConnection, late: threading.Event) -> None:
    """End a connection under the hands of whoever waits for it."""
    late.set()
    with suppress(OSError):
        if connection.sock is not None:
            connection.sock.shutdown(socket.SHUT_RDWR)


def _reason(error: Exception, seconds: float) -> str:
    """Why there was no answer, in words that come from nowhere near the URL."""
    match error:
        case TimeoutError():
            return f"no answer within {seconds:g} seconds"
        case ssl.SSLCertVerificationError():
            return f"its certificate is not accepted ({error.verify_message})"
        case OSError(strerror=str(text)):
            return text
        case _:
            return f"no answer that is HTTP ({type(error).__name__})"
