"""What the GPUs of this machine are, what their video engines can do, and how busy they are.

Belongs here: NVML (loaded only when asked, absent on most machines, never trusted about encoders) and the cached
answers of the real trials in `dualface_core.encoding.nvenc_probe`. Nothing here raises for want of a GPU: that is an
answer.
"""

from __future__ import annotations

import ctypes
import logging
import os
import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from types import ModuleType
from typing import Any, Final

from pydantic import ValidationError

from dualface_core.encoding.failures import FailureClass, SessionTimeoutError, advice
from dualface_core.encoding.nvenc_probe import Ability, try_codec
from dualface_core.encoding.sessions import NvencSessions, RuntimeFolderError
from dualface_core.encoding.settings import Codec
from dualface_core.errors import OutputError
from dualface_core.system.atomic_files import atomic_write

_LOGGER: Final = logging.getLogger(__name__)

_LASTING: Final = frozenset({FailureClass.NO_NVENC_HW, FailureClass.OLD_DRIVER})
"""Failures that stay as long as card and driver do. All others can be over, or be repaired, by the next time."""

_GENERATIONS: Final = (
    ((12, 0), "Blackwell"),
    ((10, 0), "Blackwell"),
    ((9, 0), "Hopper"),
    ((8, 9), "Ada"),
    ((8, 0), "Ampere"),
    ((7, 5), "Turing"),
    ((7, 0), "Volta"),
    ((6, 0), "Pascal"),
    ((5, 0), "Maxwell"),
)
"""Lowest CUDA compute capability of each generation (CUDA C programming guide)."""


@dataclass(frozen=True)
class Gpu:
    """One card, as NVML describes it.

    Attributes:
        index: NVML's and nvidia-smi's, by PCI bus; CUDA may count differently.
        uuid: stays the same whatever is visible in what order.
        name: the product's name.
        driver: version of the NVIDIA driver, such as "580.95.05".
        memory_total: bytes; None where the card shares the host's.
        compute_capability: CUDA's (major, minor); None if unknown.
    """

    index: int
    uuid: str
    name: str
    driver: str
    memory_total: int | None = None
    compute_capability: tuple[int, int] | None = None

    @property
    def generation(self) -> str | None:
        """The architecture, such as "Ada"; None if unknown."""
        found = self.compute_capability
        return next((name for least, name in _GENERATIONS if found is not None and found >= least), None)

    @property
    def nvenc_engines(self) -> int | None:
        """Published number of NVENC engines, 0 for none, at least 1 for a GeForce or RTX card; None if not known here.

        A hint for defaults and messages. Whether NVENC works is found out by `nvenc_ability`.
        """
        return next((engines for pattern, engines in _NVENC_ENGINES if re.search(pattern, self.name)), None)


# A100, H100, H200: data sheets (7 NVDEC and no NVENC on Hopper). RTX 5090: three 9th-generation engines.
_NVENC_ENGINES: Final = ((r"\b[AH]100\b|\bG?H200\b", 0), (r"RTX 5090\b(?! Laptop)", 3), (r"\bRTX\b", 1))


@dataclass(frozen=True)
class GpuInventory:
    """The GPUs of this machine.

    Attributes:
        gpus: by index; empty without a driver or a card.
        driver: version of the NVIDIA driver; None if there is none that answers.
        problem: a sentence that says why there are no GPUs; None if there are some.
    """

    gpus: tuple[Gpu, ...]
    driver: str | None
    problem: str | None


@dataclass(frozen=True)
class EncoderSession:
    """An NVENC session as NVML lists it: of any program on the host.

    Attributes:
        pid: its process; 0 where it is in another container.
        codec: "h264", "hevc", "av1", or "unknown".
        width, height: of its frames, in pixels.
        frames_per_second: as measured by the driver.
    """

    pid: int
    codec: str
    width: int
    height: int
    frames_per_second: float


@dataclass(frozen=True)
class GpuLoad:
    """How busy a GPU is at a moment. Any value is None where the card or driver has none.

    Attributes:
        gpu_percent: share of the last moments in which a kernel ran.
        encoder_percent, decoder_percent: how busy NVENC and NVDEC were.
        memory_used: bytes, of all programs.
        encoder_sessions: open NVENC sessions of all programs.
        temperature: degrees Celsius.
        power: watts.
    """

    gpu_percent: float | None = None
    encoder_percent: float | None = None
    decoder_percent: float | None = None
    memory_used: int | None = None
    encoder_sessions: int | None = None
    temperature: float | None = None
    power: float | None = None


