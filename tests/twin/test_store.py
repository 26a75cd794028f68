"""The store against disks, clocks, other programs and power cuts (cases D1 to D8, D12)."""

from __future__ import annotations

import json
import logging
import math
import random
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import Commits
from proof_log import Prove
from small_field import until
from sqlalchemy import event, inspect
from store_rows import T0, row

from levada.twin.errors import StoreBusyError, StoreError, StoreReadOnlyError, StoreVersionError
from levada.twin.mqtt.sequence import MODULUS
from levada.twin.store import schema as store_schema
from levada.twin.store.engine import connect, normal_url
from levada.twin.store.health import State
from levada.twin.store.points import write_points
from levada.twin.store.policy import downsample, prune
from levada.twin.store.reads import StoreReader
from levada.twin.store.rows import Event, Flag, Item, Points, PresenceChange, Row, StoreSettings
from levada.twin.store.store import Store

HERE = Path(__file__).parent
HOUR = 3_600_000


def put(store: Store, *rows: Row) -> None:
    for item in rows:
        assert store.submit(item)
    assert store.flush()


def test_a_message_is_stored_once_however_often_it_comes(both: Store) -> None:
    put(both, row(0), row(1), row(1), row(0))
    put(both, row(1), row(2))
    assert both.reader.count("n") == 3
    assert both.health().duplicates == 3
    assert both.reader.acknowledged("n") == {1: 2}


def test_out_of_order_messages_are_shown_in_the_device_s_order(both: Store) -> None:
    put(both, row(0), row(2), row(1))
    assert [m.seq for m in both.reader.messages("n")] == [0, 1, 2]
    assert [m.flags & Flag.HISTORICAL for m in both.reader.messages("n")] == [0, 1, 0]
    latest = both.reader.latest("n")
    assert latest is not None
    assert latest.seq == 2
    assert list(both.reader.window("n", "raw").value) == [0.0, 1.0, 2.0]


def test_a_restart_of_the_device_is_a_new_life_without_a_gap(both: Store) -> None:
    put(both, row(0), row(1), row(0, boot=9), row(1, boot=9, received_ms=T0 + 9_000))
    assert both.reader.acknowledged("n") == {1: 1, 9: 1}
    assert both.reader.events(kind="gap") == []
    latest = both.reader.latest("n")
    assert latest is not None
    assert latest.boot == 9


def test_the_counter_of_the_device_may_wrap(both: Store) -> None:
    start = MODULUS - 2
    numbers = [(start + i) % MODULUS for i in range(5)]
    put(both, *(row(n, oldest=start, received_ms=T0, device_ms=None) for n in numbers))
    assert [m.payload["raw"] for m in both.reader.messages("n")] == numbers
    assert both.reader.acknowledged("n") == {1: start + 4}
    assert both.reader.events(kind="gap") == []


def test_messages_that_the_device_dropped_are_shown_as_a_gap(both: Store) -> None:
    put(both, row(0), row(5, oldest=4))
    (gap,) = both.reader.events(kind="gap")
    assert gap["evidence"] == {"boot": 1, "first": 1, "last": 3}
    assert both.reader.acknowledged("n") == {1: 0 + 3}


def test_numbers_far_ahead_are_refused_so_that_memory_is_bounded(both: Store) -> None:
    put(both, row(0), row(100_000))
    assert both.reader.count("n") == 1
    assert both.health().refused == 1


def test_a_new_store_goes_on_where_the_device_is(both: Store) -> None:
    put(both, row(501, oldest=500), row(500, oldest=500))
    assert both.reader.acknowledged("n") == {1: 501}
    assert both.reader.events(kind="gap") == []


