"""A stored day again."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from small_field import START_MS, fault, scenario

from levada.sim.scenario.load import load
from levada.sim.scenario.model import Scenario
from levada.twin.diagnosis import Cause
from levada.twin.errors import StoreError, TwinError
from levada.twin.sources.bench import Bench
from levada.twin.sources.recording import Recording
from levada.twin.store.store import Store
from levada.twin.twin import Twin


def record(folder: Path, *, extra: str = "") -> Path:
    """Three days of a field, stored."""
    place = folder / "past.sqlite"
    with Store(place, clock_ms=lambda: START_MS) as store:
        twin = Twin(scenario(folder, extra=extra), store, Bench(speed=None))
        twin.run()
        twin.close()
    return place


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with Store(tmp_path / "now.sqlite", clock_ms=lambda: START_MS) as opened:
        yield opened


def replay(field: Scenario, store: Store, past: Path) -> Twin:
    twin = Twin(field, store, Recording(past))
    twin.run()
    twin.close()
    return twin


def kinds(store: Store) -> set[tuple[str, str]]:
    return {
        (e["evidence"]["alert"], e["evidence"]["cause"])
        for e in store.reader.events(kind="alert")
        if e["evidence"]["raised"]
    }


def test_the_same_guest_decides_as_it_did_and_the_twin_predicts_the_probe(
    tmp_path: Path, store: Store
) -> None:
    twin = replay(scenario(tmp_path), store, record(tmp_path))
    zone = twin.view.zones[0]
    assert zone.steps > 400
    assert zone.verdict.cause is Cause.NONE
    differing = store.reader.events(kind="alert")
    assert [e["evidence"] for e in differing] == []
    residual = store.reader.window("maize", "residual", kind="twin")
    assert residual.total > 400
    assert store.reader.runs()[0]["mode"] == "replay"


def test_a_fault_of_then_is_found_out_now(tmp_path: Path, store: Store) -> None:
    past = record(tmp_path, extra=fault("valve-stuck-closed", "0 h"))
    replay(scenario(tmp_path), store, past)
    assert ("no-flow", "valve") in kinds(store)


def test_other_thresholds_are_blamed_for_the_decision_that_differs(
    tmp_path: Path, store: Store
) -> None:
    past = record(tmp_path)
    scenario(tmp_path)
    text = (tmp_path / "field.toml").read_text().replace("on_pct = 70", "on_pct = 40")
    (tmp_path / "field.toml").write_text(text)
    field = load(tmp_path / "field.toml")
    replay(field, store, past)
    assert ("different-calls", "firmware or engine") in kinds(store)


@pytest.mark.parametrize("ahead", ["2 h", "-2 h"])
def test_a_clock_that_is_set_is_no_other_firmware(tmp_path: Path, store: Store, ahead: str) -> None:
    past = record(tmp_path, extra=fault("clock-skew", "20 h", "1 d", ahead))
    twin = replay(scenario(tmp_path), store, past)
    assert twin.view.zones[0].steps > 400
    assert "different-calls" not in {kind for kind, _ in kinds(store)}


def test_a_store_without_the_zone_says_so(tmp_path: Path, store: Store) -> None:
    with Store(tmp_path / "empty.sqlite") as empty:
        empty.flush()
    with pytest.raises(TwinError, match="no readings of maize"):
        Twin(scenario(tmp_path), store, Recording(tmp_path / "empty.sqlite"))


def test_what_is_no_store_is_not_replayed(tmp_path: Path, store: Store) -> None:
    (tmp_path / "w.csv").write_text("time,rain\n")
    with pytest.raises(StoreError, match=r"w\.csv is no store of levada"):
        Twin(scenario(tmp_path), store, Recording(tmp_path / "w.csv"))
