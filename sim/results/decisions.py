"""The decisions of a guest, read from the tape: what it saw, what it did, and why.

A decision is a step after which the commanded valve or the reason (`why` of the guest's telemetry)
differs from before, or in which the guest was stopped.  Between two decisions nothing changed, so
the last decision explains any moment.

Only the bytes that matter are decoded: a compiled walk over the records finds the steps where
something changed (a season of one zone holds some 10^5 records), and only their telemetry is
parsed.  A guest with foreign telemetry is shown with what it does say: the reading it took, the
output it set, and its message as it is.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from levada.guest.abi import DEFAULT_PINS, WHY, Call, ErrorCode, Sensor, TrapKind
from levada.guest.fast.jit import njit
from levada.guest.fast.json_integers import json_integers, key_number
from levada.guest.fast.tape_records import i32_at, message_span, record_bytes
from levada.guest.tape import TapeError, TapeReader
from levada.guest.text.json_text import parse

__all__ = [
    "ALARMS",
    "SENTENCES",
    "Decision",
    "read_decisions",
    "sentence",
    "title",
]


@dataclass(frozen=True, kw_only=True, slots=True)
class Decision:
    """One decision; None: the guest did not say."""

    time_ms: int
    """Virtual time since 1970 [ms]."""
    clock_ms: int
    """What the node's clock showed then; the tape has only this."""
    zone: int
    raw: int | None
    """Probe reading [counts]; negative: ErrorCode."""
    pct: int | None
    """Filtered moisture [%] of the calibrated span."""
    filt: int | None
    """Filtered probe reading [counts]."""
    on: int | None
    """Opens below this moisture [%]."""
    off: int | None
    """Closes from this moisture on [%]."""
    flow: int | None
    """Pulses of the flow meter since the step before."""
    irrigar: int
    """Valve commanded: 1 open, 0 closed."""
    why: int | None
    """Reason code, see `levada.guest.abi.WHY`."""
    trap: int
    """Class of the trap that stopped the guest, 0: none; see `levada.guest.abi.TrapKind`."""
    changed: bool
    """Whether the commanded valve differs from before."""
    message: str
    """Telemetry as published; empty if there was none."""


ALARMS: Final = frozenset(
    {
        WHY.PROBE_RANGE,
        WHY.PROBE_STUCK,
        WHY.PROBE_MISSING,
        WHY.NO_FLOW,
        WHY.LEAK,
        WHY.CLOCK,
        WHY.LOCKED,
    }
)
"""Reasons that tell of something broken."""

SENTENCES: Final[dict[WHY, tuple[str, str]]] = {
    WHY.HOLD: (
        "No change",
        "Valve stays closed: the moisture, {pct} %, is not below the opening threshold of {on} %.",
    ),
    WHY.OPENED: (
        "Opened",
        "Valve opened: the filtered moisture, {pct} %, is below the opening threshold of {on} %.",
    ),
    WHY.CLOSED_WET: (
        "Closed: wet enough",
        "Valve closed: the filtered moisture, {pct} %, has reached the closing threshold "
        "of {off} %.",
    ),
    WHY.CLOSED_MAX_OPEN: (
        "Closed: longest opening",
        "Valve closed at {pct} %, short of {off} %: it had been open for the longest time allowed.",
    ),
    WHY.WAIT_PAUSE: (
        "Waits: pause",
        "Dry ({pct} %, opens below {on} %), but the shortest pause since the last opening has "
        "not passed: the valve stays closed.",
    ),
    WHY.WAIT_DAILY_CAP: (
        "Waits: daily cap",
        "Dry ({pct} %, opens below {on} %), but the water allowed for the day is used up: the "
        "valve is closed until tomorrow.",
    ),
    WHY.PROBE_RANGE: (
        "Alarm: probe out of range",
        "{closed}: the probe read {raw} counts, outside its plausible range (or its calibration "
        "is unusable).",
    ),
    WHY.PROBE_STUCK: (
        "Alarm: probe stuck",
        "{closed}: the probe's reading, {raw} counts, has not moved although water flowed.",
    ),
    WHY.PROBE_MISSING: (
        "Alarm: probe missing",
        "{closed}: the probe did not answer ({raw}).",
    ),
    WHY.NO_FLOW: (
        "Alarm: no flow",
        "{closed}: it was commanded open, but the flow meter saw no water.",
    ),
    WHY.LOCKED: (
        "Alarm: locked",
        "{closed}: it was opened too often without any flow, and stays closed until somebody "
        "sets the parameter `confirm`.",
    ),
    WHY.LEAK: (
        "Alarm: leak",
        "{closed}: water flows although none was asked for, {flow} pulses since the step before.",
    ),
    WHY.STARTING: (
        "Starting",
        "The guest has started, or its probe has just come back: until the filter is filled the "
        "valve stays closed.",
    ),
    WHY.WAIT_RAIN: (
        "Waits: rain",
        "Dry ({pct} %, opens below {on} %), but enough rain is expected: the valve stays closed.",
    ),
    WHY.CLOCK: (
        "Alarm: clock",
        "{closed}: the time since the start went back or stands still, so no opening could be "
        "timed.",
    ),
}
"""Reason -> (title, sentence); the names in braces are fields of `Decision`."""

