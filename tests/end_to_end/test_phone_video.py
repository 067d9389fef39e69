"""A video as a phone makes it, from the inbox to the result: HEVC of 10 bits in HLG, turned, at an uneven rate, with
stereo and spatial audio."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Final

import av
import cv2
import numpy as np
import pytest
from av.video.stream import VideoStream

from dualface_assets.definitions import build_defs
from dualface_assets.store.video_store import VideoStore
from dualface_core.advice.advisories import AdvisoryName
from dualface_core.compositing.cpu import Compositor
from dualface_core.encoding.settings import EncoderSettings, software_encoder
from dualface_core.media.color import SDR, ColorInfo
from dualface_core.media.probe import probe
from dualface_core.media.reader import VideoReader
from dualface_core.media.writer import VideoWriter
from dualface_core.rendering.report import EncodeReport
from dualface_core.tables.tile_plan import TilePlan
from tests.assets.conftest import eager
from tests.browser import NO_CHROMIUM, browsing
from tests.core.media.color_patches import hdr_of
from tests.own_instance import own_instance

HLG: Final = (1, 9, 18, 9)
TICKS: Final = 600
"""A second, as phones count."""

SampleClip = Callable[..., Path]


def uneven_pts(count: int) -> list[int]:
    """15 frames a second, each up to 3 ticks early or late, as a phone exposes them."""
    jitter = np.random.default_rng(0).integers(-3, 4, count)
    jitter[0] = 0
    return [40 * number + int(late) for number, late in enumerate(jitter)]


def write_phone_video(path: Path, sdr: Path, turn: int) -> None:
    """Write what a phone that is turned by `turn` degrees makes of what a video shows."""
    with VideoReader(probe(sdr)) as reader, av.open(str(path), "w", options={"movie_timescale": str(TICKS)}) as output:
        options = {"crf": "12", "preset": "ultrafast", "x265-params": "log-level=none"}
        video: VideoStream = output.add_stream("libx265", rate=15, options=options)
        context = video.codec_context
        frames = list(reader)
        coded = [np.rot90(frame.bgr()[..., ::-1], -turn // 90) for frame in frames]
        context.height, context.width = coded[0].shape[:2]
        context.pix_fmt, context.codec_tag = "yuv420p10le", "hvc1"
        context.color_range, context.color_primaries, context.color_trc, context.colorspace = HLG
        context.time_base = video.time_base = Fraction(1, TICKS)
        video.set_display_rotation(turn)
        audio = {layout: output.add_stream("aac", rate=48_000, layout=layout) for layout in ("stereo", "4.0")}
        for image, pts in zip(coded, uneven_pts(len(coded)), strict=True):
            levels = np.rint(65535 * hdr_of(image, HLG[2])).astype(np.uint16)
            frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(levels), format="gbrp16le")
            frame = frame.reformat(format="yuv420p10le", dst_colorspace=9, dst_color_range=1)
            frame.pts, frame.time_base = pts, Fraction(1, TICKS)
            output.mux(video.encode(frame))
        output.mux(video.encode(None))
        seconds = len(coded) / 15
        for layout, stream in audio.items():
            tone = np.sin(2 * np.pi * 300 * np.arange(round(48_000 * seconds)) / 48_000).astype(np.float32)
            channels = 2 if layout == "stereo" else 4
            samples = av.AudioFrame.from_ndarray(np.tile(0.2 * tone, (channels, 1)), format="fltp", layout=layout)
            samples.sample_rate, samples.pts, samples.time_base = 48_000, 0, Fraction(1, 48_000)
            fifo = av.AudioFifo()
            fifo.write(samples)
            for part in fifo.read_many(1024, partial=True):
                output.mux(stream.encode(part))
            output.mux(stream.encode(None))


@dataclass(frozen=True)
class Made:
    """What became of the phone's video, and the same scene in SDR.

    Attributes:
        source, result: what was uploaded and what was made of it.
        report: the result's.
        expected: the video that the same plan makes of the SDR that the phone's frames were made of.
    """

    source: Path
    result: Path
    report: EncodeReport
    expected: Path


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory, sample_clip: SampleClip) -> Made:
    """A phone's video was put into the inbox, and processed."""
    folder = tmp_path_factory.mktemp("phone")
    sdr = sample_clip("talk", seconds=2)
    store = VideoStore(root=str(folder / "store"))
    store.inbox_folder.mkdir(parents=True)
    write_phone_video(store.inbox_folder / "IMG_0001.MOV", sdr, turn=90)
    (upload,) = eager().tick(store, seconds=60).taken
    with own_instance(folder / "home") as instance:
        instance.add_dynamic_partitions("videos", [upload.key])
        job = build_defs(resource_overrides={"store": store}).resolve_job_def("process_video")
        assert job.execute_in_process(instance=instance, partition_key=upload.key).success
    expected = folder / "expected.mp4"
    compose(sdr, TilePlan.read(store.table_path("composed_tiles", upload.key)), expected)
    return Made(store.video_path(upload.key), store.result_path(upload.key), store.report(upload.key), expected)


