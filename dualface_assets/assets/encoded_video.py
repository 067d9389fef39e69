"""encoded_video: the split-screen video, encoded, verified and published.

A graph of four steps, because a pool slot is held by a step:

    choose_encoder -> encode_on_gpu (pool nvenc)  -> publish
                   -> encode_in_software          ->

The fallback from NVENC to software is made by the next run, not by the same one: a driver that hangs or crashes may
take the process with it, and then only a new run can go on. `encode_on_gpu` leaves a tag on the run before it touches
NVENC, so that the run that follows knows what was tried even if nothing could be said at the end.
"""

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import dagster as dg

from dualface_assets.assets import checks
from dualface_assets.assets.code_versions import code_version
from dualface_assets.assets.config import EncoderConfig, encoder_config
from dualface_assets.assets.gpu import GpuResource
from dualface_assets.assets.metadata import Record, entries, image, link, stage_entries
from dualface_assets.assets.progress import logged
from dualface_assets.assets.worker_processes import SeenAhead
from dualface_assets.runs.earlier_encodes import (
    ENCODE_ON_GPU,
    ENCODER_TAG,
    NVENC,
    SESSION_WAIT_TAG,
    EarlierFailure,
    earlier_nvenc_failure,
)
from dualface_assets.runs.failures import as_failure
from dualface_assets.runs.timeouts import in_time, limit_runtime, step_seconds
from dualface_assets.store.partitions import videos
from dualface_assets.store.video_store import VideoStore
from dualface_core import pipeline
from dualface_core.encoding.failures import EncoderError
from dualface_core.engine.stages import StageClock
from dualface_core.engine.workers import Workers
from dualface_core.errors import MissingInputError
from dualface_core.rendering.choice import EncoderChoice
from dualface_core.settings import Settings
from dualface_core.system.kept_folders import removed_in_the_end
from dualface_core.tables.face_tracks import FaceTracks
from dualface_core.tables.tile_plan import TilePlan
from dualface_core.verification.findings import Verification

if TYPE_CHECKING:  # PyAV is loaded by the step that needs it
    from dualface_core.media.probe import VideoInfo
    from dualface_core.rendering.report import EncodeReport
    from dualface_core.verification.ahead import Ahead

_DURING: Final = {"render": "while encoding", "verify": "while checking"}
"""How the steps are called in metadata."""


@dataclass(frozen=True)
class Order:
    """What `choose_encoder` hands on: who encodes, and what was chosen for this run.

    It is kept in a file. So it does not hold the settings themselves: the address of a store may have a password in it.

    Attributes:
        choice: who encodes, and why.
        config: the run's.
        waited: seconds that the attempt with NVENC before this run waited for a session; 0 if there was none.
    """

    choice: EncoderChoice
    config: EncoderConfig
    waited: float = 0.0


def after_failure(choice: EncoderChoice, earlier: EarlierFailure | None, *, fallback: bool) -> EncoderChoice:
    """The choice in view of what happened before.

    Args:
        choice: what would be chosen if this were the first attempt.
        earlier: the attempt with NVENC that failed; None if there was none.
        fallback: whether software may replace NVENC.
    """
    if not (choice.nvenc and earlier and fallback):
        return choice
    return replace(choice, nvenc=False, why=f"NVENC failed at this video before ({earlier.cause}).", fallback=True)


@dg.op(
    # Only when the plan is there, so that the choice is as fresh as can be.
    ins={"raw_video": dg.In(dg.Nothing), "composed_tiles": dg.In(dg.Nothing)},
    out={"for_gpu": dg.Out(Order, is_required=False), "for_software": dg.Out(Order, is_required=False)},
)
def choose_encoder(
    context: dg.OpExecutionContext, config: EncoderConfig, store: VideoStore, gpu: GpuResource
) -> Iterator[dg.Output[Order]]:
    """Decide who encodes: NVENC where it works, software where it does not, or failed at this video before."""
    with as_failure(context), store.mounted(context.instance):
        settings = config.settings()
        store.require_room(store.upload(context.partition_key).size_bytes)
        video = store.video_info(context.partition_key)
        limit_runtime(context, video)
        with in_time(step_seconds(video)):
            earlier = earlier_nvenc_failure(context.run, context.instance)
            choice = after_failure(gpu.choose(settings), earlier, fallback=settings.software_fallback)
    context.log.info("Encoding %s. %s", "with NVENC" if choice.nvenc else "in software", choice.why or "")
    order = Order(choice, config, waited=earlier.waited if earlier else 0.0)
    yield dg.Output(order, output_name="for_gpu" if choice.nvenc else "for_software")


