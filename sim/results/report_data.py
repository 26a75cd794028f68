"""A run boiled down to what a report shows: series thinned for the eye, days, events, balances.

Series are thinned with MinMaxLTTB (Van Der Donckt et al. 2023, doi:10.1109/VIS54172.2023.00009),
which keeps extremes; daily sums, decisions and balances stay exact.  Everything is plain lists and
numbers, ready for JSON, so that a page of a hundred zones stays small.  Water contents are in
percent of volume, times in minutes since `start_ms` where a series says `m`, else in ms since 1970.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import numpy.typing as npt

from levada.sim.run.rundir import RunDir
from levada.sim.units import DAY_MS, HOUR_MS

if TYPE_CHECKING:
    from levada.sim.results.decisions import Decision

__all__ = ["BALANCE", "ReportedSeason", "read_season"]

Json = dict[str, Any]
Floats = npt.NDArray[np.float64]

POINTS: Final = 250_000
"""Points of all thinned series together: about 3 MB of page."""
MOST_POINTS: Final = 8_000
"""Of one series: enough to look at a single day of a season."""
FEWEST_POINTS: Final = 100
DETAILED_ZONES: Final = 150
"""Zones of which everything is shown; in a larger field the most remarkable ones."""
PROFILED_ZONES: Final = 12
"""Zones whose soil profile is shown."""
PROFILE_TIMES: Final = 700
SHORTEST_MS: Final = HOUR_MS
"""Of the time axis: an axis must have a length, whatever little has been run."""
LEAST_FLOW_L: Final = 0.05
"""Less is a drip."""
CLOSING_MS: Final = 120_000
"""What flows so shortly after the command to close was asked for."""

BALANCE: Final = (
    ("rain_mm", "Rain", 1),
    ("irrigation_mm", "Irrigation", 1),
    ("evaporation_mm", "Soil evaporation", -1),
    ("transpiration_mm", "Transpiration", -1),
    ("drainage_mm", "Drainage", -1),
    ("runoff_mm", "Runoff", -1),
    ("storage_change_mm", "Change of storage", 0),
    ("balance_error_mm", "Error", 0),
)
"""Key, name, and whether it brings water (1), takes it (-1) or is what remains (0)."""

DAILY: Final = ("rain", "irrigation", "evaporation", "transpiration", "drainage", "runoff", "et0")


@dataclass(frozen=True, kw_only=True)
class ReportedSeason:
    """One run."""

    summary: Json
    scenario: Json
    """The resolved scenario as its TOML says."""
    data: Json
    """What the page's charts are made of."""
    balances: list[dict[str, float]]
    """By zone, keys of `BALANCE`."""
    mean: dict[str, float]
    """Of the zones, weighted by their areas."""
    shown: list[int]
    """Indices of the zones shown in detail; the first is the one to look at first."""


def read_season(run_dir: Path) -> ReportedSeason:
    """Read a run directory; raises RunDirError if it is none."""
    run = RunDir(run_dir)
    scenario = run.scenario
    start = datetime.fromisoformat(run.summary["start"]).replace(tzinfo=UTC)
    table = _Table(run.path / "trace.parquet", round(start.timestamp() * 1000), len(run.zones))
    zones = _zones(run.summary, scenario)
    faults = _faults(run.summary, [zone["name"] for zone in zones])
    days = _Days(table)
    shown = _remarkable(run.summary, faults, days, table.n)
    points = int(np.clip(POINTS / (6 * max(len(shown), 1)), FEWEST_POINTS, MOST_POINTS))

    balances = [{key: float(zone[key]) for key, _, _ in BALANCE} for zone in run.summary["zones"]]
    decisions = _read_decisions(run, set(shown), faults)
    by_zone: dict[int, list[Decision]] = {}
    for decision in decisions:
        by_zone.setdefault(decision.zone, []).append(decision)
    for i, zone in enumerate(zones):
        if i in shown:
            zone |= _series(table, i, points)
            zone["daily"] = {key: _round(days.sums[key][i], 2) for key in DAILY}
            zone["openings"] = _openings(table, i, by_zone.get(i, []))
            zone["unasked"], zone["unmet"] = _mismatches(table, i, zone["openings"])
            zone["fit"] = _fit(table, i)
    data: Json = {
        "start_ms": table.start_ms,
        "end_ms": max(table.end_ms, table.start_ms + SHORTEST_MS),
        "days": days.starts_ms,
        "zones": zones,
        "shown": shown,
        "faults": faults,
        "decisions": _columns(decisions),
        "profiles": _profiles(run.path / "profile.parquet", set(shown)),
        "fleet": _fleet(days, run.summary) if table.n > 1 else None,
    }
    return ReportedSeason(
        summary=run.summary,
        scenario=scenario,
        data=data,
        balances=balances,
        mean=_mean(balances, [zone["area_m2"] or 1.0 for zone in zones]),
        shown=shown,
    )


