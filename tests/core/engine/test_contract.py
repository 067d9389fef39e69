"""What every source, every compositor and every sink keeps to, on the CPU and, where there is one, on a card.

A source gives the frames of a video or of a span with their numbers and times; a compositor draws what the plan says; a
sink makes a file with one frame for each surface, at its time.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import closing
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from dualface_core.compositing.composed import composed_frames
from dualface_core.compositing.on_card import composed_on_card, in_turn
from dualface_core.encoding.settings import EncoderSettings, software_encoder
from dualface_core.engine.spans import spans
from dualface_core.engine.workers import Workers
from dualface_core.errors import UnreadableVideoError
from dualface_core.media.cuda_frames import CudaFrame, CudaReader, Downloads, in_flight
from dualface_core.media.frames import Frame, Planes
from dualface_core.media.probe import VideoInfo, probe
from dualface_core.media.reader import VideoReader
from dualface_core.media.spans import Span
from dualface_core.rendering.spans import SpansRendered, render_in_spans
from dualface_core.rendering.stream import render_stream
from dualface_core.system.cuda import Card
from dualface_core.tables.face_tracks import FaceTracks, Shot, TracksMetadata
from dualface_core.tables.labels import Person, Subject
from dualface_core.tables.layouts import Layout, Tile
from dualface_core.tables.tile_plan import TilePlan
from dualface_core.tracking.card_frames import card_frames
from dualface_core.tracking.shots import make_thumbnail
from dualface_core.verification.fingerprints import fingerprint, read_fingerprints, region_fingerprints
from tests.core.compositing.emulated_card import real_card
from tests.core.compositing.test_cuda import APART, SPLIT, TALL, assert_alike, picture
from tests.core.engine.tasks import card_processes
from tests.core.made_tracks import split_plan
from tests.nvenc_emulator import EmulatedDriver

WIDTH, HEIGHT, FRAMES = 320, 180, 40
TIME_BASE = Fraction(1, 12800)
TIMES = [512 * number + 40 * (number % 3) for number in range(FRAMES)]
NARROW = Layout("narrow", 216, 384, (Tile(Subject.A, 0, 0, 216, 192), Tile(Subject.B, 0, 192, 216, 192)))
"""Of rows that are no multiple of what NVENC asks for."""
X264 = software_encoder(EncoderSettings(preset="ultrafast"))
CODINGS = {
    "H.264": ("libx264", "yuv420p", {"preset": "veryfast", "g": "12", "x264-params": "open-gop=0"}),
    "VP9": ("libvpx-vp9", "yuv420p", {"deadline": "realtime", "cpu-used": "8", "g": "12"}),
    "HEVC of 10 bits": ("libx265", "yuv420p10le", {"preset": "ultrafast", "x265-params": "keyint=12:log-level=error"}),
}


@pytest.fixture(params=["CPU", "CUDA"])
def card(request: pytest.FixtureRequest) -> Card | None:
    """What is at work: the CPU (None), and a card where there is one."""
    return None if request.param == "CPU" else real_card()


@pytest.fixture(scope="session", params=CODINGS)
def video(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> VideoInfo:
    """A picture that moves, its frames unevenly apart."""
    codec, pixels, options = CODINGS[request.param]
    path = tmp_path_factory.mktemp("contract") / "moving.mp4"
    planes = picture(WIDTH + FRAMES, HEIGHT + FRAMES)
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=25, options=options)
        stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, pixels
        stream.time_base = stream.codec_context.time_base = TIME_BASE
        for number, pts in enumerate(TIMES):
            at = [(number // scale, number // scale) for scale in (1, 2, 2)]
            parts = [
                plane[y : y + HEIGHT // scale, x : x + WIDTH // scale]
                for plane, (y, x), scale in zip(planes, at, (1, 2, 2), strict=True)
            ]
            packed = np.concatenate([part.ravel() for part in parts]).reshape(-1, WIDTH)
            frame = av.VideoFrame.from_ndarray(packed, format="yuv420p")
            frame.pts, frame.time_base = pts, TIME_BASE
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return probe(path)


def plan_of(video: VideoInfo, layout: Layout = SPLIT, *, later: int = 0) -> TilePlan:
    """Cameras that pan and zoom over the video."""
    metadata = TracksMetadata(
        fingerprint=video.fingerprint,
        time_base=str(video.time_base),
        frame_width=WIDTH,
        frame_height=HEIGHT,
        frame_pts=[round(pts * TIME_BASE / video.time_base) + later for pts in TIMES],
        shots=[Shot(first=0, last=FRAMES - 1)],
        people=list(Person),
    )
    windows = [
        [
            [90 + 2.3 * number + 20 * slot, 80 + 0.7 * number, width, width / tile.aspect]
            for slot, tile in enumerate(layout.tiles)
            for width in [90 + number]
        ]
        for number in range(FRAMES)
    ]
    return split_plan(FaceTracks(FaceTracks.SCHEMA.empty_table(), metadata), np.array(windows), layout=layout)


def source(video: VideoInfo, card: Card | None, span: Span | None = None) -> Iterator[Frame | CudaFrame]:
    if card is None:
        with VideoReader(video, span=span) as frames:
            yield from frames
    else:
        with CudaReader(video, span=span) as reader:
            yield from reader.frames()


def on_host(frame: Frame | CudaFrame, card: Card | None) -> Planes:
    """Y, U and V of 8 bits of a frame, wherever it is."""
    if isinstance(frame, Frame) or card is None:
        return frame.planes
    planes = []
    for address, pitch, rows in zip(frame.addresses, frame.pitches, (HEIGHT, HEIGHT // 2), strict=True):
        host = card.locked(pitch * rows)
        card.start_download(address, host)
        card.finish()
        values = host.view(np.uint8 if frame.bytes == 1 else np.uint16).reshape(rows, -1)[:, :WIDTH]
        planes.append(values if frame.bytes == 1 else (values >> 8).astype(np.uint8))
    return planes[0], planes[1][:, ::2], planes[1][:, 1::2]


def surfaces(
    video: VideoInfo, plan: TilePlan, card: Card | None, turns: Sequence[Span] = ()
) -> Iterator[tuple[Planes, int]]:
    composed = (
        composed_frames(video, plan)
        if card is None
        else composed_on_card(video, plan.part(0, FRAMES), card, turns=turns, encoded_there=False)
    )
    with closing(composed):
        for surface, pts in composed:
            yield surface.planes, pts


def test_a_source_gives_every_frame_with_its_number_its_time_and_what_is_on_it(
    video: VideoInfo, card: Card | None
) -> None:
    deep = "10" in video.pixel_format
    seen = 0
    for frame, other in zip(source(video, card), source(video, None), strict=True):
        assert (frame.index, frame.pts) == (other.index, other.pts) == (seen, plan_of(video).pts[seen])
        for ours, theirs in zip(on_host(frame, card), on_host(other, None), strict=True):
            assert np.abs(ours.astype(int) - theirs).max() <= deep  # 10 bits are dithered on the CPU
        seen += 1
    assert seen == FRAMES


def test_frames_that_a_card_copies_to_the_host_are_those_of_the_processor(video: VideoInfo) -> None:
    deep, card = "10" in video.pixel_format, real_card()
    downloads = Downloads(card, video)
    with CudaReader(video) as reader, VideoReader(video) as other:
        copied = in_flight(card, ((frame, downloads.start(frame)) for frame in reader.frames()))
        for (_, ours), theirs in zip(copied, other, strict=True):
            assert (ours.index, ours.pts, ours.time) == (theirs.index, theirs.pts, theirs.time)
            for plane, expected in zip(ours.planes, theirs.planes, strict=True):
                assert np.abs(plane.astype(int) - expected).max() <= deep


def test_what_a_card_makes_of_a_frame_is_what_the_processor_makes_of_a_copy_of_it(video: VideoInfo) -> None:
    card = real_card()
    downloads = Downloads(card, video)
    with CudaReader(video) as reader:
        for made in card_frames(card, video, reader.frames()):
            copied = downloads.start(made.frame)
            card.finish()
            assert (made.index, made.pts, made.time) == (copied.index, copied.pts, copied.time)
            for ours, theirs in (
                (made.thumbnail, make_thumbnail(copied.planes[0])),
                (made.luma(130, 73), copied.luma(130, 73)),
                (made.bgr(200), copied.bgr(200)),
                (made.bgr_square(-20, 40, 160, at_most=64), copied.bgr_square(-20, 40, 160, at_most=64)),
            ):
                np.testing.assert_array_equal(ours, theirs)


def test_the_spans_of_a_source_are_the_whole(video: VideoInfo, card: Card | None) -> None:
    parts = spans(video, seconds=0.4)
    assert len(parts) > 2
    read = [[(frame.index, frame.pts) for frame in source(video, card, part)] for part in parts]
    assert [item for part in read for item in part] == list(enumerate(plan_of(video).pts.tolist()))


def test_a_source_may_be_read_by_two_decoders_in_turn(video: VideoInfo, card: Card | None) -> None:
    def decoded(turns: Sequence[Span]) -> Generator[Frame | CudaFrame]:
        if card is None:
            with VideoReader(video) as reader:
                for span in turns:
                    yield from reader.of(span)
        else:
            card.enter()
            with CudaReader(video) as reader:
                for span in turns:
                    yield from reader.of(span).frames()

    parts = spans(video, seconds=0.4)
    for few in (parts, parts[:1]):
        read = in_turn(decoded, few)
        for frame, other in zip(read, source(video, card), strict=few is parts):
            assert (frame.index, frame.pts) == (other.index, other.pts)
            for ours, theirs in zip(on_host(frame, card), on_host(other, card), strict=True):
                np.testing.assert_array_equal(ours, theirs)


@pytest.mark.parametrize("layout", [SPLIT, TALL, APART], ids=lambda layout: layout.name)
def test_a_compositor_draws_what_that_of_the_cpu_draws(video: VideoInfo, card: Card | None, layout: Layout) -> None:
    plan = plan_of(video, layout)
    for number, ((ours, pts), (theirs, _)) in enumerate(
        zip(surfaces(video, plan, card), surfaces(video, plan, None), strict=True)
    ):
        assert pts == plan.pts[number]
        if number % 10 == 0:
            assert_alike(ours, theirs)


def test_a_sink_makes_a_frame_of_every_surface_and_fingerprints_that_fit(
    video: VideoInfo, card: Card | None, tmp_path: Path
) -> None:
    plan, prints = plan_of(video), {}
    for name, used in (("cpu", None), ("card", card)):
        output, prints[name] = tmp_path / f"{name}.mp4", tmp_path / f"{name}.fingerprints"
        assert render_stream(video, plan, output, X264, card=used, fingerprints=prints[name]) == FRAMES
        with VideoReader(probe(output)) as reader:
            times = [frame.time for frame in reader]
        assert np.diff(times) == pytest.approx(np.diff(plan.pts) * float(video.time_base), abs=1e-4)
    ours, theirs = (read_fingerprints(path, plan.layout, FRAMES).astype(int) for path in prints.values())
    assert np.abs(ours - theirs).max() <= 1


def test_spans_that_are_rendered_one_by_one_have_every_frame(
    video: VideoInfo, card: Card | None, tmp_path: Path
) -> None:
    plan, output, prints = plan_of(video), tmp_path / "out.mp4", tmp_path / "prints"
    parts = spans(video, seconds=0.4)
    processes = None if card is None else card_processes(tmp_path / "run", memory=1 << 30)
    with Workers(card=processes) as workers:
        made = render_in_spans(
            video,
            plan,
            output,
            X264,
            parts,
            on_card=card is not None,
            folder=tmp_path,
            workers=workers,
            fingerprints=prints,
        )
    assert made == SpansRendered(len(parts), 0)
    with VideoReader(probe(output)) as reader:
        assert sum(1 for _ in reader) == FRAMES
    kinds = region_fingerprints(plan.layout)
    expected = [fingerprint(drawn, kinds) for drawn, _ in surfaces(video, plan, card)]
    assert (read_fingerprints(prints, plan.layout, FRAMES) == expected).all()


@pytest.mark.parametrize(("layout", "decoders"), [(SPLIT, 1), (NARROW, 1), (SPLIT, 2)])
def test_nvenc_takes_what_is_drawn_where_it_lies(
    video: VideoInfo, layout: Layout, decoders: int, emulated_driver: Callable[..., EmulatedDriver], tmp_path: Path
) -> None:
    card, plan = real_card(), plan_of(video, layout)
    table, output, prints = (tmp_path / name for name in ("plan.parquet", "out.mp4", "prints"))
    plan.write(table)
    driver = emulated_driver(real_cuda=True)  # which encodes without a loss
    driver.python("-m", "tests.core.engine.encode_on_card", video.path, table, output, prints, str(decoders))
    with VideoReader(probe(output)) as reader:
        for frame, (drawn, _) in zip(reader, surfaces(video, plan, card), strict=True):
            assert all((ours == theirs).all() for ours, theirs in zip(frame.planes, drawn, strict=True))
    parts = region_fingerprints(layout)
    expected = [fingerprint(drawn, parts) for drawn, _ in surfaces(video, plan, None)]
    assert np.abs(read_fingerprints(prints, layout, FRAMES).astype(int) - expected).max() <= 1


def test_two_decoders_make_the_same_surfaces_as_one(video: VideoInfo) -> None:
    card, plan = real_card(), plan_of(video)
    for ours, theirs in zip(
        surfaces(video, plan, card, spans(video, seconds=0.4)), surfaces(video, plan, card), strict=True
    ):
        assert ours[1] == theirs[1]
        assert all((one == other).all() for one, other in zip(ours[0], theirs[0], strict=True))


def test_a_plan_of_other_times_is_refused(video: VideoInfo, card: Card | None) -> None:
    with pytest.raises(UnreadableVideoError, match="not the one that was tracked"):
        list(surfaces(video, plan_of(video, later=1), card))


def test_surfaces_on_the_card_are_taken_again_only_when_nobody_holds_them(video: VideoInfo) -> None:
    card = real_card()
    composed = composed_on_card(video, plan_of(video).part(0, FRAMES), card, encoded_there=True)
    with closing(composed):
        held = [next(composed)[0] for _ in range(20)]
        assert len({surface.canvas.addresses for surface in held}) == 20
        addresses = [surface.canvas.addresses for surface in held]
        del held[:10]
        assert all(next(composed)[0].canvas.addresses not in addresses[10:] for _ in range(20))
