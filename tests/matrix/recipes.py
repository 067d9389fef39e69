"""The inputs: how each is made from the base clip, and what must become of it.

Belongs here: data. What is expected is what is right; what ffprobe knows of a file isn't repeated.
"""

from __future__ import annotations

from typing import Final

from dualface_core.errors import NoVideoStreamError, UnreadableVideoError
from tests.matrix.making import BASE_FRAMES, BASE_RATE, Cut, Recipe, Refused, Verified, Write

_X264: Final = "-c:v libx264 -preset veryfast -crf 12 -bf 2"
_PCM: Final = "-c:a pcm_s16le"
_REGULAR: Final = tuple(frame / BASE_RATE for frame in range(BASE_FRAMES))

_CONTAINERS: Final = (
    Recipe("h264.mp4", f"{_X264} -c:a aac", Verified(quiet=True), quick=True),
    Recipe("h264.mov", f"{_X264} -c:a aac", Verified(quiet=True)),
    Recipe("h264.m4v", f"{_X264} -c:a aac", Verified(quiet=True)),
    Recipe("h264.mkv", f"{_X264} -c:a aac", Verified()),
    Recipe("h264.ts", f"{_X264} -c:a aac", Verified(says=("earlier",)), open="begins late"),
    Recipe("h264.m2ts", f"{_X264} -c:a aac", Verified(), open="begins late"),
    Recipe("h264.flv", f"{_X264} -c:a aac", Verified(), open="begins late"),
    Recipe("h264.avi", f"{_X264} -bf 0 -c:a mp3", Verified(), open="placeholders for frames count as frames"),
    Recipe("h264.3gp", f"{_X264} -c:a aac", Verified()),
    Recipe("mpeg1.mpg", "-c:v mpeg1video -q:v 2 -c:a mp2", Verified(), open="begins late"),
    Recipe("mpeg2.mpg", "-c:v mpeg2video -q:v 2 -bf 2 -c:a mp2", Verified(), open="begins late"),
    Recipe("mpeg2.vob", "-c:v mpeg2video -q:v 2 -bf 2 -c:a ac3", Verified(), open="begins late"),
    Recipe("mpeg2.mxf", "-c:v mpeg2video -q:v 2 -bf 2 -c:a pcm_s16le", Verified()),
    Recipe("wmv2.wmv", "-c:v wmv2 -q:v 2 -c:a wmav2", Verified(), open="its audio is thought to be late"),
    Recipe("vp8.webm", "-c:v libvpx -b:v 2M -deadline realtime -c:a libvorbis", Verified()),
    Recipe("vp9.webm", "-c:v libvpx-vp9 -b:v 2M -deadline realtime -cpu-used 8 -c:a libopus", Verified(), quick=True),
    Recipe("av1.webm", "-c:v libsvtav1 -preset 10 -crf 20 -c:a libopus", Verified()),
    Recipe("theora.ogv", "-c:v libtheora -q:v 10 -c:a libvorbis", Verified()),
    Recipe("palette.gif", "-an -vf fps=10", Verified()),
    Recipe("raw.y4m", "-an -pix_fmt yuv420p", Verified()),
    Recipe("raw.h264", f"{_X264} -an", Verified(times=_REGULAR), open="has no times of its own"),
    Recipe(
        "raw.hevc",
        "-c:v libx265 -preset ultrafast -x265-params log-level=error -crf 12 -an",
        Verified(times=_REGULAR),
        open="has no times of its own",
    ),
    Recipe("h263.3gp", "-c:v h263 -s 352x288 -q:v 2 -c:a aac -ar 8000 -ac 1", Verified()),
    Recipe("mjpeg.avi", "-c:v mjpeg -q:v 2 -c:a pcm_s16le", Verified(), quick=True),
    Recipe("mpeg4.avi", "-c:v mpeg4 -q:v 2 -c:a mp3", Verified(), open="placeholders for frames count as frames"),
)

_CODECS: Final = (
    Recipe(
        "hevc.mp4",
        "-c:v libx265 -preset ultrafast -x265-params log-level=error -crf 12 -tag:v hvc1 -c:a aac",
        Verified(quiet=True),
    ),
    Recipe("prores.mov", f"-c:v prores_ks {_PCM}", Verified(), quick=True),
    Recipe("dnxhr.mov", f"-c:v dnxhd -profile:v dnxhr_hq -pix_fmt yuv422p -s 640x360 {_PCM}", Verified()),
    Recipe("ffv1.mkv", "-c:v ffv1 -c:a flac", Verified()),
)

_REFUSED: Final = (
    Recipe("empty.mp4", (Write("empty.mp4", b""),), Refused(UnreadableVideoError, "0 bytes"), quick=True),
    Recipe(
        "text.mp4",
        (Write("text.mp4", b"This is not a video.\n" * 99),),
        Refused(UnreadableVideoError, "not a video"),
        quick=True,
    ),
    Recipe("audio.m4a", "-vn -c:a aac", Refused(NoVideoStreamError, "holds no video")),
    Recipe(
        "hls.mp4",
        (Write("hls.mp4", b"#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\n/etc/passwd\n#EXT-X-ENDLIST\n"),),
        Refused(UnreadableVideoError, "not a video"),
        quick=True,
    ),
    Recipe(
        "cut.mp4",
        (f"-i base.mov {_X264} -movflags faststart cut.mp4", Cut("cut.mp4", 0.6)),
        Refused(UnreadableVideoError, "cut off"),
        quick=True,
    ),
    Recipe(
        "no-index.mp4",
        (f"-i base.mov {_X264} no-index.mp4", Cut("no-index.mp4", 0.6)),
        Refused(UnreadableVideoError, "index"),
    ),
)

RECIPES: Final = (*_CONTAINERS, *_CODECS, *_REFUSED)
