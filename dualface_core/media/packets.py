"""What can be said of a file without decoding it: where its key frames are, and its audio packets.

Belongs here: demuxing for those who compare files. What a file is as a whole is `probe`'s business.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

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
from dualface_core.media.timeline import Timeline


@dataclass(frozen=True)
class AudioPacket:
    """One packet of an audio stream.

    Attributes:
        payload: what is coded.
        start: presentation time in seconds, exactly; where times repeat or step back, that which `Timestamps` gives.
    """

    payload: bytes
    start: Fraction


def key_frames(video: VideoInfo) -> list[int]:
    """Presentation timestamps of the frames that can be decoded without others, ascending.

    Raises UnreadableVideoError where the file cannot be read.
    """
    with opened(video.path) as container:
        stream = video_stream(container, video.path)
        return sorted(
            packet.pts
            for packet in video.timeline.moved(demuxed(container, stream, salvage=True))
            if packet.is_keyframe and packet.pts is not None and not packet.is_discard
        )


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
