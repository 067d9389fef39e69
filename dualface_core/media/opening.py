"""Opening a media file for reading, and the error for one that cannot be read.

Belongs here: which formats are read, what is refused before anything is decoded, and whose fault it is, by what FFmpeg,
the kernel and the file's first bytes say. What an open file holds is `probe`'s business.
"""

from __future__ import annotations

import errno
import mmap
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import av
import av.error
from av.codec.hwaccel import HWAccel
from av.container import InputContainer
from av.packet import Packet
from av.stream import Stream
from av.video.stream import VideoStream

from dualface_core.errors import FileError, NoVideoStreamError, ProtectedVideoError, UnreadableVideoError
from dualface_core.media.limits import Limits
from dualface_core.media.side_data import side_data
from dualface_core.system.read_errors import read_error

SEND_AGAIN: Final = "Copy or export the video again."

_OF_THE_MACHINE: Final = frozenset(
    {
        *(errno.ESTALE, errno.ENOTCONN, errno.ESHUTDOWN, errno.ETIMEDOUT, errno.EHOSTDOWN, errno.EHOSTUNREACH),
        *(errno.ENODEV, errno.ENXIO, errno.EREMOTEIO, errno.EMFILE, errno.ENFILE, errno.EINTR),
    }
)
"""What no content of a file makes FFmpeg say. EIO is not among them: some demuxers say so of a damaged file."""
_MODERATE_BYTES: Final = 256 << 20
_FORMATS: Final = (
    "mov,mp4,m4a,3gp,3g2,mj2,matroska,webm,avi,mpegts,mpeg,asf,flv,ogg,mxf,nut,dv,wtv,rm,gif,apng,ivf,yuv4mpegpipe,obu,"
    "h264,hevc,m4v,mpegvideo,mjpeg,mpjpeg,vc1,gxf,lxf,png_pipe,jpeg_pipe,webp_pipe,"
    "aac,ac3,eac3,aiff,amr,caf,dts,flac,mp3,w64,wav,srt"
)
"""FFmpeg's names of the formats that are read: those whose whole content lies in the file itself. FFmpeg decides by the
first bytes which format a file has, and a playlist (hls, concat, dash, sdp) is turned away before anything that it
names is opened. Audio, subtitles and pictures are in the list so that the error can say what the file is."""

_PICTURES: Final = frozenset({"avif", "heic", "heix", "mif1"})
"""Brands of MP4's kind of files (ISO/IEC 23008-12) for what a camera takes for a photo."""

_JPEG: Final = b"\xff\xd8\xff"

_SEARCHED: Final = {"analyzeduration": str(120 * 1_000_000), "probesize": str(64 << 20)}
"""Microseconds and bytes from the start in which FFmpeg looks for streams of which the header says nothing, or too
little: audio of a transport stream may begin late. Where all are known it looks no further."""

_HEAD_BYTES: Final = 188 * 1000
_NUMBERS_OF_FFMPEG: Final = 1 << 20
_TEXT_BYTES: Final = 400
_TS_PACKET: Final = 188
_PROTECTED_TAGS: Final = frozenset({"encv", "enca", "drmi", "drms"})
"""Sample entries of ISO/IEC 14496-12 for what is encrypted, and those of FairPlay."""
_SAMPLE_AES: Final = frozenset({0xC1, 0xC2, 0xCF, 0xDB})
"""Stream types of MPEG-TS for HLS's sample encryption of AC-3, E-AC-3, AAC and H.264."""


def open_input(
    path: Path, limits: Limits | None = None, hardware: HWAccel | None = None, **more: str
) -> InputContainer:
    """Open a media file for reading; `more` are options of its format, and `hardware` decodes its video.

    The name is never taken for a protocol ("12:30.mp4"), nothing in the file can make FFmpeg reach for the network or
    for another file, text in another encoding than UTF-8 does no harm, and no frame of more pixels than allowed is
    decoded in order to find out what the file is.

    Raises:
        UnreadableVideoError: it is no media file, or of a format that isn't read.
        ProtectedVideoError: it is encrypted as a whole.
        FileError: what `read_error` says.
    """
    options = more | {
        **_SEARCHED,
        "protocol_whitelist": "file",
        "format_whitelist": _FORMATS,
        "enable_drefs": "0",
        **(limits or Limits()).decoder_options,
    }
    try:
        return av.open(path.absolute(), options=options, metadata_errors="replace", hwaccel=hardware)
    except (av.error.FFmpegError, OSError) as error:
        raise _unopenable(path, error) from error


def declared_size(path: Path, stream: VideoStream) -> tuple[int, int]:
    """Width and height of a stream's frames, by what its container and its packets say, before any is decoded.

    FFmpeg says nothing of a size that it refuses (`max_pixels`); then the container is asked alone. (0, 0) if it is
    silent, too.
    """
    context = stream.codec_context
    if context.width:
        return context.width, context.height
    options = {"protocol_whitelist": "file", "format_whitelist": _FORMATS, "codec_whitelist": "none"}
    with av.open(path.absolute(), options=options, metadata_errors="replace") as container:
        context = container.streams.video[0].codec_context
        return context.width, context.height


@contextmanager
def opened(path: Path, failed: str = "cannot be read") -> Iterator[InputContainer]:
    """A media file, open for reading. What FFmpeg raises in the block becomes what `unreadable` makes of it."""
    with open_input(path) as container:
        try:
            yield container
        except (av.error.FFmpegError, OSError) as error:
            raise unreadable(path, failed, error) from error


