"""What the writer of a store does about everything that a database may answer.

The tables are real; what goes wrong is said by a script, one line for each transaction.
"""

from __future__ import annotations

import json
import logging
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest
from small_field import until
from sqlalchemy import Connection, Engine, select
from sqlalchemy.exc import DataError, DBAPIError, IntegrityError
from store_rows import T0, row

from levada.twin.errors import StoreBusyError, StoreError, StoreReadOnlyError
from levada.twin.store import schema
from levada.twin.store import writer as writing
from levada.twin.store.database import Database, DisplacedError, LogTooLongError
from levada.twin.store.engine import connect, normal_url
from levada.twin.store.health import Health, Refusal, State, Vitals
from levada.twin.store.intake import Intake
from levada.twin.store.rows import Commit, Event, Item, Points, StoreSettings
from levada.twin.store.writer import Writer


class StateError(Exception):
    """What a driver would raise in a certain state."""

    def __init__(self, state: State | None) -> None:
        super().__init__(f"driver says {state}\nand more")
        self.state = state


def trouble(state: State | None) -> DBAPIError:
    if state is State.CONFLICT:
        return IntegrityError("INSERT", {}, StateError(state))
    return DataError("INSERT", {}, StateError(state))


class Scripted(Database):
    """A database that fails as `script` has it, and notes what is asked of it."""

    name = "the store"

    def __init__(self, engine: Engine) -> None:
        super().__init__()
        self.engine = engine
        self.script: list[Exception | None] = []
        """Of the transactions to come; all is well after them."""
        self.sight: list[Exception | None] = []
        """Of the looks to come while nothing is written."""
        self.hindrances: list[Exception] = []
        """Of the mendings to come."""
        self.rooms: list[bool] = []
        self.asked: list[str] = []
        self.moved_to: Path | None = None

    @contextmanager
    def transaction(self) -> Iterator[Connection]:
        self.asked.append("write")
        with self.engine.begin() as connection:
            yield connection
            if self.script and (wrong := self.script.pop(0)) is not None:
                raise wrong

    def state(self, error: DBAPIError) -> State | None:
        assert isinstance(error.orig, StateError)
        return error.orig.state

    def check(self) -> None:
        if self.sight and (wrong := self.sight.pop(0)) is not None:
            raise wrong

    def _mend(self, what: str) -> None:
        self.asked.append(what)
        if self.hindrances:
            raise self.hindrances.pop(0)

    def recover(self, error: DisplacedError) -> Path | None:
        self._mend("recover")
        return self.moved_to

    def begin_anew(self) -> Path:
        self._mend("begin anew")
        return Path("/there/s.corrupt")

    def make_tables(self) -> None:
        self._mend("make tables")

    def make_room(self) -> None:
        self.asked.append("make room")

    def room(self) -> bool:
        return not self.rooms or self.rooms.pop(0)

    def close(self) -> None:
        self.engine.dispose()


class Bench:
    """A writer at a scripted database; `seen` are the states that it went through."""

    def __init__(self, database: Scripted, settings: StoreSettings) -> None:
        self.database = database
        self.intake = Intake(settings)
        self.vitals = Vitals(settings.queue_rows)
        self.seen: list[tuple[State, str]] = []
        become = self.vitals.become

        def noted(state: State, detail: str, now_ms: int) -> tuple[State, str, int]:
            if state is not State.OK:
                self.seen.append((state, detail))
            return become(state, detail, now_ms)

        self.vitals.become = noted  # type: ignore[method-assign]
        self.commits: list[Commit] = []
        self.writer = Writer(database, self.intake, self.vitals, settings, lambda: T0)
        self.writer.listeners.append(self.commits.append)

    def put(self, *items: Item) -> None:
        """All in one group, written and announced."""
        with self.intake._news:
            assert all(self.intake.put(item) for item in items)
        assert self.intake.flush(30.0)

    def stored(self) -> list[int]:
        with self.database.engine.connect() as connection:
            return list(connection.scalars(select(schema.telemetry.c.seq)))

    def told(self) -> list[tuple[str, str, str, dict[str, object]]]:
        """(kind, severity, text, evidence) of all events."""
        assert self.intake.flush(30.0)
        e = schema.events.c
        with self.database.engine.connect() as connection:
            found = connection.execute(select(e.kind, e.severity, e.text, e.evidence, e.time_ms))
            rows = [tuple(event) for event in found]
        assert {time_ms for *_, time_ms in rows} <= {T0}
        return [(kind, severity, text, json.loads(more)) for kind, severity, text, more, _ in rows]

    def health(self) -> Health:
        return self.vitals.look(waiting=0, writer=self.writer.alive)


