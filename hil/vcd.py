"""A run as a Value Change Dump (IEEE 1364-2005, section 18), for GTKWave and its like.

From the tape come, to the millisecond of the node's clock, when a guest ran, what it read and what
it set; from the trace, when water could pass and how much did, which is the mean of a row while the
valve was open in it.  One scope a zone; time 0 is the start of the run.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import groupby, pairwise
from pathlib import Path
from typing import Any, Final

from vcd.common import VarType
from vcd.writer import VCDWriter

from levada.guest.abi import DEFAULT_PINS, Call, Sensor
from levada.guest.tape import TapeReader, iter_records
from levada.sim.run.rundir import RunDir

__all__ = ["write_vcd"]

READINGS: Final = {
    Sensor.MOISTURE: "moisture_counts",
    Sensor.TEMPERATURE: "temperature_cdegc",
    Sensor.BATTERY: "battery_mv",
    Sensor.FLOW: "flow_pulses",
    Sensor.RAIN: "rain_tips",
    Sensor.FORECAST: "forecast_tenth_mm",
    Sensor.ET0: "et0_hundredth_mm",
}
PINS: Final = {
    pin: "valve_commanded" if k == 0 else f"output_{pin}" for k, pin in enumerate(DEFAULT_PINS)
}
STEP, BIT = (VarType.event, 1), (VarType.wire, 1)
SIGNALS: Final = {
    "step": STEP,
    "trapped": BIT,
    **dict.fromkeys(PINS.values(), BIT),
    **dict.fromkeys(READINGS.values(), (VarType.integer, 32)),
    "valve_open": BIT,
    "flow_l_min": (VarType.real, 64),
}
"""Type and size of each signal of a zone [bit]."""

Change = tuple[int, str, Any]
"""Time [ms since 1970], signal, value."""


def write_vcd(run: RunDir, path: Path) -> None:
    """Write the run to `path`."""
    reader = TapeReader(run.tape_path)
    tapes = reader.tapes()
    with (
        path.open("w", encoding="ascii") as file,
        VCDWriter(
            file,
            timescale="1 ms",
            date="",
            version="levada",
            comment=f"time 0 is {run.summary['start']}",
        ) as writer,
    ):
        changes: list[tuple[int, Any, Any]] = []
        for zone, name in enumerate(reader.zones):
            variables = {
                signal: writer.register_var(_identifier(name), signal, kind, size)
                for signal, (kind, size) in SIGNALS.items()
            }
            of_tape = list(_of_tape(tapes[zone]))
            commands = [(t, v) for t, signal, v in of_tape if signal == "valve_commanded"]
            for time_ms, signal, value in (*of_tape, *_of_trace(run, zone, commands)):
                # a clock that is set back shows time before the run; a dump knows none
                since_ms = max(time_ms - reader.start_ms, 0)
                changes.append((since_ms, variables[signal], value))
        # what holds at time 0 goes into the head of the dump, which takes no events
        changes.sort(key=lambda change: (change[0], change[1].type == VarType.event))
        for at_event, group in groupby(changes, lambda change: change[1].type == VarType.event):
            if at_event:
                writer.flush()
            for since_ms, variable, value in group:
                writer.change(variable, since_ms, value)


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


def _of_trace(run: RunDir, zone: int, commands: Sequence[tuple[int, int]]) -> Iterator[Change]:
    """Time and state of the `commands` say where in its row an opening lies that the trace does not
    place: one that begins and ends in it.
    """
    of_zone = run.trace["zone"] == zone
    rows = zip(
        pairwise(run.trace["time_ms"][of_zone].tolist()),
        pairwise((run.trace["valve_open"][of_zone] != 0).tolist()),
        run.trace["valve_open_s"][of_zone].tolist()[1:],
        run.trace["flow_l"][of_zone].tolist()[1:],
        strict=True,
    )
    for (start, end), (before, after), open_s, litres in rows:
        open_ms = min(round(open_s * 1000.0), end - start)
        edges = []
        if before != after:
            edges = [start + open_ms if before else end - open_ms]
        elif moved := end - start - open_ms if before else open_ms:
            told = (t for t, state in commands if start <= t < end and state != before)
            begin = min(next(told, start), end - moved)
            edges = [begin, begin + moved]
        # single precision has no more digits
        flow = float(f"{litres / (open_ms or end - start) * 60_000.0:.6g}")
        for k, time_ms in enumerate([start, *edges]):
            state = before != (k % 2 == 1)
            yield time_ms, "valve_open", int(state)
            yield time_ms, "flow_l_min", flow if state or not open_ms else 0.0


def _identifier(name: str) -> str:
    return "".join(c if c.isascii() and c.isalnum() else "_" for c in name)
