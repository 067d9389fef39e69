"""The base of the declared tables: Arrow rows of a known schema, typed metadata, Parquet files.

Belongs here: what all tables share. A subclass is a schema and the questions that its readers ask. A file says in its
own schema metadata what it is (`dualface.format`) and carries one JSON document (`dualface.metadata`), so that it can
be understood without this program.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from fractions import Fraction
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Final, Generic, Self, TypeVar

import pyarrow as pa
import pyarrow.parquet as pq
from pydantic import BaseModel, ConfigDict, ValidationError

from dualface_core.errors import MissingInputError, TableFormatError
from dualface_core.system.atomic_files import atomic_write
from dualface_core.system.read_errors import read_error

if TYPE_CHECKING:
    import pandas as pd

_FORMAT_KEY: Final = b"dualface.format"
_METADATA_KEY: Final = b"dualface.metadata"

LABEL: Final = pa.dictionary(pa.int8(), pa.string())
"""The type of a column of labels (`tables.labels`)."""

BOX: Final = ("x", "y", "width", "height")
"""The columns of a box: left, top, width and height in pixels."""


def schema(columns: Mapping[str, pa.DataType], *, nullable: Collection[str] = ()) -> pa.Schema:
    """A schema of columns that are never null but for those in `nullable`."""
    return pa.schema([pa.field(name, kind, nullable=name in nullable) for name, kind in columns.items()])


class TableMetadata(BaseModel):
    """What the rows alone don't say. Stored as JSON in the Parquet schema metadata."""

    model_config = ConfigDict(frozen=True)


class VideoMetadata(TableMetadata):
    """The metadata of a table about the frames of a video.

    Attributes:
        time_base: seconds per pts unit, as "numerator/denominator".
        frame_width, frame_height: size of the upright frame in pixels.
    """

    time_base: str
    frame_width: int
    frame_height: int

    @property
    def seconds_per_pts(self) -> Fraction:
        """The time base as an exact number, in seconds."""
        return Fraction(self.time_base)

    @property
    def frame_size(self) -> tuple[int, int]:
        """Width and height of the upright frame in pixels."""
        return self.frame_width, self.frame_height


Metadata = TypeVar("Metadata", bound=TableMetadata)


@dataclass(frozen=True)
class DeclaredTable(Generic[Metadata]):
    """A table whose columns and metadata are declared.

    Attributes:
        FORMAT: name and version of the format, as the file declares it.
        SCHEMA: the columns, in order.
        METADATA: the model of the metadata.
        table: the rows, in the layout of `SCHEMA`.
        metadata: what the rows alone don't say.
        path: the file that it was read from, for messages; None for a table that was made here.
    """

    FORMAT: ClassVar[str]
    SCHEMA: ClassVar[pa.Schema]
    METADATA: ClassVar[type[TableMetadata]]

    table: pa.Table
    metadata: Metadata
    path: Path | None = field(default=None, compare=False)

    def write(self, path: Path) -> None:
        """Write Parquet (zstd), atomically. Raises OutputError."""
        declared = {_FORMAT_KEY: self.FORMAT.encode(), _METADATA_KEY: self.metadata.model_dump_json().encode()}
        with atomic_write(path) as temporary:
            pq.write_table(
                self.table.cast(self.SCHEMA).replace_schema_metadata(declared), temporary, compression="zstd"
            )

    @classmethod
    def read(cls, path: Path) -> Self:
        """Read what `write` wrote: columns in any order, of types that cast without loss; others are left out.

        Raises:
            MissingInputError: there is no such file.
            MachineError: it cannot be read at this moment.
            TableFormatError: the file is not Parquet, or is another table.
        """
        try:
            # Not pq.read_table: that reads a path such as key=value/x.parquet as a partitioned data set.
            table = pq.ParquetFile(path).read()
        except FileNotFoundError:
            raise MissingInputError(path, "there is no such file", action="Run the step that makes it first.") from None
        except (pa.ArrowInvalid, OSError) as error:
            if isinstance(error, OSError) and error.errno:
                raise read_error(path, error) from error
            raise _wrong(path, f"not a Parquet file ({error})") from error
        declared = table.schema.metadata or {}
        found = declared.get(_FORMAT_KEY, b"no declared format").decode()
        if found != cls.FORMAT:
            raise _wrong(path, f"found {found}, expected {cls.FORMAT}")
        try:
            rows = table.select(cls.SCHEMA.names).cast(cls.SCHEMA)
            metadata: Any = cls.METADATA.model_validate_json(declared[_METADATA_KEY])
        except (KeyError, pa.ArrowException, ValidationError) as error:
            raise _wrong(path, f"its columns or metadata are not those of {cls.FORMAT} ({error})") from error
        return cls(rows, metadata, path)

    def to_pandas(self) -> pd.DataFrame:
        """The rows as a DataFrame, to analyze them: columns as in `SCHEMA`, labels as categories, null as NaN."""
        frame: pd.DataFrame = self.table.to_pandas()
        return frame

    @cached_property
    def sha256(self) -> str:
        """SHA-256 in hex of metadata and rows, whatever the chunks and dictionaries that hold them."""
        digest = hashlib.sha256(self.metadata.model_dump_json().encode())
        for column in self.table.columns:
            array = column.combine_chunks()
            if pa.types.is_dictionary(array.type) or pa.types.is_string(array.type):
                digest.update("\n".join(text or "" for text in array.cast(pa.string()).to_pylist()).encode())
            elif pa.types.is_fixed_size_list(array.type):
                digest.update(array.flatten().to_numpy(zero_copy_only=False).tobytes())
            else:
                digest.update(array.to_numpy(zero_copy_only=False).tobytes())
        return digest.hexdigest()


def _wrong(path: Path, found: str) -> TableFormatError:
    return TableFormatError(path, found, action="Run the step that makes it again.")
