"""What is to be seen in composed frames, whatever the tracks and the plan believe: about four a second.

Belongs here: composing some frames, finding faces in them and in their source anew, edges and bars inside tiles, and
small images for the contact sheet.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from benchmarks.footage.windows import Faces
from dualface_core.compositing.cpu import Compositor
from dualface_core.faces.detections import Detections
from dualface_core.faces.detector import FaceDetector
from dualface_core.media.frames import Frame
from dualface_core.media.probe import VideoInfo
from dualface_core.media.reader import VideoReader
from dualface_core.tables.face_tracks import FaceTracks
from dualface_core.tables.labels import Person, Subject
from dualface_core.tables.tile_plan import TilePlan

Image = NDArray[np.uint8]

RATE: Final = 4.0
"""Frames looked at per second."""

_SCORE: Final = 0.6
"""Of a face that counts."""

_SOURCE_WIDTH: Final = 1280
_TILE_SIDE: Final = 480
"""Pixels in which faces are looked for: the frame's width, and a tile's longer side."""

_OVERLAP: Final = 0.3
"""Intersection over union from which a face found is the one that the tracks tell of."""

_BLACK: Final = 26
"""Luma that is black, in limited range, with the noise of an encoder."""

_BAR: Final = 0.004
"""Share of a tile's extent from which a black edge is a bar."""

_EDGE: Final = 10
_EDGE_LENGTH: Final = 0.9
"""Levels of luma between two neighbors, all in one direction, and the share of a tile's extent along which they must
stand to be a seam: an edge that goes from one side of the tile to the other."""

_PARTS: Final = 24
_STRAIGHT: Final = 0.35
"""Parts of such an edge, and how far their places may be from one another: standard deviation, in pixels of the source.
The edge of a box is straight, 0 to 0.3; what was filmed, such as a post or a door frame, hardly ever is: 0.45 and
more."""

_STANDS: Final = 1.0
"""Pixels of the source by which an edge may be elsewhere a quarter of a second before or after."""

_CELL: Final = 320

Seam = tuple[int, float]
"""Whether an edge is upright (0) or level (1), and where: pixels of the source."""


@dataclass
class Looks:
    """What was found in the sampled frames of a clip.

    Attributes:
        frames: their numbers.
        found: faces in the source, named by the tracks where they tell of the same face.
        empty: times of tiles without a face although their person's face is found in the source.
        bars: times of tiles with a black bar along an edge.
        seams: times of tiles with a straight edge from one side to the other; see `standing`.
        eyes: for each sample with a split in which both faces are found: height of A's and of B's eyes in their tiles,
            from the top, as shares, and the heights of their faces.
        cells: an image of each sample, with its time and scene.
    """

    frames: list[int] = field(default_factory=list)
    found: list[tuple[int, NDArray[np.float64], str]] = field(default_factory=list)
    empty: list[float] = field(default_factory=list)
    bars: list[float] = field(default_factory=list)
    seams: list[float] = field(default_factory=list)
    eyes: list[tuple[float, float, float, float]] = field(default_factory=list)
    cells: list[tuple[float, Image]] = field(default_factory=list)

    @property
    def faces(self) -> Faces:
        """The faces of the source."""
        frames = np.array([frame for frame, _, _ in self.found], np.intp)
        boxes = np.array([box for _, box, _ in self.found], np.float64).reshape(-1, 4)
        return Faces(frames, boxes, np.array([person for *_, person in self.found], np.str_))


def look(video: VideoInfo, plan: TilePlan, tracks: FaceTracks) -> Looks:
    """Compose and look at some frames of a clip."""
    detector = FaceDetector()
    compositor = Compositor(plan.layout, video.width, video.height)
    boxes = {person: tracks.boxes(person) for person in tracks.people}
    scenes = np.repeat(np.arange(len(plan.scenes)), [len(scene) for scene in plan.scenes])
    looks = Looks()
    edges: list[list[Seam]] = []
    for frame in sampled(video):
        edges.append([])
        number = frame.index
        looks.frames.append(number)
        source = _detected(detector, frame.bgr(_SOURCE_WIDTH), frame.width)
        known = {person: box[number] for person, box in boxes.items() if not np.isnan(box[number, 0])}
        names = [next((p for p, box in known.items() if _iou(found, box) >= _OVERLAP), "") for found in source.boxes]
        looks.found += [(number, box.astype(np.float64), name) for box, name in zip(source.boxes, names, strict=True)]
        planes = compositor.compose(frame, plan.frame(number))
        canvas = replace(frame, planes=planes)
        seen: dict[str, tuple[float, float]] = {}
        shown = zip(plan.tiles[number], plan.subjects[number].tolist(), plan.crop_windows[number], strict=True)
        for tile, subject, window in shown:
            if tile[2] == 0 or subject == Subject.FRAME:
                continue
            x, y, width, height = tile.tolist()
            luma = planes[0][y : y + height, x : x + width]
            if has_bar(luma):
                looks.bars.append(frame.time)
            edges[-1] += seams(luma, window)
            faces = _detected(detector, _tile_image(canvas, x, y, width, height), width)
            if subject in names and not len(faces):
                looks.empty.append(frame.time)
            if subject in names and len(faces):
                largest = int(np.argmax(faces.boxes[:, 3]))
                eyes = float(faces.landmarks[largest, :2, 1].mean()) / height
                seen[subject] = eyes, float(faces.boxes[largest, 3]) / height
        if set(seen) == set(Person):
            looks.eyes.append((seen["A"][0], seen["B"][0], seen["A"][1], seen["B"][1]))
        looks.cells.append((frame.time, _cell(canvas, plan, int(scenes[number]))))
    looks.seams += [looks.cells[sample][0] for sample in standing(edges)]
    return looks