def unreadable(
    path: Path, failed: str, error: OSError | av.error.FFmpegError, *, action: str = SEND_AGAIN
) -> FileError:
    """The error of a file that FFmpeg refuses; `failed` says what could not be done, in words.

    UnreadableVideoError if the file is at fault, else what `read_error` gives.
    """
    if error.errno in _OF_THE_MACHINE or (error.errno == errno.ENOMEM and _memory_is_short()):
        return read_error(path, OSError(error.errno, error.strerror))
    return other_reason(path) or UnreadableVideoError(path, f"{failed}{_reason(error)}", action=action)


def said_by_ffmpeg(error: OSError | av.error.FFmpegError) -> bool:
    """Whether a muxer gave this number and no kernel: of what it was given, and not of the disk that it writes to."""
    number = error.errno or 0
    return number in {errno.EPERM, errno.EINVAL} or number >= _NUMBERS_OF_FFMPEG


def _reason(error: OSError | av.error.FFmpegError) -> str:
    """What FFmpeg says of a file. A bare -1, which some parts of it return, reads as if a permission were missing."""
    return "" if error.errno == errno.EPERM else f" ({error.strerror})"


def _unopenable(path: Path, error: OSError | av.error.FFmpegError) -> FileError:
    told = unreadable(path, "cannot be read as video", error)
    if not isinstance(told, UnreadableVideoError):
        return told
    with path.open("rb") as file:
        head = file.read(_TEXT_BYTES)
    if _is_text(head):
        return UnreadableVideoError(
            path, "not a video but text", action="Choose a video; of a playlist, one that it names."
        )
    if head.startswith(_JPEG):
        return only_a_picture(path)
    if error.errno == errno.EINVAL:
        return UnreadableVideoError(path, "in a format that is not read", action="Export it as MP4.")
    if isinstance(error, av.error.InvalidDataError):
        found = "not a video, or cut off before its index was written"
        return UnreadableVideoError(path, found, action=f"{SEND_AGAIN} Is it complete?")
    return told


def _is_text(head: bytes) -> bool:
    """Whether a file begins like text, with a byte order mark or not."""
    encoding = "utf-16" if head[:2] in {b"\xff\xfe", b"\xfe\xff"} else "utf-8-sig"
    text = head.decode(encoding, errors="replace")[:-1]  # the last letter may be cut
    return bool(text) and all(letter.isprintable() or letter in "\t\r\n" for letter in text.replace("\ufffd", "\0"))


def _is_scrambled(head: bytes) -> bool:
    """Whether a transport stream says of many of its packets that they are encrypted."""
    packets = [head[start : start + _TS_PACKET] for start in range(0, len(head) - _TS_PACKET + 1, _TS_PACKET)]
    return all(packet[0] == ord("G") for packet in packets) and 10 * sum(p[3] >= 0x80 for p in packets) > len(packets)


def _memory_is_short() -> bool:
    """Whether a moderate amount of memory is refused: FFmpeg says ENOMEM of a damaged file that asks for a lot, too."""
    try:
        mmap.mmap(-1, _MODERATE_BYTES).close()
    except OSError:
        return True
    return False


def other_reason(path: Path) -> FileError | None:
    """Why a file cannot be read other than by damage: the kernel does not give its bytes, or they are scrambled.

    FFmpeg takes what it cannot read for the end of the file, or for damage.
    """
    try:
        with path.open("rb", buffering=0) as file:
            head = file.read(_HEAD_BYTES)
            while file.read(1 << 20):
                pass
    except OSError as error:
        return read_error(path, error)
    return protected(path) if _is_scrambled(head) else None


def protected(path: Path) -> ProtectedVideoError:
    """The error of a video that is encrypted."""
    return ProtectedVideoError(path, "it is encrypted (DRM or a broadcaster's)", action="Name a copy that is not.")


def only_a_picture(path: Path) -> NoVideoStreamError:
    """The error of a photo."""
    return NoVideoStreamError(path, "holds a picture and no video", action="Choose a video file.")


def may_be_a_picture(container: InputContainer) -> bool:
    """Whether a file of a single frame is a photo, by its format."""
    return container.format.name.endswith("_pipe") or container.metadata.get("major_brand") in _PICTURES


def is_protected(container: InputContainer, *streams: Stream) -> bool:
    """Whether a container says that any of these streams is encrypted: MP4 (CENC, FairPlay), Matroska, ASF, HLS."""
    return "ASF_Protection_Type" in container.metadata or any(
        "enc_key_id" in stream.metadata or _tag_says_protected(stream) for stream in streams
    )


def has_decoder(stream: Stream) -> bool:
    """Whether there is a decoder for a stream. Without one PyAV gives it no context, whatever its types say."""
    return getattr(stream, "codec_context", None) is not None


def _tag_says_protected(stream: Stream) -> bool:
    try:
        return has_decoder(stream) and stream.codec_context.codec_tag in _PROTECTED_TAGS
    except UnicodeDecodeError as error:  # a number and no text, as in a transport stream
        return error.object[0] in _SAMPLE_AES


def is_encrypted(packet: Packet[Any]) -> bool:
    """Whether a packet is encrypted by ISO/IEC 23001-7 (CENC). The first ones of a stream are often clear."""
    return side_data(packet, "encryption_info") is not None
