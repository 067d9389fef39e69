"""Findings about who is in the tiles: the cast of each scene, where the plan has it, and nobody in two tiles.

Belongs here: detecting faces in frames sampled over the whole length, and comparing them with the people of the
source. What the tracks say about places and names is taken here, but whose face it is gets judged afresh, by
embeddings of faces that are detected in the source and in the result. One face in two seconds is embedded, and all
that were sampled around one that looks like the other person. Embeddings live as long as the verification does.
Whether the names are right is judged in `people`, by the faces of the result alone. Detection (`faces_of_source`,
`faces_in_tiles`) knows one frame and may happen anywhere; an IdentityCheck takes what it finds in the frames' order.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import combinations, pairwise
from typing import Final, TypeVar

import numpy as np
from numpy.typing import NDArray

from dualface_core.faces.alignment import align_face, frontality
from dualface_core.faces.detections import Detections
from dualface_core.faces.detector import FaceDetector
from dualface_core.faces.embedder import FaceEmbedder
from dualface_core.media.frames import Frame
from dualface_core.tables.face_tracks import FaceTracks
from dualface_core.tables.labels import CameraState, FaceSource, Person, Subject
from dualface_core.tables.tile_plan import TilePlan
from dualface_core.verification.expected import evenly
from dualface_core.verification.findings import Check, Finding, clock
from dualface_core.verification.people import LEAST_QUALITY, SAME_PERSON, TileFaces, people_findings

Item = TypeVar("Item")

Embed = Callable[[NDArray[np.uint8]], NDArray[np.float32]]
"""Describes aligned faces, (N, 112, 112, 3) uint8 BGR, by (N, 128) float32 of length 1."""

Box = NDArray[np.float64]
"""(4,) x, y, width, height in pixels."""

Places = NDArray[np.float64]
"""(faces, 4) of the same."""

SAMPLES: Final = 40
LEAST_GAP: Final = 0.25
MOST_GAP: Final = 2.0
"""Frames in which faces are detected, and seconds between two of them, at the least and at the most."""

WRONG_SECONDS: Final = 2.0
"""Seconds for which a tile must not show another person's face."""

MISSING_SECONDS: Final = 5.0
FEW_MISSING_SECONDS: Final = 2.0
"""Seconds for which no face may be missing where the plan has one, and from which on a person should look."""

LEAST_FACES: Final = 0.6
FEWER_FACES: Final = 0.85
"""Shares of the sampled frames in which a tile's face must be found; between the two, a person should look. The
detector misses some faces that are dark, turned or coarsely coded, though the tile shows them."""

UNDECIDED: Final = 0.05
"""Difference of cosines below which a face is as like one person as the other."""

LEAST_TELLING: Final = 0.5
"""Share of a tile's faces that must be like somebody's; of fewer, it cannot be told whose they are."""

MOST_WRONG: Final = 0.1
"""Share of these that may be more like the other person's: a face in profile, or one that passes in front."""

MOST_DOUBLED: Final = 0.1
"""Share of the sampled frames with two tiles in which both may show one face: somebody who passes."""

CONFUSED: Final = 0.6
"""Cosine of two faces that are surely one person's."""

MOST_CONFUSED: Final = 0.25
"""Share of the faces of the source that may be so like one of the other name."""

_SOURCE_WIDTH: Final = 640
"""Pixels to which source frames are shrunk for the detector, which sees faces of 10 to 300 pixels."""

_LOOK_WIDTHS: Final = (128, 384)
"""Pixels to which tiles are shrunk, at the least and at the most: a face is looked for at the size that it has in a
source frame so shrunk. Enlarged, a face that was small in the source is only a blur."""

_SCORE: Final = 0.3
"""Of a detection. Low, since the place must fit as well."""

_SURE: Final = 0.6
"""Score of a detection that is a face wherever it is."""

_MOST_CUT: Final = 0.05
"""Share of a face's width or height that may lie beyond a tile's edge. More is a neighbor whom the edge cuts."""

