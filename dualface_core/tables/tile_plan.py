"""TilePlan: one row per tile per output frame, as an Arrow table with a declared schema.

Belongs here: the schema, its metadata, and reading and writing it as Parquet. How the camera moves is `camera`'s
business.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Self

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict

from dualface_core.tables.declared import read_table, schema_with_metadata, write_table

FORMAT: Final = "dualface.tile-plan.1"

SCHEMA: Final = pa.schema(
    [
        pa.field("frame", pa.int32(), nullable=False),
        pa.field("pts", pa.int64(), nullable=False),
        pa.field("tile", pa.int8(), nullable=False),
        pa.field("person", pa.dictionary(pa.int8(), pa.string()), nullable=False),
        pa.field("center_x", pa.float32(), nullable=False),
        pa.field("center_y", pa.float32(), nullable=False),
        pa.field("width", pa.float32(), nullable=False),
        pa.field("height", pa.float32(), nullable=False),
        pa.field("shot", pa.int32(), nullable=False),
        pa.field("state", pa.dictionary(pa.int8(), pa.string()), nullable=False),
    ]
)
"""Columns of TilePlan: the source rectangle of each tile, sub-pixel, in pixels of the upright frame.

`state` is "tracking" (the person is in the picture, and the tile shows them), "holding" (lost for a moment; the camera
waits where they were) or "wide" (not in this stretch; the tile shows the wide shot).
"""


class PlanMetadata(BaseModel):
    """What the rows alone don't say. Stored as JSON in the Parquet schema metadata.

    Attributes:
        fingerprint: SHA-256 of the video file, in hex.
        tracks_sha256: SHA-256 of the tracks that the plan came from.
        time_base: seconds per pts unit, as "numerator/denominator".
        frame_width, frame_height: size of the upright source frame in pixels.
        frame_count: output frames; the table has this many rows per tile.
        layout: name of the layout.
        people: the persons that the video has; a tile of anyone else is "wide" throughout.
        camera: the camera parameters that were used.
    """

    model_config = ConfigDict(frozen=True)

    format: str = FORMAT
    fingerprint: str
    tracks_sha256: str
    time_base: str
    frame_width: int
    frame_height: int
    frame_count: int
    layout: str
    people: list[str]
    camera: dict[str, Any] = {}


@dataclass(frozen=True)
class TilePlan:
    """What each tile shows in each frame, sorted by frame and tile.

    Attributes:
        table: rows in the layout of `SCHEMA`.
        metadata: what the rows alone don't say.
    """

    table: pa.Table
    metadata: PlanMetadata

    def crop_windows(self) -> NDArray[np.float32]:
        """Source rectangles: (frames, tiles, 4) of center x, center y, width and height in pixels."""
        columns = [self.table.column(name).to_numpy() for name in ("center_x", "center_y", "width", "height")]
        return np.stack(columns, axis=-1).reshape(self.metadata.frame_count, -1, 4).astype(np.float32, copy=False)

    def states(self) -> NDArray[np.str_]:
        """States: (frames, tiles) of "tracking", "holding" or "wide"."""
        names = np.asarray(self.table.column("state").cast(pa.string()).to_numpy(), np.str_)
        return names.reshape(self.metadata.frame_count, -1)

    def to_arrow(self) -> pa.Table:
        """The table with the metadata inside its schema."""
        return self.table.cast(SCHEMA).replace_schema_metadata(
            schema_with_metadata(SCHEMA, FORMAT, self.metadata).metadata
        )

    @classmethod
    def from_arrow(cls, table: pa.Table, *, name: str = "composed_tiles") -> Self:
        """Take a table as `to_arrow` made it. Raises TableFormatError, naming `name`, if it is anything else."""
        rows, metadata = read_table(table, SCHEMA, FORMAT, PlanMetadata, name)
        return cls(rows, metadata)

    def write(self, path: Path) -> None:
        """Write Parquet: to a temporary name first, then renamed. Raises OutputError."""
        write_table(self.to_arrow(), path)

    @classmethod
    def read(cls, path: Path) -> Self:
        """Read what `write` wrote. Raises MissingInputError or TableFormatError."""
        rows, metadata = read_table(path, SCHEMA, FORMAT, PlanMetadata, str(path))
        return cls(rows, metadata)