@pytest.fixture
def bench(memory_folder: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Bench]:
    monkeypatch.setattr(writing, "_WATCH_S", 0.01)
    engine = connect(normal_url(str(memory_folder / "s.sqlite")), writes=True)
    schema.metadata.create_all(engine)
    made = Bench(Scripted(engine), StoreSettings(retry_ms=1))
    with closing(made.database), closing(made.writer):
        yield made


def well_again(state: State, detail: str) -> tuple[str, str, str, dict[str, object]]:
    return (
        "store",
        "warning",
        f"store could not be written ({state}): {detail}",
        {"state": state.value, "since_ms": T0},
    )


def test_a_conflict_is_tried_again_three_times_with_nothing_remembered(bench: Bench) -> None:
    bench.put(row(0))
    bench.database.script = [trouble(State.CONFLICT)] * 3
    bench.put(row(1), row(2))
    assert bench.database.asked == ["write"] * 5
    assert (bench.seen, bench.stored()) == ([], [0, 1, 2])
    assert [commit.acks for commit in bench.commits] == [{("n", 1): 0}, {("n", 1): 2}]


def test_what_conflicts_after_all_is_found_and_the_others_are_kept(
    bench: Bench, caplog: pytest.LogCaptureFixture
) -> None:
    """Four times together, then the first alone four times, then the others."""
    conflict = trouble(State.CONFLICT)
    bench.database.script = [conflict] * 8
    bench.put(row(0, node="bad"), row(0), row(1))
    assert bench.database.asked == ["write"] * 10
    assert bench.stored() == [0, 1]
    assert bench.health().refusals == {"bad": {Refusal.DATABASE.value: 1}}
    assert [record.getMessage() for record in caplog.records] == [
        "store refused Row: driver says conflict"
    ]


@pytest.mark.parametrize(
    "wrong", [trouble(None), TypeError("no such JSON"), ValueError("nan"), OverflowError("big")]
)
def test_what_cannot_be_written_costs_itself_only(
    bench: Bench, wrong: Exception, caplog: pytest.LogCaptureFixture
) -> None:
    """The group fails, the first of its two goes, and the second is what was wrong."""
    bench.database.script = [wrong, None, wrong]
    bench.put(row(0), Points(node="z", time_ms=T0, signals={"q": 1.0}))
    assert bench.database.asked == ["write"] * 3
    assert (bench.stored(), bench.seen) == ([0], [])
    assert bench.health().refusals == {"z": {Refusal.DATABASE.value: 1}}
    says = "driver says None" if isinstance(wrong, DBAPIError) else str(wrong)
    assert [record.getMessage() for record in caplog.records] == [f"store refused Points: {says}"]
    bench.put(row(1))
    assert bench.stored() == [0, 1]


@pytest.mark.parametrize("state", [State.BUSY, State.READ_ONLY, State.DENIED, State.FAILED])
def test_a_group_is_kept_until_the_database_takes_it(
    bench: Bench, state: State, caplog: pytest.LogCaptureFixture
) -> None:
    bench.database.script = [trouble(state)] * 3
    bench.put(row(0), row(1))
    detail = f"driver says {state}"
    assert bench.seen == [(state, detail)] * 3
    assert bench.database.asked[:4] == ["write"] * 4
    assert bench.told() == [well_again(state, detail)]
    assert [(record.levelno, record.getMessage()) for record in caplog.records] == [
        (
            logging.ERROR,
            f"store {state}: {detail}; nothing is acknowledged until it is well again",
        ),
        (logging.WARNING, f"store is well again (was {state})"),
    ]
    assert (bench.health().ok, bench.stored()) == (True, [0, 1])