_SAME_PLACE: Final = 0.5
"""Face sizes within which two faces of two tiles lie in the source if they are one."""

_ASIDE: Final = 0.6
_LARGER: Final = 2.0
"""How far from its place, in face sizes, and by which factor of size, a face still is the one that was expected."""

_REFERENCES: Final = 8
"""The best faces of the source that stand for a person."""

_FEW: Final = 3
"""With fewer references than this, more frames of the source are looked at."""

_LEAST_EMBEDDED: Final = 8
"""Faces of a person that are embedded at the least, where there are so many."""

_BATCH: Final = 64
"""Faces of a tile that wait to be embedded, at the most: work for several processes, and 2 MB."""

_JITTER: Final = 0.1
"""Seconds by which samples, which are whole frames, may be nearer than their gap."""

_MOST_SHOTS: Final = 30
"""Shots of which a frame in the middle is sampled, whatever the gap."""


@dataclass(frozen=True)
class Face:
    """A face that was found.

    Attributes:
        number: of the frame in the plan.
        crop: the face, aligned for the embedder.
        quality: how much it tells.
        embedding: (128,) where it was embedded when it was found.
    """

    number: int
    crop: NDArray[np.uint8]
    quality: float
    embedding: NDArray[np.float32] | None = None


@dataclass(frozen=True)
class FacesWanted:
    """Whose faces are to be looked for in one frame.

    Attributes:
        number: of the frame in the plan.
        crop_windows: (slots, 4) of center x, center y, width and height in pixels of the source.
        of_people: for each slot, whether it is drawn for one person.
        boxes: where each person's face is in the source; NaN where it is not.
        due: people and slots of which the one must be seen in the other, and whether they have that tile alone.
        shrink: the factor by which source frames are shrunk for the detector.
        all_embedded: whether the samples are so far apart that each face of a tile is embedded, but for the first. Then
            whoever finds it does that.
    """

    number: int
    crop_windows: NDArray[np.float64]
    of_people: tuple[bool, ...]
    boxes: Mapping[Person, Box]
    due: tuple[tuple[Person, int, bool], ...]
    shrink: float
    all_embedded: bool


@dataclass(frozen=True)
class DueFace:
    """What was found of a face that a tile must show.

    Attributes:
        person: whose it is.
        face: None if there is none.
        alone: whether they have the tile alone.
        outside: whether the plan itself leaves it outside the tile.
    """

    person: Person
    face: Face | None
    alone: bool
    outside: bool


@dataclass(frozen=True)
class FacesShown:
    """What was found in the tiles of one frame of the result.

    Attributes:
        number: of the frame in the plan.
        due: the faces that it must show.
        shared: whether two tiles show the same one; None where fewer than two show people.
    """

    number: int
    due: tuple[DueFace, ...]
    shared: bool | None


@dataclass(frozen=True)
class _Waiting:
    """A face of the result that may be embedded: its time in seconds, and whether its person has a tile alone."""

    time: float
    face: Face
    alone: bool


@dataclass(frozen=True)
class _Embedded:
    """A face of the result: its time in seconds, and its cosine with the most similar face of each person."""

    time: float
    own: float
    other: float

    @property
    def telling(self) -> bool:
        """Whether it is one person's, and not the other's."""
        return max(self.own, self.other) >= SAME_PERSON and abs(self.own - self.other) >= UNDECIDED

    @property
    def wrong(self) -> bool:
        """Whether it is another person's than it should be."""
        return self.telling and self.other > self.own


class _PersonFaces:
    """What was found where tiles show one person: sampled times, with or without a face; faces, embedded and waiting.

    `own` are those that tell most, of tiles that show nobody else.
    """

    def __init__(self) -> None:
        self.outside = 0
        self.sampled: list[tuple[float, bool]] = []
        self.embedded: list[_Embedded] = []
        self.waiting: list[_Waiting] = []
        self.own = TileFaces()


