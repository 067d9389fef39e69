"""What was seen of a result before it was written counts where the file is what was seen, and nowhere else."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from fractions import Fraction
from itertools import pairwise
from pathlib import Path
from struct import pack, unpack

import av
import pytest

from dualface_core import pipeline
from dualface_core.engine.backend import decoder_memory
from dualface_core.engine.workers import Workers
from dualface_core.errors import UnreadableVideoError
from dualface_core.media.encoder import Coding, Surface
from dualface_core.media.joining import SpanEncoder, SpanJoiner, SpanPackets, join_alone
from dualface_core.media.limits import Limits
from dualface_core.media.packets import decoder_input
from dualface_core.media.probe import probe
from dualface_core.media.span_files import SpanFile
from dualface_core.media.writer import Carried
from dualface_core.settings import Settings
from dualface_core.verification.ahead import (
    Ahead,
    AheadTask,
    NotSeenError,
    SpanSeen,
    looking_ahead,
    observed_ahead,
)
from dualface_core.verification.findings import Verification
from dualface_core.verification.observation import Wanted
from dualface_core.verification.samples import Samples
from dualface_core.verification.verify import _Checks
from tests.core.verification.results import ENCODER, Job

SPANS = (0, 10, 20, 30)
"""Frames with which spans of the result begin, and how many it has."""

Tamper = Callable[[Path, Path], None]
"""Makes of the right result, at the first path, another one at the second."""


@pytest.fixture(scope="module")
def spans(
    good: Job, composed: Sequence[tuple[Surface, int]], tmp_path_factory: pytest.TempPathFactory
) -> list[SpanPackets]:
    """The result in three spans."""
    folder, video = tmp_path_factory.mktemp("spans"), good.video
    coding = Coding(ENCODER, 1920, 1080, video.time_base, video.average_rate, video.color, threads=1)
    made = []
    for number, (first, stop) in enumerate(pairwise(SPANS)):
        file = folder / f"{number}.packets"
        with SpanEncoder(file, coding) as encoder:
            for surface, pts in composed[first:stop]:
                encoder.encode(surface, pts)
            made.append(SpanPackets(encoder.finish(), file, coding))
    return made


@pytest.fixture(scope="module")
def right(good: Job, spans: list[SpanPackets], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The result that is made of them."""
    output, video = tmp_path_factory.mktemp("right") / "result.mp4", good.video
    carried, end = Carried(video.path, video.audio, video.metadata), video.last_pts + video.last_duration
    with SpanJoiner(output, spans[0].coding, carried, pts=good.plan.pts, end=end) as joiner:
        for span in spans:
            joiner.add(span.encoded, span.file)
    return output


@contextmanager
def seen_ahead(
    job: Job, spans: Sequence[SpanPackets | SpanFile], workers: Workers, *, memory: int | None = None
) -> Iterator[Ahead]:
    with looking_ahead(job.video, job.tracks, job.plan, Settings.load(), workers, memory=memory) as ahead:
        for span in reversed(spans):  # they are encoded in any order
            ahead.add(span)
        yield ahead


def as_files(spans: list[SpanPackets], folder: Path) -> list[SpanFile]:
    """The same as NVENC's copies."""
    files = [folder / f"{number}.span.mp4" for number in range(len(spans))]
    for span, file in zip(spans, files, strict=True):
        join_alone(span, file)
    return [
        SpanFile(file, span.encoder, span.first, span.last, span.frames)
        for span, file in zip(spans, files, strict=True)
    ]


def verified(job: Job, output: Path, workers: Workers, ahead: Ahead | None = None) -> Verification:
    return pipeline.verify(
        output,
        video=job.video,
        tracks=job.tracks,
        plan=job.plan,
        fingerprints=job.fingerprints,
        ahead=ahead,
        workers=workers,
    )


