"""Findings about the streams of a result: what they are, when their frames are shown, and whether the audio is whole.

Belongs here: everything that needs no decoded frame. Times are compared as exact fractions of a second, since a
result may count in finer units than its source.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import replace
from fractions import Fraction
from functools import partial
from itertools import zip_longest
from typing import Final

from dualface_core.media.audio_streams import MOST_CHANNELS, AudioInfo
from dualface_core.media.color import ColorInfo
from dualface_core.media.packets import AudioPacket, audio_packets
from dualface_core.media.probe import VideoInfo
from dualface_core.tables.layouts import Layout
from dualface_core.verification.audio import audio_blocks, content_finding
from dualface_core.verification.findings import Check, Finding, clock

PIXEL_FORMATS: Final = {"yuv420p", "yuvj420p"}
"""What every player can show: 8-bit 4:2:0 (the second name says that its range is full)."""

AAC_FRAME: Final = 1024
"""Samples per AAC packet: audio that was coded anew may begin or end by so much earlier or later."""

_PLACE: Final = re.compile(r"([-+][\d.]+)([-+][\d.]+)")
"""Latitude and longitude by ISO 6709, in degrees."""

_LONGEST_HEADER: Final = 9
"""Bytes of an ADTS header, which AAC loses on its way from a transport stream into an MP4."""


def stream_findings(result: VideoInfo, source: VideoInfo, layout: Layout) -> Iterator[Finding]:
    """Size, codec, pixel format and color tags of the result."""
    size, expected = f"{result.width}x{result.height}", f"{layout.width}x{layout.height}"
    yield Finding(
        check=Check.SIZE,
        passed=size == expected,
        value=size,
        expected=expected,
        message=f"The canvas is {size} pixels; the layout {layout.name} has {expected}.",
    )
    yield Finding(
        check=Check.CODEC,
        passed=result.pixel_format in PIXEL_FORMATS,
        value=f"{result.codec}, {result.pixel_format}",
        expected="8-bit 4:2:0",
        message=f"The frames are {result.codec} in {result.pixel_format}; players want 8-bit 4:2:0.",
    )
    found, wanted = result.color_tags, source.color
    yield Finding(
        check=Check.COLOR,
        passed=found == wanted,
        value=_tags(found),
        expected=_tags(wanted),
        message=f"The color tags are {_tags(found)}; the source's colors are {_tags(wanted)}.",
    )


def timing_findings(shown: Sequence[Fraction], planned: Sequence[Fraction]) -> Iterator[Finding]:
    """Number of frames, and when each is shown, in seconds."""
    times = set(shown)
    lost = next((f" None is shown at {clock(float(time))}." for time in planned if time not in times), "")
    yield Finding(
        check=Check.FRAME_COUNT,
        passed=len(shown) == len(planned),
        value=len(shown),
        expected=str(len(planned)),
        message=f"The result has {len(shown)} frames; the plan has {len(planned)}.{lost}",
    )
    known = set(planned)
    astray = [(number, time) for number, time in enumerate(shown) if time not in known]
    message = "Every frame is shown at a time of the plan, exactly."
    if astray:
        number, time = astray[0]
        nearest = min(planned, key=lambda other: abs(other - time), default=time)
        message = (
            f"{len(astray)} frames are shown at times that the plan doesn't have, the first of them frame {number}: "
            f"at {float(time):.6f} s, which is {float(time - nearest):+.6f} s from the nearest planned one."
        )
    yield Finding(check=Check.TIMESTAMPS, passed=not astray, value=len(astray), expected="0", message=message)


def audio_findings(result: VideoInfo, source: VideoInfo) -> Iterator[Finding]:
    """Whether the audio of the source is in the result: every track, all of it, at its time."""
    found, wanted = ([audio.codec for audio in video.audio] for video in (result, source))
    if len(found) != len(wanted) or not wanted:
        yield Finding(
            check=Check.AUDIO,
            passed=not found and not wanted,
            value=", ".join(found) or "none",
            expected=", ".join(wanted) or "none",
            message=f"The result has {_tracks(found)}, and the source has {_tracks(wanted)}.",
        )
        return
    for number, (ours, theirs) in enumerate(zip(result.audio, source.audio, strict=True), 1):
        for finding in _track_findings(result, source, ours, theirs):
            named = f"Audio track {number}: {finding.message}" if len(wanted) > 1 else finding.message
            yield finding.model_copy(update={"message": named})


def _tracks(codecs: Sequence[str]) -> str:
    return {0: "no audio", 1: "one audio track"}.get(len(codecs), f"{len(codecs)} audio tracks")


def _track_findings(result: VideoInfo, source: VideoInfo, ours: AudioInfo, theirs: AudioInfo) -> Iterator[Finding]:
    codec = theirs.codec if theirs.copied else "aac"
    yield Finding(
        check=Check.AUDIO,
        passed=ours.codec == codec,
        value=ours.codec,
        expected=codec,
        message=f"The audio is {ours.codec}; the source's is {theirs.codec}.",
    )
    if theirs.copied:
        yield from _copy_findings(result, source, ours, theirs)
    else:
        blocks = partial(audio_blocks, start=theirs.start, channels=min(MOST_CHANNELS, theirs.channels))
        decoded = blocks(source.path, theirs)
        yield content_finding(blocks(result.path, ours), decoded)
        # What a decoder makes of its packets may begin later: of WMA, it swallows the first.
        theirs = replace(theirs, start=decoded.begin, duration=decoded.end - decoded.begin)
        yield _recoding_finding(ours, theirs)
    yield _drift_finding(result, source, ours, theirs)


def _copy_findings(result: VideoInfo, source: VideoInfo, audio: AudioInfo, original: AudioInfo) -> Iterator[Finding]:
    packets, different, lag = 0, 0, Fraction(0)
    both = audio_packets(result.path, audio), audio_packets(source.path, original)
    for ours, theirs in zip_longest(*both):
        packets += 1
        if ours is None or theirs is None or not _same_payload(ours, theirs):
            different += 1
        elif ours.start != theirs.start:
            lag = max(lag, ours.start - theirs.start, key=abs)
    yield Finding(
        check=Check.AUDIO_PACKETS,
        passed=not different,
        value=different,
        expected="0",
        message=f"{different} of {packets} audio packets are missing, in excess or not those of the source.",
    )
    # A container that counts in milliseconds is off the grid of samples by up to half of one.
    tick = Fraction(1, audio.sample_rate)
    yield Finding(
        check=Check.AUDIO_TIMING,
        passed=abs(lag) < tick,
        value=round(float(lag), 6),
        expected="0 s",
        message=f"Audio packets are played up to {float(lag):+.6f} s from where the source has them.",
    )


def _same_payload(ours: AudioPacket, theirs: AudioPacket) -> bool:
    if ours.payload == theirs.payload:
        return True
    lost = len(theirs.payload) - len(ours.payload)
    return 0 < lost <= _LONGEST_HEADER and theirs.payload.endswith(ours.payload)


def _recoding_finding(ours: AudioInfo, theirs: AudioInfo) -> Finding:
    begin = ours.start - theirs.start
    end = begin + ours.duration - theirs.duration
    frame = AAC_FRAME / ours.sample_rate
    worst = max(begin, end, key=abs)
    return Finding(
        check=Check.AUDIO_TIMING,
        # A container that counts in milliseconds adds one of them at either end.
        passed=abs(begin) <= frame + 0.001 and abs(end) <= 2 * frame + 0.001,
        value=round(worst, 6),
        expected=f"within {frame:.3f} s at the beginning and {2 * frame:.3f} s at the end",
        message=(
            f"The audio, coded anew as {ours.codec}, begins {begin:+.3f} s and ends {end:+.3f} s from where the "
            "source's does."
        ),
    )


def _drift_finding(result: VideoInfo, source: VideoInfo, ours: AudioInfo, theirs: AudioInfo) -> Finding:
    """How much further apart video and audio end than in the source."""
    drift = (_end(result) - ours.start - ours.duration) - (_end(source) - theirs.start - theirs.duration)
    allowed = float(1 / source.average_rate) + 2 * AAC_FRAME / ours.sample_rate
    return Finding(
        check=Check.DRIFT,
        passed=abs(drift) <= allowed,
        value=round(drift, 6),
        expected=f"within {allowed:.3f} s",
        message=f"At the end, the video is {drift:+.3f} s further behind the audio than in the source.",
    )


def metadata_finding(result: VideoInfo, source: VideoInfo) -> Finding:
    """Whether the result says of itself what the source does: a warning, since it plays all the same."""
    ours, theirs = _described(result), _described(source)
    lost = [name for name, value in theirs.items() if not _same_text(name, ours.get(name, ""), value)]
    return Finding(
        check=Check.METADATA,
        passed=not lost,
        severity="warning",
        value=", ".join(lost),
        expected=", ".join(theirs) or "nothing",
        message=f"Not as in the source: {', '.join(lost)}." if lost else "Title, chapters and tags are the source's.",
    )


def _described(video: VideoInfo) -> dict[str, str]:
    """What a file says of itself, by names for people; what is empty or unknown is left out."""
    metadata = video.metadata
    said = {
        **metadata.tags,
        "language of the video": metadata.language,
        "chapters": ", ".join(f"{clock(chapter.start)} {chapter.title}" for chapter in metadata.chapters),
        "default of the audio": ", ".join(str(number) for number, audio in enumerate(video.audio, 1) if audio.default),
    }
    for number, audio in enumerate(video.audio, 1):
        said |= {f"language of audio track {number}": audio.language, f"title of audio track {number}": audio.title}
    return {name: value for name, value in said.items() if value and value != "und"}


def _same_text(name: str, ours: str, theirs: str) -> bool:
    if name == "location":  # degrees are written with so many digits
        places = [_PLACE.match(text) for text in (ours, theirs)]
        degrees = [[round(float(number), 3) for number in place.groups()] for place in places if place is not None]
        return len(degrees) == len(places) and degrees[0] == degrees[1]
    # MP4 counts whole seconds.
    return ours.partition(".")[0] == theirs.partition(".")[0] if name == "creation_time" else ours == theirs


def _end(video: VideoInfo) -> float:
    return float(video.first_pts * video.time_base) + video.duration


def _tags(color: ColorInfo) -> str:
    return f"range {color.range}, primaries {color.primaries}, transfer {color.transfer}, matrix {color.matrix}"