def test_calibrations_runs_nodes_and_events_are_kept(both: Store) -> None:
    both.request_calibration("n", "r1", {"limit": (1500, 1650)}, who="ana")
    both.settle_calibration("r1", state="in force", values={"limit": 1650})
    (entry,) = both.reader.calibrations("n")
    assert (entry["who"], entry["old_value"], entry["new_value"]) == ("ana", 1500, 1650)
    assert (entry["state"], entry["read_back"]) == ("in force", 1650)
    run = both.begin_run("x", "hil", guest_sha256="0" * 64, scenario="version = 1")
    both.end_run(run)
    assert both.reader.runs()[0]["ended_ms"] == T0
    assert both.submit(
        PresenceChange(node="n", online=True, time_ms=T0, birth={"boot": 4, "engine": "e"})
    )
    assert both.submit(Event(kind="alert", text="<script>\0 🌱", time_ms=T0, node="n"))
    assert both.flush()
    assert both.reader.nodes()[0].birth == {"boot": 4, "engine": "e"}
    assert both.reader.events()[0]["text"] == "<script>\N{REPLACEMENT CHARACTER} 🌱"


def test_points_of_the_twin_replace_earlier_ones(both: Store) -> None:
    for value in (1.0, 2.0):
        both.submit(Points(node="n", time_ms=T0, signals={"theta": value}))
    assert both.flush()
    window = both.reader.window("n", "theta", kind="twin")
    assert list(window.value) == [2.0]


def test_a_window_of_many_points_keeps_its_extremes(both: Store) -> None:
    count = 50_000
    series = np.sin(np.arange(count) / 300)
    series[31_234] = 9.0  # one spike, which thinning must not lose
    both.submit(Points(node="n", time_ms=T0, signals={"theta": 0.0}))
    assert both.flush()
    values = {(1, T0 + i * 1_000, 0): float(series[i]) for i in range(1, count)}
    with both.transaction() as connection:
        write_points(connection, values, {})
    window = both.reader.window("n", "theta", kind="twin", max_points=400)
    assert window.total == count
    assert len(window.value) <= 400
    assert window.value.max() == 9.0
    assert window.value.min() == pytest.approx(-1.0, abs=1e-4)
    assert np.all(np.diff(window.time_ms) >= 0)
    zoomed = both.reader.window(
        "n", "theta", kind="twin", start_ms=T0 + 31_230_000, end_ms=T0 + 31_240_000
    )
    assert list(zoomed.value) == list(series[31_230:31_240])


def assert_levels_are_true(store: Store) -> None:
    """Every interval says what its points say, and every point is in one of each width."""
    with store.transaction() as connection:
        points = connection.execute(store_schema.points.select()).all()
        stored = {
            (e.series_id, e.shift, e.slot): (e.count, e.low, e.high)
            for e in connection.execute(store_schema.extremes.select())
        }
    values: dict[tuple[int, int, int], list[float]] = {}
    for point in points:
        for shift in (17, 20, 23, 26, 29):
            slot = math.floor(point.time_ms / 2**shift)
            values.setdefault((point.series_id, shift, slot), []).append(point.value)
    assert stored == {key: (len(v), min(v), max(v)) for key, v in values.items()}


@pytest.mark.parametrize("start_ms", [T0, -5 * 24 * HOUR])
def test_levels_say_what_the_points_say_whatever_comes(both: Store, start_ms: int) -> None:
    seed = 20231128
    print("seed", seed)
    random_ = random.Random(seed)
    times = [start_ms + random_.randrange(10 * 24 * HOUR) for _ in range(400)]
    for time_ms in sorted(times) + random_.sample(times, 100) + times[:50]:
        both.submit(Points(node="n", time_ms=time_ms, signals={"a": random_.gauss(0, 1)}))
    assert both.flush()
    assert_levels_are_true(both)
    middle_ms = start_ms + 5 * 24 * HOUR
    downsample(both, before_ms=middle_ms, every_ms=7_200_000)
    assert_levels_are_true(both)
    prune(both, before_ms=start_ms + 3 * 24 * HOUR + 12_345)
    assert_levels_are_true(both)
    both.submit(Points(node="n", time_ms=start_ms, signals={"a": 7.0}))  # before all that is left
    assert both.flush()
    assert_levels_are_true(both)


