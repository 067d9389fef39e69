from __future__ import annotations

import ctypes
import errno
import io
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import av
import av.error
import av.logging
import numpy as np
import pytest

from dualface_core.encoding.failures import (
    EncoderError,
    FailureClass,
    Reaction,
    SessionTimeoutError,
    advice,
    classify,
    explain,
    is_gpu_failure,
    reaction,
)
from dualface_core.errors import OutputError, SettingsError
from dualface_core.system.cuda import CudaError

EXTERNAL, UNKNOWN_NUMBER = 542398533, 1313558101


def ffmpeg_error(number: int) -> Exception:
    """The exception that PyAV makes of one of FFmpeg's error numbers."""
    try:
        av.error.err_check(-number)
    except av.error.FFmpegError as error:
        return error
    raise AssertionError(number)


NO_CAPABLE = "No capable devices found"
NO_DEVICE = " -> CUDA_ERROR_NO_DEVICE: no CUDA-capable device is detected"
OLD_API = "Driver does not support the required nvenc API version. Required: 13.0 Found: 12.2"
SESSION_FULL = "OpenEncodeSessionEx failed: out of memory (10): (no details)"
TOO_SMALL = "InitializeEncoder failed: invalid param (8): Frame Dimension less than the minimum"
MINIMUM_DRIVER = "The minimum required Nvidia driver for nvenc is 570.0 or newer"

# What FFmpeg's nvenc.c, cuviddec.c and hwcontext_cuda.c print, and the number that they return with it.
FAILURES = [
    # Software frames: every device is tried, and one number is left for all reasons.
    (EXTERNAL, ["OpenEncodeSessionEx failed: incompatible client key (21): (no details)", NO_CAPABLE], "session-limit"),
    (EXTERNAL, [SESSION_FULL, NO_CAPABLE], "session-limit"),
    (EXTERNAL, ["OpenEncodeSessionEx failed: unsupported device (2): (no details)", NO_CAPABLE], "no-nvenc-hardware"),
    (EXTERNAL, ["OpenEncodeSessionEx failed: no encode device (1): (no details)", NO_CAPABLE], "no-nvenc-hardware"),
    (EXTERNAL, [NO_CAPABLE], "no-nvenc-hardware"),
    (EXTERNAL, ["Codec not supported", NO_CAPABLE], "no-nvenc-hardware"),
    (EXTERNAL, ["Width 8192 exceeds 4096", NO_CAPABLE], "bad-parameter"),
    (EXTERNAL, ["B frames as references are not supported", NO_CAPABLE], "bad-parameter"),
    (EXTERNAL, ["No CUDA capable devices found"], "gpu-visibility"),
    # Frames on the GPU: the code's own number passes through.
    (errno.ENOMEM, [SESSION_FULL], "session-limit"),
    (errno.EINVAL, ["OpenEncodeSessionEx failed: incompatible client key (21): (no details)"], "session-limit"),
    (errno.ENOSYS, ["OpenEncodeSessionEx failed: unsupported device (2): (no details)"], "no-nvenc-hardware"),
    (errno.ENOENT, ["OpenEncodeSessionEx failed: no encode device (1): (no details)"], "no-nvenc-hardware"),
    (errno.EINVAL, ["OpenEncodeSessionEx failed: invalid version (15): (no details)"], "old-driver"),
    # Memory.
    (EXTERNAL, ["dl_fn->cuda_dl->cuCtxCreate(...) failed -> CUDA_ERROR_OUT_OF_MEMORY: out of memory"], "vram-oom"),
    (EXTERNAL, ["cuCtxCreate failed -> CUDA_ERROR_OUT_OF_MEMORY: out of memory", SESSION_FULL], "vram-oom"),
    (errno.ENOMEM, ["CreateInputBuffer failed: out of memory (10): "], "vram-oom"),
    (errno.ENOMEM, ["CreateBitstreamBuffer failed: out of memory (10): "], "vram-oom"),
    (errno.ENOMEM, ["EncodePicture failed!: out of memory (10): "], "vram-oom"),
    (errno.ENOMEM, ["Failed locking bitstream buffer: out of memory (10): "], "vram-oom"),
    (errno.ENOMEM, ["No decoder surfaces left"], "vram-oom"),
    # Drivers.
    (errno.EPERM, ["Cannot load libcuda.so.1"], "no-driver"),
    (errno.EPERM, ["Cannot load nvcuda.dll"], "no-driver"),
    (UNKNOWN_NUMBER, ["cuInit(0) failed", " -> CUDA_ERROR_SYSTEM_DRIVER_MISMATCH: system has..."], "no-driver"),
    (errno.EPERM, ["Cannot load libnvidia-encode.so.1", MINIMUM_DRIVER], "no-video-capability"),
    (errno.EPERM, ["Cannot load libnvcuvid.so.1"], "no-video-capability"),
    (errno.ENOSYS, [OLD_API, MINIMUM_DRIVER], "old-driver"),
    (UNKNOWN_NUMBER, ["dl_fn->cuda_dl->cuInit(0) failed", NO_DEVICE], "gpu-visibility"),
    (UNKNOWN_NUMBER, ["ctx->cvdl->cuvidGetDecoderCaps(&caps) failed -> CUDA_ERROR_NO_DEVICE (100)"], "gpu-visibility"),
    # Contexts and devices.
    (errno.ENOTSUP, ["Primary context already active with incompatible flags."], "context-conflict"),
    (errno.ENOTSUP, [], "context-conflict"),
    (errno.EIO, ["RegisterResource failed: resource register failed (23): "], "context-conflict"),
    (UNKNOWN_NUMBER, ["cuCtxSynchronize failed -> CUDA_ERROR_ILLEGAL_ADDRESS: an illegal memory..."], "device-lost"),
    (UNKNOWN_NUMBER, ["cuMemcpy failed -> CUDA_ERROR_LAUNCH_FAILED: unspecified launch failure"], "device-lost"),
    (errno.EIO, ["EncodePicture failed!: device does not exist (5): "], "device-lost"),
    # Settings.
    (errno.EINVAL, [TOO_SMALL], "bad-parameter"),
    (errno.ENOSYS, ["InitializeEncoder failed: unsupported param (12): "], "bad-parameter"),
    (errno.EINVAL, ["EncodePicture failed!: invalid param (8): "], "bad-parameter"),
    (errno.EINVAL, [], "bad-parameter"),
    # The user's file or disk.
    (errno.ENOSPC, [], "user-error"),
    (errno.EACCES, [], "user-error"),
    (1094995529, [], "user-error"),
    (errno.EINVAL, ["Application provided invalid, non monotonically increasing dts to muxer"], "user-error"),
    # Our own.
    (541478725, [], "double-flush"),
    # The driver, in the middle of the work.
    (UNKNOWN_NUMBER, ["EncodePicture failed!: generic error (20): "], "encode-failed"),
    (UNKNOWN_NUMBER, ["Failed locking bitstream buffer: generic error (20): "], "encode-failed"),
    # What nobody can tell apart.
    (errno.EINVAL, ["OpenEncodeSessionEx failed: invalid encoder device (3): "], "unknown"),
    (EXTERNAL, [], "unknown"),
    (errno.EAGAIN, [], "unknown"),
]


