"""Two worker hosts, with PostgreSQL, Redis and S3 on loopback, started as `deploy/local/up` starts them.

The scenarios are those of `benchmarks.fleet` (`make fleet`), with few videos.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from deploy.local import servers
from tests.end_to_end.fleets import kill_a_host, running_fleet, stop_the_broker, trouble_the_store
from tests.nvenc_emulator.libraries import why_unavailable

pytestmark = [pytest.mark.emulator, pytest.mark.timeout(1800)]
if reason := why_unavailable() or servers.why_unavailable("postgres", "redis", "s3", "fleet"):
    pytest.skip(reason, allow_module_level=True)

SampleClip = Callable[..., Path]

UPLOADS = 4


@pytest.mark.hosts
def test_the_videos_of_a_host_that_is_killed_finish_on_the_other_one_and_none_is_made_twice(
    sample_clip: SampleClip,
) -> None:
    with running_fleet(pace_ms=100) as running:  # slow enough to be caught at work
        trouble_the_store(running)
        running.upload(sample_clip("talk", seconds=2, size=(320, 180), fps=15), UPLOADS)
        kill_a_host(running)
        running.wait_for_results(1)
        stop_the_broker(running)
        running.wait_until_all_is_made(UPLOADS)
        running.require_all_made_once(UPLOADS)
        assert any(run.parent_run_id for (run,) in running.made().values())  # of what the first host was at work on
        assert all(running.encodes())


@pytest.mark.daemon
def test_software_that_follows_nvenc_s_failure_runs_on_the_host_for_it(sample_clip: SampleClip) -> None:
    with running_fleet(pace_ms=0, fault="error:20@5", queues=["dualface", "cpu"]) as running:
        running.upload(sample_clip("talk", seconds=2, size=(320, 180), fps=15), 1)
        running.wait_until_all_is_made(1)
        running.require_all_made_once(1)
        ((run,),) = running.made().values()
        assert run.tags["dagster-celery/queue"] == "cpu"
        assert run.tags["dualface/encoder"] == "software"
        assert not running.cards[1].events()
        assert run.run_id in running.fleet.workers[1].log.read_text()
