"""VideoInfo: what a file is, exactly, or why it cannot be used.

Belongs here: reading a container's streams and timestamps without decoding more than one frame. The numbers come
from the packets themselves and not from what a header claims, so a file that was cut off is found out here.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from fractions import Fraction
from functools import lru_cache
from itertools import islice, pairwise
from pathlib import Path
from time import time_ns
from typing import Final

import av
import av.error
import av.logging
from av.container import InputContainer
from av.stream import Disposition
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

from dualface_core.errors import (
    InputError,
    MissingInputError,
    NoVideoStreamError,
    UnreadableVideoError,
    UnsupportedVideoError,
)
from dualface_core.media.audio_frames import undecodable
from dualface_core.media.audio_streams import MOST_CHANNELS, AudioInfo, AudioStreamReader, decodable_audio
from dualface_core.media.color import SDR, ColorInfo, color_of, container_color
from dualface_core.media.dolby_vision import incompatible_profile
from dualface_core.media.limits import Limits
from dualface_core.media.metadata import Metadata, left_out, read_metadata
from dualface_core.media.opening import (
    SEND_AGAIN,
    declared_size,
    has_decoder,
    is_encrypted,
    is_protected,
    may_be_a_picture,
    only_a_picture,
    open_input,
    other_reason,
    protected,
    unreadable,
)
from dualface_core.media.orientation import Orientation, orientation_notes
from dualface_core.media.salvage import TRY_SALVAGE, demuxed, first_decoded, listed
from dualface_core.media.timeline import Segment, Timeline, TimelineFinder, begin, has_edit_lists, nominal
from dualface_core.media.tone_mapping import REFERENCE_WHITE
from dualface_core.system.names import check_text
from dualface_core.system.read_errors import read_error

_SHORT_OF_INDEX: Final = 0.99
"""A file that holds less than this share of the frames that its own index promises was cut off."""
_SHORT_SECONDS: Final = 0.5
"""What may be missing at the end of a file whose header only rounds its duration."""
_ONE_RIFF: Final = 1 << 30
"""Bytes from which on an AVI may consist of several parts, each with a length of its own."""
_ROUNDED: Final = Fraction(1, 100)
"""Seconds by which the end of an MP4's stream may be beside its last packet's: its header may count coarsely."""
_HEADER_SAYS_DURATION: Final = {"matroska,webm", "flv"}
"""Formats whose header has the duration but whose index doesn't count frames."""

_FILES: Final = 64
"""Files whose content is known as long as nobody touches them."""

_TOUCHED: Final = 2_100_000_000
"""Nanoseconds since a file was touched in which it may be touched again without a trace: kernels count in some
milliseconds, and in two seconds on FAT, as memory cards have it."""


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
        orientation: how the coded frame is mirrored and turned for display.
        sample_aspect_ratio: width of a coded pixel divided by its height.
        time_base: seconds per pts unit.
        frame_count: frames in the stream.
        first_pts, last_pts: presentation timestamps of the first and the last frame.
        last_duration: how long the last frame is shown, in units of pts.
        duration: seconds from the first frame's begin to the last frame's end.
        average_rate: frames per second; for people and encoders, never for arithmetic on time.
        interlaced: whether its first frame is; each interlaced frame is deinterlaced.
        splits_fields: whether the two fields of a frame become a frame each. All times and counts here are those of
            such frames.
        constant_rate: whether all frames are equally far apart (within one pts unit).
        bit_rate: bits per second of the whole file.
        color_tags: those that the video stream has, completed by those of its container.
        color: what its frames are read as, and the color tags of a result: none is unspecified.
        audio: the audio streams that a result has, too, in the order of the file: all that can be decoded.
        salvage: whether damage is gone past (`salvage`); otherwise reading ends in an error there.
        metadata: title, chapters and what else it says of itself, as far as a result has it, too.
        timeline: when its packets are presented in a result; all times here are those of the result.
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
    orientation: Orientation
    sample_aspect_ratio: Fraction
    time_base: Fraction
    frame_count: int
    first_pts: int
    last_pts: int
    last_duration: int
    duration: float
    average_rate: Fraction
    interlaced: bool
    splits_fields: bool
    constant_rate: bool
    bit_rate: int
    color_tags: ColorInfo
    color: ColorInfo
    audio: tuple[AudioInfo, ...]
    salvage: bool = False
    metadata: Metadata = field(default_factory=Metadata)
    timeline: Timeline = field(default_factory=Timeline)
    notes: tuple[str, ...] = ()


