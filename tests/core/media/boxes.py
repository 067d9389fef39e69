"""Bytes of containers, for files that no muxer would write."""

from __future__ import annotations

_FIELDS = {b"stsd": 8, b"hev1": 78}
"""Bytes of a box between its header and the boxes in it; none for most."""


def inserted_box(content: bytes, path: tuple[bytes, ...], box: bytes) -> bytes:
    """An MP4 whose index lies at its end, with a box put at the end of the one that `path` leads to."""
    start, end = 0, len(content)
    parents = []
    for kind in path:
        while content[start + 4 : start + 8] != kind:
            start += int.from_bytes(content[start : start + 4], "big")
        parents.append(start)
        end = start + int.from_bytes(content[start : start + 4], "big")
        start += 8 + _FIELDS.get(kind, 0)
    changed = bytearray(content[:end] + box + content[end:])
    for parent in parents:
        size = int.from_bytes(content[parent : parent + 4], "big") + len(box)
        changed[parent : parent + 4] = size.to_bytes(4, "big")
    return bytes(changed)


def replaced_text(content: bytes, identifier: str, text: bytes, elements: bytes) -> bytes:
    """A Matroska file in which other elements take the place of one that holds `text`."""
    old = element(identifier, text)
    assert content.count(old) == 1
    return content.replace(old, elements + element("ec", bytes(len(old) - len(elements) - 2)))


def element(identifier: str, content: bytes) -> bytes:
    """An EBML element of at most 126 bytes."""
    return bytes.fromhex(identifier) + bytes([0x80 | len(content)]) + content
