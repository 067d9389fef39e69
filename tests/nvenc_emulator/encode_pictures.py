"""A program that encodes known pictures with FFmpeg's `h264_nvenc` and says as JSON what PyAV answered.

It uses PyAV directly, as a check on the driver and on what PyAV makes of its answers. Tests import `picture` to know
what has to come back.
"""

from __future__ import annotations

import argparse
import json
from fractions import Fraction
from functools import cache

import av
import numpy as np

from tests.nvenc_emulator.card_memory import CardMemory

RATE = 30


@cache
def _moving(width: int, height: int) -> np.ndarray:
    # Full of what looks like start codes, which a writer of H.264 has to break up.
    values = np.array([0, 0, 0, 1, 2, 3, 4, 255], np.uint8)
    return np.random.default_rng(7).choice(values, (height, width))


def picture(index: int, width: int, height: int) -> np.ndarray:
    """Return the planes of picture `index` as PyAV lays out yuv420p: uint8 of (height * 3 / 2, width).

    In every plane the left third never changes, the middle third moves, and the right third is new noise.
    """
    noise = np.random.default_rng(index)
    planes = []
    for plane_height, plane_width in ((height, width), (height // 2, width // 2), (height // 2, width // 2)):
        plane = _moving(plane_width, plane_height).copy()
        third = plane_width // 3
        plane[:, third : 2 * third] = np.roll(plane[:, third : 2 * third], index, axis=1)
        plane[:, 2 * third :] = noise.integers(0, 256, (plane_height, plane_width - 2 * third), np.uint8)
        planes.append(plane.reshape(-1, width))
    return np.concatenate(planes)


def nv12(planes: np.ndarray) -> np.ndarray:
    """Interleave the chroma of yuv420p planes, as NV12 lays it out."""
    height, width = planes.shape[0] * 2 // 3, planes.shape[1]
    chroma = planes[height:].reshape(2, -1)
    return np.concatenate([planes[:height], chroma.T.reshape(-1, width)])


def encode(
    output: str,
    width: int,
    height: int,
    pixel_format: str,
    pictures: int,
    options: dict[str, str],
    *,
    slots: int = 8,
    pitch: int | None = None,
) -> list[str]:
    """Encode into a file, and return the names of the exceptions that the calls raised, in order.

    A failing call is not the end: the next picture is offered all the same, and the encoder is flushed. Pictures of the
    format "cuda" lie in `slots` places on the card, in turn; the session can hold four of them.
    """
    errors: list[str] = []
    with av.open(output, "w") as container:
        stream = container.add_stream("h264_nvenc", rate=RATE, options=options)
        stream.width, stream.height, stream.pix_fmt = width, height, pixel_format
        card = CardMemory(width, height, pitch=pitch or width, slots=slots) if pixel_format == "cuda" else None
        for index in [*range(pictures), None]:
            frame = None
            if index is not None:
                planes = picture(index, width, height)
                if card is not None:
                    card.write(index % slots, nv12(planes))
                    frame = card.frame(index % slots)
                else:
                    frame = av.VideoFrame.from_ndarray(
                        nv12(planes) if pixel_format == "nv12" else planes, format=pixel_format
                    )
                frame.pts, frame.time_base = index, Fraction(1, RATE)
            try:
                container.mux(stream.encode(frame))
            except av.FFmpegError as error:
                errors.append(f"{type(error).__name__} {error.errno}: {error}")
                if not stream.codec_context.is_open:
                    break
    return errors


def main() -> None:
    """Read the command line, encode, and print the errors as a JSON list."""
    parser = argparse.ArgumentParser()
    parser.add_argument("output")
    parser.add_argument("--size", default="640x360")
    parser.add_argument("--format", default="yuv420p", help="cuda: NV12 on the card")
    parser.add_argument("--slots", type=int, default=8, help="pictures that there is room for on the card")
    parser.add_argument("--pitch", type=int, help="bytes from row to row on the card (default: the width)")
    parser.add_argument("--pictures", type=int, default=10)
    parser.add_argument("--option", action="append", default=[], help="an encoder option, NAME=VALUE")
    arguments = parser.parse_args()
    av.logging.set_level(av.logging.ERROR)
    width, height = map(int, arguments.size.split("x"))
    options = dict(option.split("=", 1) for option in arguments.option)
    coding = (arguments.format, arguments.pictures, options)
    errors = encode(arguments.output, width, height, *coding, slots=arguments.slots, pitch=arguments.pitch)
    print(json.dumps(errors))


if __name__ == "__main__":
    main()
