"""SFace, the face embedder, in torch, for a card. The faces that it takes are cut out by `alignment`.

Belongs here: the network. It is a MobileNet of 27 convolutions, as OpenCV Zoo publishes it ("2021dec"; Zhong, Deng,
Hu, Zhao, Li and Wen, "SFace: Sigmoid-Constrained Hypersphere Loss for Robust Face Recognition", 2021). Batch
normalization is folded into its convolutions. Two faces of one person have a cosine of about 0.363 or more, by
OpenCV Zoo's measure.
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from dualface_core.faces.alignment import CROP
from dualface_core.faces.model import Convolution, Linear, OnnxModel
from dualface_core.faces.weights import SFACE, Layers

DIMENSIONS: Final = 128

_STRIDES: Final = (1, 2, 1, 2, 1, 2, 1, 1, 1, 1, 1, 2, 1)
"""Of the 13 separable blocks, of which each 3x3 convolution does the striding."""

_EPSILON, _LAST_EPSILON = np.float32(1e-3), np.float32(2e-5)
"""Of the batch normalizations after the convolutions, and of those around the last layer."""

_BATCH: Final = 8
"""Faces at once on a card, where shapes are fixed; a tracklet has up to six."""

_WIDTHS: Final = (64, 128, 128, 256, 256, 512, 512, 512, 512, 512, 512, 1024, 1024)


class _Block(nn.Sequential):
    """A convolution, with its batch normalization folded in, and a PReLU."""

    def __init__(self, inputs: int, outputs: int, size: int, *, stride: int = 1, groups: int = 1) -> None:
        convolution = Convolution(inputs, outputs, size, stride=stride, padding=size // 2, groups=groups)
        super().__init__(convolution, nn.PReLU(outputs))


class SFace(nn.Module):
    """The network: aligned faces to embeddings."""

    def __init__(self) -> None:
        super().__init__()
        blocks: list[nn.Module] = [_Block(3, 32, 3)]
        inputs = 32
        for stride, outputs in zip(_STRIDES, _WIDTHS, strict=True):
            blocks += [_Block(inputs, inputs, 3, stride=stride, groups=inputs), _Block(inputs, outputs, 1)]
            inputs = outputs
        self.blocks = nn.Sequential(*blocks)
        self.project = Linear(inputs * (CROP // 16) ** 2, DIMENSIONS)

    def forward(self, faces: Tensor) -> Tensor:
        """(N, 3, 112, 112) RGB, 0..255, to (N, 128), not normalized."""
        maps = self.blocks((faces - 127.5) / 128)
        embeddings: Tensor = self.project(maps.flatten(1))
        return embeddings

    def load(self, weights: Layers) -> None:
        """Take the weights of SFace. Raises ValueError or KeyError if its layers are not those of this network."""
        layers = weights["Convolution"]
        convolutions = [module for module in self.modules() if isinstance(module, nn.Conv2d)]
        if len(layers) != len(convolutions):
            raise ValueError(f"found {len(layers)} convolutions, not those of SFace")
        *normalizations, before, after = weights["BatchNorm"]
        for convolution, (kernel,), normalization in zip(convolutions, layers, normalizations, strict=True):
            scale, shift = _scale_and_shift(normalization, _EPSILON)
            _assign(convolution.weight, kernel * scale[:, None, None, None])
            _assign(convolution.bias, shift)
        activations = [module for module in self.modules() if isinstance(module, nn.PReLU)]
        for activation, (slope,) in zip(activations, weights["PReLU"], strict=True):
            _assign(activation.weight, slope.ravel())
        ((weight, bias),) = weights["Gemm"]
        # The last layer lies between two normalizations; the one before it acts on channels of 7x7 values each.
        maps = weight.shape[1] // len(before[0])
        scale_before, shift_before = (values.repeat(maps) for values in _scale_and_shift(before, _LAST_EPSILON))
        scale_after, shift_after = _scale_and_shift(after, _LAST_EPSILON)
        _assign(self.project.weight, weight * scale_before * scale_after[:, None])
        # Summed without BLAS: OpenBLAS's threads have been seen to wait for one another for ever in this product.
        moved = bias + (weight * shift_before).sum(axis=1)
        _assign(self.project.bias, moved * scale_after + shift_after)


def _scale_and_shift(
    layer: list[NDArray[np.float32]], epsilon: np.float32
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Batch normalization as y = scale * x + shift."""
    mean, variance, gamma, beta = (values.ravel().astype(np.float64) for values in layer)
    scale = gamma / np.sqrt(variance + epsilon)
    return scale, beta - mean * scale


def _assign(parameter: Tensor | None, values: NDArray[Any]) -> None:
    if parameter is None or values.shape != parameter.shape:
        raise ValueError(f"found a layer of an unexpected shape, {values.shape}")
    parameter.data.copy_(torch.from_numpy(values.copy()))


class TorchFaceEmbedder(OnnxModel[SFace]):
    """What `FaceEmbedder` is, on a card; without one it is slower."""

    FILE = SFACE
    NETWORK = SFace

    @torch.inference_mode()
    def embed(self, crops: NDArray[np.uint8]) -> NDArray[np.float32]:
        """(N, 112, 112, 3) uint8 BGR, aligned by `align_face`, to (N, 128) float32 of length 1."""
        if not len(crops):
            return np.zeros((0, DIMENSIONS), np.float32)
        pixels = torch.from_numpy(np.ascontiguousarray(crops))
        if self._device.type == "cuda":
            whole = functional.pad(pixels, (0, 0, 0, 0, 0, 0, 0, -len(pixels) % _BATCH))
            batches = (whole[first : first + _BATCH] for first in range(0, len(whole), _BATCH))
            embeddings = torch.cat([self._graphs(self._embeddings, batch) for batch in batches])[: len(pixels)]
        else:
            embeddings = self._embeddings(pixels)
        return np.asarray(embeddings.numpy(), np.float32)

    def _embeddings(self, crops: Tensor) -> Tensor:
        """(N, 112, 112, 3) uint8 BGR to (N, 128) float32."""
        maps = crops.flip(-1).permute(0, 3, 1, 2).to(self._dtype)
        return functional.normalize(self._network(maps).float())
