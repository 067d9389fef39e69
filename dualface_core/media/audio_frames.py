"""Decoded audio in one form, whatever form the stream has, and however it changes on the way.

Belongs here: decoding and resampling. Doesn't: what is done with the samples (`audio`, `verification`).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from fractions import Fraction
from itertools import chain, repeat
from pathlib import Path
from typing import TYPE_CHECKING, Final

import av.error
import numpy as np
from av.audio.frame import AudioFrame
from av.audio.layout import AudioLayout
from av.audio.stream import AudioStream
from av.filter.graph import Graph
from numpy.typing import NDArray

from dualface_core.media.audio_streams import MOST_CHANNELS, AudioInfo, channel_layout, seconds_per_pts
from dualface_core.media.opening import opened
from dualface_core.media.salvage import Stretch, Stretches, demuxed, listed

if TYPE_CHECKING:  # PyAV's packets are generic in its type stubs only
    from av.packet import Packet

    AudioPacket = Packet[AudioStream]

_LIMITER: Final = "limit=0.98:level=disabled:latency=true"
"""Channels that are mixed may add up to more than full scale, of which an encoder makes noise."""

_JITTER: Final = 0.02
"""Seconds by which timestamps may be off: less is no gap. They are rounded, and those of most packets of a transport
stream are FFmpeg's guess, which after a change of rate goes by the old one for some packets. An AAC frame is longer."""


_TOUCHING: Final = Fraction(1, 10)
"""Seconds; what is damaged with less than half of it between counts as one place."""


def decoded_frames(
    packets: Iterable[AudioPacket], stream: AudioStream, *, layout: str, rate: int, lost: Stretches | None = None
) -> Iterator[AudioFrame]:
    """Decode an audio stream.

    Args:
        packets: all of a stream, as a demux yields them; nothing of it was decoded before.
        stream: theirs, one that can be decoded (`decodable_audio`).
        layout: "mono" or "stereo".
        rate: samples per second.
        lost: takes where packets cannot be decoded, which are left out; without it they are errors.

    Yields frames of planar float32, full scale being 1, each with its packet's time in samples. A stream
    that changes its form (channels, rate) has one form all the same. Raises what PyAV raises.
    """
    context = stream.codec_context
    own = channel_layout(context)
    # PyAV frees the channels of a custom order of every frame twice, too. So the decoder says only how many there are.
    unnamed = f"{own.nb_channels} channels"
    context.options = {"ch_layout": unnamed}
    names = _names(own)
    form: tuple[str, str, int] | None = None
    graph: Graph | None = None
    for frame in chain(_decoded(packets, stream, lost), [None]):
        found = None if frame is None else (frame.format.name, frame.layout.name, frame.sample_rate)
        if found != form:
            if graph is not None:
                graph.push(None)
                yield from _pulled(graph)
            if frame is not None:
                # A decoder that knows the channels knows better than the container.
                known = names if frame.layout.name == unnamed else None
                graph = _conversion(frame, known, layout, rate)
            form = found
        if frame is not None and graph is not None:
            graph.push(frame)
            yield from _pulled(graph)


def _decoded(packets: Iterable[AudioPacket], stream: AudioStream, lost: Stretches | None) -> Iterator[AudioFrame]:
    for packet in packets:
        try:
            yield from stream.decode(packet)
        except av.error.FFmpegError:
            if lost is None:
                raise
            if packet.pts is not None:
                lost.add(packet.pts, packet.pts + (packet.duration or 0))


def without_gaps(frames: Iterable[AudioFrame], *, rate: int) -> Iterator[AudioFrame]:
    """Frames as `decoded_frames` yields them, with silence where one does not begin when the one before ends."""
    end: int | None = None
    for frame in frames:
        if end is not None and frame.pts is not None and frame.pts - end > rate * _JITTER:
            for length in filter(None, _parts(frame.pts - end, rate)):
                silence = np.zeros((frame.layout.nb_channels, length), np.float32)
                between = AudioFrame.from_ndarray(silence, format=frame.format.name, layout=frame.layout.name)
                between.sample_rate, between.pts, between.time_base = rate, end, frame.time_base
                yield between
                end += length
        yield frame
        end = None if frame.pts is None else frame.pts + frame.samples


def undecodable(path: Path, track: AudioInfo) -> tuple[Stretch, ...]:
    """Where an audio stream cannot be decoded; all of it is tried. Raises UnreadableVideoError."""
    with opened(path, "its audio cannot be decoded") as container:
        stream = next(stream for stream in container.streams.audio if stream.index == track.index)
        lost = Stretches(float(_TOUCHING / seconds_per_pts(stream)))
        packets = track.timeline.moved(demuxed(container, stream, salvage=True))
        for _ in decoded_frames(packets, stream, layout="mono", rate=track.sample_rate, lost=lost):
            pass
        return tuple(lost.seconds(seconds_per_pts(stream)))


