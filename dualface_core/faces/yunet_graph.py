"""YuNet as an ONNX graph of our own, with the weights of its file.

Belongs here: how the layers that `yunet_network` tells of follow one another. The file's own graph takes images of one
size only, has constants that ONNX Runtime refuses, and 24 convolutions at its end that are 6 here, which takes an
eighth less time.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import Final

import numpy as np

from dualface_core.faces.onnx_graph import OnnxGraph
from dualface_core.faces.yunet_network import STAGES, STRIDES, Convolution, layers_of

IMAGE: Final = "image"
"""What the graph calls its input: (1, 3, H, W) float32 BGR, 0..255."""


def yunet_file(convolutions: Sequence[Convolution]) -> bytes:
    """The network as an ONNX file, which gives (1, `MAPS`, H / s, W / s) float32 for each stride s.

    Raises ValueError if the convolutions are not those of this network.
    """
    return _Writer(layers_of(convolutions)).file()


class _Writer:
    def __init__(self, layers: Sequence[Convolution]) -> None:
        self._graph = OnnxGraph()
        self._layers: Iterator[Convolution] = iter(layers)
        self._twice = self._graph.constant(np.array([1, 1, 2, 2], np.float32))

    def file(self) -> bytes:
        """All of it."""
        maps = self._graph.add("Relu", self._convolved(IMAGE, stride=2))
        levels = []
        for number, stage in enumerate(STAGES[: 2 + len(STRIDES)]):
            maps = self._halved(maps) if number > 2 else maps
            for _ in pairwise(stage):
                maps = self._separable(maps)
            maps = self._halved(maps) if number < 2 else maps
            levels.append(maps)
        finer: list[str] = []
        for maps in reversed(levels[2:]):
            finer.append(self._separable(self._joined(maps, finer[-1]) if finer else maps))
        heads = [self._convolved(self._convolved(maps)) for maps in reversed(finer)]
        return self._graph.file(IMAGE, (1, 3, "height", "width"), heads)

    def _separable(self, maps: str) -> str:
        return self._graph.add("Relu", self._convolved(self._convolved(maps)))

    def _convolved(self, maps: str, stride: int = 1) -> str:
        weight, bias = next(self._layers)
        groups = len(weight) if weight.shape[1] == 1 else 1
        values = (self._graph.constant(each) for each in (weight, bias.reshape(-1)))
        around = [weight.shape[2] // 2] * 4
        return self._graph.add("Conv", maps, *values, group=groups, pads=around, strides=[stride] * 2)

    def _halved(self, maps: str) -> str:
        return self._graph.add("MaxPool", maps, kernel_shape=[2, 2], strides=[2, 2])

    def _joined(self, fine: str, coarse: str) -> str:
        """The sum of both, of which the second has half the size."""
        return self._graph.add("Add", fine, self._graph.add("Upsample", coarse, self._twice))
