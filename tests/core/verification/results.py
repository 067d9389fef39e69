"""Results to be verified: a right one, and ways to get it wrong."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pyarrow as pa

from dualface_core import pipeline
from dualface_core.compositing.composed import composed_frames
from dualface_core.encoding.settings import EncoderSettings, EncoderSpec, software_encoder
from dualface_core.media.color import ColorInfo
from dualface_core.media.encoder import Surface
from dualface_core.media.frames import Planes
from dualface_core.media.probe import VideoInfo
from dualface_core.media.writer import VideoWriter
from dualface_core.tables.face_tracks import FaceTracks
from dualface_core.tables.tile_plan import TilePlan
from dualface_core.verification.fingerprints import FingerprintWriter
from dualface_core.verification.verify import Verification
from tests.core.made_tracks import with_columns

ENCODER = software_encoder(EncoderSettings(preset="ultrafast"))

Edit = Callable[[int, Planes], Planes | None]
"""Takes a frame's number and its canvas, which it may draw on; None leaves the frame out."""


@dataclass(frozen=True)
class Job:
    """A source, what was found and planned, and a result."""

    video: VideoInfo
    tracks: FaceTracks
    plan: TilePlan
    output: Path

    def with_source(self, video: VideoInfo) -> Job:
        """The same with another file as the source, which has the same frames."""
        metadata = self.tracks.metadata.model_copy(update={"fingerprint": video.fingerprint})
        return replace(self, video=video)._of(FaceTracks(self.tracks.table, metadata))

    def without_faces(self) -> Job:
        """The same of a video in which nobody's face was found, so that none is looked for."""
        return self._of(without(without(self.tracks, "A"), "B"))

    def _of(self, tracks: FaceTracks) -> Job:
        """The same plan, made of other tracks."""
        made_from = {"fingerprint": tracks.metadata.fingerprint, "tracks_sha256": tracks.sha256}
        plan = TilePlan(self.plan.table, self.plan.metadata.model_copy(update=made_from))
        return replace(self, tracks=tracks, plan=plan)

    @property
    def fingerprints(self) -> Path:
        """Those of the plan's frames, which `render` leaves when it makes `output`."""
        return pipeline.fingerprints_path(self.output)

    def verify(self, output: Path | None = None) -> Verification:
        return pipeline.verify(
            output or self.output,
            video=self.video,
            tracks=self.tracks,
            plan=self.plan,
            fingerprints=self.fingerprints,
        )


def render(
    job: Job,
    output: Path,
    *,
    edit: Edit | None = None,
    plan: TilePlan | None = None,
    composed: Sequence[tuple[Surface, int]] | None = None,
    delay: int = 0,
    size: tuple[int, int] = (1920, 1080),
    color: ColorInfo | None = None,
    encoder: EncoderSpec = ENCODER,
) -> Path:
    """Render a plan; `delay` is added to every timestamp. Fingerprints are left if `output` is the job's.

    `composed` are the plan's frames, where they are composed already; they stay as they are.
    """
    plan = plan or job.plan
    with (
        FingerprintWriter(job.fingerprints, plan.layout) if output == job.output else nullcontext() as fingerprints,
        VideoWriter(
            output,
            width=size[0],
            height=size[1],
            time_base=job.video.time_base,
            average_rate=job.video.average_rate,
            color=color or job.video.color,
            encoder=encoder,
            audio_from=job.video.path,
            audio=job.video.audio,
        ) as writer,
    ):
        for number, (surface, pts) in enumerate(composed or composed_frames(job.video, plan)):
            planes: Planes | None = surface.planes
            if fingerprints is not None:
                fingerprints.add(surface.planes)
            if edit is not None:
                y, u, v = (plane.copy() for plane in surface.planes)
                planes = edit(number, (y, u, v))
            if planes is not None:
                y, u, v = planes
                half = (size[1] // 2, size[0] // 2)
                cut = (y[: size[1], : size[0]], u[: half[0], : half[1]], v[: half[0], : half[1]])
                writer.write(cut, pts + delay)
    return output


def remux(
    source: Path,
    target: Path,
    *,
    audio: bool = True,
    sound_delay: Fraction = Fraction(0),
    lose_sound_packet: int | None = None,
    spoil_sound_packet: int | None = None,
) -> Path:
    with av.open(str(source)) as origin, av.open(str(target), "w", format="mp4") as copy:
        streams = {s.index: copy.add_stream_from_template(s) for s in origin.streams if audio or s.type == "video"}
        heard = 0
        for packet in origin.demux():
            stream = streams.get(packet.stream_index)
            if packet.dts is None or stream is None:
                continue
            copied = packet
            if stream.type == "audio":
                heard += 1
                if heard == lose_sound_packet:
                    continue
                shift = round(sound_delay / packet.time_base)
                packet.pts, packet.dts = packet.pts + shift, packet.dts + shift
                if heard == spoil_sound_packet:
                    copied = spoiled(packet)
            copied.stream = stream
            copy.mux(copied)
    return target


def spoiled(packet: av.Packet) -> av.Packet:
    """The same packet with one byte changed."""
    content = bytearray(bytes(packet))
    content[len(content) // 2] ^= 1
    other = av.Packet(bytes(content))
    other.pts, other.dts, other.time_base = packet.pts, packet.dts, packet.time_base
    other.duration, other.stream = packet.duration, packet.stream
    return other


def swapped_names(tracks: FaceTracks, frames: range) -> FaceTracks:
    """The same tracks, but A is called B and B is called A in some frames."""
    names = tracks.table["person"].to_pylist()
    numbers = tracks.table["frame"].to_pylist()
    other = {"A": "B", "B": "A"}
    renamed = [other.get(name, name) if number in frames else name for name, number in zip(names, numbers, strict=True)]
    return with_columns(tracks, person=renamed)


def without(tracks: FaceTracks, person: str) -> FaceTracks:
    """The same tracks without one person."""
    keep = [name != person for name in tracks.table["person"].to_pylist()]
    people = [name for name in tracks.people if name != person]
    return FaceTracks(tracks.table.filter(pa.array(keep)), tracks.metadata.model_copy(update={"people": people}))


def moved(plan: TilePlan, **changes: Callable[[np.ndarray], np.ndarray]) -> TilePlan:
    """The same plan with some of its columns changed."""
    columns = {name: plan.table[name].to_numpy().reshape(plan.frame_count, -1) for name in changes}
    return with_columns(plan, **{name: change(columns[name]).ravel() for name, change in changes.items()})
