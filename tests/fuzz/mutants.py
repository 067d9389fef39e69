"""Mutants: small files of many containers, each damaged in one way that its number decides.

Belongs here: what is done to the bytes. The same seed and number give the same mutant on every machine with the same
ffmpeg, which makes the seeds.
"""

from __future__ import annotations

import random
import re
from collections.abc import Callable
from typing import Final

SEEDS: Final = (
    *("h264.mp4", "fragments.mp4", "title.mov", "hevc.mp4", "av1.mp4", "two-languages.mp4", "7.1.mov", "chapters.mp4"),
    *("h264.mkv", "vp9.webm", "chapters.mkv", "h264.ts", "mpeg2.ts", "mpeg2.vob", "h264.flv", "mjpeg.avi", "mpeg4.avi"),
    *("wmv2.wmv", "theora.ogv", "palette.gif", "mpeg2.mxf", "h263.3gp"),
)
"""Recipes of the matrix."""

_ENDS: Final = 2048
_LENGTHS: Final = (0, 1, 7, 8, 0x7FFFFFFF, 0x80000000, 0xFFFFFFF0, 0xFFFFFFFF)
_TYPE: Final = re.compile(rb"[A-Za-z][A-Za-z0-9 ]{3}")


def mutant(content: bytes, seed: str, number: int) -> bytes:
    """A file that is damaged in one way."""
    chance = random.Random(f"{seed}/{number}")
    return _WAYS[number % len(_WAYS)](content, chance)


def _place(content: bytes, chance: random.Random) -> int:
    """Somewhere in a file, and every other time near one of its ends, where headers and indexes lie."""
    near = min(_ENDS, len(content))
    choices = (chance.randrange(len(content)), chance.randrange(near), len(content) - 1 - chance.randrange(near))
    return chance.choices(choices, weights=(2, 1, 1))[0]


def _flip(content: bytes, chance: random.Random) -> bytes:
    changed = bytearray(content)
    for _ in range(chance.choice((1, 3, 10, 100))):
        changed[_place(content, chance)] ^= chance.randrange(1, 256)
    return bytes(changed)


def _cut(content: bytes, chance: random.Random) -> bytes:
    return content[: _place(content, chance)]


def _cut_out(content: bytes, chance: random.Random) -> bytes:
    place = _place(content, chance)
    return content[:place] + content[place + chance.choice((1, 4, 188, 5000)) :]


def _insert(content: bytes, chance: random.Random) -> bytes:
    place = _place(content, chance)
    return content[:place] + chance.randbytes(chance.choice((1, 4, 188, 5000))) + content[place:]


def _swap(content: bytes, chance: random.Random) -> bytes:
    size = min(chance.choice((4, 64, 188, 4096)), len(content) // 4)
    first, second = sorted(chance.randrange(len(content) - size) for _ in range(2))
    second = max(second, first + size)
    blocks = content[first : first + size], content[second : second + size]
    return content[:first] + blocks[1] + content[first + size : second] + blocks[0] + content[second + size :]


def _resize(content: bytes, chance: random.Random) -> bytes:
    """Another length in front of a box's type (MP4) or behind a chunk's (RIFF), or anywhere where there are none."""
    types = [match.start() for match in _TYPE.finditer(content) if match.start() >= 4]
    near = [place for place in types if place < _ENDS or place > len(content) - _ENDS]
    place = chance.choice(near or types or [_place(content, chance)])
    length, order = chance.choice((*_LENGTHS, chance.getrandbits(32), chance.getrandbits(12))), "big"
    place -= 4
    if chance.random() < 0.3:
        place, order = place + 8, "little"
    return content[:place] + length.to_bytes(4, order) + content[place + 4 :]


_WAYS: Final[tuple[Callable[[bytes, random.Random], bytes], ...]] = (_flip, _cut, _cut_out, _insert, _swap, _resize)