@dg.op(name=ENCODE_ON_GPU, pool=NVENC)
def encode_on_gpu(
    context: dg.OpExecutionContext,
    store: VideoStore,
    gpu: GpuResource,
    workers: dg.ResourceParam[Workers],
    seen_ahead: dg.ResourceParam[SeenAhead],
    order: Order,
    face_tracks: FaceTracks,
    composed_tiles: TilePlan,
) -> str:
    """Render the plan with NVENC, in one of the pool's slots. Gives the path in the run's scratch folder.

    What is encoded is looked at meanwhile, for `publish`.
    """

    def render(video: "VideoInfo", output: Path, **options: Any) -> "EncodeReport":
        waited = 0.0
        looking = pipeline.looking_ahead(video, face_tracks, composed_tiles, Settings.load(), workers)
        ahead = seen_ahead.begin(looking)
        kept, encoded = store.spans_folder(context.partition_key), ahead.add if ahead else None
        try:
            report = gpu.render(video, composed_tiles, output, order.choice, kept=kept, encoded=encoded, **options)
            waited = report.session_wait_seconds
        except EncoderError as error:
            waited = error.waited
            raise
        finally:
            context.instance.add_run_tags(context.run_id, {SESSION_WAIT_TAG: f"{waited:.3f}"})
        return report

    return _rendered(context, store, order, render, encoder=NVENC)


@dg.op
def encode_in_software(
    context: dg.OpExecutionContext,
    store: VideoStore,
    workers: dg.ResourceParam[Workers],
    seen_ahead: dg.ResourceParam[SeenAhead],
    order: Order,
    face_tracks: FaceTracks,
    composed_tiles: TilePlan,
) -> str:
    """Render the plan with the processor. Gives the path in the run's scratch folder.

    What is encoded is looked at meanwhile, for `publish`.
    """
    choice = order.choice

    def render(video: "VideoInfo", output: Path, **options: Any) -> "EncodeReport":
        kept = store.spans_folder(context.partition_key)
        looking = pipeline.looking_ahead(video, face_tracks, composed_tiles, Settings.load(), workers)
        ahead = seen_ahead.begin(looking)
        report = pipeline.render_with_software(
            video,
            composed_tiles,
            output,
            why=choice.why,
            kept=kept,
            encoded=ahead.add if ahead else None,
            workers=workers,
            **options,
        )
        known = {"driver": choice.driver, "fallback": choice.fallback, "session_wait_seconds": order.waited}
        return report.model_copy(update=known)

    return _rendered(context, store, order, render, encoder="software", workers=workers)


def _rendered(
    context: dg.OpExecutionContext,
    store: VideoStore,
    order: Order,
    render: "Callable[..., EncodeReport]",
    *,
    encoder: str,
    workers: Workers | None = None,
) -> str:
    """Render into the run's scratch folder. Beside it: how it was made, and the load of host and GPU meanwhile."""
    # In either case, since a repeated run has the tags of the run that it repeats.
    context.instance.add_run_tags(context.run_id, {ENCODER_TAG: encoder, SESSION_WAIT_TAG: "0"})
    with as_failure(context), store.mounted(context.instance):
        output = store.scratch(context.run_id) / store.result_path(context.partition_key).name
        video = store.video_info(context.partition_key)
        with pipeline.load_monitor() as monitor, in_time(step_seconds(video)) as watched:
            clock = StageClock("render", workers)
            report = render(
                video,
                output,
                settings=order.config.settings(),
                fingerprints=pipeline.fingerprints_path(output),
                progress=watched(logged(context, f"Encoding ({encoder})")),
            )
            stage = clock.stop(report.frames_out)
        load = monitor.log()
        load.write(pipeline.load_path(output))
        noted = {"load": load.summary(), "stages": [stage]}
        report.model_copy(update=noted).write(pipeline.report_path(output))
    return str(output)


@dg.op(out=dg.Out(dg.Nothing))
def publish(
    context: dg.OpExecutionContext,
    store: VideoStore,
    workers: dg.ResourceParam[Workers],
    seen_ahead: dg.ResourceParam[SeenAhead],
    rendered: list[str],
    face_tracks: FaceTracks,
    composed_tiles: TilePlan,
) -> Iterator[dg.Output[None]]:
    """Decode what was rendered from the first frame to the last, and publish it if it is right."""
    key = context.partition_key
    (candidate,) = map(Path, rendered)
    result = store.result_path(key)
    started = time.monotonic()
    with as_failure(context), store.mounted(context.instance), removed_in_the_end(store.spans_folder(key)):
        video = store.video_info(key)
        try:
            with in_time(step_seconds(video)) as watched:
                progress = watched(logged(context, "Verifying"))
                ahead = seen_ahead.found
                probed: list[VideoInfo] = []
                report, verification = _verified(
                    candidate, video, face_tracks, composed_tiles, ahead, probed.append, workers, progress
                )
            seconds = time.monotonic() - started
            if verification.passed:
                findings = checks.findings_table(verification.findings)
                report = report.model_copy(update={"source": store.upload(key).name})
                report, metadata = _put_in_place(probed[0], report, result, store, seconds=seconds)
        finally:
            seen_ahead.end()
            beside = (pipeline.report_path, pipeline.load_path, pipeline.fingerprints_path)
            for path in (candidate, *(path_of(candidate) for path_of in beside)):
                path.unlink(missing_ok=True)
    if not verification.passed:
        checks.record(context, checks.results(verification), published=False)
        with as_failure(context):
            pipeline.require_passed(verification, result)
    context.set_data_version(dg.AssetKey(checks.VERIFIED), dg.DataVersion(report.sha256))
    yield dg.Output(None, metadata={**metadata, "findings": findings})
    checks.record(context, checks.results_of(report))


