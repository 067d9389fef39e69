"""How many frames a second a CUDA card decodes and composes, alone and for x264, and how much of its memory that takes.

Videos at once are the same file several times, each with two tiles whose cameras pan. Rows of x264 are made in spans:
by the processor alone, and in the processes for a card, which have set it up before.

    python -m benchmarks.on_card VIDEO
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from time import perf_counter

import numpy as np

from dualface_core import pipeline
from dualface_core.compositing.cuda import CudaCompositor
from dualface_core.compositing.on_card import composed_on_card
from dualface_core.encoding.settings import EncoderSettings, software_encoder
from dualface_core.gpu.nvml import find_gpus, load_reader
from dualface_core.media.cuda_frames import CudaReader, Pool
from dualface_core.media.packets import frame_packets
from dualface_core.media.probe import VideoInfo, probe
from dualface_core.rendering.spans import render_in_spans, rendering_spans
from dualface_core.settings import Settings
from dualface_core.system.cuda import Card
from dualface_core.tables.face_tracks import FaceTracks, Shot, TracksMetadata
from dualface_core.tables.labels import Person
from dualface_core.tables.tile_plan import TilePlan
from tests.core.made_tracks import split_plan

LAUNCHES = 500
ROWS = (("ultrafast", 1), ("ultrafast", 4), ("veryfast", 1))
"""Presets of x264, and videos at once."""


def panning_plan(video: VideoInfo) -> TilePlan:
    """Two tiles of half the video's height, which pan by fractions of a pixel."""
    pts = sorted(packet.pts for packet in frame_packets(video) if packet.pts is not None)
    metadata = TracksMetadata(
        fingerprint=video.fingerprint,
        time_base=str(video.time_base),
        frame_width=video.width,
        frame_height=video.height,
        frame_pts=pts,
        shots=[Shot(first=0, last=len(pts) - 1)],
        people=list(Person),
    )
    height = video.height / 2
    across = video.width * (0.5 + 0.02 * np.sin(np.arange(len(pts)) / 50))
    windows = [
        [[x + side * video.width / 5, height, height * 960 / 1080, height] for side in (-1, 1)] for x in across.tolist()
    ]
    return split_plan(FaceTracks(FaceTracks.SCHEMA.empty_table(), metadata), np.array(windows))


def compose(video: VideoInfo, plan: TilePlan, card: Card, *, encoded_there: bool) -> None:
    """Decode and compose all frames."""
    for _ in composed_on_card(video, plan.part(0, plan.frame_count), card, encoded_there=encoded_there):
        pass


def kernel(video: VideoInfo, plan: TilePlan, card: Card) -> None:
    """Say how fast the kernel is alone."""
    compositor, pool = (
        CudaCompositor(card, plan.part(0, plan.frame_count), video.color),
        Pool(card, 1920, 1080, copied=False, beside=0),
    )
    with CudaReader(video) as reader:
        frame, surface = next(reader.frames()), pool.take()
        card.finish()
        begun = perf_counter()
        for _ in range(LAUNCHES):
            compositor.draw(frame, surface.canvas)
        launched = perf_counter() - begun
        card.finish()
        took = perf_counter() - begun
    print(f"kernel alone: {LAUNCHES / took:,.0f} frames/s, {1e6 * launched / LAUNCHES:.0f} us of Python a launch")


def told(what: str, videos: int, frames: int, work: Callable[[int], None]) -> None:
    """Do a work for several videos at once, and say how fast it was."""
    begun = perf_counter()
    with ThreadPoolExecutor(videos) as pool:
        list(pool.map(work, range(videos)))
    rate = videos * frames / (perf_counter() - begun)
    with load_reader(next(iter(find_gpus().gpus), None)) as load:
        memory = (load().memory_used or 0) / (1 << 20)
    print(f"{what}, {videos} at once: {rate:,.0f} frames/s, {memory:,.0f} MiB of the card in use", flush=True)


def in_processes(path: Path, count: int, each: int) -> None:
    """The same in several processes, each of several videos; they begin together, once each has made its context."""
    command = [sys.executable, "-m", "benchmarks.on_card", str(path), "--child", str(each)]
    children = [
        subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) for _ in range(count)
    ]
    for child in children:
        child.stdout.readline()

    def go(number: int) -> None:
        children[number].communicate("go\n")

    frames = probe(path).frame_count * each
    told(f"decode and compose, {each} in each process", count, frames, go)


def child(video: VideoInfo, plan: TilePlan, videos: int) -> None:
    """A process of `in_processes`."""
    card = Card()
    next(composed_on_card(video, plan.part(0, plan.frame_count), card, encoded_there=True))
    print("ready", flush=True)
    sys.stdin.readline()
    with ThreadPoolExecutor(videos) as pool:
        list(pool.map(lambda _: compose(video, plan, card, encoded_there=True), range(videos)))


def encoded(video: VideoInfo, plan: TilePlan, folder: Path) -> None:
    """x264, one on each core."""
    parts = rendering_spans(video)
    with pipeline.worker_processes(Settings(runtime=folder / "run")) as workers:
        for preset, videos, on_card in (
            ("ultrafast", 1, True),  # in which the processes set up the card
            *((preset, videos, on_card) for preset, videos in ROWS for on_card in (False, True)),
        ):

            def render(number: int, preset: str = preset, on_card: bool = on_card) -> None:
                with tempfile.TemporaryDirectory(dir=folder) as kept:
                    output, spec = folder / f"{number}.mp4", software_encoder(EncoderSettings(preset=preset))
                    prints = folder / f"{number}.fingerprints"
                    render_in_spans(
                        video,
                        plan,
                        output,
                        spec,
                        parts,
                        on_card=on_card,
                        folder=Path(kept),
                        workers=workers,
                        fingerprints=prints,
                    )

            used = workers.usage.cpu
            told(f"x264 {preset}, {'card' if on_card else 'processor alone'}", videos, plan.frame_count, render)
            print(f"  {1000 * (workers.usage.cpu - used) / videos / plan.frame_count:.1f} ms of CPU a frame")


def main() -> None:
    """Print a line for each row."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("video", type=Path)
    parser.add_argument("--child", type=int, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    video = probe(arguments.video)
    plan = panning_plan(video)
    if arguments.child:
        child(video, plan, arguments.child)
        return
    print(f"{os.cpu_count()} cores, {next(iter(find_gpus().gpus)).name}, {video.frame_count} frames of {video.codec}")
    with tempfile.TemporaryDirectory() as folder:
        encoded(video, plan, Path(folder))
    in_processes(arguments.video, 4, 2)
    begun = perf_counter()
    card = Card()
    print(f"a context: {perf_counter() - begun:.2f} s")
    kernel(video, plan, card)
    for videos in (1, 2, 4, 8):
        told("decode and compose", videos, plan.frame_count, lambda _: compose(video, plan, card, encoded_there=True))
    told("decode, compose and copy", 4, plan.frame_count, lambda _: compose(video, plan, card, encoded_there=False))


if __name__ == "__main__":
    main()
