"""What can be said of a file without decoding it: where its key frames are, and its audio packets.

Belongs here: demuxing for those who compare files. What a file is as a whole is `probe`'s business.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from hashlib import sha256
from pathlib import Path
from typing import Final

from av.bitstream import BitStreamFilterContext

from dualface_core.media.audio_streams import (
    AudioInfo,
    AudioStreamReader,
    Timestamps,
    decodable_audio,
    seconds_per_pts,
)
from dualface_core.media.opening import opened
from dualface_core.media.probe import VideoInfo, video_stream
from dualface_core.media.salvage import demuxed
from dualface_core.media.side_data import side_data
from dualface_core.media.timeline import Timeline

_PARAMETERS_BY: Final = {
    "h264": "h264_mp4toannexb,extract_extradata",
    "hevc": "hevc_mp4toannexb,extract_extradata",
    "mpeg1video": "extract_extradata",
    "mpeg2video": "extract_extradata",
    "mpeg4": "extract_extradata",
    "av1": "extract_extradata",
    "libdav1d": "extract_extradata",
}
"""FFmpeg's bitstream filters that find the parameters of a sequence in a packet, by the name of the decoder. Other
codecs say all of each frame in the frame itself."""


@dataclass(frozen=True)
class AudioPacket:
    """One packet of an audio stream.

    Attributes:
        payload: what is coded.
        start: presentation time in seconds, exactly; where times repeat or step back, that which `Timestamps` gives.
    """

    payload: bytes
    start: Fraction


@dataclass(frozen=True)
class FramePacket:
    """The packet of a frame, or of a field.

    Attributes:
        pts: of its frame in the result; None of a second field and of what has no time.
        is_key: whether the frame can be decoded without others, by what the container says.
        is_corrupt: whether it may be damaged, or some may be missing before it.
        parameters: those of the sequence that begins with a key frame (size, color tags), as they are coded; empty if
            neither the packet nor its container brings any.
    """

    pts: int | None
    is_key: bool
    is_corrupt: bool
    parameters: bytes


def frame_packets(video: VideoInfo) -> Iterator[FramePacket]:
    """The packets of all frames that are shown, in the order in which they are stored.

    Raises UnreadableVideoError where the file cannot be read.
    """
    with opened(video.path) as container:
        stream = video_stream(container, video.path)
        filters = _PARAMETERS_BY.get(stream.codec_context.name)
        finder = BitStreamFilterContext(filters, stream) if filters else None
        for packet in video.timeline.moved(demuxed(container, stream, salvage=True)):
            if packet.size and not packet.is_discard:
                pts, is_key, is_corrupt = packet.pts, packet.is_keyframe, packet.is_corrupt
                parameters = b""
                for found in finder.filter(packet) if is_key and finder else [packet]:
                    parameters = side_data(found, "new_extradata") or parameters
                yield FramePacket(pts, is_key, is_corrupt, parameters)


def decoder_input(video: VideoInfo) -> Iterator[bytes]:
    """Checksums (SHA-256) of what a decoder of a video's frames is given: of each packet, in the order of the file.

    Equal ones mean that the headers beside the stream are equal, and the packet's payload, flags and side data, and
    when it is presented in a result. When it is decoded, how long it lasts and where it lies may differ.

    Raises UnreadableVideoError where the file cannot be read.
    """
    with opened(video.path) as container:
        stream = video_stream(container, video.path)
        headers = sha256(stream.codec_context.extradata or b"")
        for packet in video.timeline.moved(demuxed(container, stream, salvage=video.salvage)):
            if packet.size:
                digest = headers.copy()
                about = (packet.pts, packet.is_keyframe, packet.is_corrupt, packet.is_discard, packet.size)
                digest.update(repr(about).encode())
                digest.update(packet)
                for data in packet.iter_sidedata():
                    digest.update(repr(data.data_type).encode())
                    digest.update(data)
                yield digest.digest()


def key_frames(video: VideoInfo) -> list[int]:
    """Presentation timestamps of the frames that can be decoded without others, ascending.

    Raises UnreadableVideoError where the file cannot be read.
    """
    return sorted(packet.pts for packet in frame_packets(video) if packet.is_key and packet.pts is not None)


def audio_streams(path: Path) -> tuple[AudioInfo, ...]:
    """The audio streams of a media file that can be decoded, such as an M4A; of a video, `probe` says it, too.

    Raises UnreadableVideoError where the file cannot be read.
    """
    with opened(path) as container:
        readers = {stream.index: AudioStreamReader(stream, Timeline()) for stream in decodable_audio(container)}
        for packet in container.demux(*readers) if readers else ():
            readers[packet.stream.index].add(packet)
        return tuple(info for reader in readers.values() if (info := reader.info()) is not None)


def audio_packets(path: Path, track: AudioInfo) -> Iterator[AudioPacket]:
    """The packets of an audio stream, in the order in which they are stored.

    Raises UnreadableVideoError where the file cannot be read.
    """
    with opened(path) as container:
        stream = next(stream for stream in container.streams.audio if stream.index == track.index)
        timestamps, seconds = Timestamps(stream), seconds_per_pts(stream)
        for packet in track.timeline.moved(demuxed(container, stream, salvage=True)):
            if packet.size:
                yield AudioPacket(bytes(packet), timestamps.place(packet) * seconds)
