from __future__ import annotations

from pathlib import Path

import pytest

from dualface_core.encoding.settings import EncoderKind
from dualface_core.errors import SettingsError
from dualface_core.settings import Settings, runtime_folder

ALIASES = [
    ("NVENC_MAX_SESSIONS", "nvenc_max_sessions", "3", 3),
    ("MULTISTREAM_BATCH_SIZE", "streams", "4", 4),
    ("ENABLE_SOFTWARE_FALLBACK", "software_fallback", "false", False),
]


@pytest.fixture(autouse=True)
def nothing_set(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)  # no .env file
    monkeypatch.delenv("DUALFACE_RUNTIME", raising=False)
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


def test_the_runtime_folder_depends_on_the_user_and_nothing_else(monkeypatch: pytest.MonkeyPatch) -> None:
    before = runtime_folder()
    for variable in ("TMPDIR", "HOME", "XDG_RUNTIME_DIR", "XDG_STATE_HOME"):
        monkeypatch.setenv(variable, "/elsewhere")
    assert runtime_folder() == before == Settings.load().runtime
    assert not before.is_relative_to("/run/user")  # gone when its user logs out


def test_a_preset_that_is_not_set_is_the_one_that_suits() -> None:
    assert Settings().encoder_settings(preset="balanced").preset == "balanced"
    assert Settings(preset="best").encoder_settings(preset="balanced").preset == "best"