class IdentityCheck:
    """Tells from the faces that were found in source and result whose they are.

    Args:
        tracks: who is where in the source.
        plan: what each tile shows.
        embed: describes faces.
    """

    def __init__(self, tracks: FaceTracks, plan: TilePlan, embed: Embed) -> None:
        self._tracks = tracks
        self._people = tracks.people
        self._boxes = {person: tracks.boxes(person, followed=False) for person in self._people}
        self._plan = plan
        self._embed = embed
        self._due = {person: _due(tracks, plan, person) for person in self._people}
        self._times = tracks.times
        self._duration = float(self._times[-1] - self._times[0])
        self._gap = _gap(tracks)
        self._embedded_gap = min(MOST_GAP, self._duration / _LEAST_EMBEDDED)
        any_due = np.any([due.any(axis=1) for due in self._due.values()], axis=0) if self._due else np.zeros(0, bool)
        self.frames = frozenset(_spread(any_due, tracks, self._gap))
        """Numbers of the frames in which faces are detected."""
        self._split_only = plan.metadata.direction.get("scenes", "off") == "off"
        self._faces = {person: _PersonFaces() for person in self._people}
        self._doubled: list[tuple[float, bool]] = []
        self._at_once = 0
        self._references: dict[Person, list[Face]] = {person: [] for person in self._people}
        self._known: dict[Person, NDArray[np.float32]] = {}  # embeddings of the faces that stand for each person

    def wanted(self, number: int) -> FacesWanted:
        """What is to be looked for in a frame, of the source and of the result: its number in the plan."""
        subjects = self._plan.subjects[number].tolist()
        return FacesWanted(
            number,
            self._plan.crop_windows[number].astype(np.float64),
            tuple(subject in self._people for subject in subjects),
            {person: self._boxes[person][number] for person in self._people},
            tuple(
                (person, slot, subject != Subject.PAIR)
                for slot, subject in enumerate(subjects)
                for person in self._people
                if self._due[person][number, slot]
            ),
            min(1.0, _SOURCE_WIDTH / self._plan.metadata.frame_width),
            2 * self._gap > self._embedded_gap + 3 * _JITTER,
        )

    def learn(self, faces: Mapping[Person, Face]) -> None:
        """Take faces of known people from a source frame, as `faces_of_source` finds them."""
        for person, face in faces.items():
            self._references[person].append(face)

    def unknown(self) -> dict[Person, list[int]]:
        """People of whom too few faces are known, and more frames of the source to learn from, by their numbers."""
        few = [person for person in self._people if len(self._references[person]) < _FEW]
        return {person: _telling_frames(self._tracks, person) for person in few}

    def finish_learning(self) -> None:
        """Choose the faces that stand for each person, and embed them, once all are learned."""
        self._references = {
            person: _best_of_parts(faces, _REFERENCES) for person, faces in self._references.items() if faces
        }
        self._known = {person: self._embedded(faces) for person, faces in self._references.items()}

    def look(self, shown: FacesShown) -> None:
        """Take what was found in a frame of the result, in the frames' order, once the people are known."""
        time = float(self._times[shown.number])
        for due in shown.due:
            self._faces[due.person].outside += due.outside
            self._note(due, time)
        self._at_once += all(faces.sampled[-1:] == [(time, True)] for faces in self._faces.values())
        if shown.shared is not None:
            self._doubled.append((time, shown.shared))

    def _note(self, due: DueFace, time: float) -> None:
        """Keep whether a person's face is where the plan has it, and the face, until it is embedded."""
        faces = self._faces[due.person]
        faces.sampled.append((time, due.face is not None))
        if due.face is not None and due.person in self._references:
            faces.waiting.append(_Waiting(time, due.face, due.alone))
            if len(faces.waiting) == _BATCH:
                self._judge(due.person, faces)

    def _judge(self, person: Person, faces: _PersonFaces) -> None:
        """Embed one of the faces that wait in two seconds, and then all around one that is more like another's."""
        waiting = faces.waiting
        since = faces.embedded[-1].time if faces.embedded else waiting[0].time
        picked = _picked(waiting, since, self._embedded_gap)
        self._compare(person, faces, [waiting[place] for place in picked])
        doubts = np.array([face.time for face in faces.embedded if face.other > face.own])
        around = [
            place
            for place, each in enumerate(waiting)
            if place not in picked and (np.abs(doubts - each.time) <= MOST_GAP).any()
        ]
        self._compare(person, faces, [waiting[place] for place in around])
        kept = waiting[-1].time - MOST_GAP  # a doubt that comes next may be about these
        done = {*picked, *around}
        faces.waiting = [each for place, each in enumerate(waiting) if place not in done and each.time > kept]

    def _compare(self, person: Person, faces: _PersonFaces, chosen: Sequence[_Waiting]) -> None:
        """Embed faces, and note whose they are."""
        if not chosen:
            return
        embeddings = self._embedded([each.face for each in chosen])
        nearness = {name: (embeddings @ known.T).max(axis=1) for name, known in self._known.items()}
        own = nearness.pop(person)
        other = np.max(list(nearness.values()), axis=0) if nearness else np.zeros_like(own)
        for each, embedding in zip(chosen, embeddings, strict=True):
            if each.alone and each.face.quality >= LEAST_QUALITY:
                faces.own.add(each.time, embedding)
        times = [each.time for each in chosen]
        faces.embedded += map(_Embedded, times, own.tolist(), other.tolist())
        faces.embedded.sort(key=lambda face: face.time)

    def findings(self) -> Iterator[Finding]:
        """Per person: whether their face is there, and whose it is; and whether one is in two tiles."""
        if len(self._known) > 1:
            yield _naming_finding(self._references, self._known)
        for person in Person:
            if person not in self._people:
                yield _absence(person)
                continue
            faces = self._faces[person]
            if faces.waiting:
                self._judge(person, faces)
            yield _face_finding(person, faces, self._gap)
            if faces.embedded:
                yield _identity_finding(person, faces.embedded, self._gap)
        yield _doubled_finding(self._doubled, self._gap, split_only=self._split_only)
        yield from people_findings({person: faces.own for person, faces in self._faces.items()}, self._at_once)

    def _embedded(self, faces: Sequence[Face]) -> NDArray[np.float32]:
        left = [face.crop for face in faces if face.embedding is None]
        found = iter(self._embed(np.stack(left)) if left else ())
        return np.stack([next(found) if face.embedding is None else face.embedding for face in faces])


