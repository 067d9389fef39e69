"""Whether one `quality` looks the same with every software encoder: SSIM and size at the mapped settings.

Renders one plan losslessly, then with each codec at several qualities, and lets ffmpeg compare the luma of every frame.
NVENC's own mapping cannot be measured without an NVENC card; `--encoder nvenc` does it on a machine that has one.

    python -m benchmarks.encoder_quality --seconds 10
"""

from __future__ import annotations

import argparse
import json
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from dualface_core import pipeline
from dualface_core.encoding.settings import EncoderSettings, EncoderSpec, nvenc_encoder, software_encoder
from dualface_core.rendering.stream import render_stream
from dualface_core.settings import Settings
from dualface_core.system.threads import limit_library_threads

DUALFACE = (sys.executable, "-m", "dualface_core.cli")


def ssim(path: Path, reference: Path) -> float:
    """Mean structural similarity of the luma of two videos, as ffmpeg's `ssim` filter computes it."""
    command = ["ffmpeg", "-hide_banner", "-i", str(path), "-i", str(reference), "-lavfi", "ssim", "-f", "null", "-"]
    said = subprocess.run(command, capture_output=True, text=True, check=True).stderr
    found = re.search(r"SSIM Y:([0-9.]+)", said)
    if found is None:
        sys.exit(said)
    return float(found[1])


def main() -> None:
    """Measure and print a table in Markdown."""
    limit_library_threads()
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=10)
    parser.add_argument("--scene", default="talk")
    parser.add_argument("--size", default="1920x1080")
    parser.add_argument("--qualities", default="18,20,23,28")
    parser.add_argument("--codecs", default="h264,hevc,av1")
    parser.add_argument("--preset", default="fast")
    parser.add_argument("--encoder", choices=["software", "nvenc"], default="software")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    spec_of = software_encoder if options.encoder == "software" else nvenc_encoder
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder) / "source.mp4"
        sample = ["sample", str(source), "--scene", options.scene, "--seconds", str(options.seconds)]
        subprocess.run([*DUALFACE, *sample, "--size", options.size], check=True, stdout=subprocess.DEVNULL)
        video = pipeline.probe(source)
        plan = pipeline.plan_tiles(video, pipeline.track(video, settings=Settings.load()))
        reference, path = Path(folder) / "reference.mp4", Path(folder) / "coded.mp4"
        lossless = {"qp": "0", "preset": "ultrafast"}
        render_stream(video, plan, reference, EncoderSpec("libx264", False, lossless, "", ""))
        for quality in (int(number) for number in options.qualities.split(",")):
            for codec in options.codecs.split(","):
                spec = spec_of(EncoderSettings(codec=codec, quality=quality, preset=options.preset))
                start = time.perf_counter()
                render_stream(video, plan, path, spec)
                seconds = time.perf_counter() - start
                rows.append(
                    {
                        "quality": quality,
                        "encoder": spec.name,
                        "options": f"{spec.preset}, {spec.quality}",
                        "ssim": ssim(path, reference),
                        "kbit_s": path.stat().st_size * 8 / 1000 / video.duration,
                        "fps": plan.frame_count / seconds,
                    }
                )
    if options.json:
        print(json.dumps(rows, indent=2))
        return
    print("| quality | encoder | preset, setting | SSIM (luma) | kbit/s | frames/s |\n|---|---|---|---|---|---|")
    for row in rows:
        print(
            f"| {row['quality']} | {row['encoder']} | {row['options']} | {row['ssim']:.4f} | {row['kbit_s']:.0f} "
            f"| {row['fps']:.0f} |"
        )


if __name__ == "__main__":
    main()