def test_a_window_of_a_month_ends_with_its_last_point_and_falls_where_the_curve_falls(
    both: Store,
) -> None:
    count = 40_000
    both.submit(Points(node="n", time_ms=T0, signals={"theta": 0.0}))
    assert both.flush()
    values = {(1, T0 + i * 60_000, 0): -float(i) for i in range(1, count)}
    with both.transaction() as connection:
        write_points(connection, values, {})
    window = both.reader.window("n", "theta", kind="twin")
    assert window.total == count
    assert 1_000 <= len(window.value) <= 2_000
    assert (window.time_ms[0], window.value[0]) == (T0, 0.0)
    assert (window.time_ms[-1], window.value[-1]) == (T0 + (count - 1) * 60_000, 1.0 - count)
    assert np.all(np.diff(window.value) <= 0.0)
    # a minute is 1.0; an interval of 17.5 minutes is off by no more than itself
    expected = -(window.time_ms - T0) / 60_000
    assert np.abs(window.value - expected).max() <= 17.5


def test_a_second_writer_of_the_same_store_is_refused(both: Store) -> None:
    with pytest.raises(StoreBusyError, match="in use by another process"):
        Store(both.url, settings=StoreSettings(busy_ms=100))


# -- clocks ----------


@pytest.mark.parametrize(
    ("jump_ms", "believed"),
    [(HOUR, False), (-HOUR, False), (10 * 365 * 24 * HOUR, False), (500, True), (-500, True)],
)
def test_a_jump_of_the_device_s_clock_moves_no_row(
    store: Store, jump_ms: int, believed: bool
) -> None:
    times = [T0 + i * 10_000 + (jump_ms if i >= 3 else 0) for i in range(6)]
    put(
        store,
        *(row(i, device_ms=t, received_ms=T0 + i * 10_000) for i, t in enumerate(times)),
    )
    found = store.reader.messages("n")
    assert [m.device_ms for m in found] == times  # kept as it was said
    assert [bool(m.flags & Flag.CLOCK) for m in found] == [False] * 3 + [not believed] * 3
    assert all(m.time_ms <= m.received_ms for m in found)  # no point of the future
    expected = [T0 + i * 10_000 for i in range(6)]
    assert np.allclose([m.time_ms for m in found], expected, rtol=0, atol=1_000)


def test_rows_after_an_outage_keep_their_time_and_are_historical(store: Store) -> None:
    put(store, row(0), *(row(i, received_ms=T0 + HOUR) for i in range(1, 4)))
    found = store.reader.messages("n")
    assert [m.time_ms for m in found] == [T0 + i * 1_000 for i in range(4)]
    assert [bool(m.flags & Flag.HISTORICAL) for m in found] == [False, True, True, True]


@pytest.mark.parametrize("never_set_ms", [0, -(2**53), 86_400_000, T0 - 367 * 24 * HOUR])
def test_a_clock_that_was_never_set_is_not_believed(store: Store, never_set_ms: int) -> None:
    put(store, row(0, device_ms=never_set_ms))
    (found,) = store.reader.messages("n")
    assert (found.time_ms, found.device_ms) == (T0, never_set_ms)
    assert found.flags & Flag.CLOCK
    assert store.reader.window("n", "raw").time_ms.tolist() == [T0]


def test_what_was_kept_for_a_year_is_believed(store: Store) -> None:
    put(store, row(0, device_ms=T0 - 365 * 24 * HOUR))
    assert store.reader.window("n", "raw").time_ms.tolist() == [T0 - 365 * 24 * HOUR]


# -- too much of anything ----------


def test_the_signals_of_a_node_are_bounded(both: Store) -> None:
    """105,000 new keys, of which 256 become curves; the messages are kept as they came."""
    for seq in range(21):
        keys = {f"k{seq * 5_000 + i}": 1.0 for i in range(5_000)}
        put(both, row(seq, signals=keys, payload=json.dumps(keys)))
    assert len(both.reader.series("n")) == 256
    assert both.health().left_out == 105_000 - 256
    assert both.reader.acknowledged("n") == {1: 20}
    assert len(both.reader.messages("n")[20].payload) == 5_000
    (event,) = both.reader.events(kind="store")
    assert event["text"].startswith("n tells more than 256 signals")
    put(both, row(21, signals={"k0": 2.0, "raw": 1.0}))  # a known one goes on
    assert both.reader.window("n", "k0").value.tolist() == [1.0, 2.0]


