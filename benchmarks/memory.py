"""Peak memory of `dualface run` on a short video and on a long one, which is the short one again and again.

python -m benchmarks.memory --short 60 --times 10
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from fractions import Fraction
from pathlib import Path

import av
from av.stream import Stream

from benchmarks.measuring import cost

DUALFACE = (sys.executable, "-m", "dualface_core.cli")
LIMIT_GROWTH = 0.10
LIMIT_BYTES = 1_500_000_000


def repeated(video: Path, times: int, output: Path) -> None:
    """Write a video that plays another one so many times, its packets as they are."""
    with av.open(str(output), "w") as target:
        begin = Fraction(0)
        streams: list[Stream] = []
        for _ in range(times):
            with av.open(str(video)) as source:
                chosen = [*source.streams.video[:1], *source.streams.audio[:1]]
                streams = streams or [target.add_stream_from_template(stream) for stream in chosen]
                for packet in source.demux(chosen):
                    if packet.dts is not None and packet.pts is not None and packet.time_base is not None:
                        shift = round(begin / packet.time_base)
                        packet.pts, packet.dts = packet.pts + shift, packet.dts + shift
                        packet.stream = streams[chosen.index(packet.stream)]
                        target.mux(packet)
                begin += max(Fraction(stream.duration or 0) * Fraction(stream.time_base or 1) for stream in chosen)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--short", type=float, default=60, help="seconds of the short video")
    parser.add_argument("--times", type=int, default=10, help="how often the long video plays the short one")
    parser.add_argument("--size", default="1920x1080")
    parser.add_argument("--folder", type=Path, help="keep the sample here, and take it if it is here already")
    options = parser.parse_args()
    peaks = {}
    with tempfile.TemporaryDirectory() as temporary:
        folder = options.folder or Path(temporary)
        short = folder / f"{options.short:g}s.mp4"
        if not short.exists():
            sample = ["sample", str(short), "--seconds", str(options.short), "--size", options.size]
            subprocess.run([*DUALFACE, *sample], check=True, stdout=subprocess.DEVNULL)
        long = Path(temporary) / f"{options.short * options.times:g}s.mp4"
        repeated(short, options.times, long)
        for name, video in (("short", short), ("long", long)):
            output = Path(temporary) / f"{name}.split.mp4"
            found = cost([*DUALFACE, "run", str(video), "-o", str(output), "--encoder", "software"])
            peaks[name] = found.peak_memory
            print(f"{video.stem}: peak {found.peak_memory / 1e6:.0f} MB, {found.seconds:.0f} s", file=sys.stderr)
    growth = peaks["long"] / peaks["short"] - 1
    print(json.dumps({**peaks, "growth": round(growth, 4)}))
    if growth > LIMIT_GROWTH or peaks["long"] > LIMIT_BYTES:
        sys.exit(1)


if __name__ == "__main__":
    main()