def find_gpus() -> GpuInventory:
    """List the GPUs that NVML knows of and that CUDA_VISIBLE_DEVICES does not hide."""
    with _nvml() as (nvml, problem):
        if nvml is None:
            return GpuInventory((), None, problem)
        driver = _answer(nvml, nvml.nvmlSystemGetDriverVersion) or "unknown"
        indexes = range(_answer(nvml, nvml.nvmlDeviceGetCount) or 0)
        described = (_answer(nvml, _describe, nvml, index, driver) for index in indexes)
        gpus = [gpu for gpu in described if gpu is not None]
        if not gpus:
            return GpuInventory((), driver, "The NVIDIA driver is here, but shows no working GPU.")
        shown = os.environ.get("CUDA_VISIBLE_DEVICES")
        visible = tuple(gpus) if shown is None else _named(shown, gpus)
        return GpuInventory(visible, driver, None if visible else f"CUDA_VISIBLE_DEVICES={shown} hides every GPU.")


def _named(shown: str, gpus: Sequence[Gpu]) -> tuple[Gpu, ...]:
    """The GPUs that a value of CUDA_VISIBLE_DEVICES names: by beginnings of UUIDs, or by numbers as nvidia-smi's.

    CUDA itself counts so only where CUDA_DEVICE_ORDER is PCI_BUS_ID or all cards are alike. As with CUDA, the first
    word that names no card ends the list.
    """
    found: list[Gpu] = []
    for word in (part.strip() for part in shown.split(",")):
        named = (gpu for gpu in gpus if word == str(gpu.index) or (word[:4] == "GPU-" and gpu.uuid.startswith(word)))
        gpu = next(named, None)
        if gpu is None:
            break
        found.append(gpu)
    return tuple(found)


def encoder_sessions(gpu: Gpu) -> tuple[EncoderSession, ...]:
    """The NVENC sessions that are open on a GPU now, of all programs; empty where NVML has no list."""
    with _nvml() as (nvml, _):
        if nvml is None:
            return ()
        codecs = {
            nvml.NVML_ENCODER_QUERY_H264: "h264",
            nvml.NVML_ENCODER_QUERY_HEVC: "hevc",
            nvml.NVML_ENCODER_QUERY_AV1: "av1",
        }
        device = _answer(nvml, nvml.nvmlDeviceGetHandleByIndex, gpu.index)
        found = _answer(nvml, nvml.nvmlDeviceGetEncoderSessions, device) or []
        return tuple(
            EncoderSession(
                pid=session.pid,
                codec=codecs.get(session.codecType, "unknown"),
                width=session.hResolution,
                height=session.vResolution,
                frames_per_second=float(session.averageFps),
            )
            for session in found
        )


def nvenc_ability(codec: Codec, *, gpu: Gpu | None, cache: Path, sessions: NvencSessions) -> Ability:
    """Whether NVENC encodes this codec here, found out by doing it.

    Args:
        codec: what to encode.
        gpu: the card; without one (no NVML) FFmpeg takes the first that can encode, and nothing is cached, as a
            change of the driver would not be noticed.
        cache: folder for answers; one is kept per driver, card, codec and PyAV version.
        sessions: the trial needs a session like any other, and holds one of these slots.

    Returns:
        The answer. Its failure is SESSION_LIMIT if all sessions were in use: then there is an encoder, and it is busy;
        RUNTIME_FOLDER if no slot could be had to try it.
    """

    def find_out() -> Ability:
        try:
            with sessions.acquire(f"trial of {codec}", at_most=sessions.timeout):
                found = try_codec("encode", codec, gpu=gpu.uuid if gpu else None)
        except (SessionTimeoutError, RuntimeFolderError) as error:
            return Ability.lacking(error.failure, error.reason)
        if found.failure is FailureClass.NO_NVENC_HW and codec == "h264" and gpu is not None and gpu.nvenc_engines:
            # Every card with NVENC encodes H.264, so this one's encoder is there and hidden from us.
            hidden = FailureClass.GPU_VISIBILITY
            return Ability.lacking(hidden, f"{gpu.name} has NVENC. {advice(hidden)}")
        return found

    return _cached(f"nvenc-{codec}", gpu, cache, find_out)


def nvdec_ability(codec: Codec, *, gpu: Gpu | None, cache: Path) -> Ability:
    """Whether NVDEC decodes this codec here, found out by doing it. Arguments as for `nvenc_ability`."""
    return _cached(f"nvdec-{codec}", gpu, cache, lambda: try_codec("decode", codec, gpu=gpu.uuid if gpu else None))


def gpu_name(gpu: Gpu | None) -> str:
    """What the slots of a GPU's sessions are kept under: its UUID, or "0" without NVML."""
    return "0" if gpu is None else gpu.uuid


