"""Several decoders for one video give what one gives."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest

from dualface_core.engine.decoders import read_in_turn
from dualface_core.media.spans import Span

PARTS = [Span(first, first + 7, first, first + 7) for first in range(0, 70, 7)]


def numbers(part: Span) -> Iterator[int]:
    yield from range(part.first, part.stop)


@pytest.mark.parametrize("decoders", [1, 2, 3])
@pytest.mark.parametrize("ahead", [1, 4, 100])
def test_frames_come_in_order_whatever_the_number_of_decoders(decoders: int, ahead: int) -> None:
    assert list(read_in_turn(PARTS, numbers, decoders=decoders, ahead=ahead)) == list(range(70))


def test_a_decoder_is_ahead_by_so_many_frames_and_no_more() -> None:
    begun: list[int] = []

    def noted(part: Span) -> Iterator[int]:
        for number in numbers(part):
            begun.append(number)
            yield number

    frames = read_in_turn(PARTS, noted, decoders=2, ahead=3)
    for taken in range(20):
        assert next(frames) == taken
        assert len(begun) <= taken + 1 + 2 * (3 + 2)  # a frame each on its way into the queue, and the end of a span
    frames.close()


def test_what_a_decoder_raises_comes_where_its_frame_would_be_and_no_thread_is_left() -> None:
    def broken(part: Span) -> Iterator[int]:
        for number in numbers(part):
            if number == 10:
                raise ValueError("broken")
            yield number

    before = threading.active_count()
    taken: list[int] = []
    with pytest.raises(ValueError, match="broken"):
        taken.extend(read_in_turn(PARTS, broken, decoders=2, ahead=2))
    assert taken == list(range(10))
    assert threading.active_count() == before
