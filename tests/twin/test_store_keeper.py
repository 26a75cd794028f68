"""Policies of a store: 30 days of a value a minute, by hand."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from small_field import until
from sqlalchemy import event

from levada.sim.units import DAY_MS, MINUTE_MS
from levada.twin.errors import StoreError
from levada.twin.store.keeper import Keeper, Policy, enforce
from levada.twin.store.rows import Event, Points
from levada.twin.store.store import Store

NOW_MS = 30 * DAY_MS


@pytest.fixture
def store(memory_folder: Path) -> Iterator[Store]:
    """30 days of a value each ten minutes, and an event at the start of each day."""
    with Store(memory_folder / "store.sqlite", clock_ms=lambda: NOW_MS) as made:
        for time_ms in range(0, NOW_MS, 10 * MINUTE_MS):
            assert made.submit(Points(node="n", time_ms=time_ms, signals={"theta": 0.25}))
        for day in range(30):
            made.submit(Event(kind="alert", text="x", node="n", time_ms=day * DAY_MS))
        assert made.flush()
        yield made


def count(store: Store, start_ms: int, end_ms: int) -> int:
    return store.reader.window(
        "n", "theta", kind="twin", start_ms=start_ms, end_ms=end_ms - 1, max_points=100_000
    ).total


def test_old_values_become_hourly_means_and_older_ones_go(store: Store) -> None:
    removed = enforce(store, Policy(keep_ms=20 * DAY_MS, thin_after_ms=7 * DAY_MS))
    assert count(store, 0, 10 * DAY_MS) == 0
    assert count(store, 10 * DAY_MS, 23 * DAY_MS) == 13 * 24
    assert count(store, 23 * DAY_MS, NOW_MS) == 7 * 144
    assert removed.points == 10 * 144 + 13 * (144 - 24)
    assert removed.events == 10
    assert len(store.reader.events(kind="alert")) == 20


def test_doing_it_again_changes_nothing(store: Store) -> None:
    policy = Policy(keep_ms=20 * DAY_MS, thin_after_ms=7 * DAY_MS)
    enforce(store, policy)
    again = enforce(store, policy)
    assert (again.messages, again.points, again.events) == (0, 0, 0)


def test_the_keeper_does_it_by_itself(store: Store) -> None:
    """At once: a twin that is started again every few minutes would else never prune."""
    with Keeper(store, Policy(keep_ms=DAY_MS)):
        while count(store, 0, NOW_MS) > 144:
            assert store.health().ok


def test_the_keeper_does_it_again(store: Store) -> None:
    with Keeper(store, Policy(keep_ms=DAY_MS), every_s=0.01):
        until(lambda: count(store, 0, NOW_MS) <= 144)
        assert store.submit(Points(node="n", time_ms=0, signals={"theta": 0.25}))
        assert store.flush()
        until(lambda: count(store, 0, DAY_MS) == 0)


@pytest.mark.parametrize(
    "policy",
    [Policy(keep_ms=DAY_MS), Policy(thin_after_ms=DAY_MS)],
    ids=["removing", "thinning"],
)
def test_a_keeper_ends_with_the_transaction_that_it_makes(store: Store, policy: Policy) -> None:
    """And not when a month has been removed: whoever ends the twin waits for it."""
    made: list[int] = []
    ending = threading.Thread(target=lambda: keeper.close())

    @event.listens_for(store._database.engine, "commit")
    def committed(_connection: object) -> None:
        made.append(threading.get_ident())
        if len(made) == 3:
            ending.start()
            until(lambda: keeper._closing.is_set())

    keeper = Keeper(store, policy)
    until(lambda: ending.ident is not None)
    ending.join()
    assert len(made) <= 4
    event.remove(store._database.engine, "commit", committed)
    assert not keeper.running
    assert count(store, 0, 29 * DAY_MS) > 1_000


def test_values_that_are_removed_before_they_are_thinned_are_a_mistake() -> None:
    with pytest.raises(StoreError, match=r"after 7 d but removed after 3 d"):
        Policy(keep_ms=3 * DAY_MS, thin_after_ms=7 * DAY_MS)
