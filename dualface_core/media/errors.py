"""How an encoder fails: one class per cause, one reaction per class.

Belongs here: the taxonomy and the classifier that reads it out of an exception and the captured FFmpeg log. The
exception alone says little (a full session table and a card without NVENC raise the same type), so the log decides.
"""

from __future__ import annotations

from enum import StrEnum

from dualface_core.errors import DualfaceError


class Reaction(StrEnum):
    """What to do about a failure."""

    WAIT = "wait and try again, then encode in software"
    SOFTWARE = "encode in software"
    SOFTWARE_FOR_PROCESS = "encode in software, and remember it for this process"
    TELL_USER = "stop and tell the user"
    BUG = "stop: a bug of ours"


class FailureClass(StrEnum):
    """Why an encoder failed."""

    SESSION_LIMIT = "session-limit"
    VRAM_OOM = "vram-oom"
    NO_NVENC_HW = "no-nvenc-hardware"
    GPU_VISIBILITY = "gpu-visibility"
    NO_DRIVER = "no-driver"
    NO_VIDEO_CAP = "no-video-capability"
    OLD_DRIVER = "old-driver"
    CTX_CONFLICT = "context-conflict"
    BAD_PARAM = "bad-parameter"
    DEVICE_LOST = "device-lost"
    STALLED = "stalled"
    USER_ERROR = "user-error"
    DOUBLE_FLUSH = "double-flush"
    UNKNOWN = "unknown"


class EncoderError(DualfaceError):
    """An encoder could not be opened or failed while encoding.

    Attributes:
        failure: the class of the failure.
        encoder: FFmpeg's name of the encoder, such as `h264_nvenc`.
        reason: a sentence for people: what was said, and what can be done.
        log: the captured lines of FFmpeg's log, oldest first.
    """

    def __init__(self, failure: FailureClass, *, encoder: str, reason: str, log: tuple[str, ...] = ()) -> None:
        self.failure = failure
        self.encoder = encoder
        self.reason = reason
        self.log = log
        super().__init__(failure, encoder, reason)

    def __str__(self) -> str:
        return f"{self.encoder} failed ({self.failure.value}): {self.reason}"


class SessionTimeoutError(EncoderError):
    """No NVENC session became free within the time allowed."""
