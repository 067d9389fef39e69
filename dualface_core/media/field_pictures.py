"""Field pictures of H.264: frames whose two fields are coded as pictures of their own, each in a packet.

Belongs here: telling which packets are two fields of one frame, by the headers of their slices (ITU-T H.264, 7.3), as
decoders do. A container that keeps both fields in one packet needs none of it, nor does any other codec: FFmpeg gives
their frames as one packet.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from av.stream import Stream

if TYPE_CHECKING:  # PyAV's packets are generic in its type stubs only
    from av.packet import Packet

    AnyPacket = Packet[Any]

_SLICES: Final = {1, 2, 5}
_SEQUENCE: Final = 7
_PICTURE: Final = 8
"""Types of NAL units: slices (or the first part of one), and the two parameter sets that say how to read them."""

_CHROMA_444: Final = 3
"""Chroma format whose planes may be coded apart."""

_SET_BYTES: Final = 512
_SLICE_BYTES: Final = 32
"""So much of a NAL unit is looked at: more than a parameter set takes, with every scaling list there is, or what of the
header of a slice is read."""

_WITH_CHROMA_FORMAT: Final = {100, 110, 122, 244, 44, 83, 86, 118, 128, 138, 139, 134, 135}
"""Profiles whose parameter sets name the chroma format and scaling lists."""


class _Bits:
    """Reads a NAL unit bit by bit; behind its end there is nothing but zeros."""

    def __init__(self, unit: bytes) -> None:
        self.kind = unit[0] & 31 if unit else 0
        content = unit[1 : _SLICE_BYTES if self.kind in _SLICES else _SET_BYTES].replace(b"\0\0\3", b"\0\0")
        self._bits = f"{int.from_bytes(content):0{8 * len(content)}b}"
        self._place = 0

    def number(self, bits: int) -> int:
        """An unsigned number of so many bits."""
        self._place += bits
        return int(self._bits[self._place - bits : self._place] or "0", 2)

    def golomb(self) -> int:
        """An unsigned number in Exp-Golomb code."""
        zeros = max(0, self._bits.find("1", self._place) - self._place)
        return self.number(2 * zeros + 1) - 1

    def skip_golomb(self, count: int) -> None:
        """Go past numbers in Exp-Golomb code, signed or not."""
        for _ in range(count):
            self.golomb()


@dataclass(frozen=True)
class _Sequence:
    """What of a sequence parameter set the header of a slice is read by."""

    has_fields: bool
    number_bits: int
    separate_planes: bool


@dataclass(frozen=True)
class _Field:
    """A field picture: the number of its frame, and which of its two fields it is."""

    frame: int
    bottom: bool


class _Headers:
    """Reads the headers of a stream's pictures, one packet after the other."""

    def __init__(self, extradata: bytes) -> None:
        self._length_bytes = 0
        self._sequences: dict[int, _Sequence] = {}
        self._pictures: dict[int, int] = {}
        self._has_fields = False
        """Whether there was a sequence that may have some; in others, each slice is one of a frame."""
        if extradata[:1] == b"\1":  # as MP4 and Matroska have it: ISO/IEC 14496-15, 5.3.3.1
            self._length_bytes = 1 + (extradata[4] & 3 if len(extradata) > 4 else 3)
            sequences = extradata[6:]
            pictures = self._take_sets(sequences, extradata[5] & 31 if len(extradata) > 5 else 0)
            self._take_sets(pictures[1:], pictures[0] if pictures else 0)
        else:
            self.field(extradata)

    def field(self, packet: bytes) -> _Field | None:
        """The field that a packet holds; None if it holds a frame or both fields, or has no slice."""
        first: _Field | None = None
        for unit in self._units(packet):
            if not self._has_fields and unit and unit[0] & 31 in _SLICES:
                return None
            bits = _Bits(unit)
            self._take_set(bits)
            if bits.kind in _SLICES:
                found = self._slice(bits)
                if found is None or (first is not None and found != first):
                    return None
                first = found
        return first

    def _units(self, packet: bytes) -> Iterator[bytes]:
        if not self._length_bytes:
            yield from packet.split(b"\0\0\1")[1:]
            return
        place = 0
        while place < len(packet):
            begin = place + self._length_bytes
            place = begin + int.from_bytes(packet[place:begin])
            yield packet[begin : min(place, begin + _SET_BYTES)]

    def _take_sets(self, sets: bytes, count: int) -> bytes:
        """Take parameter sets, each behind its length. Returns what follows them."""
        for _ in range(count):
            end = 2 + int.from_bytes(sets[:2])
            self._take_set(_Bits(sets[2:end]))
            sets = sets[end:]
        return sets

    def _take_set(self, bits: _Bits) -> None:
        if bits.kind == _SEQUENCE:
            profile = bits.number(24) >> 16
            name = bits.golomb()
            self._sequences[name] = _sequence(bits, profile)
            self._has_fields = self._has_fields or self._sequences[name].has_fields
        elif bits.kind == _PICTURE:
            name = bits.golomb()
            self._pictures[name] = bits.golomb()

    def _slice(self, bits: _Bits) -> _Field | None:
        bits.skip_golomb(2)
        sequence = self._sequences.get(self._pictures.get(bits.golomb(), -1))
        if sequence is None or not sequence.has_fields:
            return None
        bits.number(2 * sequence.separate_planes)
        frame, is_field, bottom = bits.number(sequence.number_bits), bits.number(1), bits.number(1)
        return _Field(frame, bool(bottom)) if is_field else None