@pytest.mark.parametrize(("number", "log", "expected"), FAILURES)
def test_the_log_decides_the_class_whatever_the_case_of_its_letters(number, log, expected):
    error = ffmpeg_error(number)
    assert classify(error, log) == expected
    assert classify(error, [f"[h264_nvenc] {line}\n".upper() for line in log]) == expected


def test_a_session_that_waiting_may_free_wins_over_another_card_without_an_encoder():
    log = [
        "OpenEncodeSessionEx failed: unsupported device (2): (no details)",
        "OpenEncodeSessionEx failed: incompatible client key (21): (no details)",
        NO_CAPABLE,
    ]
    assert classify(ffmpeg_error(EXTERNAL), log) is FailureClass.SESSION_LIMIT


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (CudaError("cuMemAlloc_v2", 2, "CUDA_ERROR_OUT_OF_MEMORY"), "vram-oom"),
        (CudaError("cuEventSynchronize", 716, "CUDA_ERROR_MISALIGNED_ADDRESS"), "device-lost"),
        (CudaError("cuEventSynchronize", 700, "CUDA_ERROR_ILLEGAL_ADDRESS"), "device-lost"),
        (CudaError("cuLaunchKernel", 702, "CUDA_ERROR_LAUNCH_TIMEOUT"), "device-lost"),
        (MemoryError(), "unknown"),
        (TypeError("unsupported operand"), "internal-error"),
        (OutputError("out.mp4", "the disk is full", action="Free some space."), "user-error"),
        (SettingsError("quality is 99"), "user-error"),
        (EncoderError(FailureClass.STALLED, encoder="h264_nvenc", reason="no frame for 30 s"), "stalled"),
        (SessionTimeoutError(FailureClass.SESSION_LIMIT, encoder="nvenc", reason="both are held"), "session-limit"),
    ],
)
def test_errors_that_are_not_ffmpegs_have_a_class_too(error, expected):
    assert classify(error) == expected


