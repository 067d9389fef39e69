"""What people see: Dagster's web page in a browser, on an instance as `make up` runs it.

With DUALFACE_SCREENSHOTS set to a folder the images of the documentation are written there (`make screenshots`).
"""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from playwright import sync_api as playwright

from deploy.local.servers import free_port
from dualface_assets.store.partitions import slug
from dualface_assets.store.video_store import VideoStore
from dualface_assets.uploads.claims import acknowledge
from dualface_assets.uploads.intake import add
from tests.browser import NO_CHROMIUM, browsing
from tests.end_to_end.running_instance import RunningInstance, unlike_any_other
from tests.own_instance import own_instance
from tests.web_server import REPOSITORY, program
from tests.webhook_receiver import Receiver, receiving

SCREENSHOTS = os.environ.get("DUALFACE_SCREENSHOTS")
pytestmark = [
    pytest.mark.daemon,
    pytest.mark.timeout(1800),
    NO_CHROMIUM,
]

SampleClip = Callable[..., Path]


@dataclass(frozen=True)
class Office:
    """Dagster as it runs in earnest, and somebody who looks at it.

    Attributes:
        running: the instance.
        store: its videos.
        page: the browser.
        receiver: the recipient of notifications.
    """

    running: RunningInstance
    store: VideoStore
    page: playwright.Page
    receiver: Receiver

    def key(self, name: str) -> str:
        """The key of an upload, once the sensor has taken it."""
        return self.running.wait_for(
            lambda: next((key for key in self.store.video_keys() if key.startswith(slug(name))), None), f"upload {name}"
        )

    def look_at(self, path: str) -> None:
        self.page.goto(path)
        self.page.wait_for_load_state("networkidle")

    def picture(self, name: str, *, tab: playwright.Page | None = None, **options: object) -> None:
        """Keep what is to be seen now for the documentation, if that was asked for."""
        if SCREENSHOTS:
            tab = tab or self.page
            tab.wait_for_timeout(1000)  # until everything has moved to its place
            path = Path(SCREENSHOTS) / f"{name}.jpg"
            tab.screenshot(path=path, type="jpeg", quality=80, animations="disabled", **options)


@pytest.fixture(scope="module")
def office(tmp_path_factory: pytest.TempPathFactory, sample_clip: SampleClip) -> Iterator[Office]:
    """An interview was uploaded; a browser is open."""
    folder = tmp_path_factory.mktemp("office")
    store = VideoStore(root=str(folder / "store"))
    store.inbox_folder.mkdir(parents=True)
    clip = sample_clip("leave", seconds=16, size=(1280, 720)) if SCREENSHOTS else sample_clip("talk", seconds=2)
    shutil.copy(clip, store.inbox_folder / "Interview.mp4")
    port, log = free_port(), folder / "serve.log"
    with receiving() as receiver, own_instance(folder / "home") as instance:
        environment = {
            **os.environ,
            "DAGSTER_HOME": instance.root_directory,
            "DAGSTER_WEBSERVER_PORT": str(port),
            "DUALFACE_STORE": store.root,
            "DUALFACE_RUNTIME": str(folder / "runtime"),
            "DUALFACE_ENCODER": "software",
            "DUALFACE_WEBHOOK_URL": receiver.url,
            "DUALFACE_WEB_URL": f"http://127.0.0.1:{port}",
            "PYTHONPATH": str(REPOSITORY),
        }
        command = [sys.executable, "-m", "dualface_assets.service.serve"]
        shown = {"base_url": f"http://127.0.0.1:{port}", "viewport": {"width": 1280, "height": 800}}
        with program(command, port, log, environment), browsing(**shown) as browser:
            yield Office(RunningInstance(instance, log), store, browser.new_page(), receiver)


@pytest.fixture(scope="module")
def interview(office: Office) -> str:
    """The key of a video that was processed."""
    key = office.key("Interview")
    (run,) = office.running.finished(key)
    assert run.is_success
    return key