def test_the_signals_of_a_node_are_bounded_over_restarts(tmp_path: Path) -> None:
    settings = StoreSettings(signals=3)
    for seq in range(3):
        with Store(tmp_path / "s.sqlite", settings=settings) as store:
            put(store, row(seq, signals={f"a{seq}": 1.0, f"b{seq}": 1.0}))
            assert len(store.reader.series("n")) == min(3, 2 * seq + 2)


def test_the_nodes_of_a_store_are_bounded(tmp_path: Path) -> None:
    with Store(tmp_path / "s.sqlite", settings=StoreSettings(nodes=5)) as store:
        put(store, *(row(0, node=f"n{i}") for i in range(20)))
        store.submit(PresenceChange(node="m", online=True, time_ms=T0))
        store.submit(Event(kind="online", text="m is there", time_ms=T0, node="m"))
        put(store, row(1, node="n0"))
        assert {node.name for node in store.reader.nodes()} == {f"n{i}" for i in range(5)}
        assert store.health().refused == 15
        assert store.reader.acknowledged("n19") == {}
        assert len(store.reader.events(kind="store")) == 1


@pytest.mark.parametrize(
    "item",
    [
        PresenceChange(node="n", online=True, time_ms=T0, birth={"x": 10**5_000}),
        Event(kind="x", text="x", time_ms=T0, evidence={"x": 10**5_000}),
        Event(kind="x", text="x", time_ms=2**70),
        Points(node="n", time_ms=2**70, signals={"x": 1.0}),
    ],
)
def test_what_no_database_can_hold_costs_itself_only(store: Store, item: Item) -> None:
    assert store.submit(item)
    put(store, row(0))
    assert store.reader.acknowledged("n") == {1: 0}
    assert store.health().ok
    assert store.health().refused == 1


# -- power, disk, other programs ----------


def test_a_commit_is_on_the_disk_before_it_is_announced(store: Store) -> None:
    with store.transaction() as connection:
        assert connection.exec_driver_sql("PRAGMA synchronous").scalar() == 2  # FULL
        assert connection.exec_driver_sql("PRAGMA journal_mode").scalar() == "wal"


@pytest.mark.parametrize(
    "seed", [*range(5), *(pytest.param(seed, marks=pytest.mark.slow) for seed in range(5, 100))]
)
def test_killed_at_any_time_what_was_acknowledged_is_stored(
    tmp_path: Path, seed: int, proof: Prove
) -> None:
    file = tmp_path / "s.sqlite"
    after = random.Random(seed).randrange(1, 40)
    with subprocess.Popen(
        [sys.executable, str(HERE / "store_child.py"), "write", str(file)],
        stdout=subprocess.PIPE,
        text=True,
    ) as child:
        assert child.stdout is not None
        acknowledged = -1
        for number, line in enumerate(child.stdout):
            acknowledged = int(line)
            if number == after:
                child.kill()
                break
    with closing(sqlite3.connect(file)) as raw:
        assert raw.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        stored = {number for (number,) in raw.execute("SELECT seq FROM telemetry")}
    lost = set(range(acknowledged + 1)) - stored
    proof("acknowledged rows lost", tried=acknowledged + 1, found=len(lost))


