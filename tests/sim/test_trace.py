from __future__ import annotations

import hashlib
import struct
from datetime import UTC
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow.parquet as pq
import pytest

from levada.sim.run.trace import INDEX, TYPES, TraceWriter, read_trace


def rows(n: int, zone: int = 0, start_ms: int = 1_688_601_600_000) -> npt.NDArray[np.float64]:
    made = np.zeros((n, len(TYPES)))
    made[:, INDEX["time_ms"]] = start_ms + 600_000 * np.arange(n)
    made[:, INDEX["zone"]] = zone
    made[:, INDEX["rain_mm"]] = 0.1 * np.arange(n)
    made[:, INDEX["counts"]] = -2
    made[:, INDEX["head_probe_m"]] = np.nan
    return made


def write(path: Path, *chunks: npt.NDArray[np.float64]) -> str:
    with TraceWriter(path) as writer:
        for chunk in chunks:
            writer.write(chunk)
        return writer.digest()


def test_what_is_written_is_read_in_its_types(tmp_path: Path) -> None:
    write(tmp_path / "t.parquet", rows(5))
    trace = read_trace(tmp_path / "t.parquet")
    assert list(trace) == list(TYPES)
    for name, kind in TYPES.items():
        assert trace[name].dtype == np.dtype(kind), name
    np.testing.assert_array_equal(trace["time_ms"], 1_688_601_600_000 + 600_000 * np.arange(5))
    np.testing.assert_array_equal(trace["rain_mm"], np.float32([0, 0.1, 0.2, 0.3, 0.4]))
    assert set(trace["counts"]) == {-2}
    assert np.isnan(np.asarray(trace["head_probe_m"], float)).all()


def test_rows_come_back_by_zone_then_time(tmp_path: Path) -> None:
    first, second = rows(3, zone=1), rows(3, zone=0)
    later = rows(2, zone=0, start_ms=1_688_700_000_000)
    write(tmp_path / "t.parquet", first, later, second)
    trace = read_trace(tmp_path / "t.parquet")
    assert trace["zone"].tolist() == [0] * 5 + [1] * 3
    times = np.asarray(trace["time_ms"])
    assert (np.diff(times[:5]) > 0).all()


def test_a_column_that_is_not_there_is_a_key_error(tmp_path: Path) -> None:
    write(tmp_path / "t.parquet", rows(1))
    with pytest.raises(KeyError, match="nothing"):
        read_trace(tmp_path / "t.parquet")["nothing"]


def test_a_column_says_its_unit(tmp_path: Path) -> None:
    write(tmp_path / "t.parquet", rows(1))
    schema = pq.read_schema(tmp_path / "t.parquet")
    assert schema.field("rain_mm").metadata[b"unit"] == b"mm"


class TestDigest:
    def test_it_is_that_of_the_packed_rows(self, tmp_path: Path) -> None:
        codes = {"i8": "q", "i4": "i", "i2": "h", "i1": "b", "f4": "f", "f8": "d"}
        layout = "<" + "".join(codes[kind] for kind in TYPES.values())
        expected = hashlib.sha256()
        for row in rows(4):
            values: list[Any] = [
                value if kind.startswith("f") else int(value)
                for value, kind in zip(row.tolist(), TYPES.values(), strict=True)
            ]
            expected.update(struct.pack(layout, *values))
        assert write(tmp_path / "t.parquet", rows(4)) == expected.hexdigest()

    def test_chunks_make_no_difference(self, tmp_path: Path) -> None:
        whole = rows(10)
        parts = write(tmp_path / "a.parquet", whole[:3], whole[3:3], whole[3:])
        assert parts == write(tmp_path / "b.parquet", whole)

    def test_many_rows_are_flushed_on_the_way(self, tmp_path: Path) -> None:
        whole = rows(70_000)
        digest = write(tmp_path / "a.parquet", *np.array_split(whole, 7))
        assert digest == write(tmp_path / "b.parquet", whole)
        assert len(read_trace(tmp_path / "a.parquet")["zone"]) == 70_000

    @pytest.mark.parametrize("name", ["rain_mm", "counts", "zone", "valve_open"])
    def test_any_value_changes_it(self, tmp_path: Path, name: str) -> None:
        other = rows(4)
        other[2, INDEX[name]] += 1
        assert write(tmp_path / "a.parquet", other) != write(tmp_path / "b.parquet", rows(4))


@pytest.mark.parametrize(
    ("offset_h", "zone", "instant"),
    [
        (-7.0, "-07:00", "2023-07-06T07:00:00"),
        (5.75, "+05:45", "2023-07-05T18:15:00"),
        (0.0, "UTC", "2023-07-06T00:00:00"),
    ],
)
def test_the_file_has_its_time_with_the_offset_of_the_site(
    tmp_path: Path, offset_h: float, zone: str, instant: str
) -> None:
    path = tmp_path / "t.parquet"
    with TraceWriter(path, utc_offset_ms=round(offset_h * 3_600_000)) as writer:
        writer.write(rows(1))  # midnight of 6 July, as a clock on the site shows it
        digest = writer.digest()
    time = pq.read_table(path)["time"]
    assert time.type.tz == zone
    assert time[0].as_py().astimezone(UTC).isoformat() == f"{instant}+00:00"
    assert digest == write(tmp_path / "u.parquet", rows(1))
