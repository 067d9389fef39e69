"""FaceTracks: one row per face per frame, as an Arrow table with a declared schema.

Belongs here: the schema, its metadata, and reading and writing it as Parquet. How the rows come about is
`dualface_core.tracking`'s other modules' business.
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any, Final, Self

import pyarrow as pa
from pydantic import BaseModel, ConfigDict

from dualface_core.tables.declared import read_table, schema_with_metadata, write_table

FORMAT: Final = "dualface.face-tracks.1"

SCHEMA: Final = pa.schema(
    [
        pa.field("frame", pa.int32(), nullable=False),
        pa.field("pts", pa.int64(), nullable=False),
        pa.field("time", pa.float64(), nullable=False),
        pa.field("shot", pa.int32(), nullable=False),
        pa.field("tracklet", pa.int32(), nullable=False),
        pa.field("person", pa.dictionary(pa.int8(), pa.string())),
        pa.field("x", pa.float32(), nullable=False),
        pa.field("y", pa.float32(), nullable=False),
        pa.field("width", pa.float32(), nullable=False),
        pa.field("height", pa.float32(), nullable=False),
        pa.field("score", pa.float32(), nullable=False),
        pa.field("landmarks", pa.list_(pa.float32(), 10), nullable=False),
        pa.field("source", pa.dictionary(pa.int8(), pa.string()), nullable=False),
        pa.field("identity_margin", pa.float32()),
    ]
)
"""Columns of FaceTracks. Coordinates are pixels of the upright frame, times are seconds from the file's own pts.

`person` is "A", "B" or null (anyone else); `source` is "detected" or "interpolated"; `landmarks` are x, y pairs of
image-left eye, image-right eye, nose, image-left and image-right mouth corner; `identity_margin` says how much worse
the best labeling with A and B swapped would be (small means "look here"; null where there is no second person).
"""


class Shot(BaseModel):
    """A stretch of frames between two cuts: `first` to `last`, both included."""

    model_config = ConfigDict(frozen=True)

    first: int
    last: int


class TracksMetadata(BaseModel):
    """What the rows alone don't say. Stored as JSON in the Parquet schema metadata.

    Attributes:
        fingerprint: SHA-256 of the video file, in hex.
        time_base: seconds per pts unit, as "numerator/denominator".
        frame_width, frame_height: size of the upright frame in pixels.
        frame_pts: presentation timestamp of every frame, in presentation order.
        shots: the stretches between cuts, in order; they cover every frame.
        people: the persons that the video has, such as ["A", "B"].
        prototypes: for each person the mean SFace embedding, 128 numbers. Biometric data: empty unless asked for.
        model_sha256: name of each model file and its SHA-256.
        parameters: the tracking parameters that were used.
    """

    model_config = ConfigDict(frozen=True)

    format: str = FORMAT
    fingerprint: str
    time_base: str
    frame_width: int
    frame_height: int
    frame_pts: list[int]
    shots: list[Shot]
    people: list[str]
    prototypes: dict[str, list[float]] = {}
    model_sha256: dict[str, str] = {}
    parameters: dict[str, Any] = {}

    @property
    def seconds_per_pts(self) -> Fraction:
        """The time base as an exact number, in seconds."""
        return Fraction(self.time_base)


@dataclass(frozen=True)
class FaceTracks:
    """The faces of one video, sorted by frame and tracklet.

    Attributes:
        table: rows in the layout of `SCHEMA`.
        metadata: what the rows alone don't say.
    """

    table: pa.Table
    metadata: TracksMetadata

    def to_arrow(self) -> pa.Table:
        """The table with the metadata inside its schema."""
        return self.table.cast(SCHEMA).replace_schema_metadata(
            schema_with_metadata(SCHEMA, FORMAT, self.metadata).metadata
        )

    @classmethod
    def from_arrow(cls, table: pa.Table, *, name: str = "face_tracks") -> Self:
        """Take a table as `to_arrow` made it. Raises TableFormatError, naming `name`, if it is anything else."""
        rows, metadata = read_table(table, SCHEMA, FORMAT, TracksMetadata, name)
        return cls(rows, metadata)

    def write(self, path: Path) -> None:
        """Write Parquet: to a temporary name first, then renamed. Raises OutputError."""
        write_table(self.to_arrow(), path)

    @classmethod
    def read(cls, path: Path) -> Self:
        """Read what `write` wrote. Raises MissingInputError or TableFormatError."""
        rows, metadata = read_table(path, SCHEMA, FORMAT, TracksMetadata, str(path))
        return cls(rows, metadata)
