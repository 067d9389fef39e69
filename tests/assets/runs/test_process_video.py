"""The job on real videos. One video is processed for all tests here; they run in one worker."""

import base64
import faulthandler
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import cv2
import dagster as dg
import numpy as np
import pytest

from dualface_assets.assets.encoded_video import after_failure
from dualface_assets.assets.gpu import GpuResource
from dualface_assets.assets.metadata import IMAGE_BYTES
from dualface_assets.definitions import build_defs
from dualface_assets.housekeeping.recovery import remove_leftovers
from dualface_assets.review_index.failed_videos import note_failure
from dualface_assets.review_index.records import entries
from dualface_assets.runs.earlier_encodes import EarlierFailure, blamed_on_nvenc
from dualface_assets.runs.failures import BACK_OFF, WAITING
from dualface_assets.runs.timeouts import step_seconds
from dualface_assets.store.partitions import videos
from dualface_assets.store.video_store import VideoStore
from dualface_assets.uploads.intake import add
from dualface_core import pipeline
from dualface_core.advice.advisories import AdvisoryName
from dualface_core.encoding.failures import EncoderError, FailureClass
from dualface_core.gpu.monitor import LoadLog
from dualface_core.media.probe import VideoInfo
from dualface_core.rendering.choice import EncoderChoice
from dualface_core.rendering.report import EncodeReport
from dualface_core.settings import Settings
from dualface_core.tables.face_tracks import FaceTracks
from dualface_core.tables.scenes import summary
from dualface_core.tables.tile_plan import TilePlan
from dualface_core.verification.findings import CheckGroup
from dualface_core.verification.verify import _Checks
from tests.dagster_internals import (
    CachingStaleStatusResolver,
    LoadingContextForTest,
    get_and_update_asset_status_cache_value,
)
from tests.own_instance import own_instance

pytestmark = pytest.mark.xdist_group("process_video")

SampleClip = Callable[..., Path]
Processed = tuple[str, dg.ExecuteInProcessResult]


@dataclass(frozen=True)
class Pipeline:
    """A store, and an instance that knows what is in it."""

    store: VideoStore
    instance: dg.DagsterInstance

    def upload(self, path: Path) -> str:
        key = add(self.store, path).key
        self.instance.add_dynamic_partitions("videos", [key])
        return key

    def run(self, key: str, *assets: str, gpu: GpuResource | None = None, **config: Any) -> dg.ExecuteInProcessResult:
        overrides: dict[str, Any] = {"store": self.store, **({"gpu": gpu} if gpu else {})}
        job = build_defs(resource_overrides=overrides).resolve_job_def("process_video")
        return job.execute_in_process(
            run_config=config,
            instance=self.instance,
            partition_key=key,
            asset_selection=[dg.AssetKey(asset) for asset in assets] or None,
            raise_on_error=False,
        )

    def check_again(self, key: str) -> dg.ExecuteInProcessResult:
        job = build_defs(resource_overrides={"store": self.store}).resolve_job_def("check_again")
        return job.execute_in_process(instance=self.instance, partition_key=key, raise_on_error=False)

    def last_checks(self) -> dict[str, tuple[str | None, str]]:
        """What the page of each asset shows of its checks: the partition of the last one, and how it ended."""
        checks = build_defs().resolve_asset_graph().asset_check_keys
        found = self.instance.event_log_storage.get_latest_asset_check_execution_by_key(list(checks))
        return {check.name: (record.partition, record.status.value) for check, record in found.items()}

    def health(self, key: str) -> dict[str, str]:
        """The color of the partition in each asset, as pages have it: red if its last run failed, green if made."""
        colors = {}
        for asset in build_defs().resolve_asset_graph().get_all_asset_keys():
            status = get_and_update_asset_status_cache_value(self.instance, asset, videos)
            assert status is not None
            made = status.deserialize_materialized_partition_subsets(videos)
            failed = status.deserialize_failed_partition_subsets(videos)
            color = "red" if key in failed else "green" if key in made else "gray"
            colors[asset.to_user_string()] = color
        return colors

    def stale(self, key: str) -> dict[str, str]:
        """The assets of a video that Dagster takes for out of date, each with its reasons."""
        graph = build_defs(resource_overrides={"store": self.store}).resolve_asset_graph()
        resolver = CachingStaleStatusResolver(self.instance, graph, LoadingContextForTest(self.instance))
        found = {asset: resolver.get_stale_causes(asset, key) for asset in graph.get_all_asset_keys()}
        return {
            asset.to_user_string(): "; ".join(f"{cause.reason} ({cause.dependency_asset_key})" for cause in causes)
            for asset, causes in found.items()
            if causes
        }


