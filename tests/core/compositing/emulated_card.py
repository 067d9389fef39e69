"""The kernels on a processor, behind the interface of a card: the same source, compiled by g++."""

from __future__ import annotations

import ctypes
import subprocess
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from dualface_core.compositing.cuda import SLOT, Job
from dualface_core.compositing.sampling import AXIS
from dualface_core.faces.yunet import Layer, Stem
from dualface_core.system.compile_kernels import SOURCES
from dualface_core.system.cuda import Card, CudaError
from dualface_core.tracking.card_frames import ImageJob, ThumbnailJob
from dualface_core.verification.card_fingerprints import Print


@dataclass
class HostMemory:
    address: int
    values: NDArray[np.generic]


class EmulatedCard:
    """A `Card` whose memory is that of the host. Built in a folder."""

    def __init__(self, folder: Path) -> None:
        library = folder / "kernels.so"
        source = Path(__file__).with_name("emulated_kernels.cpp")
        kernels = [f'-D{path.stem.upper()}="{path}"' for path in SOURCES]
        options = ["-O2", "-ffp-contract=off", "-shared", "-fPIC", *kernels, "-o", library]
        subprocess.run(["g++", *options, source], check=True)
        self._library = ctypes.CDLL(str(library))
        declared = [
            AXIS.itemsize,
            SLOT.itemsize,
            *map(ctypes.sizeof, (Job, Print, ThumbnailJob, ImageJob, Stem, Layer)),
        ]
        assert list((ctypes.c_size_t * len(declared)).in_dll(self._library, "sizes")) == declared

    def kernels(self, _: bytes, *names: str) -> list[object]:
        return [self._kernel(getattr(self._library, f"run_{name}")) for name in names]

    def _kernel(self, run: object) -> object:
        def start(blocks: tuple[int, int, int], threads: int, job: ctypes.Structure) -> None:
            run((ctypes.c_uint * 3)(*blocks), threads, ctypes.byref(job))

        return start

    def graph(self, launches: Iterable[tuple[Callable[..., None], *tuple[object, ...]]]) -> Callable[[], None]:
        launches = list(launches)

        def start() -> None:
            for kernel, *given in launches:
                kernel(*given)

        return start

    def enter(self) -> None:
        pass

    def allocate(self, size: int) -> HostMemory:
        return self.upload(np.empty(size, np.uint8))

    def locked(self, size: int) -> NDArray[np.uint8]:
        return np.empty(size, np.uint8)

    def start_upload(self, address: int, source: NDArray[np.uint8]) -> None:
        ctypes.memmove(address, source.ctypes.data, source.nbytes)

    def start_download(self, address: int, target: NDArray[np.uint8]) -> None:
        ctypes.memmove(target.ctypes.data, address, target.nbytes)

    def finish(self) -> None:
        pass

    def upload(self, values: NDArray[np.generic]) -> HostMemory:
        values = np.ascontiguousarray(values)
        return HostMemory(values.ctypes.data, values)


class NoMark:
    """What is asked of an emulated card is done at once."""

    def __init__(self, _: object) -> None:
        pass

    def set(self) -> None:
        pass

    def wait(self) -> None:
        pass


def without_marks(patch: pytest.MonkeyPatch) -> None:
    """Let nobody wait for an emulated card."""
    for user in ("faces.yunet", "media.cuda_frames", "tracking.card_frames"):
        patch.setattr(f"dualface_core.{user}.Mark", NoMark)


AnyCard = Card | EmulatedCard


def real_card() -> Card:
    """This machine's; skips the test if it has none."""
    try:
        return Card()
    except CudaError as error:
        pytest.skip(f"no CUDA card: {error}")