def fingerprint(path: Path) -> str:
    """SHA-256 of a file's bytes, in hex. Of one that nobody has touched since, as the kernel says, it is known."""
    status = path.stat()
    if time_ns() - status.st_ctime_ns < _TOUCHED:
        return _sha256(path)
    return _known(path, (status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns))


@lru_cache(_FILES)
def _known(path: Path, state: tuple[int, ...]) -> str:  # noqa: ARG001  it is known for this state
    return _sha256(path)


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def probe(path: Path, limits: Limits | None = None, *, salvage: bool = False, split_fields: bool = False) -> VideoInfo:
    """Read what a video file is.

    Every packet is looked at and the first frame is decoded.

    Args:
        path: the file.
        limits: what it may have at most; the defaults if None.
        salvage: whether to go past damage, here and wherever the video is read later.
        split_fields: whether each field of an interlaced video becomes a frame, wherever it is read later.

    Raises:
        InputError: the name is no text, or the file cannot be read.
        MissingInputError: there is no such file.
        MachineError: the file cannot be read at this moment, whatever it holds.
        UnreadableVideoError: not a video, empty, cut off, or damaged at the start.
        ProtectedVideoError: it is encrypted.
        LimitError: it is larger than a limit allows.
        NoVideoStreamError: nothing but audio, subtitles or a picture.
        UnsupportedVideoError: a video whose colors (Dolby Vision profile 5) or whose codec are not known, or HEVC
            of fields.
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
        raise UnreadableVideoError(path, "the file is empty (0 bytes)", action=SEND_AGAIN)
    limits = limits or Limits()
    try:
        with open_input(path, limits) as container:
            limits.check_streams(path, len(container.streams))
            video = _read(container, path, size, limits, salvage=salvage)
    except UnreadableVideoError as error:
        raise other_reason(path) or error from None
    except (av.error.FFmpegError, OSError) as error:
        raise unreadable(path, "cannot be read as video", error) from error
    return _with_split_fields(video) if split_fields and video.interlaced else video


def _with_split_fields(video: VideoInfo) -> VideoInfo:
    """The same video, each field a frame; times are counted in half units, since the second lies between two frames."""
    return replace(
        video,
        splits_fields=True,
        time_base=video.time_base / 2,
        frame_count=video.frame_count * 2,
        first_pts=video.first_pts * 2,
        last_pts=video.last_pts * 2 + video.last_duration,
        average_rate=video.average_rate * 2,
    )


def video_stream(container: InputContainer, path: Path) -> VideoStream:
    """The video stream to work on: the best one by FFmpeg's own rule, never cover art.

    Raises NoVideoStreamError, and UnsupportedVideoError or ProtectedVideoError where there is no decoder for it.
    """
    best = container.streams.best("video")
    if isinstance(best, VideoStream) and not best.disposition & Disposition.attached_pic:
        if has_decoder(best):
            return best
        if any(is_encrypted(packet) for packet in islice(container.demux(best), 10)):
            raise protected(path)
        found = "its video is in a codec that is not known, or protected"
        raise UnsupportedVideoError(path, found, action="Export it as H.264 in an MP4.")
    kinds = ", ".join(sorted({str(stream.type) for stream in container.streams})) or "no stream at all"
    raise NoVideoStreamError(path, f"holds no video, only {kinds}", action="Choose a video file.")


def _read(
    container: InputContainer,
    path: Path,
    size: int,
    limits: Limits,
    *,
    salvage: bool,
    timeline: Timeline | None = None,
) -> VideoInfo:
    stream = video_stream(container, path)
    if is_protected(container, *container.streams):
        raise protected(path)
    limits.check_size(path, *declared_size(path, stream))
    stream.codec_context.options = limits.decoder_options
    outer_color = container_color(container, stream)
    promised = _promised(container, stream, path, size)
    assumed = timeline or _assumed_timeline(container, stream, path)
    packets = _Packets({audio.index: AudioStreamReader(audio, assumed) for audio in decodable_audio(container)})
    finder = TimelineFinder(container, assumed, stream, decodable_audio(container))
    try:
        _read_packets(packets, finder, container, stream, path, limits, salvage=salvage)
    except av.error.FFmpegError as error:
        raise unreadable(path, f"damaged at {packets.end:.2f} s", error, action=TRY_SALVAGE) from error
    times = packets.frame_times
    if packets.first_frame is None or not times:
        raise UnreadableVideoError(path, "not one frame of it can be decoded and placed in time", action=SEND_AGAIN)
    if len(times) == 1 and may_be_a_picture(container):
        raise only_a_picture(path)
    actual = finder.timeline(times[0])
    if timeline is None and actual != assumed:
        with open_input(path, limits) as again:
            return _read(again, path, size, limits, salvage=salvage, timeline=actual)
    missing = _missing(container, promised, packets, assumed)
    if missing and not salvage:
        raise UnreadableVideoError(path, missing, action=TRY_SALVAGE)
    cut_off = [f"The source is {missing}; the result has what is there."] if missing else []
    first_frame = packets.first_frame
    orientation = Orientation.of(first_frame)
    first_width, first_height = first_frame.width, first_frame.height
    limits.check_memory(path, first_width, first_height, first_frame.format.padded_bits_per_pixel)
    context = stream.codec_context
    color_tags = color_of(first_frame).over(outer_color)
    coded_color = color_tags.completed(first_height)
    _check_color(container, stream, coded_color, path)
    if stream.codec_context.name == "hevc" and first_frame.interlaced_frame:  # FFmpeg gives each field as a frame
        found = "HEVC whose fields are coded as pictures of their own"
        raise UnsupportedVideoError(path, found, action="Export it as progressive video.")
    time_base = assumed.unit_of(stream)
    steps = [b - a for a, b in pairwise(times)]
    usual = steps[-1] if steps else round(1 / ((stream.average_rate or 25) * time_base))
    last_duration = packets.last_duration or usual
    if has_edit_lists(container) and stream.duration and not (salvage or assumed.shift):
        # What MP4 says of a packet is when the next is decoded; the end of the stream says how long the last is shown.
        end = ((stream.start_time or 0) + stream.duration) * Fraction(stream.time_base or 1)
        until_end = round(end / time_base) - times[-1]
        if until_end > 0 and abs(until_end - last_duration) * time_base > _ROUNDED:
            last_duration = until_end
    span = float((times[-1] - times[0] + last_duration) * time_base)
    aspect = Fraction(stream.sample_aspect_ratio or 1) or Fraction(1)
    audio = {index: info for index, reader in packets.audio.items() if (info := reader.info()) is not None}
    if salvage:
        audio = {index: replace(info, lost=undecodable(path, info)) for index, info in audio.items()}
    metadata = read_metadata(container, stream, shift=assumed.shift)
    width, height = upright_size(first_width, first_height, orientation, aspect)
    limits.check_size(path, width, height)
    limits.check_seconds(path, span)
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
        orientation=orientation,
        sample_aspect_ratio=aspect,
        time_base=time_base,
        frame_count=len(times),
        first_pts=times[0],
        last_pts=times[-1],
        last_duration=last_duration,
        duration=span,
        average_rate=_average_rate(stream, assumed, packets) or len(times) / Fraction(span).limit_denominator(90_000),
        interlaced=first_frame.interlaced_frame,
        splits_fields=False,
        constant_rate=not steps or max(steps) - min(steps) <= 1,
        bit_rate=round(size * 8 / span) if span > 0 else 0,
        color_tags=color_tags,
        color=coded_color.as_sdr,
        audio=tuple(audio.values()),
        salvage=salvage,
        metadata=metadata,
        timeline=assumed,
        notes=(
            *cut_off,
            *assumed.notes,
            *orientation_notes(first_frame),
            *_color_notes(coded_color),
            *_audio_notes(container, audio),
            *left_out(container, stream, metadata),
        ),
    )


def _average_rate(stream: VideoStream, timeline: Timeline, packets: _Packets) -> Fraction | None:
    """What a file says of its rate; None where it says nothing, or counts fields."""
    if timeline.frame_seconds:
        return 1 / timeline.frame_seconds
    return Fraction(stream.average_rate) if stream.average_rate and not packets.second_fields else None


def upright_size(width: int, height: int, orientation: Orientation, aspect: Fraction) -> tuple[int, int]:
    """Width and height of the upright frame with square pixels: wide pixels widen it, tall ones heighten it."""
    if aspect > 1:
        width = round(width * aspect)
    elif aspect < 1:
        height = round(height / aspect)
    return (height, width) if orientation.transposes else (width, height)


@dataclass
class _Packets:
    """What one pass over all packets of a file has shown.

    Attributes:
        audio: what each audio stream is, by its number in the file.
        frame_times: pts of the frames in ascending order.
        last_duration: what the packet of the last frame says of how long it is shown; 0 if nothing.
        video_packets: those of the video stream, those that an edit list hides among them.
        second_fields: those of them that hold the second field of a frame and have no time of their own.
        ends: where the last packet of each stream ends, by its number in the file, and seconds of a unit of that.
        first_frame: the first frame that can be decoded.
    """

    audio: dict[int, AudioStreamReader]
    frame_times: list[int] = field(default_factory=list)
    last_duration: int = 0
    video_packets: int = 0
    second_fields: int = 0
    ends: dict[int, tuple[int, Fraction]] = field(default_factory=dict)
    first_frame: VideoFrame | None = None

    @property
    def end(self) -> float:
        """Where the last packet of any stream ends, in seconds."""
        return max((float(end * unit) for end, unit in self.ends.values()), default=0.0)


def _promised(container: InputContainer, stream: VideoStream, path: Path, size: int) -> int:
    """How many frames a file should have, by its index or header; 0 where that says nothing of its end."""
    if has_edit_lists(container):
        # MP4's header counts frames that an edit list has dropped; FFmpeg's index of the file doesn't.
        return len(stream.index_entries) if stream.frames else 0
    if container.format.name == "avi":
        # Its header counts frames that only repeat the one before and have no packet. But it says how long the file is.
        with path.open("rb") as file:
            stated = 8 + int.from_bytes(file.read(8)[4:], "little")
        return 0 if stated <= size < _ONE_RIFF else stream.frames
    return stream.frames


def _repetitions(container: InputContainer) -> int:
    """Frames in the index that only repeat the one before: their packets are empty."""
    video = container.streams.best("video")
    assert isinstance(video, VideoStream)
    return sum(entry.size == 0 for entry in video.index_entries)


def _assumed_timeline(container: InputContainer, video: VideoStream, path: Path) -> Timeline:
    """What the times of a file seem to be by its first packets: a `TimelineFinder` finds out."""
    begins = {
        stream: stream.start_time * Fraction(stream.time_base or 1)
        for stream in (video, *decodable_audio(container))
        if stream.start_time is not None
    }
    timeline = nominal(container, video)
    if video not in begins or timeline.frame_seconds:
        return timeline
    origin = begin(begins[video], begins.values())
    if has_edit_lists(container) and (origin <= 0 or _first_decoding_time(path) <= 0):
        origin = Fraction(0)
    return replace(timeline, segments=(Segment(0, Fraction(0), -origin),))


def _first_decoding_time(path: Path) -> int:
    """When the frames of an MP4 begin without its edit list: at 0, or in a fragment of a live stream at any time."""
    with open_input(path, ignore_editlist="1") as container:
        return next(container.demux(video_stream(container, path))).dts or 0


def _read_packets(
    found: _Packets,
    finder: TimelineFinder,
    container: InputContainer,
    stream: VideoStream,
    path: Path,
    limits: Limits,
    *,
    salvage: bool,
) -> None:
    last_pts = 0
    for packet in finder.assumed.moved(demuxed(container, *container.streams, salvage=salvage)):
        index, is_frame = packet.stream.index, packet.stream is stream
        if (is_frame or index in found.audio) and is_encrypted(packet):
            raise protected(path)
        pts = packet.pts if packet.pts is not None else packet.dts
        if pts is not None:
            end, known = pts + (packet.duration or 0), found.ends.get(index)
            if known is None:
                found.ends[index] = max(end, 0), packet.time_base
            elif end > known[0]:
                found.ends[index] = end, known[1]
        if is_frame:
            limits.check_frames(path, len(found.frame_times))
            finder.add(packet)
            if found.first_frame is None:
                found.first_frame = first_decoded(stream, packet, salvage=salvage)
            found.video_packets += packet.size > 0
            found.second_fields += packet.size > 0 and pts is None
            if packet.size and pts is not None and not packet.is_discard:
                if pts >= last_pts:
                    last_pts, found.last_duration = pts, packet.duration or 0
                found.frame_times.append(pts)
        elif index in found.audio:
            finder.add(packet)
            found.audio[index].add(packet)
    # A recording may begin between two key frames; what comes before the first of them is never seen.
    first = found.first_frame.pts if found.first_frame is not None else None
    found.frame_times = sorted(time for time in found.frame_times if first is None or time >= first)


def _missing(container: InputContainer, promised: int, packets: _Packets, timeline: Timeline) -> str | None:
    """What a file lacks of what its index or header promises, in words."""
    if packets.video_packets < promised * _SHORT_OF_INDEX:
        promised -= _repetitions(container)
    if packets.video_packets < promised * _SHORT_OF_INDEX:
        there = f"its index promises {promised} frames and only {packets.video_packets} are there"
        return f"cut off at {packets.end:.2f} s: {there}"
    if container.format.name in _HEADER_SAYS_DURATION and container.duration:
        declared = container.duration / av.time_base
        if packets.end - float(timeline.shift) < declared - max(_SHORT_SECONDS, declared * (1 - _SHORT_OF_INDEX)):
            return f"cut off at {packets.end:.2f} s: its header says {declared:.2f} s"
    return None


def _check_color(container: InputContainer, stream: VideoStream, color: ColorInfo, path: Path) -> None:
    profile = incompatible_profile(container, stream)
    if profile is not None:
        found = f"Dolby Vision profile {profile}, whose colors cannot be shown without Dolby's own decoder"
    elif not color.matrix_is_known:
        found = f"its colors are coded in a way that is not supported (matrix {color.matrix} of ITU-T H.273)"
    else:
        return
    raise UnsupportedVideoError(path, found, action="Export it as SDR (BT.709), HDR10 or HLG.")


def _color_notes(color: ColorInfo) -> Iterator[str]:
    """What becomes of colors that a result doesn't keep."""
    if color.is_hdr:
        yield (
            f"The video is HDR ({color}); it is tone-mapped to {SDR}: what is brighter than {REFERENCE_WHITE:g} "
            "cd/m2 comes near to white, as ITU-R BT.2390 has it."
        )
    elif color.as_sdr != color:
        yield f"The video is {color}; it is converted to BT.709, and colors that this cannot show lose saturation."


