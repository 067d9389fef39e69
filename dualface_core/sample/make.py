"""make_sample: a two-person video with audio, and the truth about it, from a scene's name and a few numbers.

Belongs here: checking what was asked for, and the loop that draws, encodes and notes down. The result depends on
nothing but the arguments.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from fractions import Fraction
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

from dualface_core.encoding.settings import EncoderKind, EncoderSettings, software_encoder
from dualface_core.errors import SettingsError
from dualface_core.media.audio import write_looped_audio
from dualface_core.media.packets import audio_streams
from dualface_core.media.writer import VideoWriter
from dualface_core.sample.color import COLOR
from dualface_core.sample.drawing import Painter
from dualface_core.sample.moments import Actor
from dualface_core.sample.notes import TruthNotes
from dualface_core.sample.people import people
from dualface_core.sample.scenes import Scene, cast, choreograph
from dualface_core.sample.sources import fetch_clips
from dualface_core.sample.studio import Studio
from dualface_core.sample.truth import truth_path
from dualface_core.system.atomic_files import atomic_write, output_error

_ENCODER: Final = EncoderSettings(encoder=EncoderKind.SOFTWARE, quality=20, preset="veryfast")
_MP4_TIMESCALE: Final = 10_000
"""FFmpeg's MP4 muxer doubles a coarser time base than this until it is finer. A time base that is fine enough is kept,
so that the truth can state the timestamps that readers see."""
_LEAST_SECONDS: Final = 1.0
_SIDES: Final = (64, 8192)


def make_sample(
    output: Path,
    *,
    scene: Scene | str,
    seconds: float,
    width: int,
    height: int,
    fps: Fraction | int,
    seed: int,
    cache: Path,
    progress: Callable[[int, int], None] | None = None,
) -> Path:
    """Make a video of two talking people, H.264 with AAC audio, and the truth about it.

    Neither file appears before both are complete.

    Args:
        output: the MP4 file to write; the truth lies beside it (see `truth_path`).
        scene: what happens; one of `Scene`.
        seconds: length, at least 1; rounded to whole frames.
        width: of the frame in pixels, even, from 64 to 8192.
        height: likewise.
        fps: frames per second, from 1 to 240.
        seed: another number, another choreography.
        cache: folder in which the clips that the people are taken from are kept.
        progress: called with frames done and frames in all.

    Returns:
        Path of the truth.

    Raises:
        SettingsError: a value that is not allowed.
        SourceError: the clips cannot be fetched.
        OutputError: the result cannot be written.
    """
    fps = Fraction(fps)
    scene = _checked(scene, seconds, width, height, fps)
    truth = truth_path(output)
    if not output.parent.is_dir():
        raise output_error(output, FileNotFoundError(2, "no such folder"))
    frames = round(seconds * fps)
    with atomic_write(output) as temporary:
        notes = _film(temporary, fetch_clips(cache), scene, frames, (width, height), fps, seed, progress)
        time_base = str(_time_base(fps))
        known = {"scene": scene, "seconds": float(frames / fps), "seed": seed, "time_base": time_base}
        notes.truth(**known).write(truth)
    return truth


def _film(
    path: Path,
    files: Mapping[Actor, Path],
    scene: Scene,
    frames: int,
    size: tuple[int, int],
    fps: Fraction,
    seed: int,
    progress: Callable[[int, int], None] | None,
) -> TruthNotes:
    """Draw and encode every frame."""
    width, height = size
    seconds, time_base = float(frames / fps), _time_base(fps)
    painter = Painter(Studio(width, height), people(files, cast(scene)))
    choreography = choreograph(scene, seconds=seconds, seed=seed)
    notes = TruthNotes(cast(scene), width, height)
    step = int(1 / (fps * time_base))
    with TemporaryDirectory(prefix="dualface-") as folder:
        audio = Path(folder) / "audio.m4a"
        write_looped_audio(files[Actor.WOMAN], audio, seconds)
        with VideoWriter(
            path,
            width=width,
            height=height,
            time_base=time_base,
            average_rate=fps,
            color=COLOR,
            encoder=software_encoder(_ENCODER),
            audio_from=audio,
            audio=audio_streams(audio),
        ) as writer:
            for frame in range(frames):
                time = float(frame / fps)
                moment = choreography.at(time)
                planes, regions = painter.draw(moment, time)
                writer.write(planes, frame * step)
                notes.add(frame * step, moment, regions)
                if progress is not None:
                    progress(frame + 1, frames)
    return notes


def _checked(scene: Scene | str, seconds: float, width: int, height: int, fps: Fraction) -> Scene:
    try:
        known = Scene(scene)
    except ValueError:
        raise SettingsError(f"Unknown scene {scene!r}. Choose one of: {', '.join(Scene)}.") from None
    if not math.isfinite(seconds) or seconds < _LEAST_SECONDS:
        raise SettingsError(f"A sample of {seconds} seconds is not possible. It must last {_LEAST_SECONDS:g} at least.")
    least, most = _SIDES
    if width % 2 or height % 2 or not (least <= width <= most and least <= height <= most):
        raise SettingsError(f"A sample of {width}x{height} is not possible. Both must be even, from {least} to {most}.")
    if not 1 <= fps <= 240:
        raise SettingsError(f"A sample at {fps} frames per second is not possible. Choose a rate from 1 to 240.")
    return known


def _time_base(fps: Fraction) -> Fraction:
    timescale = fps.numerator
    while timescale < _MP4_TIMESCALE:
        timescale *= 2
    return Fraction(1, timescale)