@pytest.fixture(scope="module")
def processing(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pipeline]:
    folder = tmp_path_factory.mktemp("processing")
    with own_instance(folder) as instance:
        yield Pipeline(VideoStore(root=str(folder / "store")), instance)


@pytest.fixture(scope="module")
def processed(processing: Pipeline, sample_clip: SampleClip) -> Processed:
    """The key of a video, and the run that processed it."""
    key = processing.upload(sample_clip("talk", seconds=2))
    result = processing.run(key)
    assert result.success
    return key, result


@pytest.fixture
def elsewhere(processing: Pipeline, s3_store: VideoStore) -> Pipeline:
    """The same instance, with a remote store."""
    return Pipeline(s3_store, processing.instance)


def test_a_video_becomes_a_verified_result_in_a_remote_store_and_is_looked_at_while_it_is_encoded(
    elsewhere: Pipeline, sample_clip: SampleClip, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DUALFACE_CORES", "2")
    monkeypatch.delattr(_Checks, "_result_task")  # which looks at a result once it is there
    store = elsewhere.store
    key = elsewhere.upload(sample_clip("talk", seconds=5, fps=5))
    chosen = {"composed_tiles": {"layout": "stacked"}, "encoded_video": {"codec": "hevc", "preset": "ultrafast"}}
    result = elsewhere.run(key, ops={asset: {"config": config} for asset, config in chosen.items()})
    assert result.success
    assert [path.name for path in store.scratch_folder.iterdir()] == [result.run_id]
    assert store.files.address(store.result_path(key)) == metadata_of(result)["encoded_video"]["path"].value
    assert sorted(store.files.names(store.result_path(key).parent)) == [
        "talk-5s-640x360-5fps-0.split.load.parquet",
        "talk-5s-640x360-5fps-0.split.mp4",
        "talk-5s-640x360-5fps-0.split.report.json",
    ]
    assert store.has_result(key)
    with store.reading(store.result_path(key)) as output:
        info = pipeline.probe(output)
    assert (info.frame_count, info.codec, info.width) == (25, "hevc", 1080)
    scratch = store.scratch(result.run_id)
    fetched = {path.name for path in scratch.iterdir() if path.is_file()}  # each once for all steps
    promise = ".room"
    assert fetched == {promise, *(f"{key}-talk-5s-640x360-5fps-0{suffix}" for suffix in (".mp4", ".split.mp4"))}
    remove_leftovers(store, elsewhere.instance)
    page = store.files.read(store.page_folder(key) / "index.html").decode()
    assert f"../../raw_video/{key}/talk-5s-640x360-5fps-0.mp4" in page
    assert f"../../encoded_video/{key}/talk-5s-640x360-5fps-0.split.mp4" in page
    assert key in store.files.read(store.review_folder / "index.html").decode()
    assert not [path for path in store.folder.rglob("*") if path.suffix in {".mp4", ".parquet"}]


def metadata_of(result: dg.ExecuteInProcessResult) -> dict[str, dict[str, dg.MetadataValue]]:
    events = result.get_asset_materialization_events()
    return {e.materialization.asset_key.to_user_string(): dict(e.materialization.metadata) for e in events}


def reason(result: dg.ExecuteInProcessResult) -> str:
    (failure,) = result.filter_events(lambda event: event.is_step_failure)
    told = failure.step_failure_data.user_failure_data
    assert told is not None, failure.step_failure_data.error
    return str(told.description)


def will_retry(processing: Pipeline, result: dg.ExecuteInProcessResult) -> bool:
    run = processing.instance.get_run_by_id(result.run_id)
    assert run is not None
    return run.tags["dagster/will_retry"] == "true"


def test_a_video_becomes_a_verified_result(processing: Pipeline, processed: Processed) -> None:
    key, result = processed
    assert set(metadata_of(result)) == {"raw_video", "face_tracks", "composed_tiles", "encoded_video", "review_page"}
    output = processing.store.result_path(key)
    assert pipeline.probe(output).frame_count == pipeline.probe(processing.store.video_path(key)).frame_count
    report = EncodeReport.model_validate_json(pipeline.report_path(output).read_bytes())
    assert report.verification is not None
    assert report.verification.passed
    assert sorted(path.name for path in output.parent.iterdir()) == [
        "talk-2s-640x360-15fps-0.split.load.parquet",
        "talk-2s-640x360-15fps-0.split.mp4",
        "talk-2s-640x360-15fps-0.split.report.json",
    ]


def test_every_check_is_about_this_video(processed: Processed) -> None:
    key, result = processed
    evaluations = result.get_asset_check_evaluations()
    passed = {evaluation.check_name: evaluation.passed for evaluation in evaluations}
    assert set(passed) == {*CheckGroup, *AdvisoryName}
    assert [name for name in passed if not passed[name]] == ["upscaling"]  # the clip has 640x360 pixels
    for evaluation in evaluations:
        assert evaluation.partition == key
        assert evaluation.target_materialization_data is not None
        assert evaluation.target_materialization_data.run_id == result.run_id


def test_an_asset_that_fails_is_red_for_its_video_only_and_says_why(
    processing: Pipeline, processed: Processed, sample_clip: SampleClip
) -> None:
    store, key = processing.store, processing.upload(sample_clip("talk", seconds=1))
    read_by = {
        "raw_video": lambda: store.video_place(key),
        "face_tracks": lambda: store.video_place(key),
        "composed_tiles": lambda: store.table_path("face_tracks", key),
        "encoded_video": lambda: store.table_path("composed_tiles", key),
        "review_page": lambda: pipeline.report_path(store.result_path(key)),
    }
    colors = dict.fromkeys(read_by, "gray")
    for asset, path in read_by.items():
        content = path().read_bytes()
        path().write_bytes(b"spoiled")
        failed = processing.run(key, asset)
        assert processing.health(key) == colors | {asset: "red"}
        assert processing.health(processed[0]) == dict.fromkeys(read_by, "green")
        run = processing.instance.get_run_by_id(failed.run_id)
        assert run is not None
        note_failure(run, store, processing.instance)
        (noted,) = [entry.failure for entry in entries(store.review_folder) if entry.key == key]
        assert noted is not None
        assert (noted.run, noted.reason) == (failed.run_id, reason(failed))
        path().write_bytes(content)
        assert processing.run(key, asset).success
        colors[asset] = "green"
    assert processing.health(key) == colors


@pytest.mark.usefixtures("processed")
def test_a_bad_upload_leaves_the_checks_as_they_were(processing: Pipeline, tmp_path: Path) -> None:
    before = processing.last_checks()
    path = tmp_path / "letter.mp4"
    path.write_text("Dear Ann,")
    assert not processing.run(processing.upload(path)).success
    assert processing.last_checks() == before
    assert len(before) == len([*CheckGroup, *AdvisoryName])


def test_a_published_result_can_be_checked_again_without_being_made_again(
    processing: Pipeline, processed: Processed
) -> None:
    key = processed[0]
    output = processing.store.result_path(key)
    before = (output.read_bytes(), output.stat().st_mtime_ns)
    again = processing.check_again(key)
    assert again.success
    assert metadata_of(again) == {}
    found = {evaluation.check_name: evaluation for evaluation in again.get_asset_check_evaluations()}
    assert set(found) == {*CheckGroup, *AdvisoryName}
    assert [name for name in found if not found[name].passed] == ["upscaling"]
    made = found["frames"].target_materialization_data
    assert made is not None
    assert made.run_id != again.run_id
    assert (output.read_bytes(), output.stat().st_mtime_ns) == before


def test_a_run_may_ask_for_the_checks_themselves(processing: Pipeline, processed: Processed) -> None:
    job = build_defs(resource_overrides={"store": processing.store}).resolve_implicit_global_asset_job_def()
    checks = job.get_subset(asset_check_selection=set(job.asset_layer.asset_graph.asset_check_keys))
    result = checks.execute_in_process(instance=processing.instance, partition_key=processed[0])
    found = result.get_asset_check_evaluations()
    assert {evaluation.check_name for evaluation in found} == {*CheckGroup, *AdvisoryName}
    assert {evaluation.partition for evaluation in found} == {processed[0]}


def test_a_result_that_was_spoiled_on_the_disk_is_found_when_it_is_checked_again(
    processing: Pipeline, processed: Processed
) -> None:
    key = processed[0]
    output = processing.store.result_path(key)
    before = output.read_bytes()
    try:
        output.write_bytes(before[:-1] + bytes([before[-1] ^ 1]))
        spoiled = processing.check_again(key)
        assert "it is not the file that was verified" in reason(spoiled)
        assert not will_retry(processing, spoiled)
    finally:
        output.write_bytes(before)
    assert processing.check_again(key).success


def test_pictures_are_small_and_can_be_seen(processed: Processed) -> None:
    pictures = {
        (asset, name): str(value.value)
        for asset, metadata in metadata_of(processed[1]).items()
        for name, value in metadata.items()
        if isinstance(value, dg.MarkdownMetadataValue)
    }
    assert set(pictures) == {
        ("raw_video", "thumbnail"),
        ("face_tracks", "where the faces are"),
        ("composed_tiles", "contact sheet"),
        ("composed_tiles", "cameras"),
        ("encoded_video", "thumbnail"),
        ("encoded_video", "load"),
        ("review_page", "thumbnail"),
    }
    for markdown in pictures.values():
        match = re.fullmatch(r"!\[[a-z ]+\]\(data:image/(?:jpeg|png);base64,([A-Za-z0-9+/=]+)\)", markdown)
        assert match
        data = base64.b64decode(match[1])
        assert len(data) <= IMAGE_BYTES
        assert cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR) is not None


