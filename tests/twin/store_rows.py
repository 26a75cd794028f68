"""Telemetry as the tests of the store put it in."""

from __future__ import annotations

import json
from typing import Final

from levada.twin.store.rows import Row

__all__ = ["T0", "row"]

T0: Final = 1_700_000_000_000


def row(seq: int, **changes: object) -> Row:
    """Message `seq` of node `n`, measured and received that many seconds after T0."""
    values: dict[str, object] = {
        "node": "n",
        "boot": 1,
        "seq": seq,
        "oldest": 0,
        "received_ms": T0 + seq * 1_000,
        "device_ms": T0 + seq * 1_000,
        "payload": json.dumps({"raw": seq}),
        "signals": {"raw": float(seq), "pct": float(seq % 100)},
    }
    return Row(**{**values, **changes})  # type: ignore[arg-type]
