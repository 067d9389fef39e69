"""Shapes: rotation and mirroring, pixels that are not square, and sizes."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from tests.matrix.making import Recipe, Verified
from tests.matrix.recipes.encoders import MPEG2, PCM, VP8, VP9, X264, X265

_AFTER_TYPE: Final = 44
"""Bytes from the type of a track header box to its display matrix."""


@dataclass(frozen=True)
class DisplayMatrix:
    """Another display matrix for the first track of an MP4: x' = a x + c y and y' = b x + d y."""

    name: str
    a: int
    b: int
    c: int
    d: int

    def __call__(self, folder: Path) -> None:
        content = bytearray((folder / self.name).read_bytes())
        cells = (self.a << 16, self.b << 16, 0, self.c << 16, self.d << 16, 0, 0, 0, 1 << 30)
        struct.pack_into(">9i", content, content.index(b"tkhd") + _AFTER_TYPE, *cells)
        (folder / self.name).write_bytes(content)


def _turned(name: str, coded: str, view: str, *cells: int, quick: bool = False) -> Recipe:
    """Frames that are coded so that this matrix shows them upright; `view` does what it says."""
    made = (f"-i base.mov {X264} -vf {coded} -c:a aac {name}", DisplayMatrix(name, *cells))
    return Recipe(name, made, Verified(view=view), quick=quick)


def _oriented(name: str, coded: str, view: str, orientation: str) -> Recipe:
    """The same with H.264's display orientation message, which turns counter-clockwise."""
    made = f"{X264} -vf {coded} -bsf:v h264_metadata=display_orientation=insert:{orientation} -c:a aac"
    return Recipe(name, made, Verified(view=view))


SHAPES: Final = (
    _turned("turned-90.mp4", "transpose=2", "transpose=1", 0, 1, -1, 0),
    _turned("turned-180.mp4", "hflip,vflip", "hflip,vflip", -1, 0, 0, -1),
    _turned("turned-270.mp4", "transpose=1", "transpose=2", 0, -1, 1, 0),
    _turned("mirrored.mp4", "hflip", "hflip", -1, 0, 0, 1, quick=True),
    _turned("mirrored-180.mp4", "vflip", "vflip", 1, 0, 0, -1),
    _turned("mirrored-90.mp4", "transpose=0", "transpose=0", 0, 1, 1, 0),
    _turned("mirrored-270.mp4", "transpose=3", "transpose=3", 0, -1, -1, 0),
    _oriented("sei-90.mp4", "transpose=1", "transpose=2", "rotate=90"),
    _oriented("sei-180.mkv", "hflip,vflip", "hflip,vflip", "rotate=180"),
    _oriented("sei-270.ts", "transpose=2", "transpose=1", "rotate=270"),
    _oriented("sei-mirrored.mp4", "hflip", "hflip", "flip=horizontal"),
    _oriented("sei-flipped.mp4", "vflip", "vflip", "flip=vertical"),
    _oriented("sei-mirrored-90.mp4", "transpose=1,hflip", "hflip,transpose=2", "rotate=90:flip=horizontal"),
    Recipe(
        "turned-90.mov",
        (f"-i base.mov {X264} -vf transpose=2 -c:a aac turned-90.mov", DisplayMatrix("turned-90.mov", 0, 1, -1, 0)),
        Verified(),
    ),
    Recipe(
        "turned-hevc.mov",
        (f"-i base.mov {X265} -vf transpose=1 -an turned-hevc.mov", DisplayMatrix("turned-hevc.mov", 0, -1, 1, 0)),
        Verified(),
    ),
    Recipe(
        "turned-wide-pixels.mp4",
        (
            f"-i base.mov {X264} -vf scale=320:90,setsar=1/2,transpose=2 -an turned-wide-pixels.mp4",
            DisplayMatrix("turned-wide-pixels.mp4", 0, 1, -1, 0),
        ),
        Verified(),
    ),
    Recipe("upright-phone.mp4", f"{X264} -vf crop=100:180:42:0,scale=360:648 -an", Verified()),
    Recipe("wide-pixels.mp4", f"{X264} -vf scale=240:180,setsar=4/3 -an", Verified()),
    Recipe("tall-pixels.mp4", f"{X264} -vf scale=320:120,setsar=2/3 -an", Verified()),
    Recipe("wide-pixels.mkv", f"{X264} -vf scale=240:180,setsar=4/3 -an", Verified()),
    Recipe("wide-pixels.webm", f"{VP9} -vf scale=240:180,setsar=4/3 -an", Verified()),
    Recipe("wide-pixels.avi", f"{X264} -bf 0 -vf scale=240:180,setsar=4/3 -an", Verified()),
    Recipe("pal-wide.mpg", f"{MPEG2} -vf scale=720:576,setsar=64/45 -c:a mp2", Verified()),
    Recipe("pal-narrow.mpg", f"{MPEG2} -vf crop=240:180,scale=720:576,setsar=16/15 -c:a mp2", Verified()),
    Recipe(
        "ntsc-wide.dv", f"-vf scale=720:480,setsar=32/27,fps=30000/1001 -c:v dvvideo -pix_fmt yuv411p {PCM}", Verified()
    ),
    Recipe("hdv.ts", f"{MPEG2} -vf scale=1440:1080,setsar=4/3 -frames:v 10 -an", Verified(looks=(0, 5, -1))),
    Recipe("odd-size.mp4", f"{X264} -vf scale=321:181 -pix_fmt yuv444p -an", Verified()),
    Recipe("odd-size.webm", f"{VP9} -vf scale=319:181 -an", Verified()),
    Recipe("odd-size-vp8.webm", f"{VP8} -vf scale=321:179 -an", Verified()),
    Recipe("odd-size.mkv", "-vf scale=323:181 -c:v ffv1 -pix_fmt yuv420p -an", Verified()),
    Recipe("odd-size.gif", "-vf scale=319:179,fps=10 -an", Verified(looks=(0, 6, -1))),
    Recipe("odd-size-mjpeg.avi", "-vf scale=321:181 -c:v mjpeg -q:v 2 -an", Verified()),
    Recipe("odd-width.mov", "-vf scale=321:180 -c:v png -an", Verified()),
    Recipe("small.mp4", f"{X264} -vf scale=214:120 -an", Verified()),
    Recipe("square.mp4", f"{X264} -vf pad=320:320:0:70 -an", Verified()),
    Recipe("upright.mp4", f"{X264} -vf pad=320:568:0:194 -an", Verified()),
    Recipe("panorama.mp4", f"{X264} -vf pad=960:180:320:0 -an", Verified()),
    Recipe("full-hd.mp4", f"{X264} -vf scale=1920:1080 -frames:v 10 -an", Verified(looks=(0, 5, -1))),
    Recipe("4k.mp4", f"{X264} -vf scale=3840:2160 -frames:v 6 -an", Verified(looks=(0, 3, -1))),
    Recipe("cropped-by-codec.mp4", f"{X264} -vf scale=326:186 -an", Verified()),
)