def test_of_a_right_result_the_same_is_found_and_nothing_is_decoded_again(
    good: Job, spans: list[SpanPackets], right: Path, workers: Workers, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = verified(good, right, workers)
    assert whole.passed
    monkeypatch.delattr(_Checks, "_result_task")
    with seen_ahead(good, spans, workers) as ahead:
        assert verified(good, right, workers, ahead) == whole


@pytest.mark.parametrize("kind", ["packets", "files"])
def test_processes_for_a_card_look_ahead_or_whoever_takes_their_place(
    good: Job,
    spans: list[SpanPackets],
    right: Path,
    tmp_path: Path,
    workers: Workers,
    kind: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    whole = verified(good, right, workers)
    monkeypatch.delattr(_Checks, "_result_task")
    given = spans if kind == "packets" else as_files(spans, tmp_path)
    with seen_ahead(good, given, workers, memory=decoder_memory(good.video)) as ahead:
        assert verified(good, right, workers, ahead) == whole
        assert not [*tmp_path.glob("*.mp4")]


def test_a_span_is_seen_where_an_mp4_counts_finer_than_its_source(
    good: Job, composed: Sequence[tuple[Surface, int]], tmp_path: Path
) -> None:
    coding = Coding(ENCODER, 1920, 1080, Fraction(1, 1000), Fraction(10), good.video.color, threads=1)
    times = [3017, 3100, 3250]
    with SpanEncoder(tmp_path / "a.packets", coding) as encoder:
        for (surface, _), pts in zip(composed, times, strict=False):
            encoder.encode(surface, pts)
        span = SpanPackets(encoder.finish(), tmp_path / "a.packets", coding)
    planned = [Fraction(time, 1000) for time in times]
    wanted = Wanted(good.plan.layout, 0, planned, {}, frozenset(), {}, None, None)
    seen = observed_ahead(AheadTask(span, wanted, Limits(), None))
    assert isinstance(seen, SpanSeen)
    assert seen.video.time_base < Fraction(1, 1000)
    assert [pts * seen.video.time_base for each in seen.whole() for pts in each.pts] == planned


def packets_of(path: Path) -> list[av.Packet]:
    with av.open(str(path)) as container:
        return [packet for packet in container.demux(video=0) if packet.size]


def with_bytes(change: Callable[[bytearray, Path], None]) -> Tamper:
    def tamper(source: Path, target: Path) -> None:
        content = bytearray(source.read_bytes())
        change(content, source)
        target.write_bytes(content)

    return tamper


def flip_in_packet(content: bytearray, source: Path) -> None:
    packet = packets_of(source)[14]
    assert packet.pos is not None
    content[packet.pos + packet.size // 2] ^= 0x40


def change_headers(content: bytearray, _: Path) -> None:
    content[content.index(b"avcC") + 16] ^= 0x10


def turn(content: bytearray, _: Path) -> None:
    """Have the video shown upside down, by the matrix of its track."""
    matrix = content.index(b"tkhd") + 44
    content[matrix : matrix + 36] = pack(">9i", -0x10000, 0, 0, 0, -0x10000, 0, 1920 << 16, 1080 << 16, 0x40000000)


def begin_later(content: bytearray, _: Path) -> None:
    """Have the edit list of the video skip a frame."""
    entry = content.index(b"elst") + 16
    (time,) = unpack(">i", content[entry : entry + 4])
    content[entry : entry + 4] = pack(">i", time + 1024)


def remuxed(change: Callable[[list[av.Packet]], list[av.Packet]]) -> Tamper:
    def tamper(source: Path, target: Path) -> None:
        with av.open(str(source)) as origin, av.open(str(target), "w", format="mp4") as copy:
            streams = {stream.index: copy.add_stream_from_template(stream) for stream in origin.streams}
            packets = [packet for packet in origin.demux() if packet.size]
            video = [packet for packet in packets if packet.stream.type == "video"]
            kept = change(video)
            for packet in [*kept, *(packet for packet in packets if packet not in video)]:
                packet.stream = streams[packet.stream_index]
                copy.mux(packet)

    return tamper


def with_payload(packet: av.Packet, payload: av.Packet) -> av.Packet:
    other = av.Packet(bytes(payload))
    other.pts, other.dts, other.time_base, other.duration = packet.pts, packet.dts, packet.time_base, packet.duration
    other.is_keyframe, other.stream = packet.is_keyframe, packet.stream
    return other


def shown_later(packets: list[av.Packet]) -> list[av.Packet]:
    for packet in packets:
        packet.pts, packet.dts = packet.pts + 512, packet.dts + 512
    return packets


TAMPERINGS: dict[str, Tamper] = {
    "a byte of a packet": with_bytes(flip_in_packet),
    "the headers": with_bytes(change_headers),
    "the way up": with_bytes(turn),
    "the edit list": with_bytes(begin_later),
    "a cut": with_bytes(lambda content, _: content.__delitem__(slice(len(content) * 2 // 3, None))),
    "a packet in place of another": remuxed(lambda old: [*old[:14], with_payload(old[14], old[20]), *old[15:]]),
    "a packet lost": remuxed(lambda old: [*old[:17], *old[18:]]),
    "a span lost": remuxed(lambda old: old[:20]),
    "times": remuxed(shown_later),
}


@pytest.mark.parametrize("name", TAMPERINGS)
def test_what_is_changed_in_the_file_is_found_although_all_spans_were_seen(
    faceless: Job, spans: list[SpanPackets], right: Path, tmp_path: Path, workers: Workers, name: str
) -> None:
    output = tmp_path / "result.mp4"
    TAMPERINGS[name](right, output)
    whole = verified(faceless, output, workers)
    assert not whole.passed
    with seen_ahead(faceless, spans, workers) as ahead:
        assert verified(faceless, output, workers, ahead) == whole


def test_a_span_that_was_not_seen_is_looked_at_in_the_file(
    faceless: Job, spans: list[SpanPackets], right: Path, tmp_path: Path, workers: Workers
) -> None:
    gone = SpanPackets(spans[1].encoded, tmp_path / "gone.packets", spans[1].coding)
    with seen_ahead(faceless, [spans[0], gone, spans[2]], workers) as ahead:
        assert verified(faceless, right, workers, ahead).passed
        with pytest.raises(NotSeenError):
            list(ahead.of_result(probe(right), decoder_input(probe(right))))


def test_nothing_is_looked_at_where_the_source_cannot_be_read_any_more(
    good: Job, spans: list[SpanPackets], workers: Workers
) -> None:
    def unreadable() -> Samples:
        raise UnreadableVideoError(good.video.path, "it is gone", action="Put it back.")

    with workers.spare(observed_ahead) as spare:
        ahead = Ahead(unreadable, Limits(), spare, None)
        ahead.add(spans[0])
        assert not ahead.has_spans
        with pytest.raises(UnreadableVideoError):
            ahead.samples  # noqa: B018  as whoever verifies asks for them
