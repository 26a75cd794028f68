from __future__ import annotations

import numpy as np
import pytest

from levada.guest.abi import TrapKind
from levada.sim.run.trace import INDEX, TYPES
from levada.sim.run.zone_columns import NodeCol
from levada.sim.run.zone_loop import (
    NEVER_MS,
    PCT_KEY,
    WHY_KEY,
    note_telemetry,
    note_trap,
    telemetry_int,
)


def as_bytes(message: str) -> np.ndarray:  # type: ignore[type-arg]
    return np.frombuffer(message.encode(), dtype=np.uint8)


@pytest.mark.parametrize(
    ("message", "pct", "why"),
    [
        ('{"raw":1800,"pct":42,"why":3}', 42, 3),
        ('{"why":11,"pct":-1}', -1, 11),
        ('{"pct":0}', 0, -9),
        ('{"percent":42}', -9, -9),
        ('{"pct":}', -9, -9),
        ('{"pct":"7"}', -9, -9),
        ('{"pct": 7}', -9, -9),
        ('{"pct":12345678901234567890}', 123456789, -9),
        ('"pct":', -9, -9),
        ("", -9, -9),
        ('{"pct":1,"pct":2}', 1, -9),
    ],
)
def test_telemetry_is_read_or_left_as_it_was(message: str, pct: int, why: int) -> None:
    text = as_bytes(message)
    assert telemetry_int(text, 0, text.size, PCT_KEY, -9) == pct
    assert telemetry_int(text, 0, text.size, WHY_KEY, -9) == why


def test_telemetry_outside_the_part_given_is_not_read() -> None:
    text = as_bytes('{"pct":12}{"pct":34}')
    assert telemetry_int(text, 10, text.size, PCT_KEY, -9) == 34
    assert telemetry_int(text, 0, 4, PCT_KEY, -9) == -9
    assert telemetry_int(text, 0, 8, PCT_KEY, -9) == 1, "a number is cut where the part ends"


def test_what_a_zone_publishes_fits_the_trace() -> None:
    z = np.zeros(len(NodeCol), dtype=np.int64)
    for message in ('{"pct":99999,"why":999}', '{"pct":-99999,"why":-999}'):
        text = as_bytes(message)
        note_telemetry(z, text, 0, text.size)
        for signal, column in (("pct", NodeCol.PCT), ("why", NodeCol.WHY)):
            kind = np.iinfo(np.dtype(TYPES[signal]))
            assert kind.min <= z[column] <= kind.max


@pytest.mark.parametrize(("restart_ms", "boot_ms"), [(-1, NEVER_MS), (90_000, 1_090_000)])
def test_a_trap_is_counted_and_the_restart_planned(restart_ms: int, boot_ms: int) -> None:
    z = np.zeros(len(NodeCol), dtype=np.int64)
    z[NodeCol.NOW_MS], z[NodeCol.RESTART_MS], z[NodeCol.TRAP] = (
        1_000_000,
        restart_ms,
        TrapKind.OUT_OF_FUEL,
    )
    note_trap(z)
    assert z[NodeCol.TRAPS] == 1
    assert z[NodeCol.ROW_TRAP] == TrapKind.OUT_OF_FUEL
    assert z[NodeCol.WAKE_MS] == NEVER_MS
    assert z[NodeCol.BOOT_MS] == boot_ms


def test_the_rows_of_the_loop_are_those_of_the_trace() -> None:
    """The loop writes six fluxes behind the rain's column."""
    names = list(INDEX)
    first = INDEX["rain_mm"]
    assert names[first : first + 6] == [
        "rain_mm",
        "irrigation_mm",
        "evaporation_mm",
        "transpiration_mm",
        "drainage_mm",
        "runoff_mm",
    ]
