"""What is not a video, holds nobody, names other files, or asks for too much."""

from __future__ import annotations

import struct
from typing import Final

from dualface_core.errors import (
    LimitError,
    NobodyFoundError,
    NoVideoStreamError,
    ProtectedVideoError,
    UnreadableVideoError,
    UnsupportedVideoError,
)
from tests.matrix.making import Overwrite, Recipe, Refused, Step, Swap, Write
from tests.matrix.recipes.encoders import PCM, X264

_CENC: Final = (
    "-encryption_scheme cenc-aes-ctr -encryption_key 76a6c65c5ea762046bd749a2e632ccbb "
    "-encryption_kid a7e61c373e219033c21091fa607bf3b8"
)
_MASTER: Final = b"#EXTM3U\n#EXT-X-STREAM-INF:BANDWIDTH=1000\nhttp://127.0.0.1:9/other.m3u8\n"
_MEDIA: Final = b"#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\n/etc/passwd\n#EXT-X-ENDLIST\n"
_CONCAT: Final = b"ffconcat version 1.0\nfile base.mov\n"
_SDP: Final = (
    b"v=0\no=- 0 0 IN IP4 127.0.0.1\ns=x\nc=IN IP4 127.0.0.1\nt=0 0\nm=video 5004 RTP/AVP 96\na=rtpmap:96 H264/90000\n"
)
_DASH: Final = (
    b'<?xml version="1.0"?><MPD xmlns="urn:mpeg:dash:schema:mpd:2011" type="static" mediaPresentationDuration="PT1S">'
    b'<Period><AdaptationSet mimeType="video/mp4"><Representation id="1" bandwidth="1"><BaseURL>base.mov</BaseURL>'
    b"</Representation></AdaptationSet></Period></MPD>"
)


def _text(name: str, content: bytes) -> tuple[Step, ...]:
    return (Write(name, content),)


REFUSED: Final = (
    Recipe("empty.mp4", _text("empty.mp4", b""), Refused(UnreadableVideoError, "0 bytes"), quick=True),
    Recipe("one-byte.mp4", _text("one-byte.mp4", b"\x00"), Refused(UnreadableVideoError, "not a video")),
    Recipe("zeros.mp4", _text("zeros.mp4", bytes(50_000)), Refused(UnreadableVideoError, "not a video")),
    Recipe(
        "text.mp4",
        _text("text.mp4", b"This is not a video.\n" * 99),
        Refused(UnreadableVideoError, "not a video"),
        quick=True,
    ),
    Recipe(
        "page.mp4",
        _text("page.mp4", b"<!DOCTYPE html><html><body>404</body></html>"),
        Refused(UnreadableVideoError, "not a video"),
    ),
    Recipe(
        "archive.mkv",
        _text("archive.mkv", b"PK\x03\x04" + bytes(range(256)) * 40),
        Refused(UnreadableVideoError, "not a video"),
    ),
    Recipe(
        "program.avi",
        _text("program.avi", b"\x7fELF\x02\x01\x01" + bytes(range(256)) * 40),
        Refused(UnreadableVideoError, "not a video"),
    ),
    Recipe("hls.mp4", _text("hls.mp4", _MEDIA), Refused(UnreadableVideoError, "not a video"), quick=True),
    Recipe("hls.m3u8", _text("hls.m3u8", _MEDIA), Refused(UnreadableVideoError, "playlist")),
    Recipe("hls-master.ts", _text("hls-master.ts", _MASTER), Refused(UnreadableVideoError, "not a video")),
    Recipe("concat.mp4", _text("concat.mp4", _CONCAT), Refused(UnreadableVideoError, "not a video")),
    Recipe("concat.ffconcat", _text("concat.ffconcat", _CONCAT), Refused(UnreadableVideoError, "not a video")),
    Recipe("sdp.mp4", _text("sdp.mp4", _SDP), Refused(UnreadableVideoError, "not a video")),
    Recipe("dash.mp4", _text("dash.mp4", _DASH), Refused(UnreadableVideoError, "not a video")),
    Recipe(
        "subtitles.srt",
        _text("subtitles.srt", b"1\n00:00:00,100 --> 00:00:01,000\nHello.\n"),
        Refused(NoVideoStreamError, "no video"),
    ),
    Recipe("audio.m4a", "-vn -c:a aac", Refused(NoVideoStreamError, "no video")),
    Recipe("audio.mkv", "-vn -c:a flac", Refused(NoVideoStreamError, "no video")),
    Recipe("audio.wav", f"-vn {PCM}", Refused(NoVideoStreamError, "no video")),
    Recipe(
        "cover-only.mp3",
        (
            "-i base.mov -frames:v 1 cover.png",
            "-i base.mov -i cover.png -map 0:a -map 1 -c:a mp3 -c:v copy -disposition:v attached_pic cover-only.mp3",
        ),
        Refused(NoVideoStreamError, "no video"),
    ),
    Recipe("encrypted.mp4", f"{X264} -an {_CENC}", Refused(ProtectedVideoError, "encrypted|protected"), quick=True),
    Recipe("nobody.mp4", f"-f lavfi -i testsrc=d=1 {X264} nobody.mp4", Refused(NobodyFoundError, "no face")),
    Recipe("black.mp4", f"-f lavfi -i color=d=1 {X264} black.mp4", Refused(NobodyFoundError, "no face")),
    Recipe(
        "unknown-codec.mov",
        (f"-i base.mov {X264} -an unknown-codec.mov", Swap("unknown-codec.mov", b"avc1", b"zzzz")),
        Refused(UnsupportedVideoError, "codec"),
    ),
    Recipe(
        "field-pictures-hevc.mkv",
        "-vf fps=50,interlace=scan=tff:lowpass=0,separatefields -an -c:v libx265 -preset ultrafast "
        "-x265-params log-level=error:interlace=tff",
        Refused(UnsupportedVideoError, "fields are coded as pictures of their own"),
        quick=True,
    ),
    Recipe(
        "many-pixels.gif",
        (
            "-i base.mov -vf fps=5 -an many-pixels.gif",
            Overwrite("many-pixels.gif", 6, struct.pack("<HH", 15_000, 15_000)),
        ),
        Refused(LimitError, "pixels"),
    ),
    Recipe("many-pixels.mkv", "-vf scale=16384:8704 -frames:v 1 -c:v png -an", Refused(LimitError, "pixels")),
)
