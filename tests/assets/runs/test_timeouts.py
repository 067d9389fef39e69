"""Steps that take too long."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import dagster as dg
import pytest

from dualface_assets.definitions import build_defs
from dualface_assets.runs.failures import explanation_of, failure_class, remedy
from dualface_assets.runs.timeouts import StepTimeoutError, in_time, step_seconds
from dualface_assets.store.video_store import VideoStore
from dualface_assets.uploads.claims import acknowledge
from dualface_assets.uploads.intake import add
from dualface_core import pipeline

HANGS = """
import ctypes
from dualface_assets.runs.timeouts import in_time

with in_time(0, grace=0.2):
    ctypes.PyDLL(None).sleep(600)  # in native code, and no other Python code runs meanwhile
"""


def test_a_step_may_take_longer_for_a_longer_video(sample_clip: Callable[..., Path]) -> None:
    video = pipeline.probe(sample_clip("talk", seconds=2, size=(320, 180), fps=15))
    assert step_seconds(video) == pytest.approx(1800 + 30 * 2)


def test_a_step_that_takes_too_long_ends_at_its_next_frame_with_a_sentence_and_is_tried_again() -> None:
    seen = []
    with pytest.raises(StepTimeoutError) as raised, in_time(0) as watched:
        watched(lambda done, total: seen.append((done, total)))(7, 54)
    assert seen == []
    assert "has come to frame 7 of 54" in str(raised.value)
    assert failure_class(raised.value) == "step-timeout"
    assert not raised.value.permanent
    assert remedy(raised.value) == "Look at the log of the run."


def test_a_step_in_time_is_left_alone() -> None:
    seen = []
    with in_time(60) as watched:
        watched(lambda done, total: seen.append((done, total)))(7, 54)
    assert seen == [(7, 54)]


def test_a_step_that_hangs_in_native_code_is_ended_with_its_process_which_says_where() -> None:
    hung = subprocess.run([sys.executable, "-c", HANGS], capture_output=True, text=True, timeout=280, check=False)
    assert hung.returncode == 1
    assert "Timeout" in hung.stderr
    assert 'File "<string>", line 6 in <module>' in hung.stderr


def test_the_steps_of_a_run_look_at_the_clock(
    store: VideoStore, sample_clip: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("dualface_assets.assets.face_tracks.step_seconds", lambda _: 0.0)
    upload = add(store, sample_clip("talk", seconds=2, size=(320, 180), fps=15))
    acknowledge(store, upload)
    with dg.DagsterInstance.ephemeral() as instance:
        instance.add_dynamic_partitions("videos", [upload.key])
        job = build_defs(resource_overrides={"store": store}).resolve_job_def("process_video")
        run = job.execute_in_process(instance=instance, partition_key=upload.key, raise_on_error=False)
        found = explanation_of(run.run_id, instance)
    assert (found.step, found.failure) == ("face_tracks", "step-timeout")
