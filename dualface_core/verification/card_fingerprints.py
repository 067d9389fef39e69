"""Takes fingerprints on a card: what `fingerprints` takes on the processor, bit for bit, in one launch a frame.

Belongs here: what the kernel of `fingerprints.cu` is told, and what is left to do when it is done: a logarithm.
"""

from __future__ import annotations

import ctypes
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from dualface_core.media.cuda_frames import Canvas
from dualface_core.system.cuda import Card
from dualface_core.verification.fingerprints import FORM, RegionFingerprint

PTX: Final = Path(__file__).with_name("fingerprints.ptx")
"""The kernel, compiled."""

_THREADS: Final = 256
"""Of a block: `MEMBERS` of the kernel."""

_SUM: Final = np.dtype(np.uint64)


class _Region(ctypes.Structure):
    _fields_ = tuple((name, ctypes.c_int) for name in ("x", "y", "width", "height", "bands", "offset"))


class Print(ctypes.Structure):
    """Of the kernel `fingerprint`."""

    _fields_ = (
        ("canvas", ctypes.c_uint64 * 3),
        ("pitch", ctypes.c_int * 3),
        ("apart", ctypes.c_int),
        ("rows", ctypes.c_int),
        ("regions", _Region * 2),
        ("averages", ctypes.c_uint64),
        ("powers", ctypes.c_uint64),
    )


class CardFingerprints:
    """Takes fingerprints of the canvases of one layout. Raises CudaError.

    Args:
        card: the device.
        parts: of the two regions.

    Attributes:
        size: bytes of page-locked memory that each takes.
    """

    def __init__(self, card: Card, parts: Sequence[RegionFingerprint]) -> None:
        (self._take,) = card.kernels(PTX.read_bytes(), "fingerprint")
        self._job = Print(rows=_rows(parts))
        for told, part in zip(self._job.regions, parts, strict=True):
            region = part.region
            told.x, told.y, told.width, told.height = region.x, region.y, region.width, region.height
            told.bands, told.offset = part.bands, part.offset
        self.size = _averages_at(parts) + parts[-1].offset + parts[-1].size + 1
        self._averages_at = _averages_at(parts)

    def start(self, canvas: Canvas, made: NDArray[np.uint8]) -> None:
        """Start to make what `made_fingerprint` takes, in page-locked memory of `size`."""
        job, address = self._job, made.ctypes.data
        job.canvas[:], job.pitch[:], job.apart = canvas.addresses, canvas.pitches, canvas.apart
        job.powers, job.averages = address, address + self._averages_at
        self._take((job.rows, len(job.regions), 4), _THREADS, job)


def made_fingerprint(made: NDArray[np.uint8], parts: Sequence[RegionFingerprint]) -> NDArray[np.uint8]:
    """The fingerprint of a canvas, (samples,) uint8, of what a card has made of it."""
    split = _averages_at(parts)
    found = made[split:].copy()
    sums = made[:split].view(_SUM).reshape(len(parts), -1).sum(axis=1)
    for part, powers in zip(parts, sums.tolist(), strict=True):
        found[part.offset + part.size - 1] = part.detail(math.sqrt(powers))
    found[-1] = FORM
    return found


def _rows(parts: Sequence[RegionFingerprint]) -> int:
    """Rows of cells of luma, of the region that has most."""
    return max(part.luma_shape[0] for part in parts)


def _averages_at(parts: Sequence[RegionFingerprint]) -> int:
    """Bytes of sums, which come first."""
    return _rows(parts) * len(parts) * _SUM.itemsize
