"""Values of a past that is stored already, against new ones.

Must hold, over SQLite, for a twin that goes through its past again: values that are stored as they
are, or others at the same times, take at most twice as long as new ones.
"""

from __future__ import annotations

import math
import sys
import tempfile
import time
from pathlib import Path

from levada.twin.store.rows import Points
from levada.twin.store.store import Store

_AGAIN = 2.0
"""Times as long values of a known window may take as new ones."""
_ZONES, _MINUTES, _SIGNALS = 20, 200, 15


def _seconds(store: Store, start_ms: int, change: float) -> float:
    start = time.perf_counter()
    for minute in range(_MINUTES):
        for zone in range(_ZONES):
            values = {f"s{k}": k + math.sin(minute + change) for k in range(_SIGNALS)}
            point = Points(node=f"z{zone}", time_ms=start_ms + 60_000 * minute, signals=values)
            while not store.submit(point):
                store.flush()
    store.flush()
    return time.perf_counter() - start


def main() -> int:
    """Measure; 1 if the limit was missed."""
    with tempfile.TemporaryDirectory() as folder, Store(Path(folder) / "past.sqlite") as store:
        _seconds(store, 0, 0.0)  # makes nodes and series
        new = _seconds(store, 60_000 * _MINUTES, 0.0)
        same = _seconds(store, 60_000 * _MINUTES, 0.0)
        other = _seconds(store, 60_000 * _MINUTES, 1.0)
    print(f"{_ZONES * _MINUTES * _SIGNALS} values of {_ZONES} zones, new    {new:10.2f} s")
    for name, took in (("the same again", same), ("others at their times", other)):
        print(f"{name:<36} {took:10.2f} s {took / new:9.1f} times, limit {_AGAIN:g}")
    return int(max(same, other) > _AGAIN * new)


if __name__ == "__main__":
    sys.exit(main())
