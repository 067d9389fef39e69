"""OnnxGraph: a network as an ONNX file in memory, which is what ONNX Runtime takes.

Belongs here: the few messages of that format that a convolutional network needs, in the encoding of protocol buffers.
Which network it is, is for others to say. Why no library writes them: docs/decisions/0003.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

_IR_VERSION: Final = 8
_OPERATORS: Final = 9
"""Version of the set of operators: the last one in which a map is enlarged by `Upsample`, which has no options."""

_FLOAT: Final = 1
_INT: Final = 2
_INTS: Final = 7
"""Numbers of types: of a tensor's values, and of an attribute."""


class OnnxGraph:
    """A graph of operators that grows; values go by their names. What operators do: https://onnx.ai/onnx/operators."""

    def __init__(self) -> None:
        self._nodes: list[bytes] = []
        self._constants: list[bytes] = []

    def add(self, operator: str, *inputs: str, **attributes: int | Sequence[int]) -> str:
        """Let an operator work on values. Gives the name of what comes out."""
        name = f"value {len(self._nodes)}"
        told = [_attribute(key, value) for key, value in attributes.items()]
        texts = [*((1, given) for given in inputs), (2, name), (4, operator)]
        self._nodes.append(_message(*texts, *((5, each) for each in told)))
        return name

    def constant(self, values: NDArray[np.float32]) -> str:
        """Take an array. Gives the name of its value."""
        name = f"constant {len(self._constants)}"
        sides = ((1, side) for side in values.shape)
        self._constants.append(_message(*sides, (2, _FLOAT), (8, name), (9, values.astype("<f4").tobytes())))
        return name

    def file(self, taken: str, sides: Iterable[int | str], given: Iterable[str]) -> bytes:
        """The whole graph.

        Args:
            taken: name of the float32 array that it is run with.
            sides: of that array; a word for one that may be any.
            given: names of the values that come out of a run.
        """
        shape = _message(*((1, _message((1 if isinstance(side, int) else 2, side))) for side in sides))
        image = _message((1, taken), (2, _message((1, _message((1, _FLOAT), (2, shape))))))
        graph = _message(
            *((1, node) for node in self._nodes),
            (2, "graph"),
            *((5, constant) for constant in self._constants),
            (11, image),
            *((12, _message((1, name))) for name in given),
        )
        return _message((1, _IR_VERSION), (7, graph), (8, _message((2, _OPERATORS))))


def _attribute(name: str, value: int | Sequence[int]) -> bytes:
    if isinstance(value, int):
        return _message((1, name), (3, value), (20, _INT))
    return _message((1, name), *((8, each) for each in value), (20, _INTS))


def _message(*fields: tuple[int, int | str | bytes]) -> bytes:
    """A message of protocol buffers: the number of each field, and a number, a text, bytes or another message."""
    return b"".join(_field(number, value) for number, value in fields)


def _field(number: int, value: int | str | bytes) -> bytes:
    if isinstance(value, int):
        return _varint(number << 3) + _varint(value)
    data = value.encode() if isinstance(value, str) else value
    return _varint(number << 3 | 2) + _varint(len(data)) + data


def _varint(value: int) -> bytes:
    low = value & 127
    return bytes([low]) if value == low else bytes([low | 128]) + _varint(value >> 7)
