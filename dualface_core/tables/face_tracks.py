"""FaceTracks: one row per face per frame.

Belongs here: the schema, its metadata, and the questions that are asked of the faces. How the rows come about is
`dualface_core.tracking`'s business.
"""

from __future__ import annotations

from functools import cached_property
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

from dualface_core.tables.declared import BOX, LABEL, DeclaredTable, VideoMetadata, schema
from dualface_core.tables.labels import FaceSource, Person

Box = tuple[float, float, float, float]
"""Left, top, width and height, in pixels of the upright frame."""


class Overlay(BaseModel):
    """What is laid over the picture for a while: a title bar, a caption, a pop-up.

    Attributes:
        box: where it is.
        begin: in seconds, from when it may be there; None: from the first frame of its shot.
        end: until when; None: to the last frame of its shot.
    """

    model_config = ConfigDict(frozen=True)

    box: Box
    begin: float | None = None
    end: float | None = None

    def during(self, first: float, last: float) -> bool:
        """Whether it may be there at some time between two, in its shot."""
        return (self.begin is None or self.begin <= last) and (self.end is None or first <= self.end)


class Shot(BaseModel):
    """A stretch of frames between two cuts.

    Attributes:
        first, last: its frames, both included.
        picture: the active picture where the frame is letterboxed; None where it fills the frame.
        panes: the boxes of a composed picture (a call grid, a news split, picture in picture), from left to right and
            from top to bottom; empty where there are none. They lie inside the active picture.
        overlays: what comes or goes over its picture while it lasts.
    """

    model_config = ConfigDict(frozen=True)

    first: int
    last: int
    picture: Box | None = None
    panes: tuple[Box, ...] = ()
    overlays: tuple[Overlay, ...] = ()

    @property
    def frames(self) -> slice:
        """The shot's frames, as an index of arrays with one entry per frame."""
        return slice(self.first, self.last + 1)

    def __len__(self) -> int:
        """How many frames it has."""
        return self.last + 1 - self.first


class TracksMetadata(VideoMetadata):
    """What the rows alone don't say.

    Attributes:
        fingerprint: SHA-256 of the video file, in hex.
        frame_pts: presentation timestamp of every frame, in presentation order.
        shots: the stretches between cuts, in order; they cover every frame.
        people: the persons that the video has.
        prototypes: for each person the mean SFace embedding, 128 numbers. Biometric data: empty unless asked for.
        model_sha256: name of each model file and its SHA-256.
        parameters: the tracking parameters that were used.
        lost: begin and end, in seconds, of what could not be decoded; the last good frame is held there.
        notes: what of the frames was changed or repaired when they were decoded, in sentences with figures.
    """

    fingerprint: str
    frame_pts: list[int]
    shots: list[Shot]
    people: list[Person]
    prototypes: dict[Person, list[float]] = Field(default={})
    model_sha256: dict[str, str] = Field(default={})
    parameters: dict[str, Any] = Field(default={})
    lost: list[tuple[float, float]] = Field(default=[])
    notes: list[str] = Field(default=[])


class FaceTracks(DeclaredTable[TracksMetadata]):
    """The faces of one video, sorted by frame and tracklet.

    Coordinates are pixels of the upright frame, times are seconds of the result. `person` is a `Person` or
    null (anyone else), `source` a `FaceSource`; `landmarks` are x, y pairs of image-left eye, image-right eye, nose,
    image-left and image-right mouth corner; `identity_margin` says how much worse the best labeling would be
    in which this face is the other person's or nobody's, in nats (small means "look here"; null for anyone else).
    """

    FORMAT = "dualface.face-tracks.1"
    METADATA = TracksMetadata
    SCHEMA = schema(
        {
            "frame": pa.int32(),
            "pts": pa.int64(),
            "time": pa.float64(),
            "shot": pa.int32(),
            "tracklet": pa.int32(),
            "person": LABEL,
            **dict.fromkeys((*BOX, "score"), pa.float32()),
            "landmarks": pa.list_(pa.float32(), 10),
            "source": LABEL,
            "identity_margin": pa.float32(),
        },
        nullable={"person", "identity_margin"},
    )

    @property
    def people(self) -> list[Person]:
        """The persons that the video has."""
        return self.metadata.people

    @property
    def frame_count(self) -> int:
        """Frames of the video, those without a face among them."""
        return len(self.metadata.frame_pts)

    @cached_property
    def pts(self) -> NDArray[np.int64]:
        """Presentation timestamps: (frames,), in units of the time base."""
        pts = np.array(self.metadata.frame_pts, np.int64)
        pts.flags.writeable = False
        return pts

    @cached_property
    def times(self) -> NDArray[np.float64]:
        """Presentation times: (frames,), in seconds."""
        times = np.asarray(self.pts * float(self.metadata.seconds_per_pts), np.float64)
        times.flags.writeable = False
        return times

    @property
    def shots(self) -> list[Shot]:
        """The stretches between cuts, in order; they cover every frame."""
        return self.metadata.shots

    @property
    def cuts(self) -> NDArray[np.intp]:
        """The first frame of every shot but the first."""
        return np.array([shot.first for shot in self.shots[1:]], np.intp)

    def rows(self, person: Person, source: FaceSource | None = None) -> pa.Table:
        """The rows of one person; with `source`, only those."""
        import pyarrow.compute as pc  # which takes a while, and which who only works on spans does not need

        named = pc.equal(self.table["person"], person)
        return self.table.filter(named if source is None else pc.and_(named, pc.equal(self.table["source"], source)))

    def boxes(self, person: Person, *, followed: bool = True) -> NDArray[np.float64]:
        """Face boxes of one person: (frames, 4) of x, y, width, height in pixels, NaN where they are not seen.

        Where a head was followed without a face, the box is where the face would be; not without `followed`.
        """
        import pyarrow.compute as pc

        boxes = np.full((self.frame_count, 4), np.nan)
        rows = self.rows(person)
        if not followed:
            rows = rows.filter(pc.not_equal(rows["source"], FaceSource.FOLLOWED))
        boxes[rows["frame"].to_numpy()] = np.stack([rows[name].to_numpy() for name in BOX], axis=1)
        return boxes

    @property
    def smallest_margin(self) -> float | None:
        """The smallest identity margin, in nats; None where nobody has a name."""
        import pyarrow.compute as pc

        smallest: float | None = pc.min(self.table["identity_margin"]).as_py()
        return smallest