@pytest.mark.parametrize(
    ("wrong", "state"),
    [
        (StoreBusyError("b"), State.BUSY),
        (StoreReadOnlyError("r"), State.READ_ONLY),
        (StoreError("s"), State.FAILED),
        (OSError("o"), State.FAILED),
        (LogTooLongError("l"), State.LOG_TOO_LONG),
    ],
)
def test_every_error_has_its_state(bench: Bench, wrong: Exception, state: State) -> None:
    bench.database.script = [wrong]
    bench.put(row(0))
    assert bench.seen == [(state, str(wrong))]
    assert bench.told() == [well_again(state, str(wrong))]
    assert bench.stored() == [0]


def test_a_full_disk_is_waited_for(bench: Bench) -> None:
    bench.database.script = [trouble(State.FULL)]
    bench.database.rooms = [False, False, True]
    bench.put(row(0))
    assert bench.database.asked[:3] == ["write", "make room", "write"]
    assert bench.database.rooms == []
    assert bench.told() == [well_again(State.FULL, "driver says full")]


def test_in_any_other_trouble_nobody_waits_for_room(bench: Bench) -> None:
    bench.database.script = [trouble(State.BUSY)]
    bench.database.rooms = [False]
    bench.put(row(0))
    assert bench.database.rooms == [False]


def test_tables_that_are_gone_are_made_again(bench: Bench) -> None:
    bench.database.script = [trouble(State.MISSING), trouble(State.MISSING)]
    bench.database.hindrances = [StoreError("one is there")]
    bench.put(row(0))
    assert bench.database.asked[:5] == ["write", "make tables"] * 2 + ["write"]
    assert bench.seen == [
        (State.MISSING, "driver says missing"),
        (State.MISSING, "one is there"),
        (State.MISSING, "driver says missing"),
    ]
    assert bench.told() == [well_again(State.MISSING, "driver says missing")]


def test_a_corrupt_store_is_moved_aside_and_written_anew_at_once(bench: Bench) -> None:
    bench.database.script = [trouble(State.CORRUPT)]
    bench.put(row(0))
    assert bench.database.asked[:3] == ["write", "begin anew", "write"]
    moved = "the store was corrupt: moved to s.corrupt, a new one begun"
    assert bench.told() == [("store", "error", moved, {})]
    assert (bench.seen, bench.health().moved_aside) == ([], "/there/s.corrupt")


def test_a_corrupt_store_that_cannot_be_moved_is_tried_again(bench: Bench) -> None:
    bench.database.script = [trouble(State.CORRUPT)] * 2
    bench.database.hindrances = [OSError("no room")]
    bench.put(row(0))
    assert bench.database.asked[:5] == ["write", "begin anew"] * 2 + ["write"]
    assert bench.seen == [(State.CORRUPT, "driver says corrupt; it cannot be moved aside: no room")]


@pytest.mark.parametrize("moved", [None, Path("/there/s.corrupt")])
def test_a_store_that_is_not_under_its_name_is_recovered(bench: Bench, moved: Path | None) -> None:
    bench.database.script = [DisplacedError("it is away")] * 2
    bench.database.hindrances = [trouble(State.BUSY)]
    bench.database.moved_to = moved
    bench.put(row(0))
    assert bench.database.asked[:5] == ["write", "recover"] * 2 + ["write"]
    assert bench.seen == [
        (State.MISSING, "it is away"),
        (State.MISSING, "it is away; driver says busy"),
    ]
    texts = [text for _, _, text, _ in bench.told()]
    assert sorted(texts) == sorted(
        [
            "store could not be written (missing): it is away; driver says busy",
            *(["the store was corrupt: moved to s.corrupt, a new one begun"] if moved else []),
        ]
    )


@pytest.mark.parametrize(
    ("wrong", "state", "detail"),
    [
        (trouble(State.BUSY), State.BUSY, "driver says busy"),
        (trouble(None), State.FAILED, "driver says None"),
        (StoreReadOnlyError("r"), State.READ_ONLY, "r"),
        (OSError("o"), State.FAILED, "o"),
        (DisplacedError("away"), State.MISSING, "away"),
    ],
)
def test_trouble_is_seen_while_nothing_comes(
    bench: Bench, wrong: Exception, state: State, detail: str
) -> None:
    bench.database.sight = [wrong]
    until(lambda: bool(bench.seen))
    until(lambda: bench.health().ok)
    assert bench.seen == [(state, detail)]
    until(lambda: bool(bench.told()))  # which comes after the state
    assert bench.told() == [well_again(state, detail)]


