"""Reads the weights and the graph out of an ONNX file, as data, without the `onnx` package.

Belongs here: the protobuf wire format, as far as ONNX files of convolutional networks use it, and the folding of
block-quantized weights. What the graph means is its network's business (`yunet`, `sface`).

An ONNX file is one protobuf message. A message is a row of (field number, value) pairs, and a value is a varint, four
or eight bytes, or a run of bytes that may be a message itself. The field numbers below are those of `onnx.proto`.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

_DTYPES: Final[dict[int, np.dtype[Any]]] = {
    1: np.dtype("<f4"),
    3: np.dtype("i1"),
    6: np.dtype("<i4"),
    7: np.dtype("<i8"),
}
"""TensorProto.DataType to numpy, for the types that occur."""


@dataclass(frozen=True)
class Node:
    """One operation: its type, the names of its inputs and outputs, and its attributes that are numbers."""

    op_type: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    attributes: dict[str, float]


@dataclass(frozen=True)
class Layer:
    """The constant inputs of an operation (its weights), in order, and its attributes."""

    weights: tuple[NDArray[np.float32], ...]
    attributes: dict[str, float]


@dataclass(frozen=True)
class OnnxGraph:
    """The operations of a model in topological order, and its constant tensors by name.

    Operations on constants alone (dequantization and reshaping of weights) have been carried out already.
    """

    nodes: tuple[Node, ...]
    constants: dict[str, NDArray[Any]]

    def layers(self, op_type: str) -> list[Layer]:
        """The weights of every operation of a type, in the file's order."""
        return [
            Layer(tuple(self.constants[name] for name in node.inputs if name in self.constants), node.attributes)
            for node in self.nodes
            if node.op_type == op_type
        ]


def parse_onnx(data: bytes) -> OnnxGraph:
    """Read the bytes of an ONNX file. Raises ValueError if they are anything else."""
    nodes: list[Node] = []
    constants: dict[str, NDArray[Any]] = {}
    try:
        graph = dict(_fields(memoryview(data)))[7]
        for number, value in _fields(graph):
            if number == 1:
                nodes.append(_node(value))
            elif number == 5:
                name, tensor = _tensor(value)
                constants[name] = tensor
        remaining = tuple(node for node in nodes if not _folded(node, constants))
    except (AttributeError, LookupError, TypeError, ValueError, struct.error) as error:
        raise ValueError(f"not a readable ONNX file ({error!r})") from error
    return OnnxGraph(remaining, constants)


def dequantize(
    values: NDArray[np.int8], scale: NDArray[np.float32], zero_point: NDArray[np.int8], *, axis: int, block_size: int
) -> NDArray[np.float32]:
    """ONNX DequantizeLinear: along `axis`, every `block_size` values share a scale and a zero point."""
    size = values.shape[axis]
    wide_scale = np.repeat(scale, block_size, axis).take(range(size), axis)
    wide_zero = np.repeat(zero_point, block_size, axis).take(range(size), axis)
    return (values.astype(np.float32) - wide_zero) * wide_scale


def _folded(node: Node, constants: dict[str, NDArray[Any]]) -> bool:
    """Carry the operation out if it only prepares weights, and say whether it did."""
    if not all(name in constants for name in node.inputs):
        return False
    inputs = [constants[name] for name in node.inputs]
    match node.op_type:
        case "DequantizeLinear":
            axis, block_size = int(node.attributes["axis"]), int(node.attributes["block_size"])
            result = dequantize(*inputs, axis=axis, block_size=block_size)
        case "Reshape":
            result = inputs[0].reshape(inputs[1])
        case _:
            return False
    constants[node.outputs[0]] = result
    return True


def _fields(message: memoryview) -> Iterator[tuple[int, Any]]:
    """The (field number, value) pairs of a message; strings, packed numbers and messages come as views."""
    position = 0
    while position < len(message):
        key, position = _varint(message, position)
        match key & 7:
            case 0:
                value, position = _varint(message, position)
                yield key >> 3, value
            case 1:
                yield key >> 3, struct.unpack_from("<d", message, position)[0]
                position += 8
            case 2:
                size, position = _varint(message, position)
                if position + size > len(message):
                    raise ValueError("a field reaches beyond the end")
                yield key >> 3, message[position : position + size]
                position += size
            case 5:
                yield key >> 3, struct.unpack_from("<f", message, position)[0]
                position += 4
            case wire_type:
                raise ValueError(f"unknown wire type {wire_type}")


def _varint(data: memoryview, position: int) -> tuple[int, int]:
    """The number at `position`, seven bits a byte, lowest first, and the position after it."""
    value = shift = 0
    while True:
        byte = data[position]
        position += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return (value - (1 << 64) if value >> 63 else value), position
        shift += 7


def _integers(value: int | memoryview) -> list[int]:
    """A repeated integer field: one number, or several packed into bytes."""
    if isinstance(value, int):
        return [value]
    numbers = []
    position = 0
    while position < len(value):
        number, position = _varint(value, position)
        numbers.append(number)
    return numbers


def _node(message: memoryview) -> Node:
    op_type = ""
    inputs: list[str] = []
    outputs: list[str] = []
    attributes: dict[str, float] = {}
    for number, value in _fields(message):
        match number:
            case 1:
                inputs.append(_text(value))
            case 2:
                outputs.append(_text(value))
            case 4:
                op_type = _text(value)
            case 5:
                attribute = dict(_fields(value))
                if scalar := attribute.keys() & {2, 3}:
                    attributes[_text(attribute[1])] = attribute[scalar.pop()]
    return Node(op_type, tuple(inputs), tuple(outputs), attributes)


def _tensor(message: memoryview) -> tuple[str, NDArray[Any]]:
    name = ""
    shape: list[int] = []
    data_type = 0
    data = b""
    for number, value in _fields(message):
        match number:
            case 1:
                shape += _integers(value)
            case 2:
                data_type = value
            case 4:  # float_data: packed, or one number at a time
                data += struct.pack("<f", value) if isinstance(value, float) else value.tobytes()
            case 8:
                name = _text(value)
            case 9:  # raw_data
                data = value.tobytes()
    return name, np.frombuffer(data, _DTYPES[data_type]).reshape(shape)


def _text(value: memoryview) -> str:
    return value.tobytes().decode()