def _in_small_disk(script: str, folder: Path) -> None:
    """Run part of `store_child.py` on a file system of 12 MB of its own."""
    unshare = ["unshare", "--user", "--map-root-user", "--mount"]
    done = subprocess.run(
        [*unshare, sys.executable, str(HERE / "store_child.py"), script, str(folder)],
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_a_full_disk_stops_acknowledgements_until_there_is_room(tmp_path: Path) -> None:
    _in_small_disk("full", tmp_path)


def test_pruning_frees_a_full_disk(tmp_path: Path) -> None:
    _in_small_disk("prune", tmp_path)


def test_fog_goes_on_when_the_cloud_has_some_of_what_fills_the_disk(tmp_path: Path) -> None:
    _in_small_disk("fog", tmp_path)


def test_a_read_only_store_is_refused_with_the_reason(tmp_path: Path) -> None:
    _in_small_disk("read-only", tmp_path)


def test_a_locked_store_waits_and_goes_on(tmp_path: Path) -> None:
    settings = StoreSettings(retry_ms=20, busy_ms=100)
    with Store(tmp_path / "s.sqlite", settings=settings) as store:
        commits = Commits(store)
        with closing(sqlite3.connect(tmp_path / "s.sqlite", isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            assert store.submit(row(0))
            assert not commits.wait("n", 1, 0, timeout_s=0.5)
            assert store.health().state is State.BUSY
            assert "locked" in store.health().detail
            other.execute("ROLLBACK")
        assert commits.wait("n", 1, 0)
        assert store.flush()
        assert store.health().ok
        assert store.reader.events(kind="store")[0]["severity"] == "warning"


def test_a_reader_without_end_cannot_fill_the_disk(tmp_path: Path) -> None:
    settings = StoreSettings(log_bytes=200_000, retry_ms=10)
    with Store(tmp_path / "s.sqlite", settings=settings) as store:
        put(store, row(0))
        commits = Commits(store)
        with closing(sqlite3.connect(tmp_path / "s.sqlite", isolation_level=None)) as other:
            other.execute("BEGIN")
            other.execute("SELECT count(*) FROM telemetry").fetchall()
            for i in range(1, 1_001):
                assert store.submit(row(i, payload=json.dumps({"x": "x" * 500})))
            assert not store.flush(timeout_s=3.0)
            assert store.health().state is State.LOG_TOO_LONG
            assert (tmp_path / "s.sqlite-wal").stat().st_size < 400_000
            other.execute("ROLLBACK")
        assert commits.wait("n", 1, 1_000)


def test_too_much_waiting_is_refused_and_counted(tmp_path: Path) -> None:
    settings = StoreSettings(queue_rows=5, group_rows=1)
    with Store(tmp_path / "s.sqlite", settings=settings) as store:
        with closing(sqlite3.connect(tmp_path / "s.sqlite", isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            taken = [store.submit(row(i)) for i in range(20)]
            other.execute("ROLLBACK")
        assert 5 <= sum(taken) <= 7
        assert store.health().refused == 20 - sum(taken)


def _flip(file: Path, where: Callable[[int], int]) -> None:
    data = bytearray(file.read_bytes())
    at = where(len(data))
    for i in range(at, at + 100):
        data[i] ^= 0xFF
    file.write_bytes(data)


@pytest.mark.parametrize("page", [0, 4096 * 3, 4096 * 6])
def test_a_corrupt_store_is_moved_aside_and_a_new_one_begun(
    tmp_path: Path, page: int, caplog: pytest.LogCaptureFixture
) -> None:
    file = tmp_path / "s.sqlite"
    with Store(file) as store:
        put(store, *(row(i) for i in range(200)))
    _flip(file, lambda _size: page)
    with caplog.at_level(logging.ERROR), Store(file) as store:
        assert "was corrupt: moved to s.sqlite.corrupt-" in caplog.text
        moved = Path(store.health().moved_aside)
        assert moved.exists()
        put(store, row(200, oldest=200))  # the device holds what was not acknowledged
        assert store.reader.acknowledged("n") == {1: 200}
        (event,) = store.reader.events(kind="store")
        assert event["severity"] == "error"


def test_a_store_that_becomes_corrupt_is_replaced_while_running(tmp_path: Path) -> None:
    file = tmp_path / "s.sqlite"
    with Store(file, settings=StoreSettings(retry_ms=10)) as store:
        put(store, *(row(i) for i in range(300)))
        with store.transaction() as connection:
            raw = connection.connection.dbapi_connection
            assert raw is not None
        with closing(sqlite3.connect(file)) as other:
            other.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        with file.open("r+b") as damaged:
            damaged.write(b"this is no database " * 500)
        store._database.engine.dispose()  # forget the pages that are cached
        put(store, row(300, oldest=300))
        assert store.health().moved_aside
        assert store.reader.count() == 1


# -- what is no store ----------


def _contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def _foreign(file: Path, kind: str) -> None:
    if kind == "text":
        file.write_text('version = 1\nname = "a scenario"\n')
        return
    with closing(sqlite3.connect(file)) as other:
        other.execute("PRAGMA journal_mode = WAL")
        other.execute("CREATE TABLE bookmarks (url TEXT)")
        other.commit()


@pytest.mark.parametrize("kind", ["text", "database"])
@pytest.mark.parametrize("existing", [False, True])
def test_a_file_of_somebody_else_s_is_refused_and_left_as_it_is(
    tmp_path: Path, kind: str, existing: bool
) -> None:
    file = tmp_path / "s.sqlite"
    _foreign(file, kind)
    before = _contents(tmp_path)
    with pytest.raises(StoreError, match="is no store of levada"):
        Store(file, existing=existing)
    assert _contents(tmp_path) == before


def test_what_is_to_be_there_is_not_begun(tmp_path: Path) -> None:
    for name in ("nowhere", "empty"):
        with pytest.raises(StoreError, match=f"{name} is no store of levada"):
            Store(tmp_path / name, existing=True)
        (tmp_path / "empty").touch()
    assert _contents(tmp_path) == {"empty": b""}
    Store(tmp_path / "empty").close()  # it may become one


def test_a_database_without_a_store_is_left_as_it_is(postgresql_url: str) -> None:
    engine = connect(normal_url(postgresql_url), writes=True)
    store_schema.metadata.drop_all(engine)
    with pytest.raises(StoreError, match="holds no store of levada"):
        Store(postgresql_url, existing=True)
    assert not inspect(engine).get_table_names()
    engine.dispose()


@pytest.mark.parametrize("at", [0, 4096 * 3])
def test_a_damaged_store_that_is_to_be_there_is_left_as_it_is(tmp_path: Path, at: int) -> None:
    file = tmp_path / "s.sqlite"
    with Store(file) as store:
        put(store, *(row(i) for i in range(200)))
    _flip(file, lambda _size: at)
    before = _contents(tmp_path)
    with pytest.raises(StoreError, match="is damaged"):
        Store(file, existing=True)
    assert _contents(tmp_path) == before


# -- versions ----------


def test_a_store_of_a_newer_program_is_left_alone(tmp_path: Path) -> None:
    file = tmp_path / "s.sqlite"
    Store(file).close()
    with closing(sqlite3.connect(file)) as raw:
        raw.execute("UPDATE schema_version SET version = 99")
        raw.commit()
    with pytest.raises(StoreVersionError, match="version 99"):
        Store(file)


def test_an_older_store_is_migrated_after_a_copy(tmp_path: Path) -> None:
    file = tmp_path / "s.sqlite"
    with Store(file) as store:
        put(store, row(0))
    engine = connect(normal_url(file), writes=True)
    newer = {
        **store_schema.MIGRATIONS,
        store_schema.VERSION + 1: lambda c: c.exec_driver_sql(
            "ALTER TABLE nodes ADD COLUMN site TEXT"
        ),
    }
    backup = store_schema.migrate(engine, newer, file=file)
    assert backup is not None
    with engine.connect() as connection:
        assert store_schema.stored_version(connection) == store_schema.VERSION + 1
        assert connection.exec_driver_sql("SELECT site FROM nodes").all() == [(None,)]
    engine.dispose()
    shutil.copy(backup, tmp_path / "back.sqlite")
    with Store(tmp_path / "back.sqlite") as old:
        assert old.reader.count("n") == 1


@pytest.mark.parametrize("harm", ["DELETE FROM schema_version", "DROP TABLE schema_version"])
def test_a_file_that_says_no_version_is_not_given_one(tmp_path: Path, harm: str) -> None:
    file = tmp_path / "s.sqlite"
    with Store(file) as store:
        put(store, row(0))
    with closing(sqlite3.connect(file)) as raw:
        raw.execute(harm)
        raw.commit()
        before = list(raw.iterdump())
    with pytest.raises(StoreError, match=r"say of which version|no store of levada"):
        Store(file)
    with closing(sqlite3.connect(file)) as raw:
        assert list(raw.iterdump()) == before


def test_a_renamed_column_is_told_when_the_file_is_opened(tmp_path: Path) -> None:
    file = tmp_path / "s.sqlite"
    Store(file).close()
    with closing(sqlite3.connect(file)) as raw:
        raw.execute("ALTER TABLE points RENAME COLUMN value TO val")
    with pytest.raises(StoreError, match="points of the store has no column value, but val: "):
        Store(file)


def test_a_column_that_is_renamed_meanwhile_costs_no_row(tmp_path: Path) -> None:
    file = tmp_path / "s.sqlite"
    with Store(file, settings=StoreSettings(retry_ms=20)) as store:
        put(store, row(0))
        commits = Commits(store)
        with closing(sqlite3.connect(file, isolation_level=None)) as other:
            other.execute("ALTER TABLE telemetry RENAME COLUMN payload TO load")
            assert store.submit(row(1))
            until(lambda: "has no column payload, but load" in store.health().detail)
            assert store.health().state is State.MISSING
            assert store.health().refused == 0
            other.execute("ALTER TABLE telemetry RENAME COLUMN load TO payload")
        assert commits.wait("n", 1, 1)


def test_without_a_copy_of_the_file_there_is_no_migration(tmp_path: Path) -> None:
    file = tmp_path / "s.sqlite"
    _of_version_1(str(file))
    (tmp_path / "s.sqlite.v1.backup").mkdir()  # nothing can be written there
    with pytest.raises(StoreError, match="of version 1, and is left as it is: no copy"):
        Store(file)
    with closing(sqlite3.connect(file)) as raw:
        assert raw.execute("SELECT version FROM schema_version").fetchall() == [(1,)]


def test_what_is_removed_is_found_by_its_key(store: Store) -> None:
    """A store of a month would else be read as a whole for every 500 rows."""
    put(store, *(row(seq) for seq in range(10)))
    plans = []

    def executed(_c: Any, cursor: Any, statement: str, values: Any, _x: Any, _many: bool) -> None:
        if statement.startswith("DELETE FROM points"):
            cursor.execute(f"EXPLAIN QUERY PLAN {statement}", (values[0] if _many else values))
            plans.extend(detail for *_, detail in cursor.fetchall())

    event.listen(store._database.engine, "before_cursor_execute", executed)
    assert prune(store, before_ms=T0 + 5_000).points == 10
    assert plans
    assert [plan for plan in plans if not plan.startswith("SEARCH points")] == []


def _of_version_1(where: str) -> None:
    """Make the store that levada made before there were levels of extremes."""
    engine = connect(normal_url(where), writes=True)
    with engine.begin() as connection:
        for name in (f"{engine.dialect.name}.sql", "rows.sql"):
            for statement in (HERE / "store_v1" / name).read_text().split(";\n"):
                if statement.strip():
                    connection.exec_driver_sql(statement)
    engine.dispose()


def test_without_its_driver_it_is_said_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "psycopg", None)
    with pytest.raises(StoreError, match=r"\.venv/bin/python -m pip install -e '\.\[postgres\]'"):
        connect(normal_url("postgresql://localhost/levada"), writes=True)


@pytest.mark.parametrize("database", ["sqlite", "postgresql"])
def test_a_store_of_version_1_becomes_one_of_today(
    database: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    where = str(tmp_path / "s.sqlite")
    if database == "postgresql":
        where = request.getfixturevalue("postgresql_url")
        engine = connect(normal_url(where), writes=True)
        store_schema.metadata.drop_all(engine)
        engine.dispose()
    _of_version_1(where)
    with Store(where, clock_ms=lambda: T0 + HOUR) as store:
        with store.transaction() as connection:
            assert store_schema.stored_version(connection) == store_schema.VERSION
            found = inspect(connection)
            for table in store_schema.metadata.sorted_tables:
                columns = {c["name"]: c["nullable"] for c in found.get_columns(table.name)}
                assert columns == {c.name: c.nullable for c in table.c}
                keys = found.get_pk_constraint(table.name)["constrained_columns"]
                assert keys == [c.name for c in table.primary_key]
        assert_levels_are_true(store)
        put(store, row(8, device_ms=T0 + 160_000, received_ms=T0 + 160_000))  # where the device is
        assert store.reader.acknowledged("n") == {1: 8}
        assert store.reader.window("n", "raw").value.tolist() == [*range(1500, 1508), 8]
        assert store.reader.calibrations("n")[0]["who"] == "ana"
        assert store.reader.events(kind="alert")[0]["text"] == "dry"
        assert_levels_are_true(store)
    backup = tmp_path / "s.sqlite.v1.backup"
    assert backup.exists() is (database == "sqlite")
    if backup.exists():
        with closing(sqlite3.connect(backup)) as raw:
            assert raw.execute("SELECT version FROM schema_version").fetchall() == [(1,)]
            assert raw.execute("SELECT count(*) FROM points").fetchall() == [(10,)]


def test_a_migration_that_fails_changes_nothing(tmp_path: Path) -> None:
    file = tmp_path / "s.sqlite"
    Store(file).close()
    engine = connect(normal_url(file), writes=True)

    def fails(connection: object) -> None:
        connection.exec_driver_sql("ALTER TABLE nodes ADD COLUMN site TEXT")  # type: ignore[attr-defined]
        raise RuntimeError("power cut")

    with pytest.raises(RuntimeError):
        store_schema.migrate(
            engine, {**store_schema.MIGRATIONS, store_schema.VERSION + 1: fails}, file=file
        )
    with engine.connect() as connection:
        assert store_schema.stored_version(connection) == store_schema.VERSION
        columns = connection.exec_driver_sql("PRAGMA table_info(nodes)").all()
        assert "site" not in [column[1] for column in columns]
    engine.dispose()


@pytest.mark.parametrize(
    ("where", "says"), [("mysql://x/y", "permitted are"), ("sqlite://", "in memory")]
)
def test_a_wrong_url_is_refused(where: str, says: str) -> None:
    with pytest.raises(StoreError, match=says):
        Store(where)


def test_reading_needs_no_writer(store: Store) -> None:
    put(store, row(0))
    reader = StoreReader(store.url)
    assert reader.count() == 1
    reader.close()


def test_a_store_in_a_folder_that_cannot_be_made_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(StoreReadOnlyError):
        Store(tmp_path / "file" / "s.sqlite")


def test_thinning_sums_amounts_and_keeps_the_last_of_codes(both: Store) -> None:
    minute_ms, hour_ms = 60_000, 3_600_000
    for i in range(12):  # two hours, every ten minutes
        signals = {"theta": 0.1 * (i % 2), "rain_mm": 0.5, "cause": float(i % 4)}
        point = Points(node="n", time_ms=10 * i * minute_ms, kind="twin", signals=signals)
        assert both.submit(point)
    assert both.flush()
    downsample(both, before_ms=2 * hour_ms, every_ms=hour_ms)
    for signal, expected in (("theta", [0.05, 0.05]), ("rain_mm", [3.0, 3.0]), ("cause", [1, 3])):
        window = both.reader.window("n", signal, kind="twin")
        assert window.time_ms.tolist() == [0, hour_ms]
        assert window.value == pytest.approx(expected)
