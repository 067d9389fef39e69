"""The page of one video: what a person needs to accept its result, or to find the place where it is not right.

Belongs here: what is on the page. Images are inside it, so it can be mailed as it is; the two videos are linked,
relative to it, and the page says so where one is not there any more or cannot be played.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime
from fractions import Fraction
from typing import Final

import numpy as np

from dualface_core.advice.advisories import Advisory
from dualface_core.advice.timeline_events import Kind, TimelineEvent, events
from dualface_core.engine.spans import key_frames
from dualface_core.media.frames import Frame
from dualface_core.media.probe import VideoInfo
from dualface_core.media.reader import frames_at
from dualface_core.rendering.report import EncodeReport
from dualface_core.review.charts import HEIGHT, SCENE_NAMES, WIDTH, Axis, legend, video_charts
from dualface_core.review.preview import marked_frame, preview_frames, thumbnail
from dualface_core.review.templating import PAGE_SCRIPT, rendered
from dualface_core.tables.face_tracks import FaceTracks
from dualface_core.tables.labels import CameraState
from dualface_core.tables.scenes import summary
from dualface_core.tables.tile_plan import TilePlan
from dualface_core.verification.findings import Finding

MOST_EVENTS: Final = 60
"""Of each kind that are listed, and of scenes; the charts show all."""

_STRIP: Final = 8
_STRIP_WIDTH: Final = 480
_STRIP_BYTES: Final = 16_000
_POSTER_BYTES: Final = 40_000
_THUMBNAIL_WIDTH: Final = 320
_THUMBNAIL_BYTES: Final = 12_000

_PLAYED: Final = frozenset({"h264", "vp8", "vp9", "av1"})
_PLAYED_FORMATS: Final = frozenset({"yuv420p", "yuvj420p"})

_STEPS: Final = {
    "probe": "Looking at the file",
    "track": "Looking for faces",
    "plan": "Planning the cameras, with a preview",
    "wait": "Waiting for an NVENC session",
    "render": "Rendering and encoding",
    "verify": "Decoding again and checking",
}
"""Names of the steps whose time may be given, in their order."""


@dataclass(frozen=True)
class PageContent:
    """Everything that a page is made of.

    Attributes:
        key: of the video; the name of its folder.
        name: what the file was called.
        video: the source; its file must be there.
        tracks, plan, report: what was made of it.
        result: the result; its file must be there.
        seconds: what each step took, by the names "probe", "track", "plan", "wait", "render" and "verify".
        source_link, result_link: the two files, as URLs relative to the page's folder.
        index_link: the index, likewise; None where there is none.
    """

    key: str
    name: str
    video: VideoInfo
    tracks: FaceTracks
    plan: TilePlan
    report: EncodeReport
    result: VideoInfo
    seconds: Mapping[str, float]
    source_link: str
    result_link: str
    index_link: str | None = None


@dataclass(frozen=True)
class Page:
    """A page that was made: the HTML, an image for an index (JPEG), when, and what a person should know."""

    html: str
    thumbnail: bytes
    made_at: datetime
    warnings: list[str]


@dataclass(frozen=True)
class Still:
    """The same moment in source and result: its time in seconds, and the two images (JPEG)."""

    time: float
    source: bytes
    result: bytes


@dataclass(frozen=True)
class Listed:
    """An entry of the list: the event, and a sentence."""

    event: TimelineEvent
    sentence: str


def make_page(about: PageContent) -> Page:
    """Make the page of a video whose result was verified.

    Raises UnreadableVideoError if source or result cannot be read.
    """
    stills, poster, small = _stills(about)
    found = events(about.tracks, about.plan)
    findings = about.report.verification.findings if about.report.verification else []
    axis = Axis.of(about.tracks)
    charts = video_charts(axis, about.tracks, about.plan, found)
    listed, scenes, made_at = _listed(found), about.plan.timed_scenes, datetime.now(UTC)
    stages = {stage.name: stage for stage in about.report.stages}
    html = rendered(
        "page.html",
        script=PAGE_SCRIPT.name,
        about=about,
        made_at=made_at,
        canvas=about.plan.layout,
        poster=poster,
        stills=stills,
        axis=axis,
        charts=charts,
        legend=legend(axis, charts),
        chart_size=(WIDTH, HEIGHT),
        scenes=scenes[:MOST_EVENTS],
        unlisted_scenes=len(scenes[MOST_EVENTS:]),
        scenes_summary=summary(scenes),
        scene_names=SCENE_NAMES,
        events=listed,
        unlisted=len(found) - len(listed),
        advisories=sorted(about.report.advisories, key=lambda advisory: advisory.passed),
        findings=sorted(findings, key=lambda finding: finding.passed),
        warnings=about.report.warnings,
        steps=[(_STEPS[name], about.seconds[name], stages.get(name)) for name in _STEPS if about.seconds.get(name)],
        total=sum(about.seconds.values()),
        playable=about.video.codec in _PLAYED and about.video.pixel_format in _PLAYED_FORMATS,
        mark=_mark,
    )
    return Page(html, small, made_at, about.report.warnings)


def _stills(about: PageContent) -> tuple[list[Still], Still, bytes]:
    """Images for the strip, larger ones of the first frame, where the players begin, and one for the index."""
    indexes = _cheap_frames(about, preview_frames(about.plan, _STRIP))
    sources, results = (_frames(about, info, sorted({0, *indexes})) for info in (about.video, about.result))

    def still(index: int) -> Still:
        return Still(
            sources[index].time,
            marked_frame(sources[index], about.plan, width=_STRIP_WIDTH, max_bytes=_STRIP_BYTES),
            thumbnail(results[index], None, width=_STRIP_WIDTH, max_bytes=_STRIP_BYTES),
        )

    with ThreadPoolExecutor() as pool:  # OpenCV lets others run
        stills = list(pool.map(still, indexes))
    poster = [thumbnail(frames[0], None, max_bytes=_POSTER_BYTES) for frames in (sources, results)]
    # The one nearest to the middle of those in which most people are.
    seen = (about.plan.drawn & (about.plan.states == CameraState.TRACKING))[indexes].sum(axis=1)
    best = max(range(len(indexes)), key=lambda place: (seen[place], -abs(place - len(indexes) // 2)))
    small = thumbnail(results[indexes[best]], None, width=_THUMBNAIL_WIDTH, max_bytes=_THUMBNAIL_BYTES)
    return stills, Still(sources[0].time, *poster), small


def _cheap_frames(about: PageContent, wanted: Sequence[int]) -> list[int]:
    """Frames near those that are wanted, in the same shots, that little has to be decoded for in either video."""
    units = Fraction(about.result.time_base) / about.tracks.metadata.seconds_per_pts
    pts = about.tracks.pts
    times = (key_frames(about.video), [round(time * units) for time in key_frames(about.result)])
    keys = [np.unique(np.append(np.searchsorted(pts, found), 0)) for found in times]
    candidates = np.unique(np.concatenate(keys))
    candidates = candidates[candidates < len(pts)]
    shots = np.searchsorted(about.tracks.cuts, np.arange(len(pts)), side="right")
    reach = len(pts) // (2 * len(wanted))

    def cost(frame: int) -> int:
        """Frames that are decoded on the way to this one, from the key frames before it."""
        return sum(frame - int(found[np.searchsorted(found, frame, side="right") - 1]) for found in keys)

    chosen = set()
    for index in wanted:
        near = candidates[(np.abs(candidates - index) <= reach) & (shots[candidates] == shots[index])]
        chosen.add(min([index, *near.tolist()], key=cost))
    return sorted(chosen)


def _frames(about: PageContent, info: VideoInfo, indexes: Sequence[int]) -> dict[int, Frame]:
    """Frames of source or result, by their number in the plan, ascending."""
    units = about.tracks.metadata.seconds_per_pts / Fraction(info.time_base)
    pts = [int(pts * units) for pts in about.tracks.pts[indexes].tolist()]
    return {frame.index: frame for frame in frames_at(info, indexes, pts)}


def _listed(found: Sequence[TimelineEvent]) -> list[Listed]:
    kinds: Counter[Kind] = Counter()
    result = []
    for event in found:
        kinds[event.kind] += 1
        if kinds[event.kind] <= MOST_EVENTS:
            result.append(Listed(event, _sentence(event)))
    return result


def _sentence(event: TimelineEvent) -> str:
    match event.kind:
        case Kind.CUT:
            return "A cut."
        case Kind.HOLDING:
            return f"Tile {event.person} holds still: its person is out of sight for a while."
        case Kind.WIDE:
            return f"Tile {event.person} shows the wide shot: its person is not there."
        case Kind.UNSURE:
            return f"It is not sure that this is {event.person} (margin {event.margin or 0:.1f} nats)."
        case Kind.LOST:
            return "The source is damaged: there is no frame, and the last good one is held."


def _mark(item: Finding | Advisory) -> str:
    """How a check came out: "passed", "warning" or "error"."""
    if item.passed:
        return "passed"
    return item.severity if isinstance(item, Finding) else "warning"
