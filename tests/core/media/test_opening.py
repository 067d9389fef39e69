from __future__ import annotations

import os
from fractions import Fraction
from pathlib import Path
from typing import Any

import psutil
import pytest

from dualface_core.errors import LimitError, ProtectedVideoError, UnreadableVideoError, UnsupportedVideoError
from dualface_core.media.limits import Limits
from dualface_core.media.probe import probe
from tests.core.media.boxes import element, inserted_box, replaced_text
from tests.core.media.conftest import MakeClip

KEY = {"encryption_scheme": "cenc-aes-ctr", "encryption_key": "76" * 16, "encryption_kid": "a7" * 16}
TITLE = b"x" * 100

HLS = "#EXTM3U\n#EXT-X-TARGETDURATION:4\n#EXTINF:4,\nother.ts\n#EXT-X-ENDLIST\n"
CONCAT = "ffconcat version 1.0\nfile 'other.ts'\n"
DASH = (
    '<?xml version="1.0"?><MPD xmlns="urn:mpeg:dash:schema:mpd:2011" type="static" '
    'profiles="urn:mpeg:dash:profile:isoff-live:2011"><Period><AdaptationSet mimeType="video/mp4">'
    '<Representation id="1" bandwidth="1"><BaseURL>other.ts</BaseURL></Representation></AdaptationSet></Period></MPD>'
)
SDP = "v=0\no=- 0 0 IN IP4 127.0.0.1\ns=-\nc=IN IP4 127.0.0.1\nt=0 0\nm=video 5004 RTP/AVP 96\na=rtpmap:96 H264/9\n"


def in_track(content: bytes) -> bytes:
    """A Matroska file whose track is marked as encrypted, its title giving the room for that."""
    algorithm = element("5035", element("47e1", b"\5") + element("47e2", b"k" * 16))
    encoding = element("5031", b"\0") + element("5032", b"\1") + element("5033", b"\1") + algorithm
    return replaced_text(content, "536e", TITLE, element("6d80", element("6240", encoding)))


def scrambled(content: bytes) -> bytes:
    """A transport stream whose packets of audio and video are scrambled, as a broadcaster's are."""
    packets = [bytearray(content[start : start + 188]) for start in range(0, len(content), 188)]
    for packet in packets:
        if 0x100 <= (packet[1] & 31) << 8 | packet[2] < 0x1000:
            packet[3] |= 0x80
            packet[12:] = bytes(byte ^ 0x5A for byte in packet[12:])
    return b"".join(packets)


@pytest.mark.parametrize(
    ("name", "choices", "change"),
    [
        ("cenc.mp4", {"container_options": KEY}, lambda content: content),
        ("cenc-audio.mp4", {"container_options": KEY, "audio": "aac"}, lambda content: content),
        ("encv.mp4", {"container_options": KEY}, lambda content: content.replace(b"avc1", b"encv")),
        ("track.mkv", {"track_title": TITLE.decode()}, in_track),
        ("broadcast.ts", {"pts": range(40), "options": {"crf": "1"}}, scrambled),
    ],
)
def test_an_encrypted_video_is_called_so(make_clip: MakeClip, name: str, choices: dict[str, Any], change: Any) -> None:
    path = make_clip(name, **choices)
    path.write_bytes(change(path.read_bytes()))
    with pytest.raises(ProtectedVideoError, match=r"it is encrypted .* Name a copy that is not"):
        probe(path)


def test_a_codec_that_is_not_known_is_named_as_that(make_clip: MakeClip) -> None:
    path = make_clip("unknown.mov")
    path.write_bytes(path.read_bytes().replace(b"avc1", b"zzzz"))
    with pytest.raises(UnsupportedVideoError, match="a codec that is not known"):
        probe(path)


@pytest.mark.parametrize("playlist", [HLS, CONCAT, DASH, SDP], ids=["hls", "ffconcat", "dash", "sdp"])
@pytest.mark.parametrize("before", ["", "\n \n", "\ufeff"], ids=["", "blanks", "mark"])
@pytest.mark.timeout(120)  # a reader of the pipe waits for ever
def test_nothing_that_a_playlist_names_is_ever_opened(playlist: str, before: str, tmp_path: Path) -> None:
    path = tmp_path / "playlist.mp4"
    path.write_text(before + playlist, encoding="utf-8")
    os.mkfifo(tmp_path / "other.ts")
    with pytest.raises(UnreadableVideoError, match=r"not a video but text\. Choose a video"):
        probe(path)


