"""The five steps: probe, track, plan_tiles, render, verify. The command and the Dagster assets both call these.

Belongs here: what each step takes and gives, and nothing of how. Importing this module is cheap: ONNX
Runtime, OpenCV and PyAV are loaded by the step that needs them.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext, suppress
from dataclasses import dataclass, replace
from functools import cache, partial
from importlib import import_module
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING, Final
from urllib.parse import quote

from dualface_core.errors import (
    ChangedVideoError,
    DualfaceError,
    MissingInputError,
    NobodyFoundError,
    UnreadableVideoError,
    VerificationError,
)
from dualface_core.settings import Settings
from dualface_core.system.read_errors import read_error

if TYPE_CHECKING:
    from dualface_core.camera.parameters import CameraParameters
    from dualface_core.directing.parameters import Direction
    from dualface_core.encoding.settings import EncoderSettings, EncoderSpec
    from dualface_core.engine.backend import Backend
    from dualface_core.engine.card import CardAccess, CardProcesses
    from dualface_core.engine.stages import Stage
    from dualface_core.engine.workers import Workers
    from dualface_core.faces.portrait import Portrait
    from dualface_core.gpu.monitor import LoadMonitor
    from dualface_core.gpu.nvml import Gpu
    from dualface_core.gpu.profiles import Profile
    from dualface_core.media.joining import SpanPackets
    from dualface_core.media.probe import VideoInfo
    from dualface_core.media.span_files import SpanFile
    from dualface_core.rendering.choice import EncoderChoice
    from dualface_core.rendering.report import EncodeReport
    from dualface_core.review.page import Page, PageContent
    from dualface_core.system.child_processes import ChildProcess
    from dualface_core.tables.face_tracks import FaceTracks
    from dualface_core.tables.layouts import Layout
    from dualface_core.tables.tile_plan import TilePlan
    from dualface_core.tracking.parameters import TrackParameters
    from dualface_core.tracking.tracker import FaceTracker
    from dualface_core.verification.ahead import Ahead
    from dualface_core.verification.verify import Verification

Progress = Callable[[int, int], None]
"""Called with the frames done and the frames in all."""

StepProgress = Callable[[str, int, int], None]
"""Called with the name of the step, the frames done and the frames in all."""


_LATER: Final = (
    "scipy.optimize",
    "dualface_core.directing.rehearsal",
    "dualface_core.rendering.software",
    "dualface_core.verification.ahead",
    "scipy.cluster.hierarchy",
)
"""What a video's own process loads while it waits for the first spans that are looked at: a second and more."""

_ON_CARD: Final = (5, 4)
"""Processes that look at videos on a card, for all videos in work, and the spans that each looks at at once."""

_ROOM_ON_CARD: Final = 6_000_000_000
"""Bytes of a card's memory that all processes of a command take, where the settings say nothing of it."""

_WITH_SESSION: Final = 850 << 20
"""Bytes that a process takes which holds a session of NVENC, for the usual size of videos: a context, two decoders with
what they are ahead, and surfaces (H200, driver 580). What a real encoder takes besides is not known."""

_TO_LOOK: Final = 430 << 20
"""Bytes that a process which looks takes besides its decoders: a context, kernels and the maps of the detector (the
same)."""

_TO_RENDER: Final = 190 << 20
"""Bytes that it takes besides if it renders spans, too, for encoders that are not on the card (the same)."""

_DECODER: Final = (42 << 20) + 20 * 1920 * 1080 * 3 // 2
"""Bytes that each of their decoders takes, for the usual size of videos; see `backend.decoder_memory`."""

_WORTH_A_CARD: Final = 5000
"""Frames from which looking on a card pays, where the settings leave the choice: the processors of its host have looked
at fewer before the processes for the card are there (docs/gpu.md)."""

_LARGE_FOR_CARD: Final = 12_000_000
"""Bytes of a file from which the processes begin to set up the card before it is known how long it is: those of some
5,000 frames that can be looked at."""

_SPLIT: Final = 10.0
"""Seconds from which a video has enough spans that processes are made ready for them while it is looked at."""


@dataclass(frozen=True)
class Preview:
    """What the result will look like: a contact sheet (JPEG) and a plot of the cameras (PNG)."""

    contact_sheet: bytes
    camera_plot: bytes


@dataclass(frozen=True)
class Ready:
    """What encodes, and the process that will do so with NVENC; None for software."""

    choice: EncoderChoice
    process: ChildProcess | None


def worker_processes(settings: Settings) -> Workers:
    """Processes for the steps of all videos that this process works on: a context manager, made once.

    They share the cores of the host with all other processes whose settings name the same runtime folder. Those for a
    card begin when they are needed, or with `prepare_card`.
    """
    return _workers(settings, _card_processes(settings))


def workers_of_batch(settings: Settings, card: CardAccess | None) -> Workers:
    """The same for a process that works on one of several videos, which share the processes for a card."""
    return _workers(settings, card)


def _workers(settings: Settings, card: CardProcesses | CardAccess | None) -> Workers:
    from dualface_core.engine.cores import CoreBudget
    from dualface_core.engine.preload import OF_STEPS
    from dualface_core.engine.workers import Workers

    return Workers(CoreBudget(settings.runtime, cores=settings.cores), preload=OF_STEPS, card=card)


