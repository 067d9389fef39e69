"""Profiles: what suits a machine, by what its card reports. Settings override every value.

Belongs here: numbers and the published or measured facts that they follow from. Everything is a pure function of a
card's description; nothing here asks a driver.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Final, Self

from dualface_core.gpu.device import Gpu
from dualface_core.media.encoders import Codec

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


@dataclass(frozen=True)
class Profile:
    """What suits a machine.

    Attributes:
        sessions: NVENC sessions at once; 0 without NVENC.
        streams: videos in work at once.
        decode_threads: CPU threads of one video's software decoder.
        batch_size: frames that the face detector takes at once.
        preset: "fast" or "balanced", as in `EncoderSettings`.
        memory: bytes of GPU memory that all streams together may take; None without a GPU, or if it doesn't tell.
    """

    sessions: int
    streams: int
    decode_threads: int
    batch_size: int
    preset: str
    memory: int | None

    def overridden(
        self,
        *,
        sessions: int | None = None,
        streams: int | None = None,
        decode_threads: int | None = None,
        batch_size: int | None = None,
        preset: str | None = None,
        memory: int | None = None,
    ) -> Self:
        """The profile with every value that is not None in place of its own."""
        given: dict[str, Any] = {
            "sessions": sessions,
            "streams": streams,
            "decode_threads": decode_threads,
            "batch_size": batch_size,
            "preset": preset,
            "memory": memory,
        }
        return replace(self, **{name: value for name, value in given.items() if value is not None})


def profile_for(gpu: Gpu | None, *, cores: int, codec: Codec = "h264") -> Profile:
    """What suits a machine.

    Args:
        gpu: its card, as `find_gpus` describes it; None without one.
        cores: CPU cores that this process may use.
        codec: what will be encoded.
    """
    sessions = _sessions(gpu)
    memory = None if gpu is None or gpu.memory_total is None else gpu.memory_total * 4 // 5
    streams = _streams(sessions, cores, memory)
    return Profile(
        sessions=sessions,
        streams=streams,
        # 262 fps with one thread and 374 with two (1080p H.264, measured); the rest of the cores compose and encode.
        decode_threads=max(1, min(4, cores // streams)),
        batch_size=_batch_size(gpu),
        preset=_preset(gpu, sessions, codec),
        memory=memory,
    )


def _sessions(gpu: Gpu | None) -> int:
    if gpu is None or gpu.nvenc_engines == 0:
        return 0
    # One H.264 session keeps at most one engine busy, so a third pays only on a third engine. A second pays on one
    # engine too: the engine works for one while the other's frames are made, and sharing it costs nothing (six sessions
    # of P5 on the one engine of an RTX 5060 Ti gave 324 fps in all, and its table says 317).
    return 3 if (gpu.nvenc_engines or 1) >= 3 else 2


def _streams(sessions: int, cores: int, memory: int | None) -> int:
    if sessions == 0:
        # Four encodes of four cores each gave 593 fps, one of all sixteen 376 (x264 ultrafast, 1080p, measured).
        return max(1, min(4, cores // 4))
    # Half of them track while the other half encode. Each needs a core to decode and one to compose.
    fitting = 2 * sessions if memory is None else memory // _STREAM_MEMORY
    return max(1, min(2 * sessions, cores // 2, fitting))


def _batch_size(gpu: Gpu | None) -> int:
    # YuNet on an H200: 5,310 fps with 8, 13,458 with 32, 15,812 with 64. On two CPU cores 8 frames are enough.
    if gpu is None:
        return 8
    return 32 if gpu.memory_total is None or gpu.memory_total >= 6 * _GIB else 16


def _preset(gpu: Gpu | None, sessions: int, codec: Codec) -> str:
    """P5 ("balanced") where the engines still reach the reference rate with it, otherwise P3 ("fast")."""
    if gpu is None or gpu.generation is None:
        return "fast"
    busy = min(sessions, gpu.nvenc_engines or 1)
    rate = _P5_RATE.get(gpu.generation, {}).get(codec, 0.0)
    return "balanced" if busy * rate >= _REFERENCE_RATE else "fast"