class _Table:
    """The trace, a column at a time: a fleet's season has millions of rows."""

    def __init__(self, path: Path, start_ms: int, zones: int) -> None:
        import pyarrow.parquet as pq

        self._file = pq.ParquetFile(path)
        self._names = set(self._file.schema_arrow.names)
        self._kept: dict[str, npt.NDArray[np.float32]] = {}
        zone, time = self._read("zone"), self._read("time_ms")
        self._order = np.lexsort((time, zone))
        self.time_ms: npt.NDArray[np.int64] = time[self._order]
        self.n = zones
        bounds = np.searchsorted(zone[self._order], np.arange(self.n + 1))
        self.bounds: list[int] = bounds.tolist()
        self.start_ms = start_ms
        self.end_ms = int(time.max()) if len(time) else start_ms

    def _read(self, name: str) -> npt.NDArray[Any]:
        return _array(self._file.read([name])[name])

    def slice(self, zone: int) -> slice:
        """Rows of one zone."""
        return slice(self.bounds[zone], self.bounds[zone + 1])

    def column(self, name: str) -> Floats:
        """A column, zone by zone in time order; NaN where the trace has none."""
        if name not in self._names:
            return np.full(len(self.time_ms), np.nan)
        values: Floats = self._read(name)[self._order].astype(np.float64)
        return values

    def of(self, zone: int, name: str) -> Floats:
        """A column of one zone."""
        if name not in self._kept:
            self._kept[name] = self.column(name).astype(np.float32)
        return self._kept[name][self.slice(zone)].astype(np.float64)