@pytest.mark.timeout(120)
def test_a_movie_whose_frames_lie_in_another_file_does_not_have_it_opened(make_clip: MakeClip, tmp_path: Path) -> None:
    """An alias of QuickTime, which FFmpeg would follow into the same folder."""
    path = make_clip("movie.mov")
    os.mkfifo(tmp_path / "other.mov")
    name = b":other.mov"
    levels = (1).to_bytes(2, "big") * 2
    target = b"\0\2" + len(name).to_bytes(2, "big") + name + b"\xff\xff\0\0"
    body = bytes(4) + bytes(10) + bytes(28) + bytes(12) + bytes(64) + bytes(16) + levels + bytes(16) + target
    alias = (8 + len(body)).to_bytes(4, "big") + b"alis" + body
    content = path.read_bytes()
    at = content.index(b"dref") + 12  # behind version, flags and count
    boxes = (b"moov", b"trak", b"mdia", b"minf", b"dinf", b"dref")
    content = bytearray(inserted_box(content, boxes, alias[12:]))
    content[at : at + 12] = alias[:12]
    path.write_bytes(content)
    with pytest.raises(UnreadableVideoError):
        probe(path)


@pytest.mark.timeout(120)
def test_a_segment_that_is_said_to_go_on_in_another_file_does_not_have_it_opened(
    make_clip: MakeClip, tmp_path: Path
) -> None:
    path = make_clip("linked.mkv", title=TITLE.decode())
    os.mkfifo(tmp_path / "next.mkv")
    following = element("3eb923", b"n" * 16) + element("3e83bb", b"next.mkv")
    path.write_bytes(replaced_text(path.read_bytes(), "7ba9", TITLE, following))
    assert probe(path).frame_count == 12


@pytest.mark.parametrize(
    ("name", "choices"),
    [
        ("x.mp4", {}),
        ("x.mkv", {}),
        ("x.ts", {}),
        ("x.avi", {"codec": "mjpeg", "pixel_format": "yuvj420p"}),
        ("x.mov", {"codec": "png", "pixel_format": "rgb24"}),
        ("x.webm", {"codec": "libvpx-vp9"}),
        ("wide.mp4", {"size": (48, 64), "aspect": Fraction(2)}),
    ],
)
def test_frames_of_too_many_pixels_are_refused(make_clip: MakeClip, name: str, choices: dict[str, Any]) -> None:
    path = make_clip(name, **choices)
    assert probe(path, Limits(pixels=96 * 64)).frame_count == 12
    with pytest.raises(
        LimitError, match=r"6,144 pixels \(96x64\), and the limit is 6,143\. .* raise DUALFACE_MAX_PIXELS"
    ):
        probe(path, Limits(pixels=96 * 64 - 1))


def test_a_small_file_that_claims_a_large_frame_is_refused_before_it_is_decoded(make_clip: MakeClip) -> None:
    path = make_clip("small.gif", codec="gif", pixel_format="rgb8", pts=[0])
    content = path.read_bytes()
    assert content[6:10] == b"\x60\0\x40\0"
    path.write_bytes(content.replace(content[6:10], (15_000).to_bytes(2, "little") * 2))
    before = psutil.Process().memory_info().rss
    with pytest.raises(LimitError, match=r"225,000,000 pixels \(15000x15000\), and the limit is 35,389,440"):
        probe(path)
    assert psutil.Process().memory_info().rss < before + (100 << 20)


@pytest.mark.parametrize(
    ("limits", "expected"),
    [
        (Limits(streams=1), r"it has 2 streams, and the limit is 1\. .* raise DUALFACE_MAX_STREAMS"),
        (Limits(frames=11), r"it has 12 frames or more, and the limit is 11\. .* raise DUALFACE_MAX_FRAMES"),
        (Limits(memory=73_727), r"\(96x64 at 12 bits a pixel\) take 73,728 bytes .* raise DUALFACE_MAX_MEMORY"),
        (Limits(seconds=0.7), r"it lasts 0\.8 s, and the limit is 0\.7\. .* raise DUALFACE_MAX_SECONDS"),
    ],
)
def test_more_than_a_limit_allows_is_refused(make_clip: MakeClip, limits: Limits, expected: str) -> None:
    with pytest.raises(LimitError, match=expected):
        probe(make_clip("talk.mp4", audio="aac"), limits)
