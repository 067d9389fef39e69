"""What decodes and composes a video: the processor, or a CUDA card; chosen once, with the reason.

Belongs here: the choice, by what is known before the first frame. A card that turns out not to do is left for the
processor by whoever uses it.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final

from dualface_core.encoding.settings import BackendKind
from dualface_core.engine.spans import Span, spans
from dualface_core.errors import InputError, MachineError
from dualface_core.media.cuda_frames import NotOnCardError
from dualface_core.media.orientation import Orientation
from dualface_core.media.probe import VideoInfo
from dualface_core.system.cuda import CudaError, why_unusable
from dualface_core.tables.layouts import BLURRED, Layout


@dataclass(frozen=True)
class Backend:
    """What decodes and composes a video, and why: a sentence or two.

    `turns` are spans of the video that two decoders of the card take in turn; none for one decoder.
    """

    on_card: bool
    why: str
    turns: tuple[Span, ...] = ()

    def without_card(self, error: BaseException | str) -> Backend:
        """What takes its place when the card has given up."""
        return Backend(on_card=False, why=f"The card gave up: {str(error).rstrip('.')}.")

    def without(self, spans: int, error: BaseException | str) -> Backend:
        """What it has been when the card has given up some spans."""
        return replace(self, why=f"{self.why} The card gave up {spans} of them: {str(error).rstrip('.')}.")

    def with_one_decoder(self, error: BaseException | str) -> Backend:
        """What takes its place when two decoders have given up."""
        return replace(self, why=f"Two decoders gave up: {str(error).rstrip('.')}. It had one.", turns=())

    @property
    def kind(self) -> str:
        """In a word, for reports."""
        return "cuda" if self.on_card else "cpu"

    def __str__(self) -> str:
        """For reports."""
        return f"{self.kind}: {self.why}"


CARD_FAILURES: Final = (CudaError, NotOnCardError, InputError, MachineError)
"""What is raised when a card gives up, each a reason for the processor to begin anew. What a card makes FFmpeg say of a
file is not told from damage: the processor finds out which it was."""

_CONTEXT: Final = 330 << 20
"""Bytes of the card's memory that a process takes before its first frame (H200, driver 580; benchmarks/on_card.py)."""

_SESSION: Final = 42 << 20
"""Bytes that a decoder takes besides its frames (H200, driver 580)."""

_OF_DECODER: Final = 20
"""Frames that a decoder, and what is made of its frames, hold on the card at once, at most."""

_SURFACES: Final = 20
"""Frames that a process which draws for an encoder on the card holds besides."""

_COPIED: Final = 6
"""Frames that are drawn for an encoder elsewhere and held on the card at once, at most."""

_TURN: Final = 2.0
"""Least seconds of a span that one of two decoders takes: behind each, some frames are decoded in vain."""

_FORMATS: Final = {
    "h264": {"yuv420p", "yuvj420p"},
    "hevc": {"yuv420p", "yuvj420p", "yuv420p10le"},
    "vp9": {"yuv420p", "yuv420p10le"},
}
"""Codecs whose usual decoder in FFmpeg can use a card, and their pixel formats there. That of AV1 cannot."""


def with_two_decoders(backend: Backend, video: VideoInfo, *, ahead: int, room: int | None = None) -> Backend:
    """The same with two decoders of the card, where it is used and they may be of use, for an encoder on the card.

    One decoder of 1080p is slower than NVENC on some cards, and NVENC must not wait.

    Args:
        backend: what was chosen.
        video: the source.
        ahead: decoded frames that may wait on the card, of each decoder.
        room: bytes of the card's memory that the process may take; None where that is not known.
    """
    if not backend.on_card:
        return backend
    needed = _CONTEXT + 2 * (decoder_memory(video) + ahead * _frame_size(video)) + _SURFACES * _frame_size(video)
    turns = _from_key_frames(video)
    if len(turns) < 2 or (room is not None and needed > room):
        found = "it has few key frames" if len(turns) < 2 else f"two would take {needed >> 20} MiB of its memory"
        return replace(backend, why=f"{backend.why} It has one decoder: {found}.")
    return replace(backend, why=f"{backend.why} Two decoders take turns.", turns=turns)


def _from_key_frames(video: VideoInfo) -> tuple[Span, ...]:
    """Spans that begin at key frames, all of them together the whole video."""
    parts = [part for part in spans(video, seconds=_TURN) if not part.to_reach]
    ends = [*((part.first, part.first_pts) for part in parts[1:]), (video.frame_count, None)]
    return tuple(replace(part, stop=stop, stop_pts=pts) for part, (stop, pts) in zip(parts, ends, strict=True))


def decoder_memory(video: VideoInfo) -> int:
    """Bytes of the card's memory that one decoder takes at most."""
    return _SESSION + _OF_DECODER * _frame_size(video)


def composing_memory(video: VideoInfo, layout: Layout) -> int:
    """The same of a decoder and of what is composed of its frames, for an encoder that is not on the card."""
    return decoder_memory(video) + _COPIED * layout.width * layout.height * 3 // 2


def _frame_size(video: VideoInfo) -> int:
    return video.width * video.height * 3 // 2 * (2 if "10" in video.pixel_format else 1)


def choose_backend(
    wanted: BackendKind,
    video: VideoInfo,
    layout: Layout | None = None,
    *,
    room: int | None = None,
) -> Backend:
    """Decide who decodes a video, and composes it in a layout if one is given.

    "cuda" is a wish, too: what a card cannot do, the processor does.

    Args:
        wanted: what the settings say.
        video: the source.
        layout: of the result.
        room: bytes of the card's memory that this process may take; None where that is not known, or other processes
            do it.
    """
    if wanted is BackendKind.CPU:
        return Backend(on_card=False, why="The settings say so.")
    if reason := why_unusable():
        return Backend(on_card=False, why=f"No CUDA card can be used: {reason}.")
    if reason := _unsuited(video, layout):
        return Backend(on_card=False, why=reason)
    needed = _CONTEXT + decoder_memory(video) + _SURFACES * _frame_size(video)
    if room is not None and needed > room:
        found = f"It would take {needed >> 20} MiB of the card's memory, of which {max(room, 0) >> 20} may be taken."
        return Backend(on_card=False, why=found)
    return Backend(on_card=True, why="A card is there, and suits the video.")


def _unsuited(video: VideoInfo, layout: Layout | None) -> str | None:
    """Why this video in this layout is none for a card; None if it is one."""
    shapes = {(video.width, video.height), (video.coded_width, video.coded_height)}
    reasons = {
        "The layout's background is the blurred source.": layout is not None and layout.background == BLURRED,
        f"No card decodes {video.codec} of {video.pixel_format} here.": (
            video.pixel_format not in _FORMATS.get(video.codec, set())
        ),
        "The video is to be turned.": video.orientation != Orientation(),
        "The video's pixels are to be made square.": len(shapes) > 1 or video.sample_aspect_ratio != 1,
        "The video's sides are odd.": video.width % 2 + video.height % 2 > 0,
        "The video is interlaced.": video.interlaced,
        "The video is salvaged.": video.salvage,
        "The video's colors are to be converted.": (
            not video.color_tags.completed(video.coded_height).looks_as(video.color)
        ),
    }
    return next((reason for reason, applies in reasons.items() if applies), None)
