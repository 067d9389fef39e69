"""The pages in a real browser: Debian's Chromium through Playwright. Skipped where one of them is missing."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from dualface_assets.review_index.index import rebuild_index
from dualface_assets.review_index.records import FailureRecord, write_page
from dualface_assets.store.video_store import VideoStore
from dualface_core.review.page import PageContent, make_page
from tests.browser import NO_CHROMIUM, browsing, wait_for

About = Callable[..., PageContent]

pytestmark = [NO_CHROMIUM, pytest.mark.xdist_group("browser")]

TIMES = "[...document.querySelectorAll('video')].map(video => video.currentTime)"
READY = "[...document.querySelectorAll('video')].every(video => video.readyState >= 2 && !video.seeking)"


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with browsing() as browser:
        yield browser


@pytest.fixture
def tab(browser: Any) -> Iterator[Any]:
    """A tab in which nothing may go wrong: no error of a script, nothing that the page's own policy forbids."""
    tab = browser.new_page()
    complaints: list[str] = []
    tab.on("console", lambda message: complaints.append(message.text) if message.type == "error" else None)
    tab.on("pageerror", lambda error: complaints.append(str(error)))
    yield tab
    assert complaints == []
    tab.close()


@pytest.fixture
def store(about: About, content: PageContent, tmp_path: Path) -> Path:
    """A folder with the two videos, a page and an index. Gives the index."""
    for video in (content.video.path, content.result.path):
        shutil.copy(video, tmp_path)
    folder = tmp_path / "review"
    described = about(name="<script>talk.mp4")
    write_page(make_page(described), described, folder / content.key)
    FailureRecord(
        key="bad-0123456789", name="bad.mp4", failed_at=datetime.now(UTC), failure="unreadable-video",
        reason="It is no video.", action="Export it again.", run="0", tried_again=False,
    ).write(folder / "bad-0123456789")  # fmt: skip
    return rebuild_index(VideoStore(root=str(tmp_path)))


@pytest.fixture
def page(store: Path, content: PageContent) -> str:
    """The address of the page."""
    return (store.parent / content.key / "index.html").as_uri()


def test_both_videos_play_and_stop_together(tab: Any, page: str) -> None:
    tab.goto(page)
    wait_for(tab, READY)
    tab.get_by_label("Speed").select_option("0.25")  # so that the end is far, however late the click on Pause
    tab.get_by_role("button", name="Play").click()
    wait_for(tab, f"{TIMES}.every(time => time > 0.3)")
    tab.get_by_role("button", name="Pause").click()
    wait_for(tab, READY)
    source, result = tab.evaluate(TIMES)
    assert abs(source - result) < 1 / 15
    assert tab.evaluate("[...document.querySelectorAll('video')].every(video => video.paused)")
    assert tab.evaluate("document.querySelector('[data-screen=Source] video').muted")


def test_both_videos_go_where_a_picture_a_chart_or_a_key_says(tab: Any, page: str) -> None:
    tab.goto(page)
    wait_for(tab, READY)
    stills = tab.locator(".stills button")
    stills.nth(5).click()
    time = float(stills.nth(5).get_attribute("data-time"))
    assert tab.evaluate(TIMES) == pytest.approx([time, time])
    chart = tab.locator("[data-chart]").first
    chart.click(position={"x": chart.bounding_box()["width"] / 2, "y": 10})
    assert tab.evaluate(TIMES) == pytest.approx([1, 1], abs=0.02)
    assert tab.locator("[data-playhead]").first.get_attribute("x1").startswith(("49.", "50"))
    tab.locator("h1").click()
    tab.keyboard.press(",")
    assert tab.evaluate(TIMES) == pytest.approx([1 - 1 / 15] * 2, abs=0.02)


