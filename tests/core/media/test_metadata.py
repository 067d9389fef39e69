from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import av
import pytest
from av.stream import Disposition

from dualface_core.media.metadata import Chapter
from dualface_core.media.probe import VideoInfo, probe
from dualface_core.verification.streams import metadata_finding
from tests.core.media.conftest import numbered_image
from tests.core.media.test_audio_tracks import copied, tones, with_audio

SAID = {
    "title": "Das Gespräch",
    "artist": "A. Müller",
    "comment": "Take 3: wide",
    "date": "2024-05-06",
    "creation_time": "2024-05-06T07:08:09.000000Z",
    "copyright": "CC BY",
}
CHAPTERS = [(0, 400, "Begrüßung"), (400, 800, "")]


def described(path: Path, tags: dict[str, str], *, chapters: list[tuple[int, int, str]] = CHAPTERS) -> VideoInfo:
    """A clip with audio that says this of itself; chapters in milliseconds."""
    plain = with_audio(path.with_name(f"plain-{path.name}"), ("aac", tones("stereo"), {"language": "fra"}))
    options = {"movflags": "+use_metadata_tags"} if "com.apple.quicktime.make" in tags else {}
    with av.open(plain) as source, av.open(path, "w", options=options) as container:
        streams = [container.add_stream_from_template(stream) for stream in source.streams]
        streams[0].metadata["language"] = "eng"
        streams[1].metadata["language"] = "fra"
        container.metadata.update(tags)
        container.set_chapters(
            [
                {"id": number, "start": start, "end": end, "time_base": Fraction(1, 1000), "metadata": {"title": title}}
                for number, (start, end, title) in enumerate(chapters)
            ]
        )
        for packet in source.demux():
            if packet.size:
                packet.stream = streams[packet.stream.index]
                container.mux(packet)
    return probe(path)


@pytest.mark.parametrize("name", ["talk.mp4", "talk.mkv", "talk.mov"])
def test_title_time_chapters_and_languages_come_through(tmp_path: Path, name: str) -> None:
    video = described(tmp_path / name, SAID)
    assert dict(video.metadata.tags) == SAID
    result = copied(video, tmp_path / "result.mp4")
    assert dict(result.metadata.tags) == SAID
    assert result.metadata.language == "eng"
    assert result.audio[0].language == "fra"
    assert result.metadata.chapters == (Chapter(0, 0.4, "Begrüßung"), Chapter(0.4, 0.8, ""))
    assert metadata_finding(result, video).passed


def test_every_tag_that_an_mp4_has_a_place_for_comes_through(tmp_path: Path) -> None:
    names = ("album_artist", "album", "composer", "description", "synopsis", "genre", "keywords", "lyrics")
    tags = {**SAID, **{name: f"{name} ü" for name in (*names, "show", "episode_id", "network")}, "track": "3/4"}
    video = described(tmp_path / "film.mp4", tags, chapters=[])
    assert dict(copied(video, tmp_path / "result.mp4").metadata.tags) == tags


@pytest.mark.parametrize("place", ["+52.5200+013.4050/", "-33.8688-151.2093+012.500/"])
def test_where_it_was_filmed_comes_through(tmp_path: Path, place: str) -> None:
    video = described(tmp_path / "phone.mp4", {"location": place})
    result = copied(video, tmp_path / "result.mp4")
    assert result.metadata.tags["location"].startswith(place[:18])
    assert metadata_finding(result, video).passed


def test_what_a_phone_says_of_itself_comes_through_under_its_own_names(tmp_path: Path) -> None:
    phone = {
        "com.apple.quicktime.make": "Apple",
        "com.apple.quicktime.model": "iPhone 15 Pro",
        "com.apple.quicktime.location.ISO6709": "+52.5200+013.4050+034.000/",
        "com.apple.quicktime.creationdate": "2024-05-06T09:08:09+0200",
        "creation_time": "2024-05-06T07:08:09.000000Z",
    }
    video = described(tmp_path / "phone.mov", phone, chapters=[])
    result = copied(video, tmp_path / "result.mp4")
    assert dict(result.metadata.tags) == phone
    assert metadata_finding(result, video).passed


def test_tags_without_a_place_and_other_tracks_are_said_to_be_left_out(tmp_path: Path) -> None:
    video = described(tmp_path / "talk.mkv", {"title": "T", "PURL": "https://example.org", "ENCODER_OPTIONS": "x"})
    assert video.notes == ("Tags that an MP4 has no common place for are left out: PURL.",)


def test_chapters_move_with_the_clock_that_begins_at_0(tmp_path: Path) -> None:
    plain = with_audio(tmp_path / "plain.mkv", ("aac", tones("stereo", start=5.0), {}), start=5)
    with av.open(plain) as source, av.open(tmp_path / "late.mkv", "w") as container:
        streams = [container.add_stream_from_template(stream) for stream in source.streams]
        for packet in source.demux():
            if packet.size:
                packet.stream = streams[packet.stream.index]
                container.mux(packet)
        container.set_chapters(
            [
                {"id": 1, "start": 0, "end": 5400, "time_base": Fraction(1, 1000), "metadata": {"title": "One"}},
                {"id": 2, "start": 5400, "end": 6000, "time_base": Fraction(1, 1000), "metadata": {"title": "Two"}},
            ]
        )
    video = probe(tmp_path / "late.mkv")
    assert video.metadata.chapters == (
        Chapter(0, pytest.approx(0.4, abs=0.03), "One"),
        Chapter(pytest.approx(0.4, abs=0.03), pytest.approx(1.0, abs=0.03), "Two"),
    )
    result = copied(video, tmp_path / "result.mp4")
    assert metadata_finding(result, video).passed


def test_a_second_video_subtitles_and_a_cover_are_said_to_be_left_out(tmp_path: Path) -> None:
    path = tmp_path / "many.mkv"
    with av.open(path, "w") as container:
        films = [container.add_stream("libx264", rate=15, width=96, height=64) for _ in range(2)]
        films[0].disposition = Disposition.default
        words = container.add_mux_stream("subrip")
        container.start_encoding()
        for number in range(5):
            image = av.VideoFrame.from_ndarray(numbered_image(number, 96, 64), format="rgb24")
            for film in films:
                image.pts, image.time_base = number, Fraction(1, 15)
                container.mux(film.encode(image))
        line = av.Packet(b"Hello.")
        line.pts, line.dts, line.duration, line.time_base, line.stream = 0, 0, 300, Fraction(1, 1000), words
        container.mux(line)
        for film in films:
            container.mux(film.encode(None))
    notes = probe(path).notes
    assert notes == ("1 other video track is left out.", "1 subtitle track is left out.")


def test_what_did_not_arrive_is_named(tmp_path: Path) -> None:
    video = described(tmp_path / "talk.mp4", SAID)
    bare = described(tmp_path / "bare.mp4", {}, chapters=[(0, 300, "Begrüßung")])
    finding = metadata_finding(bare, video)
    assert (finding.passed, finding.severity) == (False, "warning")
    named = "title, artist, comment, date, creation_time, copyright, chapters"
    assert set(finding.message.removeprefix("Not as in the source: ").rstrip(".").split(", ")) == set(named.split(", "))