def sampled(video: VideoInfo) -> Iterator[Frame]:
    """Every frame that is the first in its quarter of a second."""
    last = -1
    with VideoReader(video, threads=1) as reader:
        for frame in reader:
            if (now := int(frame.time * RATE)) > last:
                last = now
                yield frame


def has_bar(luma: Image) -> bool:
    """Whether one edge of a tile is black along its whole length, and what is next to it is not."""
    for image in (luma, luma[::-1], luma.T, luma.T[::-1]):
        rows = np.percentile(image[: image.shape[0] // 3 : 2, ::4], 98, axis=1)
        lit = np.flatnonzero(rows > _BLACK)
        if len(lit) and 2 * lit[0] >= max(2.0, _BAR * image.shape[0]) and rows[lit[0] :].mean() > _BLACK + 16:
            return True
    return False


def seams(luma: Image, window: NDArray[np.floating]) -> list[Seam]:
    """The straight edges, upright or level, that go through a tile from one side to the other.

    Args:
        luma: the tile.
        window: center x, center y, width and height of what it shows, in pixels of the source.
    """
    scale = luma.shape[1] / float(window[2])
    small = cv2.resize(luma, (luma.shape[1] // 3, luma.shape[0] // 3), interpolation=cv2.INTER_AREA).astype(np.float32)
    found = []
    for axis, (image, whole) in enumerate(((small, luma), (small.T, luma.T))):
        steps = image[:, 2:] - image[:, :-2]
        for sign in (1, -1):
            along = (sign * steps > _EDGE).mean(axis=0)
            for at in np.flatnonzero(along >= _EDGE_LENGTH):
                place = _straight(sign * whole.astype(np.float32), 3 * int(at), scale)
                if place is not None:
                    found.append((axis, float(window[axis] - window[axis + 2] / 2) + place / scale))
    return found


def _straight(image: NDArray[np.float32], at: int, scale: float) -> float | None:
    """Where the edge that rises from a column to some columns further on is, if straight to the pixel of the source."""
    beside = round(3 * scale)
    left = max(0, at - beside)
    rises = np.diff(image[:, left : at + 9 + beside], axis=1).argmax(axis=1)
    places = [float(np.median(part)) for part in np.array_split(rises, _PARTS)]
    return left + float(np.mean(places)) if float(np.std(places)) <= _STRAIGHT * scale else None


def standing(edges: Sequence[Sequence[Seam]]) -> list[int]:
    """The samples with a seam: an edge that is at the same place of the source in the sample before or after.

    What is put together of several pictures stands still, or stays for a moment where it comes; a post of the room
    that meets a row of pixels once, while the camera or the light moves, is none.
    """
    return [
        number
        for number, own in enumerate(edges)
        if any(
            axis == other_axis and abs(place - other) <= _STANDS
            for axis, place in own
            for near in (number - 1, number + 1)
            if 0 <= near < len(edges)
            for other_axis, other in edges[near]
        )
    ]


def sheet(looks: Looks, count: int = 40) -> bytes:
    """A contact sheet (JPEG) of so many samples, evenly spread."""
    chosen = np.unique(np.linspace(0, len(looks.cells) - 1, count).round().astype(int))
    cells = [looks.cells[index][1] for index in chosen]
    cells += [np.zeros_like(cells[0])] * (-len(cells) % 5)
    rows = [np.hstack(cells[first : first + 5]) for first in range(0, len(cells), 5)]
    return cv2.imencode(".jpg", np.vstack(rows), (cv2.IMWRITE_JPEG_QUALITY, 80))[1].tobytes()


def _detected(detector: FaceDetector, image: Image, width: int) -> Detections:
    """The faces of an image, in pixels of one that is `width` pixels wide."""
    factor = width / image.shape[1]
    return detector.detect(image[None], score_threshold=_SCORE)[0].scaled(factor, factor)


def _tile_image(canvas: Frame, x: int, y: int, width: int, height: int) -> Image:
    image = canvas.bgr()[y : y + height, x : x + width]
    scale = min(1.0, _TILE_SIDE / max(width, height))
    size = (round(scale * width), round(scale * height))
    return np.asarray(cv2.resize(image, size, interpolation=cv2.INTER_AREA), np.uint8)


def _cell(canvas: Frame, plan: TilePlan, scene: int) -> Image:
    image = canvas.bgr(_CELL).copy()
    what = plan.scenes[scene]
    text = f"{canvas.time:.2f} {what.kind} {' '.join(what.cast)}"
    for color, thickness in (((0, 0, 0), 3), ((255, 255, 255), 1)):
        cv2.putText(image, text, (4, 14), cv2.FONT_HERSHEY_SIMPLEX, 0.45, color, thickness, cv2.LINE_AA)
    return image


def _iou(first: NDArray[np.floating], second: NDArray[np.floating]) -> float:
    low = np.maximum(first[:2], second[:2])
    high = np.minimum(first[:2] + first[2:], second[:2] + second[2:])
    common = float(np.prod(np.maximum(high - low, 0)))
    return common / float(np.prod(first[2:]) + np.prod(second[2:]) - common)