def _card_processes(settings: Settings) -> CardProcesses | None:
    """Processes for a card, as many as fit into its memory; None where there is no card, or it is not to be used."""
    from dualface_core.encoding.settings import BackendKind
    from dualface_core.engine.card import CardProcesses
    from dualface_core.gpu.nvml import find_gpus

    if settings.backend is BackendKind.CPU or not find_gpus().gpus:
        return None
    room = _ROOM_ON_CARD if settings.gpu_memory is None else settings.gpu_memory
    free = _room_on_card(settings)
    room = max(0, room if free is None else min(room, free))
    processes, threads, memory = _fitting(room, _sessions(settings, find_gpus().gpus))
    if not processes:
        return None
    return CardProcesses(
        processes=processes,
        threads=threads,
        memory=memory,
        set_up="dualface_core.tracking.observation:set_up_card",
        runtime=settings.runtime,
        cores=settings.cores,
    )


def _sessions(settings: Settings, gpus: Sequence[Gpu]) -> int:
    """Sessions of NVENC that may be open at once for the videos of this process, as far as is known before any is."""
    from dualface_core.encoding.settings import EncoderKind

    likely = settings.encoder is EncoderKind.NVENC or any(gpu.nvenc_engines != 0 for gpu in gpus)
    if settings.encoder is EncoderKind.SOFTWARE or not likely:
        return 0
    return min(settings.streams or 1, settings.nvenc_max_sessions)


