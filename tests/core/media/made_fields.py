"""H.264 whose fields are pictures of their own, which no encoder at hand makes: each macroblock is plain samples.

Belongs here: the stream (ITU-T H.264, 7.3, I_PCM) and its packets. What such a video shows is the test's business.
"""

from __future__ import annotations

import io
import re
from collections.abc import Iterable, Iterator, Sequence
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from numpy.typing import NDArray

Picture = NDArray[np.uint8]

_BLOCK = 16
_PCM = "000011010"
_KEY_EVERY = 10


def _golomb(value: int) -> str:
    digits = f"{value + 1:b}"
    return "0" * (len(digits) - 1) + digits


def _bytes(bits: str) -> bytes:
    bits += "0" * (-len(bits) % 8)
    return int(bits, 2).to_bytes(len(bits) // 8)


def _unit(reference: int, kind: int, content: bytes) -> bytes:
    return b"\0\0\0\1" + bytes([reference << 5 | kind]) + re.sub(rb"\0\0(?=[\0-\3])", b"\0\0\3", content)


def parameter_sets(width: int, height: int, rate: int) -> bytes:
    """What says how the stream is to be read; its profile is Main, its frames are shown in the order of the stream."""
    columns, rows = -(-width // _BLOCK), -(-height // (2 * _BLOCK))
    cropped = [0, (columns * _BLOCK - width) // 2, 0, (rows * 2 * _BLOCK - height) // 4]
    order = _golomb(2) + _golomb(1) + "0"
    shape = _golomb(columns - 1) + _golomb(rows - 1) + "001" + "1" + "".join(map(_golomb, cropped))
    timing = "1" + f"{1:032b}" + f"{2 * rate:032b}" + "1"
    no_delay = "1" + "1" + "".join(map(_golomb, [0, 0, 16, 16, 0, 1]))
    vui = "1" + "0000" + timing + "000" + no_delay
    sequence = _golomb(0) * 2 + order + shape + vui + "1"
    picture = _golomb(0) * 2 + "00" + _golomb(0) * 3 + "000" + _golomb(0) * 3 + "100" + "1"
    return _unit(3, 7, bytes([77, 0, 40]) + _bytes(sequence)) + _unit(3, 8, _bytes(picture))


def _field(planes: tuple[Picture, Picture, Picture], number: int, *, bottom: bool) -> bytes:
    is_key = number % _KEY_EVERY == 0
    begins = is_key and not bottom
    header = _golomb(0) + _golomb(7) + _golomb(0) + f"{number % _KEY_EVERY:04b}" + "1" + str(int(bottom))
    header += _golomb(number // _KEY_EVERY % 2) + "00" if begins else "0"
    header += _golomb(0) + _golomb(1)
    content = [_bytes(header + _PCM)]
    y, u, v = planes
    for row in range(0, y.shape[0], _BLOCK):
        for column in range(0, y.shape[1], _BLOCK):
            content += [y[row : row + _BLOCK, column : column + _BLOCK].tobytes()]
            half = slice(row // 2, row // 2 + _BLOCK // 2), slice(column // 2, column // 2 + _BLOCK // 2)
            content += [u[half].tobytes(), v[half].tobytes(), _bytes(_PCM)]
    return _unit(3, 5 if begins else 1, b"".join(content[:-1]) + b"\x80")


def field_pictures(frames: Iterable[tuple[Picture, Picture, Picture]], rate: int) -> Iterator[tuple[bytes, bytes]]:
    """The two coded fields of each frame, the upper one first.

    Args:
        frames: Y, U and V (4:2:0) of frames of one even size.
        rate: frames per second.
    """
    for number, (y, u, v) in enumerate(frames):
        height, width = y.shape
        padded = [
            np.pad(plane, ((0, -height % (2 * block) // share), (0, -width % block // share)), mode="edge")
            for plane, block, share in ((y, _BLOCK, 1), (u, _BLOCK, 2), (v, _BLOCK, 2))
        ]
        top, bottom = (
            _field((padded[0][first::2], padded[1][first::2], padded[2][first::2]), number, bottom=bool(first))
            for first in (0, 1)
        )
        yield (parameter_sets(width, height, rate) if number % _KEY_EVERY == 0 else b"") + top, bottom


def write_field_pictures(
    path: Path, coded: Sequence[tuple[bytes, bytes]], *, rate: int, together: bool = False
) -> None:
    """Write coded fields into a container, each a packet with a time of its own, or both of a frame in one packet."""
    raw = io.BytesIO(b"".join(field for fields in coded for field in fields))
    with av.open(raw, format="h264") as described, av.open(str(path), "w") as container:
        stream = container.add_stream_from_template(described.streams.video[0])
        ticks = Fraction(1, 2 * rate)
        stream.time_base = ticks
        for number, fields in enumerate(coded):
            for place, content in enumerate([b"".join(fields)] if together else fields):
                packet = av.Packet(content)
                packet.stream, packet.time_base = stream, ticks
                packet.pts = packet.dts = 2 * number + place
                packet.duration = 1 + together
                packet.is_keyframe = number % _KEY_EVERY == 0 and place == 0
                container.mux(packet)
