"""How far coding and blur take a result from what was composed: the figures behind the thresholds of verification.

Renders the sample scenes at every quality and preset, verifies each result, and prints the least similarity (SSIM), the
most that colors differ, the least detail, and what was refused. docs/verification.md says which of it must be refused.

    python -m benchmarks.tampering --seconds 5
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Iterator
from itertools import product
from pathlib import Path

import cv2
import numpy as np

from dualface_core import pipeline
from dualface_core.compositing.composed import composed_frames
from dualface_core.encoding.settings import EncoderKind, EncoderSettings, software_encoder
from dualface_core.media.probe import VideoInfo
from dualface_core.media.writer import VideoWriter
from dualface_core.sample import make_sample
from dualface_core.sample.scenes import Scene
from dualface_core.settings import Settings
from dualface_core.tables.tile_plan import TilePlan
from dualface_core.verification.findings import Check, Verification
from dualface_core.verification.fingerprints import FingerprintWriter


def render(
    video: VideoInfo, plan: TilePlan, path: Path, fingerprints: Path, settings: EncoderSettings, sigma: float
) -> None:
    """Render a plan; the luma of each tile is blurred after its fingerprint was taken."""
    layout = plan.layout
    with (
        FingerprintWriter(fingerprints, layout) as writer,
        VideoWriter(
            path,
            width=layout.width,
            height=layout.height,
            time_base=video.time_base,
            average_rate=video.average_rate,
            color=video.color,
            encoder=software_encoder(settings),
            audio_from=video.path,
            audio=video.audio,
        ) as output,
    ):
        for surface, pts in composed_frames(video, plan):
            writer.add(surface.planes)
            for tile in layout.tiles if sigma else ():
                part = surface.planes[0][tile.y : tile.y + tile.height, tile.x : tile.x + tile.width]
                part[:] = cv2.GaussianBlur(np.ascontiguousarray(part), (0, 0), sigma)
            output.encode(surface, pts)


def row(verification: Verification) -> Iterator[str]:
    """The figures of a verification, as cells."""
    for check, worst in ((Check.SSIM, min), (Check.COLOR, max), (Check.DETAIL, min)):
        values = [finding.value for finding in verification.findings if finding.check is check]
        yield f"{worst(value for value in values if isinstance(value, float)):.3f}"
    yield ", ".join(sorted({finding.check for finding in verification.failures})) or "passed"


def main() -> None:
    """Measure and print a table in Markdown."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=5)
    parser.add_argument("--scenes", default=",".join(Scene))
    parser.add_argument("--codecs", default="h264,hevc,av1")
    parser.add_argument("--presets", default="fast,balanced,best")
    parser.add_argument("--qualities", default="10,20,30,40,51")
    parser.add_argument("--blurs", default="1,2,3,5,10", help="sigmas in pixels of the canvas, at quality 20")
    options = parser.parse_args()
    coded = product(
        options.codecs.split(","), options.presets.split(","), map(int, options.qualities.split(",")), [0.0]
    )
    blurs = [("h264", "fast", 20, float(sigma)) for sigma in options.blurs.split(",")]
    cases = [*coded, *blurs]
    print("| scene | codec | preset | quality | blur | least SSIM | most color | least detail | refused |")
    print("|---|---|---|---|---|---|---|---|---|")
    with tempfile.TemporaryDirectory() as folder:
        source, path, fingerprints = (Path(folder) / name for name in ("source.mp4", "result.mp4", "fingerprints"))
        for scene in options.scenes.split(","):
            size = {"width": 1280, "height": 720, "fps": 30}
            make_sample(source, scene=scene, seconds=options.seconds, **size, seed=0, cache=Settings.load().cache)
            video = pipeline.probe(source)
            tracks = pipeline.track(video)
            plan = pipeline.plan_tiles(video, tracks)
            for codec, preset, quality, sigma in cases:
                settings = EncoderSettings(encoder=EncoderKind.SOFTWARE, codec=codec, quality=quality, preset=preset)
                render(video, plan, path, fingerprints, settings, sigma)
                verification = pipeline.verify(path, video=video, tracks=tracks, plan=plan, fingerprints=fingerprints)
                cells = [scene, codec, preset, str(quality), f"{sigma:g}", *row(verification)]
                print(f"| {' | '.join(cells)} |", flush=True)


if __name__ == "__main__":
    main()
