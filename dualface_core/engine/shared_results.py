"""The large arrays of a task's result, in memory that the process which did it and the one that gets it share.

Belongs here: what of a result doesn't go through a pipe. The one idea: a file without a name (memfd_create(2)), which
the one writes, and the other reads when it unpickles the result. A pipe gives 64 kB at a time, and for each of these a
thread of the process that has many results to take waits for Python's lock. Each array is memory of its own then, and
the file is gone when the next task begins, or when the process ends that wrote it, however it does.
"""

from __future__ import annotations

import os
import pickle
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

_LARGE: Final = 1 << 14
"""Bytes from which on an array is shared."""

_AT_ONCE: Final = 1000
"""Arrays that are read in one call of the kernel; it takes 1,024."""


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
                file.writelines(arrays)

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
    """The result. Raises EOFError where not all of its arrays can be read."""
    arrays = [bytearray(size) for size in sizes]
    with Path(path).open("rb", buffering=0) as file:
        parts = (arrays[first : first + _AT_ONCE] for first in range(0, len(arrays), _AT_ONCE))
        read = sum(os.readv(file.fileno(), part) for part in parts)
    if read != sum(sizes):
        raise EOFError(f"{read} bytes of a result are there, not {sum(sizes)}")
    return pickle.loads(pickled, buffers=arrays)  # noqa: S301  what one of our own processes made
