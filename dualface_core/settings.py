"""Settings: every knob that is set from outside, with a default that works.

Belongs here: names, defaults and meanings, read from the environment (prefix `DUALFACE_`) and from a `.env` file.
Parameters of the methods themselves live with the methods; nothing else in the project reads the environment.
"""

from __future__ import annotations

import base64
import os
import re
from pathlib import Path
from typing import Any, Final, Self
from urllib.parse import urlsplit

import platformdirs
from pydantic import AliasChoices, Field, SecretStr, ValidationError
from pydantic_core import ErrorDetails
from pydantic_settings import BaseSettings, SettingsConfigDict

from dualface_core.encoding.settings import Codec, EncoderKind, EncoderSettings, check_preset
from dualface_core.errors import SettingsError

REPROCESS: Final = ".reprocess"
"""The folder of an inbox whose videos are made again even if their result is there already. Its name is hidden, and it
counts only at the top of the inbox, so that no copy of other folders brings one by accident."""

_HOME: Final = Path(__file__).resolve().parent.parent

CREDENTIALS: Final = re.compile(r"(?<=://)(?:[^/\s]*|[^/\s@:]*:(?!\d+(?:/|\s|$))[^\s@]*)@")
"""Name and password in a URL, with the @ behind them."""

_QUERY: Final = re.compile(r"(?<=://)([^\s?'\"<>]*)\?[^\s'\"<>)]*")


def runtime_folder() -> Path:
    """The user's folder for slot files, the same for a shell, a service and a cron job on this host.

    So it depends on the user alone: /run/user goes away when its user logs out, while encodes may still run and hold
    slots, and TMPDIR and the XDG variables differ between a login and a service.
    """
    return Path(f"/tmp/dualface-{os.getuid()}")  # noqa: S108  made with mode 0700, and refused if another user made it


def local_folder(store: str) -> Path | None:
    """The folder that a store is; None if it is a URL of anything else."""
    if store.startswith("file://"):
        return Path(store.removeprefix("file://"))
    return None if "://" in store else Path(store)


def without_password(text: str) -> str:
    """The same without name, password and query of the URLs in it: they are nobody's business.

    A query may hold a token, or the signature of what was asked for. A slash in a password should have been quoted;
    where it was not, the password is not shown either.
    """
    return _QUERY.sub(r"\1", CREDENTIALS.sub("", text))


class Settings(BaseSettings):
    """The settings of one process. Immutable; make another to change one.

    Addresses may hold a password. They have no place in the representation of these settings, nor in an error.
    """

    model_config = SettingsConfigDict(
        env_prefix="DUALFACE_", env_file=".env", extra="ignore", frozen=True, populate_by_name=True
    )

    store: str = Field(
        default=str(_HOME / "data"),
        repr=False,
        description="Where uploads, tables, previews and results live: a folder, or any fsspec URL.",
    )
    inbox: Path | None = Field(
        default=None, description="Where uploads are dropped. Without it, the folder `inbox` in a local store."
    )
    work: Path | None = Field(
        default=None,
        description="Where uploads wait, and videos are worked on, if the store is remote. Without it, the hidden "
        "folder `.dualface` in the inbox.",
    )
    keep_uploads: float | None = Field(
        default=None,
        ge=0,
        description="Days for which an upload is kept after its result was published. Without it, for ever.",
    )
    keep_tables: float | None = Field(
        default=None,
        ge=0,
        description="Days for which tables are kept after the result was published. Without it, for ever.",
    )
    keep_results: float | None = Field(
        default=None, ge=0, description="Days for which a result is kept after it was published. Without it, for ever."
    )
    keep_unfinished: float | None = Field(
        default=None,
        ge=0,
        description="Days for which an upload that has had no result, such as a file that is no video, is kept after "
        "anything was last done with it. Without it, for ever.",
    )
    review_url: str | None = Field(
        default=None,
        repr=False,
        pattern=r"^https?://\S+$",
        description="Where the store is served, if it is, so that review pages can be linked: https://host/dualface.",
    )
    runtime: Path = Field(
        default_factory=runtime_folder,
        description="NVENC slot files and counters: one folder per host, shared by all processes.",
    )
    cache: Path = Field(
        default_factory=lambda: Path(platformdirs.user_cache_dir("dualface")),
        description="Sample material and what was found out about the GPU.",
    )
    nvenc_max_sessions: int = Field(
        default=2,
        ge=0,
        validation_alias=AliasChoices("DUALFACE_NVENC_MAX_SESSIONS", "NVENC_MAX_SESSIONS"),
        description="NVENC sessions at once per GPU, over all processes of this host.",
    )
    session_timeout: float = Field(default=30.0, gt=0, description="Longest wait for an NVENC session, in seconds.")
    stall_timeout: float = Field(
        default=60.0, gt=0, description="An NVENC encode without a new frame for so many seconds is ended."
    )
    streams: int | None = Field(
        default=None,
        ge=1,
        validation_alias=AliasChoices("DUALFACE_STREAMS", "MULTISTREAM_BATCH_SIZE"),
        description="Videos in work at once in `dualface run`. Without it, what suits the machine.",
    )
    software_fallback: bool = Field(
        default=True,
        validation_alias=AliasChoices("DUALFACE_SOFTWARE_FALLBACK", "ENABLE_SOFTWARE_FALLBACK"),
        description="Whether software encode may replace NVENC that was chosen and fails.",
    )
    encoder: EncoderKind = Field(
        default=EncoderKind.AUTO,
        description="Who encodes: NVENC where it works (auto), NVENC (nvenc), or software.",
    )
    codec: Codec = Field(default="h264", description="Video codec of the result.")
    quality: int = Field(default=20, ge=0, le=51, description="Quality on x264's CRF scale; smaller is better.")
    preset: str | None = Field(
        default=None,
        description='"fast", "balanced", "best", or a preset name of the encoder itself. Without it, "fast", or what '
        "suits the GPU.",
    )
    layout: str = Field(default="side-by-side", description="How the tiles lie on the canvas.")
    detect_every: int | None = Field(
        default=None, ge=1, description="Look for faces in every n-th frame. Without it, about six times a second."
    )
    detector_weights: Path | None = Field(default=None, description="Another file with YuNet's weights (ONNX).")
    embedder_weights: Path | None = Field(default=None, description="Another file with SFace's weights (ONNX).")

    @classmethod
    def load(cls) -> Self:
        """Read the environment. Raises SettingsError naming every setting that is not allowed."""
        try:
            return cls()
        except ValidationError as error:
            lines = [f"{_variable(item['loc'])}: {item['msg']}{_found(item)}" for item in error.errors()]
            raise SettingsError(f"Settings that are not allowed: {'; '.join(lines)}.") from None

    def overlaid(self, **given: Any) -> Self:
        """These settings with some replaced; None leaves one as it is. Raises SettingsError."""
        chosen = {name: value for name, value in given.items() if value is not None}
        try:
            return self.model_validate({**self.model_dump(), **chosen})
        except ValidationError as error:
            wrong = "; ".join(f"{item['loc'][0]}: found {item['input']!r}. {item['msg']}" for item in error.errors())
            raise SettingsError(f"{wrong}.") from None

    def encoder_settings(self, *, preset: str = "fast") -> EncoderSettings:
        """What to encode with; `preset` is for settings that name none.

        Raises SettingsError for a preset that none of the encoders in question has.
        """
        chosen = EncoderSettings(
            encoder=self.encoder, codec=self.codec, quality=self.quality, preset=self.preset or preset
        )
        check_preset(chosen)
        return chosen

    @property
    def inbox_folder(self) -> Path | None:
        """The folder for uploads; None where the store is remote and no inbox is set."""
        if self.inbox is not None:
            return self.inbox
        folder = local_folder(self.store)
        return None if folder is None else folder / "inbox"


