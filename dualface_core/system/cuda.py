"""NVIDIA's driver, by ctypes: a context, memory, kernels. It takes neither a compiler nor any package of CUDA's.

Belongs here: calls and their errors. What a kernel computes is its caller's business. The context is the primary one of
the device, which FFmpeg uses, too, so that all of a process share memory. Everything runs on stream 0.
"""

from __future__ import annotations

import ctypes
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cache
from threading import Lock
from typing import Final

import numpy as np
from numpy.typing import NDArray

_LIBRARY: Final = "libcuda.so.1"
OLDEST_DRIVER: Final = 12040
"""The CUDA version, 12.4, whose PTX the kernels are in: that of driver 550."""

OLDEST_CARD: Final = (7, 5)
"""The compute capability that the kernels are compiled for: Turing's."""

_MAJOR, _MINOR = 75, 76
"""Of a device's attributes, those of its compute capability."""

_STACK_LIMIT: Final = 0
_STACK: Final = 256
"""Bytes of stack for each thread of the device; a context keeps memory for those of all, and 1,024 bytes by itself. No
kernel here takes so many; for one that does, the driver keeps more."""

_PORTABLE: Final = 1
_TO_WAIT_FOR: Final = 1 | 2
"""Of an event: whoever waits sleeps, and no time is taken."""


class CudaError(Exception):
    """A call of the driver failed, or there is no driver.

    Attributes:
        code: the driver's number; 0 where there is no driver, or no such call.
    """

    def __init__(self, call: str, code: int, said: str) -> None:
        self.code = code
        super().__init__(call, code, said)

    def __str__(self) -> str:
        """A few words: which call failed, and what the driver says of it."""
        call, _, said = self.args
        return f"{call} failed: {said}"


@cache
def _driver(kind: type[ctypes.CDLL] = ctypes.CDLL) -> ctypes.CDLL:
    try:
        return kind(_LIBRARY)
    except OSError as error:
        raise CudaError("Loading the driver", 0, str(error)) from None


def _start(name: str, *arguments: object) -> None:
    """Call the driver with Python's lock held: for what takes it microseconds, and is called for every frame.

    Where many threads want that lock, taking it again costs more than the call. Raises CudaError.
    """
    _call(name, *arguments, driver=_driver(ctypes.PyDLL))


def _call(name: str, *arguments: object, driver: ctypes.CDLL | None = None) -> None:
    """Call the driver. Raises CudaError."""
    driver = driver or _driver()
    try:
        code = getattr(driver, name)(*arguments)
    except AttributeError:
        raise CudaError(name, 0, f"{_LIBRARY} has no such function") from None
    if code:
        text = ctypes.c_char_p()
        driver.cuGetErrorName(code, ctypes.byref(text))
        raise CudaError(name, code, text.value.decode() if text.value else f"error {code}")


def why_unusable() -> str | None:
    """Why this process cannot use its first device; None if it can. No memory of a device is taken for the answer."""
    version, count, major, minor = (ctypes.c_int() for _ in range(4))
    try:
        _call("cuInit", 0)
        _call("cuDriverGetVersion", ctypes.byref(version))
        _call("cuDeviceGetCount", ctypes.byref(count))
        if not count.value:
            return "the driver finds none"
        for number, attribute in ((major, _MAJOR), (minor, _MINOR)):
            _call("cuDeviceGetAttribute", ctypes.byref(number), attribute, 0)
    except CudaError as error:
        return str(error)
    if version.value < OLDEST_DRIVER:
        return f"its driver knows CUDA {version.value // 1000}.{version.value % 1000 // 10}, and 12.4 is needed"
    capability = major.value, minor.value
    if capability < OLDEST_CARD:
        return f"it is of compute capability {capability[0]}.{capability[1]}, and 7.5 is needed"
    return None


