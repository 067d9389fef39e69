"""One frame through NVENC or NVDEC: `python -m dualface_core.media.nvenc_trial encode h264`.

Belongs here: what happens in the process that `nvenc_probe` starts. Its last line on standard output is the answer, as
JSON.
"""

from __future__ import annotations

import sys
from fractions import Fraction
from typing import TYPE_CHECKING, Final, cast

import av
import av.codec.codec
import av.error
import av.logging
import numpy as np
from av.codec.hwaccel import HWAccel
from av.packet import Packet
from av.video.codeccontext import VideoCodecContext
from av.video.frame import VideoFrame

from dualface_core.encoding.failures import FailureClass, advice, classify, explain
from dualface_core.encoding.nvenc_probe import NvdecAbility, NvencAbility, Trial
from dualface_core.encoding.settings import Codec

if TYPE_CHECKING:  # PyAV's packets are generic in its type stubs only
    from av.video.stream import VideoStream

    VideoPacket = Packet[VideoStream]

SIZE: Final = 256
"""Width and height of the frame: NVENC refuses frames narrower than about 145 pixels."""

_NVENC_ENCODERS: Final[dict[Codec, str]] = {"h264": "h264_nvenc", "hevc": "hevc_nvenc", "av1": "av1_nvenc"}
_SOFTWARE_ENCODERS: Final[dict[Codec, str]] = {"h264": "libx264", "hevc": "libx265", "av1": "libsvtav1"}
# FFmpeg's own AV1 decoder works on hardware only.
_SOFTWARE_DECODERS: Final[dict[Codec, str]] = {"h264": "h264", "hevc": "hevc", "av1": "libdav1d"}


def main(trial: Trial, codec: Codec) -> None:
    """Try, and say what came of it."""
    av.logging.set_level(av.logging.WARNING)
    found = _nvenc(codec) if trial == "encode" else _nvdec(codec)
    sys.stdout.write(found.model_dump_json() + "\n")
    sys.stdout.flush()


def _nvenc(codec: Codec) -> NvencAbility:
    encoder = _NVENC_ENCODERS[codec]
    with av.logging.Capture() as lines:
        try:
            packets = _encode(encoder)
            frames = _decode(_SOFTWARE_DECODERS[codec], packets)
        except av.codec.codec.UnknownCodecError:
            return NvencAbility.lacking(FailureClass.NO_NVENC_HW, f"This build of FFmpeg has no encoder {encoder}.")
        except (av.error.FFmpegError, OSError) as error:
            return NvencAbility.lacking(*_cause(error, lines))
    if [(frame.width, frame.height) for frame in frames] != [(SIZE, SIZE)]:
        reason = f"{advice(FailureClass.UNKNOWN)} ({encoder} encoded 1 frame, but {len(frames)} came out of it.)"
        return NvencAbility.lacking(FailureClass.UNKNOWN, reason)
    return NvencAbility(available=True, reason=f"{encoder} encoded a frame of {SIZE}x{SIZE}.")


def _nvdec(codec: Codec) -> NvdecAbility:
    with av.logging.Capture() as lines:
        try:
            packets = _encode(_SOFTWARE_ENCODERS[codec])
            hardware = HWAccel("cuda", allow_software_fallback=False, is_hw_owned=True)
            frames = _decode(codec, packets, hardware)
        except (av.error.FFmpegError, OSError, NotImplementedError, RuntimeError) as error:
            failure, reason = _cause(error, lines)
            if failure is FailureClass.BAD_PARAM:
                # The stream is valid and plain. A card that can't decode AV1 says no more than "get_buffer() failed".
                failure, reason = FailureClass.NO_NVENC_HW, explain(FailureClass.NO_NVENC_HW, error, _log(lines))
            return NvdecAbility.lacking(failure, reason)
    # FFmpeg may fall back to software without a word; only the frame itself tells where it lies.
    places = {frame.format.name for frame in frames}
    if places != {"cuda"}:
        reason = f"{advice(FailureClass.NO_NVENC_HW)} (The frame came out as {', '.join(places) or 'nothing'}.)"
        return NvdecAbility.lacking(FailureClass.NO_NVENC_HW, reason)
    return NvdecAbility(available=True, reason=f"NVDEC decoded a {codec} frame of {SIZE}x{SIZE}.")


def _encode(encoder: str) -> list[VideoPacket]:
    context = cast(VideoCodecContext, av.CodecContext.create(encoder, "w"))
    context.width, context.height, context.pix_fmt, context.time_base = SIZE, SIZE, "yuv420p", Fraction(1, 25)
    gray = np.full((SIZE * 3 // 2, SIZE), 128, np.uint8)
    frame = VideoFrame.from_ndarray(gray, format="yuv420p")
    frame.pts, frame.time_base = 0, context.time_base
    return [*context.encode(frame), *context.encode(None)]


def _decode(decoder: str, packets: list[VideoPacket], hardware: HWAccel | None = None) -> list[VideoFrame]:
    context = cast(VideoCodecContext, av.CodecContext.create(decoder, "r", hardware))
    return [frame for packet in [*packets, None] for frame in context.decode(packet)]


def _cause(error: Exception, lines: list[tuple[int, str, str]]) -> tuple[FailureClass, str]:
    failure = classify(error, _log(lines))
    return failure, explain(failure, error, _log(lines))


def _log(lines: list[tuple[int, str, str]]) -> list[str]:
    return [f"[{name}] {text.strip()}" for _, name, text in lines]


if __name__ == "__main__":
    main(cast(Trial, sys.argv[1]), cast(Codec, sys.argv[2]))
