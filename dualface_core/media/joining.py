"""Spans of a video that were encoded one by one, and the one MP4 that is made of their packets.

Belongs here: packets on their way into a file, and out of it into an MP4. Which spans there are is not known here.
The one idea: encoders that are opened with the same options write the same headers and begin with a key frame, so
their packets follow one another as those of a single encoder would. Only decoding times have to be made anew: an
encoder's own begin before its first frame, where the span before has not ended yet.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from fractions import Fraction
from hashlib import file_digest, sha256
from pathlib import Path
from typing import TYPE_CHECKING, Final, Self, cast

import numpy as np
from av.packet import Packet
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict

from dualface_core.errors import DualfaceError
from dualface_core.media.cuda_frames import CudaSurface
from dualface_core.media.encoder import Coding, Surface, VideoEncoder
from dualface_core.media.writer import Carried, Mp4Muxer
from dualface_core.system.atomic_files import output_error
from dualface_core.system.read_errors import read_error

if TYPE_CHECKING:
    from dualface_core.media.encoder import VideoPacket

_ALWAYS_IN_ORDER: Final = 2
"""Frames that an encoder cannot reorder, so that they do not tell its delay."""


class UnjoinableSpansError(DualfaceError):
    """The packets of spans are not what one encoder would have made."""


class EncodedSpan(BaseModel):
    """What an encoder made of a span: packets one after the other in a file, and what the file does not say.

    Attributes:
        headers: the encoder's extradata, in hex.
        delay: frames by which decoding is ahead of presentation, as far as this span tells.
        pts: of the packets, in decoding order, in units of the coding's time base.
        sizes: of the packets, in bytes.
        key_frames: positions of the packets that can be decoded without others.
        sha256: of the file, in hex.
    """

    model_config = ConfigDict(frozen=True)

    headers: str
    delay: int
    pts: list[int]
    sizes: list[int]
    key_frames: list[int]
    sha256: str

    def is_in(self, file: Path) -> bool:
        """Whether a file holds these packets undamaged. Raises OSError if it cannot be read."""
        with file.open("rb") as packets:
            return file_digest(packets, "sha256").hexdigest() == self.sha256


@dataclass(frozen=True)
class SpanPackets:
    """A span that is encoded, and all that it takes to make a file of it.

    Attributes:
        encoded: what is in the file of packets.
        file: that file.
        coding: what it is coded with.
    """

    encoded: EncodedSpan
    file: Path
    coding: Coding

    @property
    def encoder(self) -> str:
        """FFmpeg's name of what encoded it."""
        return self.coding.encoder.name

    @property
    def first(self) -> Fraction:
        """When its first frame is shown, in seconds."""
        return min(self.encoded.pts) * self.coding.time_base

    @property
    def last(self) -> Fraction:
        """When its last frame is shown, in seconds."""
        return max(self.encoded.pts) * self.coding.time_base

    @property
    def frames(self) -> int:
        """How many it has."""
        return len(self.encoded.pts)