class Card:
    """One CUDA device. Raises CudaError where there is none that works.

    Args:
        device: its number among those that the process sees.
    """

    def __init__(self, device: int = 0) -> None:
        handle = ctypes.c_int()
        self._context = ctypes.c_void_p()
        self._modules: dict[bytes, ctypes.c_void_p] = {}
        self._loading = Lock()
        _call("cuInit", 0)
        _call("cuDeviceGet", ctypes.byref(handle), device)
        _call("cuDevicePrimaryCtxRetain", ctypes.byref(self._context), handle)
        self.enter()
        with suppress(CudaError):  # then it takes more memory
            _call("cuCtxSetLimit", _STACK_LIMIT, ctypes.c_size_t(_STACK))

    def enter(self) -> None:
        """Let the calling thread use the device; every thread that does calls this first."""
        _call("cuCtxSetCurrent", self._context)

    def kernels(self, ptx: bytes, *names: str) -> list[Kernel]:
        """Functions of a module in PTX, which the driver compiles for the device and keeps for the next time."""
        with self._loading:
            if ptx not in self._modules:
                module = ctypes.c_void_p()
                _call("cuModuleLoadData", ctypes.byref(module), ctypes.c_char_p(ptx))
                self._modules[ptx] = module
        functions = [ctypes.c_void_p() for _ in names]
        for function, name in zip(functions, names, strict=True):
            _call("cuModuleGetFunction", ctypes.byref(function), self._modules[ptx], name.encode())
        return [Kernel(function) for function in functions]

    def graph(self, launches: Iterable[Launch]) -> Graph:
        """Kernels to be started together, again and again, one after the other."""
        return Graph(self, launches)

    def allocate(self, size: int) -> DeviceMemory:
        """So many bytes of the device; undefined at first."""
        address = ctypes.c_uint64()
        _call("cuMemAlloc_v2", ctypes.byref(address), ctypes.c_size_t(max(size, 1)))
        return DeviceMemory(address.value, self)

    def upload(self, values: NDArray[np.generic]) -> DeviceMemory:
        """A copy of an array."""
        values = np.ascontiguousarray(values)
        memory = self.allocate(values.nbytes)
        if values.nbytes:
            source = ctypes.c_void_p(values.ctypes.data)
            _call("cuMemcpyHtoD_v2", ctypes.c_uint64(memory.address), source, ctypes.c_size_t(values.nbytes))
        return memory

    def locked(self, size: int) -> NDArray[np.uint8]:
        """(size,) uint8 in memory of the host to which the device copies, and writes by itself, at its full speed.

        It is page-locked for as long as somebody holds the array or a view of it.
        """
        address = ctypes.c_void_p()
        _call("cuMemHostAlloc", ctypes.byref(address), ctypes.c_size_t(size), _PORTABLE)
        return np.asarray(_Locked(address.value or 0, size, self))

    def start_upload(self, address: int, source: NDArray[np.uint8]) -> None:
        """Copy an array of `locked` memory, which is to stay as it is until that is done: see `start_download`."""
        origin, size = ctypes.c_void_p(source.ctypes.data), ctypes.c_size_t(source.nbytes)
        _start("cuMemcpyHtoDAsync_v2", ctypes.c_uint64(address), origin, size, None)

    def start_download(self, address: int, target: NDArray[np.uint8]) -> None:
        """Copy as many bytes as `target`, an array of `locked` memory, has. It has them after `finish`, or a `Mark`."""
        to, size = ctypes.c_void_p(target.ctypes.data), ctypes.c_size_t(target.nbytes)
        _start("cuMemcpyDtoHAsync_v2", to, ctypes.c_uint64(address), size, None)

    def finish(self) -> None:
        """Wait for all that was asked of the device."""
        _call("cuStreamSynchronize", None)


@cache
def card_of_process() -> Card:
    """The first device, for all in this process that share what is made there. Raises CudaError; then, each time."""
    return Card()


