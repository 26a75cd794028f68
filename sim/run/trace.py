"""The trace: time series of a run, one row per record time and zone.

Rows are made as float64 by the field, kept and compared in the types of `TYPES`, and stored as
Parquet.  The digest is SHA-256 over the rows, one after the other, every value in its type, packed
and little-endian, so that equal runs have equal digests whatever the Parquet library does.  For
other programs the file has the time with its zone, too, as `time`, which is no part of the digest.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Final

import numpy as np
import numpy.typing as npt

from levada.guest.lifecycle import Closing
from levada.sim.signals import SIGNALS

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = ["INDEX", "TYPES", "Trace", "TraceWriter", "read_trace", "zoned_times"]

TYPES: Final[dict[str, str]] = {
    name: signal.dtype for name, signal in SIGNALS.items() if signal.dtype
}
"""Column -> NumPy type, in the order of the file; `levada.sim.signals` says what they mean."""

INDEX: Final[dict[str, int]] = {name: i for i, name in enumerate(TYPES)}
"""Name -> column of the float64 rows that the field makes."""

ZONED: Final = "time"
"""The column of the file that has `time_ms` as an instant with the site's offset from UTC."""

Trace = Mapping[str, npt.NDArray[np.generic]]
"""Column name -> values, rows sorted by zone, then time."""

ROW: Final = np.dtype([(name, "<" + kind) for name, kind in TYPES.items()])
"""A row as it is hashed: packed."""
CHUNK_ROWS: Final = 1 << 16
"""Rows are gathered up to this number: a Parquet row group of one day would cost more than the
day."""
BLOCK_ROWS: Final = 1 << 12
"""Rows are turned into columns in blocks of this size, which a core's cache holds."""


class TraceWriter(Closing):
    """Writes chunks of rows to a Parquet file and keeps the digest.

    The file is complete only after `close`, but a run that is interrupted closes it too.
    """

    def __init__(self, path: Path, *, utc_offset_ms: int = 0) -> None:
        """`utc_offset_ms` is what the local standard time of the site is ahead of UTC."""
        import pyarrow as pa
        import pyarrow.parquet as pq

        self._pa = pa
        self.path = path
        self._utc_offset_ms = utc_offset_ms
        zoned = zoned_times(np.empty(0, np.int64), utc_offset_ms).type
        self._schema = pa.schema(
            [
                pa.field(
                    name,
                    pa.from_numpy_dtype(np.dtype(kind)),
                    metadata={"unit": SIGNALS[name].unit, "meaning": SIGNALS[name].meaning},
                )
                for name, kind in TYPES.items()
            ]
            + [pa.field(ZONED, zoned, metadata={"meaning": "`time_ms` as an instant."})]
        )
        # measured: half the time and three quarters of the size of dictionaries
        times = ("time_ms", ZONED)
        floats = [name for name, kind in TYPES.items() if kind == "f4"]
        self._file = pq.ParquetWriter(
            path,
            self._schema,
            compression="zstd",
            use_dictionary=[name for name in TYPES if name not in (*floats, *times)],
            column_encoding=dict.fromkeys(floats, "BYTE_STREAM_SPLIT")
            | dict.fromkeys(times, "DELTA_BINARY_PACKED"),
        )
        self._hash = hashlib.sha256()
        self._waiting: list[npt.NDArray[np.float64]] = []
        self._waiting_rows = 0
        self.rows = 0

    def write(self, rows: npt.NDArray[np.float64]) -> None:
        """Append rows of shape (rows, len(TYPES))."""
        self._waiting.append(rows)
        self._waiting_rows += len(rows)
        if self._waiting_rows >= CHUNK_ROWS:
            self.flush()

    def flush(self) -> None:
        """Bring everything appended so far to the file."""
        if not self._waiting_rows:
            return
        rows = np.concatenate(self._waiting)
        packed = np.empty(len(rows), ROW)
        columns = [np.empty(len(rows), ROW[name]) for name in TYPES]
        for first in range(0, len(rows), BLOCK_ROWS):
            block = slice(first, first + BLOCK_ROWS)
            for i, name in enumerate(TYPES):
                columns[i][block] = rows[block, i]
                packed[name][block] = columns[i][block]
        self._hash.update(packed.data)
        times = zoned_times(columns[INDEX["time_ms"]], self._utc_offset_ms)
        self._file.write_table(self._pa.table([*columns, times], schema=self._schema))
        self.rows += len(rows)
        self._waiting.clear()
        self._waiting_rows = 0

    def digest(self) -> str:
        """SHA-256 of everything written so far, hexadecimal."""
        self.flush()
        return self._hash.hexdigest()

    def close(self) -> None:
        """Finish the file."""
        self.flush()
        self._file.close()


def zoned_times(time_ms: npt.NDArray[np.int64], utc_offset_ms: int) -> pa.Array:
    """Local standard time of the site [ms since 1970] as Arrow timestamps with its offset."""
    import pyarrow as pa

    minutes = abs(utc_offset_ms) // 60_000
    zone = f"{'-' if utc_offset_ms < 0 else '+'}{minutes // 60:02}:{minutes % 60:02}"
    return pa.array(time_ms - utc_offset_ms, pa.timestamp("ms", zone if minutes else "UTC"))


class _Columns(Mapping[str, npt.NDArray[np.generic]]):
    """The columns of a file, each read when first asked for."""

    def __init__(self, path: Path) -> None:
        import pyarrow as pa
        import pyarrow.parquet as pq

        self._file = pq.ParquetFile(path)
        schema = self._file.schema_arrow
        self._names: list[str] = [name for name in schema.names if name != ZONED]
        for name, kind in TYPES.items():
            found = str(schema.field(name).type) if name in self._names else "not there"
            if found != str(pa.from_numpy_dtype(np.dtype(kind))):
                raise ValueError(f"column {name} is {found}, not {np.dtype(kind)}")
        self._known: dict[str, npt.NDArray[np.generic]] = {}
        zone, time_ms = self._read("zone"), self._read("time_ms")
        self._order = np.lexsort((time_ms, zone))

    def _read(self, name: str) -> npt.NDArray[np.generic]:
        values: npt.NDArray[np.generic] = self._file.read([name])[name].to_numpy()
        return values

    def __getitem__(self, name: str) -> npt.NDArray[np.generic]:
        if name not in self._known:
            if name not in self._names:
                raise KeyError(name)
            self._known[name] = self._read(name)[self._order]
        return self._known[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._names)

    def __len__(self) -> int:
        return len(self._names)


def read_trace(path: Path) -> Trace:
    """Read a trace written by `TraceWriter`; columns are read when first asked for.

    Raises ValueError if columns lack or have another type, and what pyarrow raises.
    """
    return _Columns(path)
