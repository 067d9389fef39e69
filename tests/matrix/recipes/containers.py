"""Containers, each with codecs that people have in it."""

from __future__ import annotations

from typing import Final

from tests.matrix.making import Recipe, Verified
from tests.matrix.recipes.encoders import AV1, MPEG2, PCM, REGULAR, VP8, VP9, X264, X265

CONTAINERS: Final = (
    Recipe("h264.mp4", f"{X264} -c:a aac", Verified(quiet=True), quick=True),
    Recipe("h264.mov", f"{X264} -c:a aac", Verified(quiet=True)),
    Recipe("h264.m4v", f"{X264} -c:a aac", Verified(quiet=True)),
    Recipe("h264.3gp", f"{X264} -c:a aac", Verified()),
    Recipe("h264.3g2", f"{X264} -c:a aac", Verified()),
    Recipe("h264.f4v", f"{X264} -c:a aac", Verified()),
    Recipe("index-first.mp4", f"{X264} -c:a aac -movflags faststart", Verified(quiet=True)),
    Recipe("fragments.mp4", f"{X264} -g 10 -c:a aac -movflags frag_keyframe+empty_moov", Verified()),
    Recipe("fragments-dash.mp4", f"{X264} -g 10 -c:a aac -movflags frag_keyframe+dash+delay_moov", Verified()),
    Recipe("h264.mkv", f"{X264} -c:a aac", Verified()),
    Recipe("no-duration.mkv", f"{X264} -c:a aac -live 1", Verified()),
    Recipe("h264.ts", f"{X264} -c:a aac", Verified(says=("earlier",))),
    Recipe("h264.m2ts", f"{X264} -c:a aac", Verified()),
    Recipe("h264.flv", f"{X264} -c:a aac", Verified()),
    Recipe("flv1.flv", "-c:v flv1 -q:v 2 -c:a mp3 -ar 44100", Verified()),
    Recipe("h264.avi", f"{X264} -bf 0 -c:a mp3", Verified()),
    Recipe("h264.nut", f"{X264} -c:a aac", Verified()),
    Recipe("h264.wtv", f"{X264} -bf 0 -c:a mp2", Verified()),
    Recipe("mpeg1.mpg", "-c:v mpeg1video -q:v 2 -c:a mp2", Verified()),
    Recipe("mpeg2.mpg", f"{MPEG2} -c:a mp2", Verified()),
    Recipe("mpeg2.vob", f"{MPEG2} -c:a ac3", Verified()),
    Recipe("mpeg2.ts", f"{MPEG2} -c:a mp2", Verified()),
    Recipe("mpeg2.mxf", f"{MPEG2} -bf 0 {PCM}", Verified()),
    Recipe("b-frames.mxf", f"{MPEG2} {PCM}", Verified()),
    Recipe("mpeg2.gxf", f"{MPEG2} -s 720x576 -r 25 {PCM} -ac 1", Verified()),
    Recipe("wmv2.wmv", "-c:v wmv2 -q:v 2 -c:a wmav2", Verified()),
    Recipe("mpeg4.asf", "-c:v msmpeg4 -q:v 2 -c:a mp3", Verified()),
    Recipe("vp8.webm", f"{VP8} -c:a libvorbis", Verified()),
    Recipe("vp9.webm", f"{VP9} -c:a libopus", Verified(), quick=True),
    Recipe("live.webm", f"{VP9} -c:a libopus -live 1", Verified()),
    Recipe("av1.webm", f"{AV1} -c:a libopus", Verified()),
    Recipe("vp8.ivf", f"{VP8} -an", Verified()),
    Recipe("av1.obu", f"{AV1} -an", Verified(times=REGULAR)),
    Recipe("theora.ogv", "-c:v libtheora -q:v 10 -c:a libvorbis", Verified()),
    Recipe("palette.gif", "-an -vf fps=10", Verified(looks=(0, 6, -1))),
    Recipe("animation.apng", "-an -vf fps=10 -plays 0 -f apng", Verified(looks=(0, 6, -1))),
    Recipe("raw.y4m", "-an -pix_fmt yuv420p", Verified()),
    Recipe("raw.h264", f"{X264} -an", Verified(times=REGULAR)),
    Recipe("raw.hevc", f"{X265} -an -f hevc", Verified(times=REGULAR)),
    Recipe("raw.m2v", f"{MPEG2} -an -f mpeg2video", Verified(times=REGULAR)),
    Recipe("raw.mjpeg", "-c:v mjpeg -q:v 2 -an", Verified(times=REGULAR)),
    Recipe("h263.3gp", "-c:v h263 -s 352x288 -q:v 2 -c:a aac -ar 8000 -ac 1", Verified()),
    Recipe("mjpeg.avi", f"-c:v mjpeg -q:v 2 {PCM}", Verified(), quick=True),
    Recipe("mpeg4.avi", "-c:v mpeg4 -q:v 2 -c:a mp3", Verified()),
    Recipe("dv.dv", f"-s 720x576 -c:v dvvideo -pix_fmt yuv420p {PCM}", Verified()),
    Recipe("rv20.rm", "-c:v rv20 -s 352x288 -q:v 2 -c:a ac3", Verified()),
)