@pytest.fixture(scope="module")
def notes(office: Office, interview: str) -> str:
    """The key of an upload that is no video, and comes when the interview is done."""
    (office.store.inbox_folder / "Meeting notes.mp4").write_text("Present: Ann and Bob.")
    key = office.key("Meeting notes")
    (run,) = office.running.finished(key)
    assert run.is_failure
    return key


def test_the_pipeline_is_shown_as_a_graph(office: Office, interview: str) -> None:
    office.page.set_viewport_size({"width": 1500, "height": 640})
    office.look_at("/locations/dualface/asset-groups/dualface/lineage")
    for asset in ("raw_video", "face_tracks", "composed_tiles", "encoded_video", "review_page"):
        office.page.locator("svg").get_by_text(asset, exact=True).first.wait_for()
    office.running.wait_for(lambda: not office.page.get_by_text("Loading").count(), "the graph to be filled in")
    office.picture("dagster-graph")
    office.page.set_viewport_size({"width": 1280, "height": 800})


@pytest.mark.parametrize(
    ("asset", "entry", "name"),
    [
        ("raw_video", "thumbnail", None),
        ("face_tracks", "where the faces are", "plot"),
        ("encoded_video", "thumbnail", "thumbnail"),
    ],
)
def test_a_materialized_asset_shows_its_pictures(
    office: Office, interview: str, asset: str, entry: str, name: str | None
) -> None:
    office.look_at(f"/assets/{asset}?partition={interview}&view=partitions")
    row = office.page.get_by_role("row").filter(has=office.page.get_by_text(entry, exact=True))
    row.get_by_text("[Show Markdown]").click()
    shown = office.page.get_by_role("dialog").locator("img")
    office.running.wait_for(lambda: shown.evaluate("image => image.naturalWidth > 100"), "the image")
    if name:
        office.picture(f"dagster-{name}")


def test_the_figures_of_a_result_are_listed(office: Office, interview: str) -> None:
    office.look_at(f"/assets/encoded_video?partition={interview}&view=partitions")
    office.page.get_by_text("interview.split.mp4").first.wait_for()
    office.page.get_by_text("libx264", exact=True).first.wait_for()
    office.picture("dagster-figures")


@pytest.mark.parametrize("asset", ["encoded_video", "review_page"])
def test_a_result_and_its_page_are_one_click_from_their_assets(office: Office, interview: str, asset: str) -> None:
    office.look_at(f"/assets/{asset}?partition={interview}&view=partitions")
    row = office.page.get_by_role("row").filter(has=office.page.get_by_text("open", exact=True))
    with office.page.expect_popup() as opened:
        row.get_by_role("link").first.click()
    tab = opened.value
    for video in tab.locator("video").all():
        office.running.wait_for(lambda video=video: video.evaluate("video => video.readyState >= 2"), "the video")
    if asset == "review_page":
        tab.wait_for_load_state()
        assert tab.title() == "Interview.mp4 - review page"
        tab.set_viewport_size({"width": 1100, "height": 1560})
        office.picture("review", tab=tab)
    tab.close()


def test_all_videos_are_in_the_index_and_the_failed_one_says_why(office: Office, interview: str, notes: str) -> None:
    office.look_at("/review/")
    office.running.wait_for(
        lambda: office.page.reload() and office.page.get_by_text("unreadable-video").is_visible(), "the failure's note"
    )
    assert office.page.get_by_role("link", name="Interview.mp4").is_visible()
    office.page.set_viewport_size({"width": 1280, "height": 560})
    office.picture("review-index")
    office.page.set_viewport_size({"width": 1280, "height": 800})


