"""What can be said of a file without decoding it: where its key frames are, and the packets of its sound.

Belongs here: demuxing for those who compare files. What a file is as a whole is `probe`'s business.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import av.error
from av.container import InputContainer

from dualface_core.errors import UnreadableVideoError
from dualface_core.media.probe import VideoInfo, open_input, video_stream


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
    """Presentation timestamps of the pictures that can be decoded without others, ascending.

    Raises UnreadableVideoError where the file cannot be read.
    """
    with _opened(video.path) as container:
        stream = video_stream(container, video.path)
        return sorted(
            packet.pts
            for packet in container.demux(stream)
            if packet.is_keyframe and packet.pts is not None and not packet.is_discard
        )


def audio_packets(path: Path) -> Iterator[AudioPacket]:
    """The packets of the first audio stream, in the order in which they are stored; none where there is no sound.

    Raises UnreadableVideoError where the file cannot be read.
    """
    with _opened(path) as container:
        if not container.streams.audio:
            return
        for packet in container.demux(container.streams.audio[0]):
            time = packet.pts if packet.pts is not None else packet.dts
            if packet.size and time is not None:
                yield AudioPacket(bytes(packet), time * Fraction(packet.time_base))


@contextmanager
def _opened(path: Path) -> Iterator[InputContainer]:
    try:
        with open_input(path) as container:
            yield container
    except (av.error.FFmpegError, OSError) as error:
        raise UnreadableVideoError(
            path, f"cannot be read ({error.strerror})", action="Copy or export the video again."
        ) from error
