from __future__ import annotations

import subprocess
import sys
from collections import Counter
from pathlib import Path

import dagster as dg
import pytest
from alembic.script import ScriptDirectory

from dualface_assets.runs.dagster_internals import keep_databases_open, read_migrations_once
from tests.dagster_internals import sqlite_event_log, sqlite_run_storage

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


def test_a_run_keeps_its_databases_open(tmp_path: Path, opened: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    for storage in (sqlite_event_log, sqlite_run_storage):
        monkeypatch.setattr(storage, "create_engine", storage.create_engine)  # so that it is put back
    keep_databases_open()

    @dg.asset
    def noted() -> None: ...

    with dg.DagsterInstance.from_config(str(tmp_path)) as instance:
        opened.clear()
        dg.materialize([noted], instance=instance)
        databases = Counter(path for path in opened if path.endswith(".db"))
        assert set(databases.values()) <= {1, 2}  # a second time while its tables are made; without it, some 20 times
        assert instance.get_latest_materialization_event(dg.AssetKey("noted"))


def test_a_program_of_dagster_s_gets_its_options(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "dualface_assets.service.dagster_program", "dagster", "api", "grpc", "--help"]
    shown = subprocess.run(command, capture_output=True, text=True, check=True, cwd=tmp_path).stdout
    assert "api grpc [OPTIONS]" in shown