def _sequence(bits: _Bits, profile: int) -> _Sequence:
    """The rest of a sequence parameter set, behind its name."""
    separate = False
    if profile in _WITH_CHROMA_FORMAT:
        chroma = bits.golomb()
        separate = chroma == _CHROMA_444 and bool(bits.number(1))
        bits.skip_golomb(2)
        bits.number(1)
        if bits.number(1):
            for size in [16] * 6 + [64] * (6 if chroma == _CHROMA_444 else 2):
                _skip_scaling_list(bits, size)
    number_bits = 4 + bits.golomb()
    order = bits.golomb()
    if order == 0:
        bits.golomb()
    elif order == 1:
        bits.number(1)
        bits.skip_golomb(2)
        bits.skip_golomb(min(255, bits.golomb()))
    bits.golomb()
    bits.number(1)
    bits.skip_golomb(2)
    return _Sequence(not bits.number(1), number_bits, separate)


def _skip_scaling_list(bits: _Bits, size: int) -> None:
    if not bits.number(1):
        return
    last = scale = 8
    for _ in range(size):
        if scale:
            code = bits.golomb()
            scale = (last + (code + 1) // 2 * (1 if code % 2 else -1)) % 256
            last = scale or last


def paired(packets: Iterable[AnyPacket]) -> Iterator[tuple[AnyPacket, bool]]:
    """Packets, each with whether it is the second field of the frame whose first came before it.

    The first of such two lasts as long as both; the second has no time of its own. Raises what the packets raise.
    """
    headers: dict[int, _Headers | None] = {}
    waiting: dict[int, tuple[AnyPacket, _Field]] = {}
    for packet in packets:
        index = packet.stream.index
        if index not in headers:
            headers[index] = _headers(packet.stream)
        reader = headers[index]
        field = reader.field(bytes(packet)) if reader is not None else None
        first, before = waiting.pop(index, (None, None))
        is_second = field is not None and before == _Field(field.frame, not field.bottom)
        if first is not None:
            if is_second:
                first.duration = (first.duration or 0) + (packet.duration or 0)
                packet.pts = packet.dts = None
            yield first, False
        if field is not None and not is_second:
            waiting[index] = packet, field
        else:
            yield packet, is_second
    for first, _ in waiting.values():
        yield first, False


def _headers(stream: Stream) -> _Headers | None:
    context = getattr(stream, "codec_context", None)  # None where there is no decoder
    return _Headers(context.extradata or b"") if context is not None and context.name == "h264" else None
