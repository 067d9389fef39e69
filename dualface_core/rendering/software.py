"""Rendering with a software encoder: in spans, which keeps all cores busy and can be resumed, or in one pass.

Belongs here: which of the two, and why.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from dualface_core.encoding.settings import EncoderSpec
from dualface_core.engine.backend import Backend
from dualface_core.engine.workers import Workers
from dualface_core.errors import OutputError
from dualface_core.gpu.profiles import Profile
from dualface_core.media.joining import SpanPackets, UnjoinableSpansError
from dualface_core.media.probe import VideoInfo
from dualface_core.rendering.spans import SpansRendered, render_in_spans, rendering_spans
from dualface_core.rendering.stream import render_on_card_or_not
from dualface_core.system.atomic_files import output_error
from dualface_core.system.kept_folders import taken_over
from dualface_core.system.private_folders import PrivateFolderError
from dualface_core.tables.tile_plan import TilePlan


def render_in_software(
    video: VideoInfo,
    plan: TilePlan,
    path: Path,
    encoder: EncoderSpec,
    *,
    backend: Backend,
    suited: Profile,
    kept: Path,
    workers: Workers | None = None,
    fingerprints: Path | None = None,
    encoded: Callable[[SpanPackets], None] | None = None,
    progress: Callable[[int], None] | None = None,
) -> str:
    """Render a plan into a file. What a card was to decode and compose and gives up, the processor does.

    Args:
        video: the source.
        plan: what each tile shows in each frame.
        path: where to write; the caller publishes it.
        encoder: what encodes.
        backend: what decodes and composes.
        suited: numbers of threads for one pass.
        kept: the folder in which finished spans outlive a process that is killed; it stays, except after an error
            (`taken_over`).
        workers: do the spans, on a card if they have processes for it; None for one pass in this process.
        fingerprints: where every composed frame leaves its fingerprint, for the verification; None for nowhere.
        encoded: called with each span as soon as it is, in any order and thread; not in one pass.
        progress: called with the number of frames that are encoded.

    Returns:
        How it was done and why so, for the report.

    Raises as `render_stream` and `render_in_spans` do.
    """
    made = _in_spans(video, plan, path, encoder, backend.on_card, kept, workers, fingerprints, encoded, progress)
    if isinstance(made, SpansRendered):
        how = f"{made.spans} spans" + (f", {made.found} of them from a killed run" if made.found else "")
        if made.given_up:
            all_of_it = made.given_up == made.spans - made.found
            backend = backend.without_card(made.why) if all_of_it else backend.without(made.given_up, made.why)
    else:
        how = f"one pass: {made}"
        rendered = render_on_card_or_not(
            video,
            plan,
            path,
            encoder,
            on_card=backend.on_card,
            decode_threads=suited.decode_threads,
            compose_threads=suited.compose_threads,
            encode_threads=suited.encode_threads,
            fingerprints=fingerprints,
            progress=progress,
        )
        if rendered.not_on_card:
            backend = backend.without_card(rendered.not_on_card)
    return f"{backend.kind}, {how}. {backend.why}"


def _in_spans(
    video: VideoInfo,
    plan: TilePlan,
    path: Path,
    encoder: EncoderSpec,
    on_card: bool,
    kept: Path,
    workers: Workers | None,
    fingerprints: Path | None,
    encoded: Callable[[SpanPackets], None] | None,
    progress: Callable[[int], None] | None,
) -> SpansRendered | str:
    """Render in spans; why not, if it cannot be done so."""
    if workers is None:
        return "it was to be done in one process"
    parts = rendering_spans(video)
    if len(parts) == 1:
        return "the video is short, or cannot be split"
    try:
        with taken_over(kept) as ours:
            if not ours:
                return "another process makes the same video"
            return render_in_spans(
                video,
                plan,
                path,
                encoder,
                parts,
                on_card=on_card,
                folder=kept,
                workers=workers,
                fingerprints=fingerprints,
                encoded=encoded,
                progress=progress,
            )
    except (UnjoinableSpansError, PrivateFolderError) as error:
        return str(error)
    except OutputError as error:
        if Path(error.path).parent != kept:
            raise
        raise OutputError(path, error.found, action=error.action) from error
    except OSError as error:
        raise output_error(path, error) from error