def test_figures_columns_and_lineage_are_shown(processing: Pipeline, processed: Processed) -> None:
    found = metadata_of(processed[1])
    assert found["raw_video"]["frames"].value == 30
    assert found["face_tracks"]["people"].value == 2
    tracks = FaceTracks.read(Path(str(found["face_tracks"]["path"].value)))
    assert found["face_tracks"]["dagster/partition_row_count"].value == tracks.table.num_rows
    schema = found["face_tracks"]["dagster/column_schema"]
    assert isinstance(schema, dg.TableSchemaMetadataValue)
    assert [column.name for column in schema.value.columns] == tracks.table.schema.names
    assert "dagster/column_lineage" in found["composed_tiles"]
    plan = TilePlan.read(Path(str(found["composed_tiles"]["path"].value)))
    shares = [found["composed_tiles"][f"A: {state} (%)"].value for state in ("tracking", "holding", "wide")]
    assert sum(float(str(share)) for share in shares) == pytest.approx(100)
    assert found["composed_tiles"]["scenes"].value == summary(plan.timed_scenes)
    listed = found["composed_tiles"]["first scenes"]
    assert isinstance(listed, dg.TableMetadataValue)
    assert [record.data["reason"] for record in listed.records] == [scene.reason for scene in plan.scenes]
    assert plan.frame_count == found["encoded_video"]["frames"].value
    assert found["encoded_video"]["path"].value == str(processing.store.result_path(processed[0]))
    load = LoadLog.read(Path(found["encoded_video"]["load samples"].value))
    assert found["encoded_video"]["load: job_memory_peak"].value == load.summary().job_memory_peak
    assert float(str(found["face_tracks"]["cores busy while looking for faces"].value)) > 0
    stages = processing.store.report(processed[0]).stages
    assert [(stage.name, stage.frames) for stage in stages] == [("render", 30), ("verify", 30)]
    for stage, during in zip(stages, ("while encoding", "while checking"), strict=True):
        shown = float(str(found["encoded_video"][f"cores busy {during}"].value))
        assert shown == pytest.approx(stage.cores, rel=1e-3)


