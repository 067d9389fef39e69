from __future__ import annotations

import os
from pathlib import Path

import pytest

from dualface_core.system.machine_cores import _quotas, machine_cores


def test_cores_are_those_that_affinity_allows() -> None:
    assert 1 <= machine_cores() <= len(os.sched_getaffinity(0))


@pytest.mark.parametrize(("own", "found"), [("0::/app/one\n", [1.5, 8.0]), ("0::/other\n", []), ("1:cpu:/\n", [])])
def test_quotas_are_those_of_a_group_and_of_all_that_it_is_in(tmp_path: Path, own: str, found: list[float]) -> None:
    for group, quota in {"app/one": "150000 100000", "app": "800000 100000", "other": "max 100000"}.items():
        (tmp_path / "cgroup" / group).mkdir(parents=True, exist_ok=True)
        (tmp_path / "cgroup" / group / "cpu.max").write_text(quota)
    (tmp_path / "own").write_text(own)
    assert _quotas(tmp_path / "cgroup", tmp_path / "own") == found
