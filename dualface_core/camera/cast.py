"""The cast: everybody in a video, as cameras ask for them.

Belongs here: faces by person, where they look, who else is there, and the clock of the cameras. Doesn't: where a camera
looks (`film`).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
import pyarrow.compute as pc
from numpy.typing import NDArray

from dualface_core.camera.company import Other
from dualface_core.camera.framing import EYES_IN_BOX, Boxes
from dualface_core.camera.pair import settled
from dualface_core.camera.path import Signal
from dualface_core.tables.declared import BOX
from dualface_core.tables.face_tracks import FaceTracks
from dualface_core.tables.labels import FaceSource, Person, Subject

_TURNED: Final = (0.06, 0.25)
"""How far the nose is from the middle of the eyes, as a share of the face's width: to the front, and in profile."""

_EYES: Final = (0.28, 0.48)
"""Least and greatest share of a face box's height between its top and the eyes; whatever else is said is a mistake."""

_LONGEST_FRAME: Final = 1.0
"""Seconds. A frame that is shown for longer counts as this long, so that broken timestamps cannot exhaust memory."""


@dataclass(frozen=True)
class Cast:
    """Everybody in the video.

    Attributes:
        times: of the frames, in seconds, as cameras count them.
        people: (frames, 4) faces of each person, NaN where they are not seen.
        gazes: (frames,) where each is turned to, NaN where that cannot be told.
        eyes: (frames,) how far the eyes of each are from the top of the face's box, as a share of its height; NaN where
            that is not known. With a beard or a fringe, and in profile, it is not the same for everybody.
        strangers: frame, tracklet and box of each face of anyone else, in the order of the frames.
    """

    times: Signal
    people: dict[Person, Boxes]
    gazes: dict[Person, Signal]
    eyes: dict[Person, Signal]
    strangers: tuple[NDArray[np.integer], NDArray[np.integer], Boxes]

    @classmethod
    def of(cls, tracks: FaceTracks) -> Cast:
        """Those of the tracks."""
        rows = tracks.table.filter(pc.is_null(tracks.table["person"]))
        boxes = np.stack([rows[name].to_numpy() for name in BOX], axis=1).astype(np.float64)
        return cls(
            _camera_clock(tracks),
            {person: tracks.boxes(person) for person in tracks.people},
            {person: _gaze(tracks, person) for person in tracks.people},
            {person: _eyes(tracks, person) for person in tracks.people},
            (rows["frame"].to_numpy(), rows["tracklet"].to_numpy(), boxes),
        )

    def faces(self, subject: Subject, span: slice) -> list[Boxes]:
        """Those of a subject in some frames; empty if it is nobody."""
        return [self.people[person][span] for person in subject.people if person in self.people]

    def gaze(self, subject: Subject, span: slice) -> Signal | None:
        """Where a subject of one looks, slowly; None for any other."""
        if len(subject.people) != 1 or np.isnan(gaze := self.gazes[subject.people[0]][span]).all():
            return None
        return settled(self.times[span], gaze)

    def eyes_in_box(self, subject: Subject, span: slice) -> Signal | float:
        """Where the eyes of a subject of one are in their face's box, slowly; the usual place for any other."""
        people = [person for person in subject.people if person in self.eyes]
        if len(subject.people) != 1 or not people or np.isnan(eyes := self.eyes[people[0]][span]).all():
            return EYES_IN_BOX
        return settled(self.times[span], eyes)

    def others(self, subject: Subject, span: slice) -> list[Other]:
        """Whoever else is in some frames: first the other person, who has a tile of their own, then strangers."""
        if not subject.people:
            return []
        whole = slice(0, span.stop - span.start)
        other = [
            Other(whole, boxes[span], welcome=False)
            for name, boxes in self.people.items()
            if name not in subject.people
        ]
        frames, tracklets, boxes = self.strangers
        part = slice(*np.searchsorted(frames, [span.start, span.stop]))
        for tracklet in np.unique(tracklets[part]):
            own = tracklets[part] == tracklet
            seen = frames[part][own] - span.start
            between = slice(int(seen[0]), int(seen[-1]) + 1)
            placed = np.full((between.stop - between.start, 4), np.nan)
            placed[seen - seen[0]] = boxes[part][own]
            other.append(Other(between, placed, welcome=True))
        return other


def _gaze(tracks: FaceTracks, person: Person) -> Signal:
    """How far the nose is from the middle of the eyes, by the face's width: the turn of the head, from -1 to 1."""
    frames, boxes, points = _seen(tracks, person)
    turn = (points[:, 2, 0] - points[:, :2, 0].mean(axis=1)) / np.maximum(boxes[:, 2], 1.0)
    gaze = np.full(tracks.frame_count, np.nan)
    gaze[frames] = np.sign(turn) * np.clip(np.interp(np.abs(turn), _TURNED, (0, 1)), 0, 1)
    return gaze


def _eyes(tracks: FaceTracks, person: Person) -> Signal:
    """How far the eyes are from the top of the face's box, as a share of its height."""
    frames, boxes, points = _seen(tracks, person)
    eyes = np.full(tracks.frame_count, np.nan)
    eyes[frames] = np.clip((points[:, :2, 1].mean(axis=1) - boxes[:, 1]) / np.maximum(boxes[:, 3], 1.0), *_EYES)
    return eyes


def _seen(tracks: FaceTracks, person: Person) -> tuple[NDArray[np.integer], Boxes, NDArray[np.float64]]:
    """Frame, box and (5, 2) landmarks of each of a person's faces that was not only followed."""
    rows = tracks.rows(person)
    seen = rows["source"].to_numpy(zero_copy_only=False) != FaceSource.FOLLOWED
    boxes = np.stack([rows[name].to_numpy() for name in BOX], axis=1).astype(np.float64)
    points = rows["landmarks"].combine_chunks().flatten().to_numpy().astype(np.float64).reshape(-1, 5, 2)
    return rows["frame"].to_numpy()[seen], boxes[seen], points[seen]


def _camera_clock(tracks: FaceTracks) -> Signal:
    seconds = np.diff(tracks.pts) * float(tracks.metadata.seconds_per_pts)  # rounded once: a plan is made anew exactly
    return np.concatenate([[0.0], np.cumsum(np.clip(seconds, 0.0, _LONGEST_FRAME))])
