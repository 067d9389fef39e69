from __future__ import annotations

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from dualface_core.tracking.shots import LOOK, ShotDetector

SIZE = (320, 180)
"""Width and height of the pictures in these tests."""


def scenery(seed: int) -> NDArray[np.uint8]:
    """A picture with large and small shapes, wider and higher than `SIZE`."""
    rng = np.random.default_rng(seed)
    coarse = cv2.resize(rng.uniform(0, 255, (9, 16)).astype(np.float32), (640, 360), interpolation=cv2.INTER_CUBIC)
    fine = cv2.resize(rng.uniform(-40, 40, (45, 80)).astype(np.float32), (640, 360), interpolation=cv2.INTER_CUBIC)
    return np.clip(coarse + fine, 0, 255).astype(np.uint8)


def view(picture: NDArray[np.uint8], x: float = 0, y: float = 0) -> NDArray[np.uint8]:
    """The part of a picture that a camera at x, y shows."""
    return picture[round(y) : round(y) + SIZE[1], round(x) : round(x) + SIZE[0]]


def noisy(frames: list[NDArray[np.uint8]], seed: int = 0) -> list[NDArray[np.uint8]]:
    """The frames with the noise of a camera."""
    rng = np.random.default_rng(seed)
    return [np.clip(frame + rng.normal(0, 4, frame.shape), 0, 255).astype(np.uint8) for frame in frames]


def starts_of(frames: list[NDArray[np.uint8]]) -> list[int]:
    detector = ShotDetector()
    for frame in frames:
        detector.add(frame)
    detector.finish()
    assert detector.settled == len(frames)
    return detector.starts


@settings(deadline=None, max_examples=15)
@given(seed=st.integers(0, 1000), lengths=st.lists(st.integers(LOOK + 1, 25), min_size=1, max_size=4))
def test_every_cut_between_still_views_is_found_at_its_frame(seed: int, lengths: list[int]) -> None:
    frames = [view(scenery(1000 * seed + shot)) for shot, length in enumerate(lengths) for _ in range(length)]
    assert starts_of(noisy(frames, seed)) == np.cumsum([0, *lengths[:-1]]).tolist()


def test_a_cut_that_only_swaps_two_people_is_found() -> None:
    room, left, right = scenery(1), scenery(2)[:90, :60], scenery(3)[:90, :60]
    before, after = view(room).copy(), view(room).copy()
    before[60:150, 60:120], before[60:150, 200:260] = left, right
    after[60:150, 60:120], after[60:150, 200:260] = right, left
    assert starts_of(noisy([before] * 20 + [after] * 20)) == [0, 20]


@settings(deadline=None, max_examples=15)
@given(seed=st.integers(0, 1000), speed=st.floats(0, 12), repeats=st.integers(1, 3))
def test_a_moving_camera_does_not_cut(seed: int, speed: float, repeats: int) -> None:
    # The camera sets off and comes to rest, as cameras do; every picture is shown once, twice or three times.
    traveled = np.cumsum(speed * np.sin(np.linspace(0, np.pi, 36)))
    frames = [view(scenery(seed), min(x, 320)) for x in traveled for _ in range(repeats)]
    assert starts_of(noisy(frames, seed)) == [0]


@pytest.mark.parametrize("length", [1, 2, 3])
@pytest.mark.parametrize("strength", [60, 150, 255])
def test_a_flash_is_no_cut(length: int, strength: int) -> None:
    still = view(scenery(5))
    flash = cv2.add(still, np.full_like(still, strength))
    assert starts_of(noisy([still] * 15 + [flash] * length + [still] * 15)) == [0]


def test_lights_that_go_down_slowly_are_no_cut() -> None:
    still = view(scenery(6))
    frames = [(still * (1 - step / 30)).astype(np.uint8) for step in range(31)]
    assert starts_of(noisy(frames)) == [0]


def test_a_cut_right_after_a_black_picture_is_found_once() -> None:
    black = np.zeros((SIZE[1], SIZE[0]), np.uint8)
    assert starts_of([black] * 10 + [view(scenery(7))] * 10) == [0, 10]


def test_a_cut_is_suspected_as_soon_as_it_is_seen() -> None:
    detector = ShotDetector()
    suspected = [detector.add(frame) for frame in [view(scenery(8))] * 10 + [view(scenery(9))] * 3]
    assert [number for number, cut in enumerate(suspected) if cut] == [10]
    assert detector.starts == [0]
    assert detector.settled == 13 - LOOK


@pytest.mark.parametrize("shape", [(1, 1), (20, 30), (36, 64), (1920, 1080), (541, 959)])
def test_pictures_of_any_size_will_do(shape: tuple[int, int]) -> None:
    rng = np.random.default_rng(0)
    assert starts_of([rng.integers(0, 255, shape, np.uint8)] * 12) == [0]
