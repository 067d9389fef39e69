"""What the web page shows of an asset: pictures, figures, columns.

Belongs here: the forms of metadata that more than one asset uses. Every picture stays in the event log for ever, twice,
so it has a budget; and nothing that a user has named goes into markdown.
"""

from __future__ import annotations

import base64
from collections.abc import Mapping
from typing import Any, Final

import dagster as dg
import pyarrow as pa

IMAGE_BYTES: Final = 30_000


def entries(metadata: Mapping[str, Any]) -> dict[str, Any]:
    """Metadata as people want to read it: figures of at most five digits, and nothing that says nothing."""
    return {
        name: float(f"{value:.5g}") if isinstance(value, float) else value
        for name, value in metadata.items()
        if value is not None and value != ""
    }


def picture(image: bytes, alt: str) -> dg.MarkdownMetadataValue:
    """A JPEG or PNG of at most `IMAGE_BYTES`. `alt` says what it shows, in our own words."""
    if len(image) > IMAGE_BYTES:
        msg = f"The picture {alt!r} has {len(image)} bytes; {IMAGE_BYTES} are allowed in metadata."
        raise ValueError(msg)
    kind = "png" if image.startswith(b"\x89PNG") else "jpeg"
    return dg.MetadataValue.md(f"![{alt}](data:image/{kind};base64,{base64.b64encode(image).decode()})")


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
