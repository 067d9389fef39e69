from __future__ import annotations

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from dualface_core.tracking.overlays import Laid, OverlayFinder
from dualface_core.tracking.panes import Edges

Image = NDArray[np.uint8]

WIDTH, HEIGHT = 640, 360
BAR = (80, 250, 560, 300)


def room(time: float, seed: int = 0) -> Image:
    """A room with a shelf, in which somebody sways a little, with the noise of an encoder."""
    noise = np.random.default_rng([seed, round(10 * time)]).normal(0, 1.2, (HEIGHT, WIDTH))
    image = np.full((HEIGHT, WIDTH), 90.0)
    for edge in range(40, 600, 45):
        cv2.rectangle(image, (edge, 30), (edge + 20, 180), 90.0 + edge / 8, cv2.FILLED)
    middle = round(490 + 6 * np.sin(2 * time))
    cv2.ellipse(image, (middle, 330), (110, 150), 0, 0, 360, 40.0, cv2.FILLED)
    cv2.circle(image, (middle, 150), 50, 170.0, cv2.FILLED)
    return np.clip(image + noise, 0, 255).astype(np.uint8)


def with_bar(image: Image) -> Image:
    left, top, right, bottom = BAR
    return cv2.rectangle(image.copy(), (left, top), (right - 1, bottom - 1), 235, cv2.FILLED)


def with_words(image: Image, size: float = 0.8, outline: int = 9, stroke: int = 4) -> Image:
    image = image.copy()
    for thickness, luma in ((outline, 10), (stroke, 245)):
        cv2.putText(
            image, "SO WHO DID YOU CALL?", (20, 220), cv2.FONT_HERSHEY_SIMPLEX, size, luma, thickness, cv2.LINE_AA
        )
    return image


def watched(frames: list[Image]) -> list[Laid]:
    finder, across = OverlayFinder(), Edges((HEIGHT, WIDTH), in_columns=False)
    for number, image in enumerate(frames):
        finder.add(image, number / 3)
        across.add(image)
    return finder.found(across, np.sum(frames, axis=0, dtype=np.int32))


def test_a_title_bar_that_comes_and_stays_is_found_where_it_is() -> None:
    frames = [with_bar(room(n / 3)) if n >= 8 else room(n / 3) for n in range(20)]
    (found,) = watched(frames)
    assert found.bounds == pytest.approx(BAR, abs=4)
    assert found.begin == pytest.approx(7 / 3, abs=0.7)
    assert found.end is None


def test_a_caption_that_goes_again_was_there_from_the_beginning() -> None:
    frames = [with_words(room(n / 3)) if n < 10 else room(n / 3) for n in range(20)]
    (found,) = watched(frames)
    left, top, right, bottom = found.bounds
    assert (left, right) == pytest.approx((20, 295), abs=25)
    assert 185 <= top < bottom <= 235
    assert (found.begin, found.end) == (None, pytest.approx(10 / 3, abs=0.7))


def test_a_caption_that_fades_out_over_a_second_is_found() -> None:
    def faded(number: int) -> Image:
        share = float(np.clip((number - 8) / 4, 0, 1))
        plain = room(number / 3)
        return cv2.addWeighted(plain, share, with_words(plain), 1 - share, 0).astype(np.uint8)

    (found,) = watched([faded(number) for number in range(20)])
    assert found.begin is None
    assert found.end is not None
    assert 8 / 3 <= found.end <= 14 / 3


def test_letters_that_stand_from_the_first_frame_to_the_last_are_found_once() -> None:
    (found,) = watched([with_words(room(n / 3), 0.5, 4, 1) for n in range(20)])
    left, top, right, bottom = found.bounds
    assert (left, right) == pytest.approx((20, 190), abs=12)
    assert 200 <= top < bottom <= 228
    assert (found.begin, found.end) == (None, None)


def test_people_who_sway_come_and_go_are_not_laid_over_the_picture() -> None:
    without = np.full((HEIGHT, WIDTH), 90, np.uint8)
    assert watched([room(n / 3) for n in range(30)]) == []
    assert watched([room(0, n) if n >= 8 else without for n in range(20)]) == []
