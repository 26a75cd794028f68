"""A run as a Value Change Dump (IEEE 1364-2005, section 18), for GTKWave and its like.

From the tape come, to the millisecond of the node's clock, when a guest ran, what it read and what
it set; from the trace, row by row, whether water could pass and how much did.  One scope a zone;
time 0 is the start of the run.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import count
from pathlib import Path
from typing import Any, Final, TextIO

import numpy as np

from guest.abi import DEFAULT_PINS, Call, Sensor
from guest.tape import TapeReader, iter_records
from sim.rundir import RunDir

__all__ = ["write_vcd"]

READINGS: Final = {
    Sensor.MOISTURE: "moisture_counts",
    Sensor.TEMPERATURE: "temperature_cdegc",
    Sensor.BATTERY: "battery_mv",
    Sensor.FLOW: "flow_pulses",
}
PINS: Final = {
    pin: "valve_commanded" if k == 0 else f"output_{pin}" for k, pin in enumerate(DEFAULT_PINS)
}
EVENT, BIT, NUMBER, REAL = "event", "wire 1", "integer 32", "real 64"
SIGNALS: Final = {
    "step": EVENT,
    "trapped": BIT,
    **dict.fromkeys(PINS.values(), BIT),
    **dict.fromkeys(READINGS.values(), NUMBER),
    "valve_open": BIT,
    "flow_l_min": REAL,
}

Change = tuple[int, str, Any]
"""Time [ms since 1970], signal, value."""


def write_vcd(run: RunDir, path: Path) -> None:
    """Write the run to `path`."""
    reader = TapeReader(run.tape_path)
    start_ms = reader.start_ms
    tapes = reader.tapes()
    with path.open("w", encoding="ascii") as file:
        file.write("$version levada $end\n$timescale 1 ms $end\n")
        file.write(f"$comment time 0 is {run.summary['start']} $end\n")
        marks = map(_mark, count())
        changes: list[tuple[int, str, str, Any]] = []
        for zone, name in enumerate(reader.zones):
            file.write(f"$scope module {_identifier(name)} $end\n")
            mark = {}
            for signal, kind in SIGNALS.items():
                mark[signal] = next(marks)
                size = "" if " " in kind else " 1"
                file.write(f"$var {kind}{size} {mark[signal]} {signal} $end\n")
            file.write("$upscope $end\n")
            for source in (_of_tape(tapes[zone]), _of_trace(run, zone)):
                changes += [(t, mark[s], SIGNALS[s], v) for t, s, v in source]
        file.write("$enddefinitions $end\n")
        changes.sort(key=lambda change: change[0])
        _write_changes(file, changes, start_ms)


def _write_changes(file: TextIO, changes: list[tuple[int, str, str, Any]], start_ms: int) -> None:
    last: dict[str, Any] = {}
    now = -1
    for time_ms, mark, kind, value in changes:
        if kind != EVENT and last.get(mark) == value:
            continue
        last[mark] = value
        # a clock that is set back shows time before the run; a dump knows none
        since = max(time_ms - start_ms, 0)
        if since != now:
            now = since
            file.write(f"#{now}\n")
        if kind in (EVENT, BIT):
            file.write(f"{value:d}{mark}\n")
        elif kind == NUMBER:
            file.write(f"b{value & 0xFFFFFFFF:b} {mark}\n")
        else:
            file.write(f"r{value:.9g} {mark}\n")


def _of_tape(tape: bytes) -> Iterator[Change]:
    now = 0
    for call, values, _ in iter_records(tape):
        if call == Call.STEP:
            now = values[0]
            yield now, "step", 1
        elif call == Call.BOOT:
            now = values[0]
            yield now, "trapped", 0
            yield from ((now, signal, 0) for signal in PINS.values())
        elif call == Call.TRAP:
            yield now, "trapped", 1
            yield from ((now, signal, 0) for signal in PINS.values())
        elif call == Call.DELAY_MS:
            now += max(values[0], 0)
        elif call == Call.SET_OUTPUT and values[0] in PINS:
            yield now, PINS[values[0]], int(values[1] != 0)
        elif call == Call.READ_SENSOR and values[0] in READINGS:
            yield now, READINGS[values[0]], values[1]


def _of_trace(run: RunDir, zone: int) -> Iterator[Change]:
    trace = run.trace
    of_zone = trace["zone"] == zone
    times = trace["time_ms"][of_zone].astype(np.int64)
    litres = trace["flow_l"][of_zone].astype(float)
    minutes = np.diff(times, prepend=times[:1]) / 60_000.0
    flow = np.divide(litres, minutes, out=np.zeros_like(litres), where=minutes > 0)
    is_open = trace["valve_open"][of_zone].tolist()
    for time_ms, open_now, flow_now in zip(times.tolist(), is_open, flow.tolist(), strict=True):
        yield time_ms, "valve_open", int(open_now)
        yield time_ms, "flow_l_min", flow_now


def _mark(number: int) -> str:
    """The identifier of a signal: printable characters, as few as there can be."""
    text = ""
    while True:
        number, digit = divmod(number, 94)
        text += chr(33 + digit)
        if number == 0:
            return text
        number -= 1


def _identifier(name: str) -> str:
    return "".join(c if c.isascii() and c.isalnum() else "_" for c in name)
