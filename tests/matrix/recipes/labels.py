"""What a file says of itself, and streams beside video and audio."""

from __future__ import annotations

from typing import Final

from tests.matrix.making import Recipe, Verified, Write
from tests.matrix.recipes.encoders import MPEG2, PCM, VP9, X264

_TITLE: Final = "-metadata title='Two people talk'"
_TIME: Final = "-metadata creation_time=2024-05-06T07:08:09Z"
_PLACE: Final = "-metadata location=+48.1372+011.5756/"
_ALL: Final = f"{_TITLE} {_TIME} {_PLACE} -metadata:s:a language=deu"
_COPY: Final = "-c:v copy -c:a aac"
_CHAPTERS: Final = Write(
    "chapters.txt",
    b";FFMETADATA1\n"
    b"[CHAPTER]\nTIMEBASE=1/1000\nSTART=0\nEND=400\ntitle=Greeting\n"
    b"[CHAPTER]\nTIMEBASE=1/1000\nSTART=400\nEND=1200\ntitle=K\xc3\xa4se & Wein\n",
)
_SUBTITLES: Final = Write("lines.srt", b"1\n00:00:00,100 --> 00:00:01,000\nHello.\n")


def _with_chapters(name: str, codecs: str) -> Recipe:
    made = (_CHAPTERS, f"-i base.mov -i chapters.txt -map_metadata 1 -map_chapters 1 {codecs} {name}")
    return Recipe(name, made, Verified())


LABELS: Final = (
    Recipe("title.mp4", f"{_COPY} {_TITLE}", Verified(quiet=True)),
    Recipe("title.mov", f"{_COPY} {_TITLE}", Verified()),
    Recipe("title.mkv", f"{_COPY} {_TITLE}", Verified()),
    Recipe("title.webm", f"{VP9} -c:a libopus {_TITLE}", Verified()),
    Recipe("title.avi", f"-c:v mjpeg -q:v 2 {PCM} {_TITLE}", Verified()),
    Recipe("title.wmv", f"-c:v wmv2 -q:v 2 -an {_TITLE}", Verified()),
    Recipe("title.flv", f"{X264} -c:a aac {_TITLE}", Verified()),
    Recipe("title.ogv", f"-c:v libtheora -q:v 10 -c:a libvorbis {_TITLE}", Verified()),
    Recipe("title-in-other-letters.mp4", f"{_COPY} -metadata title='Gespräch 対談 🎬'", Verified()),
    Recipe("time.mp4", f"{_COPY} {_TIME}", Verified()),
    Recipe("time.mov", f"{_COPY} {_TIME}", Verified()),
    Recipe("time.mkv", f"{_COPY} {_TIME}", Verified()),
    Recipe("place.mp4", f"{_COPY} {_PLACE}", Verified()),
    Recipe("place.mov", f"{_COPY} {_PLACE}", Verified()),
    Recipe(
        "place-of-phone.mov",
        f"{_COPY} -movflags use_metadata_tags -metadata com.apple.quicktime.location.ISO6709=+48.1372+011.5756+519.1/",
        Verified(),
    ),
    _with_chapters("chapters.mp4", _COPY),
    _with_chapters("chapters.mov", _COPY),
    _with_chapters("chapters.mkv", _COPY),
    _with_chapters("chapters.webm", f"{VP9} -c:a libopus"),
    Recipe(
        "everything.mp4",
        (
            _CHAPTERS,
            f"-i base.mov -i chapters.txt -map_chapters 1 {_COPY} {_ALL} everything.mp4",
        ),
        Verified(),
    ),
    Recipe("language.mp4", f"{_COPY} -metadata:s:a language=jpn", Verified()),
    Recipe("language.ts", f"{X264} -c:a mp2 -metadata:s:a language=fra", Verified()),
    Recipe(
        "subtitles.mp4",
        (_SUBTITLES, f"-i base.mov -i lines.srt {_COPY} -c:s mov_text subtitles.mp4"),
        Verified(says=("[Ss]ubtitle",)),
    ),
    Recipe(
        "subtitles.mkv",
        (_SUBTITLES, f"-i base.mov -i lines.srt {_COPY} -c:s srt subtitles.mkv"),
        Verified(says=("[Ss]ubtitle",)),
    ),
    Recipe("timecode.mov", f"{_COPY} -timecode 01:00:00:00", Verified()),
    Recipe("timecode.mxf", f"{MPEG2} -bf 0 {PCM} -timecode 10:00:00:00", Verified()),
    Recipe(
        "cover.mp4",
        (
            "-i base.mov -frames:v 1 cover.png",
            f"-i base.mov -i cover.png -map 0 -map 1 {_COPY} -c:v:1 png -disposition:v:1 attached_pic cover.mp4",
        ),
        Verified(),
    ),
    Recipe(
        "cover-first.mp4",
        (
            "-i base.mov -frames:v 1 cover.png",
            f"-i base.mov -i cover.png -map 1 -map 0 {_COPY} -c:v:0 png -disposition:v:0 attached_pic cover-first.mp4",
        ),
        Verified(),
    ),
    Recipe(
        "attachment.mkv",
        (_SUBTITLES, f"-i base.mov {_COPY} -attach lines.srt -metadata:s:t mimetype=text/plain attachment.mkv"),
        Verified(),
    ),
    Recipe(
        "two-videos.mkv",
        f"-i base.mov -map 0:v -map 0:v -map 0:a {_COPY} -c:v:1 libx264 -s:v:1 160x90 two-videos.mkv",
        Verified(says=("video",)),
    ),
)
