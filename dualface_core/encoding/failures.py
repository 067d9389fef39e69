"""How an encoder fails: one class per cause, one reaction per class.

Belongs here: the taxonomy, the classifier that reads it out of an exception and the captured FFmpeg log, and the
advice to a person. The one idea: the exception alone says little (a full session table and a card without NVENC raise
the same type with the same number), so the log decides. Capture it at WARNING or a more verbose level around the open
and around every `encode()`; nothing here imports PyAV, so that any layer can name a failure cheaply.
"""

from __future__ import annotations

import errno
import re
from collections.abc import Sequence
from enum import StrEnum
from typing import Final, Self

from dualface_core.errors import DualfaceError, one_line


class Reaction(StrEnum):
    """What to do about a failure."""

    WAIT = "wait and try again, then encode in software"
    SOFTWARE = "encode in software"
    SOFTWARE_FOR_PROCESS = "encode in software, and remember it for this process"
    REPORT = "stop and report the cause"
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
    ENCODE_FAILED = "encode-failed"
    STALLED = "stalled"
    CRASHED = "crashed"
    RUNTIME_FOLDER = "runtime-folder"
    USER_ERROR = "user-error"
    DOUBLE_FLUSH = "double-flush"
    INTERNAL = "internal-error"
    UNKNOWN = "unknown"


_REACTIONS: Final = {
    FailureClass.SESSION_LIMIT: Reaction.WAIT,
    FailureClass.VRAM_OOM: Reaction.SOFTWARE,
    FailureClass.NO_NVENC_HW: Reaction.SOFTWARE_FOR_PROCESS,
    FailureClass.GPU_VISIBILITY: Reaction.SOFTWARE_FOR_PROCESS,
    FailureClass.NO_DRIVER: Reaction.SOFTWARE_FOR_PROCESS,
    FailureClass.NO_VIDEO_CAP: Reaction.SOFTWARE_FOR_PROCESS,
    FailureClass.OLD_DRIVER: Reaction.SOFTWARE_FOR_PROCESS,
    FailureClass.CTX_CONFLICT: Reaction.SOFTWARE_FOR_PROCESS,
    # Other settings may work where these do not, and the next video may have others: nothing to remember.
    FailureClass.BAD_PARAM: Reaction.SOFTWARE,
    # The CUDA context is dead, but it dies with the process that encodes: the next encode has one of its own.
    FailureClass.DEVICE_LOST: Reaction.SOFTWARE,
    FailureClass.ENCODE_FAILED: Reaction.SOFTWARE,
    FailureClass.STALLED: Reaction.SOFTWARE,
    FailureClass.CRASHED: Reaction.SOFTWARE,
    FailureClass.RUNTIME_FOLDER: Reaction.SOFTWARE,
    FailureClass.USER_ERROR: Reaction.REPORT,
    FailureClass.DOUBLE_FLUSH: Reaction.BUG,
    FailureClass.INTERNAL: Reaction.BUG,
    FailureClass.UNKNOWN: Reaction.SOFTWARE,
}

_ADVICE: Final = {
    FailureClass.SESSION_LIMIT: (
        "All NVENC sessions that the driver allows are in use. "
        "Close other programs that encode on this GPU, or lower the number of sessions."
    ),
    FailureClass.VRAM_OOM: (
        "The GPU's memory is full. Close other programs that use it, or work on fewer videos at once."
    ),
    FailureClass.NO_NVENC_HW: (
        "This GPU has no engine for this codec (NVENC encodes, NVDEC decodes). Nothing needs to be installed: use "
        "software, another codec or another card."
    ),
    FailureClass.GPU_VISIBILITY: (
        "The driver is installed but does not show this process a GPU that it may use. "
        "In a container expose all GPUs (--gpus all) or update the driver to 610 or newer; elsewhere check "
        "CUDA_VISIBLE_DEVICES."
    ),
    FailureClass.NO_DRIVER: (
        "No working NVIDIA driver was found. To use NVENC install driver 570 or newer (and restart after an update); "
        "in a container start it with --gpus all."
    ),
    FailureClass.NO_VIDEO_CAP: (
        "The driver's video libraries are missing, though the driver itself is there. In a container set "
        "NVIDIA_DRIVER_CAPABILITIES=compute,video,utility; elsewhere install the driver's encode and decode packages."
    ),
    FailureClass.OLD_DRIVER: "The NVIDIA driver is too old for this FFmpeg. Install driver 570 or newer.",
    FailureClass.CTX_CONFLICT: (
        "NVENC and another user of CUDA in this process disagree about the CUDA context. "
        "Encode in a process of its own, or pass frames through host memory."
    ),
    FailureClass.BAD_PARAM: (
        "The encoder refused its settings; the GPU itself is fine. Choose another preset, size or codec."
    ),
    FailureClass.DEVICE_LOST: (
        "The GPU reported a fault, and the process that encoded could no longer use it. "
        "If it returns, look for 'Xid' in the kernel log and restart the machine."
    ),
    FailureClass.ENCODE_FAILED: (
        "The driver reported a failure while encoding. "
        "If it returns, update the driver, and look for 'Xid' in the kernel log."
    ),
    FailureClass.STALLED: (
        "The encoder stopped answering. Its process has to end before its session is free; "
        "if it returns, restart the machine or update the driver."
    ),
    FailureClass.CRASHED: (
        "The encoder took its process down. If it returns, update the driver, and look for 'Xid' in the kernel log."
    ),
    FailureClass.RUNTIME_FOLDER: "Set DUALFACE_RUNTIME to a folder of your own on a local disk with some room.",
    FailureClass.USER_ERROR: "The input or the place of the output is at fault, so no other encoder would do better.",
    FailureClass.DOUBLE_FLUSH: "The encoder was used after it had been flushed. This is a bug in dualface: report it.",
    FailureClass.INTERNAL: "This is a bug in dualface: report it with the traceback.",
    FailureClass.UNKNOWN: "The encoder failed in a way that is not known here. Report it with the log.",
}

