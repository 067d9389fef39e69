"""A video of two people who never move, and its plan: made in a moment, and cheap to render.

Only the first picture costs the emulated NVENC anything, since every macroblock after it is skipped.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import numpy as np

from dualface_core.encoding.settings import EncoderSettings, software_encoder
from dualface_core.media.color import ColorInfo
from dualface_core.media.probe import VideoInfo, probe
from dualface_core.media.writer import VideoWriter
from dualface_core.tables.face_tracks import FaceTracks, Shot, TracksMetadata
from dualface_core.tables.labels import Person, Subject
from dualface_core.tables.layouts import Layout, Tile
from dualface_core.tables.tile_plan import TilePlan
from tests.core.made_tracks import split_plan

WIDTH, HEIGHT = 160, 90
TIME_BASE = Fraction(1, 600)


SMALL = Layout("small", 320, 160, (Tile(Subject.A, 0, 0, 160, 160), Tile(Subject.B, 160, 0, 160, 160)))


def still_video(path: Path, pts: Sequence[int], *, key_every: int = 250) -> VideoInfo:
    """Write a video whose pictures are all the same, shown at the given times in units of `TIME_BASE`."""
    encoder = software_encoder(EncoderSettings(preset="ultrafast"))
    ramp = np.linspace(40, 200, WIDTH, dtype=np.uint8)
    planes = (np.tile(ramp, (HEIGHT, 1)), *(np.full((HEIGHT // 2, WIDTH // 2), 128, np.uint8) for _ in range(2)))
    with VideoWriter(
        path,
        width=WIDTH,
        height=HEIGHT,
        time_base=TIME_BASE,
        average_rate=Fraction(15),
        color=ColorInfo(),
        encoder=replace(encoder, options=encoder.options | {"g": str(key_every)}),
    ) as writer:
        for time in pts:
            writer.write(planes, time)
    return probe(path)


def still_tracks(video: VideoInfo, pts: Sequence[int]) -> FaceTracks:
    """Tracks of a video with these times, in which nobody was seen."""
    units = TIME_BASE / video.time_base
    metadata = TracksMetadata(
        fingerprint=video.fingerprint,
        time_base=str(video.time_base),
        frame_width=WIDTH,
        frame_height=HEIGHT,
        frame_pts=[int(time * units) for time in pts],
        shots=[Shot(first=0, last=len(pts) - 1)],
        people=list(Person),
    )
    return FaceTracks(FaceTracks.SCHEMA.empty_table(), metadata)


def still_plan(video: VideoInfo, pts: Sequence[int]) -> TilePlan:
    """A plan for a video with these times: each tile shows one half of the picture all the time."""
    half = [HEIGHT / 2, WIDTH / 2, WIDTH / 2 * 1080 / 960]
    windows = np.tile([[WIDTH / 4, *half], [WIDTH * 3 / 4, *half]], (len(pts), 1, 1))
    return split_plan(still_tracks(video, pts), windows)


def moving_plan(video: VideoInfo, pts: Sequence[int]) -> TilePlan:
    """A plan for a video with these times, on a small canvas: both tiles move, so that no frame is like another."""
    moved = np.arange(len(pts), dtype=np.float32)[:, np.newaxis, np.newaxis] * (0.5, 0.1, 0, 0)
    windows = np.tile(
        [[WIDTH / 4, HEIGHT / 2, HEIGHT, HEIGHT], [WIDTH * 2 / 3, HEIGHT / 2, HEIGHT, HEIGHT]], (len(pts), 1, 1)
    )
    return split_plan(still_tracks(video, pts), windows + moved, layout=SMALL)
