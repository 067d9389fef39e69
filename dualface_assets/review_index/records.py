"""What the index knows of each video: small JSON files beside the pages.

Belongs here: the records and how they are read. They are written by different processes, so each has a file of its own
and no process changes another's: `record.json` comes with a page, `failure.json` with a run that failed, and
`removal.json` with the deletion of one of the two videos.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Final, Literal, Self

from pydantic import AwareDatetime, BaseModel, ConfigDict, ValidationError

from dualface_assets.store.files import LocalFiles

if TYPE_CHECKING:  # OpenCV is loaded by the step that needs it
    from dualface_core.review.page import Page, PageContent

PAGE: Final = "index.html"
THUMBNAIL: Final = "thumbnail.jpg"


class _Record(BaseModel):
    """A file of this name in the folder of a video's page."""

    model_config = ConfigDict(frozen=True)

    FILE: ClassVar[str]

    def write(self, folder: Path) -> Path:
        """Write it as a whole into the folder, made if it is not there. Gives its path. Raises OutputError."""
        LocalFiles(folder).write(folder / self.FILE, self.model_dump_json(indent=2).encode() + b"\n")
        return folder / self.FILE

    @classmethod
    def read(cls, folder: Path) -> Self | None:
        """The record in a folder; None where there is none, or none that can be read."""
        try:
            return cls.model_validate_json((folder / cls.FILE).read_bytes())
        except (OSError, ValidationError):
            return None


class PageRecord(_Record):
    """A video whose result was verified and has a page.

    Attributes:
        key: of the video; the name of its folder.
        name: what the file was called, for people.
        made_at: when the page was made.
        duration: of the result, in seconds.
        encoder: FFmpeg's name of it.
        size_bytes: of the result.
        seconds: of work that it took, in all steps.
        warnings: what a person should know of it, as sentences.
    """

    FILE = "record.json"

    key: str
    name: str
    made_at: AwareDatetime
    duration: float
    encoder: str
    size_bytes: int
    seconds: float
    warnings: list[str]

    def is_after(self, failure: FailureRecord) -> bool:
        """Whether the page was made after a failure, which is void then."""
        return failure.failed_at <= self.made_at


class FailureRecord(_Record):
    """A run that failed.

    Attributes:
        key: of the video.
        name: what the file was called, for people.
        failed_at: when the run ended.
        failure: class of the failure, such as "unreadable-video".
        reason: what happened, as a sentence.
        action: what to do about it.
        run: identifies the run.
        tried_again: whether another run follows by itself.
    """

    FILE = "failure.json"

    key: str
    name: str
    failed_at: AwareDatetime
    failure: str
    reason: str
    action: str
    run: str
    tried_again: bool


class RemovalRecord(_Record):
    """Which of the two videos that a page shows was deleted on purpose, and when."""

    FILE = "removal.json"

    part: Literal["upload", "result"]
    removed_at: AwareDatetime


RECORDS: Final = frozenset({PageRecord.FILE, FailureRecord.FILE, RemovalRecord.FILE, THUMBNAIL})
"""What the index is made of."""


@dataclass(frozen=True)
class Entry:
    """One video of the index. At least one of `page` and `failure` is there.

    Attributes:
        key: the name of its folder.
        page: its page's record.
        failure: the failure that came after that page, if any did.
        removal: what was deleted after that page was made, if anything was.
        has_thumbnail: whether there is a thumbnail.
    """

    key: str
    page: PageRecord | None
    failure: FailureRecord | None
    removal: RemovalRecord | None
    has_thumbnail: bool

    @property
    def name(self) -> str:
        """What the file was called."""
        record = self.page or self.failure
        return record.name if record else self.key

    @property
    def when(self) -> datetime:
        """When the last thing happened to it."""
        times = [self.page.made_at] if self.page else []
        return max(times + ([self.failure.failed_at] if self.failure else []))


def write_page(page: Page, about: PageContent, folder: Path) -> None:
    """Publish a page and its record in the video's folder, made if it is not there. Raises OutputError."""
    for name, content in ((THUMBNAIL, page.thumbnail), (PAGE, page.html.encode())):
        LocalFiles(folder).write(folder / name, content)
    # Last, since the index links to a page that is there.
    PageRecord(
        key=about.key,
        name=about.name,
        made_at=page.made_at,
        duration=about.result.duration,
        encoder=about.report.encoder_used,
        size_bytes=about.report.size_bytes,
        seconds=sum(about.seconds.values()),
        warnings=page.warnings,
    ).write(folder)


def entries(folder: Path) -> Iterator[Entry]:
    """All videos of which something is known, each a folder in `folder` with a key's name.

    An unreadable record counts as missing.
    """
    for inside in folder.iterdir() if folder.exists() else ():
        if inside.name.startswith(".") or not inside.name.isprintable() or not inside.is_dir():
            continue
        page, failure = PageRecord.read(inside), FailureRecord.read(inside)
        if page and failure and page.is_after(failure):
            failure = None
        removal = RemovalRecord.read(inside)
        if removal and (page is None or removal.removed_at <= page.made_at):
            removal = None
        if page or failure:
            yield Entry(inside.name, page, failure, removal, (inside / THUMBNAIL).exists())