def test_a_warning_says_what_was_found_and_what_to_do(processed: Processed) -> None:
    (found,) = [e for e in processed[1].get_asset_check_evaluations() if e.check_name == "upscaling"]
    assert found.asset_key == dg.AssetKey("composed_tiles")
    assert found.severity is dg.AssetCheckSeverity.WARN
    assert "the source has 640x360 pixels only" in str(found.description)
    assert found.metadata["most allowed"].value == 2.0
    assert float(str(found.metadata["A: largest enlargement"].value)) > 2
    assert found.metadata["what to do"].value == "Upload the video in a higher resolution, if there is one."


def test_a_result_has_a_page_that_links_both_videos(processing: Pipeline, processed: Processed) -> None:
    key, result = processed
    page = Path(str(metadata_of(result)["review_page"]["page"].value))
    assert page == processing.store.folder / "review" / key / "index.html"
    links = set(re.findall(r'<video src="([^"]+)"', page.read_text()))
    assert {(page.parent / unquote(link)).resolve() for link in links} == {
        processing.store.video_path(key).resolve(),
        processing.store.result_path(key).resolve(),
    }
    assert f'href="{key}/index.html"' in (page.parents[1] / "index.html").read_text()
    assert metadata_of(result)["review_page"]["to look at"].value == 1
    steps = re.findall(r"<tr><td>([A-Z][^<]+)(?:<br>.*)?</td><td><svg", page.read_text())
    assert len(steps) == 5  # none for a session was waited for