# In order: the first that matches names the class. A log can hold lines of several devices, since FFmpeg tries one
# after the other: what waiting or installing can cure comes before "there is no encoder".
_PATTERNS: Final = tuple(
    (failure, re.compile(pattern, re.IGNORECASE))
    for failure, pattern in (
        # Disk full has a number too, but a muxer may report it as an input/output error.
        (FailureClass.USER_ERROR, r"non monotonically increasing dts|no space left on device"),
        # Current drivers refuse a session with code 21. Code 10 of old drivers is also what a full memory gives.
        (FailureClass.SESSION_LIMIT, r"OpenEncodeSessionEx failed: .*\(21\)"),
        (
            FailureClass.DEVICE_LOST,
            r"misaligned[ _]?address|illegal[ _]?(memory )?(address|access)|HW[ _]?reset"
            r"|launch[ _]?(fail|timeout|timed out)|device does not exist \(5\)|ECC_UNCORRECTABLE|GPU is lost",
        ),
        (
            FailureClass.VRAM_OOM,
            r"CUDA_ERROR_OUT_OF_MEMORY|No decoder surfaces left",
        ),
        (FailureClass.SESSION_LIMIT, r"OpenEncodeSessionEx failed: .*\(10\)"),
        (FailureClass.VRAM_OOM, r"failed!?: out of memory|Failed (un)?locking .*: out of memory"),
        (FailureClass.NO_DRIVER, r"Cannot load (libcuda|nvcuda)|CUDA_ERROR_SYSTEM_(DRIVER_MISMATCH|NOT_READY)"),
        (FailureClass.NO_VIDEO_CAP, r"Cannot load (libnvidia-encode|libnvcuvid|nvEncodeAPI|nvcuvid)"),
        (FailureClass.OLD_DRIVER, r"does not support the required nvenc API version|failed: invalid version \(15\)"),
        (FailureClass.GPU_VISIBILITY, r"CUDA_ERROR_NO_DEVICE|No CUDA capable devices found"),
        (FailureClass.CTX_CONFLICT, r"Primary context already active|resource register failed \(23\)"),
        (
            FailureClass.NO_NVENC_HW,
            r"unsupported device \(2\)|no encode device \(1\)|Codec not supported"
            r"|Hardware is lacking required capabilities|doesn't support hardware accelerated",
        ),
        (
            FailureClass.BAD_PARAM,
            r"InitializeEncoder failed: (invalid param \(8\)|unsupported param \(12\))|EncodePicture failed!?: invalid"
            # "Operation not supported" is the operating system's text for a number, not a word of the encoder.
            r"|(?<!operation )not supported|(width|height) \d+ exceeds|doesn't support required NVENC features",
        ),
        (FailureClass.NO_NVENC_HW, r"No capable devices found"),
        (FailureClass.ENCODE_FAILED, r"EncodePicture failed|Failed (un)?(lock|mapp)ing .*(buffer|resource)"),
    )
)

# What FFmpeg's own error numbers are (libavutil/error.h: the negated tag of four letters).
_FFMPEG_EOF: Final = 541478725
_FFMPEG_INVALID_DATA: Final = 1094995529

