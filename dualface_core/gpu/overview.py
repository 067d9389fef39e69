"""Everything that is known about this machine's GPUs, gathered for people: what `dualface gpu` shows.

Belongs here: gathering. Every answer comes from the module that knows it; how it is shown is the command's business.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Final, get_args

from dualface_core.encoding.nvenc_probe import Ability
from dualface_core.encoding.sessions import NvencSessions, SessionStatus
from dualface_core.encoding.settings import Codec
from dualface_core.gpu.nvml import (
    EncoderSession,
    Gpu,
    encoder_sessions,
    find_gpus,
    gpu_name,
    nvdec_ability,
    nvenc_ability,
)
from dualface_core.gpu.profiles import Profile, profile_in_force
from dualface_core.settings import Settings

CODECS: Final[tuple[Codec, ...]] = get_args(Codec)

_TRIAL_TIMEOUT: Final = 5.0
"""Longest wait for a slot to try NVENC in, in seconds. A card whose sessions are all in use is said to be busy."""


@dataclass(frozen=True)
class CardOverview:
    """One card.

    Attributes:
        gpu: what NVML says; None where there is no NVML, and what FFmpeg finds by itself is described.
        generation: its architecture; None if unknown.
        nvenc, nvdec: what its engines can do, by codec, found out by doing it.
        sessions: the slots of its NVENC sessions: who holds them, who waits, and the counters.
        listed: NVML's own list of sessions, of all programs.
    """

    gpu: Gpu | None
    generation: str | None
    nvenc: dict[Codec, Ability]
    nvdec: dict[Codec, Ability]
    sessions: SessionStatus
    listed: tuple[EncoderSession, ...]


@dataclass(frozen=True)
class GpuOverview:
    """All cards, and what follows from them.

    Attributes:
        driver: version of the NVIDIA driver; None if there is none that answers.
        problem: why NVML shows no GPU; None if it shows some.
        cards: by index; without NVML one, tried as it is.
        profile: what is in force on this machine: defaults by its first card, and the settings over them.
    """

    driver: str | None
    problem: str | None
    cards: tuple[CardOverview, ...]
    profile: Profile


def gpu_overview(settings: Settings) -> GpuOverview:
    """Describe this machine's GPUs. Takes seconds where what they can do isn't known yet.

    Raises RuntimeFolderError where the folder of the slot files cannot be used.
    """
    inventory = find_gpus()
    first = next(iter(inventory.gpus), None)
    cards = tuple(_card(gpu, settings) for gpu in inventory.gpus or (None,))
    return GpuOverview(inventory.driver, inventory.problem, cards, profile_in_force(settings, first))


def _card(gpu: Gpu | None, settings: Settings) -> CardOverview:
    sessions = NvencSessions(
        settings.runtime, gpu=gpu_name(gpu), limit=settings.nvenc_max_sessions, timeout=_TRIAL_TIMEOUT
    )
    # Without a card one codec says why; the others would say the same again.
    codecs = CODECS if gpu is not None else CODECS[:1]
    # No more trials at once than there are slots: one that waits for another of ours would call the card busy.
    at_once = max(1, settings.nvenc_max_sessions)
    with ThreadPoolExecutor(at_once) as encoding, ThreadPoolExecutor(len(codecs)) as decoding:
        encodes = {
            codec: encoding.submit(nvenc_ability, codec, gpu=gpu, cache=settings.cache, sessions=sessions)
            for codec in codecs
        }
        decodes = {codec: decoding.submit(nvdec_ability, codec, gpu=gpu, cache=settings.cache) for codec in codecs}
    return CardOverview(
        gpu=gpu,
        generation=None if gpu is None else gpu.generation,
        nvenc={codec: answer.result() for codec, answer in encodes.items()},
        nvdec={codec: answer.result() for codec, answer in decodes.items()},
        sessions=sessions.status(),
        listed=() if gpu is None else encoder_sessions(gpu),
    )
