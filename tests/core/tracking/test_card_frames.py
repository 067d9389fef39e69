"""What a card makes of frames for tracking, on a processor; on a card, too, where there is one."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from dualface_core.media.color import SDR
from dualface_core.media.cuda_frames import NotOnCardError
from dualface_core.media.frames import Frame
from dualface_core.media.probe import VideoInfo
from dualface_core.tracking.card_frames import CardFrame, card_frames
from dualface_core.tracking.shots import make_thumbnail
from tests.core.compositing.emulated_card import AnyCard, EmulatedCard, without_marks
from tests.core.compositing.test_cuda import on_card, picture
from tests.core.rendering.still_scene import still_video


@pytest.fixture(scope="module")
def video(tmp_path_factory: pytest.TempPathFactory) -> VideoInfo:
    return replace(still_video(tmp_path_factory.mktemp("still") / "still.mp4", range(0, 80, 40)), color=SDR)


@pytest.fixture(scope="module", autouse=True)
def _marks(card: AnyCard) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        if isinstance(card, EmulatedCard):
            without_marks(patch)
        yield


def both(
    card: AnyCard, video: VideoInfo, size: tuple[int, int], *, seed: int = 0, deep: bool = False
) -> tuple[Frame, CardFrame]:
    """A frame of that size in memory of the host, and the same on a card."""
    planes = picture(*size, seed=seed)
    sized = replace(video, width=size[0], height=size[1])
    (theirs,) = card_frames(card, sized, [on_card(card, planes, deep=deep, pad=11)])  # type: ignore[arg-type]  # emulated
    return Frame(0, 0, 0.0, planes, SDR), theirs


side = st.integers(72, 420)
SLOW = [HealthCheck.function_scoped_fixture, HealthCheck.too_slow]


@settings(max_examples=15, deadline=None, suppress_health_check=SLOW)
@given(side, side, st.integers(0, 9), st.booleans())
@example(480, 288, 0, False)  # blocks of pixels that are halved first
@example(320, 180, 1, True)
@example(256, 144, 1, False)  # twice
@example(448, 72, 2, False)
def test_a_thumbnail_by_the_kernel_is_that_of_the_processor(
    card: AnyCard, video: VideoInfo, width: int, height: int, seed: int, deep: bool
) -> None:
    ours, theirs = both(card, video, (width, height), seed=seed, deep=deep)
    np.testing.assert_array_equal(theirs.thumbnail, make_thumbnail(ours.planes[0]))


@settings(max_examples=15, deadline=None, suppress_health_check=SLOW)
@given(side, side, st.integers(48, 500), st.booleans())
@example(320, 180, 160, False)
@example(402, 226, 90, True)
@example(413, 235, 45, False)  # of odd sides, halved twice
@example(240, 101, 60, False)  # of which half is averaged, since half of it again is too low
@example(239, 120, 120, False)
@example(76, 400, 640, False)  # as large as it is, but for its colors
def test_images_by_the_kernel_are_those_of_the_processor(
    card: AnyCard, video: VideoInfo, width: int, height: int, most: int, deep: bool
) -> None:
    ours, theirs = both(card, video, (width, height), deep=deep)
    size = most // 2, max(1, round(height * (most // 2) / width))
    images = [(ours.bgr, theirs.bgr, (most,)), (ours.luma, theirs.luma, size)]
    for one, other, asked in images:
        np.testing.assert_array_equal(other(*asked), one(*asked))


@settings(max_examples=15, deadline=None, suppress_health_check=SLOW)
@given(st.integers(-80, 160), st.integers(-80, 160), st.integers(1, 120), st.integers(16, 70))
@example(20, 10, 60, 50)
@example(-20, -8, 105, 50)  # over two edges; colors of an odd side that are halved
@example(-300, 400, 12, 64)  # beyond both
def test_squares_by_the_kernel_are_those_of_the_processor(
    card: AnyCard, video: VideoInfo, x: int, y: int, half: int, at_most: int
) -> None:
    ours, theirs = both(card, video, (320, 240))
    place = 2 * x, 2 * y, 2 * half
    np.testing.assert_array_equal(theirs.bgr_square(*place, at_most=at_most), ours.bgr_square(*place, at_most=at_most))


@pytest.mark.parametrize("size", [(63, 400), (400, 35), (49 * 64, 72)])
def test_frames_whose_thumbnails_only_opencv_makes_are_left_to_it(
    card: AnyCard, video: VideoInfo, size: tuple[int, int]
) -> None:
    with pytest.raises(NotOnCardError, match=f"of {size[0]}x{size[1]} are made by the processor"):
        both(card, video, size)


def test_an_image_that_is_shrunk_in_one_direction_alone_is_left_to_the_processor(
    card: AnyCard, video: VideoInfo
) -> None:
    with pytest.raises(NotOnCardError, match="320x240 is shrunk to 320x20 by the processor"):
        both(card, video, (320, 240))[1].luma(320, 20)