@pytest.mark.parametrize("control", ["Play", "+1 frame", "Go to 0:01", "Audio", "Time"])
def test_after_a_click_on_any_control_the_keys_are_the_pages(tab: Any, page: str, control: str) -> None:
    tab.goto(page)
    wait_for(tab, READY)
    named = tab.get_by_label(control) if control in {"Audio", "Time"} else tab.get_by_role("button", name=control)
    named.first.click()
    paused = "document.querySelector('[data-screen=Result] video').paused"
    if control != "Play":
        tab.keyboard.press(" ")
    wait_for(tab, f"!{paused}")
    tab.keyboard.press(" ")
    wait_for(tab, paused)
    for key in ("ArrowLeft", "ArrowLeft", "ArrowRight", ","):
        wait_for(tab, READY)
        tab.keyboard.press(key)
    assert tab.evaluate(TIMES) == pytest.approx([1 - 1 / 15] * 2, abs=0.01)


def test_a_control_that_was_reached_by_keys_keeps_its_own(tab: Any, page: str) -> None:
    tab.goto(page)
    wait_for(tab, READY)
    tab.get_by_role("button", name="+1 frame").focus()
    tab.keyboard.press(" ")
    tab.keyboard.press(" ")
    assert tab.evaluate(TIMES) == pytest.approx([2 / 15] * 2, abs=0.01)
    tab.keyboard.press(".")
    assert tab.evaluate(TIMES) == pytest.approx([3 / 15] * 2, abs=0.01)
    tab.keyboard.press("Tab")  # to the slider, whose steps are a hundredth of a second
    tab.keyboard.press("ArrowRight")
    assert tab.evaluate(TIMES) == pytest.approx([3 / 15 + 0.01] * 2, abs=0.006)


def test_a_video_that_was_removed_is_said_to_be_gone_and_the_other_one_plays(
    browser: Any, page: str, store: Path
) -> None:
    (store.parents[1] / "source.mp4").unlink()
    tab = browser.new_page()  # that a file is missing is an error in the browser's own log
    tab.goto(page)
    tab.get_by_text("The source is not here any more").wait_for()
    assert not tab.get_by_text("The result is not here any more").is_visible()
    tab.get_by_role("button", name="Play").click()
    wait_for(tab, "document.querySelector('[data-screen=Result] video').currentTime > 0.2")
    tab.close()


def test_without_its_script_a_page_still_shows_everything(browser: Any, page: str) -> None:
    context = browser.browser.new_context(java_script_enabled=False)
    tab = context.new_page()
    tab.goto(page)
    assert tab.locator("video[controls]").count() == 2
    assert tab.locator(".stills img").first.is_visible()
    context.close()


def test_no_page_is_wider_than_a_telephone(tab: Any, page: str, store: Path) -> None:
    tab.set_viewport_size({"width": 360, "height": 800})
    for address in (page, store.as_uri()):
        tab.goto(address)
        assert tab.evaluate("document.documentElement.scrollWidth") <= 360


def test_the_index_is_sorted_and_searched(tab: Any, store: Path) -> None:
    tab.goto(store.as_uri())
    names = "[...document.querySelectorAll('tbody tr')].filter(row => !row.hidden).map(row => row.cells[1].innerText)"
    latest_first = tab.evaluate(names)
    assert latest_first[0].startswith("bad.mp4")
    tab.get_by_role("button", name="Name").click()
    assert tab.evaluate(names)[0].startswith("<script>talk.mp4")
    tab.get_by_role("button", name="Name").click()
    assert tab.evaluate(names)[0].startswith("bad.mp4")
    assert tab.locator("th[aria-sort]").all_inner_texts() == ["Name"]
    tab.get_by_label("State").select_option("Failed")
    assert len(tab.evaluate(names)) == 1
    tab.get_by_label("State").select_option("All states")
    tab.get_by_label("Find by name or reason").fill("TALK")
    assert [name.split("\n")[0] for name in tab.evaluate(names)] == ["<script>talk.mp4"]
    with tab.expect_navigation():
        tab.get_by_role("link", name="<script>talk.mp4").click()
    assert tab.title() == "<script>talk.mp4 - review page"