def test_what_another_wrote_meanwhile_is_read_again(bench: Bench) -> None:
    bench.put(row(0), row(1))
    with bench.database.engine.begin() as connection:
        there = connection.execute(select(schema.telemetry)).mappings().all()[1]
        connection.execute(schema.telemetry.insert().values(dict(there) | {"id": 3, "seq": 2}))
        connection.execute(schema.boots.update().values(contiguous=2, highest=2))
    bench.database.sessions += 1
    bench.put(row(2), row(3))
    assert (bench.stored(), bench.health().duplicates) == ([0, 1, 2, 3], 1)
    assert bench.seen == []
    bench.put(row(4))
    assert bench.stored() == [0, 1, 2, 3, 4]


def test_only_commits_of_rows_are_announced_and_a_listener_may_fail(
    bench: Bench, caplog: pytest.LogCaptureFixture
) -> None:
    def fails(_commit: Commit) -> None:
        raise ZeroDivisionError

    bench.writer.listeners.insert(0, fails)
    bench.put(Event(kind="alert", text="dry", time_ms=T0))
    assert bench.commits == []
    bench.put(row(0))
    assert [commit.acks for commit in bench.commits] == [{("n", 1): 0}]
    assert [record.getMessage() for record in caplog.records] == ["listener of the store failed"]
    assert bench.writer.alive


def test_at_the_end_everything_is_written(bench: Bench, caplog: pytest.LogCaptureFixture) -> None:
    with bench.intake._news:
        assert all(bench.intake.put(row(seq)) for seq in range(3_000))
    bench.writer.close(120.0)
    assert len(bench.stored()) == 3_000
    assert not bench.writer.alive
    assert caplog.records == []


@pytest.mark.parametrize("state", [State.BUSY, State.FULL])
def test_at_the_end_nobody_waits_for_a_database_in_trouble(
    bench: Bench, state: State, caplog: pytest.LogCaptureFixture
) -> None:
    bench.database.script = [trouble(state)] * 1_000_000
    bench.database.rooms = [False] * 1_000_000
    with bench.intake._news:
        assert all(bench.intake.put(row(seq)) for seq in range(3))
        assert bench.intake.put(Points(node="z", time_ms=T0, signals={"q": 1.0}))
    until(lambda: bool(bench.seen))
    bench.writer.close(120.0)
    assert not bench.writer.alive
    assert bench.stored() == []
    assert caplog.records[-1].getMessage() == (
        "not stored at the end: 3 rows of the field, none of them acknowledged, so that devices "
        "keep theirs, and 1 of the twin's own"
    )


def test_a_fault_of_ours_ends_the_writer_and_says_so(bench: Bench) -> None:
    bench.database.script = [ZeroDivisionError("of ours"), KeyError("ours")]
    with bench.intake._news:
        assert bench.intake.put(row(0))
    until(lambda: bench.health().refused == 1)  # arithmetic is what a value may cause
    assert bench.writer.alive
    assert bench.intake.put(row(1))
    until(lambda: not bench.writer.alive)
    assert bench.seen == [(State.ENDED, "the writer has ended: KeyError('ours')")]
    assert bench.writer.closing.is_set()


def test_nobody_waits_longer_than_said(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """A second between two looks at a database, and at its end twice ten for one that hangs."""
    asked: list[float] = []

    class Watched(Intake):
        def take(self, timeout_s: float) -> list[Item]:
            asked.append(timeout_s)
            return super().take(0.0)

    monkeypatch.undo()
    settings = StoreSettings()
    writer = Writer(bench.database, Watched(settings), bench.vitals, settings, lambda: T0)
    until(lambda: len(asked) > 1)
    writer.close(120.0)
    assert set(asked) == {1.0}
    waited: list[float] = []
    monkeypatch.setattr(threading.Thread, "join", lambda _thread, seconds: waited.append(seconds))
    writer.close()
    monkeypatch.undo()
    assert waited == [10.0, 10.0]


def test_the_writer_keeps_no_program_from_ending(bench: Bench) -> None:
    (thread,) = (thread for thread in threading.enumerate() if thread.name == "store-writer")
    assert thread.daemon
    assert bench.writer.alive