def compose(sdr: Path, plan: TilePlan, path: Path) -> None:
    """Write what a plan makes of a video in SDR."""
    video, canvas = probe(sdr), plan.layout
    compositor = Compositor(canvas, video.width, video.height)
    with (
        VideoReader(video) as reader,
        VideoWriter(
            path,
            width=canvas.width,
            height=canvas.height,
            time_base=video.time_base,
            average_rate=video.average_rate,
            color=SDR,
            encoder=software_encoder(EncoderSettings()),
        ) as writer,
    ):
        for frame in reader:
            writer.write(compositor.compose(frame, plan.frame(frame.index)), frame.pts)


def test_a_phones_video_becomes_a_verified_result_in_sdr(made: Made) -> None:
    source, result = probe(made.source), probe(made.result)
    assert (source.color_tags, source.pixel_format) == (ColorInfo(*HLG), "yuv420p10le")
    assert (source.width, source.height, source.constant_rate) == (640, 360, False)
    assert (result.color_tags, result.pixel_format) == (SDR, "yuv420p")
    assert [track.channels for track in result.audio] == [2, 4]
    with VideoReader(result) as reader:
        times = [frame.pts * result.time_base for frame in reader]
    assert times == [Fraction(pts, TICKS) for pts in uneven_pts(30)]
    (advisory,) = [each for each in made.report.advisories if each.name == AdvisoryName.SOURCE]
    assert "The video is HDR (HLG BT.2020); it is tone-mapped to SDR BT.709" in advisory.message


def test_its_colors_are_those_of_the_scene(made: Made) -> None:
    with VideoReader(probe(made.result)) as ours, VideoReader(probe(made.expected)) as theirs:
        for frame, wanted in zip(ours, theirs, strict=True):
            apart = np.abs(frame.bgr(480).astype(int) - wanted.bgr(480))
            assert apart.mean() < 3
            assert np.percentile(apart, 99) < 12


SHOW_A_FRAME = """async () => {
    const video = document.querySelector('video');
    const happened = name => new Promise(done => video.addEventListener(name, done, {once: true}));
    if (video.readyState < video.HAVE_METADATA) await happened('loadedmetadata');
    const seeked = happened('seeked');
    video.pause();
    video.controls = false;
    video.currentTime = 1.03;
    await seeked;
    for (let drawn = 0; drawn < 2; drawn++) await new Promise(requestAnimationFrame);
}"""
"""Seeks, and waits until the frame is drawn. It listens before it acts: what has happened by then never comes again."""


@NO_CHROMIUM
def test_a_browser_shows_its_colors_as_those_of_the_scene(made: Made) -> None:
    shown = []
    with browsing(viewport={"width": 640, "height": 360}) as browser:
        for video in (made.result, made.expected):
            page = browser.new_page()
            page.goto(video.as_uri())
            page.evaluate(SHOW_A_FRAME)
            shown.append(cv2.imdecode(np.frombuffer(page.screenshot(), np.uint8), cv2.IMREAD_COLOR).astype(int))
    apart = np.abs(shown[0] - shown[1])
    assert apart.mean() < 3
    assert np.percentile(apart, 99) < 12
    assert shown[0].std() > 20  # so there is something to see
