"""What /health answers while the database of a running twin is away, denies, or refuses rows."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from flask import Flask
from services import PostgreSql
from small_field import until
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError
from store_rows import T0, row

from levada.twin.app.api import blueprint
from levada.twin.app.shown import Shown
from levada.twin.errors import StoreError
from levada.twin.store.engine import connect, normal_url
from levada.twin.store.rows import StoreSettings
from levada.twin.store.store import Store

QUICK = StoreSettings(retry_ms=20, busy_ms=100)


class Asked:
    """Who asks /health of a store that has no twin beside it."""

    def __init__(self, store: Store) -> None:
        view = SimpleNamespace(zones=(), now_ms=T0, ended=False, late_s=0.0)
        app = Flask(__name__)
        app.register_blueprint(blueprint(Shown(SimpleNamespace(store=store, view=view), None), {}))  # type: ignore[arg-type]
        self._client = app.test_client()

    def __call__(self) -> tuple[int, dict[str, Any]]:
        """Status, and what is said of the store; /health/own says the same of it."""
        own = self._client.get("/health/own")
        answer = self._client.get("/health")
        if own.status_code != answer.status_code:
            return self()  # it has changed in between
        found = json.loads(answer.data)
        assert found["ok"] == found["store"]["ok"] == (answer.status_code == 200)
        return answer.status_code, found["store"]

    def until(self, status: int, *, says: str) -> dict[str, Any]:
        """Wait until the answer is this one; what was said then."""
        last: list[tuple[int, dict[str, Any]]] = []

        def is_so() -> bool:
            last[:] = [self()]
            return last[0][0] == status and says in last[0][1]["detail"]

        until(is_so)
        return last[0][1]


@pytest.fixture
def server() -> Iterator[PostgreSql]:
    """A server that a test may stop and start."""
    with PostgreSql() as made:
        yield made


@pytest.mark.parametrize("end", [PostgreSql.stop, PostgreSql.kill], ids=["stopped", "killed"])
def test_a_database_that_goes_away_is_told_until_it_is_back(
    server: PostgreSql, end: Callable[[PostgreSql], None]
) -> None:
    with Store(server.url, settings=QUICK) as store:
        asked = Asked(store)
        assert store.submit(row(0))
        assert store.flush()
        assert asked()[0] == 200
        end(server)
        assert store.submit(row(1))
        found = asked.until(503, says="connection")
        assert found["state"] != "ok"
        server.start()
        assert store.flush()
        found = asked.until(200, says="")
        assert (found["stored"], found["refused"]) == (2, 0)


def test_what_has_to_be_read_is_waited_for_while_the_database_is_away(server: PostgreSql) -> None:
    """As a twin that is started just then has to read its past."""
    with Store(server.url, settings=QUICK) as store:
        assert store.submit(row(0))
        assert store.flush()
        server.stop()
        failed = threading.Event()
        found: list[int] = []

        def count() -> int:
            try:
                return store.reader.count("n")
            except DBAPIError:
                failed.set()
                raise

        reading = threading.Thread(target=lambda: found.append(store.patiently(count)))
        reading.start()
        until(lambda: failed.is_set() and not store.health().ok)
        stop = threading.Event()
        stop.set()
        with pytest.raises(StoreError, match="connection"):
            store.patiently(count, stop)
        server.start()
        reading.join()
        assert found == [1]


def test_what_fails_though_the_database_is_well_is_an_error(tmp_path: Path) -> None:
    with Store(tmp_path / "s.sqlite", settings=QUICK) as store:

        def wrong() -> int:
            raise StoreError("no such column")

        with pytest.raises(StoreError, match="no such column"):
            store.patiently(wrong)


def test_inserts_that_are_denied_are_told_until_they_are_allowed(server: PostgreSql) -> None:
    plain = server.url.replace("user=levada", "user=plain")
    engine = connect(normal_url(server.url), writes=True)

    def run(*statements: str) -> None:
        with engine.begin() as connection:
            for statement in statements:
                connection.execute(text(statement))

    run("CREATE ROLE plain LOGIN", "GRANT ALL ON SCHEMA public TO plain")
    with Store(plain, settings=QUICK) as store:
        asked = Asked(store)
        assert store.submit(row(0))
        assert store.flush()
        run("ALTER TABLE telemetry OWNER TO levada", "REVOKE ALL ON telemetry FROM plain")
        assert store.submit(row(1))
        found = asked.until(503, says="permission denied for table telemetry")
        assert found["state"] == "denied"
        run("GRANT ALL ON telemetry TO plain")
        asked.until(200, says="")
    engine.dispose()


def test_rows_that_are_refused_are_told(tmp_path: Path) -> None:
    with Store(tmp_path / "store.sqlite") as store:
        asked = Asked(store)
        assert store.submit(row(0))
        assert store.submit(row(100_000))
        assert store.flush()
        status, found = asked()
        assert status == 503
        assert found["detail"].startswith("1 rows refused, the last ")
        assert found["detail"].endswith(": 1 of n (its number is too far ahead of what is missing)")
        assert found["refusals"] == {"n": {"its number is too far ahead of what is missing": 1}}
