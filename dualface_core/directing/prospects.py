"""What could be shown in every frame of a shot, and how bad each of it would be.

Belongs here: the geometry and the costs. Two people can be shown apart where there is, for each of their tiles, a crop
window that the camera would take and that holds nothing of the other's face (`camera.framing`). What is chosen from
this over time is `sequence`'s business.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final, Self

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from dualface_core.camera.company import Other
from dualface_core.camera.framing import Boxes, bounds
from dualface_core.camera.parameters import CameraParameters
from dualface_core.directing.parameters import Direction
from dualface_core.directing.presence import Presence
from dualface_core.directing.views import Mask, Views
from dualface_core.tables.declared import BOX
from dualface_core.tables.face_tracks import FaceTracks, Shot
from dualface_core.tables.labels import Person, SceneKind, Subject, Transition
from dualface_core.tables.layouts import Layout

PEOPLE: Final = {Subject.A: Person.A, Subject.B: Person.B}
"""The persons, by what a tile that shows one of them alone shows."""

_DOUBLED: Final = 1000.0
"""Cost per second of showing somebody in both tiles: never, where anything else can be had."""

_SURE: Final = 0.75
"""Score of the detector from which the face of anyone else counts: below it, many are a hand, a bag or a pattern."""

_AT_EDGE: Final = 0.5
"""Face heights from the middle of a face to the picture's left or right edge: nearer to it, half of the head is hair
and ears that the edge cuts, or has cut already, and nobody can be shown well."""

_APART: Final = 4.0
"""Face widths from which on a two-shot costs all that it can; the nearer they are, the better it suits."""


@dataclass(frozen=True)
class Choice:
    """A way to fill the canvas: its kind, and who is shown."""

    kind: SceneKind
    cast: tuple[Subject, ...]


@dataclass(frozen=True)
class Refused:
    """What has turned out wrong with earlier films of the same tracks.

    Attributes:
        doubled: (frames,) where a split had somebody in the other's tile.
        cut: for some choices, (frames,) where an edge went through somebody else's face, or through what is laid over
            the picture.
    """

    doubled: Mask
    cut: dict[Choice, Mask]

    @classmethod
    def nothing(cls, frames: int) -> Self:
        """Where nothing was filmed yet."""
        return cls(np.zeros(frames, bool), {})

    @property
    def none(self) -> Mask:
        """No frame."""
        return np.zeros_like(self.doubled)

    @property
    def count(self) -> int:
        """In how many frames something is wrong, counted for each choice."""
        return sum(int(mask.sum()) for mask in (self.doubled, *self.cut.values()))

    def joined(self, other: Self) -> Self:
        """What is wrong with either."""
        cut = {
            choice: self.cut.get(choice, self.none) | other.cut.get(choice, self.none)
            for choice in self.cut | other.cut
        }
        return replace(self, doubled=self.doubled | other.doubled, cut=cut)


@dataclass(frozen=True)
class Footage:
    """What is known of a whole video.

    Attributes:
        frame_size: width and height of a frame, in pixels.
        times: when each frame begins, and when the last one ends: (frames + 1,), in seconds.
        boxes: the faces of the people, (frames, 4) each, NaN where they are not seen.
        other_frames, other_tracklets, other_boxes: what is a face of anyone else: frame, tracklet and box of each, in
            the order of the frames.
        other_sure: whether the detector is sure of it in that very frame.
    """

    frame_size: tuple[int, int]
    times: NDArray[np.float64]
    boxes: dict[Person, NDArray[np.float64]]
    other_frames: NDArray[np.int32]
    other_tracklets: NDArray[np.int32]
    other_boxes: Boxes
    other_sure: NDArray[np.bool_]

    @classmethod
    def of(cls, tracks: FaceTracks) -> Self:
        """What the tracks say."""
        times = tracks.times
        others = _surely_others(tracks.table)
        return cls(
            tracks.metadata.frame_size,
            np.append(times, 2 * times[-1] - times[-2:].min()),
            {person: tracks.boxes(person) for person in Person},
            others["frame"].to_numpy(),
            others["tracklet"].to_numpy(),
            np.stack([others[name].to_numpy() for name in BOX], axis=1).astype(np.float64),
            others["score"].to_numpy() >= _SURE,
        )

    def others(self, shot: Shot) -> list[Other]:
        """Anyone else in the frames of a shot."""
        part = slice(*np.searchsorted(self.other_frames, [shot.first, shot.last + 1]))
        frames, tracklets = self.other_frames[part] - shot.first, self.other_tracklets[part]
        result = []
        for tracklet in np.unique(tracklets):
            own = tracklets == tracklet
            seen = frames[own]
            placed = np.full((seen[-1] + 1 - seen[0], 4), np.nan)
            placed[seen - seen[0]] = self.other_boxes[part][own]
            result.append(Other(slice(int(seen[0]), int(seen[-1]) + 1), placed, welcome=True))
        return result


@dataclass(frozen=True)
class Prospects:
    """What there is to be shown in each frame of a shot.

    Attributes:
        there: who of the layout's people is there.
        apart: whether no tile of a split would show the other's face.
        held: whether one crop window can hold both faces.
        distance: between the middles of the two faces, in face widths; NaN unless both are there.
        crowd: how many people are there who could be taken for the main ones; 0 where somebody stands out or the
            layout has a tile for each.
        cut: for each choice, whether a window's edge would go through a caption or somebody else's face.
    """

    there: dict[Person, Mask]
    apart: Mask
    held: Mask
    distance: NDArray[np.float64]
    crowd: NDArray[np.intp]
    cut: dict[Choice, Mask]

    @classmethod
    def of(
        cls,
        footage: Footage,
        shot: Shot,
        layout: Layout,
        choices: Sequence[Choice],
        camera: CameraParameters,
        direction: Direction,
        refused: Refused | None = None,
    ) -> Self:
        """Those of a shot; nothing was refused if that is None."""
        refused = refused or Refused.nothing(len(footage.times) - 1)
        tiles = {PEOPLE[tile.subject]: tile for tile in layout.tiles if tile.subject in PEOPLE}
        lead = direction.transition_seconds if direction.transition is Transition.EASED else 0.0
        times = footage.times[shot.first : shot.last + 2]
        within = {person: _within(shot, footage.boxes[person][shot.frames], footage.frame_size) for person in tiles}
        seen = {person: Presence.of(boxes, times, camera, lead=lead) for person, boxes in within.items()}
        there = {person: presence.there for person, presence in seen.items()}
        frames = len(shot)
        apart, held, distance = ~refused.doubled[shot.frames], np.zeros(frames, bool), np.full(frames, np.nan)
        views = Views(shot, times, footage.frame_size, footage.others(shot), camera)
        faces = {person: one.boxes for person, one in seen.items()}
        canvas = layout.width, layout.height
        if len(seen) == len(Person):
            a, b = (faces[person] for person in Person)
            both = there[Person.A] & there[Person.B]
            framings = {person: views.framing([faces[person]], tile.size) for person, tile in tiles.items()}
            for person, other in ((Person.A, b), (Person.B, a)):
                windows = framings[person].leaving_out(faces[person], other)
                apart &= ~np.isnan(windows[:, 0]) | ~both
            pair = views.framing([a, b], canvas)
            same_place = np.equal(*(bounds(shot, boxes, footage.frame_size) for boxes in (a, b))).all(axis=1)
            held = both & same_place & (pair.least(_around(a, b)) <= pair.widest)
            between = np.hypot(*(a[:, :2] + a[:, 2:] / 2 - b[:, :2] - b[:, 2:] / 2).T)
            distance = np.where(both, between / np.maximum((a[:, 2] + b[:, 2]) / 2, 1.0), np.nan)
        cut = {}
        for choice in choices:
            cut[choice] = refused.cut.get(choice, refused.none)[shot.frames].copy()
            if choice.kind is SceneKind.TOGETHER:
                cut[choice] |= both & views.cut([a, b], canvas)
            for person in (PEOPLE[subject] for subject in choice.cast if subject in PEOPLE):
                size = tiles[person].size if choice.kind is SceneKind.SPLIT else canvas
                cut[choice] |= there[person] & views.cut([faces[person]], size)
        return cls(there, apart, held, distance, _crowd(footage, shot, seen, direction), cut)

    @classmethod
    def joined(cls, parts: Sequence[Self]) -> Self:
        """Those of several shots, one after the other."""
        return cls(
            {person: np.concatenate([part.there[person] for part in parts]) for person in parts[0].there},
            np.concatenate([part.apart for part in parts]),
            np.concatenate([part.held for part in parts]),
            np.concatenate([part.distance for part in parts]),
            np.concatenate([part.crowd for part in parts]),
            {choice: np.concatenate([part.cut[choice] for part in parts]) for choice in parts[0].cut},
        )

    def of_frames(self, frames: slice) -> Self:
        """Those of some frames."""
        there = {person: mask[frames] for person, mask in self.there.items()}
        return replace(
            self,
            there=there,
            apart=self.apart[frames],
            held=self.held[frames],
            distance=self.distance[frames],
            crowd=self.crowd[frames],
            cut={choice: mask[frames] for choice, mask in self.cut.items()},
        )

    @property
    def anyone(self) -> Mask:
        """Whether anybody is there who has a tile."""
        anyone: Mask = np.logical_or.reduce(list(self.there.values()))
        return anyone

    def would_cut(self, *kinds: SceneKind) -> Mask:
        """Whether any choice of these kinds would; see `cut`."""
        cut: Mask = np.logical_or.reduce([mask for choice, mask in self.cut.items() if choice.kind in kinds])
        return cut

    def costs(self, choices: list[Choice], direction: Direction) -> NDArray[np.float64]:
        """The cost of each choice per second: (frames, choices)."""
        return np.stack([self._cost(choice, direction) for choice in choices], axis=1)

    def _cost(self, choice: Choice, direction: Direction) -> NDArray[np.float64]:
        crowded = self.crowd > 0
        if choice.kind is SceneKind.WHOLE:
            return np.where(self.anyone & ~crowded, direction.whole, 0.0)
        absent = sum(direction.absent * ~self.there[person] for person in self._cast(choice))
        unseen = sum(
            direction.unseen * there for person, there in self.there.items() if person not in self._cast(choice)
        )
        cost = np.asarray(absent + unseen + direction.crowded * crowded + direction.cut * self.cut[choice], np.float64)
        match choice.kind:
            case SceneKind.SPLIT:
                cost += _DOUBLED * ~self.apart
            case SceneKind.TOGETHER:
                near = np.clip(np.nan_to_num(np.ceil(2 * self.distance) / 2, nan=_APART) / _APART, 0.0, 1.0)
                cost += direction.together * near + direction.absent * ~self.held
        return cost

    def _cast(self, choice: Choice) -> set[Person]:
        if choice.kind is SceneKind.TOGETHER:
            return set(Person)
        return {PEOPLE[subject] for subject in choice.cast if subject in PEOPLE}


def _surely_others(table: pa.Table) -> pa.Table:
    """The faces of anyone else, from the first to the last frame in which a tracklet is surely one."""
    others = table.filter(pc.is_null(table["person"]))
    frames, sure = others["frame"].to_numpy(), others["score"].to_numpy() >= _SURE
    tracklets, number = np.unique(others["tracklet"].to_numpy(), return_inverse=True)
    first, last = np.full(len(tracklets), np.iinfo(np.int32).max), np.full(len(tracklets), -1)
    np.minimum.at(first, number[sure], frames[sure])
    np.maximum.at(last, number[sure], frames[sure])
    return others.filter(pa.array((first[number] <= frames) & (frames <= last[number]), pa.bool_()))


def _within(shot: Shot, boxes: Boxes, frame_size: tuple[int, int]) -> Boxes:
    """The faces that a tile could have in its middle, or near it: NaN where one is at the picture's left or right edge.

    What is left of a face that the edge cuts is as high as the face; how wide it is says nothing.
    """
    left, _, width, _ = bounds(shot, boxes, frame_size).T
    middle, height = boxes[:, 0] + boxes[:, 2] / 2, boxes[:, 3]
    room = np.sort([middle - left, left + width - middle], axis=0)
    inside = (room[0] >= _AT_EDGE * height) | (room[1] < height)
    return np.where(inside[:, None], boxes, np.nan)


def _around(a: NDArray[np.float64], b: NDArray[np.float64]) -> NDArray[np.float64]:
    """The boxes around two boxes."""
    corner = np.minimum(a[:, :2], b[:, :2])
    return np.concatenate([corner, np.maximum(a[:, :2] + a[:, 2:], b[:, :2] + b[:, 2:]) - corner], axis=1)


def _crowd(footage: Footage, shot: Shot, seen: dict[Person, Presence], direction: Direction) -> NDArray[np.intp]:
    """See `Prospects.crowd`."""
    first, stop = np.searchsorted(footage.other_frames, [shot.first, shot.last + 1])
    sure = np.flatnonzero(footage.other_sure[first:stop]) + first
    frame, height = footage.other_frames[sure] - shot.first, footage.other_boxes[sure, 3]
    main = np.max([np.where(one.there, one.boxes[:, 3], 0.0) for one in seen.values()], axis=0)
    comparable = np.bincount(frame[height * direction.stands_out >= main[frame]], minlength=len(shot))
    count = comparable + np.sum([one.there for one in seen.values()], axis=0)
    return np.where((main > 0) & (count > len(seen)), count, 0)
