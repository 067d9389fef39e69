"""One message to a webhook: signed, sent, and answered or not.

Belongs here: HTTP, and what the receiver can rely on. Which runs are notified, and when again, is `notifier`'s
business. The form is that of Standard Webhooks (https://www.standardwebhooks.com), so that receivers have libraries
for it. Of the URL only scheme, host and port are ever shown: with many services the path is a password.
"""

from __future__ import annotations

import asyncio
import json
import logging
import ssl
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Final, Self
from urllib.parse import urlsplit

import httpx
import standardwebhooks

from dualface_assets.settings import WebhookSettings
from dualface_core.errors import DualfaceError

SECONDS_PER_REQUEST: Final = 10.0
"""From connecting to the last byte of the answer's head. The daemon waits meanwhile."""

_STANDARD_SECRET: Final = "whsec_"  # noqa: S105  a prefix

logging.getLogger("httpx").setLevel(logging.WARNING)  # below, it logs the whole URL


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
        id: the same in every attempt to deliver the same message, so that a receiver can be idempotent.
        type: what has happened, such as "video.finished".
        happened: seconds since the epoch.
        data: the rest, as JSON knows it.
    """

    id: str
    type: str
    happened: float
    data: Mapping[str, Any]

    def body(self) -> str:
        """The JSON text, in ASCII."""
        moment = datetime.fromtimestamp(self.happened, UTC).isoformat(timespec="seconds")
        return json.dumps({"type": self.type, "timestamp": moment, "data": self.data}, allow_nan=False)


@dataclass(frozen=True)
class Webhook:
    """A recipient of messages.

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
    def recipient(self) -> str:
        """Scheme, host and port: the part of the URL that may be shown."""
        parts = urlsplit(self.url)
        return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}"

    def send(self, message: Message, *, now: float) -> None:
        """Send a message, once. Raises DeliveryError unless the receiver has taken it (2xx).

        Redirects are not followed: the secret's signature is for the receiver that was named.
        """
        try:
            answer = asyncio.run(self._post(message, datetime.fromtimestamp(int(now), UTC)))
        except (httpx.HTTPError, httpx.InvalidURL, TimeoutError) as error:
            # Without its cause, whose text may hold the URL.
            raise DeliveryError(f"{self.recipient} cannot be reached: {self._reason(error)}.", answered=False) from None
        if answer.is_success:
            return
        advice = "Set DUALFACE_WEBHOOK_URL to where it leads." if answer.is_redirect else "Its own log may say why."
        raise DeliveryError(f"{self.recipient} answered {answer.status_code}. {advice}", answered=True)

    async def _post(self, message: Message, now: datetime) -> httpx.Response:
        """Send a message and read the head of the answer.

        The time limit is one for all of it; httpx has only limits for a single read, which a receiver that sends a byte
        now and then never exceeds.
        """
        body = message.body()
        headers = {
            "Content-Type": "application/json",
            "User-Agent": "dualface",
            "webhook-id": message.id,
            "webhook-timestamp": str(int(now.timestamp())),
        }
        if self.secret is not None:
            headers["webhook-signature"] = _signer(self.secret).sign(message.id, now, body)
        # The system's certificates, and no proxy or password from the environment.
        client = httpx.AsyncClient(verify=ssl.create_default_context(), trust_env=False, timeout=self.seconds)
        async with (
            asyncio.timeout(self.seconds),
            client,
            client.stream("POST", self.url, content=body, headers=headers) as answer,
        ):
            return answer

    def _reason(self, error: BaseException) -> str:
        """Why there was no answer, in words that come from nowhere near the URL."""
        causes = [error]
        while (cause := causes[-1].__cause__ or causes[-1].__context__) is not None:
            causes.append(cause)
        for found in causes:
            match found:
                case TimeoutError():
                    return f"no answer within {self.seconds:g} seconds"
                case ssl.SSLCertVerificationError():
                    return f"its certificate is not accepted ({found.verify_message})"
                case OSError(strerror=str(text)):
                    return text
        return f"no answer that is HTTP ({type(error).__name__})"


def _signer(secret: str) -> standardwebhooks.Webhook:
    """Signs by a secret: Base64 after the prefix of Standard Webhooks, any text without it."""
    return standardwebhooks.Webhook(secret if secret.startswith(_STANDARD_SECRET) else secret.encode())
