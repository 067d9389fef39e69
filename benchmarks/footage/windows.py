"""What the crop windows of a plan do to the faces of a frame: shown twice, shown together, left out, cut by an edge.

Belongs here: geometry of boxes and windows, the same for faces that the tracks name and for faces that are found again.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from dualface_core.tables.labels import Person, Subject

Signal = NDArray[np.float64]

SHOWN = 0.5
"""Share of a face that a tile must hold for the face to be in it."""

CUT = (0.15, 0.85)
"""A face of which a tile holds a share between these is sliced by its edge; less is a rim, more is nearly all."""


@dataclass(frozen=True)
class Faces:
    """N faces of a video.

    Attributes:
        frames: (N,) the frame of each.
        boxes: (N, 4) of x, y, width and height in pixels of the source.
        people: (N,) a `Person` each, or "" for anyone else.
    """

    frames: NDArray[np.intp]
    boxes: Signal
    people: NDArray[np.str_]


@dataclass(frozen=True)
class Flaws:
    """Which frames have a flaw: (frames,) each.

    Attributes:
        doubled: one face is in two tiles.
        both: two tiles show two faces and more, the same ones.
        empty: a person's own tile leaves them out although they are in the frame.
        sliced: an edge of a person's own tile goes through their face.
        strangers: it goes through somebody else's.
    """

    doubled: NDArray[np.bool_]
    both: NDArray[np.bool_]
    empty: NDArray[np.bool_]
    sliced: NDArray[np.bool_]
    strangers: NDArray[np.bool_]


def flaws(faces: Faces, windows: Signal, drawn: NDArray[np.bool_], subjects: NDArray[np.str_], size: Signal) -> Flaws:
    """What is wrong in each frame.

    Args:
        faces: of the frames.
        windows: (frames, slots, 4) of center x, center y, width and height in pixels of the source.
        drawn: (frames, slots) whether the tile is there.
        subjects: (frames, slots) of `Subject`.
        size: width and height of the frame.
    """
    shares = shown_shares(faces, windows, drawn, size)
    in_tile = shares >= SHOWN
    cut = (shares > CUT[0]) & (shares < CUT[1])
    own = np.array([[face in Subject(subject).people for subject in row] for face, row in _pairs(faces, subjects)])
    own = own.reshape(in_tile.shape)
    alone = np.isin(subjects, list(Person))[faces.frames]
    twice = in_tile.sum(axis=1) >= 2
    in_all = twice & (in_tile.sum(axis=1) == drawn.sum(axis=1)[faces.frames])
    return Flaws(
        doubled=_any(faces, twice, len(drawn)),
        both=np.bincount(faces.frames[in_all], minlength=len(drawn)) >= 2,
        empty=_any(faces, (own & alone & ~in_tile & drawn[faces.frames]).any(axis=1), len(drawn)),
        sliced=_any(faces, (cut & own).any(axis=1), len(drawn)),
        strangers=_any(faces, (cut & ~own).any(axis=1), len(drawn)),
    )


def shown_shares(faces: Faces, windows: Signal, drawn: NDArray[np.bool_], size: Signal) -> Signal:
    """The share of each face (as far as it lies in the frame) that each tile shows: (faces, slots)."""
    low = np.clip(faces.boxes[:, :2], 0, size)
    high = np.clip(faces.boxes[:, :2] + faces.boxes[:, 2:], 0, size)
    own = windows[faces.frames]
    near, far = own[..., :2] - own[..., 2:] / 2, own[..., :2] + own[..., 2:] / 2
    common = np.minimum(far, high[:, None]) - np.maximum(near, low[:, None])
    area = np.prod(np.maximum(high - low, 1e-6), axis=1)
    shares = np.prod(np.maximum(common, 0), axis=-1) / area[:, None]
    return np.where(drawn[faces.frames], shares, 0)


def _pairs(faces: Faces, subjects: NDArray[np.str_]) -> list[tuple[str, list[str]]]:
    return list(zip(faces.people.tolist(), subjects[faces.frames].tolist(), strict=True))


def _any(faces: Faces, flags: NDArray[np.bool_], frames: int) -> NDArray[np.bool_]:
    return np.bincount(faces.frames[flags], minlength=frames) > 0
