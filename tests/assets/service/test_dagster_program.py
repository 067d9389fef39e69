from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import dagster as dg
import pytest
from alembic.script import ScriptDirectory

from dualface_assets.runs.dagster_internals import read_migrations_once

MIGRATIONS = "alembic/versions"


def test_an_instance_that_is_opened_again_reads_no_migrations_again(
    tmp_path: Path, opened: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    with dg.DagsterInstance.from_config(str(tmp_path)) as instance:
        reference = instance.get_ref()
        instance.add_dynamic_partitions("videos", ["a"])
    monkeypatch.setattr(ScriptDirectory, "from_config", ScriptDirectory.from_config)  # so that it is put back
    reads = []
    for prepare in (lambda: None, read_migrations_once, lambda: None):
        prepare()
        opened.clear()
        with dg.DagsterInstance.from_ref(reference) as instance:
            assert instance.get_dynamic_partitions("videos") == ["a"]
        reads.append(sum(MIGRATIONS in path for path in opened))
    without, first, second = reads
    assert without >= first > second == 0


def test_a_program_of_dagster_s_gets_its_options(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "dualface_assets.service.dagster_program", "dagster", "api", "grpc", "--help"]
    shown = subprocess.run(command, capture_output=True, text=True, check=True, cwd=tmp_path).stdout
    assert "api grpc [OPTIONS]" in shown
