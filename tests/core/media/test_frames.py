from __future__ import annotations

import av
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from dualface_core.media.color import ColorInfo
from dualface_core.media.frames import Frame, Planes
from dualface_core.media.reader import planes_of

COLORS = np.array([(255, 255, 255), (0, 0, 0), (200, 40, 40), (40, 200, 40), (40, 40, 200), (128, 90, 60)], np.uint8)
RANGE_LIMITED, RANGE_FULL = 1, 2


def patches(size: int) -> NDArray[np.uint8]:
    """RGB: a column of six flat patches, each `size` pixels square."""
    return np.repeat(np.repeat(COLORS[:, None], size, 0), size, 1)


def coded(image: NDArray[np.uint8], *, matrix: str, color_range: str) -> Planes:
    """What swscale makes of RGB."""
    frame = av.VideoFrame.from_ndarray(image, format="rgb24")
    return planes_of(frame.reformat(format="yuv420p", dst_colorspace=matrix, dst_color_range=color_range))


def frame_of(planes: Planes, color: ColorInfo | None = None) -> Frame:
    return Frame(0, 0, 0.0, planes, color or ColorInfo())


def gradient(width: int, height: int) -> Frame:
    rows, columns = np.mgrid[:height, :width]
    half = ((height + 1) // 2, (width + 1) // 2)
    return frame_of(
        ((16 + 3 * columns + 2 * rows).astype(np.uint8), np.full(half, 128, np.uint8), np.full(half, 128, np.uint8))
    )


@pytest.mark.parametrize(("tag", "matrix"), [(1, "ITU709"), (6, "ITU601"), (7, "SMPTE240M"), (9, "BT2020")])
@pytest.mark.parametrize(("number", "color_range"), [(RANGE_LIMITED, "MPEG"), (RANGE_FULL, "JPEG")])
def test_colors_follow_the_tags(tag: int, matrix: str, number: int, color_range: str) -> None:
    planes = coded(patches(16), matrix=matrix, color_range=color_range)
    image = frame_of(planes, ColorInfo(range=number, matrix=tag)).bgr()
    centers = image[8::16, 8, ::-1]
    np.testing.assert_allclose(centers.astype(int), COLORS.astype(int), atol=3)


def test_a_picture_is_shrunk_to_the_width_asked_for_and_never_enlarged() -> None:
    frame = gradient(96, 54)
    assert frame.bgr(max_width=48).shape == (27, 48, 3)
    assert frame.bgr(max_width=960).shape == (54, 96, 3)
    assert frame.bgr().shape == (54, 96, 3)


def test_shrinking_averages() -> None:
    rng = np.random.default_rng(0)
    noise = rng.integers(0, 255, (64, 96), np.uint8)
    frame = frame_of((noise, *gradient(96, 64).planes[1:]))
    expected = noise.reshape(8, 8, 12, 8).mean(axis=(1, 3))
    np.testing.assert_allclose(frame.luma(12, 8), expected, atol=1.5)


@given(st.integers(2, 40), st.integers(2, 40), st.integers(1, 64))
def test_any_size_can_be_looked_at(width: int, height: int, max_width: int) -> None:
    frame = gradient(width, height)
    assert (frame.width, frame.height) == (width, height)
    assert frame.bgr().shape == (height, width, 3)
    assert frame.bgr(max_width).shape[1] == min(width, max_width)
    assert frame.luma(4, 3).shape == (3, 4)


def test_a_square_is_the_same_pixels_as_the_whole_picture() -> None:
    planes = coded(patches(16), matrix="ITU709", color_range="MPEG")
    frame = frame_of(planes, ColorInfo(matrix=1))
    square = frame.bgr_square(2, 16, 14, at_most=64)
    assert square.shape == (14, 14, 3)
    # Chroma is interpolated from other samples at the edges, so only the insides are alike.
    inside = (slice(2, 12), slice(2, 12))
    np.testing.assert_allclose(square[inside].astype(int), frame.bgr()[16:30, 2:16][inside].astype(int), atol=2)


@given(st.integers(-30, 60), st.integers(-30, 60), st.integers(1, 50))
def test_outside_the_frame_a_square_repeats_the_edge(x: int, y: int, half: int) -> None:
    x, y, side = 2 * (x // 2), 2 * (y // 2), 2 * half
    frame = gradient(32, 22)
    rows, columns = np.clip(np.arange(y, y + side), 0, 21), np.clip(np.arange(x, x + side), 0, 31)
    gray = np.full((half, half), 128, np.uint8)
    expected = frame_of((frame.planes[0][np.ix_(rows, columns)], gray, gray)).bgr()
    np.testing.assert_array_equal(frame.bgr_square(x, y, side, at_most=side), expected)


@given(st.integers(-30, 60), st.integers(1, 50), st.integers(1, 20))
def test_a_large_square_is_shrunk(x: int, half: int, at_most: int) -> None:
    shrunk = gradient(31, 21).bgr_square(2 * (x // 2), 0, 2 * half, at_most=at_most)
    assert shrunk.shape == (min(2 * half, at_most),) * 2 + (3,)


@pytest.mark.parametrize(("transfer", "expected"), [(1, False), (2, False), (14, False), (16, True), (18, True)])
def test_pq_and_hlg_are_hdr(transfer: int, expected: bool) -> None:
    assert ColorInfo(transfer=transfer).is_hdr is expected
