"""Arrow tables with a declared schema and typed metadata, to and from Parquet.

Belongs here: what FaceTracks and TilePlan share. A table says in its own schema metadata what it is (`dualface.format`)
and carries one JSON document (`dualface.metadata`), so that it can be understood without this program.
"""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Final, TypeVar

import pyarrow as pa
import pyarrow.parquet as pq
from pydantic import BaseModel, ValidationError

from dualface_core.errors import MissingInputError, TableFormatError
from dualface_core.system.atomic_files import atomic_write

FORMAT_KEY: Final = b"dualface.format"
METADATA_KEY: Final = b"dualface.metadata"

Metadata = TypeVar("Metadata", bound=BaseModel)


def schema_with_metadata(schema: pa.Schema, format_name: str, metadata: BaseModel) -> pa.Schema:
    """The schema, with the format's name and the metadata document in it."""
    return schema.with_metadata({FORMAT_KEY: format_name.encode(), METADATA_KEY: metadata.model_dump_json().encode()})


def write_table(table: pa.Table, path: Path) -> None:
    """Write Parquet (zstd) under a temporary name and rename it. Raises OutputError."""
    with atomic_write(path) as temporary:
        pq.write_table(table, temporary, compression="zstd")


def read_table(
    source: Path | pa.Table, schema: pa.Schema, format_name: str, metadata_type: type[Metadata], name: str
) -> tuple[pa.Table, Metadata]:
    """Read and check a table.

    Args:
        source: a Parquet file, or a table that is already in memory.
        schema: the columns that it must have, in this order.
        format_name: the format that it must declare.
        metadata_type: the model of its metadata document.
        name: what error messages call it.

    Raises:
        MissingInputError: there is no such file.
        TableFormatError: the file is not Parquet, or is another table.
    """
    if isinstance(source, Path):
        try:
            # Not pq.read_table: that reads a path such as key=value/x.parquet as a partitioned data set.
            table = pq.ParquetFile(source).read()
        except FileNotFoundError:
            raise MissingInputError(name, "there is no such file", action="Run the step that makes it first.") from None
        except (pa.ArrowInvalid, OSError) as error:
            raise TableFormatError(
                name, f"not a Parquet file ({error})", action="Run the step that makes it again."
            ) from error
    else:
        table = source
    found = (table.schema.metadata or {}).get(FORMAT_KEY, b"no declared format").decode()
    if found != format_name:
        raise TableFormatError(
            name, f"found {found}, expected {format_name}", action="Run the step that makes it again."
        )
    try:
        rows = table.select(schema.names).cast(schema)
        metadata = metadata_type.model_validate_json(table.schema.metadata[METADATA_KEY])
    except (KeyError, pa.ArrowException, ValidationError) as error:
        raise TableFormatError(
            name,
            f"its columns or metadata are not those of {format_name} ({error})",
            action="Run the step that makes it again.",
        ) from error
    return rows, metadata


def sha256_of(table: pa.Table) -> str:
    """SHA-256 of a table's rows, in hex: names what a later step was made from."""
    sink = pa.BufferOutputStream()
    rows = table.combine_chunks().replace_schema_metadata(None)
    with pa.ipc.new_stream(sink, rows.schema) as stream:
        stream.write_table(rows)
    return hashlib.sha256(sink.getvalue()).hexdigest()
