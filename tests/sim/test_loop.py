from __future__ import annotations

import numpy as np
import pytest

from levada.guest.abi import Call, TrapKind
from levada.guest.tape import encode
from levada.sim.run.trace import INDEX, TYPES
from levada.sim.run.zone_columns import NodeCol
from levada.sim.run.zone_loop import (
    NEVER_MS,
    note_telemetry,
    note_trap,
)


def tape_of(*messages: str) -> np.ndarray:  # type: ignore[type-arg]
    """What a guest does that publishes them and logs in between."""
    records = b"".join(
        encode(Call.LOG_INT, 7) + encode(Call.MQTT_PUBLISH, b"data", message.encode(), 0)
        for message in messages
    )
    return np.frombuffer(bytearray(records), dtype=np.uint8)


@pytest.mark.parametrize(
    ("messages", "pct", "why"),
    [
        (['{"raw":1800,"pct":42,"why":3}'], 42, 3),
        (['{"why":11,"pct":-1}'], -1, 11),
        (['{"pct": 7, "why" : 2}'], 7, 2),
        (['{"percent":42}'], -9, -8),
        (['"pct":7'], -9, -8),
        ([], -9, -8),
        (['{"pct":1}', '{"why":2}', '{"pct":3}'], 3, 2),
    ],
)
def test_telemetry_is_read_or_left_as_it_was(messages: list[str], pct: int, why: int) -> None:
    z = np.zeros(len(NodeCol), dtype=np.int64)
    z[NodeCol.PCT], z[NodeCol.WHY] = -9, -8
    tape = tape_of('{"pct":99,"why":99}', *messages)
    note_telemetry(z, tape, tape_of('{"pct":99,"why":99}').size, tape.size)
    assert (z[NodeCol.PCT], z[NodeCol.WHY]) == (pct, why)


def test_what_a_zone_publishes_fits_the_trace() -> None:
    z = np.zeros(len(NodeCol), dtype=np.int64)
    for message in ('{"pct":99999,"why":999}', '{"pct":-99999,"why":-999}'):
        tape = tape_of(message)
        note_telemetry(z, tape, 0, tape.size)
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
