"""Review pages and results in a browser: from the web page itself, and through nginx as from another machine."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
from playwright import sync_api as playwright

from dualface_assets.review_index.index import rebuild_index
from dualface_assets.review_index.records import write_page
from dualface_assets.store.video_store import VideoStore
from dualface_core.review.page import PageContent, make_page
from tests.browser import NO_CHROMIUM, browsing, wait_for
from tests.deploy import test_nginx
from tests.web_server import web_page

pytestmark = [NO_CHROMIUM, pytest.mark.xdist_group("nginx")]

HOSTILE = "</title><script>document.title = 'ours'</script>.mp4"
THEIRS = """<!doctype html><title>theirs</title><script>document.title = "ours"</script>
<body onload="document.title = 'ours'"><img src=x onerror="document.title = 'ours'">
<iframe src="javascript:parent.document.title = 'ours'"></iframe>"""


@dataclass(frozen=True)
class Reader:
    """Somebody with a browser.

    Attributes:
        browser: with the password, if one is needed.
        url: of the web page.
        store: what is served.
        key: of the video in it.
    """

    browser: Any
    url: str
    store: VideoStore
    key: str


@pytest.fixture(scope="module", params=["here", "behind nginx"])
def reader(
    request: pytest.FixtureRequest, content: PageContent, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Reader]:
    folder = tmp_path_factory.mktemp("reader")
    store = VideoStore(root=str(folder / "store"))
    put_into(store, replace(content, name=HOSTILE))
    with web_page(folder) as page:
        if request.param == "here":
            with browsing() as browser:
                yield Reader(browser, page.url, store, content.key)
        else:
            for mark in test_nginx.pytestmark[:1]:
                if mark.args[0]:
                    pytest.skip(mark.kwargs["reason"])
            password = {"username": "ann", "password": "open sesame"}
            site, browser = (
                test_nginx.proxied(page, folder),
                browsing(ignore_https_errors=True, http_credentials=password),
            )
            with site as proxy, browser as theirs:
                yield Reader(theirs, proxy.url, store, content.key)


def put_into(store: VideoStore, about: PageContent) -> None:
    """Have a video, its result and its page in a store."""
    source, result = store.video_folder(about.key) / "talk.mp4", store.result_path(about.key)
    for path, video in ((source, about.video), (result, about.result)):
        path.parent.mkdir(parents=True)
        shutil.copy(video.path, path)
    page = store.page_folder(about.key)
    links = {"source_link": store.link(source, seen_from=page), "result_link": store.link(result, seen_from=page)}
    about = replace(about, **links)
    write_page(make_page(about), about, page)
    rebuild_index(store)


def test_the_index_leads_to_a_page_on_which_both_videos_play_from_where_one_clicks(reader: Reader) -> None:
    tab = reader.browser.new_page()
    complaints: list[str] = []
    tab.on("console", lambda message: complaints.append(message.text) if message.type == "error" else None)
    tab.goto(f"{reader.url}/review/")
    wait_for(tab, "[...document.querySelectorAll('.picture img')].some(image => image.naturalWidth > 100)")
    with tab.expect_navigation():
        tab.get_by_role("link", name=HOSTILE).click()
    assert tab.title() == f"{HOSTILE} - review page"
    wait_for(tab, "[...document.querySelectorAll('video')].every(video => video.readyState >= 2 && !video.seeking)")
    still = tab.locator(".stills button").nth(5)
    still.click()
    time = float(still.get_attribute("data-time"))
    assert tab.evaluate("[...document.querySelectorAll('video')].map(video => video.currentTime)") == pytest.approx(
        [time] * 2
    )
    wait_for(tab, "[...document.querySelectorAll('video')].every(video => video.readyState >= 2 && !video.seeking)")
    tab.get_by_role("button", name="Play").click()
    wait_for(tab, f"[...document.querySelectorAll('video')].every(video => video.currentTime > {time} + 0.1)")
    assert complaints == []
    tab.close()


def test_a_result_that_is_opened_by_itself_plays(reader: Reader) -> None:
    tab = reader.browser.new_page()
    tab.goto(f"{reader.url}/encoded_video/{reader.key}/talk.split.mp4")
    wait_for(tab, "document.querySelector('video').readyState >= 2")
    tab.evaluate("document.querySelector('video').pause()")
    tab.evaluate("document.querySelector('video').currentTime = 1")
    wait_for(tab, "!document.querySelector('video').seeking")
    assert tab.evaluate("document.querySelector('video').currentTime") == 1
    tab.close()


def test_a_page_of_somebody_elses_in_the_store_runs_no_script(reader: Reader) -> None:
    theirs = reader.store.page_folder("theirs-0123456789") / "index.html"
    theirs.parent.mkdir()
    theirs.write_text(THEIRS)
    tab = reader.browser.new_page()
    tab.goto(f"{reader.url}/review/theirs-0123456789/index.html")
    tab.wait_for_load_state("networkidle")
    assert tab.title() == "theirs"
    tab.close()


def test_an_upload_that_is_a_page_is_not_shown(reader: Reader) -> None:
    (reader.store.video_folder(reader.key) / "page.html").write_text(THEIRS)
    tab = reader.browser.new_page()
    with tab.expect_download() as download, pytest.raises(playwright.Error, match="Download is starting"):
        tab.goto(f"{reader.url}/raw_video/{reader.key}/page.html")
    assert Path(download.value.path()).read_text() == THEIRS
    tab.close()


def test_another_page_that_is_open_in_the_browser_learns_nothing(reader: Reader, tmp_path: Path) -> None:
    result = f"{reader.url}/encoded_video/{reader.key}/talk.split.mp4"
    (tmp_path / "other.html").write_text(f"""<!doctype html><title>other</title><video src="{result}"></video>
        <iframe src="{reader.url}/review/"></iframe><a href="{result}">the result</a>""")
    tab = reader.browser.new_page()
    tab.goto((tmp_path / "other.html").as_uri())
    wait_for(tab, "document.querySelector('video').error !== null")
    assert ["All videos" in frame.content() for frame in tab.frames] == [False, False]
    with tab.expect_navigation(wait_until="commit"):
        tab.get_by_role("link").click()
    wait_for(tab, "document.querySelector('video').readyState >= 2")
    tab.close()
