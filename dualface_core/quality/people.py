"""Findings about who is in the tiles: a face where the plan puts one, and the right person's.

Belongs here: looking for faces in a bounded number of frames, and comparing them with the people of the source. The
one idea: what the tracks say about places and names is taken, but whose face it is gets judged afresh, by embeddings
of faces that are found in the source and in the result. Embeddings live as long as the verification does.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Final, TypeVar

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from dualface_core.faces.detections import Detections
from dualface_core.faces.sface import FaceEmbedder, align_face, frontality
from dualface_core.faces.yunet import FaceDetector
from dualface_core.media.frames import ColorInfo, Frame, Planes
from dualface_core.quality.expected import Source, evenly, tile_picture
from dualface_core.quality.findings import Check, Finding
from dualface_core.tiles.camera import face_boxes
from dualface_core.tiles.layouts import Tile
from dualface_core.tiles.table import TilePlan
from dualface_core.tracking.table import FaceTracks

Item = TypeVar("Item")

Box = NDArray[np.float64]
"""(4,) x, y, width, height in pixels."""

MOST_FRAMES: Final = 60
"""Frames of the result in which faces are looked for, however long it is."""

LEAST_FACES: Final = 0.85
"""Share of the frames looked at in which a tile's face must be found. The detector misses some that turn away."""

LEAST_RIGHT: Final = 0.9
"""Share of a tile's faces that must be nearer to its own person than to the other. A face in profile may be astray."""

SAME_PERSON: Final = 0.363
"""Cosine of two embeddings of one person, by OpenCV Zoo's measure of SFace."""

_LOOK_WIDTH: Final = 480
_SOURCE_WIDTH: Final = 640
"""Pixels to which a tile, and a source frame, are shrunk for the detector: it sees faces of 10 to 300 pixels."""

_SCORE: Final = 0.5
"""Of a detection. Low, since the place must fit as well."""

_ASIDE: Final = 0.6
_LARGER: Final = 2.0
"""How far from its place, in face sizes, and by which factor of size, a face still is the one that was expected."""

_REFERENCES: Final = 8
"""The best faces of the source that stand for a person."""

_FEW: Final = 3
"""With fewer references than this, more frames of the source are looked at."""

_COMPARED: Final = 20
"""Faces of a tile that are embedded."""


@dataclass(frozen=True)
class _Face:
    """A face that was found, aligned for the embedder; quality says how much it tells."""

    number: int
    crop: NDArray[np.uint8]
    quality: float


class PeopleWatch:
    """Looks for faces in the tiles of some frames, and tells whose they are.

    Args:
        tiles: of the layout.
        tracks: who is where in the source.
        plan: what each tile shows.
        color: colour tags of the result.
        detector: finds faces.
        embedder: describes them.
    """

    def __init__(
        self,
        tiles: Sequence[Tile],
        tracks: FaceTracks,
        plan: TilePlan,
        color: ColorInfo,
        detector: FaceDetector,
        embedder: FaceEmbedder,
    ) -> None:
        self._tiles = tiles
        self._tracks = tracks
        self._people = tracks.metadata.people
        self._boxes = {person: face_boxes(tracks, person) for person in self._people}
        self._rectangles = plan.rectangles().astype(np.float64)
        self._color = color
        self._detector = detector
        self._embedder = embedder
        nobody = np.full((len(self._rectangles), 4), np.nan)
        seen = np.stack([~np.isnan(self._boxes.get(tile.person, nobody)[:, 0]) for tile in tiles], axis=1)
        self._due = seen & (plan.states() == "tracking")
        shots = [range(shot.first, shot.last + 1) for shot in tracks.metadata.shots]
        self.frames = frozenset(_spread(self._due.any(axis=1), shots))
        """Numbers of the frames that are looked at."""
        self._looked = [0] * len(tiles)
        self._found: list[list[_Face]] = [[] for _ in tiles]
        self._references: dict[str, list[_Face]] = {person: [] for person in self._people}

    def learn(self, frame: Frame) -> None:
        """Take faces of known people from a source frame; its index is its number in the plan."""
        self._learn(frame, self._people)

    def learn_more(self, source: Source) -> None:
        """Fetch more source frames for people of whom too few faces are known. Raises UnreadableVideoError."""
        for person in self._people:
            if len(self._references[person]) < _FEW:
                for frame in source.frames(_telling_frames(self._tracks, person)):
                    self._learn(frame, [person])

    def look(self, number: int, canvas: Planes) -> None:
        """Take a frame of the result: its number in the plan and its planes."""
        if number not in self.frames:
            return
        for place, tile in enumerate(self._tiles):
            if not self._due[number, place]:
                continue
            self._looked[place] += 1
            image = tile_picture(canvas, tile, self._color).bgr(_LOOK_WIDTH)
            center_x, center_y, width, height = self._rectangles[number, place]
            box = self._boxes[tile.person][number] - [center_x - width / 2, center_y - height / 2, 0, 0]
            face = self._find(number, image, image, box * image.shape[1] / width)
            if face is not None:
                self._found[place].append(face)

    def findings(self) -> Iterator[Finding]:
        """Per tile: whether its face is there, and whose it is."""
        known = {
            person: self._embedder.embed(np.stack([face.crop for face in _best(faces, _REFERENCES)]))
            for person, faces in self._references.items()
            if faces
        }
        for tile, looked, faces in zip(self._tiles, self._looked, self._found, strict=True):
            if tile.person not in self._people:
                yield _absence(tile)
                continue
            yield _face_finding(tile, len(faces), looked)
            if faces and tile.person in known:
                chosen = [_best(part, 1)[0] for part in _parts(faces, _COMPARED)]
                embeddings = self._embedder.embed(np.stack([face.crop for face in chosen]))
                yield _identity_finding(tile, [face.number for face in chosen], embeddings, known)

    def _learn(self, frame: Frame, people: Sequence[str]) -> None:
        boxes = {person: self._boxes[person][frame.index] for person in people}
        present = {person: box for person, box in boxes.items() if not np.isnan(box[0])}
        if not present:
            return
        whole, small = frame.bgr(), frame.bgr(_SOURCE_WIDTH)
        for person, box in present.items():
            face = self._find(frame.index, small, whole, box * small.shape[1] / whole.shape[1])
            if face is not None:
                self._references[person].append(face)

    def _find(self, number: int, small: NDArray[np.uint8], whole: NDArray[np.uint8], box: Box) -> _Face | None:
        """The face that fits `box` (in pixels of `small`), cut out of `whole`."""
        detections = self._detector.detect(small[None], score_threshold=_SCORE)[0]
        place = _fitting(detections, box)
        if place is None:
            return None
        landmarks = detections.landmarks[place] * np.float32(whole.shape[1] / small.shape[1])
        quality = float(detections.scores[place]) * frontality(landmarks)
        return _Face(number, align_face(whole, landmarks), quality)