def test_what_was_made_from_another_plan_is_stale_and_has_no_page(processing: Pipeline, processed: Processed) -> None:
    key = processed[0]
    assert processing.stale(key) == {}
    planned = processing.run(key, "composed_tiles", ops={"composed_tiles": {"config": {"layout": "stacked"}}})
    assert planned.success
    stale = processing.stale(key)
    assert set(stale) == {"encoded_video", "review_page"}
    assert all("has a new dependency data version" in why and "composed_tiles" in why for why in stale.values())
    refused = processing.run(key, "review_page")
    assert "made from another tile plan (side-by-side, " in reason(refused)
    assert not will_retry(processing, refused)
    assert processing.run(key, "composed_tiles").success
    assert processing.stale(key) == {}  # the same plan as before


def test_the_report_says_what_the_result_was_made_from(processing: Pipeline, processed: Processed) -> None:
    key = processed[0]
    report = EncodeReport.model_validate_json(pipeline.report_path(processing.store.result_path(key)).read_bytes())
    plan = TilePlan.read(processing.store.table_path("composed_tiles", key))
    assert (report.source, report.layout) == ("talk-2s-640x360-15fps-0.mp4", "side-by-side")
    assert report.plan_sha256 == plan.sha256


def test_a_page_that_cannot_be_made_leaves_the_result_alone(processing: Pipeline, processed: Processed) -> None:
    key, folder = processed[0], processing.store.review_folder
    before = processing.store.result_path(key).read_bytes()
    folder.rename(folder.with_name("away"))
    try:
        folder.write_text("a file where a folder should be")
        result = processing.run(key, "review_page")
        assert not result.success
        assert "review_page" not in metadata_of(result)
        run = processing.instance.get_run_by_id(result.run_id)
        assert run is not None
        assert run.tags[BACK_OFF] == WAITING  # for what the machine refuses
        assert processing.store.result_path(key).read_bytes() == before
    finally:
        folder.unlink(missing_ok=True)
        folder.with_name("away").rename(folder)