def _verified(
    candidate: Path,
    video: "VideoInfo",
    tracks: FaceTracks,
    plan: TilePlan,
    ahead: "Ahead | None",
    probed: "Callable[[VideoInfo], None]",
    workers: Workers,
    progress: pipeline.Progress,
) -> tuple["EncodeReport", Verification]:
    """Verify what was rendered; its report then says what was found."""
    from dualface_core.rendering.report import EncodeReport

    if not candidate.exists():
        found = "what was rendered is gone: it is removed when a run ends"
        raise MissingInputError(candidate, found, action="Materialize encoded_video as a whole.")
    report = EncodeReport.model_validate_json(pipeline.report_path(candidate).read_bytes())
    report.check_plan(plan, candidate)
    clock = StageClock("verify", workers)
    verification = pipeline.verify(
        candidate,
        video=video,
        tracks=tracks,
        plan=plan,
        settings=Settings.load(),
        fingerprints=pipeline.fingerprints_path(candidate),
        ahead=ahead,
        probed=probed,
        workers=workers,
        progress=progress,
    )
    stage = clock.stop(plan.frame_count, ahead=ahead.cpu_seconds if ahead else 0.0)
    report = report.model_copy(update={"stages": [*report.stages, stage]})
    return pipeline.verified_report(report, verification, video, tracks, plan), verification


def _put_in_place(
    info: "VideoInfo", report: "EncodeReport", result: Path, store: VideoStore, *, seconds: float
) -> tuple["EncodeReport", dict[str, Any]]:
    """Publish what was verified, with report and load. Gives report and metadata; `seconds` is what checking took."""
    from dualface_core.gpu.monitor import LoadLog
    from dualface_core.review.plots import load_plot

    candidate = info.path
    load = LoadLog.read(pipeline.load_path(candidate))
    thumbnail = pipeline.thumbnail(info)
    report = report.model_copy(update={"sha256": info.fingerprint, "size_bytes": info.size_bytes})
    store.files.put(candidate, result)
    with store.writing(pipeline.report_path(result)) as local:
        report.write(local)
    with store.writing(pipeline.load_path(result)) as local:
        load.write(local)
    store.note_result(info)
    path, noted = store.files.address(result), store.files.address(pipeline.report_path(result))
    return report, entries(
        {
            "open": link(store, result),
            "thumbnail": image(thumbnail, "a frame of the result"),
            "path": dg.MetadataValue.path(path),
            "report": dg.MetadataValue.path(noted),
            "layout": report.layout,
            "encoder": report.encoder_used,
            "why not another encoder": report.why,
            "quality": report.quality,
            "preset": report.preset,
            "duration (s)": info.duration,
            "width": info.width,
            "height": info.height,
            "frames": report.frames_out,
            **{
                name: value
                for stage in report.stages
                for name, value in stage_entries(stage, _DURING[stage.name]).items()
            },
            "seconds of encoding": report.wall_seconds,
            "seconds of waiting for a session": report.session_wait_seconds,
            "seconds of checking": seconds,
            "size (bytes)": report.size_bytes,
            "bits per second": info.bit_rate,
            "load": image(load_plot(load), "the load of the host and of its graphics card while it was encoded"),
            "load samples": dg.MetadataValue.path(store.files.address(pipeline.load_path(result))),
            **{f"load: {name}": value for name, value in load.summary() if value is not None},
            **Record(
                seconds={"wait": report.session_wait_seconds, "render": report.wall_seconds, "verify": seconds},
                path=path,
                report=noted,
                encoder=report.encoder_used,
                stages=report.stages,
                fallback=report.fallback,
            ).entry(),
        }
    )


@dg.graph_asset(
    partitions_def=videos,
    ins={"raw_video": dg.AssetIn(dagster_type=dg.Nothing)},
    config=encoder_config,
    group_name="dualface",
    kinds={"video", "ffmpeg", "nvenc"},
    owners=["team:video"],
    code_version=code_version("encoded_video"),
)
def encoded_video(raw_video: Any, face_tracks: Any, composed_tiles: Any) -> Any:
    """The split-screen video with its original audio. It is here only if it was decoded again and found right.

    Encoded with NVENC where the machine has it, never in more than the pool's number of sessions at once, and in
    software where it has not, or where NVENC has failed in the attempt before.
    """
    on_gpu, in_software = choose_encoder(raw_video=raw_video, composed_tiles=composed_tiles)
    rendered = [
        encode_on_gpu(on_gpu, face_tracks, composed_tiles),
        encode_in_software(in_software, face_tracks, composed_tiles),
    ]
    return publish(rendered, face_tracks, composed_tiles)
