from __future__ import annotations

import io
from fractions import Fraction

import av
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dualface_core.media.field_pictures import paired
from tests.core.media.made_fields import field_pictures, parameter_sets

GRAY = (np.full((32, 32), 90, np.uint8), np.full((16, 16), 128, np.uint8), np.full((16, 16), 128, np.uint8))


def template(content: bytes) -> av.container.InputContainer:
    return av.open(io.BytesIO(content), format="h264")


def pairs(contents: list[bytes], container: av.container.InputContainer) -> list[tuple[int | None, int | None, bool]]:
    """What becomes of packets a tick apart: time, duration, and whether they are a second field."""
    packets = []
    for time, content in enumerate(contents):
        packet = av.Packet(content)
        packet.stream, packet.time_base = container.streams.video[0], Fraction(1, 50)
        packet.pts = packet.dts = time
        packet.duration = 1
        packets.append(packet)
    return [(packet.pts, packet.duration, is_second) for packet, is_second in paired(packets)]


@pytest.fixture
def fields() -> list[bytes]:
    return [field for both in field_pictures([GRAY] * 12, 25) for field in both]


def test_the_second_field_has_no_time_and_the_first_lasts_as_long_as_both(fields: list[bytes]) -> None:
    with template(b"".join(fields)) as container:
        assert pairs(fields[:4], container) == [(0, 2, False), (None, 1, True), (2, 2, False), (None, 1, True)]


def test_a_packet_that_holds_both_fields_is_a_frame(fields: list[bytes]) -> None:
    with template(b"".join(fields)) as container:
        assert pairs([fields[0] + fields[1], fields[2] + fields[3]], container) == [(0, 1, False), (1, 1, False)]


def test_fields_of_different_frames_or_of_one_kind_are_no_pair(fields: list[bytes]) -> None:
    with template(b"".join(fields)) as container:
        lower_is_lost = pairs([fields[0], fields[2], fields[3]], container)
        upper_is_lost = pairs([fields[1], fields[2], fields[3]], container)
    assert lower_is_lost == upper_is_lost == [(0, 1, False), (1, 2, False), (None, 1, True)]


@given(st.binary(max_size=200), st.integers(0, 60), st.booleans())
def test_nothing_that_a_packet_holds_stops_the_reading(noise: bytes, place: int, known: bool) -> None:
    sets = parameter_sets(64, 64, 25)
    content = (sets[:place] + noise + sets[place:]) if known else noise
    with template(b"".join(field for both in field_pictures([GRAY], 25) for field in both)) as container:
        container.streams.video[0].codec_context.extradata = content
        assert len(pairs([content, noise, b"\0\0\1\x65" + noise, b"\0\0\1\x41" + noise], container)) == 4
