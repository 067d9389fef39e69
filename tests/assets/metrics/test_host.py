from __future__ import annotations

from contextlib import suppress
from pathlib import Path

import pytest

from dualface_assets.metrics.host import HostMetrics
from dualface_core.encoding.failures import EncoderError, FailureClass
from dualface_core.encoding.sessions import NvencSessions
from dualface_core.engine.cores import CoreBudget
from dualface_core.settings import Settings
from tests.metrics import collected


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(runtime=tmp_path / "runtime", cores=3, nvenc_max_sessions=2)


def test_a_session_counts_while_it_is_held_and_its_failure_ever_after(settings: Settings) -> None:
    metrics = HostMetrics(settings)
    assert not [series for series in collected(metrics) if "nvenc" in series]  # no card was asked for a session yet
    sessions = NvencSessions(settings.runtime, gpu="GPU-1")
    with suppress(EncoderError), sessions.acquire("a talk.mp4"):
        during = collected(metrics)
        raise EncoderError(FailureClass.DEVICE_LOST, encoder="nvenc", reason="it is gone")
    after = collected(metrics)
    assert during['dualface_nvenc_sessions{gpu="GPU-1"}'] == 1
    assert during['dualface_nvenc_sessions_limit{gpu="GPU-1"}'] == 2
    assert during['dualface_nvenc_sessions_failed_total{gpu="GPU-1"}'] == 0
    assert after['dualface_nvenc_sessions{gpu="GPU-1"}'] == 0
    assert after['dualface_nvenc_sessions_opened_total{gpu="GPU-1"}'] == 1
    assert after['dualface_nvenc_sessions_failed_total{gpu="GPU-1"}'] == 1
    assert "talk" not in "".join(during)


def test_cores_count_while_they_are_in_use(settings: Settings) -> None:
    metrics = HostMetrics(settings)
    core = CoreBudget(settings.runtime, cores=3).attempt()
    assert core is not None
    assert (collected(metrics)["dualface_cores"], collected(metrics)["dualface_cores_in_use"]) == (3, 1)
    core.release()
    assert collected(metrics)["dualface_cores_in_use"] == 0


def test_a_runtime_folder_that_cannot_be_used_hides_no_more_than_what_it_holds(settings: Settings) -> None:
    (settings.runtime / "nvenc-GPU-1").mkdir(parents=True)
    (settings.runtime / "nvenc-GPU-1").chmod(0o777)  # so that others could write into it
    found = collected(HostMetrics(settings))
    assert found["dualface_cores"] == 3
    assert not [series for series in found if "nvenc" in series]
