"""SampleTruth: where each person really is in every frame of a sample, as an Arrow table with a declared schema.

Belongs here: the schema, its metadata, and reading and writing it as Parquet. The rows come from the drawing.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Final, Self

import pyarrow as pa
from pydantic import BaseModel, ConfigDict

from dualface_core.tables.declared import read_table, schema_with_metadata, write_table

FORMAT: Final = "dualface.sample-truth.1"

SCHEMA: Final = pa.schema(
    [
        pa.field("frame", pa.int32(), nullable=False),
        pa.field("pts", pa.int64(), nullable=False),
        pa.field("shot", pa.int32(), nullable=False),
        pa.field("person", pa.string(), nullable=False),
        pa.field("x", pa.float32(), nullable=False),
        pa.field("y", pa.float32(), nullable=False),
        pa.field("width", pa.float32(), nullable=False),
        pa.field("height", pa.float32(), nullable=False),
        pa.field("visible", pa.float32(), nullable=False),
    ]
)
"""Columns of SampleTruth: one row per frame and person, also where the person is not to be seen.

`person` is "woman" or "man". `x`, `y`, `width`, `height` are the smallest rectangle that holds everything drawn of the
person, from the hair down to the chest, in pixels; it may reach beyond the frame, and is all 0 where nothing was drawn.
`visible` is the share of the person's pixels, weighted by opacity, that is inside the frame and covered by nothing:
neither by the other person nor by the table.
"""


class TruthMetadata(BaseModel):
    """What the rows alone don't say. Stored as JSON in the Parquet schema metadata.

    Attributes:
        scene, seconds, seed: what `make_sample` was asked for.
        time_base: seconds per pts unit, as "numerator/denominator".
        frame_width, frame_height: in pixels.
        frame_count: frames of the video; the table has this many rows per person.
    """

    model_config = ConfigDict(frozen=True)

    format: str = FORMAT
    scene: str
    seconds: float
    seed: int
    time_base: str
    frame_width: int
    frame_height: int
    frame_count: int


@dataclass(frozen=True)
class SampleTruth:
    """The truth about one sample, sorted by frame and person.

    Attributes:
        table: rows in the layout of `SCHEMA`.
        metadata: what the rows alone don't say.
    """

    table: pa.Table
    metadata: TruthMetadata

    def write(self, path: Path) -> None:
        """Write Parquet: to a temporary name first, then renamed. Raises OutputError."""
        schema = schema_with_metadata(SCHEMA, FORMAT, self.metadata)
        write_table(self.table.cast(SCHEMA).replace_schema_metadata(schema.metadata), path)

    @classmethod
    def read(cls, path: Path) -> Self:
        """Read what `write` wrote. Raises MissingInputError or TableFormatError."""
        rows, metadata = read_table(path, SCHEMA, FORMAT, TruthMetadata, str(path))
        return cls(rows, metadata)


def truth_path(video: Path) -> Path:
    """Where the truth about a sample lies: `NAME.truth.parquet` beside `NAME.mp4`."""
    return video.with_suffix(".truth.parquet")
