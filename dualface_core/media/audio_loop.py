"""A sound track of any length from a short one: its packets, repeated, never decoded.

Belongs here: looping audio by remuxing. The one idea: packets of a codec such as AAC all last equally long and follow
one another freely, so a longer track is the same packets with later timestamps.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from itertools import cycle, islice
from math import ceil
from pathlib import Path
from typing import TYPE_CHECKING

import av
import av.error
from av.audio.stream import AudioStream

from dualface_core.errors import UnreadableVideoError, UnsupportedVideoError
from dualface_core.system.atomic_files import output_error

if TYPE_CHECKING:  # PyAV's packets are generic in its type stubs only
    from av.packet import Packet

    AudioPacket = Packet[AudioStream]


def write_looped_audio(source: Path, target: Path, seconds: float) -> None:
    """Repeat the first audio stream of `source` until it is `seconds` long, to within one packet.

    Args:
        source: a media file with sound in a codec that MP4 carries.
        target: the MP4 file (.mp4 or .m4a) to write; its sound starts at 0.
        seconds: length, more than 0. The last packet is the one that reaches it.

    Raises:
        UnsupportedVideoError: `source` has no sound.
        UnreadableVideoError: `source` cannot be read.
        OutputError: `target` cannot be written.
    """
    with _audio(source) as (stream, packets):
        try:
            with av.open(target, "w", format="mp4") as output:
                copied = output.add_stream_from_template(stream)
                time_base = packets[0].time_base
                # The last packet may claim to be shorter than what it decodes to.
                length = max(packet.duration or 0 for packet in packets)
                for number, packet in enumerate(islice(cycle(packets), ceil(seconds / (length * time_base)))):
                    # All set anew each time, since muxing moves a packet to the output's time base.
                    packet.time_base = time_base
                    packet.pts = packet.dts = number * length
                    packet.duration = length
                    packet.stream = copied
                    output.mux(packet)
        except (av.error.FFmpegError, OSError) as error:
            raise output_error(target, OSError(error.errno, error.strerror)) from error


@contextmanager
def _audio(source: Path) -> Iterator[tuple[AudioStream, list[AudioPacket]]]:
    try:
        container = av.open(source)
    except (av.error.FFmpegError, OSError) as error:
        raise _unreadable(source, str(error.strerror)) from error
    with container:
        if not container.streams.audio:
            raise UnsupportedVideoError(source, "it has no sound", action="Choose a file that has.")
        stream = container.streams.audio[0]
        try:
            packets = [packet for packet in container.demux(stream) if packet.size and packet.duration]
        except (av.error.FFmpegError, OSError) as error:
            raise _unreadable(source, str(error.strerror)) from error
        if not packets:
            raise _unreadable(source, "it is empty")
        yield stream, packets


def _unreadable(source: Path, reason: str) -> UnreadableVideoError:
    return UnreadableVideoError(source, f"its sound cannot be read ({reason})", action="Copy the file again.")
