"""What becomes of memory that a process has freed.

Belongs here: the rule that keeps a process from giving to the kernel what it asks for again with the next frame. A
network allocates and frees some megabytes with each layer, and OpenCV with each image that it shrinks. glibc gives
memory back whenever two of its largest blocks are free, and the kernel then maps and clears each page again: that took
longer than the arithmetic of whole layers.
"""

from __future__ import annotations

import ctypes
from collections.abc import Mapping
from typing import Final

_TRIM_THRESHOLD: Final = -1
_MMAP_THRESHOLD: Final = -3
_ARENA_MAX: Final = -8
"""What `mallopt` calls its parameters."""

_KEPT: Final = 128 << 20
"""Bytes of free memory that a process keeps: images and maps of a few frames."""

_LARGEST: Final = 32 << 20
"""Bytes of the largest block that is not mapped by itself and given back when freed; glibc takes no more."""


def keep_freed_memory() -> None:
    """Let this process, and those forked from it, use memory again that was freed. Does nothing without glibc."""
    _mallopt({_TRIM_THRESHOLD: _KEPT, _MMAP_THRESHOLD: _LARGEST})


def use_one_heap() -> None:
    """Let the threads of this process share what each has freed: on its own, each would keep that to itself."""
    _mallopt({_ARENA_MAX: 1})


def give_freed_memory_back() -> None:
    """Give the kernel what this process keeps. Does nothing without glibc."""
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(0)


def _mallopt(values: Mapping[int, int]) -> None:
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        for parameter, value in values.items():
            mallopt(parameter, value)
