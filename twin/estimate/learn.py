"""What a season's readings say of the parameters of a zone.

An ensemble with parameters of the prior goes through the whole record; an analysis moves the
parameters by the difference of readings and predictions, and the ensemble goes through it again, in
all `PASSES` times with errors larger by the root of that number: ensemble smoother with multiple
data assimilation, A. A. Emerick and A. C. Reynolds (2013), Computers & Geosciences 55, 3-15.  No
state is ever corrected, so water is never made or lost, and what is concluded depends on the set of
reports alone, not on the order in which they came.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from levada.sim.scenario.expand import ZoneConfig
from levada.sim.scenario.model import Scenario
from levada.sim.seeds import generator
from levada.sim.soil.model import FloatArray
from levada.sim.units import HOUR_MS
from levada.twin import signals as values_of
from levada.twin.errors import TwinError
from levada.twin.estimate.analysis import analyse
from levada.twin.estimate.ensemble import IntArray, SoilEnsemble, Trajectory
from levada.twin.estimate.parameters import PARAMETERS
from levada.twin.estimate.readings import error_of, usable
from levada.twin.sources.recording import stored_reports
from levada.twin.sources.remote import DeviceReport

__all__ = ["Learned", "Record", "learn", "record_of", "stored_record"]

PASSES: Final = 4
EVERY_MS: Final = 6 * HOUR_MS
"""Readings closer than this tell little that is new."""
LEAST_READINGS: Final = 8
READING_SD: Final = 0.01
"""Least error of a reading beside the mean of a column, noise and soil around the probe together
[m3 m-3]."""
SOIL_LOST: Final = 4.0
"""Most by which the error is raised for what no parameter explains."""


@dataclass(frozen=True, kw_only=True)
class Record:
    """What a zone's device has told: readings that may be used, on the hour, and openings."""

    time_ms: IntArray
    theta: FloatArray
    """Water content by the probe's calibration [m3 m-3], shape (t,)."""
    openings_ms: IntArray
    """From and to, shape (openings, 2)."""
    refused: int
    """Readings that were stuck or implausible."""


@dataclass(frozen=True, kw_only=True)
class Learned:
    """Parameters before and after, and how well the readings are met."""

    members: int
    prior: Mapping[str, FloatArray]
    """Values of the members by name, shape (n,)."""
    posterior: Mapping[str, FloatArray]
    free: Trajectory
    """The ensemble of the prior at the times of the record."""
    corrected: Trajectory
    rms_free: float
    """Of the mean of the prior's ensemble beside the readings [m3 m-3]."""
    rms_corrected: float
    error_sd: float
    """What a reading was taken to be wrong by: at least `READING_SD` [m3 m-3]."""

    def digest(self) -> str:
        """SHA-256 of everything that was concluded."""
        found = hashlib.sha256()
        for name in sorted(self.posterior):
            found.update(name.encode() + np.ascontiguousarray(self.posterior[name]).tobytes())
        return found.hexdigest()


def stored_record(store: str, scenario: Scenario, zone: ZoneConfig) -> Record:
    """The record of a zone in a store; see `record_of`.  Raises StoreError if it cannot be read."""
    return record_of(stored_reports(store, zone.name, scenario), scenario, zone)


def record_of(reports: Sequence[DeviceReport], scenario: Scenario, zone: ZoneConfig) -> Record:
    """Readings every six hours and openings from reports in any order, doubled ones once.

    Raises TwinError for a probe that does not
    tell water content, or too few readings.
    """
    known = values_of.curve(zone.probe)
    if known is None:
        raise TwinError(f"zone {zone.name}: a tensiometer tells no water content to learn from")
    single = {(r.boot, r.seq): r for r in sorted(reports, key=_order)}
    ordered = sorted(single.values(), key=_order)
    read = [r for r in ordered if "raw" in r.values]
    time_ms = np.array([r.time_ms for r in read], dtype=np.int64)
    raw = np.array([r.values["raw"] for r in read], dtype=np.float64)
    found = [values_of.theta(known, int(r.values["raw"])) for r in read]
    theta = np.array([np.nan if v is None else v for v in found], dtype=np.float64)
    good = usable(raw, theta) if len(read) else np.zeros(0, dtype=bool)
    start_ms, end_ms = scenario.period.start_ms, scenario.period.end_ms
    slots = (time_ms - start_ms) // EVERY_MS
    hours, means = [], []
    for slot in np.unique(slots[good & (time_ms > start_ms) & (time_ms <= end_ms)]).tolist():
        at_ms = start_ms + (slot + 1) * EVERY_MS
        near = good & (time_ms > at_ms - HOUR_MS) & (time_ms <= at_ms)
        if near.any() and at_ms <= end_ms:
            hours.append(at_ms)
            means.append(float(theta[near].mean()))
    if len(hours) < LEAST_READINGS:
        raise TwinError(
            f"zone {zone.name}: {len(hours)} usable readings six hours apart, needed are "
            f"{LEAST_READINGS}; {int((~good).sum())} of {len(read)} were stuck or implausible"
        )
    return Record(
        time_ms=np.array(hours, dtype=np.int64),
        theta=np.array(means),
        openings_ms=_openings(ordered, scenario),
        refused=int((~good).sum()),
    )


