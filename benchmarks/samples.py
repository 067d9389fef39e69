"""The videos that benchmarks work on: one that is drawn, at other sizes, cut shorter or played again and again.

Belongs here: making them, once, in a folder in which they are kept.
"""

from __future__ import annotations

import subprocess
from fractions import Fraction
from pathlib import Path
from typing import Final

import av
from av.stream import Stream

from dualface_core.sample import make_sample
from dualface_core.settings import Settings

DRAWN_SIZE: Final = "1920x1080"
DRAWN_SECONDS: Final = 60


def sample(folder: Path, size: str, seconds: float) -> Path:
    """Two people who talk, at a size (as WIDTHxHEIGHT) and so long: what is in the folder, or made there now.

    All are made of `drawn`, so the same is seen in all.
    """
    path = folder / f"{size}-{seconds:g}s.mp4"
    if path.exists():
        return path
    if seconds > DRAWN_SECONDS:
        repeated(sample(folder, size, DRAWN_SECONDS), round(seconds / DRAWN_SECONDS), path)
        return path
    scale = ["-vf", f"scale={size.replace('x', ':')}", "-c:v", "libx264", "-preset", "veryfast", "-crf", "16"]
    draft = path.with_name(f".{path.name}")
    command = ["ffmpeg", "-v", "error", "-y", "-i", str(drawn(folder)), "-t", str(seconds), "-c", "copy"]
    subprocess.run([*command, *([] if size == DRAWN_SIZE else scale), "-f", "mp4", str(draft)], check=True)
    draft.replace(path)
    return path


def drawn(folder: Path) -> Path:
    """The one that is drawn: a minute at 1920x1080, with 30 frames a second."""
    width, height = map(int, DRAWN_SIZE.split("x"))
    path = folder / f"{DRAWN_SIZE}-{DRAWN_SECONDS}s.mp4"
    if not path.exists():
        folder.mkdir(parents=True, exist_ok=True)
        size = {"width": width, "height": height, "fps": 30}
        make_sample(path, scene="talk", seconds=DRAWN_SECONDS, seed=0, cache=Settings().cache, **size)
    return path


def repeated(video: Path, times: int, output: Path) -> None:
    """Write a video that plays another one so many times, its packets as they are."""
    with av.open(str(output), "w") as target:
        begin = end = Fraction(0)
        streams: list[Stream] = []
        for _ in range(times):
            with av.open(str(video)) as source:
                chosen = [*source.streams.video[:1], *source.streams.audio[:1]]
                streams = streams or [target.add_stream_from_template(stream) for stream in chosen]
                for packet in source.demux(chosen):
                    if packet.dts is not None and packet.pts is not None and packet.time_base is not None:
                        shift = round(begin / packet.time_base)
                        packet.pts, packet.dts = packet.pts + shift, packet.dts + shift
                        end = max(end, (packet.pts + (packet.duration or 0)) * packet.time_base)
                        packet.stream = streams[chosen.index(packet.stream)]
                        target.mux(packet)
                begin = end  # a video that was cut may say that it ends before its last frame does
