"""The large arrays of a task's result, in memory that the process which did it and the one that gets it share.

Belongs here: what of a result doesn't go through a pipe. The one idea: a file without a name (memfd_create(2)), which
the one writes, and the other reads when it unpickles the result. A pipe gives 64 kB at a time, and for each of these a
thread of the process that has many results to take waits for Python's lock. The file is gone when the next task begins,
or when the process ends that wrote it, however it does.

The arrays of a small result become memory of their own. Those of a large one are mapped: most of what is seen of a span
is never looked at, and need not be copied. Its memory is free when none of them is left.
"""

from __future__ import annotations

import os
import pickle
from collections.abc import Sequence
from itertools import accumulate
from mmap import MAP_PRIVATE, mmap
from pathlib import Path
from typing import Any, Final

_LARGE: Final = 1 << 14
"""Bytes from which on an array is shared."""

_MAPPED: Final = 4 << 20
"""Bytes of all arrays of a result from which on they are mapped. One that is kept for long keeps all of them."""

_ALIGNED: Final = 64
"""Bytes at whose multiples each array begins: a line of the processor's cache."""


class SharedResult:
    """A result on its way: whoever unpickles this gets the result itself, until this is closed."""

    def __init__(self, result: object) -> None:
        arrays: list[memoryview] = []

        def is_small(buffer: pickle.PickleBuffer) -> bool:
            """Whether the bytes of an array are pickled with the rest; if not, they are to be shared."""
            array = buffer.raw()
            if array.nbytes >= _LARGE:
                arrays.append(array)
            return array.nbytes < _LARGE

        self._pickled = pickle.dumps(result, protocol=5, buffer_callback=is_small)
        self._sizes = [array.nbytes for array in arrays]
        self._file: int | None = None
        if arrays:
            self._file = os.memfd_create("result")
            with open(self._file, "wb", closefd=False) as file:
                for array in arrays:
                    file.write(array)
                    file.write(bytes(-array.nbytes % _ALIGNED))

    def close(self) -> None:
        """Leave the memory to who has read it already. Safe to call again."""
        if self._file is not None:
            os.close(self._file)
            self._file = None

    def __reduce__(self) -> tuple[Any, ...]:
        if self._file is None:
            return pickle.loads, (self._pickled,)
        return _taken, (self._pickled, f"/proc/{os.getpid()}/fd/{self._file}", self._sizes)


def _taken(pickled: bytes, path: str, sizes: Sequence[int]) -> object:
    """The result. Raises EOFError where not all of its arrays are there."""
    begins = [0, *accumulate(size + -size % _ALIGNED for size in sizes)]
    with Path(path).open("rb", buffering=0) as file:
        there = os.fstat(file.fileno()).st_size
        if there != begins[-1]:
            raise EOFError(f"{there} bytes of a result are there, not {begins[-1]}")
        # Whoever writes into an array has a page of their own.
        every = memoryview(mmap(file.fileno(), there, flags=MAP_PRIVATE))
    arrays = [every[begin : begin + size] for begin, size in zip(begins, sizes, strict=False)]
    if there < _MAPPED:
        arrays = [memoryview(bytearray(array)) for array in arrays]
    return pickle.loads(pickled, buffers=arrays)  # noqa: S301  what one of our own processes made