def _fitting(room: int, sessions: int) -> tuple[int, int, int]:
    """Processes that fit into so many bytes of a card, tasks at once in each, and the bytes left for their frames.

    Besides sessions of NVENC, if there are to be some; if not, the processes may render.
    """
    room -= sessions * _WITH_SESSION
    most, threads = _ON_CARD
    each = _TO_LOOK + (0 if sessions else _TO_RENDER)
    processes = min(most, max(room // (each + threads * _DECODER), int(room >= each + _DECODER)))
    if not processes:
        return 0, 0, 0
    left = room // processes
    return processes, min(threads, (left - each) // _DECODER), left - _TO_LOOK


def prepare(workers: Workers, path: Path) -> None:
    """Have processes load what they will need for a file, before it is known what it is, if it is large."""
    from dualface_core.engine.preload import is_large

    if is_large(path):
        workers.prepare()


def prepare_card(workers: Workers, paths: Sequence[Path]) -> None:
    """Have processes set up the card, before it is known what the files are, if one of them is large."""
    if max(map(_size, paths), default=0) >= _LARGE_FOR_CARD:
        workers.prepare_card()


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:  # told by `probe`
        return 0


def probe(path: Path, *, settings: Settings | None = None) -> VideoInfo:
    """Find out what a file is.

    Args:
        path: the file.
        settings: what it may have at most, whether damage is gone past, and what becomes of fields; read from the
            environment if None.

    Raises MissingInputError, UnreadableVideoError, ProtectedVideoError, LimitError, NoVideoStreamError or
    UnsupportedVideoError.
    """
    from dualface_core.media.probe import probe as probe_file

    settings = settings or Settings.load()
    return probe_file(path, settings.limits, salvage=settings.salvage, split_fields=settings.split_fields)


@contextmanager
def _unchanged(video: VideoInfo) -> Iterator[None]:
    """Raise ChangedVideoError unless the source is the file that was probed, both now and when the block ends.

    Its content is not read again where `fingerprint` knows it.
    """
    _check_content(video)
    yield
    _check_content(video)


def _check_content(video: VideoInfo) -> None:
    """Raise ChangedVideoError unless the content of the source is that which was probed."""
    from dualface_core.media.probe import fingerprint

    try:
        found = fingerprint(video.path)
    except FileNotFoundError:
        raise MissingInputError(video.path, "it is not there any more", action="Put it back.") from None
    except OSError as error:
        raise read_error(video.path, error) from error
    if found != video.fingerprint:
        changed = f"its content has changed: SHA-256 {found[:12]}, {video.fingerprint[:12]} when it was probed"
        action = "Let nothing write to it, and begin again with this video."
        raise ChangedVideoError(video.path, changed, action=action)


def track(
    video: VideoInfo,
    parameters: TrackParameters | None = None,
    *,
    settings: Settings | None = None,
    workers: Workers | None = None,
    progress: Progress | None = None,
) -> FaceTracks:
    """Find out who is where in every frame.

    Args:
        video: the source.
        parameters: of the method; those that `settings` imply if None.
        settings: where the model files are, and a portrait of person A; read from the environment if None.
        workers: processes that look at the video's spans; None to do all in this process.
        progress: called with the frames done so far, often.

    Raises:
        NobodyFoundError: no face in the whole video.
        PortraitError: the portrait is not one of a face, or nobody in the video is like it.
        ModelError: a model file is missing or wrong.
        UnreadableVideoError: the source breaks off or is damaged; or it is salvaged, and no face is left.
        ChangedVideoError: it is not the file that was probed, or changes meanwhile. The same for every later step.
    """
    if workers is not None and video.duration >= _SPLIT:
        workers.prepare()

    from dualface_core.faces.weights import WeightFiles
    from dualface_core.media.audio_frames import damage_in_copies
    from dualface_core.media.opening import SEND_AGAIN
    from dualface_core.media.salvage import TRY_SALVAGE, listed
    from dualface_core.tracking.observation import ObservedVideo
    from dualface_core.tracking.parameters import TrackParameters

    settings = settings or Settings.load()
    suited = profile(settings)
    parameters = parameters or TrackParameters(detect_every=settings.detect_every)
    person_a = _portrait(settings)

    @cache
    def tracker() -> FaceTracker:
        from dualface_core.tracking.tracker import FaceTracker

        return FaceTracker(
            parameters,
            WeightFiles(settings.detector_weights, settings.embedder_weights),
            frame_size=(video.width, video.height),
            time_base=video.time_base,
            fingerprint=video.fingerprint,
            person_a=person_a,
            workers=workers,
        )

    @cache
    def damage() -> Future[list[str]]:
        # A video that is salvaged has been searched when it was probed.
        return beside.submit(list, () if video.salvage else damage_in_copies(video.path, video.audio))

    def told(done: int) -> None:
        tracker(), damage()  # in the moment that processes take before the first frames
        if progress is not None:
            progress(done, video.frame_count)

    observed = ObservedVideo(
        video,
        parameters,
        detector_weights=settings.detector_weights,
        threads=suited.decode_threads,
        workers=workers,
        on_card=_looks_on_card(video, settings, workers),
        progress=told,
    )
    with ThreadPoolExecutor(1, "audio") as beside:
        with _unchanged(video):
            for seen in observed:
                tracker().add(seen)
            wait([damage()])
        tracks = tracker().finish([*observed.notes, *damage().result()], observed.lost)
    if not tracks.people:
        if damaged := sorted(observed.lost + observed.concealed):
            found = f"no face was found, and it is damaged at {listed(damaged)}"
            raise UnreadableVideoError(video.path, found, action=SEND_AGAIN if video.salvage else TRY_SALVAGE)
        action = "Choose a video in which people can be seen from the front."
        raise NobodyFoundError(video.path, "no face was found in the whole video", action=action)
    return tracks


def _portrait(settings: Settings) -> Portrait | None:
    """Person A's, if there is one. Raises as `Portrait.read` does, and ModelError.

    Weights that were named are loaded in any case: where they are another network's, no work is done in vain.
    """
    if not any((settings.person_a, settings.detector_weights, settings.embedder_weights)):
        return None
    from dualface_core.faces.detector import FaceDetector
    from dualface_core.faces.embedder import FaceEmbedder
    from dualface_core.faces.portrait import Portrait

    detector, embedder = FaceDetector(settings.detector_weights), FaceEmbedder(settings.embedder_weights)
    return Portrait.read(settings.person_a, detector, embedder) if settings.person_a else None


def plan_tiles(
    video: VideoInfo,
    tracks: FaceTracks,
    *,
    layout: str | None = None,
    camera: CameraParameters | None = None,
    direction: Direction | None = None,
    settings: Settings | None = None,
) -> TilePlan:
    """Decide what is shown when, where each tile is then, and what it shows in every frame.

    Args:
        video: the source.
        tracks: who is where in it.
        layout: name of the layout; that of the settings if None.
        camera: how the cameras behave; the defaults if None.
        direction: how scenes are chosen; as the settings imply if None.
        settings: layout, scenes and transition; read from the environment if None.

    Raises:
        SettingsError: there is no such layout.
        TableFormatError: the tracks were made from another video.
    """
    from dualface_core.camera.parameters import CameraParameters
    from dualface_core.directing.parameters import Direction
    from dualface_core.directing.rehearsal import rehearsed
    from dualface_core.tables.layouts import layout as find_layout
    from dualface_core.tables.origins import check_tracks
    from dualface_core.tables.tile_plan import TilePlan

    settings = settings or Settings.load()
    check_tracks(tracks, video.path, video.fingerprint)
    canvas, camera = find_layout(layout or settings.layout), camera or CameraParameters()
    direction = direction or Direction(scenes=settings.scenes, transition=settings.transition)
    made = rehearsed(tracks, canvas, camera, direction)
    return TilePlan.of(
        tracks,
        canvas,
        scenes=made.scenes,
        tiles=made.tiles,
        crop_windows=made.filmed.crop_windows,
        states=made.filmed.states,
        camera=camera.model_dump(),
        direction=direction.model_dump(mode="json"),
    )


def render(
    video: VideoInfo,
    plan: TilePlan,
    output: Path,
    *,
    settings: Settings | None = None,
    fingerprints: Path | None = None,
    kept: Path | None = None,
    encoded: Callable[[SpanPackets | SpanFile], None] | None = None,
    ready: Ready | None = None,
    workers: Workers | None = None,
    progress: Progress | None = None,
) -> EncodeReport:
    """Render the plan into an MP4, which appears under its name only when it is complete. It is not verified yet.

    NVENC is used where it works and the settings allow it; where it fails, software does the work instead, if the
    settings allow that, and the report says why.

    Args:
        video: the source.
        plan: what each tile shows.
        output: the MP4 to make; its folder must exist.
        settings: encoder, quality, sessions; read from the environment if None.
        fingerprints: where every composed frame leaves its fingerprint for `verify`; None for nowhere.
        kept: a folder, made if need be, in which finished spans outlive a process that is killed, for the next one that
            renders the same. The caller removes it (`removed_in_the_end`) when the result is in its place. None for a
            hidden one beside the output (`kept_folder`), which is gone when this returns.
        encoded: called, with `kept`, with each span that is encoded, in any order and thread.
        ready: what encodes, chosen with the same settings (`encoder_ready`); None to choose now.
        workers: processes that render the video's spans in software; None to do all in this process.
        progress: called after every frame.

    Raises:
        EncoderError: the encoder cannot be opened or fails, and nothing else may take its place.
        OutputError: the result cannot be written.
        TableFormatError: the plan was made from another video, or is not whole.
        UnreadableVideoError: the source breaks off.
    """
    from dualface_core.encoding.failures import EncoderError
    from dualface_core.rendering.choice import choose_encoder, mark_unusable, may_fall_back

    settings = settings or Settings.load()
    choice = ready.choice if ready else choose_encoder(settings)
    why, fallback, waited = choice.why, choice.fallback, 0.0
    if choice.nvenc:
        try:
            return render_with_nvenc(
                video,
                plan,
                output,
                choice,
                settings=settings,
                fingerprints=fingerprints,
                kept=kept,
                encoded=encoded,
                process=ready.process if ready else None,
                progress=progress,
            )
        except EncoderError as error:
            mark_unusable(error, choice.gpu, settings)
            if not may_fall_back(error, settings):
                raise
            why, fallback, waited = str(error), True, error.waited
    report = render_with_software(
        video,
        plan,
        output,
        why=why,
        settings=settings,
        fingerprints=fingerprints,
        kept=kept,
        encoded=encoded,
        workers=workers,
        progress=progress,
    )
    found = {"driver": choice.driver, "fallback": fallback, "session_wait_seconds": waited}
    return report.model_copy(update=found)


@contextmanager
def encoder_ready(settings: Settings) -> Iterator[Ready]:
    """Choose what encodes. Where that is NVENC, its process has begun to load, and is gone when the block ends.

    Raises as `choose_encoder` does.
    """
    from dualface_core.rendering.choice import choose_encoder
    from dualface_core.rendering.isolated import nvenc_process

    choice = choose_encoder(settings)
    with nvenc_process(choice.gpu) if choice.nvenc else nullcontext() as process:
        yield Ready(choice, process)


def render_with_nvenc(
    video: VideoInfo,
    plan: TilePlan,
    output: Path,
    choice: EncoderChoice,
    *,
    settings: Settings,
    fingerprints: Path | None = None,
    kept: Path | None = None,
    encoded: Callable[[SpanFile], None] | None = None,
    process: ChildProcess | None = None,
    progress: Progress | None = None,
) -> EncodeReport:
    """Like `render`, with NVENC and nothing else: in a process of its own that holds one of the GPU's sessions.

    `process` is that one, where it is there already (`encoder_ready`).

    Raises SessionTimeoutError if none becomes free in time, EncoderError if NVENC fails, hangs or crashes.
    """
    import tempfile

    from dualface_core.compositing.on_card import FRAMES_AHEAD
    from dualface_core.engine.backend import choose_backend, with_two_decoders
    from dualface_core.rendering.isolated import render_isolated
    from dualface_core.rendering.messages import Job
    from dualface_core.system.atomic_files import atomic_write
    from dualface_core.tables.origins import check_plan

    encoder = settings.encoder_settings(preset=choice.preset)
    suited = profile(settings)
    room = _room_on_card(settings, choice.gpu)
    backend = choose_backend(settings.backend, video, plan.layout, room=room)
    backend = with_two_decoders(backend, video, ahead=FRAMES_AHEAD, room=room)
    check_plan(plan, video.path, video.fingerprint)
    with (
        atomic_write(output) as temporary,
        tempfile.TemporaryDirectory(prefix="dualface-") as folder,
        nullcontext() if kept is None or encoded is None else _for_spans(kept) as for_spans,
        _unchanged(video),
    ):
        table = Path(folder) / "plan.parquet"
        plan.write(table)
        job = Job(
            video=video,
            plan=table,
            output=temporary,
            encoder=encoder,
            fingerprints=fingerprints,
            spans=for_spans,
            on_card=backend.on_card,
            turns=list(backend.turns),
            decode_threads=suited.decode_threads,
            compose_threads=suited.compose_threads,
            runtime=settings.runtime,
            gpu=choice.gpu,
            max_sessions=settings.nvenc_max_sessions,
            session_timeout=settings.session_timeout,
        )
        done = render_isolated(
            job,
            stall_timeout=settings.stall_timeout,
            process=process,
            encoded=encoded or (lambda _: None),
            progress=_of(progress, plan.frame_count),
        )
        size = temporary.stat().st_size
    if done.not_in_turn:
        backend = backend.with_one_decoder(done.not_in_turn)
    if done.not_on_card:
        backend = backend.without_card(done.not_on_card)
    return _report(
        video,
        plan,
        encoder,
        job.spec(),
        backend=str(backend),
        frames=done.frames,
        size=size,
        seconds=done.seconds,
        session_wait_seconds=done.waited,
        driver=choice.driver,
    )


@contextmanager
def _for_spans(kept: Path) -> Iterator[Path | None]:
    """The kept folder, for copies of what NVENC encodes; None where it is another process's, or not ours alone.

    What a killed job has left there stays where NVENC fails: the software that takes its place may go on with it.
    """
    from dualface_core.encoding.failures import EncoderError
    from dualface_core.system.kept_folders import taken_over
    from dualface_core.system.private_folders import PrivateFolderError

    failed: EncoderError | None = None
    with ExitStack() as stack:
        ours = False
        with suppress(PrivateFolderError, OSError):
            ours = stack.enter_context(taken_over(kept))
        try:
            yield kept if ours else None
        except EncoderError as error:
            failed = error
    if failed is not None:
        raise failed


def render_with_software(
    video: VideoInfo,
    plan: TilePlan,
    output: Path,
    *,
    why: str | None = None,
    settings: Settings,
    fingerprints: Path | None = None,
    kept: Path | None = None,
    encoded: Callable[[SpanPackets], None] | None = None,
    workers: Workers | None = None,
    progress: Progress | None = None,
) -> EncodeReport:
    """Like `render`, in software. `why` says in the report why it isn't NVENC."""
    from dualface_core.encoding.settings import EncoderKind, software_encoder, software_equivalent
    from dualface_core.rendering.software import render_in_software
    from dualface_core.system.atomic_files import atomic_write
    from dualface_core.system.kept_folders import kept_folder, removed_in_the_end
    from dualface_core.tables.origins import check_plan

    encoder = settings.encoder_settings()
    spec = software_encoder(encoder if encoder.encoder is EncoderKind.SOFTWARE else software_equivalent(encoder))
    start = perf_counter()
    check_plan(plan, video.path, video.fingerprint)
    own = kept_folder(output)
    with (
        removed_in_the_end(own) if kept is None else nullcontext(),
        atomic_write(output) as temporary,
        _unchanged(video),
    ):
        backend = render_in_software(
            video,
            plan,
            temporary,
            spec,
            backend=_composed_by(video, plan.layout, settings, workers),
            suited=profile(settings),
            kept=kept or own,
            workers=workers,
            fingerprints=fingerprints,
            encoded=encoded,
            progress=_of(progress, plan.frame_count),
        )
        seconds = perf_counter() - start
        size = temporary.stat().st_size
    return _report(
        video, plan, encoder, spec, frames=plan.frame_count, size=size, seconds=seconds, why=why, backend=backend
    )


def _composed_by(video: VideoInfo, layout: Layout, settings: Settings, workers: Workers | None) -> Backend:
    """What decodes and composes a video for a software encoder: in spans where there are workers."""
    from dualface_core.encoding.settings import BackendKind
    from dualface_core.engine.backend import Backend, choose_backend, composing_memory

    if workers is None:
        return choose_backend(settings.backend, video, layout, room=_room_on_card(settings))
    if settings.backend is BackendKind.CPU:
        return choose_backend(settings.backend, video, layout)
    if not _worth_a_card(video, settings):
        return Backend(on_card=False, why="Spans of so short a video are rendered as fast without a card.")
    chosen, card = choose_backend(BackendKind.CUDA, video, layout), workers.card
    if chosen.on_card and (card is None or composing_memory(video, layout) > card.memory):
        return Backend(on_card=False, why="Processes for the card may not take as much of its memory as it would need.")
    if chosen.on_card and card and settings.backend is BackendKind.AUTO and workers.most > card.at_once:
        return Backend(on_card=False, why=f"{workers.most} cores render more spans at once than the card's processes.")
    return chosen


def _looks_on_card(video: VideoInfo, settings: Settings, workers: Workers | None) -> bool:
    """Whether processes for a card look at a video."""
    from dualface_core.encoding.settings import BackendKind
    from dualface_core.engine.backend import choose_backend, decoder_memory

    card = workers.card if workers else None
    if card is None or settings.backend is BackendKind.CPU or not _worth_a_card(video, settings):
        return False
    return decoder_memory(video) <= card.memory and choose_backend(BackendKind.CUDA, video).on_card


def _worth_a_card(video: VideoInfo, settings: Settings) -> bool:
    """Whether it pays to have processes set up a card for a video, or they are asked for."""
    from dualface_core.encoding.settings import BackendKind

    return settings.backend is BackendKind.CUDA or video.frame_count >= _WORTH_A_CARD


def _room_on_card(settings: Settings, name: str | None = None) -> int | None:
    """Bytes that rendering may take of a card of this name, or of the first; None where that is not known."""
    from dualface_core.gpu.nvml import find_gpus, free_memory, gpu_name

    gpu = next((gpu for gpu in find_gpus().gpus if name in {None, gpu_name(gpu)}), None)
    free = free_memory(gpu)
    return settings.gpu_memory if settings.gpu_memory is not None or free is None else free * 3 // 4


def profile(settings: Settings) -> Profile:
    """What suits this machine, by its first GPU, with the settings' word over it."""
    from dualface_core.gpu.nvml import find_gpus
    from dualface_core.gpu.profiles import profile_in_force

    return profile_in_force(settings, next(iter(find_gpus().gpus), None))


def _of(progress: Progress | None, total: int) -> Callable[[int], None] | None:
    return None if progress is None else lambda done: progress(done, total)


def _report(
    video: VideoInfo,
    plan: TilePlan,
    settings: EncoderSettings,
    spec: EncoderSpec,
    *,
    frames: int,
    size: int,
    seconds: float,
    why: str | None = None,
    backend: str = "",
    session_wait_seconds: float = 0.0,
    driver: str | None = None,
) -> EncodeReport:
    from dualface_core.rendering.report import EncodeReport, versions

    return EncodeReport(
        source=video.path.name,
        layout=plan.layout.name,
        scenes=plan.timed_scenes,
        plan_sha256=plan.sha256,
        encoder_requested=settings.encoder,
        encoder_used=spec.name,
        why=why,
        backend=backend,
        codec=settings.codec,
        quality=spec.quality,
        preset=spec.preset,
        frames_in=video.frame_count,
        frames_out=frames,
        duration=video.duration,
        size_bytes=size,
        wall_seconds=seconds,
        frames_per_second=frames / seconds,
        session_wait_seconds=session_wait_seconds,
        driver=driver,
        versions=versions(),
    )


def looking_ahead(
    video: VideoInfo, tracks: FaceTracks, plan: TilePlan, settings: Settings, workers: Workers | None
) -> AbstractContextManager[Ahead | None]:
    """Look at a result while it is rendered, where there are several cores: on a card, if one is to verify it.

    A context manager around `render`, whose `encoded` is the `add` of what it gives, and `verify`, which is given that.
    """
    from dualface_core.engine.backend import decoder_memory
    from dualface_core.verification.ahead import looking_ahead as look

    if workers is None or workers.most == 1:
        return nullcontext()
    width, height = plan.layout.width, plan.layout.height
    likely = replace(
        video,
        codec=settings.codec,
        pixel_format="yuv420p",
        width=width,
        height=height,
        coded_width=width,
        coded_height=height,
    )
    on_card = _looks_on_card(video, settings, workers) and _looks_on_card(likely, settings, workers)
    return look(video, tracks, plan, settings, workers, memory=decoder_memory(likely) if on_card else None)


def verify(
    output: Path,
    *,
    video: VideoInfo,
    tracks: FaceTracks,
    plan: TilePlan,
    settings: Settings | None = None,
    fingerprints: Path | None = None,
    ahead: Ahead | None = None,
    probed: Callable[[VideoInfo], None] = lambda _: None,
    workers: Workers | None = None,
    progress: Progress | None = None,
) -> Verification:
    """Decode a result from the first frame to the last and say whether it is right.

    A wrong result is a finding, never an exception. Without the fingerprints that `render` left, the plan is composed
    anew, which takes longer.

    Args:
        output: the result.
        video: the source.
        tracks: who is where in it.
        plan: what each tile shows.
        settings: where the model files are; read from the environment if None.
        fingerprints: those that the composed frames left; None to compose the plan anew.
        ahead: what was seen of it while it was rendered (`looking_ahead`); None to look at all of it now.
        probed: called with what the result is, where it can be read at all: before it is decoded.
        workers: processes that decode the spans of result and source; None to do all in this process.
        progress: called every few frames.

    Raises:
        ModelError: a model file is missing or wrong.
        TableFormatError: video, tracks and plan do not belong together.
        UnreadableVideoError: the source cannot be read.
    """
    from dualface_core.tables.origins import check_plan
    from dualface_core.verification.verify import verify_output

    settings = settings or Settings.load()
    check_plan(plan, video.path, video.fingerprint, tracks)
    with _unchanged(video):
        return verify_output(
            output,
            video=video,
            tracks=tracks,
            plan=plan,
            settings=settings,
            fingerprints=fingerprints,
            ahead=ahead,
            probed=probed,
            workers=workers,
            suits_card=partial(_looks_on_card, settings=settings, workers=workers),
            progress=progress,
        )


def verified_report(
    report: EncodeReport, verification: Verification, video: VideoInfo, tracks: FaceTracks, plan: TilePlan
) -> EncodeReport:
    """The report with what was found in the result, and what a person should know although it is right."""
    from dualface_core.advice.advisories import encoder_advisory, source_advisory, table_advisories

    found = [
        source_advisory([*video.notes, *tracks.metadata.notes]),
        *table_advisories(tracks, plan),
        encoder_advisory(used=report.encoder_used, why=report.why, fallback=report.fallback),
    ]
    made = {"verification": verification, "advisories": found, "lost": tracks.metadata.lost}
    return report.model_copy(update=made)


def require_passed(verification: Verification, output: Path) -> None:
    """Raise VerificationError, naming what is wrong, for a result that must not be published as `output`."""
    if not verification.passed:
        action = "It was not published. If a second run fails as well, report it."
        raise VerificationError(output, f"the result is not right: {_found(verification)}", action=action)


def _found(verification: Verification) -> str:
    return "; ".join(finding.message.rstrip(".") for finding in verification.failures)


def preview(video: VideoInfo, tracks: FaceTracks, plan: TilePlan) -> Preview:
    """Frames of what the result will show, made from a few source frames, and the cameras over time."""
    from dualface_core.media.reader import frames_at
    from dualface_core.review.plots import camera_plot
    from dualface_core.review.preview import contact_sheet, preview_frames

    indexes = preview_frames(plan)
    frames = frames_at(video, indexes, tracks.pts[indexes].tolist())
    return Preview(contact_sheet(frames, plan), camera_plot(tracks, plan))


def thumbnail(video: VideoInfo) -> bytes:
    """A small JPEG of the frame a tenth of the way into the video."""
    from dualface_core.media.reader import VideoReader
    from dualface_core.review.preview import thumbnail as draw

    target = video.first_pts + (video.last_pts - video.first_pts) // 10
    with VideoReader(video) as reader:
        return draw(next(reader.at([0], [target])), None)


def process(
    path: Path,
    output: Path,
    *,
    settings: Settings | None = None,
    keep_load: bool = False,
    review: bool = False,
    workers: Workers | None = None,
    progress: StepProgress | None = None,
) -> EncodeReport:
    """All five steps: a video in, a verified split-screen video and its report (`report_path`) out.

    Where verification refuses what NVENC made, software encodes it again, if the settings allow that.

    Args:
        path: the source.
        output: the MP4 to make; its folder must exist. It appears, or replaces an older one, only when it has been
            verified.
        settings: read from the environment if None.
        keep_load: whether to write the samples of the load too, as NAME.load.parquet and NAME.load.png.
        review: whether to make the page on which a person accepts the result, too (`review_path`).
        workers: processes that do the steps' spans (`worker_processes`); None to do all in this process.
        progress: called with the step, the frames done and the frames in all; it may raise to stop the work.

    Raises:
        VerificationError: the result is not right; it was not published.
        Every error of the five steps.
    """
    from dualface_core.system.atomic_files import atomic_write
    from dualface_core.system.kept_folders import kept_folder, removed_in_the_end
    from dualface_core.tables.layouts import layout as find_layout

    start, settings = perf_counter(), settings or Settings.load()
    if workers is not None:
        prepare(workers, path)
    # What cannot work is refused before the work, not after it.
    find_layout(settings.layout)
    settings.encoder_settings()
    video = probe(path, settings=settings)
    probed = perf_counter() - start
    kept = kept_folder(output)
    with removed_in_the_end(kept), atomic_write(output) as temporary, load_monitor() as monitor:
        temporary.touch()  # a place that cannot be written to is noticed now, too
        made = _make(video, temporary, settings, kept, workers, progress)
        require_passed(made.verification, output)
    load = monitor.log()
    report = made.report.model_copy(update={"load": load.summary()})
    report.write(report_path(output))
    if keep_load:
        from dualface_core.review.plots import load_plot

        load.write(load_path(output))
        with atomic_write(output.with_suffix(".load.png")) as temporary:
            temporary.write_bytes(load_plot(load))
    if review:
        _write_review(output, settings, video, replace(made, report=report), probed)
    return report


@dataclass(frozen=True)
class _Made:
    """What the steps after `probe` made of a video."""

    tracks: FaceTracks
    plan: TilePlan
    report: EncodeReport
    verification: Verification


@cache
def load_for_later() -> threading.Thread:
    """Begin to load what the steps after the first one need, once in a process; to be joined before they do so.

    To be called when the first step has begun to wait for its workers, which is when it tells of progress.
    """

    def load() -> None:
        import numpy as np
        import pyarrow as pa

        for module in _LATER:
            import_module(module)
        pa.array(np.zeros(1))  # with its first array, Arrow loads pandas, where that is installed

    thread = threading.Thread(target=load)
    thread.start()
    return thread


def _choose_meanwhile(settings: Settings) -> threading.Thread:
    """Try whether NVENC works, so that it is known when the thread has ended; what is wrong, `encoder_ready` raises.

    Nobody must wait for the thread: a driver that hangs takes a minute, and Ctrl-C ends the process before.
    """
    from dualface_core.rendering.choice import choose_encoder

    def choose() -> None:
        with suppress(DualfaceError):
            choose_encoder(settings)

    thread = threading.Thread(target=choose, name="encoder", daemon=True)
    thread.start()
    return thread


def _make(
    video: VideoInfo,
    output: Path,
    settings: Settings,
    kept: Path,
    workers: Workers | None,
    progress: StepProgress | None,
) -> _Made:
    from dualface_core.engine.stages import StageClock
    from dualface_core.rendering.choice import may_encode_again
    from dualface_core.system.atomic_files import temporary_file
    from dualface_core.system.memory import give_freed_memory_back

    results: list[VideoInfo] = []  # what was verified last, if it can be read

    def step(name: str) -> Progress | None:
        return None if progress is None else lambda done, total: progress(name, done, total)

    def tracking(done: int, total: int) -> None:
        load_for_later()
        if progress is not None:
            progress("track", done, total)

    def verified(ahead: Ahead | None) -> tuple[Verification, Stage]:
        clock = StageClock("verify", workers)
        results.clear()
        found = verify(
            output,
            video=video,
            tracks=tracks,
            plan=plan,
            settings=settings,
            fingerprints=prints,
            ahead=ahead,
            probed=results.append,
            workers=workers,
            progress=step("verify"),
        )
        return found, clock.stop(plan.frame_count, ahead=ahead.cpu_seconds if ahead else 0.0)

    clock = StageClock("track", workers)
    chosen = _choose_meanwhile(settings)
    tracks = track(video, settings=settings, workers=workers, progress=tracking)
    chosen.join()
    give_freed_memory_back()  # which grows with the length of the video, here and below
    tracked = clock.stop(tracks.frame_count)
    with encoder_ready(settings) as ready, temporary_file(output.parent, ".fingerprints") as prints:
        clock = StageClock("plan")
        load_for_later().join()
        plan = plan_tiles(video, tracks, settings=settings)
        give_freed_memory_back()
        planned = clock.stop(plan.frame_count)
        clock = StageClock("render", workers)
        with looking_ahead(video, tracks, plan, settings, workers) as ahead:
            report = render(
                video,
                plan,
                output,
                settings=settings,
                fingerprints=prints,
                kept=kept,
                encoded=None if ahead is None else ahead.add,
                ready=ready,
                workers=workers,
                progress=step("render"),
            )
            rendered = clock.stop(report.frames_out)
            verification, checked = verified(ahead)
        if not verification.passed and may_encode_again(report.encoder_used, settings):
            clock = StageClock("render", workers)
            report = render_with_software(
                video,
                plan,
                output,
                why=f"{report.encoder_used} made a wrong result: {_found(verification)}.",
                settings=settings,
                fingerprints=prints,
                kept=kept,
                workers=workers,
                progress=step("render"),
            ).model_copy(
                update={
                    "driver": report.driver,
                    "fallback": True,
                    "session_wait_seconds": report.session_wait_seconds,
                }
            )
            rendered = clock.stop(report.frames_out)
            verification, checked = verified(None)
    report = verified_report(report, verification, video, tracks, plan).model_copy(
        update={"sha256": results[0].fingerprint if results else "", "stages": [tracked, planned, rendered, checked]}
    )
    return _Made(tracks, plan, report, verification)


def _write_review(output: Path, settings: Settings, video: VideoInfo, made: _Made, probed: float) -> None:
    from dualface_core.review.page import PageContent
    from dualface_core.system.atomic_files import atomic_write

    source = os.path.relpath(video.path.absolute(), output.parent.absolute())
    about = PageContent(
        key=output.name,
        name=video.path.name,
        video=video,
        tracks=made.tracks,
        plan=made.plan,
        report=made.report,
        result=probe(output, settings=settings),
        seconds={
            "probe": probed,
            **{stage.name: stage.seconds for stage in made.report.stages},
            "wait": made.report.session_wait_seconds,
            "render": made.report.wall_seconds,
        },
        source_link=quote(source),
        result_link=quote(output.name),
    )
    with atomic_write(review_path(output)) as temporary:
        temporary.write_text(review_page(about).html, encoding="utf-8")


def review_page(about: PageContent) -> Page:
    """Make the page on which a person accepts a result.

    Raises UnreadableVideoError if source or result cannot be read, TableFormatError if the tables are not the source's,
    ChangedVideoError if the report is about another result, ChangedPlanError if that was made from another plan.
    """
    from dualface_core.review.page import make_page
    from dualface_core.tables.origins import check_plan

    check_plan(about.plan, about.video.path, about.video.fingerprint, about.tracks)
    if about.report.sha256 not in {"", about.result.fingerprint}:
        found = (
            f"its report is about another file: SHA-256 {about.report.sha256[:12]}, not {about.result.fingerprint[:12]}"
        )
        raise ChangedVideoError(about.result.path, found, action="Make the result again.")
    about.report.check_plan(about.plan, about.result.path)
    with _unchanged(about.video):
        return make_page(about)


def report_path(output: Path) -> Path:
    """Where the report of a result lies: beside it, as NAME.report.json."""
    return output.with_suffix(".report.json")


def review_path(output: Path) -> Path:
    """Where the review page of a result lies, if it was asked for: beside it, as NAME.review.html."""
    return output.with_suffix(".review.html")


def load_monitor() -> LoadMonitor:
    """A context manager that samples host and GPU once a second for the length of its block, off the hot path."""
    from dualface_core.gpu.monitor import LoadMonitor
    from dualface_core.gpu.nvml import find_gpus

    return LoadMonitor(next(iter(find_gpus().gpus), None))


def fingerprints_path(output: Path) -> Path:
    """Where the composed frames of a result that is yet to be verified leave their fingerprints: beside it."""
    return output.with_suffix(".fingerprints")


def load_path(output: Path) -> Path:
    """Where the samples of the load while a result was made lie: beside it, as NAME.load.parquet."""
    return output.with_suffix(".load.parquet")