def encoder(name: str) -> av.VideoCodecContext:
    context = av.CodecContext.create(name, "w")
    context.width, context.height, context.pix_fmt, context.time_base = 256, 256, "yuv420p", Fraction(1, 25)
    return context


def open_without_driver(tmp_path: Path) -> None:
    encoder("h264_nvenc").open()


def flush_twice(tmp_path: Path) -> None:
    context = encoder("libx264")
    context.encode(None)
    context.encode(None)


def decode_noise(tmp_path: Path) -> None:
    av.open(io.BytesIO(b"this is no video" * 64))


def write_timestamps_backwards(tmp_path: Path) -> None:
    with av.open(str(tmp_path / "backwards.mp4"), "w") as container:
        stream = container.add_stream("libx264", rate=25, options={"tune": "zerolatency"})
        stream.width, stream.height, stream.pix_fmt = 64, 64, "yuv420p"
        for index in range(2):
            frame = av.VideoFrame.from_ndarray(np.zeros((96, 64), np.uint8), format="yuv420p")
            frame.pts, frame.time_base = index, Fraction(1, 25)
            for packet in stream.encode(frame):
                packet.dts = packet.pts = 9 - index
                container.mux(packet)


def write_to_a_full_disk(tmp_path: Path) -> None:
    with Path("/dev/full").open("wb", buffering=0) as file:
        file.write(b"0")


def has_driver() -> bool:
    try:
        ctypes.CDLL("libcuda.so.1")
    except OSError:
        return False
    return True


@pytest.mark.parametrize(
    ("provoke", "expected"),
    [
        pytest.param(
            open_without_driver, "no-driver", marks=pytest.mark.skipif(has_driver(), reason="an NVIDIA driver is here")
        ),
        (flush_twice, "double-flush"),
        (decode_noise, "user-error"),
        (write_timestamps_backwards, "user-error"),
        (write_to_a_full_disk, "user-error"),
    ],
)
def test_what_ffmpeg_really_raises_is_classified(provoke: Callable[[Path], None], expected, tmp_path):
    level = av.logging.get_level()
    av.logging.set_level(av.logging.WARNING)
    try:
        with av.logging.Capture() as captured, pytest.raises((av.error.FFmpegError, OSError)) as caught:
            provoke(tmp_path)
    finally:
        av.logging.set_level(level)
    assert classify(caught.value, [message for _, _, message in captured]) == expected


@pytest.mark.parametrize("failure", list(FailureClass))
def test_every_class_has_a_reaction_and_tells_the_user_something(failure):
    assert isinstance(reaction(failure), Reaction)
    assert advice(failure).endswith(".")


def test_only_a_full_session_table_is_worth_waiting_for():
    assert [failure for failure in FailureClass if reaction(failure) is Reaction.WAIT] == [FailureClass.SESSION_LIMIT]


def test_what_the_user_did_is_never_answered_by_another_encoder():
    assert reaction(FailureClass.USER_ERROR) is Reaction.REPORT
    assert reaction(FailureClass.DOUBLE_FLUSH) is reaction(FailureClass.INTERNAL) is Reaction.BUG


def test_a_refused_setting_is_not_called_a_failure_of_the_gpu():
    assert not is_gpu_failure(FailureClass.BAD_PARAM)
    assert is_gpu_failure(FailureClass.SESSION_LIMIT)


def test_the_explanation_says_what_to_do_and_quotes_the_line_that_tells():
    log = ["Cannot load libnvidia-encode.so.1\n", f"{MINIMUM_DRIVER}\n"]
    error = EncoderError.caused_by(ffmpeg_error(errno.EPERM), encoder="h264_nvenc", log=log)
    assert error.failure is FailureClass.NO_VIDEO_CAP
    assert "NVIDIA_DRIVER_CAPABILITIES=compute,video,utility" in str(error)
    assert "Cannot load libnvidia-encode.so.1" in str(error)
    assert "\n" not in str(error)
    assert error.log == tuple(log)


def test_an_explanation_without_a_log_quotes_the_exception():
    assert "unsupported operand" in explain(FailureClass.INTERNAL, TypeError("unsupported operand"))
