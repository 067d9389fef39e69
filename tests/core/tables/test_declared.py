"""The contract of every declared table."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from dualface_core.errors import MachineError, MissingInputError, OutputError, TableFormatError
from dualface_core.gpu.monitor import LoadLog, LoadMetadata
from dualface_core.sample.truth import SampleTruth, TruthMetadata
from dualface_core.tables.declared import DeclaredTable
from dualface_core.tables.face_tracks import FaceTracks, Shot, TracksMetadata
from dualface_core.tables.labels import CameraState, FaceSource, Person, SceneKind, Subject
from dualface_core.tables.layouts import LAYOUTS
from dualface_core.tables.scenes import Scene
from dualface_core.tables.tile_plan import PlanMetadata, TilePlan

VIDEO: dict[str, Any] = {"time_base": "1/25", "frame_width": 64, "frame_height": 36}
TABLES: dict[type[DeclaredTable[Any]], tuple[dict[str, Any], Any]] = {
    FaceTracks: (
        {"person": Person.A, "source": FaceSource.DETECTED, "landmarks": [0.5] * 10, "identity_margin": None},
        TracksMetadata(
            **VIDEO,
            fingerprint="00",
            frame_pts=[0, 2**60],
            shots=[Shot(first=0, last=1)],
            people=[Person.A],
            parameters={"Ünï": 1},
        ),
    ),
    TilePlan: (
        {"subject": Subject.FRAME, "state": CameraState.WIDE},
        PlanMetadata(
            **VIDEO,
            fingerprint="00",
            tracks_sha256="11",
            frame_count=1,
            layout=LAYOUTS["stacked"],
            people=[],
            scenes=[Scene(first=0, last=0, kind=SceneKind.WHOLE, cast=(Subject.FRAME,), reason="Ünï")],
            camera={"Ünï": 1},
            direction={"Ünï": 2},
        ),
    ),
    SampleTruth: (
        {"person": "man"},
        TruthMetadata(
            **VIDEO,
            scene="Ünï",
            seconds=1.5,
            seed=2**60,
            frame_count=1,
            people=("woman", "man"),
            shots=[],
            cuts=[],
            allowed=[],
        ),
    ),
    LoadLog: (
        {"gpu_percent": None},
        LoadMetadata(started=datetime(2026, 1, 2, tzinfo=UTC), pid=1, cores=4, memory=2**40, gpu="Ünï"),
    ),
}
STEP_AGAIN = r"t\.parquet: {}.*Run the step that makes it again\."


@pytest.fixture(params=TABLES, ids=lambda kind: kind.__name__)
def table(request: pytest.FixtureRequest) -> DeclaredTable[Any]:
    """A table of each kind, with two rows."""
    kind = request.param
    labels, metadata = TABLES[kind]
    row = {name: labels.get(name, 1) for name in kind.SCHEMA.names}
    return kind(pa.Table.from_pylist([row, row], schema=kind.SCHEMA), metadata)


def rewritten(table: DeclaredTable[Any], path: Path, change: Any) -> type[DeclaredTable[Any]]:
    """Write a table, and what `change` makes of it over it."""
    table.write(path)
    pq.write_table(change(pq.ParquetFile(path).read()), path)
    return type(table)


def test_rows_and_metadata_come_back_as_they_were_written(table: DeclaredTable[Any], tmp_path: Path) -> None:
    table.write(tmp_path / "t.parquet")
    found = type(table).read(tmp_path / "t.parquet")
    assert found.table.schema.equals(table.SCHEMA)
    assert found == table
    assert found.sha256 == table.sha256
    assert [path.name for path in tmp_path.iterdir()] == ["t.parquet"]


def test_the_file_says_what_it_is_to_those_who_have_only_parquet(table: DeclaredTable[Any], tmp_path: Path) -> None:
    table.write(tmp_path / "t.parquet")
    metadata = pq.read_schema(tmp_path / "t.parquet").metadata
    assert metadata[b"dualface.format"] == table.FORMAT.encode()
    assert "Ünï" in metadata[b"dualface.metadata"].decode()


def test_a_table_can_be_analyzed_as_a_data_frame(table: DeclaredTable[Any]) -> None:
    frame = table.to_pandas()
    assert [*frame.columns] == table.SCHEMA.names
    assert len(frame) == 2


def test_columns_are_put_in_order_and_others_left_out(table: DeclaredTable[Any], tmp_path: Path) -> None:
    def change(stored: pa.Table) -> pa.Table:
        return stored.select(stored.schema.names[::-1]).append_column("more", pa.array([1, 2]))

    assert rewritten(table, tmp_path / "t.parquet", change).read(tmp_path / "t.parquet") == table


def test_types_that_lose_nothing_are_cast(table: DeclaredTable[Any], tmp_path: Path) -> None:
    def change(stored: pa.Table) -> pa.Table:
        wider = {pa.int8(): pa.int64(), pa.int32(): pa.int64(), pa.float32(): pa.float64()}
        fields = [field.with_type(wider.get(field.type, field.type)) for field in stored.schema]
        return stored.cast(pa.schema(fields, stored.schema.metadata))

    assert rewritten(table, tmp_path / "t.parquet", change).read(tmp_path / "t.parquet") == table


def test_a_folder_named_like_a_partition_is_only_a_folder(table: DeclaredTable[Any], tmp_path: Path) -> None:
    folder = tmp_path / "frame=7"
    folder.mkdir()
    table.write(folder / "t.parquet")
    assert type(table).read(folder / "t.parquet") == table


def test_a_missing_file_is_told_with_what_makes_it(table: DeclaredTable[Any], tmp_path: Path) -> None:
    with pytest.raises(MissingInputError, match=r"t\.parquet: there is no such file\. Run the step that makes it"):
        type(table).read(tmp_path / "t.parquet")


@pytest.mark.parametrize("content", [b"", b"hello world", b"PAR1" + bytes(100) + b"PAR1"])
def test_a_file_that_is_not_parquet_is_told(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "t.parquet").write_bytes(content)
    with pytest.raises(TableFormatError, match=STEP_AGAIN.format("not a Parquet file")):
        FaceTracks.read(tmp_path / "t.parquet")


def test_a_table_on_a_failing_disk_is_not_called_another_table(
    table: DeclaredTable[Any], tmp_path: Path, failing_disk: Callable[[Path], Path]
) -> None:
    table.write(tmp_path / "t.parquet")
    path = failing_disk(tmp_path / "t.parquet")
    with pytest.raises(MachineError, match="Input/output error"):
        type(table).read(path)


def test_a_file_cut_in_half_is_told(table: DeclaredTable[Any], tmp_path: Path) -> None:
    path = tmp_path / "t.parquet"
    table.write(path)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.raises(TableFormatError, match=STEP_AGAIN.format("not a Parquet file")):
        type(table).read(path)


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (lambda t: t.replace_schema_metadata({b"dualface.format": b"other.1"}), "found other.1, expected dualface"),
        (lambda t: t.replace_schema_metadata(None), "found no declared format, expected dualface"),
        (lambda t: t.drop_columns(t.schema.names[:1]), "its columns or metadata are not those of dualface"),
        (lambda t: t.set_column(0, t.schema.names[0], pa.array(["a", "b"])), "its columns or metadata are not those"),
        (
            lambda t: t.replace_schema_metadata(t.schema.metadata | {b"dualface.metadata": b'{"title": 1}'}),
            "its columns or metadata are not those",
        ),
    ],
    ids=["format", "no format", "columns", "types", "metadata"],
)
def test_another_table_is_told_by_what_differs(
    table: DeclaredTable[Any], change: Any, expected: str, tmp_path: Path
) -> None:
    kind = rewritten(table, tmp_path / "t.parquet", change)
    with pytest.raises(TableFormatError, match=STEP_AGAIN.format(expected)):
        kind.read(tmp_path / "t.parquet")


def test_a_table_without_its_metadata_is_told(table: DeclaredTable[Any], tmp_path: Path) -> None:
    kind = rewritten(
        table, tmp_path / "t.parquet", lambda t: t.replace_schema_metadata({b"dualface.format": table.FORMAT})
    )
    with pytest.raises(TableFormatError, match="its columns or metadata"):
        kind.read(tmp_path / "t.parquet")


def test_a_table_that_cannot_be_written_leaves_nothing(table: DeclaredTable[Any], tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="its folder does not exist"):
        table.write(tmp_path / "none" / "t.parquet")
    assert list(tmp_path.iterdir()) == []
