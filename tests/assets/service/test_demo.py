from __future__ import annotations

import io
from pathlib import Path

import dagster as dg
from rich.console import Console

from dualface_assets.service.demo import process
from dualface_assets.store.video_store import VideoStore
from dualface_assets.uploads.claims import pending


def test_a_failure_is_told_in_a_sentence(store: VideoStore, tmp_path: Path) -> None:
    source = tmp_path / "notes.mp4"
    source.write_text("not a video")
    shown = io.StringIO()
    with dg.DagsterInstance.ephemeral() as instance:
        assert not process(source, store, instance, Console(file=shown, width=200))
        (run,) = instance.get_runs()
    assert run.job_name == "process_video"
    assert run.tags["dagster/partition"].startswith("notes-")
    assert "dagster/run_key" in run.tags
    assert "not a video" in shown.getvalue()
    assert pending(store) == []
    assert source.exists()
