from __future__ import annotations

import csv
import json
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from twin.store import Store
from twin.store_export import COLUMNS, export
from twin.store_policy import downsample, prune
from twin.store_rows import Event, Points, Row

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
