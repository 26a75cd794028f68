from __future__ import annotations

import csv
import json
import subprocess
import sys
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from levada.twin.errors import StoreError, StoreVersionError
from levada.twin.store.export import COLUMNS, export
from levada.twin.store.policy import downsample, prune
from levada.twin.store.reads import to_read
from levada.twin.store.rows import Event, Points, Row
from levada.twin.store.store import Store

T0 = 1_700_000_000_000
T0 -= T0 % 60_000


@pytest.fixture
def filled(store: Store) -> Store:
    for i in range(120):
        store.submit(
            Row(
                node="n",
                boot=1,
                seq=i,
                oldest=0,
                received_ms=T0 + i * 1_000,
                payload=json.dumps({"raw": i}),
                signals={"raw": float(i), "irrigar": float(i % 2)},
            )
        )
    store.submit(Points(node="=n", time_ms=T0, signals={"theta": 0.25}))
    assert store.flush()
    return store


def test_parquet_holds_every_value_with_its_origin(filled: Store, tmp_path: Path) -> None:
    assert export(filled.url, tmp_path / "x.parquet", format="parquet") == 241
    table = pq.read_table(tmp_path / "x.parquet")
    assert tuple(table.column_names) == COLUMNS
    rows = table.to_pylist()
    assert {
        "node": "n",
        "kind": "raw",
        "signal": "raw",
        "unit": "counts",
        "time_ms": T0 + 7_000,
        "value": 7.0,
        "boot": 1,
        "seq": 7,
        "flags": 0,
    } in rows
    (twin,) = [row for row in rows if row["kind"] == "twin"]
    assert (twin["value"], twin["seq"]) == (0.25, None)


def test_csv_is_the_same_and_harmless_in_a_spreadsheet(filled: Store, tmp_path: Path) -> None:
    assert export(filled.url, tmp_path / "x.csv", format="csv") == 241
    with (tmp_path / "x.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert {row["node"] for row in rows} == {"n", "'=n"}
    assert sum(float(row["value"]) for row in rows if row["signal"] == "raw") == 119 * 60


def test_an_export_can_be_cut_to_a_node_and_a_time(filled: Store, tmp_path: Path) -> None:
    count = export(
        filled.url,
        tmp_path / "x.csv",
        format="csv",
        node="n",
        start_ms=T0 + 10_000,
        end_ms=T0 + 20_000,
    )
    assert count == 20


@pytest.mark.parametrize("form", ["parquet", "csv"])
def test_an_export_to_where_nothing_can_be_written_says_so(
    filled: Store, tmp_path: Path, form: str
) -> None:
    target = tmp_path / "nowhere" / "x"
    with pytest.raises(StoreError, match="nowhere/x: No such file or directory"):
        export(filled.url, target, format=form)  # type: ignore[arg-type]


def test_a_store_is_not_overwritten_by_its_own_export(tmp_path: Path) -> None:
    place = tmp_path / "store.sqlite"
    Store(place).close()
    before = place.read_bytes()
    with pytest.raises(StoreError, match="is the store itself"):
        export(place, tmp_path / ".." / tmp_path.name / "store.sqlite", format="csv")
    assert place.read_bytes() == before


@pytest.mark.parametrize(
    ("where", "says"),
    [
        ("scenario.toml", "scenario.toml is no store of levada"),
        ("nowhere.sqlite", "nowhere.sqlite is no store of levada"),
        ("postgresql://127.0.0.1:1/x", "on PostgreSQL: .*refused"),
        ("postgresql://127.0.0.1:abc/x", "store URL"),
        ("mysql://127.0.0.1/x", "permitted are"),
    ],
)
def test_what_is_no_store_is_not_exported_and_no_file_is_made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, where: str, says: str
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("scenario.toml").write_text("version = 1\n")
    with pytest.raises(StoreError, match=says):
        export(where, Path("x.csv"), format="csv")
    assert [path.name for path in tmp_path.iterdir()] == ["scenario.toml"]


def test_a_store_that_is_being_written_keeps_its_lock_while_it_is_examined(
    filled: Store, tmp_path: Path
) -> None:
    """To close a file takes this process's locks away; another could then remove the log."""
    export(filled.url, tmp_path / "x.csv", format="csv")
    with to_read(filled.url):
        pass
    code = f"import sqlite3; sqlite3.connect({str(filled.file)!r}).execute('SELECT 1 FROM nodes')"
    subprocess.run([sys.executable, "-c", code], check=True)
    assert filled.file is not None
    assert filled.file.with_name("store.sqlite-wal").exists()


def test_pruning_removes_the_old_and_only_the_old(filled: Store) -> None:
    filled.submit(Event(kind="x", text="old", time_ms=T0))
    assert filled.flush()
    removed = prune(filled, before_ms=T0 + 100_000, events=True)
    assert (removed.messages, removed.points, removed.events) == (100, 201, 1)
    assert filled.reader.window("n", "raw").value.tolist() == [float(i) for i in range(100, 120)]
    assert filled.reader.acknowledged("n") == {1: 119}
    again = prune(filled, before_ms=T0 + 100_000)
    assert (again.messages, again.points) == (0, 0)


def test_thinning_keeps_the_mean_of_every_interval(filled: Store) -> None:
    removed = downsample(filled, before_ms=T0 + 110_000, every_ms=10_000)
    window = filled.reader.window("n", "raw")
    # means of 0..9, 10..19, ...; the last ten values are untouched
    expected = [4.5 + 10 * i for i in range(11)] + [float(i) for i in range(110, 120)]
    assert window.value.tolist() == expected
    assert filled.reader.window("n", "irrigar").value.tolist()[:11] == [0.5] * 11
    assert removed.points == 2 * (110 - 11)
    assert downsample(filled, before_ms=T0 + 110_000, every_ms=10_000).points == 0


def test_an_interval_out_of_range_is_refused(filled: Store) -> None:
    with pytest.raises(ValueError, match="permitted 1000 to"):
        downsample(filled, before_ms=T0, every_ms=10)


def test_a_store_of_a_newer_program_is_not_exported(filled: Store, tmp_path: Path) -> None:
    with filled.transaction() as connection:
        connection.exec_driver_sql("UPDATE schema_version SET version = 99")
    with pytest.raises(StoreVersionError, match="version 99: this program knows 1 to"):
        export(filled.url, tmp_path / "all.csv", format="csv")
    assert not (tmp_path / "all.csv").exists()