def test_a_failed_upload_says_why_and_what_to_do(office: Office, notes: str) -> None:
    office.look_at(f"/assets/raw_video?partition={notes}&view=partitions")
    office.page.get_by_text("failed, and did not materialize this asset").wait_for()
    office.page.get_by_text("View logs").click()
    office.page.get_by_text("View full message").first.click()
    told = office.page.get_by_role("dialog").filter(has_text="what to do").last  # over that of the log
    for text in ("meeting-notes.mp4: not a video but text", "unreadable-video", "Choose a video; of a playlist"):
        told.get_by_text(text).filter(visible=True).first.wait_for()
    around, below = told.bounding_box(), told.locator("table").first.bounding_box()
    assert around
    assert below
    height = below["y"] + below["height"] + 12 - around["y"]
    office.picture(
        "dagster-failure", clip={"x": around["x"], "y": around["y"], "width": around["width"], "height": height}
    )


def test_a_failed_upload_leaves_the_checks_green_and_its_partition_red(
    office: Office, interview: str, notes: str
) -> None:
    office.look_at("/assets/encoded_video?view=checks")
    office.page.get_by_text("Succeeded", exact=True).nth(6).wait_for()  # of seven checks
    office.look_at("/assets/encoded_video?view=partitions")
    for text in ("Failed (1)", "Materialized (1)", notes):
        office.page.get_by_text(text).first.wait_for()


def test_a_published_result_is_checked_again_from_the_launchpad(office: Office, interview: str) -> None:
    office.look_at("/locations/dualface/jobs/check_again/playground")
    partition = office.page.get_by_placeholder("Partition")
    partition.click()
    partition.press_sequentially(interview)
    partition.press("Enter")
    office.page.get_by_role("button", name="Launch Run").click()
    *_, again = office.running.finished(interview, runs=2)
    assert (again.job_name, again.is_success) == ("check_again", True)


def test_a_click_starts_a_materialization_and_it_is_seen_to_finish(
    office: Office, interview: str, sample_clip: SampleClip, tmp_path: Path
) -> None:
    second = tmp_path / "Second talk.mp4"
    second.write_bytes(unlike_any_other(sample_clip("talk", seconds=2)))
    upload = add(office.store, second)
    acknowledge(office.store, upload)  # in the store, but no run was asked for
    office.running.wait_for(
        lambda: upload.key in office.running.instance.get_dynamic_partitions("videos"), "the sensor to see the video"
    )
    page = office.page
    office.look_at(f"/assets/raw_video?partition={upload.key}&view=partitions")
    page.get_by_role("button", name="Materialize").first.click()
    dialog = page.get_by_role("dialog").filter(has_text="Launch runs to materialize raw_video")
    dialog.get_by_text("1 partition", exact=True).wait_for()
    office.picture("dagster-materialize")
    dialog.get_by_role("button", name="Launch 1 run").click()
    dialog.wait_for(state="hidden")
    (run,) = office.running.finished(upload.key)
    assert run.is_success
    assert "dagster/schedule_name" not in run.tags
    assert "dagster/sensor_name" not in run.tags
    office.look_at(f"/assets/raw_video?partition={upload.key}&view=partitions")
    page.get_by_text("second-talk.mp4").filter(visible=True).first.wait_for()  # the path of what was made


def test_a_webhook_is_told_of_both(office: Office, interview: str, notes: str) -> None:
    told = office.running.wait_for(
        lambda: len(office.receiver.requests) >= 2 and office.receiver.requests, "both messages"
    )
    messages = {message.document["data"]["key"]: message.document for message in told}
    assert messages[interview]["type"] == "video.finished"
    assert messages[interview]["data"]["name"] == "Interview.mp4"
    assert messages[interview]["data"]["result"]["path"] == str(office.store.result_path(interview))
    assert messages[notes]["type"] == "run.failed"
    assert messages[notes]["data"]["failure"]["class"] == "unreadable-video"
    office.look_at(messages[notes]["data"]["run"]["url"])
    office.page.get_by_text("RUN_FAILURE").first.wait_for()
