from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pydantic import BaseModel, ConfigDict

from dualface_core.errors import MissingInputError, OutputError, TableFormatError
from dualface_core.tables.declared import METADATA_KEY, read_table, schema_with_metadata, write_table

SCHEMA = pa.schema([pa.field("frame", pa.int32(), nullable=False), pa.field("x", pa.float32(), nullable=False)])
FORMAT = "test.table.1"


class Facts(BaseModel):
    model_config = ConfigDict(frozen=True)

    name: str
    numbers: list[int] = []


class OtherFacts(BaseModel):
    title: str = "no name"


def a_table(format_name: str = FORMAT, facts: BaseModel | None = None) -> pa.Table:
    schema = schema_with_metadata(SCHEMA, format_name, facts or Facts(name="Ünï"))
    return pa.table({"frame": [0, 1], "x": [0.5, 1.5]}, schema=schema)


def read(source: Path | pa.Table) -> tuple[pa.Table, Facts]:
    return read_table(source, SCHEMA, FORMAT, Facts, str(source) if isinstance(source, Path) else "the table")


def test_rows_and_metadata_come_back_as_they_were_written(tmp_path: Path) -> None:
    facts = Facts(name="Ünï", numbers=[1, 2**60])
    write_table(a_table(facts=facts), tmp_path / "t.parquet")
    rows, found = read(tmp_path / "t.parquet")
    assert rows.schema.equals(SCHEMA)
    assert rows.to_pydict() == {"frame": [0, 1], "x": [0.5, 1.5]}
    assert found == facts


def test_the_file_says_what_it_is_to_those_who_have_only_parquet(tmp_path: Path) -> None:
    write_table(a_table(), tmp_path / "t.parquet")
    metadata = pq.read_schema(tmp_path / "t.parquet").metadata
    assert metadata[b"dualface.format"] == FORMAT.encode()
    assert b'"name":"\xc3\x9cn\xc3\xaf"' in metadata[b"dualface.metadata"]


def test_a_table_in_memory_is_read_like_a_file() -> None:
    rows, found = read(a_table())
    assert rows.num_rows == 2
    assert found.name == "Ünï"


def test_columns_are_put_in_order_and_others_left_out() -> None:
    table = a_table().append_column("more", pa.array([1, 2])).select(["more", "x", "frame"])
    assert read(table)[0].schema.equals(SCHEMA)


def test_types_that_lose_nothing_are_cast() -> None:
    table = a_table()
    wide = table.set_column(0, pa.field("frame", pa.int64()), table["frame"].cast(pa.int64()))
    assert read(wide)[0].schema.equals(SCHEMA)


def test_a_folder_named_like_a_partition_is_only_a_folder(tmp_path: Path) -> None:
    folder = tmp_path / "frame=7"
    folder.mkdir()
    write_table(a_table(), folder / "t.parquet")
    assert read(folder / "t.parquet")[0]["frame"].to_pylist() == [0, 1]


def test_a_missing_file_is_told_with_what_makes_it(tmp_path: Path) -> None:
    with pytest.raises(MissingInputError, match=r"t\.parquet: there is no such file\. Run the step that makes it"):
        read(tmp_path / "t.parquet")


@pytest.mark.parametrize("content", [b"", b"hello world", b"PAR1" + bytes(100) + b"PAR1"])
def test_a_file_that_is_not_parquet_is_told(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "t.parquet").write_bytes(content)
    with pytest.raises(TableFormatError, match=r"t\.parquet: not a Parquet file"):
        read(tmp_path / "t.parquet")


def test_a_file_cut_in_half_is_told(tmp_path: Path) -> None:
    path = tmp_path / "t.parquet"
    write_table(a_table(), path)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.raises(TableFormatError, match="not a Parquet file"):
        read(path)


@pytest.mark.parametrize(
    ("table", "expected"),
    [
        (a_table("test.table.2"), "found test.table.2, expected test.table.1"),
        (pa.table({"frame": [0]}), "found no declared format"),
        (a_table().drop_columns(["x"]), "its columns or metadata are not those of test.table.1"),
        (a_table().set_column(1, "x", pa.array(["a", "b"])), "its columns or metadata are not those"),
        (a_table(facts=OtherFacts()), "its columns or metadata are not those"),
    ],
)
def test_another_table_is_told_by_what_differs(table: pa.Table, expected: str) -> None:
    with pytest.raises(TableFormatError, match=f"the table: {expected}"):
        read(table)


def test_a_table_without_its_metadata_is_told() -> None:
    table = a_table()
    metadata = {key: value for key, value in table.schema.metadata.items() if key != METADATA_KEY}
    with pytest.raises(TableFormatError, match="its columns or metadata"):
        read(table.replace_schema_metadata(metadata))


def test_a_table_that_cannot_be_written_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="its folder does not exist"):
        write_table(a_table(), tmp_path / "none" / "t.parquet")
    assert list(tmp_path.iterdir()) == []
