"""VideoInfo: what a file is, exactly, or why it cannot be used.

Belongs here: reading a container's streams and timestamps without decoding more than one frame. The numbers come
from the packets themselves and not from what a header claims, so a file that was cut off is found out here.
"""

from __future__ import annotations

import errno
import hashlib
import mmap
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from fractions import Fraction
from itertools import pairwise
from pathlib import Path
from typing import Final

import av
import av.error
import av.logging
from av.audio.stream import AudioStream
from av.container import InputContainer
from av.stream import Disposition
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

from dualface_core.errors import (
    FileError,
    InputError,
    MissingInputError,
    NoVideoStreamError,
    UnreadableVideoError,
    UnsupportedVideoError,
)
from dualface_core.media.frames import RGB_AS, ColorInfo
from dualface_core.system.names import check_text
from dualface_core.system.read_errors import read_error

_SEND_AGAIN: Final = "Copy or export the video again."
_OF_THE_MACHINE: Final = frozenset(
    {
        *(errno.ESTALE, errno.ENOTCONN, errno.ESHUTDOWN, errno.ETIMEDOUT, errno.EHOSTDOWN, errno.EHOSTUNREACH),
        *(errno.ENODEV, errno.ENXIO, errno.EREMOTEIO, errno.EMFILE, errno.ENFILE, errno.EINTR),
    }
)
"""What no content of a file makes FFmpeg say. EIO is not among them: some demuxers say so of a damaged file."""
_MODERATE_BYTES: Final = 256 << 20
_SHORT_OF_INDEX: Final = 0.99
"""A file that holds less than this share of the frames that its own index promises was cut off."""
_SHORT_SECONDS: Final = 0.5
"""What may be missing at the end of a file whose header only rounds its duration."""
_HEADER_SAYS_DURATION: Final = {"matroska,webm", "flv"}
"""Formats whose header has the duration but whose index doesn't count frames."""
_FORMATS: Final = (
    "mov,mp4,m4a,3gp,3g2,mj2,matroska,webm,avi,mpegts,mpeg,asf,flv,ogg,mxf,nut,dv,wtv,rm,gif,apng,ivf,yuv4mpegpipe,obu,"
    "h264,hevc,m4v,mpegvideo,mjpeg,mpjpeg,vc1,gxf,lxf,png_pipe,jpeg_pipe,webp_pipe,"
    "aac,ac3,eac3,aiff,amr,caf,dts,flac,mp3,w64,wav,srt"
)
"""FFmpeg's names of the formats that are read: those whose whole content lies in the file itself. FFmpeg decides by the
first bytes which format a file has, and a playlist (hls, concat, dash, sdp) is turned away before anything that it
names is opened. Audio and subtitles are in the list so that the error can say what the file is."""


@dataclass(frozen=True)
class AudioInfo:
    """The first audio stream: codec by FFmpeg's name, rate in Hz, times in seconds."""

    codec: str
    sample_rate: int
    channels: int
    packet_count: int
    start: float
    duration: float


@dataclass(frozen=True)
class VideoInfo:
    """What a video file is.

    Attributes:
        path: the file.
        fingerprint: SHA-256 of its bytes, in hex.
        size_bytes: its size.
        container: FFmpeg's name of the format, such as "mov,mp4,m4a,3gp,3g2,mj2".
        codec: FFmpeg's name of the video codec.
        pixel_format: as it is coded, such as "yuv420p10le".
        width, height: of the upright frame with square pixels.
        coded_width, coded_height: as it is coded.
        rotation: degrees counter-clockwise by which the coded frame is turned for display: 0, 90, 180 or 270.
        sample_aspect_ratio: width of a coded pixel divided by its height.
        time_base: seconds per pts unit.
        frame_count: frames in the stream.
        first_pts, last_pts: presentation timestamps of the first and the last frame.
        duration: seconds from the first frame's begin to the last frame's end.
        average_rate: frames per second; for people and encoders, never for arithmetic on time.
        constant_rate: whether all frames are equally far apart (within one pts unit).
        bit_rate: bits per second of the whole file.
        color: color tags; of RGB, those of the YUV that it is read as.
        audio: the first audio stream, or None.
        audio_streams: how many audio streams there are.
        notes: what of the file is changed, dropped or repaired on its way into a result, in sentences with figures.
    """

    path: Path
    fingerprint: str
    size_bytes: int
    container: str
    codec: str
    pixel_format: str
    width: int
    height: int
    coded_width: int
    coded_height: int
    rotation: int
    sample_aspect_ratio: Fraction
    time_base: Fraction
    frame_count: int
    first_pts: int
    last_pts: int
    duration: float
    average_rate: Fraction
    constant_rate: bool
    bit_rate: int
    color: ColorInfo
    audio: AudioInfo | None
    audio_streams: int
    notes: tuple[str, ...] = ()


