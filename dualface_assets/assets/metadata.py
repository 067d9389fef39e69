"""What the web page shows of an asset (images, figures, columns), and what programs read of it: its record.

Belongs here: the forms of metadata that more than one asset uses. Every image stays in the event log for ever, twice,
so it has a budget; nothing that a user has named goes into markdown; and no label that people see is read back.
See https://docs.dagster.io/guides/build/assets/metadata-and-tags.
"""

from __future__ import annotations

import base64
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final, Self

import dagster as dg
import pyarrow as pa
from pydantic import BaseModel, ConfigDict

from dualface_assets.settings import ServiceSettings
from dualface_assets.store.video_store import VideoStore
from dualface_core.engine.stages import Stage

IMAGE_BYTES: Final = 30_000

_RECORD: Final = "dualface/record"


class Record(BaseModel):
    """What other assets and notifications need to know of a materialization.

    Attributes:
        seconds: what its steps took, by the names of `dualface_core.review.page.PageContent`.
        stages: the same steps with what they used, as far as that is noted.
        path, report: where a result and its report are, for people.
        encoder: FFmpeg's name of the encoder that made the result.
        fallback: whether software did what NVENC should have done.
    """

    model_config = ConfigDict(frozen=True)

    seconds: dict[str, float] = {}
    stages: list[Stage] = []
    path: str | None = None
    report: str | None = None
    encoder: str | None = None
    fallback: bool = False

    def entry(self) -> dict[str, dg.JsonMetadataValue]:
        """This record as metadata."""
        return {_RECORD: dg.MetadataValue.json(self.model_dump())}

    @classmethod
    def of(cls, metadata: Mapping[str, dg.MetadataValue]) -> Self:
        """The record in an asset's metadata; an empty one where there is none."""
        return cls.model_validate(metadata[_RECORD].value if _RECORD in metadata else {})


def entries(metadata: Mapping[str, Any]) -> dict[str, Any]:
    """Metadata as people want to read it: figures of at most five digits, and nothing that says nothing."""
    return {
        name: float(f"{value:.5g}") if isinstance(value, float) else value
        for name, value in metadata.items()
        if value is not None and value != ""
    }


def stage_entries(stage: Stage, during: str) -> dict[str, float]:
    """What a step used, as metadata; `during` says what was done, such as "while encoding"."""
    return {
        f"frames per second {during}": stage.frames_per_second,
        f"cores busy {during}": stage.cores,
        f"tasks at once {during}": stage.workers,
        f"seconds for want of a core {during}": stage.core_wait_seconds,
        **({f"CPU seconds before, {during}": stage.ahead_cpu_seconds} if stage.ahead_cpu_seconds else {}),
    }


def image(content: bytes, alt: str) -> dg.MarkdownMetadataValue:
    """A JPEG or PNG of at most `IMAGE_BYTES`. `alt` says what it shows, in our own words."""
    if len(content) > IMAGE_BYTES:
        msg = f"The image {alt!r} has {len(content)} bytes; {IMAGE_BYTES} are allowed in metadata."
        raise ValueError(msg)
    kind = "png" if content.startswith(b"\x89PNG") else "jpeg"
    return dg.MetadataValue.md(f"![{alt}](data:image/{kind};base64,{base64.b64encode(content).decode()})")


def link(store: VideoStore, path: Path) -> dg.UrlMetadataValue:
    """A file of the store as a link: of the web page on which it is shown, unless the settings name another place."""
    served = (ServiceSettings.load().review_url or "").rstrip("/")
    return dg.MetadataValue.url(f"{served}/{store.link(path, seen_from=store.folder)}")


def columns(schema: pa.Schema, descriptions: Mapping[str, str]) -> dg.TableSchema:
    """A table's columns, each with its type and meaning."""
    return dg.TableSchema(
        [
            dg.TableColumn(
                field.name,
                type=str(field.type),
                description=descriptions[field.name],
                constraints=dg.TableColumnConstraints(nullable=field.nullable),
            )
            for field in schema
        ]
    )


def lineage(origins: Mapping[str, tuple[str, ...]], asset: str) -> dg.TableColumnLineage:
    """Which columns of `asset` each of our columns was made from."""
    return dg.TableColumnLineage(
        {
            column: [dg.TableColumnDep(asset_key=dg.AssetKey(asset), column_name=origin) for origin in found]
            for column, found in origins.items()
        }
    )
