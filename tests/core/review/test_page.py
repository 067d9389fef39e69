from __future__ import annotations

import base64
import hashlib
import re
from dataclasses import replace
from html.parser import HTMLParser

import pytest

from dualface_core import pipeline
from dualface_core.engine.stages import Stage
from dualface_core.errors import ChangedPlanError, ChangedVideoError
from dualface_core.gpu.monitor import LoadSummary
from dualface_core.media.orientation import Orientation
from dualface_core.media.reader import VideoReader
from dualface_core.review.charts import SCENE_NAMES
from dualface_core.review.page import PageContent, make_page
from dualface_core.review.preview import thumbnail
from dualface_core.tables.scenes import summary
from tests.core.review.images import decoded
from tests.page_content import About

HOSTILE = [
    "</title><script>alert(1)</script>.mp4",
    "\"><img src=x onerror=alert(1)>'.mp4",
    "{{ 7 * 7 }}{% raw %}.mp4",
    "line\nbreak\r\ttab.mp4",
    "\u202egnp.4pm",
    "\u05d0\u05d1\u05d2 \U0001f3ac &amp; co.mp4",
    "-" * 255,
]


class Page(HTMLParser):
    """What a browser makes of a page: elements with their attributes, and the text in them."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str]]] = []
        self.texts: dict[str, list[str]] = {}
        self._open = ""
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, {name: value or "" for name, value in attrs}))
        self._open = tag

    def handle_data(self, data: str) -> None:
        self.texts.setdefault(self._open, []).append(data)

    def all(self, tag: str) -> list[dict[str, str]]:
        return [attributes for name, attributes in self.elements if name == tag]


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_name_is_shown_and_nothing_else(about: About, name: str) -> None:
    page = Page(make_page(about(name=name)).html)
    plain = Page(make_page(about(name="plain.mp4")).html)
    assert [tag for tag, _ in page.elements] == [tag for tag, _ in plain.elements]
    assert page.texts["title"][0] == f"{name} - review page".replace("\r", "\r")
    assert page.texts["bdi"][0] == name
    assert not [name for _, attributes in page.elements for name in attributes if name.startswith("on")]


def test_only_the_pages_own_script_and_style_may_run(about: About) -> None:
    page = Page(make_page(about()).html)
    (policy,) = [meta["content"] for meta in page.all("meta") if meta.get("http-equiv") == "Content-Security-Policy"]
    rules = dict(rule.strip().split(" ", 1) for rule in policy.split(";"))
    assert rules["default-src"] == rules["base-uri"] == rules["form-action"] == "'none'"
    for element, rule in (("script", "script-src"), ("style", "style-src")):
        digest = hashlib.sha256("".join(page.texts[element][:1]).encode()).digest()
        assert rules[rule] == f"'sha256-{base64.b64encode(digest).decode()}'"
        assert len(page.all(element)) == 1
    assert not [attributes for _, attributes in page.elements if "style" in attributes]  # the policy forbids them


def test_a_page_loads_nothing_but_the_two_videos(about: About) -> None:
    page = Page(make_page(about()).html)
    assert [video["src"] for video in page.all("video")] == ["../../source.mp4", "../../result.mp4"]
    assert all(image["src"].startswith("data:image/jpeg;base64,") for image in page.all("img"))
    assert [link["href"] for link in page.all("link")] == ["data:,"]  # no icon is asked for
    assert {link["href"] for link in page.all("a")} == {"../index.html", "../../source.mp4", "../../result.mp4"}


def test_every_picture_and_chart_is_described(about: About) -> None:
    page = Page(make_page(about()).html)
    assert all(image["alt"] for image in page.all("img"))
    charts = [svg for svg in page.all("svg") if svg.get("role") == "img"]
    assert len(charts) == 5
    assert all(svg["aria-label"] for svg in charts)
    assert all(video["aria-label"] for video in page.all("video"))


def test_every_section_has_a_name(about: About) -> None:
    page = Page(make_page(about()).html)
    names = {heading["id"] for heading in page.all("h2")}
    for section in page.all("section"):
        assert section.get("aria-label") or section["aria-labelledby"] in names


def test_the_strip_shows_source_and_result_at_the_same_times(about: About) -> None:
    page = Page(make_page(about()).html)
    images = [image for image in page.all("img") if image["alt"].startswith(("Source at", "Result at"))]
    assert len(images) == 16
    times = [image["alt"].split(" ")[2].rstrip(".,") for image in images]
    assert times[::2] == times[1::2]
    assert times == sorted(times)
    sizes = {decoded(base64.b64decode(image["src"].partition(",")[2])).shape for image in images}
    assert sizes == {(270, 480, 3)}


def test_the_players_show_the_frame_at_which_they_begin(about: About, content: PageContent) -> None:
    page = Page(make_page(about()).html)
    assert page.texts["output"][0].startswith("0:00.0 / ")
    for video, info in zip(page.all("video"), (content.video, content.result), strict=True):
        poster = decoded(base64.b64decode(video["poster"].partition(",")[2])).astype(int)
        with VideoReader(info) as reader:
            frames = list(reader)
        distances = [abs(poster - decoded(thumbnail(frame, None, max_bytes=100_000))).mean() for frame in frames]
        assert min(distances) == distances[0] < 2


def test_checks_concerns_and_times_are_on_the_page(about: About) -> None:
    html = make_page(about()).html
    for text in ("All 30 frames could be decoded.", "Some are dark.", "upscaling", "identity margin", "faces in tiles"):
        assert text in html
    assert "Looking for faces" in html
    assert "6.1 s" in html  # all steps together
    assert "Waiting for an NVENC session" not in html


def test_scenes_are_listed_with_their_reasons(about: About, content: PageContent) -> None:
    html = make_page(about()).html
    for scene in content.plan.timed_scenes:
        assert f"<title>{scene.reason}</title>" in html
        assert f"{SCENE_NAMES[scene.kind].capitalize()}. {scene.reason}" in html
    assert summary(content.plan.timed_scenes) in html


def test_what_is_to_be_looked_at_comes_first(about: About) -> None:
    page = make_page(about())
    assert len(page.warnings) == 2
    assert page.warnings[1] == "Some are dark."
    assert "Verified, 2 to look at" in page.html


def test_a_codec_that_no_browser_plays_is_named(about: About, content: PageContent) -> None:
    assert "Browsers do not play" not in make_page(about()).html
    other = replace(content.video, codec="prores")
    page = make_page(about(video=other)).html
    assert "Browsers do not play prores, yuv420p." in page


def test_what_is_not_known_or_not_there_leaves_no_hole(about: About, content: PageContent) -> None:
    silent = replace(content.video, audio=(), orientation=Orientation(90))
    load = LoadSummary(
        seconds=3, job_cpu_percent=150, job_memory_peak=1 << 30, gpu_percent=42, encoder_percent=None,
        decoder_percent=None, gpu_memory_peak=None, encoder_sessions_peak=None,
    )  # fmt: skip
    report = content.report.model_copy(
        update={"load": load, "verification": None, "why": "NVENC <failed>.", "fallback": True, "driver": "580.95"}
    )
    html = make_page(about(seconds={}, video=silent, report=report, index_link=None)).html
    for text in (
        "Not known.",
        "turned by 90 degrees",
        "1.5 cores busy",
        "42 % busy",
        "NVENC &lt;failed&gt;.",
        "580.95",
    ):
        assert text in html
    assert "<td>none</td>" in html
    assert "All videos" not in html
    assert not re.search("None(?!: no cut)", re.sub(r"base64,[^\"]+|<script>.*</script>", "", html, flags=re.DOTALL))


def test_it_says_what_each_step_used(about: About, content: PageContent) -> None:
    stage = Stage(name="render", frames=600, seconds=2.0, cpu_seconds=7.0, core_wait_seconds=1.5)
    report = content.report.model_copy(update={"stages": [stage]})
    html = make_page(about(seconds={"render": 2.0}, report=report)).html
    assert "300 frames/s, 3.5 cores, 1.5 s for want of a core" in html


def test_a_result_is_not_described_with_another_plan_or_report(about: About) -> None:
    found = about()
    other = pipeline.plan_tiles(found.video, found.tracks, layout="stacked")
    with pytest.raises(ChangedPlanError, match=r"made from another tile plan \(side-by-side, .*now \(stacked, "):
        pipeline.review_page(about(plan=other))
    with pytest.raises(ChangedVideoError, match="its report is about another file: SHA-256 00"):
        pipeline.review_page(about(report=found.report.model_copy(update={"sha256": "00"})))
