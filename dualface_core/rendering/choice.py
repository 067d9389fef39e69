"""Which encoder a render begins with, and whether a failure of NVENC may end in software.

Belongs here: the decisions, each with the sentence that explains it in the report. The passes themselves are in
`stream` and `isolated`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from dualface_core.gpu.device import Gpu, find_gpus, nvenc_ability
from dualface_core.gpu.sessions import NvencSessions
from dualface_core.media.encoders import EncoderKind, nvenc_encoder
from dualface_core.media.errors import EncoderError, FailureClass, Reaction, reaction
from dualface_core.settings import Settings

_TRIAL_PATIENCE: Final = 10.0
"""Longest wait for a slot to try NVENC in, in seconds. Other trials end sooner; an encode means that NVENC works."""

_given_up: Final[dict[str, str]] = {}
"""GPUs whose NVENC this process has given up on, and why: a context that is lost stays lost until the process ends."""


@dataclass(frozen=True)
class EncoderChoice:
    """What to begin with.

    Attributes:
        nvenc: True for NVENC, False for software.
        why: why it isn't NVENC, where NVENC was to be used if possible; None otherwise.
        gpu: name under which the slots of the GPU's sessions are kept.
        driver: version of the NVIDIA driver; None without one.
    """

    nvenc: bool
    why: str | None
    gpu: str
    driver: str | None


def choose_encoder(settings: Settings) -> EncoderChoice:
    """Decide between NVENC and software, by trying NVENC where the answer isn't known yet.

    Raises EncoderError where only NVENC will do and it doesn't work here.
    """
    if settings.encoder is EncoderKind.SOFTWARE:
        return EncoderChoice(nvenc=False, why=None, gpu="", driver=None)
    if settings.nvenc_max_sessions == 0:
        return EncoderChoice(nvenc=False, why="The settings allow no NVENC session.", gpu="", driver=None)
    inventory = find_gpus()
    gpu = inventory.gpus[0] if inventory.gpus else None
    name = gpu_name(gpu)
    if name in _given_up:
        failure, why = FailureClass.DEVICE_LOST, _given_up[name]
    else:
        sessions = NvencSessions(settings.runtime, gpu=name, limit=settings.nvenc_max_sessions, timeout=_TRIAL_PATIENCE)
        ability = nvenc_ability(settings.codec, gpu=gpu, cache=settings.cache, sessions=sessions)
        # Sessions that are all in use are the best proof that there are some.
        if ability.available or ability.failure is FailureClass.SESSION_LIMIT:
            return EncoderChoice(nvenc=True, why=None, gpu=name, driver=inventory.driver)
        failure, why = ability.failure or FailureClass.UNKNOWN, ability.reason
    if settings.encoder is EncoderKind.NVENC and not settings.software_fallback:
        raise EncoderError(failure, encoder=nvenc_encoder(settings.encoder_settings()).name, reason=why)
    return EncoderChoice(nvenc=False, why=why, gpu=name, driver=inventory.driver)


def may_fall_back(error: EncoderError, settings: Settings) -> bool:
    """Whether software may do what NVENC failed at: if the settings allow it and the failure is the GPU's."""
    return settings.software_fallback and reaction(error.failure) not in {Reaction.TELL_USER, Reaction.BUG}


def remember(error: EncoderError, gpu: str) -> None:
    """Give up on a GPU for the rest of this process, where the failure says that trying again is vain."""
    if reaction(error.failure) is Reaction.SOFTWARE_FOR_PROCESS:
        _given_up[gpu] = str(error)


def gpu_name(gpu: Gpu | None) -> str:
    """What the slots of a GPU's sessions are kept under: its UUID, or "0" where NVML doesn't tell."""
    return "0" if gpu is None else gpu.uuid