def _order(report: DeviceReport) -> tuple[int, int, int]:
    return report.time_ms, report.boot or 0, report.seq or 0


def _openings(reports: Sequence[DeviceReport], scenario: Scenario) -> IntArray:
    rows: list[tuple[int, int]] = []
    since: int | None = None
    last = scenario.period.start_ms
    for report in reports:
        last = report.time_ms
        if "irrigar" not in report.values:
            continue
        is_open = report.values["irrigar"] > 0
        if is_open and since is None:
            since = last
        elif not is_open and since is not None:
            rows.append((since, last))
            since = None
    if since is not None:
        rows.append((since, last))
    return np.array(rows, dtype=np.int64).reshape(-1, 2)


def learn(
    scenario: Scenario,
    zone: ZoneConfig,
    record: Record,
    *,
    members: int = 64,
    names: Sequence[str] = tuple(PARAMETERS),
    progress: Callable[[str], None] = lambda _: None,
) -> Learned:
    """Learn the parameters `names` of a zone from a record; equal seeds of the scenario give equal
    results."""
    normal = generator(scenario.seed, "estimate", zone.name).standard_normal((len(names), members))
    normal -= normal.mean(axis=1, keepdims=True)
    start = np.array([PARAMETERS[k].draw(row) for k, row in zip(names, normal, strict=True)])
    progress("prior")
    free = _run(scenario, zone, names, start, record)
    error_sd = READING_SD
    for attempt in range(2):
        moved, now = start, free
        for k in range(PASSES):
            moved = _pass(names, moved, now, record, error_sd)
            progress(f"round {attempt + 1} of 2, pass {k + 1} of {PASSES}")
            now = _run(scenario, zone, names, moved, record)
        rms = _rms(_predicted(names, moved, now), record)
        if attempt == 0:
            error_sd = _raised(_predicted(names, moved, now), record, error_sd)
    return Learned(
        members=members,
        prior=_values(names, start),
        posterior=_values(names, moved),
        free=free,
        corrected=now,
        rms_free=_rms(_predicted(names, start, free), record),
        rms_corrected=rms,
        error_sd=error_sd,
    )


def _values(names: Sequence[str], free: FloatArray) -> dict[str, FloatArray]:
    return {name: PARAMETERS[name].value(row) for name, row in zip(names, free, strict=True)}


def _run(
    scenario: Scenario, zone: ZoneConfig, names: Sequence[str], free: FloatArray, record: Record
) -> Trajectory:
    ensemble = SoilEnsemble(scenario, zone, _values(names, free))
    return ensemble.run(record.time_ms, record.openings_ms)


def _predicted(names: Sequence[str], free: FloatArray, now: Trajectory) -> FloatArray:
    """What the probe of each member would have said, shape (t, members)."""
    offset = _values(names, free).get("offset", np.zeros(free.shape[1]))
    return now.probe + offset


def _pass(
    names: Sequence[str], free: FloatArray, now: Trajectory, record: Record, error_sd: float
) -> FloatArray:
    errors = error_of(record.time_ms, record.openings_ms, sd=error_sd)
    predicted = _predicted(names, free, now)
    return analyse(free, predicted, record.theta, errors * np.sqrt(PASSES))


def _rms(predicted: FloatArray, record: Record) -> float:
    return float(np.sqrt(np.mean((predicted.mean(axis=1) - record.theta) ** 2)))


def _raised(predicted: FloatArray, record: Record, error_sd: float) -> float:
    """The error under which the residuals have the size they should, for readings whose errors
    last: larger by sqrt((1 + r) / (1 - r)), r their correlation from one to the next."""
    residual = record.theta - predicted.mean(axis=1)
    rms = float(np.sqrt(np.mean(residual**2)))
    centred = residual - residual.mean()
    total = float(centred @ centred)
    r = float(centred[1:] @ centred[:-1]) / total if total > 0.0 else 0.0
    r = min(max(r, 0.0), 0.95)
    lasting = np.sqrt((1.0 + r) / (1.0 - r))
    return float(np.clip(max(rms, error_sd) * lasting, error_sd, SOIL_LOST * error_sd))
