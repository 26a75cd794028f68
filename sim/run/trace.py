"""The trace: time series of a run, one row per record time and zone.

Rows are made as float64 by the field, kept and compared in the types of `COLUMNS`, and stored as
Parquet.  The digest is SHA-256 over the rows, one after the other, every value in its type, packed
and little-endian, so that equal runs have equal digests whatever the Parquet library does.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt

from levada.guest.lifecycle import Closing

__all__ = ["COLUMNS", "INDEX", "Trace", "TraceWriter", "read_trace"]

COLUMNS: Final[dict[str, tuple[str, str, str]]] = {
    "time_ms": ("i8", "ms", "Virtual time since 1970, local standard time of the site."),
    "zone": ("i2", "", "Index of the zone."),
    "rain_mm": ("f4", "mm", "Rain since the previous row."),
    "irrigation_mm": ("f4", "mm", "Irrigation that reached the surface since the previous row."),
    "evaporation_mm": ("f4", "mm", "Soil evaporation since the previous row."),
    "transpiration_mm": ("f4", "mm", "Transpiration since the previous row."),
    "drainage_mm": ("f4", "mm", "Water lost below the soil since the previous row."),
    "runoff_mm": ("f4", "mm", "Surface runoff since the previous row."),
    "et0_mm": ("f4", "mm", "Reference evapotranspiration since the previous row."),
    "storage_mm": ("f4", "mm", "All water in the soil, ponding included."),
    "ponding_mm": ("f4", "mm", "Water standing on the surface."),
    "theta_root": ("f4", "m3 m-3", "Mean water content of the root zone."),
    "theta_fc_root": ("f4", "m3 m-3", "Water content of the root zone at field capacity."),
    "theta_stress_root": ("f4", "m3 m-3", "Water content below which the crop is stressed."),
    "dr_mm": ("f4", "mm", "Root zone depletion below field capacity."),
    "taw_mm": ("f4", "mm", "Total available water of the root zone."),
    "raw_mm": ("f4", "mm", "Readily available water of the root zone."),
    "ks": ("f4", "", "Water stress coefficient, 1 = no stress."),
    "zr_m": ("f4", "m", "Root depth."),
    "theta_probe": ("f4", "m3 m-3", "True water content around the probe."),
    "head_probe_m": ("f4", "m", "Pressure head at the probe, NaN if the soil model has none."),
    "counts": ("i4", "counts", "Probe reading given to the guest; negative: error code."),
    "temp_c": ("f4", "degC", "Soil temperature at the probe."),
    "battery_mv": ("i4", "mV", "Battery of the node."),
    "flow_pulses": ("i4", "", "Flow meter pulses since the previous row."),
    "flow_l": ("f4", "L", "Water through the valve since the previous row."),
    "valve_commanded": ("i1", "", "State the guest asked for."),
    "valve_open": ("i1", "", "Whether water can pass."),
    "valve_open_s": ("f4", "s", "Time open since the previous row."),
    "valve_run_s": ("f4", "s", "Longest uninterrupted opening seen since the previous row."),
    "energy_j": ("f4", "J", "Energy of the node since the previous row."),
    "steps": ("i4", "", "Guest steps since the previous row."),
    "pct": ("i2", "%", "Moisture the guest published last, -1: none yet."),
    "why": ("i1", "", "Reason code the guest published last, -1: none yet."),
    "trap": ("i1", "", "Class of the trap that stopped the guest, 0: running."),
    "online": ("i1", "", "Whether the node had a link."),
    "fault": (
        "i4",
        "",
        "Bit i is set while fault i (modulo 31) of the scenario acts on this zone.",
    ),
}
"""Name -> (NumPy type, unit, meaning), in the order of the file."""

INDEX: Final[dict[str, int]] = {name: i for i, name in enumerate(COLUMNS)}
"""Name -> column of the float64 rows that the field makes."""

Trace = Mapping[str, npt.NDArray[np.generic]]
"""Column name -> values, rows sorted by zone, then time."""

ROW: Final = np.dtype([(name, "<" + kind) for name, (kind, _, _) in COLUMNS.items()])
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

    def __init__(self, path: Path) -> None:
        import pyarrow as pa
        import pyarrow.parquet as pq

        self._pa = pa
        self.path = path
        self._schema = pa.schema(
            [
                pa.field(
                    name,
                    pa.from_numpy_dtype(np.dtype(kind)),
                    metadata={"unit": unit, "meaning": text},
                )
                for name, (kind, unit, text) in COLUMNS.items()
            ]
        )
        # measured: half the time and three quarters of the size of dictionaries
        floats = [name for name, (kind, _, _) in COLUMNS.items() if kind == "f4"]
        self._file = pq.ParquetWriter(
            path,
            self._schema,
            compression="zstd",
            use_dictionary=[name for name in COLUMNS if name not in floats],
            column_encoding=dict.fromkeys(floats, "BYTE_STREAM_SPLIT"),
        )
        self._hash = hashlib.sha256()
        self._waiting: list[npt.NDArray[np.float64]] = []
        self._waiting_rows = 0
        self.rows = 0

    def write(self, rows: npt.NDArray[np.float64]) -> None:
        """Append rows of shape (rows, len(COLUMNS))."""
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
        columns = [np.empty(len(rows), ROW[name]) for name in COLUMNS]
        for first in range(0, len(rows), BLOCK_ROWS):
            block = slice(first, first + BLOCK_ROWS)
            for i, name in enumerate(COLUMNS):
                columns[i][block] = rows[block, i]
                packed[name][block] = columns[i][block]
        self._hash.update(packed.data)
        self._file.write_table(self._pa.table(columns, schema=self._schema))
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


class _Columns(Mapping[str, npt.NDArray[np.generic]]):
    """The columns of a file, each read when first asked for."""

    def __init__(self, path: Path) -> None:
        import pyarrow as pa
        import pyarrow.parquet as pq

        self._file = pq.ParquetFile(path)
        schema = self._file.schema_arrow
        self._names: list[str] = schema.names
        for name, (kind, _, _) in COLUMNS.items():
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
