"""Values on their way into the series: new ones, ones that replace, and ones that are there.

A twin that goes through its past again works out what is stored; a device repeats itself after an
outage.  Neither may cost more than new values do, so one question a transaction finds out what is
there, and only values that differ are written.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping, MutableMapping
from typing import Any, Final

from sqlalchemy import Connection, TextClause, func, select, text

from levada.twin.store import levels, schema
from levada.twin.store.engine import insert_or_replace
from levada.twin.store.statements import execute_many

__all__ = ["write_points"]

_NEVER_MS: Final = -(1 << 62)
_KEYS: Final = ("series_id", "time_ms", "row_id")
_STORED: Final[Mapping[str, TextClause]] = {
    "sqlite": text(
        "SELECT p.series_id, p.time_ms, p.value FROM json_each(:keys) AS k CROSS JOIN points AS p "
        "ON p.series_id = json_extract(k.value, '$[0]') "
        "AND p.time_ms = json_extract(k.value, '$[1]') AND p.row_id = 0"
    ),
    "postgresql": text(
        "SELECT p.series_id, p.time_ms, p.value FROM json_array_elements(CAST(:keys AS json)) AS k "
        "JOIN points AS p ON p.series_id = CAST(k ->> 0 AS bigint) "
        "AND p.time_ms = CAST(k ->> 1 AS bigint) AND p.row_id = 0"
    ),
}
"""Database -> the values that no message brought, by (series, time) as JSON.  A list of pairs
behind IN would have SQLite read the whole table."""


def write_points(
    connection: Connection,
    values: Mapping[tuple[int, int, int], float],
    newest_ms: MutableMapping[int, int],
) -> None:
    """Write (series, time, message or 0) -> value, and the extremes of their intervals.

    Only values that no message brought may be there already; those that are there as they are cost
    a look.  `newest_ms` holds the newest time of series as far as known.  What is missing is looked
    up, and it is brought up to date.
    """
    there = _stored(connection, [key for key in values if not key[2]], newest_ms)
    wanted = {
        key: value
        for key, value in values.items()
        if key[2] or key[:2] not in there or there[key[:2]] != value
    }
    if not wanted:
        return
    execute_many(
        connection,
        insert_or_replace(connection.dialect.name, schema.points, _KEYS, ("value",)),
        [
            {"series_id": s, "time_ms": t, "row_id": r, "value": v}
            for (s, t, r), v in wanted.items()
        ],
    )
    replaced = {(s, t) for s, t, message in wanted if not message and (s, t) in there}
    levels.widen_by(
        connection, ((s, t, v) for (s, t, r), v in wanted.items() if r or (s, t) not in replaced)
    )
    levels.work_out_at(connection, replaced)


def _stored(
    connection: Connection,
    keys: Collection[tuple[int, int, int]],
    newest_ms: MutableMapping[int, int],
) -> dict[tuple[int, int], float]:
    """(series, time) -> value, of those values that no message brought and that are there."""
    table = schema.points
    for series in {series for series, _, _ in keys} - newest_ms.keys():
        found = connection.scalar(
            select(func.max(table.c.time_ms)).where(table.c.series_id == series)
        )
        newest_ms[series] = _NEVER_MS if found is None else int(found)
    asked = [(s, t) for s, t, _ in keys if t <= newest_ms[s]]
    for series, time_ms, _ in keys:
        newest_ms[series] = max(newest_ms[series], time_ms)
    if not asked:
        return {}
    rows: Any = connection.execute(_STORED[connection.dialect.name], {"keys": json.dumps(asked)})
    return {(int(s), int(t)): float(v) for s, t, v in rows}