def fingerprint(path: Path) -> str:
    """SHA-256 of a file's bytes, in hex."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def probe(path: Path) -> VideoInfo:
    """Read what a video file is.

    Every packet is looked at and the first frame is decoded.

    Raises:
        InputError: the name is no text, or the file cannot be read.
        MissingInputError: there is no such file.
        MachineError: the file cannot be read at this moment, whatever it holds.
        UnreadableVideoError: not a video, empty, cut off, or damaged at the start.
        NoVideoStreamError: nothing but audio or subtitles.
        UnsupportedVideoError: a video that would come out wrong (HDR).
    """
    check_text(path)
    try:
        size = path.stat().st_size
        if path.is_dir():
            raise MissingInputError(path, "this is a folder", action="Name a video file.")
        if not path.is_file():
            raise InputError(path, "not a regular file", action="Copy it into a file first.")
    except OSError as error:
        raise read_error(path, error) from error
    if size == 0:
        raise UnreadableVideoError(path, "the file is empty (0 bytes)", action=_SEND_AGAIN)
    try:
        with open_input(path) as container:
            return _read(container, path, size)
    except UnreadableVideoError as error:
        raise _unless_readable(path) or error from None
    except av.error.InvalidDataError as error:
        found = "not a video, or cut off before its index was written"
        damaged = UnreadableVideoError(path, found, action=f"{_SEND_AGAIN} Is it complete?")
        raise _unless_readable(path) or damaged from error
    except (av.error.FFmpegError, OSError) as error:
        raise unreadable(path, "cannot be read as video", error) from error


def open_input(path: Path) -> InputContainer:
    """Open a media file for reading.

    The name is never taken for a protocol ("12:30.mp4"), nothing in the file can make FFmpeg reach for the network or
    for another file, and text in another encoding than UTF-8 does no harm. Raises what PyAV raises, and
    UnreadableVideoError for a format that isn't read.
    """
    try:
        allowed = {"protocol_whitelist": "file", "format_whitelist": _FORMATS}
        return av.open(path.absolute(), options=allowed, metadata_errors="replace")
    except av.error.ArgumentError as error:
        found = "a playlist, or in a format that is not read, and not a video"
        raise UnreadableVideoError(path, found, action="Name the video itself, or export it as MP4.") from error


@contextmanager
def opened(path: Path, failed: str = "cannot be read") -> Iterator[InputContainer]:
    """A media file, open for reading. What FFmpeg raises in the block becomes what `unreadable` makes of it."""
    try:
        with open_input(path) as container:
            yield container
    except (av.error.FFmpegError, OSError) as error:
        raise unreadable(path, failed, error) from error


def unreadable(path: Path, failed: str, error: OSError | av.error.FFmpegError) -> FileError:
    """The error of a file that FFmpeg refuses; `failed` says what could not be done, in words.

    UnreadableVideoError if the file is at fault, else what `read_error` gives.
    """
    if error.errno in _OF_THE_MACHINE or (error.errno == errno.ENOMEM and _memory_is_short()):
        return read_error(path, OSError(error.errno, error.strerror))
    return _unless_readable(path) or UnreadableVideoError(path, f"{failed} ({error.strerror})", action=_SEND_AGAIN)


def _memory_is_short() -> bool:
    """Whether a moderate amount of memory is refused: FFmpeg says ENOMEM of a damaged file that asks for a lot, too."""
    try:
        mmap.mmap(-1, _MODERATE_BYTES).close()
    except OSError:
        return True
    return False


def _unless_readable(path: Path) -> FileError | None:
    """Why the kernel does not give the bytes of a file; None if it gives them all.

    FFmpeg takes what it cannot read for the end of the file, or for damage, and says EPERM of what is encrypted.
    """
    try:
        fingerprint(path)
    except OSError as error:
        return read_error(path, error)
    return None


def video_stream(container: InputContainer, path: Path) -> VideoStream:
    """The video stream to work on: the best one by FFmpeg's own rule, never cover art.

    Raises NoVideoStreamError.
    """
    best = container.streams.best("video")
    if isinstance(best, VideoStream) and not best.disposition & Disposition.attached_pic:
        return best
    kinds = ", ".join(sorted({str(stream.type) for stream in container.streams})) or "no stream at all"
    raise NoVideoStreamError(path, f"holds no video, only {kinds}", action="Choose a video file.")


def _read(container: InputContainer, path: Path, size: int) -> VideoInfo:
    stream = video_stream(container, path)
    audio_stream = container.streams.audio[0] if container.streams.audio else None
    # MP4's header counts frames that an edit list has dropped; FFmpeg's index of the file doesn't.
    promised = len(stream.index_entries) if stream.frames and "mp4" in container.format.name else stream.frames
    packets = _read_packets(container, stream, audio_stream)
    times = packets.frame_times
    if packets.first_frame is None or not times:
        raise UnreadableVideoError(path, "not one frame of it can be decoded and placed in time", action=_SEND_AGAIN)
    _check_complete(container, promised, packets, path)
    first_frame = packets.first_frame
    rotation = round(first_frame.rotation / 90) % 4 * 90
    first_width, first_height = first_frame.width, first_frame.height
    context = stream.codec_context
    color = ColorInfo(
        int(context.color_range), int(context.color_primaries), int(context.color_trc), int(context.colorspace)
    )
    if color.is_hdr:
        raise UnsupportedVideoError(
            path, "HDR (PQ or HLG) video, which would come out washed out", action="Export it as SDR (BT.709)."
        )
    if context.format is not None and context.format.is_rgb:
        color = replace(RGB_AS, primaries=color.primaries, transfer=color.transfer)
    time_base = Fraction(stream.time_base or Fraction(1, 90_000))
    steps = [b - a for a, b in pairwise(times)]
    last_step = steps[-1] if steps else round(1 / ((stream.average_rate or 25) * time_base))
    span = float((times[-1] - times[0] + last_step) * time_base)
    aspect = Fraction(stream.sample_aspect_ratio or 1) or Fraction(1)
    width, height = upright_size(first_width, first_height, rotation, aspect)
    return VideoInfo(
        path=path,
        fingerprint=fingerprint(path),
        size_bytes=size,
        container=container.format.name,
        codec=context.codec.canonical_name,
        pixel_format=context.pix_fmt or "unknown",
        width=width,
        height=height,
        coded_width=first_width,
        coded_height=first_height,
        rotation=rotation,
        sample_aspect_ratio=aspect,
        time_base=time_base,
        frame_count=len(times),
        first_pts=times[0],
        last_pts=times[-1],
        duration=span,
        average_rate=Fraction(stream.average_rate or Fraction(len(times)) / Fraction(span).limit_denominator(90_000)),
        constant_rate=not steps or max(steps) - min(steps) <= 1,
        bit_rate=round(size * 8 / span) if span > 0 else 0,
        color=color,
        audio=_audio(audio_stream, packets),
        audio_streams=len(container.streams.audio),
    )


def upright_size(width: int, height: int, rotation: int, aspect: Fraction) -> tuple[int, int]:
    """Width and height of the upright frame with square pixels: wide pixels widen it, tall ones heighten it."""
    if aspect > 1:
        width = round(width * aspect)
    elif aspect < 1:
        height = round(height / aspect)
    return (height, width) if rotation in {90, 270} else (width, height)


@dataclass
class _Packets:
    """What one pass over all packets of a file has shown.

    Attributes:
        frame_times, audio_times: pts of the frames in ascending order, and of the audio packets as they come.
        video_packets: those of the video stream, those that an edit list hides among them.
        audio_end: where the last audio packet ends, in its time base.
        end: where the last packet of any stream ends, in seconds.
        first_frame: the first frame that can be decoded.
    """

    frame_times: list[int] = field(default_factory=list)
    audio_times: list[int] = field(default_factory=list)
    video_packets: int = 0
    audio_end: int = 0
    end: float = 0.0
    first_frame: VideoFrame | None = None


def _read_packets(container: InputContainer, stream: VideoStream, audio: AudioStream | None) -> _Packets:
    found = _Packets()
    for packet in container.demux():
        pts = packet.pts if packet.pts is not None else packet.dts
        if pts is not None:
            found.end = max(found.end, float((pts + (packet.duration or 0)) * packet.time_base))
        if packet.stream is stream:
            if found.first_frame is None:
                found.first_frame = next(iter(stream.decode(packet)), None)
            found.video_packets += packet.size > 0
            if packet.size and pts is not None and not packet.is_discard:
                found.frame_times.append(pts)
        elif packet.stream is audio and packet.size and pts is not None and not packet.is_discard:
            found.audio_times.append(pts)
            found.audio_end = max(found.audio_end, pts + (packet.duration or 0))
    # A recording may begin between two key frames; what comes before the first of them is never seen.
    first = found.first_frame.pts if found.first_frame is not None else None
    found.frame_times = sorted(time for time in found.frame_times if first is None or time >= first)
    return found


def _check_complete(container: InputContainer, promised: int, packets: _Packets, path: Path) -> None:
    if packets.video_packets < promised * _SHORT_OF_INDEX:
        raise UnreadableVideoError(
            path,
            f"cut off: its index promises {promised} frames and only {packets.video_packets} are there",
            action=_SEND_AGAIN,
        )
    if container.format.name in _HEADER_SAYS_DURATION and container.duration:
        declared = container.duration / av.time_base
        if packets.end < declared - max(_SHORT_SECONDS, declared * (1 - _SHORT_OF_INDEX)):
            raise UnreadableVideoError(
                path,
                f"cut off: its header says {declared:.1f} s and only {packets.end:.1f} s are there",
                action=_SEND_AGAIN,
            )


def _audio(stream: AudioStream | None, packets: _Packets) -> AudioInfo | None:
    times = packets.audio_times
    if stream is None or not times:
        return None
    time_base = Fraction(stream.time_base or Fraction(1, stream.rate))
    return AudioInfo(
        codec=stream.codec_context.codec.canonical_name,
        sample_rate=stream.rate,
        channels=stream.channels,
        packet_count=len(times),
        start=float(min(times) * time_base),
        duration=float((packets.audio_end - min(times)) * time_base),
    )
