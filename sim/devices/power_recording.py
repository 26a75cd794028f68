"""Recordings of power meters: read them, and fit the energy profile of a node to them.

The format is recognised by the header of the CSV file:

    meter        header                                         written by
    Nordic PPK2  Timestamp(ms),Current(uA)[,D0-D7][,D0,..,D7]   Power Profiler 4.x, export
    Joulescope   #time (s),current (A),voltage (V)              UI 0.x, waveform export
    Joulescope   #time,current,voltage,power,charge,energy      UI, statistics recording (SI)
    Otii         Timestamp,Value                                Otii 3, current channel (s, A)
    any          a time and a current column, both with unit    e.g. time [s];current [mA]

A recording shows a node that sleeps most of the time and wakes for steps.  What is above the
geometric mean of the sleeping and the highest current is a wake; what is above 80 mA within a wake
is the radio (an ESP32 draws at most 68 mA with the radio off and at least 95 mA with it on).  From
these come the sleeping current, current and time of a wake, and the charge of a radio burst, each
with the standard error of its mean and the accuracy of the meter.

Left out: charge per byte and per instruction, which one recording does not tell apart.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt

from levada.sim.devices.energy import EnergyProfile, Range
from levada.sim.devices.energy import profile as named_profile
from levada.sim.devices.energy_constants import constant
from levada.sim.errors import SimError
from levada.sim.soil.model import FloatArray

__all__ = ["EnergyFileError", "EnergyFit", "PowerRecording", "fit", "read_recording"]

RADIO_ABOVE_A: Final = 0.080
"""Between 68 mA, the most with the radio off, and 95 mA, the least with it on (datasheet v5.2)."""

TIME_UNITS: Final = {"s": 1.0, "sec": 1.0, "ms": 1e-3, "us": 1e-6, "µs": 1e-6}
CURRENT_UNITS: Final = {"a": 1.0, "ma": 1e-3, "ua": 1e-6, "µa": 1e-6, "μa": 1e-6, "na": 1e-9}
VOLTAGE_UNITS: Final = {"v": 1.0, "mv": 1e-3}

MAX_HEADER: Final = 4096
"""Characters of the first line; a file of another kind may be one line of any length."""

ACCURACY: Final = {"Nordic PPK2": 0.10, "Joulescope": 0.01, "Otii": 0.01, "other": 0.05}
"""Our allowance for the meter, relative; wider than what makers state for the gain alone."""


class EnergyFileError(SimError, ValueError):
    """A recording that cannot be read or fitted: file, line, what was found, what is needed."""


@dataclass(frozen=True, kw_only=True, slots=True)
class PowerRecording:
    """Current over time, as a power meter wrote it."""

    name: str
    meter: str
    time_s: FloatArray
    """From the first sample."""
    current_a: FloatArray
    voltage_v: FloatArray | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class EnergyFit:
    """A profile and how well the recording supports it."""

    profile: EnergyProfile
    wakes: int
    """Complete wakes in the recording."""
    bursts: int
    """Of them, with radio."""
    wake_residual: float
    """RMS difference of the charge of one wake, recorded and modelled, relative to the mean."""
    total_residual: float
    """Charge of the whole recording, modelled less recorded, relative."""
    notes: tuple[str, ...]
    """What the recording does not tell."""


@dataclass(frozen=True, slots=True)
class _Columns:
    meter: str
    time: int
    time_scale: float
    current: int
    current_scale: float
    voltage: int | None
    voltage_scale: float


def read_recording(path: str | Path) -> PowerRecording:
    """Read a CSV export; the meter is recognised by the header.

    Raises EnergyFileError with file and line if the header is unknown, a value is not a number,
    time does not increase, or samples are missing.
    """
    path = Path(path)
    try:
        return _read(path)
    except UnicodeDecodeError:
        raise EnergyFileError(f"{path.name}: not UTF-8, so no CSV of a power meter") from None


def _read(path: Path) -> PowerRecording:
    with path.open(encoding="utf-8-sig", newline=None) as file:
        header = file.readline(MAX_HEADER + 1).rstrip("\n")
        if len(header) > MAX_HEADER:
            raise EnergyFileError(
                f"{path.name}:1: no header of a CSV: over {MAX_HEADER:,} characters without an end"
            )
        delimiter = max(",;\t", key=header.count)
        columns = _columns(path.name, [cell.strip() for cell in header.split(delimiter)])
        use = [columns.time, columns.current]
        if columns.voltage is not None:
            use.append(columns.voltage)
        start = file.tell()
        try:
            table = np.loadtxt(file, delimiter=delimiter, usecols=use, comments=None, ndmin=2)
        except ValueError:
            file.seek(start)
            raise _bad_line(path.name, file, delimiter, use) from None
    if len(table) < 10:
        raise EnergyFileError(f"{path.name}: {len(table)} samples: at least 10 are needed")
    if not np.isfinite(table).all():
        line = int(np.argmin(np.isfinite(table).all(axis=1))) + 2
        raise EnergyFileError(f"{path.name}:{line}: values must be finite")
    time_s = (table[:, 0] - table[0, 0]) * columns.time_scale
    steps = np.diff(time_s)
    if (steps <= 0).any():
        line = int(np.argmax(steps <= 0)) + 3
        raise EnergyFileError(
            f"{path.name}:{line}: time {table[line - 2, 0]:g} after {table[line - 3, 0]:g}: "
            "must increase"
        )
    usual = float(np.median(steps))
    if steps.max() > 20 * usual:
        line = int(np.argmax(steps)) + 3
        raise EnergyFileError(
            f"{path.name}:{line}: {steps.max():g} s since the previous sample, usually {usual:g} s:"
            " samples are missing"
        )
    return PowerRecording(
        name=path.name,
        meter=columns.meter,
        time_s=time_s,
        current_a=table[:, 1] * columns.current_scale,
        voltage_v=None if columns.voltage is None else table[:, 2] * columns.voltage_scale,
    )


def _columns(file: str, cells: list[str]) -> _Columns:
    """Which columns hold what, from the cells of the header."""
    plain = [cell.lstrip("#").strip().lower() for cell in cells]
    if plain[:3] == ["time", "current", "voltage"]:
        return _Columns("Joulescope", 0, 1.0, 1, 1.0, 2, 1.0)
    if plain[:2] == ["timestamp", "value"]:
        return _Columns("Otii", 0, 1.0, 1, 1.0, None, 1.0)
    found: dict[str, tuple[int, float]] = {}
    for index, cell in enumerate(plain):
        match = re.fullmatch(r"([^(\[]*)[(\[]([^)\]]+)[)\]]", cell)
        if not match:
            continue
        name, unit = (part.strip() for part in match.groups())
        for key, units in (
            ("time", TIME_UNITS),
            ("current", CURRENT_UNITS),
            ("voltage", VOLTAGE_UNITS),
        ):
            if key in name and key not in found:
                if unit not in units:
                    raise EnergyFileError(
                        f"{file}:1: unit {unit!r} of {cells[index]!r}: "
                        f"permitted are {', '.join(units)}"
                    )
                found[key] = (index, units[unit])
    missing = [key for key in ("time", "current") if key not in found]
    if missing:
        raise EnergyFileError(
            f"{file}:1: header {', '.join(cells)!r} has no column for {' and '.join(missing)} with "
            "a unit; known are 'Timestamp(ms),Current(uA)' (Nordic PPK2), "
            "'#time (s),current (A),voltage (V)' and '#time,current,voltage,power,charge,energy' "
            "(Joulescope), 'Timestamp,Value' (Otii)"
        )
    if plain[0] == "timestamp(ms)":
        meter = "Nordic PPK2"
    elif plain[:2] == ["time (s)", "current (a)"]:
        meter = "Joulescope"
    else:
        meter = "other"
    voltage, voltage_scale = found.get("voltage", (None, 1.0))
    return _Columns(meter, *found["time"], *found["current"], voltage, voltage_scale)


def _bad_line(file: str, lines: Iterable[str], delimiter: str, use: list[int]) -> EnergyFileError:
    """The error for the first line that is not a row of numbers."""
    assert hasattr(lines, "__iter__")
    for number, line in enumerate(lines, start=2):
        cells = line.rstrip("\n").split(delimiter)
        for column in use:
            try:
                float(cells[column])
            except IndexError:
                return EnergyFileError(
                    f"{file}:{number}: {len(cells)} columns, at least {max(use) + 1} are needed"
                )
            except ValueError:
                return EnergyFileError(
                    f"{file}:{number}: {cells[column]!r} in column {column + 1}: must be a number"
                )
    return EnergyFileError(f"{file}: cannot be read as a table of numbers")


def fit(
    recording: PowerRecording,
    *,
    wake_above_a: float | None = None,
    radio_above_a: float = RADIO_ABOVE_A,
    merge_s: float = 0.05,
    shortest_wake_s: float = 0.01,
    accuracy: float | None = None,
) -> EnergyFit:
    """Fit the profile of a node to a recording of at least three complete wakes.

    `wake_above_a` separates sleep from wake, by default the geometric mean of the median and the
    highest current.  Pauses shorter than `merge_s` belong to a wake or burst; what is shorter than
    `shortest_wake_s`, such as beacons received in light sleep, belongs to sleep.  `accuracy` is
    the relative error of the meter, by default our allowance for its kind (`ACCURACY`).

    Raises EnergyFileError if there are not enough wakes.
    """
    current = recording.current_a
    dt = np.diff(recording.time_s, append=2 * recording.time_s[-1] - recording.time_s[-2])
    wake_above_a = _wake_level(recording) if wake_above_a is None else wake_above_a
    awake = _bridged(current > wake_above_a, recording.time_s, dt, merge_s, shortest_wake_s)
    starts, ends = _runs(awake)
    complete = (starts > 0) & (ends < len(current))
    cut = ~complete
    keep = np.ones(len(current), dtype=bool)
    for a, b in zip(starts[cut], ends[cut], strict=True):
        keep[a:b] = False  # begun before or unfinished after the recording: tells nothing
    starts, ends = starts[complete], ends[complete]
    if len(starts) < 3:
        raise EnergyFileError(
            f"{recording.name}: {len(starts)} complete wakes above {wake_above_a * 1e3:.4g} mA: "
            "at least 3 are needed"
        )

    sleeping = keep & ~awake
    sleep_a = _mean(current, dt, sleeping)
    sleep_means = [
        float(np.average(current[a:b], weights=dt[a:b]))
        for a, b in zip(*_runs(sleeping), strict=True)
    ]

    radio = awake & _bridged(current > radio_above_a, recording.time_s, dt, merge_s, 0.0)
    working = keep & awake & ~radio
    active_ms, active_a, burst_mc, charge_mc = _wakes(
        current, dt, sleep_a, list(zip(starts, ends, strict=True)), radio, working
    )
    if not active_a:
        raise EnergyFileError(
            f"{recording.name}: every wake is above radio_above_a = {radio_above_a * 1e3:.4g} mA "
            "throughout; raise it"
        )

    accuracy = ACCURACY[recording.meter] if accuracy is None else accuracy
    notes = ["charge per instruction is not in a recording: constants; per byte: in the bursts"]
    default = named_profile("esp32-wifi")
    working_a = _mean(current, dt, working)
    wake_ms = float(np.mean(active_ms))
    if burst_mc:
        burst = _range(float(np.mean(burst_mc)), burst_mc, accuracy)
        if len(burst_mc) == 1:
            notes.append("one radio burst: its spread is not known")
    else:
        burst = default.burst_mc
        notes.append("no radio burst in the recording: constants")
    if np.any(cut):
        notes.append(f"{int(cut.sum())} wake(s) cut by the ends of the recording were left out")
    profile = EnergyProfile(
        name=f"fitted to {recording.name} ({recording.meter})",
        supply_v=(
            constant("supply_v").nominal
            if recording.voltage_v is None
            else float(np.average(recording.voltage_v, weights=dt))
        ),
        sleep_ma=_range(sleep_a, sleep_means, accuracy).scaled(1e3),
        active_ma=_range(working_a, active_a, accuracy).scaled(1e3),
        wake_ms=_range(wake_ms, active_ms, 0.0),
        instruction_ms=default.instruction_ms,
        burst_mc=burst,
        byte_mc=Range(0.0, 0.0, 0.0),
        label=f"model fitted to {recording.name}; this run was not measured",
    )
    wake_mc = (working_a - sleep_a) * wake_ms
    modelled = np.array(
        [
            wake_mc + (burst.nominal if radio[a:b].any() else 0.0)
            for a, b in zip(starts, ends, strict=True)
        ]
    )
    recorded = np.array(charge_mc)
    whole_mc = float((current * dt)[keep].sum()) * 1e3
    model_mc = sleep_a * float(dt[keep].sum()) * 1e3 + float(modelled.sum())
    return EnergyFit(
        profile=profile,
        wakes=len(starts),
        bursts=len(burst_mc),
        wake_residual=float(np.sqrt(np.mean((recorded - modelled) ** 2)) / recorded.mean()),
        total_residual=(model_mc - whole_mc) / whole_mc,
        notes=tuple(notes),
    )


Mask = npt.NDArray[np.bool_]


def _wake_level(recording: PowerRecording) -> float:
    """Current between sleep and wake: geometric mean of the median and the highest current [A]."""
    level = max(float(np.median(recording.current_a)), 1e-7)
    peak = float(recording.current_a.max())
    if peak < 3 * level:
        raise EnergyFileError(
            f"{recording.name}: highest current {peak * 1e3:.4g} mA, median "
            f"{level * 1e3:.4g} mA: no wakes stand out; the node must sleep for more than half "
            "of the recording, or give wake_above_a"
        )
    return float(np.sqrt(level * peak))


def _wakes(
    current: FloatArray,
    dt: FloatArray,
    sleep_a: float,
    wakes: Sequence[tuple[int, int]],
    radio: Mask,
    working: Mask,
) -> tuple[list[float], list[float], list[float], list[float]]:
    """Of every wake: time at work [ms], current there [A], charge of its bursts and in all [mC].

    Wakes without work have no current, wakes without radio no burst.
    """
    active_ms, active_a, burst_mc, charge_mc = [], [], [], []
    for a, b in wakes:
        span = slice(a, b)
        on = working[span]
        above_mc = (current[span] - sleep_a) * dt[span] * 1e3
        active_ms.append(float(dt[span][on].sum()) * 1e3)
        if on.any():
            active_a.append(_mean(current[span], dt[span], on))
        charge_mc.append(float(above_mc.sum()))
        if radio[span].any():
            burst_mc.append(float(above_mc[radio[span]].sum()))
    return active_ms, active_a, burst_mc, charge_mc


def _runs(mask: Mask) -> tuple[npt.NDArray[np.intp], npt.NDArray[np.intp]]:
    """Starts and ends (exclusive) of the runs of true."""
    edges = np.diff(mask.astype(np.int8), prepend=0, append=0)
    return np.flatnonzero(edges == 1), np.flatnonzero(edges == -1)


def _bridged(mask: Mask, time_s: FloatArray, dt: FloatArray, gap_s: float, least_s: float) -> Mask:
    """`mask` with pauses shorter than `gap_s` filled, then runs shorter than `least_s` removed."""
    result = mask.copy()
    starts, ends = _runs(mask)
    until = np.append(time_s, time_s[-1] + dt[-1])
    for a, b in zip(ends[:-1], starts[1:], strict=True):
        if until[b] - until[a] < gap_s:
            result[a:b] = True
    for a, b in zip(*_runs(result), strict=True):
        if until[b] - until[a] < least_s:
            result[a:b] = False
    return result


def _mean(current: FloatArray, dt: FloatArray, mask: Mask) -> float:
    return float(np.average(current[mask], weights=dt[mask]))


def _range(mean: float, samples: list[float], accuracy: float) -> Range:
    """The mean, two standard errors and the accuracy of the meter to both sides."""
    error = 0.0
    if len(samples) > 1:
        error = 2.0 * float(np.std(samples, ddof=1)) / float(np.sqrt(len(samples)))
    mean = max(mean, 0.0)
    half = float(np.hypot(error, accuracy * mean))
    return Range(max(0.0, mean - half), mean, mean + half)
