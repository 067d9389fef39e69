"""Profiles: what suits a machine, by what its card reports. Settings override what they name.

Belongs here: numbers and the facts that they follow from; docs/gpu.md lists the sources. A profile is a pure function
of a card's description; nothing here asks a driver.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final

from dualface_core.encoding.settings import Codec
from dualface_core.gpu.nvml import Gpu
from dualface_core.settings import Settings
from dualface_core.system.machine_cores import machine_cores

_GIB: Final = 1 << 30

_REFERENCE_RATE: Final = 1140.0
"""Frames a second of 1080p to encode in all: four videos of 9 min 32 s at 30 fps in about a minute."""

# 1080p frames a second of one engine at preset P5 (NVIDIA, NVENC Application Note 13.0). At P3 all give more than 548.
_P5_RATE: Final[dict[str, dict[Codec, float]]] = {
    "Turing": {"h264": 264, "hevc": 334},
    "Ampere": {"h264": 266, "hevc": 335},
    "Ada": {"h264": 283, "hevc": 411, "av1": 440},
    "Blackwell": {"h264": 317, "hevc": 521, "av1": 552},
}

_STREAM_MEMORY: Final = 3 * _GIB // 2
"""Bytes of GPU memory for one video in work: decoder surfaces, batches, networks and a CUDA context.

Comparable programs take 1.1 to 1.2 GB with one 1080p stream (jasna's benchmarks, RTX 5090).
"""


_MOST_ENCODE_THREADS: Final = 8
"""Each thread of x264 holds a frame and what belongs to it, and its own choice is one and a half per core."""


@dataclass(frozen=True)
class Profile:
    """What suits a machine.

    Attributes:
        sessions: NVENC sessions at once; 0 without NVENC.
        cores: CPU cores that all videos in work share.
        streams: videos in work at once.
        decode_threads: CPU threads of one video's software decoder, where it is not split into spans. A span has one
            thread, and a core of the budget that all videos share.
        compose_threads: CPU threads that compose one video's frames, likewise.
        encode_threads: CPU threads of one video's software encoder, likewise.
        preset: "fast" or "balanced", as in `EncoderSettings`.
    """

    sessions: int
    cores: int
    streams: int
    decode_threads: int
    compose_threads: int
    encode_threads: int
    preset: str


def profile_in_force(settings: Settings, gpu: Gpu | None) -> Profile:
    """What suits this machine, with the settings' word over it; `gpu` is its card, None without one."""
    cores = settings.cores or machine_cores()
    suited = profile_for(
        gpu, cores=cores, codec=settings.codec, sessions=settings.nvenc_max_sessions, streams=settings.streams
    )
    return replace(suited, preset=settings.preset or suited.preset)


def profile_for(
    gpu: Gpu | None, *, cores: int, codec: Codec = "h264", sessions: int = 2, streams: int | None = None
) -> Profile:
    """What suits a machine.

    Args:
        gpu: its card, as `find_gpus` describes it; None without one.
        cores: CPU cores that this process may use.
        codec: what will be encoded.
        sessions: NVENC sessions that may be open at once. Two, unless more are asked for: a card with three
            engines has work for three.
        streams: videos that are in work at once and share the cores; None for as many as suit the machine.
    """
    if gpu is None or gpu.nvenc_engines == 0:
        sessions = 0
    memory = None if gpu is None or gpu.memory_total is None else gpu.memory_total * 4 // 5
    streams = streams or _streams(sessions, cores, memory)
    return Profile(
        sessions=sessions,
        cores=cores,
        streams=streams,
        # Four threads decode 1080p faster than anything else here goes on; the other cores compose and encode.
        decode_threads=max(1, min(4, cores // streams)),
        # OpenCV lets go of Python's lock, but what is left of Python between its calls keeps more from gaining.
        compose_threads=max(1, min(4, cores // (2 * streams))),
        # x264's own rule, for the cores that a video has.
        encode_threads=max(1, min(_MOST_ENCODE_THREADS, 3 * cores // (2 * streams))),
        preset=_preset(gpu, sessions, codec),
    )


def _streams(sessions: int, cores: int, memory: int | None) -> int:
    if sessions == 0:
        # The spans of one video keep all cores busy, but not from its first frame to its last: while one is probed,
        # planned or put in place, others are decoded. Each takes some 400 MB besides its spans.
        return max(1, min(4, cores // 4))
    # Half of them track while the other half encode, even on one engine: it works for one while the other's frames are
    # made, and sharing it costs nothing. Each needs a core to decode and one to compose.
    fitting = 2 * sessions if memory is None else memory // _STREAM_MEMORY
    return max(1, min(2 * sessions, cores // 2, fitting))


def _preset(gpu: Gpu | None, sessions: int, codec: Codec) -> str:
    """P5 ("balanced") where the engines still reach the reference rate with it, otherwise P3 ("fast")."""
    if gpu is None or gpu.generation is None:
        return "fast"
    busy = min(sessions, gpu.nvenc_engines or 1)
    rate = _P5_RATE.get(gpu.generation, {}).get(codec, 0.0)
    return "balanced" if busy * rate >= _REFERENCE_RATE else "fast"
