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
from numpy.typing import NDArray

from dualface_core.encoding.failures import FailureClass, advice, classify, explain
from dualface_core.encoding.nvenc_probe import Ability, Trial
from dualface_core.encoding.settings import Codec, EncoderSettings, nvenc_encoder, software_encoder
from dualface_core.system.child_processes import end_with_parent

if TYPE_CHECKING:  # PyAV's packets are generic in its type stubs only
    from av.video.stream import VideoStream

    VideoPacket = Packet[VideoStream]

SIZE: Final = 256
"""Width and height of the frame: NVENC refuses frames narrower than about 145 pixels."""

_LARGEST_ERROR: Final = 8.0
"""Largest mean difference of a sample after encoding, of 255. A ramp has about 1, another frame dozens."""

# FFmpeg's own AV1 decoder works on hardware only.
_SOFTWARE_DECODERS: Final[dict[Codec, str]] = {"h264": "h264", "hevc": "hevc", "av1": "libdav1d"}


def main(trial: Trial, codec: Codec) -> None:
    """Try, and say what came of it."""
    end_with_parent()
    av.logging.set_level(av.logging.WARNING)
    found = _nvenc(codec) if trial == "encode" else _nvdec(codec)
    sys.stdout.write(found.model_dump_json() + "\n")
    sys.stdout.flush()


def _nvenc(codec: Codec) -> Ability:
    encoder = nvenc_encoder(EncoderSettings(codec=codec)).name
    with av.logging.Capture() as lines:
        try:
            packets = _encode(encoder)
            frames = _decode(_SOFTWARE_DECODERS[codec], packets)
        except av.codec.codec.UnknownCodecError:
            return Ability.lacking(FailureClass.NO_NVENC_HW, f"This build of FFmpeg has no encoder {encoder}.")
        except (av.error.FFmpegError, OSError) as error:
            return Ability.lacking(*_cause(error, lines))
    if len(frames) != 1 or not _is_trial_frame(frames[0]):
        reason = f"{advice(FailureClass.ENCODE_FAILED)} ({encoder} encoded a frame, and what came out is another.)"
        return Ability.lacking(FailureClass.ENCODE_FAILED, reason)
    return Ability(available=True, reason=f"{encoder} encoded a frame of {SIZE}x{SIZE}.")


def _nvdec(codec: Codec) -> Ability:
    with av.logging.Capture() as lines:
        try:
            packets = _encode(software_encoder(EncoderSettings(codec=codec)).name)
            hardware = HWAccel("cuda", allow_software_fallback=False, is_hw_owned=True)
            frames = _decode(codec, packets, hardware)
        except (av.error.FFmpegError, OSError, NotImplementedError, RuntimeError) as error:
            failure, reason = _cause(error, lines)
            if failure is FailureClass.BAD_PARAM:
                # The stream is valid and plain. A card that can't decode AV1 says no more than "get_buffer() failed".
                failure, reason = FailureClass.NO_NVENC_HW, explain(FailureClass.NO_NVENC_HW, error, _log(lines))
            return Ability.lacking(failure, reason)
    # FFmpeg may fall back to software without a word; only the frame itself tells where it lies.
    places = {frame.format.name for frame in frames}
    if places != {"cuda"}:
        reason = f"{advice(FailureClass.NO_NVENC_HW)} (The frame came out as {', '.join(places) or 'nothing'}.)"
        return Ability.lacking(FailureClass.NO_NVENC_HW, reason)
    return Ability(available=True, reason=f"NVDEC decoded a {codec} frame of {SIZE}x{SIZE}.")


def _encode(encoder: str) -> list[VideoPacket]:
    context = cast(VideoCodecContext, av.CodecContext.create(encoder, "w"))
    context.width, context.height, context.pix_fmt, context.time_base = SIZE, SIZE, "yuv420p", Fraction(1, 25)
    frame = VideoFrame.from_ndarray(_trial_planes(), format="yuv420p")
    frame.pts, frame.time_base = 0, context.time_base
    return [*context.encode(frame), *context.encode(None)]


def _trial_planes() -> NDArray[np.uint8]:
    """A yuv420p frame of ramps, (1.5 SIZE, SIZE): no two places are alike, and any encoder keeps them."""
    ramp = np.linspace(32, 224, SIZE * SIZE * 3 // 2)
    return ramp.astype(np.uint8).reshape(SIZE * 3 // 2, SIZE)


def _is_trial_frame(frame: VideoFrame) -> bool:
    if (frame.width, frame.height) != (SIZE, SIZE):
        return False
    found = frame.reformat(format="yuv420p").to_ndarray().astype(np.int16)
    return bool(np.abs(found - _trial_planes()).mean() <= _LARGEST_ERROR)


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
