"""What a store tells of itself, so that somebody can be paged by it."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from dataclasses import asdict
from pathlib import Path

import pytest
from small_field import until
from store_rows import T0, row

from levada.twin.health import store_part
from levada.twin.store.health import Refusal, State, Vitals
from levada.twin.store.rows import Points, StoreSettings
from levada.twin.store.store import Store

QUICK = StoreSettings(retry_ms=20, reserve_bytes=1 << 16)


def test_ages_are_told_by_the_clock_that_nobody_sets() -> None:
    now_s = 100.0
    vitals = Vitals(queue_rows=5, clock_s=lambda: now_s)
    fresh = vitals.look(waiting=0, writer=True)
    assert (fresh.commit_age_s, fresh.attempt_age_s, fresh.refusal_age_s) == (None, None, None)
    vitals.begin()
    vitals.commit(stored=3, duplicates=1, left_out=2)
    vitals.refuse("n", Refusal.WINDOW, rows=4)
    now_s = 107.5
    seen = vitals.look(waiting=2, writer=True)
    assert (seen.commit_age_s, seen.attempt_age_s, seen.refusal_age_s) == (7.5, 7.5, 7.5)
    assert (seen.stored, seen.duplicates, seen.left_out, seen.refused) == (3, 1, 2, 4)
    assert (seen.waiting, seen.queue_rows) == (2, 5)
    assert seen.refusals == {"n": {"its number is too far ahead of what is missing": 4}}
    vitals.rest()
    assert vitals.look(waiting=0, writer=True).attempt_age_s is None
    assert asdict(seen)["refusals"] == seen.refusals


@pytest.mark.parametrize(("age_s", "state"), [(10.0, State.OK), (10.5, State.SILENT)])
def test_a_database_that_does_not_answer_is_seen(age_s: float, state: State) -> None:
    now_s = 0.0
    vitals = Vitals(queue_rows=5, clock_s=lambda: now_s)
    vitals.begin()
    now_s = age_s
    seen = vitals.look(waiting=0, writer=True)
    assert (seen.state, seen.ok) == (state, state is State.OK)


def test_a_state_says_since_when_it_lasts() -> None:
    vitals = Vitals(queue_rows=5)
    vitals.become(State.BUSY, "locked", 10)
    assert vitals.become(State.BUSY, "still locked", 20) == (State.BUSY, "locked", 10)
    seen = vitals.look(waiting=0, writer=True)
    assert (seen.state, seen.detail, seen.since_ms, seen.ok) == (
        State.BUSY,
        "still locked",
        10,
        False,
    )


def test_refusals_of_strangers_do_not_grow_without_end() -> None:
    vitals = Vitals(queue_rows=5)
    for number in range(1_500):
        vitals.refuse(f"n{number}", Refusal.NODES)
    seen = vitals.look(waiting=0, writer=True)
    assert len(seen.refusals) == 1_001
    assert seen.refusals[""] == {Refusal.NODES.value: 500}
    assert seen.refused == 1_500


def test_refused_rows_are_told_by_node_and_reason(tmp_path: Path) -> None:
    settings = StoreSettings(queue_rows=8, group_rows=1, nodes=2, busy_ms=60_000)
    with Store(tmp_path / "s.sqlite", settings=settings) as store:
        for item in (row(0, node="a"), row(0, node="b"), row(0, node="c"), row(100_000, node="a")):
            assert store.submit(item)
        assert store.flush()
        assert store.health().refusals == {
            "c": {"the store has as many nodes as it takes": 1},
            "a": {"its number is too far ahead of what is missing": 1},
        }
        with closing(sqlite3.connect(tmp_path / "s.sqlite", isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            taken = [store.submit(row(seq, node="b")) for seq in range(1, 31)]
            other.execute("ROLLBACK")
        seen = store.health()
        assert seen.refusals["b"] == {"the queue is full": taken.count(False)}
        assert seen.refused == 2 + taken.count(False) >= 20
        assert seen.refusal_age_s is not None


def test_a_twin_that_has_to_wait_loses_nothing_and_is_no_refusal(tmp_path: Path) -> None:
    with Store(tmp_path / "s.sqlite", settings=StoreSettings(queue_rows=2)) as store:
        with store._database.lock:
            point = Points(node="n", time_ms=T0, signals={"theta": 0.2})
            until(lambda: not store.offer(point, 0.0))
            assert store.health().twin_waiting == 2
        assert (store.health().refused, store.health().refusals) == (0, {})


def test_a_commit_has_an_age_and_an_idle_writer_has_none(tmp_path: Path) -> None:
    with Store(tmp_path / "s.sqlite") as store:
        assert store.health().commit_age_s is None
        assert store.submit(row(0))
        assert store.flush()
        seen = store.health()
        assert seen.ok
        assert seen.commit_age_s is not None
        until(lambda: store.health().attempt_age_s is None)


def test_a_database_that_falls_silent_while_nothing_comes_is_told(tmp_path: Path) -> None:
    with Store(tmp_path / "s.sqlite") as store, store._database.lock:
        until(lambda: (store.health().attempt_age_s or 0.0) > 0.1)


def test_a_writer_that_has_ended_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fault(*_: object) -> None:
        raise ZeroDivisionError("of ours")

    with Store(tmp_path / "s.sqlite") as store:
        monkeypatch.setattr(store._writer, "_commit_until_done", fault)
        assert store.submit(row(0))
        until(lambda: not store.health().writer)
        seen = store.health()
        assert (seen.state, seen.ok) == (State.ENDED, False)
        assert "ZeroDivisionError" in seen.detail
        assert not store.submit(row(1))
        assert store.health().refusals == {"n": {Refusal.CLOSED.value: 1}}


def test_a_refused_row_that_was_sent_again_and_stored_is_no_trouble_any_more(
    tmp_path: Path,
) -> None:
    settings = StoreSettings(queue_rows=1)
    with Store(tmp_path / "store.sqlite", settings=settings) as store:
        with store.transaction():  # the writer waits
            submitted = 0
            while store.submit(row(submitted)):
                submitted += 1
            assert not store_part(store.health()).ok
            unnumbered = row(0, node="bare", boot=-5)
        assert store.flush()
        assert not store_part(store.health()).ok  # what was refused is still missing
        assert store.submit(row(submitted))  # its device sends it again
        assert store.flush()
        health = store.health()
        assert (health.refused, health.refusal_age_s) == (1, None)
        assert store_part(health).ok
        with store.transaction():
            while store.submit(unnumbered):
                pass
        assert store.flush()
        assert not store_part(store.health()).ok  # nobody sends that again


def test_the_highest_refused_number_of_a_life_is_waited_for_also_when_it_wraps() -> None:
    vitals = Vitals(queue_rows=5)
    for number in (2**32 - 2, 1, 2**32 - 1):
        vitals.refuse("n", Refusal.QUEUE, number=(3, number))
    for stored, there in ((2**32 - 1, True), (2**32, True), (2**32 + 1, False)):
        vitals.commit(1, 0, 0, {("n", 3): stored, ("n", 4): 2**33})
        assert (vitals.look(waiting=0, writer=True).refusal_age_s is not None) is there
