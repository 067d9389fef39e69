"""SampleTruth: where each person really is in every frame of a sample.

Belongs here: the schema and its metadata. The rows come from the drawing.
"""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa

from dualface_core.tables.declared import BOX, DeclaredTable, VideoMetadata, schema


class TruthMetadata(VideoMetadata):
    """What the rows alone don't say.

    Attributes:
        scene, seconds, seed: what `make_sample` was asked for.
        frame_count: frames of the video; the table has this many rows per person.
    """

    scene: str
    seconds: float
    seed: int
    frame_count: int


class SampleTruth(DeclaredTable[TruthMetadata]):
    """The truth about one sample, sorted by frame and person: a row also where the person is not to be seen.

    `person` is an `Actor`. `x`, `y`, `width`, `height` are the smallest box that holds everything drawn of the
    person, from the hair down to the chest, in pixels; it may reach beyond the frame, and is all 0 where nothing was
    drawn. `visible` is the share of the person's pixels, weighted by opacity, that is inside the frame and covered by
    nothing: neither by the other person nor by the table.
    """

    FORMAT = "dualface.sample-truth.1"
    METADATA = TruthMetadata
    SCHEMA = schema(
        {
            "frame": pa.int32(),
            "pts": pa.int64(),
            "shot": pa.int32(),
            "person": pa.string(),
            **dict.fromkeys((*BOX, "visible"), pa.float32()),
        }
    )


def truth_path(video: Path) -> Path:
    """Where the truth about a sample lies: `NAME.truth.parquet` beside `NAME.mp4`."""
    return video.with_suffix(".truth.parquet")
