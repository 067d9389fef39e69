"""Where the tiles are on the canvas in every frame, and how they get from one place to another.

Belongs here: rectangles, in even pixels of the canvas. A tile moves within a shot only, and only where the one that
grows or shrinks shows the same person before and after: between a split and one person alone. It does so in the frames
of the split, so that the other scene is what it says from its first frame to its last. The other changes within a shot
are the business of `transitions`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import Final

import numpy as np
from numpy.typing import NDArray

from dualface_core.directing.parameters import Direction
from dualface_core.tables.face_tracks import FaceTracks, Shot
from dualface_core.tables.labels import SceneKind, Transition
from dualface_core.tables.layouts import Layout
from dualface_core.tables.scenes import Scene

Rectangles = NDArray[np.float64]
"""(..., 4) of left, top, right and bottom."""

NARROWEST: Final = 16
"""Pixels. A tile that has become narrower or lower is not drawn."""


def arrange(scenes: Sequence[Scene], layout: Layout, tracks: FaceTracks, direction: Direction) -> NDArray[np.int32]:
    """The place of every tile in every frame.

    Args:
        scenes: what is shown when; they cover every frame.
        layout: the canvas, and its tiles in a split.
        tracks: the shots and their active pictures, and the times of the frames.
        direction: how tiles change their places.

    Returns:
        (frames, slots, 4) of x, y, width and height, even, on the canvas; width and height are 0 where a tile is not
        drawn. Tiles overlap only where the layout's do.
    """
    tiles = np.zeros((tracks.frame_count, len(layout.tiles), 4), np.int32)
    for scene in scenes:
        if scene.kind is SceneKind.SPLIT:
            tiles[scene.frames] = [tile.rectangle for tile in layout.tiles]
        elif scene.kind is SceneKind.WHOLE:
            for shot in tracks.shots:
                part = slice(max(scene.first, shot.first), min(scene.last, shot.last) + 1)
                tiles[part, slot_of(scene, layout)] = _fitted(shot, layout, tracks.metadata.frame_size)
        else:
            tiles[scene.frames, slot_of(scene, layout)] = (0, 0, layout.width, layout.height)
    if direction.transition is Transition.EASED and not overlapping(layout):
        cuts = set(tracks.cuts.tolist())
        for before, after in pairwise(scenes):
            if after.first not in cuts:
                for frames, growth, alone in _moves(before, after, tracks.times, direction.transition_seconds):
                    tiles[frames] = _growing(layout, slot_of(alone, layout), growth)
    return tiles


def slot_of(scene: Scene, layout: Layout) -> int:
    """The tile that shows a scene of one: that of its person, or else the first."""
    subjects = [tile.subject for tile in layout.tiles]
    return subjects.index(scene.cast[0]) if scene.cast[0] in subjects else 0


def _fitted(shot: Shot, layout: Layout, frame_size: tuple[int, int]) -> tuple[int, int, int, int]:
    """The largest place of the picture's shape, in the middle of the canvas."""
    width, height = frame_size if shot.picture is None else shot.picture[2:]
    scale = min(layout.width / width, layout.height / height)
    wide, high = (
        max(2, min(2 * round(scale * size / 2), room))
        for size, room in ((width, layout.width), (height, layout.height))
    )
    return (layout.width - wide) // 4 * 2, (layout.height - high) // 4 * 2, wide, high


def _moves(
    before: Scene, after: Scene, times: NDArray[np.float64], seconds: float
) -> Iterator[tuple[slice, NDArray[np.float64], Scene]]:
    """Frames of a split in which a tile grows or shrinks, how far it has grown, and the scene of that tile alone."""
    border = times[after.first]
    if (before.kind, after.kind) == (SceneKind.SPLIT, SceneKind.SOLO):
        frames = np.arange(before.first, after.first)
        left = (border - times[frames]) / seconds
        moving = frames[left < 1]
        yield _span(moving), 1 - left[left < 1], after
    elif (before.kind, after.kind) == (SceneKind.SOLO, SceneKind.SPLIT):
        frames = np.arange(after.first, after.last + 1)
        since = (times[np.minimum(frames + 1, len(times) - 1)] - border) / seconds
        yield _span(frames[since < 1]), 1 - since[since < 1], before


def _span(frames: NDArray[np.intp]) -> slice:
    return slice(int(frames[0]), int(frames[-1]) + 1) if len(frames) else slice(0, 0)


def _growing(layout: Layout, slot: int, growth: NDArray[np.float64]) -> NDArray[np.int32]:
    """All tiles while one grows over the canvas and pushes the others out: (frames, slots, 4)."""
    rest = np.array([(tile.x, tile.y, tile.x + tile.width, tile.y + tile.height) for tile in layout.tiles], np.float64)
    eased = (1 - np.cos(np.pi * growth)) / 2
    canvas = np.array([0.0, 0.0, layout.width, layout.height])
    grown = rest[slot] + eased[:, None] * (canvas - rest[slot])
    grown = 2 * np.rint(grown / 2)
    places = np.repeat(rest[None], len(growth), axis=0)
    places[:, slot] = grown
    for other in range(len(rest)):
        if other != slot:
            side = _side(rest[slot], rest[other])
            near = (side + 2) % 4
            pushed = places[:, other, near] + grown[:, side] - rest[slot, side]
            places[:, other, near] = np.clip(pushed, 0, canvas[near % 2 + 2])
    sizes = places[..., 2:] - places[..., :2]
    sizes[(sizes < NARROWEST).any(axis=-1)] = 0
    return np.concatenate([places[..., :2], sizes], axis=-1).astype(np.int32)


def _side(one: Rectangles, other: Rectangles) -> int:
    """On which side of one rectangle another lies: the edge of the one that faces it (left, top, right, bottom)."""
    room = [one[0] - other[2], one[1] - other[3], other[0] - one[2], other[1] - one[3]]
    return int(np.argmax(room))


def overlapping(layout: Layout) -> bool:
    """Whether any tiles of a layout lie on one another."""
    places = [(tile.x, tile.y, tile.x + tile.width, tile.y + tile.height) for tile in layout.tiles]
    return any(
        left < other_right and right > other_left and top < other_bottom and bottom > other_top
        for index, (left, top, right, bottom) in enumerate(places)
        for other_left, other_top, other_right, other_bottom in places[index + 1 :]
    )