class Kernel:
    """A function that runs on the device."""

    def __init__(self, function: ctypes.c_void_p) -> None:
        self.function = function

    def __call__(self, blocks: tuple[int, int, int], threads: int, job: ctypes.Structure) -> None:
        """Start it, with `job` as its only argument."""
        arguments = (ctypes.c_void_p * 1)(ctypes.addressof(job))
        _start("cuLaunchKernel", self.function, *blocks, threads, 1, 1, 0, None, arguments, None)


Launch = tuple[Kernel, tuple[int, int, int], int, ctypes.Structure]
"""A kernel, and what it is called with."""


class _Node(ctypes.Structure):
    """CUDA_KERNEL_NODE_PARAMS_v1 of the driver."""

    _fields_ = (
        ("function", ctypes.c_void_p),
        *((name, ctypes.c_uint) for name in ("x", "y", "z", "threads", "threads_y", "threads_z", "shared")),
        ("arguments", ctypes.c_void_p),
        ("extra", ctypes.c_void_p),
    )


class Graph:
    """Kernels that run one after the other, and are started by one call, so that the device never waits for the next.

    Where it has several processes to serve, it turns to another one whenever one has nothing for it to do.
    """

    def __init__(self, card: Card, launches: Iterable[Launch]) -> None:
        self._card, self._graph = card, ctypes.c_void_p()
        nodes = ctypes.c_void_p()
        _call("cuGraphCreate", ctypes.byref(nodes), 0)
        try:
            before: list[ctypes.c_void_p] = []
            for kernel, blocks, threads, job in launches:  # of which the driver keeps copies
                arguments = (ctypes.c_void_p * 1)(ctypes.addressof(job))
                what = _Node(kernel.function, *blocks, threads, 1, 1, 0, ctypes.addressof(arguments), None)
                after = (ctypes.c_void_p * len(before))(*(each.value for each in before))
                node = ctypes.c_void_p()
                count = ctypes.c_size_t(len(before))
                _call("cuGraphAddKernelNode", ctypes.byref(node), nodes, after, count, ctypes.byref(what))
                before = [node]
            _call("cuGraphInstantiateWithFlags", ctypes.byref(self._graph), nodes, ctypes.c_uint64(0))
        finally:
            _call("cuGraphDestroy", nodes)

    def __del__(self) -> None:
        if self._graph:
            _release(self._card, "cuGraphExecDestroy", self._graph)

    def __call__(self) -> None:
        """Start them."""
        _start("cuGraphLaunch", self._graph, None)


class Mark:
    """A point in what is asked of the device."""

    def __init__(self, card: Card) -> None:
        self._card = card
        self._event = ctypes.c_void_p()
        _call("cuEventCreate", ctypes.byref(self._event), _TO_WAIT_FOR)

    def __del__(self) -> None:
        _release(self._card, "cuEventDestroy_v2", self._event)

    def set(self) -> None:
        """Put it behind all that was asked so far."""
        _start("cuEventRecord", self._event, None)

    def wait(self) -> None:
        """Wait until the device has come this far."""
        _call("cuEventSynchronize", self._event)


@dataclass(frozen=True)
class DeviceMemory:
    """Memory of the device, from an address on. Given back when nobody refers to this any more."""

    address: int
    card: Card = field(repr=False)

    def __del__(self) -> None:
        _release(self.card, "cuMemFree_v2", ctypes.c_uint64(self.address))


class _Locked:
    """Page-locked memory, as numpy takes it."""

    def __init__(self, address: int, size: int, card: Card) -> None:
        self._address, self._card = address, card
        self.__array_interface__ = {"data": (address, False), "shape": (size,), "typestr": "|u1", "version": 3}

    def __del__(self) -> None:
        _release(self._card, "cuMemFreeHost", ctypes.c_void_p(self._address))


def _release(card: Card, name: str, handle: object) -> None:
    """Give something back, in whatever thread; of a device that is lost, nothing can be."""
    try:
        card.enter()
        _call(name, handle)
    except CudaError:
        return
