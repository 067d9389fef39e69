from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from dualface_core.tracking.heads import LONGEST, HeadFollower, HeadPath, gray_size, through_gap
from dualface_core.tracking.tracklets import Tracklet

RATE = 12
"""Frames per second."""

WIDTH, HEIGHT = 640, 360
FACE = 60


def textured(seed: int, height: int, width: int) -> NDArray[np.uint8]:
    noise = np.random.default_rng(seed).integers(0, 255, (height // 6 + 2, width // 6 + 2), np.uint8)
    return np.asarray(cv2.resize(noise, (width, height), interpolation=cv2.INTER_CUBIC), np.uint8)


WALL = textured(0, HEIGHT, WIDTH)
BACK = textured(1, 170, 120)
"""Somebody from behind: head and shoulders."""


def frame(*people: tuple[float, NDArray[np.uint8]]) -> NDArray[np.uint8]:
    """A gray frame of a wall with people before it, each with the left edge of their head and shoulders."""
    luma = WALL.copy()
    for x, sprite in people:
        shift = np.array([[1, 0, x], [0, 1, 120]], np.float64)
        size = (WIDTH, HEIGHT)
        mask = cv2.warpAffine(np.full(sprite.shape, 255, np.uint8), shift, size) > 127
        luma[mask] = cv2.warpAffine(sprite, shift, size)[mask]
    return small(luma)


def small(luma: NDArray[np.uint8]) -> NDArray[np.uint8]:
    return np.asarray(cv2.resize(luma, gray_size((WIDTH, HEIGHT)), interpolation=cv2.INTER_AREA), np.uint8)


def face_at(x: float) -> NDArray[np.float32]:
    """The box of the face of somebody whose left edge is at x."""
    return np.array([x + 30, 140, FACE, FACE], np.float32)


def tracklet(frames: Sequence[int], xs: Sequence[float], number: int = 0) -> Tracklet:
    made = Tracklet(number, 0)
    made.frames = list(frames)
    made.times = [index / RATE for index in frames]
    made.boxes = [face_at(x) for x in xs]
    return made


def followed(frames: Sequence[NDArray[np.uint8]], seen: Tracklet, *others: Tracklet) -> tuple[HeadPath, HeadPath]:
    """The way of a head before and after a tracklet, in one shot."""
    follower = HeadFollower((WIDTH, HEIGHT))
    for index, each in enumerate(frames):
        follower.add(index, index / RATE, each)
    follower.begin([*others, seen], 0)
    follower.end([seen])
    follower.settle(np.inf, [0])
    return follower.before(seen), follower.after(seen)


def places(path: HeadPath) -> NDArray[np.float64]:
    return path.boxes[:, 0] - 30


def test_somebody_who_turns_away_is_followed_on_and_back() -> None:
    xs = 200 + 3.0 * np.arange(37)
    frames = [frame((x, BACK)) for x in xs]
    before, after = followed(frames, tracklet([18], [xs[18]]))
    assert before.frames.tolist() == list(range(19))
    assert after.frames.tolist() == list(range(18, 37))
    assert places(before) == pytest.approx(xs[:19], abs=6)
    assert places(after) == pytest.approx(xs[18:], abs=6)
    assert after.boxes[:, 2:] == pytest.approx(FACE, abs=6)


def test_nobody_is_followed_for_longer_than_is_sure() -> None:
    frames = [frame((200, BACK))] * int((LONGEST + 2) * RATE)
    _, after = followed(frames, tracklet([0], [200]))
    assert after.frames[-1] == LONGEST * RATE


def test_who_leaves_the_frame_is_followed_no_further_than_its_edge() -> None:
    xs = 300 - 14.0 * np.arange(60)
    frames = [frame((x, BACK)) for x in xs]
    _, after = followed(frames, tracklet([0, 1], xs[:2]))
    assert np.all(after.boxes[:, 0] > -FACE / 2)
    assert after.frames[-1] < 30


def test_who_is_covered_is_not_followed_onto_the_one_in_front() -> None:
    # Somebody else, whose face is seen, moves in front of the head and on.
    other = textured(2, 170, 120)
    ways = 500 - 10.0 * np.arange(49)
    frames = [frame((200, BACK), (x, other)) for x in ways]
    seen = tracklet(range(49), ways, number=1)
    _, after = followed(frames, tracklet([0], [200]), seen)
    assert places(after) == pytest.approx(200, abs=6)
    assert ways[after.frames[-1]] > 200 + FACE / 2


def test_a_head_is_not_followed_into_another_picture() -> None:
    frames = [frame((200, BACK))] * 12 + [small(textured(index, HEIGHT, WIDTH)) for index in range(12, 20)]
    _, after = followed(frames, tracklet([0], [200]))
    assert after.frames[-1] == 11


def test_a_cut_ends_it_although_the_pictures_are_alike() -> None:
    follower = HeadFollower((WIDTH, HEIGHT))
    for index in range(24):
        follower.add(index, index / RATE, frame((200, BACK)))
    first, second = tracklet([3], [200]), tracklet([20], [200], number=1)
    second.shot = 1
    follower.begin([first], 0)
    follower.end([first])
    follower.settle(20 / RATE, [0, 12], frame=20)
    follower.begin([second], 12)
    assert follower.after(first).frames[-1] == 11
    assert follower.before(second).frames[0] == 12


def path(frames: Sequence[int], xs: Sequence[float]) -> HeadPath:
    return HeadPath(np.array(frames), np.array([[x, 0, 50, 50] for x in xs], np.float64))


def test_the_ways_from_both_sides_of_a_gap_become_one_where_they_meet() -> None:
    (whole,) = through_gap(path([10, 15, 20], [0, 5, 10]), path([16, 20, 30], [10, 14, 24]))
    assert whole.frames.tolist() == [10, 15, 16, 17, 18, 19, 20, 30]
    assert np.all(np.diff(whole.boxes[:, 0]) > 0)
    assert whole.boxes[[0, -1], 0].tolist() == [0, 24]


def test_ways_that_do_not_meet_stay_two() -> None:
    ways = path([10, 15], [0, 5]), path([20, 30], [10, 24])
    assert through_gap(*ways) == list(ways)


def test_ways_that_disagree_are_not_believed() -> None:
    assert through_gap(path([10, 20], [0, 0]), path([15, 30], [300, 300])) == []
