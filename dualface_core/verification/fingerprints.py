"""What every composed frame leaves before it is encoded, so that every decoded frame can be compared with its own.

Belongs here: taking fingerprints and keeping them in a file while a result is made and verified. What is made of a
difference is in `comparison`. A fingerprint is small (about 2 kB a frame), deterministic, and cheap beside composing.
It is made of fixed regions of the canvas, whatever a scene puts there.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Final, Self

import cv2
import numpy as np
from numpy.typing import NDArray

from dualface_core.errors import MissingInputError, TableFormatError
from dualface_core.media.frames import Planes
from dualface_core.system.atomic_files import output_error
from dualface_core.system.read_errors import read_error
from dualface_core.tables.layouts import Layout, Region

FORM: Final = 2
"""Which form these fingerprints have: a change of how they are taken counts it up. None of another can be compared."""

CELL: Final = 40
"""Luma samples in either direction that are averaged into one of a fingerprint; a mouth is two or three wide."""

_BANDS: Final = 54
_BAND: Final = 4
"""Bands of rows at half size that a region's luma is taken of, two to a cell at the least, and rows of each."""

_CHROMA_ROWS: Final = 4
"""Rows at half size that a cell of chroma is taken of: one in ten samples."""

_FORM: Final = np.array([FORM], np.uint8)

_DETAIL_STEPS: Final = 15
"""Steps in which detail is kept, per factor of 2: one is 5 %."""


