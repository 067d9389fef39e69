"""Metadata: what a file says of itself, its title, its chapters, when and where it was filmed.

Belongs here: which of it goes into an MP4, and how. Language and title of an audio track are with the track
(`audio_streams`).
"""

from __future__ import annotations

import re
from collections.abc import Container, Iterator, Mapping
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Final

from av.container import InputContainer, OutputContainer
from av.stream import Disposition, Stream
from av.video.stream import VideoStream

_COMMON: Final = frozenset(
    {
        *(
            "title",
            "artist",
            "album_artist",
            "album",
            "composer",
            "date",
            "comment",
            "description",
            "synopsis",
            "genre",
        ),
        *("copyright", "keywords", "lyrics", "show", "episode_id", "network", "track", "creation_time", "location"),
    }
)
"""Tags that every MP4 has a place for, by FFmpeg's names."""

_APPLE: Final = "com.apple.quicktime."
_CAMERA: Final = frozenset({"make", "model"})
"""Tags of phones, which an MP4 holds only in a list that takes the place of the common one: players that know nothing
but the common names find no title there. So it is written for those who have such tags."""

_OF_THE_FILE: Final = re.compile(
    r"major_brand|minor_version|compatible_brands|encoder.*|encoded_by|software|handler_name|vendor_id|duration.*"
    r"|timecode|_statistics.*|bps.*|number_of_.*|.*version.*|.*uid|wm/.*|wmfsdk.*|isvbr|deviceconformancetemplate",
    re.IGNORECASE,
)
"""Tags that describe the file and not what is in it: a result has its own."""
_TECHNICAL: Final = frozenset({"mxf", "flv"})
"""Formats nearly all of whose tags are of that kind."""


@dataclass(frozen=True)
class Chapter:
    """A chapter: seconds on the clock of the frames, and its title, which may be empty."""

    start: float
    end: float
    title: str


@dataclass(frozen=True)
class Metadata:
    """What a file says of itself.

    Attributes:
        tags: by FFmpeg's names, such as "title" and "creation_time", or Apple's.
        language: of the video stream; empty if it has none.
        chapters: in order of time.
        lost: names of tags that an MP4 has no place for.
    """

    tags: Mapping[str, str] = field(default_factory=dict)
    language: str = ""
    chapters: tuple[Chapter, ...] = ()
    lost: tuple[str, ...] = ()

    @property
    def muxer_flags(self) -> str:
        """What FFmpeg's MP4 muxer must be told to write all tags."""
        return "+use_metadata_tags" if any(_of_a_camera(name) for name in self.tags) else ""

    def write(self, output: OutputContainer, video: Stream) -> None:
        """Hand everything to a muxer, before its header is written."""
        output.metadata.update(self.tags)
        if self.language:
            video.metadata["language"] = self.language
        if "creation_time" in self.tags:
            video.metadata["creation_time"] = self.tags["creation_time"]
        output.set_chapters(
            [
                {
                    "id": number,
                    "start": round(1000 * chapter.start),
                    "end": round(1000 * chapter.end),
                    "time_base": Fraction(1, 1000),
                    "metadata": {"title": chapter.title},
                }
                for number, chapter in enumerate(self.chapters, 1)
            ]
        )


def read_metadata(container: InputContainer, video: VideoStream, *, shift: Fraction) -> Metadata:
    """What a file says of itself.

    Args:
        container: the file, open.
        video: the stream of its frames.
        shift: seconds by which a result's times are later than the file's.
    """
    said = container.metadata
    if container.format.name == "ogg":  # whose streams have the tags of the whole
        said = {**said, **video.metadata}
    tags = dict(_kept(said))
    known = {name.lower() for name in tags}
    others = [name for name in said if _is_lost(name, known) and container.format.name not in _TECHNICAL]
    chapters = []
    for chapter in container.chapters():
        start, end = (float(chapter[side] * Fraction(chapter["time_base"] or 1) + shift) for side in ("start", "end"))
        if end > 0:
            chapters.append(Chapter(max(0.0, start), end, chapter["metadata"].get("title", "")))
    return Metadata(tags, video.metadata.get("language", ""), tuple(chapters), tuple(others))


def left_out(container: InputContainer, video: VideoStream, metadata: Metadata) -> Iterator[str]:
    """What of a file is not in a result: other tags, subtitles, cover art, a second video. Audio tells itself."""
    if metadata.lost:
        yield f"Tags that an MP4 has no common place for are left out: {', '.join(metadata.lost)}."
    others = [stream for stream in container.streams if stream.type in {"video", "subtitle"} and stream is not video]
    covers = [stream for stream in others if stream.disposition & Disposition.attached_pic]
    for streams, name in (
        (covers, "cover image"),
        ([stream for stream in others if stream.type == "video" and stream not in covers], "other video track"),
        ([stream for stream in others if stream.type == "subtitle"], "subtitle track"),
    ):
        if streams:
            yield f"{len(streams)} {name}{' is' if len(streams) == 1 else 's are'} left out."


def _is_lost(name: str, kept: Container[str]) -> bool:
    own = name.partition("-")[0].lower().replace(" ", "_")  # FFmpeg gives a place once more for each language
    return own not in kept and not _OF_THE_FILE.fullmatch(name)


def _kept(tags: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    for name, value in tags.items():
        common = name.lower().replace(" ", "_")
        if common in _COMMON and value:
            yield common, value
        elif _of_a_camera(name):
            yield name, value


def _of_a_camera(name: str) -> bool:
    return name.startswith(_APPLE) or name.lower() in _CAMERA
