"""Data calls of the twin's page on a large store that is being written.

`python -m benchmarks.bench_page`: a million values a signal pair, 200 messages a second arriving;
prints p50 and p95 of a whole chart, of a delta and of one series over HTTP.
"""

from __future__ import annotations

import json
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path
from statistics import quantiles
from typing import Any

from sqlalchemy import insert

from twin import store_schema as schema
from twin.app import figures
from twin.store import Store
from twin.store_rows import Points, Row

ROWS = 1_000_000
RATE_HZ = 200
CALLS = 15


def fill(store: Store) -> int:
    """Half of the rows for the device, half for the twin, one a second; the last time [ms]."""
    store.submit(Points(node="maize", time_ms=0, kind="raw", signals={"theta": 0.2, "valve": 0}))
    store.submit(Points(node="maize", time_ms=0, kind="twin", signals={"theta": 0.2}))
    store.flush()
    half = ROWS // 2
    with store.transaction() as connection:
        found = connection.execute(schema.series.select()).all()
    for row in found:
        if row.name != "theta":
            continue
        for start in range(1, half, 50_000):
            with store.transaction() as connection:
                connection.execute(
                    insert(schema.points),
                    [
                        {"series_id": row.id, "time_ms": k * 1000, "row_id": 0, "value": k % 997}
                        for k in range(start, min(start + 50_000, half))
                    ],
                )
    return half * 1000


def measure(call: Callable[[], Any]) -> tuple[float, float]:
    """p50 and p95 [ms]."""
    times = []
    for _ in range(CALLS):
        began = time.perf_counter()
        call()
        times.append((time.perf_counter() - began) * 1000)
    cuts = quantiles(times, n=20)
    return cuts[9], cuts[18]


def main() -> None:
    """Print the table."""
    with (
        tempfile.TemporaryDirectory() as folder,
        Store(Path(folder) / "store.sqlite", clock_ms=lambda: 0) as store,
    ):
        end_ms = fill(store)
        stop = threading.Event()

        def write() -> None:
            number = 0
            while not stop.wait(1 / RATE_HZ):
                number += 1
                payload = {"raw": number % 4000, "pct": 50}
                store.submit(
                    Row(
                        node="maize",
                        boot=1,
                        seq=number,
                        oldest=number,
                        received_ms=end_ms + number,
                        payload=json.dumps(payload),
                        signals={key: float(value) for key, value in payload.items()},
                    )
                )

        writer = threading.Thread(target=write)
        writer.start()
        shared = {"band": 0.004, "step_s": 600.0}
        reader = store.reader
        results = {
            "whole chart": measure(
                lambda: figures.zone_chart(reader, "maize", start_ms=None, end_ms=None, **shared)
            ),
            "delta": measure(lambda: figures.delta(reader, "maize", end_ms - 10_000, **shared)),
            "one series": measure(lambda: reader.window("maize", "theta", kind="twin")),
        }
        stop.set()
        writer.join()
        print(f"{ROWS} rows, {RATE_HZ} messages/s wanted, stored {store.health().stored}")
        for name, (p50, p95) in results.items():
            print(f"{name:<12} p50 {p50:8.1f} ms   p95 {p95:8.1f} ms")


if __name__ == "__main__":
    main()