def _spread(due: NDArray[np.bool_], shots: Sequence[range]) -> list[int]:
    """Up to `MOST_FRAMES` frames of those that are due: the middle of every shot, then evenly over all."""
    numbers = [int(number) for number in np.flatnonzero(due)]
    by_shot = [[number for number in shot if due[number]] for shot in shots]
    middles = evenly([shot[len(shot) // 2] for shot in by_shot if shot], MOST_FRAMES // 2)
    return sorted({*middles, *evenly(numbers, MOST_FRAMES - len(middles))})


def _telling_frames(tracks: FaceTracks, person: str) -> list[int]:
    """Frames with the best faces of a person, one from each part of the video."""
    named = pc.equal(tracks.table.column("person").cast(pa.string()), person)
    detected = pc.equal(tracks.table.column("source").cast(pa.string()), "detected")
    rows = tracks.table.filter(pc.and_(named, detected)).select(["frame", "score", "width"]).to_pylist()
    best = [max(part, key=lambda row: row["score"] * row["width"]) for part in _parts(rows, _REFERENCES)]
    return sorted({row["frame"] for row in best})


def _parts(items: Sequence[Item], count: int) -> list[Sequence[Item]]:
    """Up to `count` stretches of about equal length that make up all of `items`."""
    edges = np.linspace(0, len(items), min(count, len(items)) + 1).round().astype(int)
    return [items[begin:end] for begin, end in pairwise(edges)]


def _best(faces: Sequence[_Face], count: int) -> list[_Face]:
    return sorted(faces, key=lambda face: -face.quality)[:count]


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


def _absence(tile: Tile) -> Finding:
    return Finding(
        check=Check.PEOPLE,
        passed=False,
        severity="warning",
        value=1,
        expected="2",
        message=f"Only one person was found, so tile {tile.person} shows the wide shot.",
    )


def _face_finding(tile: Tile, found: int, looked: int) -> Finding:
    share = found / looked if looked else 1.0
    return Finding(
        check=Check.FACE,
        passed=share >= LEAST_FACES,
        value=round(100 * share, 1),
        expected=f"at least {LEAST_FACES:.0%}",
        message=(
            f"Tile {tile.person} shows a face where the plan has one in {found} of {looked} frames looked at."
            if looked
            else f"The plan never has a face in tile {tile.person}."
        ),
    )


def _identity_finding(
    tile: Tile, numbers: Sequence[int], embeddings: NDArray[np.float32], known: Mapping[str, NDArray[np.float32]]
) -> Finding:
    """Whose faces the tile shows: by the mean cosine with the faces that stand for each person."""
    nearness = {person: (embeddings @ faces.T).mean(axis=1) for person, faces in known.items()}
    own = nearness.pop(tile.person)
    # Without another person to compare with, it must be near enough to its own.
    other = max(nearness.values(), key=lambda values: float(values.mean()), default=np.full_like(own, SAME_PERSON / 2))
    margins = own - other
    margin, right = float(margins.mean()), float((margins > 0).mean())
    passed = margin > 0 and right >= LEAST_RIGHT
    message = (
        f"Tile {tile.person} shows the right person in {round(right * len(own))} of {len(own)} faces compared: "
        f"cosine {own.mean():.2f} with their own face and {other.mean():.2f} with the other's."
    )
    if not passed:
        first = numbers[int(np.argmax(margins <= 0))]
        message = (
            f"Tile {tile.person} shows another person in {round((1 - right) * len(own))} of {len(own)} faces compared, "
            f"first in frame {first}: cosine {own.mean():.2f} with their own face and {other.mean():.2f} with the "
            "other's."
        )
    return Finding(
        check=Check.IDENTITY,
        passed=passed,
        value=round(margin, 3),
        expected=f"above 0, and for at least {LEAST_RIGHT:.0%} of the faces",
        message=message,
    )