_HOLD_OPEN: Final = (
    "Valve stays open: the moisture, {pct} %, has not reached the closing threshold of {off} %."
)

_ROW: Final = ("time", "clock", "valve", "why", "reading", "trap", "offset", "length", "changed")
"""What the walk tells of a decision; offset and length are those of the message, 0: none."""
_NO_READING: Final = -(1 << 40)
_KEYS: Final = (key_number("why"), key_number("pct"))
"""The guest read no probe in this step (an i32 cannot say so)."""
_EVER: Final = -(1 << 62)
"""Before any time."""


def title(decision: Decision) -> str:
    """What was decided, in two or three words."""
    if decision.trap:
        return "Guest stopped"
    if decision.why is not None and decision.why in SENTENCES:
        return SENTENCES[WHY(decision.why)][0]
    return "Opened" if decision.irrigar else "Closed"


def sentence(decision: Decision) -> str:
    """Why it was decided, with the numbers, in one sentence."""
    if decision.trap:
        names = {int(kind): kind.name.lower().replace("_", " ") for kind in TrapKind}
        kind = names.get(decision.trap, f"class {decision.trap}")
        return f"The host stopped the guest ({kind}); all outputs are off."
    if decision.why is None or decision.why not in SENTENCES:
        done = "opened" if decision.irrigar else "closed"
        reason = "did not say why" if decision.why is None else f"gave reason code {decision.why}"
        return f"The guest {done} the valve and {reason}."
    raw = decision.raw
    values: dict[str, object] = {
        "closed": "Valve closed" if decision.changed else "Valve kept closed",
        "raw": ErrorCode(raw).name.lower() if raw is not None and -4 <= raw < 0 else raw,
        "pct": decision.pct,
        "on": decision.on,
        "off": decision.off,
        "flow": decision.flow,
    }
    known = {key: "unknown" if value is None else value for key, value in values.items()}
    holds_open = decision.why == WHY.HOLD and decision.irrigar
    template = _HOLD_OPEN if holds_open else SENTENCES[WHY(decision.why)][1]
    return template.format(**known)


@njit
def _virtual(clock: int, before: int, skews: npt.NDArray[np.int64]) -> int:
    """The virtual time at which a clock showed `clock`, not before `before`.

    A clock that was ahead and is set right shows the same time twice: the earlier one that time
    has not passed is meant.
    """
    best = clock
    found = False
    for k in range(-1, len(skews)):
        time = clock if k < 0 else clock - int(skews[k, 2])
        ahead = 0
        for start, end, skew in skews:
            if start <= time < end:
                ahead = int(skew)
        if time + ahead == clock and time >= before and (not found or time < best):
            best = time
            found = True
    return best


@njit
def _walk(
    data: npt.NDArray[np.uint8],
    pin: int,
    skews: npt.NDArray[np.int64],
    state: npt.NDArray[np.int64],
    out: npt.NDArray[np.int64],
) -> tuple[int, int, int]:
    """Find the steps in which something changed.

    `skews` has rows of start, end [virtual ms] and how far the clock was ahead [ms].  `state`
    (valve, why, reading, time, entry, clock) is carried over; `out` gets a `_ROW` each.
    Returns rows written, bytes used, and the call that is not known (or -1).
    """
    size = len(data)
    at = 0
    rows = 0
    valve, why = int(state[0]), int(state[1])
    new_valve, new_why = valve, why
    reading, time, entry, clock = int(state[2]), int(state[3]), int(state[4]), int(state[5])
    message, length, trap = 0, 0, 0
    while at < size and rows < len(out):
        call = data[at]
        flush = False
        start = at
        delay = 0
        need = record_bytes(data, at)
        if need < 0:
            return rows, at, int(call)
        if at + need > size:
            break
        at += need
        if call == 0:
            clock = 0
            for j in range(8):
                clock |= int(data[start + 1 + j]) << (8 * j)
            time = _virtual(clock, time, skews)
            entry = int(data[start + 9])
        elif call == 1:
            if i32_at(data, start + 1) == 0:
                reading = i32_at(data, start + 5)
        elif call == 2:
            if i32_at(data, start + 1) == pin:
                new_valve = 1 if i32_at(data, start + 5) != 0 else 0
        elif call == 4:
            text, end = message_span(data, start)
            n_why, _ = json_integers(data, text, end, _KEYS, (-1, -1))
            if n_why >= 0 or length == 0:
                message, length = text, end - text
            if n_why >= 0:
                new_why = n_why
        elif call == 7:
            # a command guest never returns: its step ends where it waits
            if entry == 2:
                delay = i32_at(data, start + 1)
                flush = True
        elif call == 16:
            flush = True
        elif call == 17:
            trap = int(data[start + 1])
            new_valve = 0
            flush = True
        elif call == 19:
            new_valve = 0
            new_why = -1
        if flush:
            if new_valve != valve or (new_why != why and new_why >= 0) or trap:
                out[rows, 0] = time
                out[rows, 1] = clock
                out[rows, 2] = new_valve
                out[rows, 3] = new_why
                out[rows, 4] = reading
                out[rows, 5] = trap
                out[rows, 6] = message
                out[rows, 7] = length
                out[rows, 8] = new_valve != valve
                rows += 1
            valve, why = new_valve, new_why
            message, length, trap = 0, 0, 0
            reading = _NO_READING
            time += max(delay, 0)
            clock += max(delay, 0)
    state[0], state[1], state[2], state[3], state[4] = valve, why, reading, time, entry
    state[5] = clock
    return rows, at, -1