def damage_in_copies(path: Path, tracks: Iterable[AudioInfo]) -> Iterator[str]:
    """Say where audio is damaged whose packets go into a result as they are; all of it is decoded.

    Raises UnreadableVideoError where the file cannot be read.
    """
    for number, track in enumerate(tracks, 1):
        if track.copied and (lost := undecodable(path, track)):
            kept = "its packets are kept, and players may be silent there"
            yield f"Audio track {number} is damaged at {listed(lost)}; {kept}."


def _names(layout: AudioLayout) -> str | None:
    """The channels of a layout in their order, as FFmpeg reads them; None if it knows only how many there are."""
    if layout.name.startswith("ambisonic"):
        return None  # FFmpeg cannot mix them: four are taken for 4.0
    names = "+".join(channel.name for channel in layout.channels)
    try:
        AudioLayout(names)
    except ValueError:
        return None
    return names


def _conversion(frame: AudioFrame, names: str | None, layout: str, rate: int) -> Graph:
    """A filter graph that takes frames like this one. `names` are those of its channels; None for its own."""
    graph = Graph()
    nodes = [
        graph.add(
            "abuffer",
            sample_rate=str(frame.sample_rate),
            sample_fmt=frame.format.name,
            channel_layout=names or frame.layout.name,
            time_base=str(frame.time_base),
        ),
        graph.add("aformat", channel_layouts=layout, sample_rates=str(rate)),
        *([graph.add("alimiter", _LIMITER)] if frame.layout.nb_channels > MOST_CHANNELS else []),
        graph.add("aformat", sample_fmts="fltp"),
        graph.add("asettb", f"1/{rate}"),
        graph.add("abuffersink"),
    ]
    graph.link_nodes(*nodes).configure()
    return graph


def _pulled(graph: Graph) -> Iterator[AudioFrame]:
    while True:
        try:
            frame = graph.pull()
        except (av.error.BlockingIOError, av.error.EOFError):
            return
        assert isinstance(frame, AudioFrame)
        yield frame


class AudioBlocks:
    """One audio stream of a file, decoded into blocks of equal length, each at its time.

    Args:
        path: the file.
        track: which stream of it.
        rate: samples per second of the blocks.
        channels: 1 or 2.
        start: seconds at which the first block begins; what comes before is left out.
        size: samples of a block. What is missing between two packets, and at the end, is silence.
    """

    def __init__(self, path: Path, track: AudioInfo, *, rate: int, channels: int, start: float, size: int) -> None:
        self._path, self._track = path, track
        self.channels, self.start = channels, start
        self._rate, self._size = rate, size
        self._waiting = np.zeros((channels, 0), np.float32)
        self._done = 0
        self.begin = self.end = start
        """Seconds at which what was decoded so far begins and ends."""

    def __iter__(self) -> Iterator[NDArray[np.float32]]:
        """Blocks of (channels, size) float32, full scale being 1. Raises UnreadableVideoError."""
        layout = "mono" if self.channels == 1 else "stereo"
        first = True
        with opened(self._path, "its audio cannot be decoded") as container:
            stream = next(stream for stream in container.streams.audio if stream.index == self._track.index)
            packets = self._track.timeline.moved(demuxed(container, stream, salvage=True))
            lost = Stretches(0) if self._track.lost else None
            for frame in decoded_frames(packets, stream, layout=layout, rate=self._rate, lost=lost):
                samples, gap = np.asarray(frame.to_ndarray(), np.float32), 0
                if frame.pts is not None and frame.time_base is not None:
                    begin = float(frame.pts * frame.time_base)
                    self.begin, first = (begin if first else self.begin), False
                    self.end = begin + samples.shape[1] / self._rate
                    gap = round((begin - self.start) * self._rate) - self._done - self._waiting.shape[1]
                if gap < -self._rate * _JITTER:
                    samples = samples[:, -gap:]
                elif gap > self._rate * _JITTER:
                    for length in _parts(gap, self._size):
                        yield from self._whole(np.zeros((self.channels, length), np.float32))
                yield from self._whole(samples)
        if rest := self._waiting.shape[1]:
            yield np.pad(self._waiting, ((0, 0), (0, self._size - rest)))

    def _whole(self, samples: NDArray[np.float32]) -> Iterator[NDArray[np.float32]]:
        """The blocks that are complete with these samples."""
        self._waiting = np.concatenate([self._waiting, samples], axis=1)
        while self._waiting.shape[1] >= self._size:
            yield self._waiting[:, : self._size]
            self._waiting = self._waiting[:, self._size :]
            self._done += self._size


def _parts(length: int, most: int) -> Iterator[int]:
    """A length in parts of at most so many, so that no gap takes memory by its length."""
    yield from repeat(most, length // most)
    yield length % most
