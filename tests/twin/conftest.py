"""Brokers and databases for the tests of this folder."""

from __future__ import annotations

import shutil
import tempfile
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from services import Mosquitto, PostgreSql
from store_rows import T0

from levada.hil.line.broker import EmbeddedBroker
from levada.twin.mqtt.delivery import Delivery
from levada.twin.store import schema as store_schema
from levada.twin.store.engine import connect, normal_url
from levada.twin.store.rows import Commit
from levada.twin.store.store import Store


@pytest.fixture(scope="session")
def postgresql_url() -> Iterator[str]:
    """Of a PostgreSQL server of our own."""
    with PostgreSql() as server:
        yield server.url


@pytest.fixture
def memory_folder(tmp_path: Path) -> Iterator[Path]:
    """For tests of thousands of commits that are not about the disk; in memory where there is."""
    memory = Path("/dev/shm")
    if not memory.is_dir() or shutil.disk_usage(memory).free < 1 << 30:
        yield tmp_path
        return
    made = Path(tempfile.mkdtemp(dir=memory))
    yield made
    shutil.rmtree(made)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with Store(tmp_path / "store.sqlite") as made:
        yield made


@pytest.fixture(params=["sqlite", "postgresql"])
def both(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Store]:
    """The store on SQLite and on PostgreSQL; both must behave the same."""
    if request.param == "sqlite":
        where = str(tmp_path / "s.sqlite")
    else:
        where = request.getfixturevalue("postgresql_url")
        engine = connect(normal_url(where), writes=True)
        store_schema.metadata.drop_all(engine)
        engine.dispose()
    with Store(where, clock_ms=lambda: T0) as made:
        yield made


@pytest.fixture
def deliver(store: Store, broker: EmbeddedBroker | Mosquitto) -> Iterator[Callable[..., Delivery]]:
    """Makes the consumer of `store`; ended after the test."""
    made: list[Delivery] = []

    def make(**options: object) -> Delivery:
        made.append(Delivery(store, broker.address, **options))  # type: ignore[arg-type]
        return made[-1]

    yield make
    for delivery in made:
        delivery.close()


class Commits:
    """Waits for what the store commits, without sleeping."""

    def __init__(self, store: Store) -> None:
        self.acks: dict[tuple[str, int], int] = {}
        self._news = threading.Condition()
        store.listen(self._on_commit)

    def _on_commit(self, commit: Commit) -> None:
        with self._news:
            self.acks.update(commit.acks)
            self._news.notify_all()

    def wait(self, node: str, boot: int, seq: int, timeout_s: float = 60.0) -> bool:
        """Whether everything of (node, boot) up to `seq` is stored within the time."""
        with self._news:
            return self._news.wait_for(
                lambda: self.acks.get((node, boot), -1) >= seq, timeout=timeout_s
            )


@pytest.fixture
def commits(store: Store) -> Commits:
    return Commits(store)