def _number(message: dict[str, Any], key: str) -> int | None:
    value = message.get(key)
    return value if isinstance(value, int) else None


def _share(message: dict[str, Any], key: str) -> int | None:
    """A number that the guest could not work out is -1 in its telemetry."""
    value = _number(message, key)
    return None if value is None or value < 0 else value


def _decision(zone: int, row: npt.NDArray[np.int64], data: bytes) -> Decision:
    time_ms, clock_ms, valve, why, reading, trap, offset, length, changed = (int(v) for v in row)
    text = data[offset : offset + length].decode("utf-8", "replace") if length else ""
    try:
        parsed = parse(text) if text else {}
    except ValueError:  # foreign telemetry need not be JSON
        parsed = {}
    message: dict[str, Any] = parsed if isinstance(parsed, dict) else {}
    raw = _number(message, "raw")
    if raw is None and reading != _NO_READING:
        raw = reading
    return Decision(
        time_ms=time_ms,
        clock_ms=clock_ms,
        zone=zone,
        raw=raw,
        pct=_share(message, "pct"),
        filt=_share(message, "filt"),
        on=_number(message, "on"),
        off=_number(message, "off"),
        flow=_number(message, "flow"),
        irrigar=valve,
        why=why if why >= 0 else None,
        trap=trap,
        changed=bool(changed),
        message=text,
    )


def read_decisions(
    path: Path,
    *,
    pin: int = DEFAULT_PINS[0],
    zones: set[int] | None = None,
    skews: Mapping[int, Sequence[tuple[int, int, int]]] | None = None,
) -> list[Decision]:
    """All decisions on the tape at `path`, zone by zone in time order.

    `pin` is the output of the valve; `zones`, if given, the indices to read; `skews` the times
    in which the clock of a zone was wrong: start, end, and by how much it was ahead [ms].  Raises
    TapeError if this is no tape or holds a record that is not known; a tape cut short ends where
    it ends.
    """
    found: dict[int, list[Decision]] = {}
    states: dict[int, npt.NDArray[np.int64]] = {}
    rows = np.zeros((1024, len(_ROW)), dtype=np.int64)
    for zone, data in TapeReader(path).chunks():
        if zones is not None and zone not in zones:
            continue
        state = states.setdefault(zone, np.array([0, -1, _NO_READING, _EVER, 0, 0], np.int64))
        wrong = np.array((skews or {}).get(zone, []), dtype=np.int64).reshape(-1, 3)
        # may be written, as the loop's tapes may: else numba compiles its kernels twice
        view = np.frombuffer(bytearray(data), dtype=np.uint8)
        at = 0
        while at < len(data):
            count, used, unknown = _walk(view[at:], pin, wrong, state, rows)
            if unknown >= 0:
                raise TapeError(
                    f"{path}: zone {zone}, byte {at + used} of its records: "
                    f"unknown record type {unknown}"
                )
            part = data[at : at + used]
            found.setdefault(zone, []).extend(_decision(zone, row, part) for row in rows[:count])
            if used == 0:
                break  # the last record is cut short
            at += used
    return [decision for zone in sorted(found) for decision in found[zone]]


# the walk reads these by number
assert (Call.STEP, Call.READ_SENSOR, Call.SET_OUTPUT, Call.GET_CONFIG) == (0, 1, 2, 3)
assert (Call.MQTT_PUBLISH, Call.WASM_LOG, Call.DELAY_MS, Call.RETURN) == (4, 5, 7, 16)
assert (Call.UPTIME_S, Call.KEEP_GET, Call.KEEP_SET) == (9, 10, 11)
assert (Call.TRAP, Call.PARAM_SET, Call.BOOT, Sensor.MOISTURE) == (17, 18, 19, 0)
