"""Which encoder a render begins with, and whether a failure of NVENC may end in software.

Belongs here: the decisions, each with the sentence that explains it in the report. The passes themselves are in
`stream` and `isolated`.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from dualface_core.encoding.failures import EncoderError, FailureClass, Reaction, reaction
from dualface_core.encoding.sessions import NvencSessions
from dualface_core.encoding.settings import Codec, EncoderKind, nvenc_encoder
from dualface_core.errors import SettingsError
from dualface_core.gpu.nvml import Gpu, find_gpus, gpu_name, nvenc_ability
from dualface_core.gpu.profiles import profile_in_force
from dualface_core.settings import Settings

_TRIAL_TIMEOUT: Final = 10.0
"""Longest wait for a slot to try NVENC in, in seconds. Other trials end sooner; an encode means that NVENC works."""

_ABSENT: Final = frozenset({FailureClass.NO_DRIVER, FailureClass.NO_NVENC_HW})
"""Failures that say that this machine has no NVENC, so that nothing is amiss. All others can be put right."""

_unusable: Final[dict[tuple[str, Codec], tuple[FailureClass, str]]] = {}
"""GPUs and codecs that are marked unusable in this process, and why."""


@dataclass(frozen=True)
class EncoderChoice:
    """What to begin with.

    Attributes:
        nvenc: True for NVENC, False for software.
        why: why it isn't NVENC, where NVENC was to be used if possible; None otherwise.
        fallback: whether NVENC could be made to work here, or was asked for. (A machine without it lacks nothing.)
        gpu: name under which the slots of the GPU's sessions are kept: its UUID, or "0" where NVML doesn't name it.
        driver: version of the NVIDIA driver; None without one.
        preset: what suits the GPU where the settings name none.
    """

    nvenc: bool
    why: str | None
    gpu: str
    driver: str | None
    preset: str = "fast"
    fallback: bool = False


def choose_encoder(settings: Settings) -> EncoderChoice:
    """Decide between NVENC and software, by trying NVENC where the answer isn't known yet.

    Of several GPUs that can encode it is the one with the fewest sessions in use or waited for.

    Raises:
        EncoderError: only NVENC will do, and it doesn't work here.
        SettingsError: NVENC is asked for and does not know the preset; or only NVENC will do and no session is allowed.
    """
    if settings.encoder is EncoderKind.SOFTWARE:
        return EncoderChoice(nvenc=False, why=None, gpu="", driver=None)
    nvenc_only = settings.encoder is EncoderKind.NVENC and not settings.software_fallback
    if settings.nvenc_max_sessions == 0:
        if nvenc_only:
            raise SettingsError("NVENC alone may encode, but 0 sessions are allowed. Allow one, or software.")
        asked = settings.encoder is EncoderKind.NVENC
        return EncoderChoice(
            nvenc=False, why="The settings allow no NVENC session.", gpu="", driver=None, fallback=asked
        )
    try:
        nvenc_encoder(settings.encoder_settings())
    except SettingsError as error:
        if settings.encoder is EncoderKind.NVENC:
            raise
        return EncoderChoice(nvenc=False, why=str(error), gpu="", driver=None)
    inventory = find_gpus()
    able: dict[NvencSessions, Gpu | None] = {}
    problems: list[tuple[FailureClass, str]] = []
    for gpu in inventory.gpus or (None,):
        sessions = NvencSessions(
            settings.runtime, gpu=gpu_name(gpu), limit=settings.nvenc_max_sessions, timeout=_TRIAL_TIMEOUT
        )
        problem = _problem(gpu, sessions, settings)
        if problem is None:
            able[sessions] = gpu
        else:
            problems.append(problem)
    if able:
        chosen = least_busy(able)
        preset = profile_in_force(settings, able[chosen]).preset
        return EncoderChoice(nvenc=True, why=None, gpu=chosen.gpu, driver=inventory.driver, preset=preset)
    failure, why = problems[0][0], " ".join(dict.fromkeys(reason for _, reason in problems))
    if nvenc_only:
        raise EncoderError(failure, encoder=nvenc_encoder(settings.encoder_settings()).name, reason=why)
    missed = settings.encoder is EncoderKind.NVENC or any(problem not in _ABSENT for problem, _ in problems)
    return EncoderChoice(nvenc=False, why=why, gpu="", driver=inventory.driver, fallback=missed)


def _problem(gpu: Gpu | None, sessions: NvencSessions, settings: Settings) -> tuple[FailureClass, str] | None:
    """Why this GPU cannot encode; None if it can."""
    if known := _unusable.get((sessions.gpu, settings.codec)):
        return known
    ability = nvenc_ability(settings.codec, gpu=gpu, cache=settings.cache, sessions=sessions)
    if ability.available or ability.busy:
        return None
    failure = ability.failure or FailureClass.UNKNOWN
    _mark_unusable(failure, ability.reason, sessions.gpu, settings.codec)
    return failure, ability.reason


def least_busy(candidates: Iterable[NvencSessions]) -> NvencSessions:
    """The GPU with the fewest sessions in use or waited for; of equals the first."""

    def queue_length(sessions: NvencSessions) -> int:
        status = sessions.status()
        return len(status.holders) + status.waiting

    return min(candidates, key=queue_length)


def may_fall_back(error: EncoderError, settings: Settings) -> bool:
    """Whether software may do what NVENC failed at: if the settings allow it and the failure is the GPU's."""
    return settings.software_fallback and reaction(error.failure) not in {Reaction.REPORT, Reaction.BUG}


def may_encode_again(encoder: str, settings: Settings) -> bool:
    """Whether software may encode again what this encoder made and verification refused: NVENC may be the cause."""
    return settings.software_fallback and encoder.endswith("_nvenc")


def mark_unusable(error: EncoderError, gpu: str, settings: Settings) -> None:
    """Mark a GPU unusable for the rest of this process, where the failure says that it cannot work."""
    _mark_unusable(error.failure, str(error), gpu, settings.codec)


def _mark_unusable(failure: FailureClass, why: str, gpu: str, codec: Codec) -> None:
    if reaction(failure) is Reaction.SOFTWARE_FOR_PROCESS:
        _unusable[gpu, codec] = (failure, why)
