"""The large arrays of a task's result, in memory that the process which did it and the one that gets it share.

Belongs here: what of a result doesn't go through a pipe, and who has it how long. The one idea: a file without a name
(memfd_create(2)), which the one writes and the other maps when it unpickles the result. So no array is copied by the
process that has many results to take, and one that it never looks at costs it nothing. The memory is free when both
have ended or want it no more, however they end. One array keeps those of its whole result.
"""

from __future__ import annotations

import mmap
import os
import pickle
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

_LARGE: Final = 1 << 14
"""Bytes from which on an array is shared; of smaller ones, a copy costs less."""

_ALIGNED: Final = 64
"""Bytes of which the places of arrays are multiples."""


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
                for place, array in zip(_places(self._sizes), arrays, strict=True):
                    file.seek(place)
                    file.write(array)

    def close(self) -> None:
        """Leave the memory to those who have the result already. Safe to call again."""
        if self._file is not None:
            os.close(self._file)
            self._file = None

    def __reduce__(self) -> tuple[Any, ...]:
        if self._file is None:
            return pickle.loads, (self._pickled,)
        return _taken, (self._pickled, f"/proc/{os.getpid()}/fd/{self._file}", self._sizes)


def _taken(pickled: bytes, path: str, sizes: Sequence[int]) -> object:
    """The result, whose arrays are this process's own: what it writes into them nobody else sees."""
    with Path(path).open("rb") as file:
        memory = memoryview(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_COPY))
    arrays = [memory[place : place + size] for place, size in zip(_places(sizes), sizes, strict=True)]
    return pickle.loads(pickled, buffers=arrays)  # noqa: S301  what one of our own processes made


def _places(sizes: Sequence[int]) -> list[int]:
    """Where arrays of so many bytes begin, one after the other."""
    places, end = [], 0
    for size in sizes:
        places.append(end)
        end += -(-size // _ALIGNED) * _ALIGNED
    return places