@pytest.mark.parametrize("served", ["", "https://example.org/dualface/"])
def test_a_page_and_a_result_are_links_of_the_web_page_unless_they_are_served_elsewhere(
    processing: Pipeline, processed: Processed, served: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    key, result = processed
    if served:
        monkeypatch.setenv("DUALFACE_REVIEW_URL", served)
        result = processing.run(key, "review_page")
    else:
        slug = key.rpartition("-")[0]
        found = metadata_of(result)["encoded_video"]["open"]
        assert found == dg.MetadataValue.url(f"/encoded_video/{key}/{slug}.split.mp4")
    base = served.rstrip("/")
    assert metadata_of(result)["review_page"]["open"] == dg.MetadataValue.url(f"{base}/review/{key}/index.html")


def test_with_an_outbox_each_result_is_delivered_and_one_that_cannot_be_stays_in_the_store(
    processing: Pipeline, processed: Processed, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    key, outbox = processed[0], tmp_path / "outbox"
    monkeypatch.setenv("DUALFACE_OUTBOX", str(outbox))
    job = build_defs(resource_overrides={"store": processing.store}).resolve_job_def("process_video")
    assert dg.AssetKey("delivered_video") in job.asset_layer.executable_asset_keys
    missing = processing.run(key, "delivered_video")
    assert not missing.success
    run = processing.instance.get_run_by_id(missing.run_id)
    assert run is not None
    assert run.tags[BACK_OFF] == WAITING
    outbox.mkdir()
    result = processing.run(key, "delivered_video")
    path = Path(str(metadata_of(result)["delivered_video"]["path"].value))
    assert path.parent == outbox
    assert path.read_bytes() == processing.store.result_path(key).read_bytes()


def test_a_failed_video_is_in_the_index_with_its_reason(processing: Pipeline, tmp_path: Path) -> None:
    path = tmp_path / "<script>alert(1)<script>.mp4"
    path.write_text("no video")
    key = processing.upload(path)
    result = processing.run(key)
    run = processing.instance.get_run_by_id(result.run_id)
    assert run is not None
    note_failure(run, processing.store, processing.instance)
    index = (processing.store.review_folder / "index.html").read_text()
    assert "&lt;script&gt;alert(1)&lt;script&gt;.mp4" in index
    assert "<script>alert" not in index
    assert "unreadable-video" in index


def test_nothing_of_a_run_is_left_but_notes(processing: Pipeline, processed: Processed) -> None:
    scratch = processing.store.scratch(processed[1].run_id)
    assert not [path for path in scratch.iterdir() if path.is_file()]


@pytest.mark.parametrize(
    ("content", "sentence"),
    [(b"", "the file is empty"), (b"not a video at all\n" * 100, "not a video")],
    ids=["empty", "text"],
)
def test_a_file_that_is_no_video_fails_at_once_and_for_good(
    processing: Pipeline, tmp_path: Path, content: bytes, sentence: str
) -> None:
    path = tmp_path / "video.mp4"
    path.write_bytes(content)
    result = processing.run(processing.upload(path))
    assert not result.success
    assert sentence in reason(result)
    assert metadata_of(result) == {}


def test_an_upload_that_changed_in_the_store_is_refused(
    processing: Pipeline, tmp_path: Path, sample_clip: SampleClip
) -> None:
    clip = sample_clip("talk", seconds=2).read_bytes()
    path = tmp_path / "late.mp4"
    path.write_bytes(clip + b"first")
    key = processing.upload(path)
    processing.store.video_path(key).write_bytes(clip)
    result = processing.run(key, "raw_video")
    assert "its content has changed since it was uploaded" in reason(result)


def test_a_partition_that_somebody_has_typed_in_is_refused(processing: Pipeline) -> None:
    processing.instance.add_dynamic_partitions("videos", ["../../etc/passwd"])
    result = processing.run("../../etc/passwd")
    assert "is not the partition key of an upload" in reason(result)


class Nvenc(GpuResource):
    """A GPU on which NVENC works, as far as anybody can tell."""

    def choose(self, _: Settings) -> EncoderChoice:
        return EncoderChoice(nvenc=True, why=None, gpu="0", driver=None)


class NvencThatRefuses(Nvenc):
    """All sessions are taken by another program."""

    def render(self, *_: Any, **__: Any) -> EncodeReport:
        raise EncoderError(FailureClass.SESSION_LIMIT, encoder="h264_nvenc", reason="All sessions are in use.")


class NvencThatLies(Nvenc):
    """Claims success, and gives a tiny file."""

    def render(self, video: VideoInfo, plan: TilePlan, output: Path, *_: Any, **__: Any) -> EncodeReport:
        output.write_bytes(bytes(112))
        frames = plan.frame_count
        return EncodeReport(
            encoder_requested="auto", encoder_used="h264_nvenc", codec="h264", quality="cq 20", preset="p4",
            frames_in=video.frame_count, frames_out=frames, size_bytes=112, wall_seconds=1, frames_per_second=frames,
            versions={},
        )  # fmt: skip


def test_a_refused_session_fails_the_run_with_its_class(processing: Pipeline, processed: Processed) -> None:
    result = processing.run(processed[0], "encoded_video", gpu=NvencThatRefuses())
    assert "session-limit" in reason(result)
    assert will_retry(processing, result)
    run = processing.instance.get_run_by_id(result.run_id)
    assert run is not None
    assert run.tags["dualface/encoder"] == "nvenc"


@pytest.mark.parametrize(("asset", "steps"), [("encoded_video", 2), ("review_page", 1)])
def test_each_step_has_a_limit(
    processing: Pipeline, processed: Processed, monkeypatch: pytest.MonkeyPatch, asset: str, steps: int
) -> None:
    limits = []
    monkeypatch.setattr(faulthandler, "dump_traceback_later", lambda seconds, **_: limits.append(seconds))
    processing.run(processed[0], asset, gpu=NvencThatRefuses())
    limit = step_seconds(processing.store.video_info(processed[0]))
    assert len(limits) == steps
    assert all(limit < seconds < limit + 100 for seconds in limits)


def test_the_notes_of_a_run_hold_no_password(
    processing: Pipeline, processed: Processed, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DUALFACE_STORE", "sftp://ann:s3cret@host/x")
    result = processing.run(processed[0], "encoded_video", gpu=NvencThatRefuses())
    assert "session-limit" in reason(result)
    notes = [path.read_bytes() for path in processing.store.scratch(result.run_id).rglob("*") if path.is_file()]
    assert notes
    assert not [note for note in notes if b"s3cret" in note]


def test_an_encoder_that_lies_is_found_out_and_nothing_is_published(processing: Pipeline, processed: Processed) -> None:
    key = processed[0]
    output = processing.store.result_path(key)
    before = output.read_bytes()
    result = processing.run(key, "encoded_video", gpu=NvencThatLies())
    assert "the result is not right" in reason(result)
    assert "It was not published. If a second run fails as well, report it." in reason(result)
    assert metadata_of(result) == {}
    assert processing.last_checks()["file"] == (key, "FAILED")
    assert will_retry(processing, result)
    assert output.read_bytes() == before
    assert not [path for path in processing.store.scratch(result.run_id).iterdir() if path.is_file()]


@pytest.mark.parametrize(
    ("nvenc", "earlier_failure", "fallback", "expected"),
    [
        (True, None, True, True),
        (True, "session-limit", True, False),
        (True, "session-limit", False, True),
        (False, None, True, False),
        (False, "session-limit", True, False),
    ],
)
def test_software_follows_a_failure_of_nvenc_where_it_may(
    nvenc: bool, earlier_failure: str | None, fallback: bool, expected: bool
) -> None:
    why = None if nvenc else "There is no NVIDIA driver."
    earlier = EarlierFailure(earlier_failure) if earlier_failure else None
    choice = after_failure(EncoderChoice(nvenc, why, "0", None), earlier, fallback=fallback)
    assert choice.nvenc is expected
    if nvenc and not expected:
        assert choice.why == "NVENC failed at this video before (session-limit)."
    else:
        assert choice.why == why


@pytest.mark.parametrize(
    ("failure", "encoded", "expected"),
    [
        ("session-limit", False, "session-limit"),
        ("crashed", False, "crashed"),
        ("verification", True, "verification"),
        (None, False, "its process ended without a word"),
        (None, True, None),
        ("output", True, None),
        ("output", False, None),
        ("user-error", False, None),
        ("internal-error", False, None),
        ("bug", False, "an unexpected error"),
        ("bug", True, None),
        ("machine", False, None),
    ],
)
def test_nvenc_is_blamed_only_for_what_it_may_have_done(
    failure: str | None, encoded: bool, expected: str | None
) -> None:
    assert blamed_on_nvenc(failure, encoded=encoded) == expected


def test_a_run_that_would_fill_the_disk_is_not_begun_and_waits_for_room(
    processing: Pipeline, sample_clip: SampleClip, small_disk: Path
) -> None:
    full = Pipeline(VideoStore(root=str(small_disk)), processing.instance)
    key = full.upload(sample_clip("talk", seconds=2))
    for assets in ((), ("encoded_video",)):
        result = full.run(key, *assets)
        run = full.instance.get_run_by_id(result.run_id)
        assert run is not None
        assert run.tags[BACK_OFF] == WAITING
        if not assets:
            assert "waits for room: 0.3 GiB are needed, 0.0 GiB are free. Make room there." in reason(result)


def test_a_run_may_take_longer_where_the_video_is_longer(processing: Pipeline, processed: Processed) -> None:
    run = processing.instance.get_run_by_id(processed[1].run_id)
    assert run is not None
    duration = float(str(metadata_of(processed[1])["raw_video"]["duration (s)"].value))
    assert int(run.tags["dagster/max_runtime"]) == round(7200 + 30 * duration)
