from __future__ import annotations

import base64
import hashlib
import hmac
import logging
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import standardwebhooks

from dualface_assets.notifications.webhook import DeliveryError, Message, Webhook
from tests.webhook_receiver import Receiver, receiving

MESSAGE = Message("run-1.video.finished", "video.finished", 1_700_000_000.0, {"name": "미소.mp4", "key": "a\udc80"})
NOW = 1_700_000_060.0


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with receiving() as receiver:
        yield receiver


def refusal(webhook: Webhook) -> DeliveryError:
    with pytest.raises(DeliveryError) as caught:
        webhook.send(MESSAGE, now=NOW)
    return caught.value


def test_a_message_arrives_with_its_id_and_time(receiver: Receiver) -> None:
    Webhook(receiver.url + "?token=1").send(MESSAGE, now=NOW)
    (request,) = receiver.requests
    assert request.path == "/hook?token=1"
    assert request.headers["content-type"] == "application/json"
    assert request.headers["webhook-id"] == "run-1.video.finished"
    assert request.headers["webhook-timestamp"] == "1700000060"
    assert "webhook-signature" not in request.headers
    assert request.document == {
        "type": "video.finished",
        "timestamp": "2023-11-14T22:13:20+00:00",
        "data": {"name": "미소.mp4", "key": "a\udc80"},
    }


@pytest.mark.parametrize(
    ("secret", "key"), [("a secret", b"a secret"), ("whsec_" + base64.b64encode(b"\x00key").decode(), b"\x00key")]
)
def test_a_receiver_can_check_who_sent_what_it_got(receiver: Receiver, secret: str, key: bytes) -> None:
    Webhook(receiver.url, secret).send(MESSAGE, now=NOW)
    (request,) = receiver.requests
    signed = f"{request.headers['webhook-id']}.{request.headers['webhook-timestamp']}.".encode() + request.body
    expected = base64.b64encode(hmac.digest(key, signed, hashlib.sha256)).decode()
    assert request.headers["webhook-signature"] == f"v1,{expected}"


def test_the_signature_is_that_of_standard_webhooks(receiver: Receiver) -> None:
    """As the specification's reference library, which receivers use, verifies it."""
    secret, now = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", time.time()
    Webhook(receiver.url, secret).send(MESSAGE, now=now)
    (request,) = receiver.requests
    assert standardwebhooks.Webhook(secret).verify(request.body, request.headers) == request.document


def test_a_password_in_the_address_is_used_as_one(receiver: Receiver) -> None:
    Webhook(receiver.url.replace("//", "//ann:p%40ss@")).send(MESSAGE, now=NOW)
    assert receiver.requests[0].headers["authorization"] == f"Basic {base64.b64encode(b'ann:p@ss').decode()}"


@pytest.mark.parametrize("status", [302, 307, 400, 410, 500])
def test_only_a_success_counts_and_no_redirect_is_followed(receiver: Receiver, status: int) -> None:
    receiver.status = status
    receiver.location = receiver.url + "/elsewhere"
    error = refusal(Webhook(receiver.url))
    assert error.answered
    assert f"answered {status}" in str(error)
    assert [request.path for request in receiver.requests] == ["/hook"]


def test_a_receiver_that_answers_byte_by_byte_is_left_in_the_end(receiver: Receiver) -> None:
    receiver.drip = True
    error = refusal(Webhook(receiver.url, seconds=0.3))
    assert not error.answered
    assert "no answer within 0.3 seconds" in str(error)


def test_a_receiver_that_says_nothing_is_left_in_the_end() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        error = refusal(Webhook(f"http://127.0.0.1:{silent.getsockname()[1]}/", seconds=0.3))
    assert not error.answered
    assert "no answer within 0.3 seconds" in str(error)


def test_what_does_not_speak_http_is_told_apart() -> None:
    with receiving() as receiver:
        error = refusal(Webhook(receiver.url.replace("http:", "https:"), seconds=60))
    assert not error.answered


def test_a_certificate_must_be_trusted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    both = tmp_path / "both.pem"
    names = ["-subj", "/CN=localhost", "-addext", "subjectAltName=IP:127.0.0.1"]
    command = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", *names]
    subprocess.run([*command, "-keyout", tmp_path / "key", "-out", tmp_path / "crt"], check=True, capture_output=True)
    both.write_bytes((tmp_path / "key").read_bytes() + (tmp_path / "crt").read_bytes())
    with receiving(both) as receiver:
        assert "its certificate is not accepted (self-signed certificate)" in str(refusal(Webhook(receiver.url)))
        assert receiver.requests == []
        monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "crt"))
        Webhook(receiver.url).send(MESSAGE, now=NOW)
    assert len(receiver.requests) == 1


def test_a_host_that_can_be_none_is_no_answer() -> None:
    assert not refusal(Webhook(f"http://{'x' * 64}.example/")).answered  # a label has 63 letters at most


@pytest.mark.parametrize("status", [None, 302, 500])
def test_nothing_of_the_address_but_its_host_is_ever_shown(
    receiver: Receiver, status: int | None, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    receiver.status = status or 200
    port = receiver.url.rpartition(":")[2].partition("/")[0] if status else 1
    webhook = Webhook(f"http://user:password@127.0.0.1:{port}/path-token?query=token", "the secret")
    error = refusal(webhook)
    shown = f"{error} {error!r} {webhook!r} {webhook.recipient} {error.__cause__!r} {caplog.text}"
    assert f"http://127.0.0.1:{port}" in shown
    for hidden in ("user", "password", "path-token", "query", "the secret"):
        assert hidden not in shown