@dataclass(frozen=True)
class RegionFingerprint:
    """Where the parts of one region's fingerprint are, and how they are taken.

    The parts: luma averaged over cells of 40 x 40 samples; U and V over cells of the same place and twice that size;
    and detail, one number for the region: see `detail`. All are taken of some rows, spread evenly over each cell, of
    the planes at half their sizes: most of the time would go into fetching the others from memory.

    Attributes:
        region: the part of the canvas.
        offset: samples of a frame's fingerprint before this region's.
    """

    region: Region
    offset: int

    @cached_property
    def luma_shape(self) -> tuple[int, int]:
        """Rows and columns of the luma."""
        return self.region.height // CELL, self.region.width // CELL

    @cached_property
    def chroma_shape(self) -> tuple[int, int]:
        """Rows and columns of U, and of V."""
        return self.region.height // (2 * CELL), self.region.width // (2 * CELL)

    @cached_property
    def chroma(self) -> slice:
        """Where U and V are in the region's fingerprint; luma is before, the byte of detail behind."""
        luma, chroma = np.prod(self.luma_shape), np.prod(self.chroma_shape)
        return slice(int(luma), int(luma + 2 * chroma))

    @cached_property
    def size(self) -> int:
        """Samples in all, each a byte."""
        return int(self.chroma.stop) + 1

    @cached_property
    def bands(self) -> int:
        """Bands of rows that a cell of luma is taken of."""
        cells = self.luma_shape[0]
        return min(max(2, -(-_BANDS // cells)), self.region.height // 2 // (_BAND * cells))

    @cached_property
    def _pairs(self) -> tuple[NDArray[np.intp], ...]:
        """The rows of Y, U and V that those at half size which are looked at are made of."""
        first = _spread(self.region.height // 2, self.bands * self.luma_shape[0]) - _BAND // 2
        luma = (first[:, None] + np.arange(_BAND)).ravel()
        chroma = _spread(self.region.height // 4, _CHROMA_ROWS * self.chroma_shape[0])
        pairs = [(2 * rows[:, None] + np.arange(2)).ravel() for rows in (luma, chroma)]
        return pairs[0], pairs[1], pairs[1]

    def of(self, planes: Planes) -> NDArray[np.uint8]:
        """Take the fingerprint of this region: (size,) uint8, from Y, U and V of the whole canvas."""
        region = self.region
        y, u, v = (
            _halved(
                plane[
                    region.y // scale : (region.y + region.height) // scale,
                    region.x // scale : (region.x + region.width) // scale,
                ][pairs]
            )
            for plane, pairs, scale in zip(planes, self._pairs, (1, 2, 2), strict=True)
        )
        parts = [
            _averaged(_halved(y), self.luma_shape),
            _averaged(_halved(u), self.chroma_shape),
            _averaged(_halved(v), self.chroma_shape),
            np.array([self.detail(_detail_norm(y))], np.uint8),
        ]
        return np.concatenate([part.ravel() for part in parts])

    def detail(self, norm: float) -> int:
        """The last byte, of the root of the sum of fourth powers: see `detail`."""
        samples = self.bands * self.luma_shape[0] * (_BAND - 2) * (self.region.width // 2)
        return round(_DETAIL_STEPS * math.log2(1 + 9 * norm / math.sqrt(samples)))


def detail(kept: NDArray[np.float32]) -> NDArray[np.float32]:
    """The detail that the last byte of a region's fingerprint stands for, in squared levels.

    It is nine times the root of the mean fourth power of how far half-size luma is from the mean of the nine samples
    around, of the inner rows of each band. The fourth power tells blur, which takes from edges first, from coding,
    which keeps edges and takes from what is faint.
    """
    return np.exp2(kept / _DETAIL_STEPS) - 1


def _detail_norm(bands: NDArray[np.uint8]) -> float:
    aside, width = cv2.absdiff(bands, cv2.blur(bands, (3, 3))), bands.shape[1]
    inner = aside.reshape(-1, _BAND, width)[:, 1:-1].reshape(-1, width)
    return float(cv2.norm(cv2.multiply(inner, inner)))  # squares over 255 count as that


def _spread(rows: int, count: int) -> NDArray[np.intp]:
    """So many of a number of rows, each in the middle of its share of them."""
    return ((np.arange(count) + 0.5) * rows / count).astype(np.intp)


def _averaged(plane: NDArray[np.uint8], shape: tuple[int, int]) -> NDArray[np.uint8]:
    return np.asarray(cv2.resize(plane, shape[::-1], interpolation=cv2.INTER_AREA), np.uint8)


def _halved(plane: NDArray[np.uint8]) -> NDArray[np.uint8]:
    # OpenCV is far quicker at averaging two by two than by any other factor.
    rows, columns = plane.shape[0] // 2, plane.shape[1] // 2
    return _averaged(plane[:, : 2 * columns], (rows, columns))


def region_fingerprints(layout: Layout) -> list[RegionFingerprint]:
    """The fingerprints that a frame of a layout has, one per region, in their order."""
    parts: list[RegionFingerprint] = []
    offset = 0
    for region in layout.regions:
        parts.append(RegionFingerprint(region, offset))
        offset += parts[-1].size
    return parts


def fingerprint(canvas: Planes, parts: Sequence[RegionFingerprint]) -> NDArray[np.uint8]:
    """Take the fingerprint of a frame, (samples,) uint8, from Y, U and V of its canvas: the regions', and the form."""
    return np.concatenate([*(part.of(canvas) for part in parts), _FORM])


class FingerprintWriter:
    """Appends the fingerprint of one composed frame after another to a file. A context manager.

    Args:
        path: the file; one that is there is replaced.
        layout: of the canvases that will come.

    Raises OutputError where the file cannot be written.
    """

    def __init__(self, path: Path, layout: Layout) -> None:
        self._path = path
        self._parts = region_fingerprints(layout)
        with self._writing():
            self._file = path.open("wb")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *ending: object) -> None:
        with self._writing():
            self._file.close()

    def add(self, canvas: Planes) -> None:
        """Take the fingerprint of the next frame from Y, U and V of its canvas."""
        self.write(fingerprint(canvas, self._parts))

    def write(self, fingerprints: NDArray[np.uint8]) -> None:
        """Append fingerprints that were taken elsewhere: (samples,) or (frames, samples) uint8."""
        with self._writing():
            self._file.write(fingerprints.tobytes())

    @contextmanager
    def _writing(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise output_error(self._path, error) from error


def read_fingerprints(path: Path, layout: Layout, frames: int) -> NDArray[np.uint8]:
    """Map what a FingerprintWriter wrote: (frames, samples) uint8, not loaded into memory.

    Raises:
        FileError: it is not there, or cannot be read at this moment, as `read_error` says.
        TableFormatError: it was not made from so many frames of this layout, or has fingerprints of another form.
    """
    size = sum(part.size for part in region_fingerprints(layout)) + len(_FORM)
    try:
        found = path.stat().st_size
        composed = np.memmap(path, np.uint8, "r", shape=(frames, size)) if found == size * frames else None
    except FileNotFoundError as error:
        missing = "the fingerprints of the composed frames are gone"
        raise MissingInputError(path, missing, action="Render again.") from error
    except OSError as error:
        raise read_error(path, error) from error
    if composed is None:
        raise TableFormatError(
            path, f"the fingerprints are {found} bytes, not {size} for each of {frames} frames", action="Render again."
        )
    if (form := int(composed[0, -1])) != FORM:
        raise TableFormatError(path, f"the fingerprints are of form {form}, not {FORM}", action="Render again.")
    return composed
