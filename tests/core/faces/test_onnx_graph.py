from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dualface_core.faces.onnx_graph import dequantize, parse_onnx
from dualface_core.faces.weights import SFACE, YUNET, read_weights


def test_weights_are_dequantized_while_reading() -> None:
    graph = read_weights(YUNET).graph
    layers = graph.layers("Conv")
    assert len(layers) == 53
    assert all(weight.dtype == np.float32 and weight.ndim == 4 for weight, _ in (layer.weights for layer in layers))
    assert sum(array.size for layer in layers for array in layer.weights) == 53_104


def test_operations_keep_the_attributes_that_are_numbers() -> None:
    graph = read_weights(SFACE).graph
    epsilons = {layer.attributes["epsilon"] for layer in graph.layers("BatchNormalization")}
    assert sorted(epsilons) == pytest.approx([2e-5, 1e-3])


@given(
    rows=st.integers(1, 4), columns=st.integers(1, 40), block_size=st.integers(1, 16), seed=st.integers(0, 2**32 - 1)
)
def test_every_value_is_dequantized_with_the_scale_of_its_block(
    rows: int, columns: int, block_size: int, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    blocks = -(-columns // block_size)
    values = rng.integers(-128, 128, (rows, columns), np.int8)
    zero_point = rng.integers(-128, 128, (rows, blocks), np.int8)
    scale = rng.random((rows, blocks), np.float32)
    result = dequantize(values, scale, zero_point, axis=1, block_size=block_size)
    for row in range(rows):
        for column in range(columns):
            block = column // block_size
            expected = (int(values[row, column]) - int(zero_point[row, block])) * scale[row, block]
            assert result[row, column] == pytest.approx(expected)


@settings(deadline=None)
@given(share=st.floats(0, 0.99))
def test_a_file_cut_short_is_refused(share: float) -> None:
    data = read_weights(YUNET).path.read_bytes()
    with pytest.raises(ValueError, match="not a readable ONNX file"):
        parse_onnx(data[: int(len(data) * share)])


@given(data=st.binary(max_size=200))
def test_bytes_that_are_no_model_are_refused(data: bytes) -> None:
    with pytest.raises(ValueError, match="not a readable ONNX file"):
        parse_onnx(b"\x0f" + data)