class _Days:
    """Sums and means by day, arrays of shape (zones, days)."""

    def __init__(self, table: _Table) -> None:
        first = table.start_ms // DAY_MS
        # a row stands for the time before it: midnight belongs to the day that ends, but for the
        # very first, the state at the start
        day = np.maximum((table.time_ms - 1) // DAY_MS - first, 0)
        count = int(day.max()) + 1 if len(day) else 0
        self.starts_ms: list[int] = [(int(first) + i) * DAY_MS for i in range(count)]
        zone = np.repeat(np.arange(table.n), np.diff(table.bounds))
        cell = zone * count + day

        def binned(values: Floats) -> Floats:
            sums: Any = np.bincount(cell, weights=values, minlength=table.n * count)
            return np.asarray(sums, dtype=np.float64).reshape(table.n, count)

        def total(name: str) -> Floats:
            return binned(np.nan_to_num(table.column(name)))

        rows = np.maximum(binned(np.ones(len(cell))), 1.0)

        self.sums = {key: total(f"{key}_mm") for key in DAILY}
        depletion = total("dr_mm") / rows
        taw = total("taw_mm") / rows
        self.available = 100 * (1 - depletion / np.maximum(taw, 1e-9))
        """Water left of what the roots can use [%]."""


def _array(column: Any) -> npt.NDArray[Any]:
    """A column of an Arrow table; its own `to_numpy` would load pandas, a third of a second."""
    return np.concatenate([np.from_dlpack(chunk) for chunk in column.chunks])


def _round(values: Iterable[float], digits: int) -> list[float | None]:
    """Numbers for JSON: short, and null for what is not a number."""
    out: list[float | None] = []
    for value in np.round(np.asarray(values, dtype=np.float64), digits).tolist():
        if not math.isfinite(value):
            out.append(None)
        else:
            out.append(int(value) if value == int(value) else value)
    return out


def _thin(minutes: Floats, values: Floats, points: int, digits: int) -> Json:
    """A series with at most about `points` points; gaps (NaN) stay gaps."""
    from tsdownsample import MinMaxLTTBDownsampler

    finite = np.flatnonzero(np.isfinite(values))
    if not len(finite):
        return {"m": [], "v": []}
    # neither a constant nor one with few steps needs more points than it has edges
    edges = np.flatnonzero(np.diff(values[finite]) != 0)
    if len(edges) * 2 + 2 <= min(points, len(finite)):
        keep = np.unique(np.concatenate([[0], edges, edges + 1, [len(finite) - 1]]))
    elif len(finite) > points:
        y = np.ascontiguousarray(values[finite], dtype=np.float64)
        x = np.ascontiguousarray(minutes[finite], dtype=np.float64)
        downsampler: Any = MinMaxLTTBDownsampler  # comes without types
        keep = np.asarray(downsampler().downsample(x, y, n_out=points), dtype=np.int64)
    else:
        keep = np.arange(len(finite))
    rows = finite[keep]
    gaps = np.flatnonzero(np.isnan(values[1:]) & np.isfinite(values[:-1])) + 1
    rows = np.union1d(rows, gaps)
    return {"m": _round(minutes[rows], 3), "v": _round(values[rows], digits)}


def _series(table: _Table, zone: int, points: int) -> Json:
    minutes = (table.time_ms[table.slice(zone)] - table.start_ms) / 60_000

    def thin(values: Floats, digits: int) -> Json:
        return _thin(minutes, values, points, digits)

    counts = table.of(zone, "counts")
    energy = np.cumsum(np.nan_to_num(table.of(zone, "energy_j")), dtype=np.float64)
    return {
        "theta": thin(100 * table.of(zone, "theta_root"), 2),
        "fc": thin(np.round(100 * table.of(zone, "theta_fc_root"), 2), 2),
        "stress": thin(np.round(100 * table.of(zone, "theta_stress_root"), 2), 2),
        "truth": thin(100 * table.of(zone, "theta_probe"), 2),
        "counts": thin(np.where(counts < 0, np.nan, counts), 0),
        "battery": thin(table.of(zone, "battery_mv"), 0),
        "energy": thin(energy, 1),
        "root": thin(np.round(table.of(zone, "zr_m"), 3), 3),
    }


def _zones(summary: Json, scenario: Json) -> list[Json]:
    """Names and what the scenario says of each zone."""
    tables = [table for table in scenario["zone"] for _ in range(int(table.get("count", 1)))]
    zones = []
    for table, given in zip(tables, summary["zones"], strict=True):
        soil, crop, probe = (table.get(key, {}) for key in ("soil", "crop", "probe"))
        zones.append(
            {
                "name": str(given["name"]),
                "soil": _words(soil.get("texture"), soil.get("model")),
                "crop": str(crop.get("name", "")),
                "area_m2": table.get("area_m2"),
                "node": str(table.get("node", "sim")),
                "probe_m": probe.get("depth_m"),
                "probe_half_m": probe.get("half_height_m"),
            }
        )
    return zones


def _words(*parts: object) -> str:
    return ", ".join(str(part) for part in parts if part)


def _faults(summary: Json, names: Sequence[str]) -> list[Json]:
    """Label, kind, first and last instant, and the indices of the zones."""
    return [
        {
            "label": fault["label"],
            "kind": fault["kind"],
            "detail": " · ".join(
                str(part) for part in (fault["magnitude"], fault["effect"]) if part
            ),
            "start": fault["start_ms"],
            "end": fault["end_ms"],
            "zones": [names.index(name) for name in fault["zones"]],
        }
        for fault in summary["faults"]
    ]


def _remarkable(summary: Json, faults: Sequence[Json], days: _Days, n: int) -> list[int]:
    """The zones to show, the most remarkable first: hit by a fault, then short of water."""
    own = [sum(i in f["zones"] and len(f["zones"]) < n for f in faults) for i in range(n)]
    stress = [zone["stress_days"] for zone in summary["zones"]]
    ranked = sorted(range(n), key=lambda i: (-own[i], -stress[i], i))
    if n <= DETAILED_ZONES:
        return ranked
    water = np.argsort(days.sums["irrigation"].sum(axis=1))
    extremes = [int(z) for pair in zip(water, water[::-1], strict=True) for z in pair]
    half = DETAILED_ZONES // 2
    return list(dict.fromkeys(ranked[:half] + extremes))[:DETAILED_ZONES]


def _mean(balances: Sequence[Mapping[str, float]], areas: Sequence[float]) -> dict[str, float]:
    total = sum(areas)
    return {
        key: sum(b[key] * a for b, a in zip(balances, areas, strict=True)) / total
        for key, _, _ in BALANCE
    }


def _read_decisions(run: RunDir, zones: set[int], faults: Sequence[Json]) -> list[Decision]:
    from levada.sim.results.decisions import (
        read_decisions,  # its numba code takes half a second to load
    )

    skews: dict[int, list[tuple[int, int, int]]] = {}
    for fault, given in zip(faults, run.summary["faults"], strict=True):
        if fault["kind"] == "clock-unset":
            for zone in fault["zones"]:
                skews.setdefault(zone, []).append((fault["start"], fault["end"], -fault["start"]))
        if fault["kind"] == "clock-skew":
            from levada.sim.quantities import parse_quantity
            from levada.sim.scenario.fault import FAULTS

            ahead_s = parse_quantity(given["magnitude"], FAULTS["clock-skew"].units or {})
            for zone in fault["zones"]:
                window = (fault["start"], fault["end"], round(ahead_s * 1000))
                skews.setdefault(zone, []).append(window)
    return read_decisions(run.tape_path, zones=zones, skews=skews)


def _columns(decisions: Sequence[Decision]) -> Json:
    """Decisions by column; the message only where the reason is not known."""
    from levada.sim.results.decisions import Decision, sentence, title

    columns: Json = {
        field.name: [getattr(decision, field.name) for decision in decisions]
        for field in fields(Decision)
        if field.name != "message"
    }
    columns["changed"] = [int(changed) for changed in columns["changed"]]
    texts: dict[str, int] = {}
    for key, of in (("title", title), ("text", sentence)):
        columns[key] = [texts.setdefault(of(decision), len(texts)) for decision in decisions]
    columns["texts"] = list(texts)
    columns["message"] = {
        row: decision.message
        for row, decision in enumerate(decisions)
        if decision.why is None and decision.message
    }
    return columns


def _openings(table: _Table, zone: int, decisions: Sequence[Decision]) -> list[list[Any]]:
    """Commanded openings: start, end [ms], mm delivered."""
    times = table.time_ms[table.slice(zone)]
    commanded = np.nan_to_num(table.of(zone, "valve_commanded")) > 0
    water = np.concatenate([[0.0], np.cumsum(table.of(zone, "irrigation_mm"), dtype=np.float64)])
    edges = [(d.time_ms, d.irrigar) for d in decisions if d.changed]
    if not edges:
        changes = np.flatnonzero(np.diff(np.concatenate([[False], commanded])))
        edges = [(int(times[i]), int(commanded[i])) for i in changes]
    closed = times[~commanded]
    openings: list[list[Any]] = []
    start: int | None = None
    for time, state in [*edges, (int(times[-1]) if len(times) else 0, 0)]:
        if state and start is None:
            start = time
        elif not state and start is not None:
            # a node without power closes its valve, but cannot say so: the trace does
            after = int(np.searchsorted(closed, start, side="right"))
            end = min(time, int(closed[after])) if after < len(closed) else time
            # delivery follows the command: it lies in the rows after the opening up to the close
            a, b = np.searchsorted(times, [start, end], side="right")
            openings.append([start, end, round(float(water[b] - water[a]), 2)])
            start = None
    return openings


def _mismatches(
    table: _Table, zone: int, openings: Sequence[Sequence[Any]]
) -> tuple[list[list[int]], list[list[int]]]:
    """Spans [ms] in which water flowed unasked, and in which none came though asked throughout."""
    times = table.time_ms[table.slice(zone)].astype(np.float64)
    if len(times) < 2:
        return [], []
    flow_l = np.nan_to_num(table.of(zone, "flow_l"))[1:]

    def open_ms(later_ms: float) -> Floats:
        """How long the valve was asked to be open in each interval, if closed so much later."""
        edges, total = [times[0]], [0.0]
        for start, end, _ in openings:
            edges += [max(start, edges[-1]), max(end + later_ms, edges[-1])]
            total += [total[-1], total[-1] + edges[-1] - edges[-2]]
        return np.diff(np.interp(times, edges, total))

    unasked = (flow_l > LEAST_FLOW_L) & (open_ms(CLOSING_MS) == 0)
    unmet = (flow_l <= LEAST_FLOW_L) & (open_ms(0.0) == np.diff(times))
    return _spans(times, unasked), _spans(times, unmet)


def _spans(times: Floats, flags: npt.NDArray[np.bool_]) -> list[list[int]]:
    """Runs of flagged intervals between the times."""
    edges = np.flatnonzero(np.diff(np.concatenate([[False], flags, [False]]).astype(np.int8)))
    return [[int(times[a]), int(times[b])] for a, b in zip(edges[::2], edges[1::2], strict=True)]


def _fit(table: _Table, zone: int) -> list[float] | None:
    """Counts = a + b theta[%] by least squares over the rows without a fault, or None.

    It only lays the two scales of the probe chart over each other.
    """
    counts, truth = table.of(zone, "counts"), 100 * table.of(zone, "theta_probe")
    good = (np.nan_to_num(table.of(zone, "fault")) == 0) & (counts > 0) & (counts < 4095)
    good &= np.isfinite(truth)
    x, y = truth[good].astype(np.float64), counts[good].astype(np.float64)
    if len(x) < 10 or float(np.ptp(x)) < 0.1:
        return None
    slope = float(np.cov(x, y)[0, 1] / np.var(x, ddof=1))
    if abs(slope) < 1e-6:
        return None
    return [round(float(y.mean() - slope * x.mean()), 3), round(slope, 4)]


def _profiles(path: Path, zones: set[int]) -> Json:
    """theta [% of volume] over time and depth, by zone: {zone: {t, depth, z[depth][time]}}."""
    if not path.is_file():
        return {}
    import pyarrow.parquet as pq

    table = pq.read_table(path)
    zone, time, depth, theta = (_array(table[n]) for n in ("zone", "time_ms", "depth_m", "theta"))
    profiles: Json = {}
    for z in np.unique(zone).tolist():
        if z not in zones or len(profiles) >= PROFILED_ZONES:
            continue
        mine = zone == z
        times, t = np.unique(time[mine], return_inverse=True)
        depths, d = np.unique(depth[mine], return_inverse=True)
        grid = np.full((len(depths), len(times)), np.nan)
        grid[d, t] = 100 * theta[mine]
        every = max(1, math.ceil(len(times) / PROFILE_TIMES))
        profiles[str(z)] = {
            "t": times[::every].tolist(),
            "depth": _round(depths, 4),
            "z": [_round(row, 1) for row in grid[:, ::every]],
        }
    return profiles


def _fleet(days: _Days, summary: Json) -> Json:
    """All zones: available water by day with its bands over the zones, water used, stress."""
    shares = np.percentile(days.available, [5, 25, 50, 75, 95], axis=0)
    return {
        "available": [_round(row, 0) for row in days.available],
        "bands": [_round(row, 1) for row in shares],
        "irrigation": _round(days.sums["irrigation"].sum(axis=1), 1),
        "stress_days": _round([zone["stress_days"] for zone in summary["zones"]], 1),
    }
