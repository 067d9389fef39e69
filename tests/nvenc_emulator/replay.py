"""Streams for the emulator to replay, out of videos that were encoded before."""

from __future__ import annotations

from pathlib import Path

import av


def bare_stream(video: Path, output: Path) -> Path:
    """Copy the H.264 of a video into a file with start codes, as `EmulatedDriver.replay` takes it; return that file."""
    with av.open(str(video)) as source, av.open(str(output), "w", format="h264") as target:
        stream = target.add_stream_from_template(source.streams.video[0])
        for packet in source.demux(video=0):
            if packet.size:
                packet.stream = stream
                target.mux(packet)
    return output


def replay_setting(stream: Path) -> str:
    """Return WIDTHxHEIGHT:FILE for such a stream, as the encoder library wants to be told."""
    with av.open(str(stream)) as container:
        coded = container.streams.video[0]
        return f"{coded.width}x{coded.height}:{stream.resolve()}"
