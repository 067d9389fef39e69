"""What can be said of a file without decoding it: where its key frames are, and its audio packets.

Belongs here: demuxing for those who compare files. What a file is as a whole is `probe`'s business.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

from dualface_core.media.opening import opened
from dualface_core.media.probe import VideoInfo, video_stream


@dataclass(frozen=True)
class AudioPacket:
    """One packet of the first audio stream.

    Attributes:
        payload: what is coded.
        start: presentation time in seconds, exactly.
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
            for packet in container.demux(stream)
            if packet.is_keyframe and packet.pts is not None and not packet.is_discard
        )


def audio_packets(path: Path) -> Iterator[AudioPacket]:
    """The packets of the first audio stream, in the order in which they are stored; none where there is no audio.

    Raises UnreadableVideoError where the file cannot be read.
    """
    with opened(path) as container:
        if not container.streams.audio:
            return
        for packet in container.demux(container.streams.audio[0]):
            time = packet.pts if packet.pts is not None else packet.dts
            if packet.size and time is not None:
                yield AudioPacket(bytes(packet), time * Fraction(packet.time_base))
