"""A store that has been written for days, put there in bulk: what a twin finds when it is started.

Every zone has a message of its device each ten minutes, what the twin stores of it, and the twin's
own values in every row of the scenario's trace.
"""

from __future__ import annotations

import json
from typing import Final

from sqlalchemy import Connection, text

from levada.sim.scenario.model import Scenario
from levada.sim.units import DAY_MS, MINUTE_MS
from levada.twin.field import OF_TWIN
from levada.twin.store.levels import work_out
from levada.twin.store.rows import Points, Row
from levada.twin.store.store import Store

__all__ = ["BOOT", "make_past", "next_number"]

BOOT: Final = 1
"""Of the devices, which have not been started again since."""
_REPORT_MS: Final = 10 * MINUTE_MS
_OF_DEVICE: Final = ("counts", "valve", "theta")


def next_number(days: int) -> int:
    """Of a device's messages, behind `days` of them."""
    return days * (DAY_MS // _REPORT_MS)


def make_past(where: str, scenario: Scenario, nodes: list[str], days: int) -> int:
    """Fill an empty store with the first `days` of a scenario; how many values it holds then."""
    start_ms, row_ms = scenario.period.start_ms, scenario.period.trace_s * 1_000
    with Store(where, clock_ms=lambda: start_ms) as store:
        for node in nodes:
            _begin(store, node, start_ms)
        assert store.flush()
        with store.transaction() as connection:
            ids = {n: i for i, n in connection.execute(text("SELECT id, name FROM nodes")).all()}
            for table in ("points", "extremes", "telemetry"):
                connection.execute(text(f"DELETE FROM {table}"))
            for at, node in enumerate(nodes):
                _report(connection, ids[node], at, start_ms, days)
            series = connection.execute(text(_SERIES)).all()
        values = 0
        for number, node_id, kind, name in series:
            if kind == "raw" and name not in _OF_DEVICE:
                statement = _BROUGHT.format(series=number, node=node_id)
            else:
                every = row_ms if kind == "twin" else _REPORT_MS
                value = "0.0" if name == "cause" else "0.2 + (i * 7919 % 997) * 1e-4"
                made = {"series": number, "start": start_ms, "every": every, "value": value}
                statement = _VALUES.format(count=days * DAY_MS // every, **made)
            with store.transaction() as connection:
                if connection.dialect.name == "postgresql":  # else each value looks for its series
                    connection.execute(text("SET LOCAL session_replication_role = replica"))
                values += connection.execute(text(statement)).rowcount
                work_out(connection, number, start_ms, start_ms + (days + 1) * DAY_MS)
    return values


def _report(connection: Connection, node_id: int, at: int, start_ms: int, days: int) -> None:
    """The messages of a device, the `at`th."""
    count = next_number(days)
    connection.execute(
        text(_MESSAGES.format(count=count, every=_REPORT_MS, boot=BOOT)),
        {"node": node_id, "first": 1 + at * count, "start": start_ms},
    )
    last = {"node": node_id, "last": count - 1, "last_ms": start_ms + days * DAY_MS}
    connection.execute(text(_BOOTS), last)


def _begin(store: Store, node: str, start_ms: int) -> None:
    """Have the node and its series made, as the first message does."""
    signals = {"raw": 2300.0, "pct": 40.0, "irrigar": 0.0}
    assert store.submit(
        Row(
            node=node,
            boot=BOOT,
            seq=0,
            oldest=0,
            received_ms=start_ms,
            device_ms=start_ms,
            payload=json.dumps(signals),
            signals=signals,
        )
    )
    of_twin = dict.fromkeys([*OF_TWIN, "valve", "theta", "et_mm", "cause"], 0.0)
    assert store.submit(Points(node=node, time_ms=start_ms, signals=of_twin))
    of_device = dict.fromkeys(_OF_DEVICE, 0.0)
    assert store.submit(Points(node=node, time_ms=start_ms, signals=of_device, kind="raw"))


_COUNT: Final = """WITH RECURSIVE n(i) AS (
    SELECT CAST(0 AS BIGINT) UNION ALL SELECT i + 1 FROM n WHERE i < {count} - 1
)"""
_MESSAGES: Final = (
    "INSERT INTO telemetry "
    "(id, node_id, boot, seq, time_ms, device_ms, received_ms, flags, payload) "
    + _COUNT
    + """
SELECT :first + i, :node, {boot}, i, :start + i * {every}, :start + i * {every},
       :start + i * {every}, 0,
       '{{"raw"\\:2300,"pct"\\:40,"irrigar"\\:0,"boot"\\:{boot},"seq"\\:' || i || '}}' FROM n"""
)
_BOOTS: Final = (
    "UPDATE boots SET contiguous = :last, highest = :last, last_ms = :last_ms WHERE node_id = :node"
)
_SERIES: Final = "SELECT id, node_id, kind, name FROM series ORDER BY id"
_BROUGHT: Final = (
    "INSERT INTO points (series_id, time_ms, row_id, value) "
    "SELECT {series}, time_ms, id, 40.0 FROM telemetry WHERE node_id = {node} ORDER BY time_ms"
)
_VALUES: Final = (
    "INSERT INTO points (series_id, time_ms, row_id, value) "
    + _COUNT
    + "SELECT {series}, {start} + (i + 1) * {every}, 0, {value} FROM n"
)
