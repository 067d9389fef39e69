"""Whether this machine's GPU really encodes and decodes: by doing it with one frame, in a process of its own.

Belongs here: the question, the answer and the process; what happens in that process is `nvenc_trial`. Not here:
remembering the answer (`dualface_core.gpu.nvml`). The one idea: no query can be trusted. NVML reports an encoder
capacity of 100 % for cards that have no encoder, and a container may show a GPU whose video engines it hides. The
process keeps a driver that hangs or crashes, and its CUDA context, away from ours; it costs about half a second.
"""

from __future__ import annotations

import subprocess
from typing import Final, Literal, Self

from pydantic import BaseModel, ConfigDict, ValidationError

from dualface_core.encoding.failures import FailureClass, advice
from dualface_core.encoding.settings import Codec
from dualface_core.system.child_processes import command, environment

TIMEOUT: Final = 60.0
"""Longest wait for an answer in seconds. A driver that starts its first CUDA context can take several, and on a machine
that is busy the process alone takes as many to load."""

Trial = Literal["encode", "decode"]


class Ability(BaseModel):
    """Whether NVENC encodes a codec here, or NVDEC decodes it.

    Attributes:
        available: True if a frame was encoded, and came out of a software decoder as it was; or if one was decoded and
            lay in the GPU's memory.
        failure: why not; None if available.
        reason: a sentence for people: what was done, or what was said and what can be done about it.
    """

    model_config = ConfigDict(frozen=True)

    available: bool
    failure: FailureClass | None = None
    reason: str

    @classmethod
    def lacking(cls, failure: FailureClass, reason: str) -> Self:
        """It doesn't work."""
        return cls(available=False, failure=failure, reason=reason)

    @property
    def busy(self) -> bool:
        """Whether all sessions were in use, so that it could not be tried: then there is an encoder."""
        return self.failure is FailureClass.SESSION_LIMIT


def try_codec(trial: Trial, codec: Codec, *, gpu: str | None = None) -> Ability:
    """Encode a frame with NVENC, or decode one with NVDEC. Raises nothing: what goes wrong is the answer.

    Args:
        trial: which of the two.
        codec: what to encode or decode.
        gpu: UUID of the card; without one FFmpeg takes the first that can.
    """
    try:
        ended = subprocess.run(
            command("dualface_core.media.nvenc_trial", trial, codec),
            env=environment(gpu),
            capture_output=True,
            text=True,
            timeout=TIMEOUT,
            check=False,
        )
    except subprocess.TimeoutExpired:
        reason = f"{advice(FailureClass.STALLED)} (It gave no answer within {TIMEOUT:g} s.)"
        return Ability.lacking(FailureClass.STALLED, reason)
    try:
        return Ability.model_validate_json(ended.stdout.strip().splitlines()[-1])
    except (IndexError, ValidationError):
        last = " ".join(ended.stderr.strip().splitlines()[-1:])
        reason = f"{advice(FailureClass.CRASHED)} (The process of the trial ended with code {ended.returncode}. {last})"
        return Ability.lacking(FailureClass.CRASHED, reason)
