"""Who waits for whom: devices for no more than one transaction, whatever the twin writes, and no
transaction for company."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any
from unittest import mock

import pytest
from conftest import Commits
from small_field import until
from sqlalchemy import Connection, Engine, StaticPool, create_engine, event
from sqlalchemy.sql.dml import UpdateBase
from store_rows import T0, row

from levada.twin.journal import Journal
from levada.twin.store import commit, levels, points, schema
from levada.twin.store.database import Database, DisplacedError
from levada.twin.store.health import Vitals
from levada.twin.store.intake import Intake
from levada.twin.store.rows import Event, Item, Points, StoreSettings
from levada.twin.store.statements import execute_many
from levada.twin.store.store import Store
from levada.twin.store.turns import Turns
from levada.twin.store.writer import Writer

MINUTE_MS = 60_000


def values(minute: int, zone: int = 0, change: float = 0.0) -> Points:
    signals = {f"s{k}": k + minute + change for k in range(15)}
    return Points(node=f"z{zone}", time_ms=T0 + minute * MINUTE_MS, signals=signals)


# Two lanes ----------


def test_what_comes_from_the_field_is_taken_first_and_each_lane_in_its_order() -> None:
    intake = Intake(StoreSettings(group_rows=3))
    alert = Event(kind="alert", text="dry", time_ms=T0)
    items: list[Item] = [values(0), values(1), row(0), values(2), alert, row(1), values(3), row(2)]
    assert all(intake.put(item) for item in items)
    assert intake.take(0) == [row(0), alert, row(1), values(0), values(1), values(2)]
    assert intake.take(0) == [row(2), values(3)]
    assert intake.take(0) == []


def test_a_twin_cannot_fill_the_room_of_devices() -> None:
    intake = Intake(StoreSettings(queue_rows=4))
    assert [intake.put(values(k)) for k in range(6)] == [True] * 4 + [False] * 2
    assert [intake.put(row(k)) for k in range(6)] == [True] * 4 + [False] * 2
    assert intake.waiting() == (4, 4)


def test_who_may_wait_for_room_gets_it_as_soon_as_something_is_taken() -> None:
    intake = Intake(StoreSettings(queue_rows=2, group_rows=2))
    assert intake.put(values(0)) and intake.put(values(1))
    assert not intake.put(values(2), 0.01)
    put: list[bool] = []
    waiting = threading.Thread(target=lambda: put.append(intake.put(values(2), 60.0)))
    waiting.start()
    assert intake.take(60.0) == [values(0), values(1)]
    waiting.join()
    assert put == [True]
    assert intake.take(0) == [values(2)]


@pytest.mark.parametrize(("can_wait", "left_out"), [(True, 0), (False, 8)])
def test_a_twin_that_can_wait_leaves_nothing_out_while_the_database_is_away(
    tmp_path: Path, can_wait: bool, left_out: int
) -> None:
    """Its curve has a hole only where devices must not wait for it."""
    settings = StoreSettings(queue_rows=2, busy_ms=10, retry_ms=10, group_rows=2)
    file, stop = tmp_path / "s.sqlite", threading.Event()
    with (
        Store(file, settings=settings) as store,
        closing(sqlite3.connect(file, isolation_level=None)) as other,
    ):
        journal = Journal(store, ["z0"], stop, can_wait=can_wait)
        other.execute("BEGIN IMMEDIATE")
        journal.points(0, T0, "twin", {"theta": 0.0})
        until(lambda: not store.health().ok and not store.health().twin_waiting)  # it holds that

        def write() -> None:
            for number in range(1, 11):
                journal.points(0, T0 + number, "twin", {"theta": float(number)})

        writing = threading.Thread(target=write)
        writing.start()
        if can_wait:
            until(lambda: store.health().twin_waiting == settings.queue_rows)
        else:
            writing.join()
        other.execute("ROLLBACK")
        writing.join()
        assert store.flush()
        window = store.reader.window("z0", "theta", kind="twin")
        assert list(window.value) == [float(number) for number in range(11 - left_out)]
        journal.points(0, T0 + 20, "twin", {"theta": 20.0})
        assert store.flush()
        told = [e["text"] for e in store.reader.events(kind="store") if "missing" in e["text"]]
        assert [text.split()[0] for text in told] == ([str(left_out)] if left_out else [])
        assert store.health().refused == 0


def test_when_nothing_more_comes_the_rest_is_taken_in_large_groups() -> None:
    intake = Intake(StoreSettings())
    assert all(intake.put(values(k)) for k in range(1_200))
    assert all(intake.put(row(k)) for k in range(2_500))
    intake.end()
    assert [len(intake.take(0)) for _ in range(6)] == [1_000, 1_000, 500, 1_000, 200, 0]
    assert intake.ended


def test_large_groups_do_not_outgrow_the_log() -> None:
    settings = StoreSettings(group_rows=10, log_bytes=1 << 20)
    intake = Intake(settings)
    assert all(intake.put(replace(row(k), payload="x" * 10_000)) for k in range(40))
    intake.end()
    assert [len(intake.take(0)) for _ in range(4)] == [14, 14, 12, 0]  # 131,072 bytes are passed


def test_who_flushes_waits_for_what_was_there_and_not_for_what_comes() -> None:
    intake = Intake(StoreSettings(group_rows=2))
    assert intake.put(row(0)) and intake.put(values(0)) and intake.put(row(1))
    flushed: list[bool] = []
    waiting = threading.Thread(target=lambda: flushed.append(intake.flush(60.0)))
    waiting.start()
    until(lambda: bool(intake._hurried))
    assert intake.put(row(2))
    assert intake.take(60.0) == [row(0), row(1), row(2), values(0)]  # nobody is made to wait
    assert not flushed
    assert intake.put(row(3))
    intake.settle()
    waiting.join()
    assert flushed == [True]
    assert intake.left == (1, 0)
    assert not intake.flush(0.01)


# Groups ----------


class HeldDatabase(Database):
    """In memory; each commit waits until the test lets it happen."""

    name = "held database"

    def __init__(self) -> None:
        super().__init__()
        self.engine = create_engine(
            "sqlite://", poolclass=StaticPool, connect_args={"check_same_thread": False}
        )
        schema.migrate(self.engine)
        self.asked = threading.Semaphore(0)
        self.permitted = threading.Semaphore(0)
        event.listen(self.engine, "commit", self._hold)

    def _hold(self, _connection: Any) -> None:
        self.asked.release()
        assert self.permitted.acquire(timeout=60.0)

    def check(self) -> None:
        pass

    def recover(self, error: DisplacedError) -> None:
        raise error

    def close(self) -> None:
        self.engine.dispose()


class Waits(threading.Condition):
    """Notes how much could have been written while somebody waits."""

    def __init__(self, intake: Intake) -> None:
        super().__init__()
        self.intake = intake
        self.left: list[int] = []

    def wait(self, timeout: float | None = None) -> bool:
        self.left.append(sum(self.intake.waiting()))
        return super().wait(timeout)


def test_a_group_is_what_came_while_the_one_before_was_written() -> None:
    """A lone row is written at once; no timer runs while there is something to write."""
    settings = StoreSettings(group_rows=50)
    intake = Intake(settings)
    waits = intake._news = Waits(intake)
    groups: list[int] = []
    with HeldDatabase() as database:
        writer = Writer(database, intake, Vitals(settings.queue_rows), settings, lambda: T0)
        writer.listeners.append(lambda commit: groups.append(commit.stored))
        assert intake.put(row(0))
        assert database.asked.acquire(timeout=60.0)  # it is being written
        assert all(intake.put(row(k)) for k in range(1, 8))
        database.permitted.release()
        assert database.asked.acquire(timeout=60.0)
        assert all(intake.put(row(k)) for k in range(8, 128))
        database.permitted.release(4)
        until(lambda: sum(groups) == 128)
        writer.close()
    assert groups == [1, 7, 50, 50, 20]
    assert not any(waits.left)


# A start on a store with a month of history ----------


@contextmanager
def work(engine: Engine) -> Iterator[dict[str, int]]:
    """Counts what the database is asked to do."""
    done = {"transactions": 0, "statements": 0, "rows": 0}

    def executed(_c: Any, _k: Any, _s: Any, parameters: Any, _x: Any, many: bool) -> None:
        done["statements"] += 1
        done["rows"] += len(parameters) if many else 1

    def many(connection: Connection, statement: UpdateBase, rows: Sequence[Any]) -> None:
        done["statements"] += 1
        done["rows"] += len(rows)
        execute_many(connection, statement, rows)

    def begun(_connection: Any) -> None:
        done["statements"] += 1
        done["rows"] += 1

    def committed(_connection: Any) -> None:
        done["transactions"] += 1

    event.listen(engine, "before_cursor_execute", executed)
    event.listen(engine, "begin", begun)
    event.listen(engine, "commit", committed)
    try:
        with ExitStack() as patched:
            for module in (commit, points, levels):  # past SQLAlchemy, whose events see nothing
                patched.enter_context(mock.patch.object(module, "execute_many", many))
            yield done
    finally:
        event.remove(engine, "before_cursor_execute", executed)
        event.remove(engine, "begin", begun)
        event.remove(engine, "commit", committed)


def test_the_first_row_after_a_start_waits_for_no_past(memory_folder: Path) -> None:
    """A month of 20 zones, a value an hour; the twin writes it all again while a device waits."""
    file = memory_folder / "s.sqlite"
    past = [
        Points(node=f"z{zone}", time_ms=T0 + hour * 3_600_000, signals={"theta": 0.1 + hour})
        for hour in range(30 * 24)
        for zone in range(20)
    ]
    settings = StoreSettings(queue_rows=20_000)
    with Store(file, settings=settings) as store:
        assert all(store.submit(point) for point in past)
        assert store.flush(600.0)
    with Store(file, settings=settings) as store:
        commits = Commits(store)
        with work(store._database.engine) as done:
            with store._database.lock:  # all of it waits
                assert all(store.submit(point) for point in past)
                assert store.submit(row(0))
            at_first: list[dict[str, int]] = []
            store.listen(lambda _commit: at_first.append(dict(done)))
            assert commits.wait("n", 1, 0)
            until(lambda: bool(at_first))
        # the one that was being written, and its own
        assert at_first[0]["transactions"] <= 2
        assert at_first[0]["rows"] <= 2 * 50 * 8
        assert store.flush(600.0)
        assert store.reader.window("z7", "theta", kind="twin", max_points=4_000).total == 720


@pytest.mark.parametrize("change", [0.0, 0.5], ids=["the same", "others"])
def test_values_of_a_known_window_ask_no_more_of_the_database_than_new_ones(
    memory_folder: Path, change: float
) -> None:
    a_window = StoreSettings(group_rows=800)  # as one transaction
    with Store(memory_folder / "s.sqlite", settings=a_window) as store:

        def write(minutes: range, change: float) -> dict[str, int]:
            with work(store._database.engine) as done:
                with store._intake._news:  # nothing is taken before all of them wait
                    for minute in minutes:
                        assert all(store.submit(values(minute, z, change)) for z in range(20))
                assert store.flush(600.0)
                assert done["transactions"] == 1
                return dict(done)

        write(range(1), 0.0)  # nodes and series
        new = write(range(1, 41), 0.0)
        known = write(range(1, 41), change)
        assert known["statements"] <= 3 * new["statements"]
        assert known["rows"] <= 1.05 * new["rows"]
        window = store.reader.window("z3", "s2", kind="twin", max_points=4_000)
        assert list(window.value) == [2.0, *(2 + minute + change for minute in range(1, 41))]


def test_rows_of_many_nodes_ask_as_many_statements_as_those_of_one(memory_folder: Path) -> None:
    with Store(memory_folder / "s.sqlite") as store:

        def write(seq: int) -> dict[str, int]:
            with work(store._database.engine) as done:
                with store._database.lock:  # they wait for each other
                    assert all(store.submit(row(seq, node=f"n{k}")) for k in range(40))
                assert store.flush(60.0)
                return dict(done)

        write(0)  # makes nodes and series
        done = write(1)
        assert done["statements"] <= 6 * done["transactions"] <= 12


# The end ----------


def test_a_full_queue_is_written_at_the_end_in_few_transactions(memory_folder: Path) -> None:
    file = memory_folder / "s.sqlite"
    store = Store(file)
    with work(store._database.engine) as done:
        with store._database.lock:
            assert all(store.submit(row(seq, signals={"raw": 1.0})) for seq in range(10_000))
            assert all(store.submit(values(minute)) for minute in range(1_000))
            ending = threading.Thread(target=store.close)
            ending.start()
            until(lambda: store._intake._ended)
        ending.join()
    assert done["transactions"] <= 12
    with closing(sqlite3.connect(file)) as raw:
        assert raw.execute("SELECT count(*) FROM telemetry").fetchone() == (10_000,)
        assert raw.execute("SELECT count(*) FROM points").fetchone() == (25_000,)


def test_what_could_not_be_written_at_the_end_is_told(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    file = tmp_path / "s.sqlite"
    store = Store(file, settings=StoreSettings(busy_ms=20, retry_ms=10))
    commits = Commits(store)
    with closing(sqlite3.connect(file, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        assert all(store.submit(row(seq)) for seq in range(120))
        assert all(store.submit(values(minute)) for minute in range(3))
        until(lambda: not store.health().ok)
        store.close()
        other.execute("ROLLBACK")
    assert "120 rows of the field, none of them acknowledged" in caplog.text
    assert "and 3 of the twin's own" in caplog.text
    assert commits.acks == {}


# Turns ----------


def test_who_has_waited_longest_is_next() -> None:
    """Also before the one that has just released it and asks again."""
    turns = Turns()
    order = []

    def writer() -> None:
        with turns:
            order.append("writer")

    waiting = threading.Thread(target=writer)
    with turns:
        waiting.start()
        until(lambda: turns.waiting == 1)
    with turns:
        order.append("keeper")
    waiting.join()
    assert order == ["writer", "keeper"]


# Every boundary ----------


@contextmanager
def taken(intake: Intake) -> Iterator[list[list[Item]]]:
    """What another thread takes meanwhile, once; it has to come without a time-out."""
    got: list[list[Item]] = []
    thread = threading.Thread(target=lambda: got.append(intake.take(3_600.0)), daemon=True)
    thread.start()
    yield got
    thread.join(60.0)
    assert not thread.is_alive()


def test_before_anything_has_come_nothing_is_left_and_nothing_ended() -> None:
    intake = Intake(StoreSettings())
    assert (intake.waiting(), intake.left, intake.ended) == ((0, 0), (0, 0), False)
    assert intake.flush(0.0)
    assert intake.take(0) == []


def test_the_first_that_comes_wakes_the_writer() -> None:
    for item in row(0), values(0):
        intake = Intake(StoreSettings(group_rows=1))
        with taken(intake) as got:
            assert intake.put(item)
        assert got == [[item]]


def test_who_waits_for_all_waits_for_what_is_being_written() -> None:
    intake = Intake(StoreSettings(group_rows=3))
    with taken(intake) as got:
        assert intake.put(row(0))
        assert not intake.flush(0.01)
    assert got == [[row(0)]]
    assert (intake.waiting(), intake.left) == ((0, 0), (1, 0))  # it is being written
    assert not intake.flush(0.01)
    assert intake.put(values(0))
    assert not intake.flush(0.01)
    intake.settle()
    assert intake.left == (0, 1)
    assert not intake.flush(0.01)
    intake.end()
    assert not intake.ended
    assert intake.take(0) == [values(0)]
    assert (intake.ended, intake.left) == (True, (0, 1))
    intake.settle()
    assert (intake.flush(0.0), intake.left) == (True, (0, 0))


def test_once_nobody_waits_any_more_groups_are_small_again() -> None:
    intake = Intake(StoreSettings(group_rows=2))
    assert all(intake.put(row(seq)) for seq in range(3))
    assert not intake.flush(0.0)
    assert len(intake.take(0)) == 2
    intake.settle()
    assert all(intake.put(row(seq)) for seq in range(3, 1_203))
    with intake._news:
        waiting = threading.Thread(target=lambda: intake.flush(60.0))
        waiting.start()
    until(lambda: bool(intake._hurried))
    assert len(intake.take(0)) == 1_000
    intake.settle()
    assert len(intake.take(0)) == 201
    intake.settle()
    waiting.join()
    assert all(intake.put(row(seq)) for seq in range(3))
    assert len(intake.take(0)) == 2


@pytest.mark.parametrize(("size", "together"), [(131_071, 3), (131_072, 1)])
def test_a_large_group_holds_an_eighth_of_the_log(size: int, together: int) -> None:
    """1 MiB / 8; what is there already is looked at before another one is taken."""
    intake = Intake(StoreSettings(group_rows=1, log_bytes=1 << 20))
    assert intake.put(replace(row(0), payload="x" * size))
    assert intake.put(Event(kind="alert", text="x" * 200_000, time_ms=T0))  # has no payload
    assert intake.put(replace(row(1), payload="x" * size))
    assert intake.put(row(2))
    intake.end()
    assert len(intake.take(0)) == together


def test_of_both_lanes_as_much_as_one_transaction_takes() -> None:
    intake = Intake(StoreSettings(group_rows=2))
    assert all(intake.put(row(k)) for k in range(3))
    assert all(intake.put(values(k)) for k in range(4))
    assert intake.take(0) == [row(0), row(1), values(0), values(1)]
    assert (intake.waiting(), intake.left) == ((1, 2), (3, 4))
    intake.settle()
    assert intake.left == (1, 2)
