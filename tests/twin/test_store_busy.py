"""A store that is read by pages while messages arrive (case D10).

How long a page waits is measured by `benchmarks/bench_page.py`: a test has a shared computer.
"""

from __future__ import annotations

import sqlite3
import threading
from contextlib import closing
from pathlib import Path

import numpy as np
from store_rows import T0, row

from levada.twin.store.reads import Window
from levada.twin.store.store import Store

THERE, ARRIVING, MOST = 5_000, 1_000, 400


def test_D10_pages_are_read_while_messages_arrive_and_see_all_that_was_there(
    tmp_path: Path,
) -> None:
    found: list[Window] = []
    stop = threading.Event()
    with Store(tmp_path / "s.sqlite") as store:
        assert all(store.submit(row(k)) for k in range(THERE))
        assert store.flush()

        def look() -> None:
            while not stop.is_set() or not found:
                found.append(store.reader.window("n", "raw", max_points=MOST))

        pages = [threading.Thread(target=look) for _ in range(2)]
        for page in pages:
            page.start()
        for k in range(THERE, THERE + ARRIVING):
            assert store.submit(row(k))
        assert store.flush()
        stop.set()
        for page in pages:
            page.join()
        assert store.health().ok
        assert store.reader.window("n", "raw").total == THERE + ARRIVING
    for window in found:
        assert window.total >= THERE
        assert len(window.time_ms) <= 2 * MOST
        assert window.time_ms[0] == T0
        assert np.all(np.diff(window.time_ms) >= 0)


def test_D10_a_page_that_is_being_read_does_not_hold_the_writer_up(tmp_path: Path) -> None:
    with Store(tmp_path / "s.sqlite") as store:
        assert all(store.submit(row(k)) for k in range(100))
        assert store.flush()
        with closing(sqlite3.connect(tmp_path / "s.sqlite", isolation_level=None)) as page:
            page.execute("BEGIN")
            before = page.execute("SELECT count(*) FROM telemetry").fetchone()
            assert all(store.submit(row(k)) for k in range(100, 200))
            assert store.flush()  # though the page has not read to its end
            assert store.reader.count("n") == 200
            assert page.execute("SELECT count(*) FROM telemetry").fetchone() == before
