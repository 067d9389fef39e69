from __future__ import annotations

from pathlib import Path

import pytest

from dualface_core.encoding.settings import EncoderKind
from dualface_core.errors import SettingsError
from dualface_core.settings import Settings, WebhookSettings, runtime_folder, without_password

ALIASES = [
    ("NVENC_MAX_SESSIONS", "nvenc_max_sessions", "3", 3),
    ("MULTISTREAM_BATCH_SIZE", "streams", "4", 4),
    ("ENABLE_SOFTWARE_FALLBACK", "software_fallback", "false", False),
]


@pytest.fixture(autouse=True)
def nothing_set(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)  # no .env file
    for variable in ("RUNTIME", "WEBHOOK_URL", "WEBHOOK_SECRET", "WEB_URL"):
        monkeypatch.delenv(f"DUALFACE_{variable}", raising=False)
    for alias, name, _, _ in ALIASES:
        for variable in (alias, f"DUALFACE_{name.upper()}"):
            monkeypatch.delenv(variable, raising=False)


def test_two_sessions_at_most_and_a_way_out_are_the_default() -> None:
    settings = Settings.load()
    assert settings.nvenc_max_sessions == 2
    assert settings.session_timeout == 30
    assert settings.software_fallback
    assert settings.encoder is EncoderKind.AUTO


@pytest.mark.parametrize(("alias", "name", "text", "value"), ALIASES)
def test_the_names_that_others_use_work_and_ours_win(
    monkeypatch: pytest.MonkeyPatch, alias: str, name: str, text: str, value: object
) -> None:
    default = getattr(Settings.load(), name)
    monkeypatch.setenv(alias, text)
    assert getattr(Settings.load(), name) == value != default
    monkeypatch.setenv(f"DUALFACE_{name.upper()}", "1")
    assert getattr(Settings.load(), name) == 1


@pytest.mark.parametrize(
    ("variable", "text"),
    [
        ("NVENC_MAX_SESSIONS", "-1"),
        ("MULTISTREAM_BATCH_SIZE", "0"),
        ("ENABLE_SOFTWARE_FALLBACK", "perhaps"),
        ("DUALFACE_ENCODER", "gpu"),
    ],
)
def test_a_value_that_makes_no_sense_is_named_with_its_variable(
    monkeypatch: pytest.MonkeyPatch, variable: str, text: str
) -> None:
    monkeypatch.setenv(variable, text)
    with pytest.raises(SettingsError, match=rf"not allowed: {variable}: .*found '{text}'"):
        Settings.load()


@pytest.mark.parametrize("value", ["https//ann:s3cret@host/x", "ftp://ann:s3cret@host/x"])
def test_an_address_that_makes_no_sense_is_not_repeated(monkeypatch: pytest.MonkeyPatch, value: str) -> None:
    monkeypatch.setenv("DUALFACE_REVIEW_URL", value)
    with pytest.raises(SettingsError, match="not allowed: DUALFACE_REVIEW_URL: ") as caught:
        Settings.load()
    assert "s3cret" not in str(caught.value)


def test_addresses_have_no_place_in_the_representation() -> None:
    settings = Settings(store="sftp://ann:s3cret@host/x", review_url="https://ann:s3cret@host/x")
    assert "s3cret" not in f"{settings} {settings!r}"


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("sftp://ann:s3cret@host/x", "sftp://host/x"),
        ("sftp://ann:s3@cret@host/x", "sftp://host/x"),
        ("cannot open 'sftp://ann:s3cret@host/x': ask ann@host", "cannot open 'sftp://host/x': ask ann@host"),
        ("sftp://ann:s3/cret@host/x", "sftp://host/x"),
        ("http://host:8080/a@b", "http://host:8080/a@b"),
        ("Forbidden, url='https://host/x?X-Amz-Signature=s3cret&a=b'.", "Forbidden, url='https://host/x'."),
        ("s3://bucket/a@b", "s3://bucket/a@b"),
        ("/data/a@b", "/data/a@b"),
    ],
)
def test_a_url_is_shown_without_its_password(text: str, shown: str) -> None:
    assert without_password(text) == shown


def test_the_runtime_folder_depends_on_the_user_and_nothing_else(monkeypatch: pytest.MonkeyPatch) -> None:
    before = runtime_folder()
    for variable in ("TMPDIR", "HOME", "XDG_RUNTIME_DIR", "XDG_STATE_HOME"):
        monkeypatch.setenv(variable, "/elsewhere")
    assert runtime_folder() == before == Settings.load().runtime
    assert not before.is_relative_to("/run/user")  # gone when its user logs out


def test_a_preset_that_is_not_set_is_the_one_that_suits() -> None:
    assert Settings().encoder_settings(preset="balanced").preset == "balanced"
    assert Settings(preset="best").encoder_settings(preset="balanced").preset == "best"


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