def _audio_notes(container: InputContainer, audio: Mapping[int, AudioInfo]) -> Iterator[str]:
    """What is changed or left out of the audio; `audio` has what is kept, by its stream's number."""
    for number, stream in enumerate(container.streams.audio, 1):
        info, name = audio.get(stream.index), f"Audio track {number}"
        if info is None:
            why = "it is empty, or begins very late" if has_decoder(stream) else "its codec is not known"
            yield f"{name} is left out: {why}."
            continue
        if info.lost:
            kept = "its packets are kept, and players may be silent" if info.copied else "the result is silent"
            yield f"{name} is damaged at {listed(info.lost)}; {kept} there."
        if info.changes:
            places = "once" if len(info.changes) == 1 else f"{len(info.changes)} times"
            yield (
                f"{name} changes its rate or channels {places}, first at {info.changes[0]:.1f} s; all of it is brought "
                "into the form of its beginning and becomes AAC."
            )
        if info.trimmed:
            places = "in one place" if len(info.trimmed) == 1 else f"in {len(info.trimmed)} places"
            yield (
                f"{name} leaves out parts of packets in its middle, {places}, first at {info.trimmed[0]:.1f} s; MP4 "
                "has no such thing, and it becomes AAC."
            )
        if info.channels > MOST_CHANNELS and not info.copied:
            yield f"{name} has {info.channels} channels, which are mixed to {MOST_CHANNELS}."
        if info.moved:
            yield (
                f"{name} has timestamps that repeat or step back, of {info.moved} of {info.packet_count} packets; "
                f"these are played up to {info.most_moved:.3f} s later, right after the one before."
            )