class WebhookSettings(BaseSettings):
    """Who is told what has become of a video.

    Apart from `Settings`, which are handed from step to step and so into files: these hold secrets.
    """

    model_config = SettingsConfigDict(
        env_prefix="DUALFACE_", env_file=".env", env_ignore_empty=True, extra="ignore", frozen=True
    )

    webhook_url: SecretStr | None = Field(
        default=None, description="Where a message is sent when a video is finished or has failed. http or https."
    )
    webhook_secret: SecretStr | None = Field(default=None, description="Key with which the messages are signed.")
    web_url: str | None = Field(
        default=None, description="The address under which people see the web page, for links in the messages."
    )

    @classmethod
    def load(cls) -> Self:
        """Read the environment. Raises SettingsError, which does not repeat what it found."""
        settings = cls()
        if settings.webhook_url is not None and not _is_web_address(settings.webhook_url.get_secret_value()):
            raise SettingsError("DUALFACE_WEBHOOK_URL is no address such as https://example.com/hook.")
        if settings.webhook_secret is not None and not _is_key(settings.webhook_secret.get_secret_value()):
            raise SettingsError("DUALFACE_WEBHOOK_SECRET begins with whsec_, but what follows is no Base64.")
        if settings.web_url is not None and (not _is_web_address(settings.web_url) or "@" in settings.web_url):
            raise SettingsError("DUALFACE_WEB_URL is no address such as https://example.com.")
        return settings


def _is_web_address(url: str) -> bool:
    """Whether this is a URL that can be asked for as it is: http or https, a host, nothing that needs quoting."""
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        return False
    plain = url.isascii() and url.isprintable() and " " not in url
    return plain and parts.scheme in {"http", "https"} and bool(parts.hostname) and port != 0


def _is_key(secret: str) -> bool:
    """Whether a secret can be used: any text, but Base64 of at least one byte where it says so by its prefix."""
    try:
        return not secret.startswith("whsec_") or bool(base64.b64decode(secret.removeprefix("whsec_"), validate=True))
    except ValueError:
        return False


def _found(problem: ErrorDetails) -> str:
    """What a setting was found to be, unless it may hold a password."""
    field = Settings.model_fields.get(str(problem["loc"][0])) if problem["loc"] else None
    return "" if field and not field.repr else f" (found {problem['input']!r})"


def _variable(location: tuple[int | str, ...]) -> str:
    """The name under which a setting was given: of several the one that is set."""
    name = str(location[0]) if location else "settings"
    for field in Settings.model_fields.values():
        if isinstance(field.validation_alias, AliasChoices) and name in field.validation_alias.choices:
            return next((str(choice) for choice in field.validation_alias.choices if str(choice) in os.environ), name)
    return name if name.isupper() else f"DUALFACE_{name.upper()}"