def faces_of_source(wanted: FacesWanted, frame: Frame, detector: FaceDetector) -> dict[Person, Face]:
    """The faces of known people in a source frame."""
    present = {person: box for person, box in wanted.boxes.items() if not np.isnan(box[0])}
    if not present:
        return {}
    whole, small = frame.bgr(), frame.bgr(_SOURCE_WIDTH)
    found = detector.detect(small[None], score_threshold=_SCORE)[0]
    faces = {
        person: _cut_out(wanted.number, found, small, whole, box * small.shape[1] / whole.shape[1])
        for person, box in present.items()
    }
    return {person: face for person, face in faces.items() if face is not None}


def faces_in_tiles(
    wanted: FacesWanted, tiles: Sequence[Frame | None], detector: FaceDetector, embedder: FaceEmbedder
) -> FacesShown:
    """The faces in the tiles of a frame of the result; a tile that is not drawn is None."""
    places: list[Places] = []
    due: list[DueFace] = []
    for slot, tile in enumerate(tiles):
        if tile is None:
            continue
        center_x, center_y, width, height = wanted.crop_windows[slot]
        corner = np.array([center_x - width / 2, center_y - height / 2, 0, 0])
        small = tile.bgr(round(np.clip(width * wanted.shrink, *_LOOK_WIDTHS)))
        found = detector.detect(small[None], score_threshold=_SCORE)[0]
        scale = small.shape[1] / width
        if wanted.of_people[slot]:
            places.append(_whole_faces(found, small.shape[1], small.shape[0]) / scale + corner)
        for person, in_slot, alone in wanted.due:
            if in_slot == slot:
                box = wanted.boxes[person] - corner
                middle = box[:2] + box[2:] / 2
                outside = not ((middle >= 0) & (middle <= (width, height))).all()
                whole = tile.bgr(_LOOK_WIDTHS[1] if alone else 2 * _LOOK_WIDTHS[1])
                face = _cut_out(wanted.number, found, small, whole, box * scale)
                if face is not None and wanted.all_embedded:
                    face = replace(face, embedding=embedder.embed(face.crop[np.newaxis])[0])
                due.append(DueFace(person, face, alone, outside))
    return FacesShown(wanted.number, tuple(due), _shared(places) if len(places) > 1 else None)


