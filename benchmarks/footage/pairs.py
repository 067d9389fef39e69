"""Frames before and after, for the documentation: one layout throughout, and the scenes that the director chooses.

Belongs here: which moments of which made scenes are shown. Real footage is looked at, never shown.

    python -m benchmarks.footage.pairs docs/images
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from dualface_core import pipeline
from dualface_core.compositing.cpu import Compositor
from dualface_core.directing.parameters import Direction
from dualface_core.media.probe import VideoInfo
from dualface_core.media.reader import VideoReader
from dualface_core.sample import make_sample
from dualface_core.sample.scenes import Scene
from dualface_core.settings import Settings
from dualface_core.system.threads import limit_library_threads
from dualface_core.tables.labels import SceneMode
from dualface_core.tables.tile_plan import TilePlan

Image = NDArray[np.uint8]

_WIDTH: Final = 480
_GAP: Final = 8
_MAX_BYTES: Final = 60_000


@dataclass(frozen=True)
class Pair:
    """A moment of a made scene, and the file that shows it."""

    scene: Scene
    seed: int
    time: float
    file: str


PAIRS: Final = (
    Pair(Scene.SINGLES, 100, 4.0, "scenes-single.jpg"),
    Pair(Scene.CLOSE, 100, 3.8, "scenes-close.jpg"),
    Pair(Scene.THIRD, 100, 5.0, "scenes-third.jpg"),
    Pair(Scene.TITLE, 100, 0.6, "scenes-title.jpg"),
)


def main() -> None:
    """Make the images."""
    limit_library_threads()
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="where to write them")
    parser.add_argument("--seconds", type=float, default=10, help="length of the samples")
    options = parser.parse_args()
    for pair in PAIRS:
        with TemporaryDirectory() as folder:
            path = Path(folder) / f"{pair.scene}.mp4"
            cache = Settings.load().cache
            made = {"seconds": options.seconds, "fps": 12, "seed": pair.seed}
            make_sample(path, scene=pair.scene, width=1280, height=720, cache=cache, **made)
            video = pipeline.probe(path)
            tracks = pipeline.track(video)
            plans = [
                pipeline.plan_tiles(video, tracks, direction=Direction(scenes=scenes))
                for scenes in (SceneMode.OFF, SceneMode.AUTO)
            ]
            (options.folder / pair.file).write_bytes(_jpeg(side_by_side(video, plans, pair.time)))
        print(options.folder / pair.file)


def side_by_side(video: VideoInfo, plans: list[TilePlan], time: float) -> Image:
    """The source's frame at a time (seconds), and what each plan makes of it, from left to right."""
    with VideoReader(video, threads=1) as reader:
        frame = next(frame for frame in reader if frame.time >= time)
    images = [frame.bgr(_WIDTH)]
    for plan in plans:
        compositor = Compositor(plan.layout, video.width, video.height)
        images.append(replace(frame, planes=compositor.compose(frame, plan.frame(frame.index))).bgr(_WIDTH))
    height = min(image.shape[0] for image in images)
    gap = np.full((height, _GAP, 3), 255, np.uint8)
    return np.hstack([part for image in images for part in (gap, image[:height])][1:])


def _jpeg(image: Image) -> bytes:
    """The image as a JPEG of the best quality that fits."""
    for quality in range(90, 40, -10):
        data = cv2.imencode(".jpg", image, (cv2.IMWRITE_JPEG_QUALITY, quality, cv2.IMWRITE_JPEG_OPTIMIZE, 1))[
            1
        ].tobytes()
        if len(data) <= _MAX_BYTES:
            break
    return data


if __name__ == "__main__":
    main()
