"""A program that lets one VideoWriter with NVENC end, says what is left of it, and waits for standard input."""

from __future__ import annotations

import json
import resource
import sys
from fractions import Fraction
from pathlib import Path

import numpy as np

from dualface_core.encoding.settings import EncoderSettings, nvenc_encoder
from dualface_core.errors import DualfaceError
from dualface_core.media.color import ColorInfo
from dualface_core.media.writer import VideoWriter
from dualface_core.system.atomic_files import atomic_write

SIZE = 256


def open_files(folder: Path) -> list[str]:
    """Names of the files in a folder that this process has open."""
    links = (link.readlink() for link in Path("/proc/self/fd").iterdir() if link.is_symlink())
    return [link.name for link in links if link.is_relative_to(folder)]


def encode(path: Path, pictures: int) -> None:
    """Write so many gray pictures into an MP4, published when it is complete."""
    planes = (np.full((SIZE, SIZE), 128, np.uint8), *(np.full((SIZE // 2, SIZE // 2), 128, np.uint8),) * 2)
    with (
        atomic_write(path) as temporary,
        VideoWriter(
            temporary,
            width=SIZE,
            height=SIZE,
            time_base=Fraction(1, 15),
            average_rate=Fraction(15),
            color=ColorInfo(),
            encoder=nvenc_encoder(EncoderSettings()),
        ) as writer,
    ):
        temporary.touch()  # a file without pictures is a file
        for number in range(pictures):
            writer.write(planes, number)
        writer.close()
        writer.close()  # ending twice is ending once


def main(path: Path, pictures: int, largest_file: int) -> None:
    """Encode, keep the error in hand as a caller does who looks at it, and report."""
    resource.setrlimit(resource.RLIMIT_FSIZE, (largest_file, largest_file))
    error: DualfaceError | None = None
    try:
        encode(path, pictures)
    except DualfaceError as raised:
        error = raised
    print(
        json.dumps(
            {
                "error": None if error is None else str(error),
                "left in the folder": sorted(entry.name for entry in path.parent.iterdir()),
                "left open": open_files(path.parent),
            }
        ),
        flush=True,
    )
    sys.stdin.readline()


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]))
