from __future__ import annotations

from pathlib import Path

import pytest

from dualface_assets.settings import REPROCESS, ServiceSettings, WebhookSettings, drop_folder
from dualface_core.errors import MachineError, SettingsError
from dualface_core.system.marked_folders import MARKER, mark


@pytest.fixture(autouse=True)
def nothing_set(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)  # no .env file
    for variable in ("STORE", "INBOX", "WEBHOOK_URL", "WEBHOOK_SECRET", "WEB_URL"):
        monkeypatch.delenv(f"DUALFACE_{variable}", raising=False)


@pytest.mark.parametrize("value", ["https//ann:s3cret@host/x", "ftp://ann:s3cret@host/x"])
def test_an_address_that_makes_no_sense_is_not_repeated(monkeypatch: pytest.MonkeyPatch, value: str) -> None:
    monkeypatch.setenv("DUALFACE_REVIEW_URL", value)
    with pytest.raises(SettingsError, match="not allowed: DUALFACE_REVIEW_URL: ") as caught:
        ServiceSettings.load()
    assert "s3cret" not in str(caught.value)


def test_addresses_have_no_place_in_the_representation() -> None:
    settings = ServiceSettings(store="sftp://ann:s3cret@host/x", review_url="https://ann:s3cret@host/x")
    assert "s3cret" not in f"{settings} {settings!r}"


def test_a_video_is_submitted_to_the_inbox_that_is_given_or_else_that_of_the_settings(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert drop_folder(Path("given"), reprocess=True) == Path("given") / REPROCESS
    monkeypatch.setenv("DUALFACE_STORE", "/store")
    assert drop_folder(None, reprocess=False) == Path("/store/inbox")
    monkeypatch.setenv("DUALFACE_STORE", "s3://bucket/videos")
    with pytest.raises(SettingsError, match="Set DUALFACE_INBOX"):
        drop_folder(None, reprocess=False)
    monkeypatch.setenv("DUALFACE_INBOX", "/inbox")
    assert drop_folder(None, reprocess=True) == Path("/inbox") / REPROCESS


def test_nothing_is_submitted_beside_the_disk_of_a_store(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("DUALFACE_STORE", str(tmp_path / "store"))
    monkeypatch.setenv("DAGSTER_HOME", str(tmp_path / "home"))
    assert drop_folder(None, reprocess=False) == tmp_path / "store" / "inbox"
    mark(tmp_path / "store", tmp_path / "home")
    (tmp_path / "store" / MARKER).unlink()
    with pytest.raises(MachineError, match="is not the store"):
        drop_folder(None, reprocess=False)


def test_without_a_webhook_nobody_is_told() -> None:
    settings = WebhookSettings.load()
    assert (settings.webhook_url, settings.webhook_secret, settings.web_url) == (None, None, None)


@pytest.mark.parametrize("url", ["https://example.com", "http://u:p@127.0.0.1:8000/a?b=c", "http://[::1]:1/"])
def test_an_address_of_a_webhook_is_taken_as_it_is(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DUALFACE_WEBHOOK_URL", url)
    found = WebhookSettings.load()
    assert found.webhook_url is not None
    assert found.webhook_url.get_secret_value() == url


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("DUALFACE_WEBHOOK_URL", "ftp://example.com/s3cret"),
        ("DUALFACE_WEBHOOK_URL", "file:///etc/s3cret"),
        ("DUALFACE_WEBHOOK_URL", "s3cret"),
        ("DUALFACE_WEBHOOK_URL", "https:///s3cret"),
        ("DUALFACE_WEBHOOK_URL", "https://example.com:s3cret/"),
        ("DUALFACE_WEBHOOK_URL", "https://example.com/s3cret\r\nX-Header: 1"),
        ("DUALFACE_WEBHOOK_URL", "https://example.com/s3cret 1"),
        ("DUALFACE_WEBHOOK_URL", "https://example.com/s3crét"),
        ("DUALFACE_WEBHOOK_SECRET", "whsec_s3cret"),
        ("DUALFACE_WEBHOOK_SECRET", "whsec_"),
        ("DUALFACE_WEB_URL", "https://ann:s3cret@example.com/"),
        ("DUALFACE_WEB_URL", "javascript:s3cret"),
    ],
)
def test_a_wrong_address_is_refused_and_not_repeated(name: str, value: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(name, value)
    with pytest.raises(SettingsError, match=name) as caught:
        WebhookSettings.load()
    assert "s3cr" not in f"{caught.value!r} {caught.value.__cause__!r}"


def test_what_is_secret_is_not_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DUALFACE_WEBHOOK_URL", "https://example.com/s3cret")
    monkeypatch.setenv("DUALFACE_WEBHOOK_SECRET", "s3cret")
    assert "s3cret" not in f"{WebhookSettings.load()!r} {WebhookSettings.load().model_dump_json()}"