_NOT_THE_GPU: Final = frozenset(
    {
        FailureClass.BAD_PARAM,
        FailureClass.RUNTIME_FOLDER,
        FailureClass.USER_ERROR,
        FailureClass.DOUBLE_FLUSH,
        FailureClass.INTERNAL,
    }
)


class EncoderError(DualfaceError):
    """An encoder could not be opened or failed while encoding.

    Attributes:
        failure: the class of the failure.
        encoder: FFmpeg's name of the encoder, such as `h264_nvenc`.
        reason: a sentence for people: what was said, and what can be done.
        log: the captured lines of FFmpeg's log, oldest first.
        waited: seconds for which a session was waited for before it failed.
    """

    def __init__(
        self, failure: FailureClass, *, encoder: str, reason: str, log: tuple[str, ...] = (), waited: float = 0.0
    ) -> None:
        self.failure = failure
        self.encoder = encoder
        self.reason = reason
        self.log = log
        self.waited = waited
        super().__init__(failure, encoder, reason)

    def __str__(self) -> str:
        return f"{self.encoder} failed ({self.failure.value}): {self.reason}"

    @classmethod
    def caused_by(cls, error: BaseException, *, encoder: str, log: Sequence[str] = ()) -> Self:
        """Classify an exception and its log, and say both what was said and what can be done."""
        failure = classify(error, log)
        return cls(failure, encoder=encoder, reason=explain(failure, error, log), log=tuple(log))


class SessionTimeoutError(EncoderError):
    """No NVENC session became free within the time allowed."""


def classify(error: BaseException, log: Sequence[str] = ()) -> FailureClass:
    """Name the cause of an encoder's failure.

    Args:
        error: what was raised.
        log: FFmpeg's log lines from the failed call (WARNING and worse), oldest first. The call's own lines only: an
            older failure's lines would be taken for this one's.

    The texts are FFmpeg's (libavcodec/nvenc.c, cuviddec.c, libavutil/hwcontext_cuda.c) and `CudaError`'s, matched
    without regard to case. An error that came neither from FFmpeg nor from CUDA nor from the operating system is a bug.
    """
    if isinstance(error, EncoderError):
        return error.failure
    if isinstance(error, DualfaceError):
        return FailureClass.USER_ERROR
    number = getattr(error, "errno", None)
    if isinstance(error, EOFError) or number == _FFMPEG_EOF:
        return FailureClass.DOUBLE_FLUSH
    if number in {_FFMPEG_INVALID_DATA, errno.ENOSPC, errno.EDQUOT, errno.EACCES, errno.EROFS}:
        return FailureClass.USER_ERROR
    text = "\n".join([*log, str(error)])
    failure = next((named for named, pattern in _PATTERNS if pattern.search(text)), None)
    if failure is None:
        return _by_number(error, text)
    return failure


def reaction(failure: FailureClass) -> Reaction:
    """What to do about a failure of this class."""
    return _REACTIONS[failure]


def is_gpu_failure(failure: FailureClass) -> bool:
    """False where the settings, the user's file or our own code is at fault and the GPU is not."""
    return failure not in _NOT_THE_GPU


def advice(failure: FailureClass) -> str:
    """A plain sentence or two for the user: what this class means, and what to install, change or do."""
    return _ADVICE[failure]


def explain(failure: FailureClass, error: BaseException, log: Sequence[str] = ()) -> str:
    """The advice of the class, and the words of the driver or of FFmpeg that led to it."""
    if isinstance(error, EncoderError):
        return error.reason
    patterns = [pattern for named, pattern in _PATTERNS if named is failure]
    # FFmpeg logs some lines in pieces, the last of them empty but for the name of the component.
    lines = [line.strip() for line in log if re.sub(r"^\[.*?\]", "", line).strip()]
    matching = next((line for line in lines if any(pattern.search(line) for pattern in patterns)), None)
    words = matching or (lines[-1] if lines else str(error).strip()) or type(error).__name__
    return f"{advice(failure)} (What was said: {one_line(words)})"


def _by_number(error: BaseException, text: str) -> FailureClass:
    """The class where the log says nothing; only these numbers are unambiguous."""
    match getattr(error, "errno", None):
        case errno.EINVAL if "openencodesessionex" not in text.casefold():
            return FailureClass.BAD_PARAM
        case errno.ENOTSUP:
            return FailureClass.CTX_CONFLICT
        case None if not isinstance(error, MemoryError):
            return FailureClass.INTERNAL
        case _:
            return FailureClass.UNKNOWN
