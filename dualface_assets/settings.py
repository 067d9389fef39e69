"""Settings of the service: where videos lie, how long they are kept, and who is notified.

Belongs here: names, defaults and meanings of what only the Dagster service needs, read from the environment and
from a `.env` file, as those of the library (`dualface_core.settings`). It imports no Dagster, so `dualface submit` is
quick.
"""

from __future__ import annotations

import base64
import os
from pathlib import Path
from typing import Annotated, Final, Self
from urllib.parse import urlsplit

from pydantic import Field, SecretStr
from pydantic_settings import BaseSettings, SettingsConfigDict

from dualface_core.errors import SettingsError
from dualface_core.settings import EnvironmentSettings
from dualface_core.system.marked_folders import why_missing

REPROCESS: Final = ".reprocess"
"""The folder of an inbox whose videos are made again even if their result is there already. Its name is hidden, and it
counts only at the top of the inbox, so that no copy of other folders brings one by accident."""


_Days = Annotated[float | None, Field(ge=0)]


def workspace() -> Path:
    """The folder in which an installation lies: the checkout, or else that of DAGSTER_HOME, or the working folder."""
    checkout = Path(__file__).resolve().parents[1]
    if (checkout / "workspace.yaml").exists():
        return checkout
    home = os.environ.get("DAGSTER_HOME")
    return Path(home).absolute().parent if home else Path.cwd()


def local_folder(store: str) -> Path | None:
    """The folder that a store is; None if it is a URL of anything else."""
    if store.startswith("file://"):
        return Path(store.removeprefix("file://"))
    return None if "://" in store else Path(store)


class ServiceSettings(EnvironmentSettings):
    """Where the service keeps what, and for how long."""

    store: str = Field(
        default_factory=lambda: str(workspace() / "data"),
        repr=False,
        description="Where uploads, tables, previews and results live: a folder, or any fsspec URL.",
    )
    inbox: Path | None = Field(
        default=None, description="Where uploads are dropped. Without it, the folder `inbox` in a local store."
    )
    inbox_url: str | None = Field(
        default=None,
        repr=False,
        description="Objects below this URL of an object store, such as s3://bucket/inbox, are uploads, too.",
    )
    work: Path | None = Field(
        default=None,
        description="Where uploads wait, and videos are worked on, if the store is remote. Without it, a folder of the "
        "user's data.",
    )
    work_limit: int | None = Field(
        default=None,
        gt=0,
        description="Bytes that copies, uploads and unfinished results in the folder for work may take, over all runs "
        "of this host. A run for which there is too little left waits. Without it, as many as the disk has.",
    )
    outbox: Path | None = Field(
        default=None,
        description="A folder for a copy of each verified result, under the name of its upload. Without it, none.",
    )
    keep_uploads: _Days = Field(
        default=None, description="For how long an upload is kept after its result was published. Without it, for ever."
    )
    keep_tables: _Days = Field(
        default=None, description="For how long tables are kept after the result was published. Without it, for ever."
    )
    keep_results: _Days = Field(
        default=None, description="For how long a result is kept after it was published. Without it, for ever."
    )
    keep_unfinished: _Days = Field(
        default=None,
        description="For how long an upload that has had no result, such as a file that is no video, is kept after "
        "anything was last done with it. Without it, for ever.",
    )
    review_url: str | None = Field(
        default=None,
        repr=False,
        pattern=r"^https?://\S+$",
        description="Where review pages and results are served, if not by the web page itself: https://host/dualface.",
    )

    runs_per_tick: int = Field(
        default=1, ge=1, description="Runs that the sensor on uploads asks for in a tick; there are twelve a minute."
    )
    metrics: str | None = Field(
        default=None,
        pattern=r"^(\S+:)?[0-9]{1,5}$",
        description="The port, or address and port, on which metrics can be had. A port alone is one of 127.0.0.1.",
    )

    @property
    def metrics_address(self) -> tuple[str, int]:
        """Address and port on which metrics can be had. Raises SettingsError where they are not to be had."""
        if self.metrics is None:
            raise SettingsError("DUALFACE_METRICS is not set, so nobody is to be told. Set it to a port, such as 9464.")
        address, _, port = self.metrics.rpartition(":")
        return address.strip("[]") or "127.0.0.1", int(port)

    @property
    def inbox_folder(self) -> Path:
        """The folder for uploads. Raises SettingsError where the store is remote and no inbox is set."""
        if self.inbox is not None:
            return self.inbox
        folder = local_folder(self.store)
        if folder is None:
            raise SettingsError("The store is remote and no folder is set as inbox. Set DUALFACE_INBOX.")
        return folder / "inbox"

    @property
    def outbox_folder(self) -> Path | None:
        """The folder for results, if there is to be one. Raises SettingsError for one whose files would be uploads."""
        if self.outbox is None:
            return None
        outbox = self.outbox.resolve()
        store = local_folder(self.store)
        for folder in filter(None, (self.inbox, store)):
            if outbox.is_relative_to(folder.resolve()):
                raise SettingsError(f"The outbox {str(outbox)!r} is in {str(folder)!r}. Choose a folder elsewhere.")
        return outbox


def drop_folder(inbox: Path | None, *, reprocess: bool) -> Path:
    """Where `dualface submit` puts videos: into `inbox`, or else that of the settings.

    Raises SettingsError, or MachineError for an inbox in a store that is not mounted.
    """
    if inbox is None:
        settings = ServiceSettings.load()
        inbox, store = settings.inbox_folder, local_folder(settings.store)
        home = Path(os.environ.get("DAGSTER_HOME") or workspace() / "dagster_home")
        if store and settings.inbox is None and (missing := why_missing(store.absolute(), home)):
            raise missing
    return inbox / REPROCESS if reprocess else inbox


class WebhookSettings(BaseSettings):
    """Who is notified of what became of a video.

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
