"""YuNet, the face detector, in torch, for a card: any batch, any size, float32 or float16.

Belongs here: the network, and turning its maps into faces. The network is YuNet_s as OpenCV Zoo publishes it
("2023mar"; Wu, Peng and Yu, "YuNet: A Tiny Millisecond-level Face Detector", 2023). It is fully
convolutional; its weights are read from the ONNX file in the order in which that file lists its convolutions.
"""

from __future__ import annotations

from itertools import pairwise
from typing import Final

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from dualface_core.faces.detections import Detections
from dualface_core.faces.model import Convolution, OnnxModel
from dualface_core.faces.weights import YUNET, Layers

STRIDES: Final = (8, 16, 32)
MULTIPLE: Final = 32
"""Height and width of the network's input are multiples of this."""

_CLASS, _OBJECTNESS, _BOX, _LANDMARKS = slice(0, 1), slice(1, 2), slice(2, 6), slice(6, 16)
"""Channels of the network's maps."""

_MOST_ANCHORS: Final = 1024
"""Anchors of an image that are looked at, the best ones, so that all shapes are fixed. A face has some tens of them."""


class _Separable(nn.Module):
    """A 1x1 convolution, then a 3x3 convolution of each channel."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.pointwise = Convolution(inputs, outputs, 1)
        self.depthwise = Convolution(outputs, outputs, 3, padding=1, groups=outputs)

    def forward(self, maps: Tensor) -> Tensor:
        convolved: Tensor = self.depthwise(self.pointwise(maps))
        return convolved


class _Stage(nn.Sequential):
    """Separable convolutions, each followed by a ReLU; the last of those, if `halved`, by a pool first.

    A ReLU gives the same before and behind a pool, and has a quarter to do there.
    """

    def __init__(self, *channels: int, halved: bool = False) -> None:
        layers: list[nn.Module] = []
        for inputs, outputs in pairwise(channels):
            layers += [_Separable(inputs, outputs), nn.ReLU(inplace=True)]
        if halved:
            layers.insert(-1, nn.MaxPool2d(2))
        super().__init__(*layers)


class YuNet(nn.Module):
    """The network: images to one map per stride.

    The four heads of a stride (class, objectness, box, landmarks) read the same map, so they are one convolution here.
    """

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Sequential(
            Convolution(3, 16, 3, stride=2, padding=1), nn.ReLU(inplace=True), _Stage(16, 16, halved=True)
        )
        self.to_4 = _Stage(16, 16, 32, 32, 64, halved=True)
        self.to_8 = _Stage(64, 64, 64)
        self.to_16 = _Stage(64, 64, 64)
        self.to_32 = _Stage(64, 64, 64)
        self.lateral = nn.ModuleList(_Stage(64, 64) for _ in STRIDES)
        self.heads = nn.ModuleList(_Separable(64, 16) for _ in STRIDES)

    def forward(self, images: Tensor) -> list[Tensor]:
        """(B, 3, H, W) BGR, 0..255, to (B, 16, H / s, W / s) for each stride s: class, objectness, box, landmarks.

        H and W are multiples of 32. Class and objectness are before the sigmoid.
        """
        at_8 = self.to_8(self.to_4(self.stem(images)))
        at_16 = self.to_16(functional.max_pool2d(at_8, 2))
        at_32 = self.to_32(functional.max_pool2d(at_16, 2))
        fine_8, fine_16, fine_32 = self.lateral
        at_32 = fine_32(at_32)
        at_16 = fine_16(at_16 + functional.interpolate(at_32, scale_factor=2))
        at_8 = fine_8(at_8 + functional.interpolate(at_16, scale_factor=2))
        return [head(maps) for head, maps in zip(self.heads, (at_8, at_16, at_32), strict=True)]

    def load(self, weights: Layers) -> None:
        """Take the weights of a YuNet_s. Raises ValueError or KeyError if its layers are not those of this network."""
        layers = weights["Convolution"]
        stages = [self.stem, self.to_4, self.to_8, self.to_16, self.to_32, *reversed(self.lateral)]
        body = [convolution for stage in stages for convolution in _convolutions(stage)]
        if len(layers) != len(body) + 4 * len(STRIDES) * 2:
            raise ValueError(f"found {len(layers)} convolutions, not those of YuNet")
        for convolution, (weight, bias) in zip(body, layers, strict=False):
            _assign(convolution, [weight], [bias])
        # The file lists class, box, objectness and landmarks, each for every stride, each a 1x1 and a 3x3 convolution.
        kind = len(STRIDES) * 2
        of_class, of_box, of_objectness, of_landmarks = (
            layers[first : first + kind] for first in range(len(body), len(layers), kind)
        )
        for level, head in enumerate(self.heads):
            for place, convolution in enumerate(_convolutions(head)):
                at = 2 * level + place
                parts = [of_class[at], of_objectness[at], of_box[at], of_landmarks[at]]
                _assign(convolution, [weight for weight, _ in parts], [bias for _, bias in parts])


def _convolutions(module: nn.Module) -> list[nn.Conv2d]:
    return [layer for layer in module.modules() if isinstance(layer, nn.Conv2d)]


def _assign(convolution: nn.Conv2d, weights: list[NDArray[np.float32]], biases: list[NDArray[np.float32]]) -> None:
    weight, bias = np.concatenate(weights), np.concatenate(biases)
    if weight.shape != convolution.weight.shape:
        raise ValueError(f"found a convolution of shape {weight.shape}, expected {tuple(convolution.weight.shape)}")
    convolution.load_state_dict({"weight": torch.from_numpy(weight), "bias": torch.from_numpy(bias)})


class TorchFaceDetector(OnnxModel[YuNet]):
    """What `FaceDetector` is, on a card; without one it is slower."""

    FILE = YUNET
    NETWORK = YuNet

    @torch.inference_mode()
    def detect(self, images: NDArray[np.uint8], *, score_threshold: float, nms_iou: float = 0.3) -> list[Detections]:
        """Find the faces of each image.

        Args:
            images: (B, H, W, 3) uint8, BGR. Any size: the network sees them padded to multiples of 32.
            score_threshold: 0..1; fainter faces are left out. See `Detections.scores`.
            nms_iou: of two boxes that overlap by more than this, the better one stays.

        Returns:
            B times Detections, in pixels of `images`, best first.
        """
        pixels = torch.from_numpy(np.require(images, requirements=["C", "W"]))
        best = self._graphs(self._best, pixels) if self._device.type == "cuda" else self._best(pixels)
        return [_faces(anchors[anchors[:, 0] >= score_threshold], nms_iou) for anchors in best.numpy()]

    def _best(self, images: Tensor) -> Tensor:
        """(B, H, W, 3) uint8 to (B, K, 15) float32: score, box (4) and landmarks (10) of the K best anchors of each."""
        levels = self._network(self._input(images))
        values = torch.cat([level.permute(0, 2, 3, 1).flatten(1, 2).float() for level in levels], dim=1)
        scores = (values[..., _CLASS].sigmoid() * values[..., _OBJECTNESS].sigmoid()).sqrt()
        score, best = scores[..., 0].topk(min(_MOST_ANCHORS, scores.shape[1]))
        chosen = values.gather(1, best[..., None].expand(-1, -1, values.shape[2]))
        at = _places(levels)[best]
        place, stride = at[..., :2], at[..., 2:]
        centers = (place + chosen[..., _BOX][..., :2]) * stride
        sizes = chosen[..., _BOX][..., 2:].exp() * stride
        landmarks = (place.repeat(1, 1, 5) + chosen[..., _LANDMARKS]) * stride
        return torch.cat([score[..., None], centers - sizes / 2, sizes, landmarks], dim=-1)

    def _input(self, images: Tensor) -> Tensor:
        """(B, H, W, 3) to (B, 3, H', W'), padded on the right and at the bottom, with channels last in memory."""
        count, height, width, channels = images.shape
        padded = (count, height + -height % MULTIPLE, width + -width % MULTIPLE, channels)
        maps = torch.zeros(padded, dtype=self._dtype, device=self._device)
        maps[:, :height, :width] = images
        return maps.permute(0, 3, 1, 2)


def _places(levels: list[Tensor]) -> Tensor:
    """(N, 3) float32 of all anchors of maps (B, 16, H, W): their column and row, and the stride of their map."""
    grids = []
    for level, stride in zip(levels, STRIDES, strict=True):
        rows, columns = (torch.arange(count, device=level.device) for count in level.shape[2:])
        column, row = torch.meshgrid(columns, rows, indexing="xy")
        grids.append(torch.stack([column, row, torch.full_like(row, stride)], dim=-1).flatten(0, 1))
    return torch.cat(grids).float()


def _faces(candidates: NDArray[np.float32], nms_iou: float) -> Detections:
    """Those of (N, 15) anchors that stay, as faces."""
    boxes, scores = candidates[:, 1:5], candidates[:, 0]
    keep = np.asarray(cv2.dnn.NMSBoxes(boxes.tolist(), scores.tolist(), 0.0, nms_iou), np.intp)
    return Detections(boxes[keep], candidates[keep, 5:].reshape(-1, 5, 2), scores[keep])