class SpanEncoder:
    """Encodes the frames of a span into a file of packets. A context manager.

    Args:
        file: where the packets go; one that is there is replaced.
        coding: what they are coded with.

    Raises:
        EncoderError, SettingsError: as `VideoEncoder` raises them.
        OutputError: the file cannot be written.
    """

    def __init__(self, file: Path, coding: Coding) -> None:
        self._path = file
        self._digest = sha256()
        self._pts: list[int] = []
        self._sizes: list[int] = []
        self._key_frames: list[int] = []
        self._early = 0
        self._encoder = VideoEncoder.alone(coding)
        with self._writing():
            self._file = file.open("wb")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        with self._writing():
            self._file.close()

    def encode(self, surface: Surface | CudaSurface, pts: int) -> None:
        """Encode one frame; see `VideoEncoder.encode`. The surface may be drawn on again."""
        self._keep(self._encoder.encode(surface, pts))

    def finish(self) -> EncodedSpan:
        """Write what the encoder still holds, and say what the file holds then. To be called once, at the end."""
        self._keep(self._encoder.flush())
        with self._writing():
            self._file.flush()
        return EncodedSpan(
            headers=self._encoder.extradata.hex(),
            delay=self._early,
            pts=self._pts,
            sizes=self._sizes,
            key_frames=self._key_frames,
            sha256=self._digest.hexdigest(),
        )

    def _keep(self, packets: Sequence[VideoPacket]) -> None:
        for packet in packets:
            assert packet.pts is not None
            assert packet.dts is not None
            payload = bytes(packet)
            if packet.is_keyframe:
                self._key_frames.append(len(self._pts))
            self._early += packet.dts < self._encoder.first_pts
            self._pts.append(packet.pts)
            self._sizes.append(len(payload))
            self._digest.update(payload)
            with self._writing():
                self._file.write(payload)

    @contextmanager
    def _writing(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise output_error(self._path, error) from error


class SpanJoiner:
    """Makes one MP4 of spans that come in order. A context manager.

    Args:
        path: the file to write; its folder must exist.
        coding: what the spans were coded with.
        carried: audio and metadata.
        pts: (frames,), of the whole video, ascending, in units of the coding's time base.
        end: when the last frame ends, in the same units.

    Raises as `Mp4Muxer` does.
    """

    def __init__(self, path: Path, coding: Coding, carried: Carried, *, pts: NDArray[np.int64], end: int) -> None:
        self._time_base = coding.time_base
        self._times = pts
        self._joined = 0
        self._delay = 0
        self._waiting: list[tuple[EncodedSpan, Path]] = []
        self._muxer = Mp4Muxer(path, coding, carried)
        self._muxer.end_after(int(pts[-1]), end - int(pts[-1]))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: object) -> None:
        self._muxer.__exit__(kind, error, trace)

    def add(self, span: EncodedSpan, file: Path) -> None:
        """Write the packets of the next span, which `file` holds.

        Raises:
            UnjoinableSpansError: they do not go on where the last span ended, or are not coded alike.
            UnreadableVideoError, MachineError: the file cannot be read.
        """
        if bytes.fromhex(span.headers) != self._muxer.encoder.extradata:
            raise UnjoinableSpansError("The encoder gave two spans different headers.")
        self._waiting.append((span, file))
        known = self._joined + sum(len(waiting.pts) for waiting, _ in self._waiting)
        if not self._joined and len(span.pts) <= _ALWAYS_IN_ORDER and known < len(self._times):
            return  # the first packet needs the delay, which a longer span tells
        if not self._joined:
            self._delay = max(waiting.delay for waiting, _ in self._waiting)
        for waiting in self._waiting:
            self._join(*waiting)
        self._waiting.clear()

    def _join(self, span: EncodedSpan, file: Path) -> None:
        first, stop, keys = self._joined, self._joined + len(span.pts), set(span.key_frames)
        if sorted(span.pts) != self._times[first:stop].tolist():
            raise UnjoinableSpansError(f"The encoder gave other frames than {first} to {stop - 1}.")
        decoded = self._decoding_times(first, stop)
        if 0 not in keys or any(dts > pts for dts, pts in zip(decoded, span.pts, strict=True)):
            raise UnjoinableSpansError(f"The encoder gave frames {first} to {stop - 1} in another order than others.")
        try:
            with file.open("rb") as payloads:
                for number, (pts, dts, size) in enumerate(zip(span.pts, decoded, span.sizes, strict=True)):
                    packet = cast("VideoPacket", Packet(payloads.read(size)))
                    packet.pts, packet.dts, packet.time_base = pts, dts, self._time_base
                    packet.is_keyframe = number in keys
                    if first + number + 1 < len(self._times):
                        self._muxer.mux([packet])
                    else:
                        self._muxer.mux_last([packet], int(self._times[0]))
        except OSError as error:
            raise read_error(file, error) from error
        self._joined = stop

    def _decoding_times(self, first: int, stop: int) -> list[int]:
        """When the packets from `first` to `stop` are decoded: when the frame that is `delay` before is shown."""
        times, delay = self._times, min(self._delay, len(self._times) - 1)
        numbers = np.arange(first, stop)
        early = times[numbers] - (times[delay] - times[0])
        decoded: list[int] = np.where(numbers < delay, early, times[np.maximum(numbers - delay, 0)]).tolist()
        return decoded


def join_alone(span: SpanPackets, path: Path) -> None:
    """Make an MP4 of one span, in which its frames have the times that they have among the others.

    How long the last one is shown is not known. Raises as `SpanJoiner` does.
    """
    times = np.sort(np.array(span.encoded.pts, np.int64))
    with SpanJoiner(path, span.coding, Carried(), pts=times, end=int(times[-1]) + 1) as joiner:
        joiner.add(span.encoded, span.file)