def _cut_out(
    number: int, found: Detections, small: NDArray[np.uint8], whole: NDArray[np.uint8], box: Box
) -> Face | None:
    """The face of those found in `small` that fits `box`, in pixels of it, cut out of `whole`."""
    place = _fitting(found, box)
    if place is None:
        return None
    landmarks = found.landmarks[place] * np.float32(whole.shape[1] / small.shape[1])
    quality = float(found.scores[place]) * frontality(landmarks)
    return Face(number, align_face(whole, landmarks), quality)


def _whole_faces(found: Detections, width: int, height: int) -> Places:
    """Those that are faces wherever they are, and that no edge of the image cuts."""
    boxes = found.boxes.astype(np.float64)
    sizes = boxes[:, 2:]
    beyond = np.maximum(-boxes[:, :2], boxes[:, :2] + sizes - (width, height))
    return np.asarray(boxes[(found.scores >= _SURE) & (beyond <= _MOST_CUT * sizes).all(axis=1)], np.float64)


def _due(tracks: FaceTracks, plan: TilePlan, person: Person) -> NDArray[np.bool_]:
    """Which tiles must show a person's face: (frames, slots)."""
    seen = ~np.isnan(tracks.boxes(person, followed=False)[:, 0])
    return np.asarray(seen[:, None] & plan.showing(person) & (plan.states == CameraState.TRACKING), np.bool_)


def _shared(places: Sequence[Places]) -> bool:
    """Whether two tiles show a face that is at one place of the source."""
    for one, other in combinations(places, 2):
        sizes = np.maximum(one[:, None, 2:].max(axis=2), other[None, :, 2:].max(axis=2))
        apart = (one[:, None, :2] + one[:, None, 2:] / 2) - (other[None, :, :2] + other[None, :, 2:] / 2)
        if (np.abs(apart).max(axis=2) < _SAME_PLACE * sizes).any():
            return True
    return False


def _gap(tracks: FaceTracks) -> float:
    """Seconds between sampled frames: never less than between frames."""
    duration = float(tracks.times[-1] - tracks.times[0])
    return max(min(max(duration / SAMPLES, LEAST_GAP), MOST_GAP), duration / len(tracks.times))


