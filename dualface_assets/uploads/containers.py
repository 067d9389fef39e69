"""Whether a file's own container says that more of it is to come.

Belongs here: the marks of an end, read from a few bytes of a file that may be anything. A recorder that opens, appends
and closes leaves a file that no process has open, and that is not complete. Formats: ISO/IEC 14496-12 (MP4, MOV), RFC
9559 (Matroska, WebM), RIFF (AVI), and those that have no end that a few bytes could show: MPEG transport and program
streams, FLV and Ogg.
"""

from __future__ import annotations

from typing import BinaryIO, Final

_FIRST_BOXES: Final = frozenset({b"ftyp", b"moov", b"mdat", b"free", b"skip", b"wide"})
_EBML, _SEGMENT = b"\x1a\x45\xdf\xa3", b"\x18\x53\x80\x67"
_ENDLESS: Final = (b"FLV\x01", b"OggS", b"\x00\x00\x01\xba")
_TS_PACKETS: Final = ((0, 188), (4, 192))
"""Of a transport stream and of an M2TS, in bytes: where the first packet begins, and how far it is to the next."""
_HEAD: Final = 200
_MOST_BOXES: Final = 1_000


def is_unfinished(file: BinaryIO, size: int) -> bool:
    """Whether a file of `size` bytes lacks its container's end; False for any other kind of file."""
    head = file.read(_HEAD)
    if head[4:8] in _FIRST_BOXES:
        return _lacks_boxes(file, size)
    if head.startswith(_EBML):
        return _lacks_clusters(head, size)
    if head.startswith(b"RIFF"):
        return not 0 < int.from_bytes(head[4:8], "little") <= size - 8
    return head.startswith(_ENDLESS) or any(head[a : a + 1] == head[a + b : a + b + 1] == b"G" for a, b in _TS_PACKETS)


def _lacks_boxes(file: BinaryIO, size: int) -> bool:
    """Of MP4: whether the index is missing, the last box is cut short, or fragments have no index at their end."""
    kinds: set[bytes] = set()
    offset = 0
    for _ in range(_MOST_BOXES):
        if offset >= size:
            break
        file.seek(offset)
        header = file.read(16)
        length, kind = int.from_bytes(header[:4], "big"), header[4:8]
        if length == 1:
            length = int.from_bytes(header[8:16], "big")
        elif length == 0:  # to the end of the file
            length = size - offset
        kinds.add(kind)
        offset += max(length, 8)
    return offset > size or b"moov" not in kinds or (b"moof" in kinds and b"mfra" not in kinds)


def _lacks_clusters(head: bytes, size: int) -> bool:
    """Of Matroska: whether the segment's size is still unknown, or more than there is."""
    start = head.find(_SEGMENT)
    if start < 0 or start + 12 > len(head):
        return False
    start += len(_SEGMENT)
    width = 9 - head[start].bit_length()
    value = int.from_bytes(head[start : start + width], "big") & (1 << 7 * width) - 1
    return value == (1 << 7 * width) - 1 or start + width + value > size