@contextmanager
def load_reader(gpu: Gpu | None) -> Iterator[Callable[[], GpuLoad]]:
    """Yield what reads how busy a GPU is now, again and again, with NVML kept open. Without a GPU all is None."""
    with _nvml() as (nvml, _):
        device = None if nvml is None or gpu is None else _answer(nvml, nvml.nvmlDeviceGetHandleByIndex, gpu.index)
        yield lambda: GpuLoad() if nvml is None or device is None else _load(nvml, device)


def free_memory(gpu: Gpu | None) -> int | None:
    """Bytes of a GPU's memory that no program uses; None where that is not known."""
    with load_reader(gpu) as load:
        used = load().memory_used
    return None if gpu is None or gpu.memory_total is None or used is None else gpu.memory_total - used


def _load(nvml: ModuleType, device: Any) -> GpuLoad:
    rates = _answer(nvml, nvml.nvmlDeviceGetUtilizationRates, device)
    encoder = _answer(nvml, nvml.nvmlDeviceGetEncoderUtilization, device)
    decoder = _answer(nvml, nvml.nvmlDeviceGetDecoderUtilization, device)
    memory = _answer(nvml, nvml.nvmlDeviceGetMemoryInfo, device)
    stats = _answer(nvml, nvml.nvmlDeviceGetEncoderStats, device)
    temperature = _answer(nvml, nvml.nvmlDeviceGetTemperature, device, nvml.NVML_TEMPERATURE_GPU)
    milliwatts = _answer(nvml, nvml.nvmlDeviceGetPowerUsage, device)
    return GpuLoad(
        gpu_percent=None if rates is None else float(rates.gpu),
        encoder_percent=None if encoder is None else float(encoder[0]),
        decoder_percent=None if decoder is None else float(decoder[0]),
        memory_used=None if memory is None else int(memory.used),
        encoder_sessions=None if stats is None else int(stats[0]),
        temperature=None if temperature is None else float(temperature),
        power=None if milliwatts is None else milliwatts / 1000,
    )


@contextmanager
def _nvml() -> Iterator[tuple[ModuleType | None, str | None]]:
    """NVML, opened for the block; or None, and a sentence that says why not."""
    import pynvml

    problem = None
    try:
        pynvml.nvmlInit()
    except pynvml.NVMLError_LibraryNotFound:
        problem = _why_no_nvml()
    except pynvml.NVMLError as error:
        problem = f"The NVIDIA driver does not answer ({error})."
    try:
        yield (pynvml if problem is None else None), problem
    finally:
        if problem is None:
            with suppress(pynvml.NVMLError):
                pynvml.nvmlShutdown()


def _why_no_nvml() -> str:
    try:
        ctypes.CDLL("libcuda.so.1")
    except OSError:
        return "There is no NVIDIA driver."
    return "The NVIDIA driver is here without NVML (libnvidia-ml.so.1), which describes its cards."


def _answer(nvml: ModuleType, question: Callable[..., Any], *arguments: Any) -> Any:
    """What NVML answers; None where this card or driver doesn't know the question, or the card is lost."""
    try:
        return question(*arguments)
    except nvml.NVMLError:
        return None


def _describe(nvml: ModuleType, index: int, driver: str) -> Gpu:
    device = nvml.nvmlDeviceGetHandleByIndex(index)
    memory = _answer(nvml, nvml.nvmlDeviceGetMemoryInfo, device)
    capability = _answer(nvml, nvml.nvmlDeviceGetCudaComputeCapability, device)
    return Gpu(
        index=index,
        uuid=nvml.nvmlDeviceGetUUID(device),
        name=nvml.nvmlDeviceGetName(device),
        driver=driver,
        memory_total=None if memory is None else int(memory.total),
        compute_capability=None if capability is None else tuple(capability),
    )


def _cached(name: str, gpu: Gpu | None, cache: Path, find_out: Callable[[], Ability]) -> Ability:
    if gpu is None:
        return find_out()
    key = f"{name}-{gpu.uuid}-driver-{gpu.driver}-av-{version('av')}"
    path = cache / "gpu" / f"{re.sub(r'[^A-Za-z0-9.-]', '_', key)}.json"
    with suppress(OSError, ValidationError):
        return Ability.model_validate_json(path.read_bytes())
    found = find_out()
    if found.available or found.failure in _LASTING:
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            with atomic_write(path) as temporary:
                temporary.write_text(found.model_dump_json())
        except (OSError, OutputError) as error:
            _LOGGER.warning("could not cache what the GPU can do: %s", error)
    return found
