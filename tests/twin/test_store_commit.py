"""What a transaction of the writer leaves in the tables, read without the program's own reader."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine, select
from store_rows import T0, row

from levada.twin.store import schema
from levada.twin.store.commit import Known, Work
from levada.twin.store.engine import connect, normal_url
from levada.twin.store.health import Refusal
from levada.twin.store.rows import Event, Flag, Item, Points, PresenceChange, Row, StoreSettings

NOW_MS = T0 + 3_600_000
YEAR_MS = 366 * 86_400_000


class Transactions:
    """Commits as the writer does; everything that was committed is in `works`."""

    def __init__(self, engine: Engine, settings: StoreSettings | None = None) -> None:
        self.engine = engine
        self.settings = settings or StoreSettings()
        self.known = Known()
        self.works: list[Work] = []

    def __call__(self, *items: Item) -> Work:
        with self.engine.begin() as connection:
            work = Work(self.known, connection, self.settings, NOW_MS)
            for item in items:
                work.take(item)
            work.write()
        self.known.learn(work)
        self.works.append(work)
        return work

    def forget(self) -> None:
        """As after a new start: what is known has to be read."""
        self.known = Known()

    def rows(self, table: str, *columns: str) -> list[tuple[Any, ...]]:
        """A table, or some of its columns, in the order of its first columns."""
        there = schema.metadata.tables[table]
        chosen = [there.c[name] for name in columns] if columns else list(there.c)
        with self.engine.connect() as connection:
            return [tuple(found) for found in connection.execute(select(*chosen).order_by(*chosen))]

    def refused(self) -> dict[tuple[str, Refusal], int]:
        sums: dict[tuple[str, Refusal], int] = {}
        for work in self.works:
            for key, count in work.refused.items():
                sums[key] = sums.get(key, 0) + count
        return sums


@pytest.fixture
def engine(memory_folder: Path) -> Iterator[Engine]:
    made = connect(normal_url(str(memory_folder / "s.sqlite")), writes=True)
    schema.metadata.create_all(made)
    yield made
    made.dispose()


@pytest.fixture
def commit(engine: Engine) -> Transactions:
    return Transactions(engine)


GROUPS = ("one", "each", "each after a start")


def in_groups(commit: Transactions, groups: str, items: list[Item]) -> None:
    """All in one transaction, or each in its own; the tables must be the same."""
    if groups == "one":
        commit(*items)
        return
    for item in items:
        commit(item)
        if groups == "each after a start":
            commit.forget()


@pytest.mark.parametrize("groups", GROUPS)
def test_messages_of_two_nodes_and_two_lives_are_kept_apart(
    commit: Transactions, groups: str
) -> None:
    """With holes in the first life of `n`, one of which the device gives up."""
    in_groups(
        commit,
        groups,
        [
            row(0),
            row(10, node="m", boot=1, oldest=10, device_ms=None),
            row(2),
            row(0, boot=9, received_ms=T0 + 2_500),
            row(1),
            row(2),  # again
            row(5, oldest=4),
            row(12, node="m", boot=1, oldest=10),
            row(7, oldest=4),
        ],
    )
    assert commit.rows("nodes") == [
        (1, "n", None, None, 1, NOW_MS, T0 + 7_000),
        (2, "m", None, None, 1, NOW_MS, T0 + 12_000),
    ]
    assert commit.rows("boots") == [
        (1, 1, 3, 7, T0 + 7_000, T0),
        (1, 9, 0, 0, T0, T0 + 2_500),
        (2, 1, 10, 12, T0 + 12_000, T0 + 10_000),
    ]
    at = {n: T0 + n * 1_000 for n in range(20)}
    assert commit.rows("telemetry") == [
        (1, 1, 1, 0, T0, T0, T0, 0, '{"raw": 0}'),
        (2, 2, 1, 10, at[10], None, at[10], 0, '{"raw": 10}'),
        (3, 1, 1, 2, at[2], at[2], at[2], 0, '{"raw": 2}'),
        (4, 1, 9, 0, T0, T0, T0 + 2_500, 0, '{"raw": 0}'),
        (5, 1, 1, 1, at[1], at[1], at[1], Flag.HISTORICAL, '{"raw": 1}'),
        (6, 1, 1, 5, at[5], at[5], at[5], 0, '{"raw": 5}'),
        (7, 2, 1, 12, at[12], at[12], at[12], 0, '{"raw": 12}'),
        (8, 1, 1, 7, at[7], at[7], at[7], 0, '{"raw": 7}'),
    ]
    assert commit.rows("series") == [
        (1, 1, "raw", "raw", "counts"),
        (2, 1, "raw", "pct", "%"),
        (3, 2, "raw", "raw", "counts"),
        (4, 2, "raw", "pct", "%"),
    ]
    assert [point for point in commit.rows("points") if point[0] in (1, 4)] == [
        (1, T0, 1, 0.0),
        (1, T0, 4, 0.0),
        *((1, at[n], identity, float(n)) for n, identity in ((1, 5), (2, 3), (5, 6), (7, 8))),
        (4, at[10], 2, 10.0),
        (4, at[12], 7, 12.0),
    ]
    ((time_ms, node_id, kind, severity, text, evidence),) = commit.rows(
        "events", "time_ms", "node_id", "kind", "severity", "text", "evidence"
    )
    assert (time_ms, node_id, kind, severity) == (at[5], 1, "gap", "warning")
    assert text == "1 messages never came: 3 to 3 of boot 1"
    assert json.loads(evidence) == {"boot": 1, "first": 3, "last": 3}
    assert sum(work.duplicates for work in commit.works) == 1
    assert commit.refused() == {}


def test_a_commit_tells_what_it_has_made_durable(commit: Transactions) -> None:
    said = commit(row(0), row(1), row(1), row(3), row(4, node="m", boot=7, oldest=4)).commit()
    assert (said.acks, said.stored, said.duplicates, said.last_id) == (
        {("n", 1): 1, ("m", 7): 4},
        4,
        1,
        4,
    )
    said = commit(row(1)).commit()
    assert (said.acks, said.stored, said.duplicates, said.last_id) == ({("n", 1): 1}, 0, 1, 4)
    commit.forget()
    said = commit(row(2)).commit()
    assert (said.acks, said.stored, said.last_id) == ({("n", 1): 3}, 1, 5)


@pytest.mark.parametrize("starts", [False, True])
@pytest.mark.parametrize(
    ("ahead", "refused", "duplicates"),
    [
        (65_535, 0, 0),  # as wide as the window
        (65_536, 1, 0),
        (2_147_483_647, 1, 0),  # of 32 bits, less than half round is ahead
        (2_147_483_648, 0, 1),
        (4_294_967_295, 0, 1),  # the one before
    ],
)
def test_how_far_ahead_of_the_first_missing_one_a_number_may_be(
    commit: Transactions, ahead: int, refused: int, duplicates: int, starts: bool
) -> None:
    commit(row(0), row(1))
    if starts:
        commit.forget()
    work = commit(row(2 + ahead, received_ms=T0, device_ms=None))
    assert work.refused.get(("n", Refusal.WINDOW), 0) == refused
    assert work.duplicates == duplicates
    assert len(commit.rows("telemetry")) == 3 - refused - duplicates
    assert commit.rows("boots", "contiguous") == [(1,)]


@pytest.mark.parametrize(
    ("ahead", "gap"),
    [(0, ()), (1, (2, 2)), (2_147_483_647, (2, 2_147_483_648)), (2_147_483_648, ())],
)
def test_what_a_device_no_longer_holds_is_told_as_a_gap(
    commit: Transactions, ahead: int, gap: tuple[int, ...]
) -> None:
    commit(row(0), row(1))
    commit(row(0, oldest=2 + ahead))
    found = [json.loads(e) for (e,) in commit.rows("events", "evidence")]
    assert [(e["first"], e["last"]) for e in found] == ([gap] if gap else [])


def test_rows_that_were_refused_are_counted_one_by_one(engine: Engine) -> None:
    commit = Transactions(engine, StoreSettings(nodes=2))
    commit(row(0), row(0, node="m"), row(0, node="x"), row(1, node="x"), row(0, node="y"))
    commit(row(70_000), row(80_000), row(1, node="x"))
    assert commit.refused() == {
        ("x", Refusal.NODES): 3,
        ("y", Refusal.NODES): 1,
        ("n", Refusal.WINDOW): 2,
    }
    assert commit.rows("nodes", "name") == [("m",), ("n",)]


@pytest.mark.parametrize("groups", GROUPS)
def test_as_many_nodes_as_are_permitted_and_no_more(engine: Engine, groups: str) -> None:
    commit = Transactions(engine, StoreSettings(nodes=3))
    commit(row(0, node="a"))
    commit.forget()
    nodes = ("a", "b", "c", "d", "b", "a", "e")
    in_groups(commit, groups, [row(k, node=node) for k, node in enumerate(nodes, 1)])
    assert commit.rows("nodes", "name") == [("a",), ("b",), ("c",)]
    assert commit.refused() == {("d", Refusal.NODES): 1, ("e", Refusal.NODES): 1}
    told = commit.rows("events", "node_id", "kind", "severity", "time_ms", "text")
    assert set(told) == {
        (
            None,
            "store",
            "warning",
            NOW_MS,
            "the store has 3 nodes, as many as it takes: others are refused",
        )
    }
    assert len(told) == (2 if groups == "each after a start" else 1)


def test_what_fog_forwards_needs_room_for_both_nodes(engine: Engine) -> None:
    commit = Transactions(engine, StoreSettings(nodes=2))
    commit(row(0, node="fog", target="n", kind="filtered"))
    commit(row(1, node="fog", target="m"), row(0, node="m", target="n"), row(2, node="fog"))
    assert commit.refused() == {("fog", Refusal.NODES): 1, ("m", Refusal.NODES): 1}
    assert commit.rows("telemetry", "node_id", "seq") == [(1, 0), (1, 1), (1, 2)]
    assert commit.rows("series", "node_id", "kind", "name") == [
        (1, "raw", "pct"),
        (1, "raw", "raw"),
        (2, "filtered", "pct"),
        (2, "filtered", "raw"),
    ]


@pytest.mark.parametrize("groups", GROUPS)
def test_as_many_signals_of_a_node_and_kind_as_are_permitted_and_no_more(
    engine: Engine, groups: str
) -> None:
    commit = Transactions(engine, StoreSettings(signals=3))
    items: list[Item] = [
        row(0, signals={"a": 1.0, "b": 2.0}, units={"a": "kPa"}),
        row(0, node="m", signals={"a": 8.0}),
        row(1, signals={"c": 3.0, "d": 4.0, "b": 5.0, "e": 6.0}),
        row(2, kind="filtered", signals={"d": 7.0}),
        row(3, signals={"e": 8.0, "a": 9.0}),
    ]
    in_groups(commit, groups, items)
    assert sorted(commit.rows("series", "node_id", "kind", "name", "unit")) == [
        (1, "filtered", "d", ""),
        (1, "raw", "a", "kPa"),
        (1, "raw", "b", ""),
        (1, "raw", "c", ""),
        (2, "raw", "a", ""),
    ]
    assert sorted(value for (value,) in commit.rows("points", "value")) == [
        *(1.0, 2.0, 3.0, 5.0, 7.0, 8.0, 9.0),
    ]
    assert sum(work.left_out for work in commit.works) == 3
    told = commit.rows("events", "node_id", "kind", "severity", "time_ms", "text")
    assert set(told) == {
        (
            1,
            "store",
            "warning",
            NOW_MS,
            "n tells more than 3 signals: what is beyond is kept in its messages alone",
        )
    }
    assert len(told) == (2 if groups == "each after a start" else 1)


def test_a_node_may_bring_its_signals_of_each_kind_in_any_message(engine: Engine) -> None:
    """Those of the twin, which no message brings, are not among them."""
    commit = Transactions(engine, StoreSettings(signals=1))
    commit(Points(node="n", time_ms=T0, signals={"x": 1.0, "y": 2.0}))
    commit(row(0, signals={"a": 1.0}), row(1, kind="filtered", signals={"b": 2.0}))
    commit.forget()
    work = commit(row(2, signals={"a": 3.0}), row(3, kind="filtered", signals={"b": 4.0}))
    assert work.left_out == 0
    assert len(commit.rows("points")) == 6


@pytest.mark.parametrize("groups", GROUPS)
def test_values_of_the_twin_have_no_message_and_replace_each_other(
    commit: Transactions, groups: str
) -> None:
    def twin(minute: int, value: float) -> Points:
        return Points(
            node="z", time_ms=T0 + minute * 60_000, signals={"q": value}, units={"q": "mm"}
        )

    items: list[Item] = [
        twin(0, 1.0),
        twin(1, 5.0),
        row(0, node="z", kind="twin", signals={"q": 9.0}),  # of the same time
        twin(0, 2.0),
        twin(1, 5.0),
        twin(1, 3.0),
        twin(2, 3.0),
    ]
    in_groups(commit, groups, items)
    assert commit.rows("series") == [(1, 1, "twin", "q", "mm")]
    assert commit.rows("points") == [
        (1, T0, 0, 2.0),
        (1, T0, 1, 9.0),
        (1, T0 + 60_000, 0, 3.0),
        (1, T0 + 120_000, 0, 3.0),
    ]
    # T0 is 48,000 ms into an interval of 131,072 ms: two values and the message, then one
    whole = [found[3:] for found in commit.rows("extremes") if found[1] == 29]
    assert whole == [(4, 2.0, 9.0)]


def test_a_value_that_is_there_as_it_is_writes_nothing(commit: Transactions) -> None:
    points = Points(node="z", time_ms=T0, signals={"q": 1.0})
    commit(points)
    with commit.engine.connect() as connection:
        before = connection.exec_driver_sql("SELECT total_changes()").scalar()
    commit(points)
    commit.forget()
    commit(points)
    with commit.engine.connect() as connection:
        assert connection.exec_driver_sql("SELECT total_changes()").scalar() == before


def test_a_node_that_comes_and_goes(commit: Transactions) -> None:
    birth = {"boot": 4, "engine": "wamr"}
    commit(row(0, node="other"))
    commit(PresenceChange(node="n", online=True, time_ms=T0 + 5, birth=birth))
    assert commit.rows("nodes")[1] == (2, "n", json.dumps(birth), 4, 1, NOW_MS, T0 + 5)
    commit(PresenceChange(node="n", online=False, time_ms=T0 + 9))
    assert commit.rows("nodes")[1] == (2, "n", json.dumps(birth), 4, 0, NOW_MS, T0 + 5)
    commit(PresenceChange(node="n", online=True, time_ms=T0 + 11))
    assert commit.rows("nodes")[1] == (2, "n", json.dumps(birth), 4, 1, NOW_MS, T0 + 11)
    assert commit.rows("nodes")[0] == (1, "other", None, None, 1, NOW_MS, T0)


@pytest.mark.parametrize("groups", GROUPS)
def test_who_goes_after_its_last_message_is_away(commit: Transactions, groups: str) -> None:
    gone = PresenceChange(node="n", online=False, time_ms=T0 + 9_000)
    in_groups(commit, groups, [row(2), row(3), gone])
    assert commit.rows("nodes", "online", "last_ms") == [(0, T0 + 3_000)]
    in_groups(commit, groups, [gone, row(4)])
    assert commit.rows("nodes", "online", "last_ms") == [(1, T0 + 4_000)]


def test_a_node_for_which_there_is_no_room_cannot_come(engine: Engine) -> None:
    commit = Transactions(engine, StoreSettings(nodes=1))
    commit(row(0))
    commit(PresenceChange(node="m", online=True, time_ms=T0))
    commit(Event(kind="alert", text="dry", time_ms=T0 + 1, node="m"))
    commit(Event(kind="alert", text="wet", time_ms=T0 + 2, node="n", evidence={"x": 1}))
    commit(Event(kind="start", text="here", time_ms=T0 + 3, severity="error"))
    assert commit.rows("nodes", "name") == [("n",)]
    assert commit.rows("events", "time_ms", "node_id", "kind", "severity", "text", "evidence")[
        :3
    ] == [
        (T0 + 1, None, "alert", "info", "dry", "{}"),
        (T0 + 2, 1, "alert", "info", "wet", '{"x": 1}'),
        (T0 + 3, None, "start", "error", "here", "{}"),
    ]


def placed(commit: Transactions, *rows: Row) -> list[tuple[int, Flag]]:
    """Where on the time axis rows come to lie [ms after T0], and what is peculiar about them."""
    commit(*rows)
    return [
        (time_ms - T0, Flag(flags))
        for _, time_ms, flags in commit.rows("telemetry", "id", "time_ms", "flags")
    ]


@pytest.mark.parametrize(
    ("device_ms", "expected"),
    [
        (60_000, (0, Flag.NONE)),  # a minute ahead is believed, and yet nothing is of the future
        (60_001, (0, Flag.CLOCK)),
        (-60_000, (-60_000, Flag.NONE)),
        (-60_001, (-60_001, Flag.HISTORICAL)),
        (-YEAR_MS, (-YEAR_MS, Flag.HISTORICAL)),
        (-YEAR_MS - 1, (0, Flag.CLOCK)),
    ],
)
def test_how_far_off_a_device_s_clock_may_be(
    commit: Transactions, device_ms: int, expected: tuple[int, Flag]
) -> None:
    assert placed(commit, row(0, device_ms=T0 + device_ms)) == [expected]


@pytest.mark.parametrize(
    ("back_ms", "flag"), [(0, Flag.NONE), (1_000, Flag.NONE), (1_001, Flag.CLOCK)]
)
@pytest.mark.parametrize("starts", [False, True])
def test_how_far_a_device_s_clock_may_step_back(
    commit: Transactions, back_ms: int, flag: Flag, starts: bool
) -> None:
    commit(row(0, device_ms=T0))
    if starts:
        commit.forget()
    at_ms = -back_ms if flag is Flag.NONE else 2_000
    assert placed(commit, row(1, device_ms=T0 - back_ms, received_ms=T0 + 2_000))[1] == (
        at_ms,
        flag,
    )


def test_a_row_without_a_time_has_that_of_its_arrival_and_keeps_its_flags(
    commit: Transactions,
) -> None:
    rows = [
        row(1, device_ms=None, received_ms=T0, flags=Flag.UNIDENTIFIED),
        row(0, device_ms=None, received_ms=T0 + 70_000),
    ]
    assert placed(commit, *rows) == [(0, Flag.UNIDENTIFIED), (70_000, Flag.HISTORICAL)]


def test_a_late_row_does_not_say_what_the_clock_of_the_device_is(commit: Transactions) -> None:
    """The newest one does: what follows may not be more than a second before that."""
    commit(row(0), row(5), row(2))
    assert placed(commit, row(6, device_ms=T0 + 4_000), row(7, device_ms=T0 + 2_999))[3:] == [
        (4_000, Flag.NONE),
        (7_000, Flag.CLOCK),
    ]


def test_rows_without_numbers_that_were_refused_are_not_said_to_be_lost(
    commit: Transactions,
) -> None:
    flags = Flag.UNIDENTIFIED
    commit(row(0, boot=-5, flags=flags), row(4, boot=-5, oldest=4, flags=flags))
    assert commit.rows("events", "text") == [
        (
            "3 messages without numbers came and were refused here, not lost on the way: "
            "counted in /health",
        )
    ]