def _spread(due: NDArray[np.bool_], tracks: FaceTracks, gap: float) -> set[int]:
    """Frames of those that are due: one after every gap, and one from the middle of every shot."""
    by_shot = [shot.first + np.flatnonzero(due[shot.frames]) for shot in tracks.shots]
    chosen = set(evenly([int(numbers[len(numbers) // 2]) for numbers in by_shot if len(numbers)], _MOST_SHOTS))
    last = -math.inf
    for number in np.flatnonzero(due):
        if tracks.times[number] - last >= gap:
            chosen.add(int(number))
            last = tracks.times[number]
    return chosen


def _longest(samples: Sequence[tuple[float, bool]], gap: float) -> tuple[float, float]:
    """From when to when the longest run of samples lasts that have a fault: (time, fault) each; (0, 0) for none.

    A run ends with a sample that has no fault, and where there is no sample for two gaps.
    """
    longest, begin, last = (0.0, 0.0), math.nan, -math.inf
    for time, fault in samples:
        if fault:
            begin = begin if time - last <= 2 * gap + _JITTER else time
            last = time
            longest = max(longest, (begin, time), key=lambda run: run[1] - run[0])
        else:
            last = -math.inf
    return longest


def _lasts(run: tuple[float, float], seconds: float, gap: float) -> bool:
    """Whether a run of samples may be that of a fault that lasts so long: two samples at least."""
    return run[1] - run[0] > 0 and run[1] - run[0] >= max(seconds - gap, gap) - _JITTER


def _telling_frames(tracks: FaceTracks, person: Person) -> list[int]:
    """Frames with the best faces of a person, one from each part of the video."""
    rows = tracks.rows(person, FaceSource.DETECTED).select(["frame", "score", "width"]).to_pylist()
    best = [max(part, key=lambda row: row["score"] * row["width"]) for part in _parts(rows, _REFERENCES)]
    return sorted({row["frame"] for row in best})


def _parts(items: Sequence[Item], count: int) -> list[Sequence[Item]]:
    """Up to `count` stretches of about equal length that make up all of `items`."""
    edges = np.linspace(0, len(items), min(count, len(items)) + 1).round().astype(int)
    return [items[begin:end] for begin, end in pairwise(edges)]


def _best_of_parts(faces: Sequence[Face], count: int) -> list[Face]:
    return [max(part, key=lambda face: face.quality) for part in _parts(faces, count)]


def _picked(faces: Sequence[_Waiting], since: float, gap: float) -> list[int]:
    """Places of faces, each the one that tells most of those within a gap after the last; the first is `since`."""
    picked: list[int] = []
    group: list[int] = []
    for place in range(len(faces)):
        group.append(place)
        following = faces[place + 1].time if place + 1 < len(faces) else math.inf
        if following - since > gap + _JITTER:
            best = max(group, key=lambda each: (faces[each].time >= since + gap / 2, faces[each].face.quality))
            picked.append(best)
            since = faces[best].time
            group = [each for each in group if each > best]
    return picked


def _fitting(found: Detections, box: Box) -> int | None:
    """Which detection is the face at `box`: the nearest one that is near enough and of about its size."""
    if not len(found):
        return None
    boxes = found.boxes.astype(np.float64)
    size = float(max(box[2:]))
    aside = np.abs(boxes[:, :2] + boxes[:, 2:] / 2 - (box[:2] + box[2:] / 2)).max(axis=1) / size
    factor = np.exp(np.abs(np.log(boxes[:, 2:].max(axis=1) / size)))
    fits = np.where((aside <= _ASIDE) & (factor <= _LARGER), aside, np.inf)
    place = int(np.argmin(fits))
    return place if np.isfinite(fits[place]) else None


def _absence(person: Person) -> Finding:
    return Finding(
        check=Check.PEOPLE,
        passed=False,
        severity="warning",
        value=1,
        expected="2",
        message=f"Only one person was found, so there is nobody for tile {person}.",
    )


def _face_finding(person: Person, faces: _PersonFaces, gap: float) -> Finding:
    sampled, outside = len(faces.sampled), faces.outside
    found = sum(there for _, there in faces.sampled)
    share = found / sampled if sampled else 1.0
    missing = _longest([(time, not there) for time, there in faces.sampled], gap)
    wrong = share < LEAST_FACES or outside > (1 - FEWER_FACES) * sampled or _lasts(missing, MISSING_SECONDS, gap)
    few = share < FEWER_FACES or _lasts(missing, FEW_MISSING_SECONDS, gap)
    message = (
        f"Tile {person} shows a face where the plan has one in {found} of {sampled} sampled frames."
        if sampled
        else f"The plan never has a face in tile {person}."
    )
    if found < sampled and (wrong or few):
        message += f" It is missing from {clock(missing[0])} to {clock(missing[1])}."
    if outside:
        message += f" In {outside} of them the plan itself leaves it outside the tile."
    return Finding(
        check=Check.FACE,
        passed=not wrong and not few,
        severity="error" if wrong else "warning",
        value=round(100 * share, 1),
        expected=f"at least {FEWER_FACES:.0%}, and never missing for {FEW_MISSING_SECONDS:g} s",
        message=message,
    )


def _doubled_finding(sampled: Sequence[tuple[float, bool]], gap: float, *, split_only: bool) -> Finding:
    """Whether one person's face is in two tiles at once. Where there is nothing but a split, that cannot be helped."""
    doubled = [time for time, shared in sampled if shared]
    run = _longest(sampled, gap)
    passed = len(doubled) <= MOST_DOUBLED * len(sampled) and not _lasts(run, WRONG_SECONDS, gap)
    message = f"In none of {len(sampled)} sampled frames are tiles showing one face twice."
    if doubled:
        message = (
            f"One face is in two tiles in {len(doubled)} of {len(sampled)} sampled frames, the first time at "
            f"{clock(doubled[0])}, the longest from {clock(run[0])} to {clock(run[1])}."
        )
    return Finding(
        check=Check.DOUBLED,
        passed=passed,
        severity="warning" if split_only else "error",
        value=round(100 * len(doubled) / max(len(sampled), 1), 1),
        expected=f"at most {MOST_DOUBLED:.0%}, and never for {WRONG_SECONDS:g} s",
        message=message,
    )


def _identity_finding(person: Person, faces: Sequence[_Embedded], gap: float) -> Finding:
    """Whose faces the tile shows: by the cosine with the most similar face that stands for each person."""
    telling = [face for face in faces if face.telling]
    wrong = [face for face in telling if face.wrong]
    run = _longest([(face.time, face.wrong) for face in telling], max(gap, MOST_GAP))
    clear = len(telling) >= LEAST_TELLING * len(faces)
    lasting = _lasts(run, WRONG_SECONDS, gap)
    passed = clear and not lasting and len(wrong) <= MOST_WRONG * len(telling)
    own, other = (float(np.mean([getattr(face, name) for face in faces])) for name in ("own", "other"))
    message = (
        f"Of {len(faces)} faces in tile {person}, {len(telling) - len(wrong)} are the right person's, "
        f"{len(wrong)} another's{f' (from {clock(run[0])} to {clock(run[1])})' if wrong else ''} and "
        f"{len(faces) - len(telling)} cannot be told: mean cosine {own:.2f} with their own face and "
        f"{other:.2f} with the other's."
    )
    return Finding(
        check=Check.IDENTITY,
        passed=passed,
        severity="error" if clear or lasting else "warning",
        value=round(own - other, 3),
        expected=f"above 0 for all but {MOST_WRONG:.0%} of the faces, and never below for {WRONG_SECONDS:g} s",
        message=message,
    )


def _naming_finding(
    references: Mapping[Person, Sequence[Face]], known: Mapping[Person, NDArray[np.float32]]
) -> Finding:
    """Whether the tracks mean the same person by a name throughout.

    Two people who are told apart when they are seen at once must not be taken for one another at other times.
    """
    first, second = known
    cosines = known[first] @ known[second].T
    numbers = [np.array([face.number for face in references[person]]) for person in (first, second)]
    at_once = numbers[0][:, None] == numbers[1][None]
    together = float(cosines[at_once].mean()) if at_once.any() else 0.0
    apart = np.where(at_once, -1.0, cosines)
    confused = float(np.mean(np.concatenate([apart.max(axis=0), apart.max(axis=1)]) > CONFUSED))
    alike = together >= SAME_PERSON
    passed = confused <= MOST_CONFUSED
    message = f"{first} and {second} keep their names over the whole video."
    if not passed:
        message = (
            f"{confused:.0%} of the faces called {first} or {second} are like one that has the other name at another "
            f"time: {'the two look alike, so this may be right' if alike else 'the tracks mix the two up'}."
        )
    return Finding(
        check=Check.PEOPLE,
        passed=passed,
        severity="warning" if alike else "error",
        value=round(confused, 3),
        expected=f"at most {MOST_CONFUSED:g}",
        message=message,
    )
