"""What makes /health fail, by hand-made looks at a store and at devices."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest
from small_field import START_MS, scenario

from levada.twin.app.pages.nodes import node_facts
from levada.twin.health import device_part, store_part
from levada.twin.sources.bench import Bench
from levada.twin.store.health import Health, Refusal, State
from levada.twin.store.store import Store
from levada.twin.twin import Twin

WELL = Health(queue_rows=100, waiting=3, commit_age_s=1.0)


@pytest.mark.parametrize(
    ("store", "says"),
    [
        (replace(WELL, state=State.DENIED, detail="no INSERT"), "denied: no INSERT"),
        (replace(WELL, state=State.SILENT), "silent"),
        (replace(WELL, state=State.ENDED, writer=False), "ended"),
        (replace(WELL, waiting=90), "90 of at most 100 rows wait to be stored"),
        (
            replace(
                WELL,
                refused=9,
                refusal_age_s=299.4,
                refusals={"a": {Refusal.QUEUE.value: 2}, "b": {Refusal.WINDOW.value: 7}},
            ),
            "9 rows refused, the last 299 s ago: "
            "7 of b (its number is too far ahead of what is missing), 2 of a (the queue is full)",
        ),
    ],
)
def test_a_store_that_does_not_take_all_is_not_well(store: Health, says: str) -> None:
    part = store_part(store)
    assert (part.ok, part.detail) == (False, says)


@pytest.mark.parametrize(
    "store", [WELL, replace(WELL, waiting=89), replace(WELL, refused=9, refusal_age_s=300.0)]
)
def test_a_store_with_room_that_has_refused_nothing_lately_is_well(store: Health) -> None:
    assert store_part(store).ok


@pytest.mark.parametrize(
    ("lost", "why", "detail"),
    [
        ("", "", ""),
        ("no answer to Step", "", "no answer to Step"),
        ("", "no JSON", "its newest message was refused: no JSON"),
        ("not heard for 7 s", "no JSON", "not heard for 7 s"),
    ],
)
def test_a_device_is_well_if_it_answers_and_is_understood(lost: str, why: str, detail: str) -> None:
    zone = SimpleNamespace(lost=lost, link={"refused_why": why})
    part = device_part(zone)  # type: ignore[arg-type]
    assert (part.ok, part.detail) == (not detail, detail)


def test_a_device_without_a_line_is_well() -> None:
    assert device_part(SimpleNamespace(lost="", link=None)).ok  # type: ignore[arg-type]


def test_the_page_of_a_node_lists_the_newest_that_was_not_understood(tmp_path: Path) -> None:
    with Store(tmp_path / "store.sqlite") as store:
        twin = Twin(scenario(tmp_path), store, Bench(speed=None))
        zone = twin.view.zones[0]
        twin.close()
    events = [
        {"id": number, "time_ms": START_MS, "text": f"message {number:02} is {word}"}
        for word, first in (("mapped wrongly", 0), ("malformed", 1))
        for number in range(first, 30, 2)
    ]
    shown = str(node_facts(zone, [], iter(events)))
    assert "Messages that were not understood" in shown
    places = [shown.find(f"message {number:02} is ") for number in range(30)]
    assert [place >= 0 for place in places] == [number >= 10 for number in range(30)]
    assert places == sorted(places)
    assert "not understood" not in str(node_facts(zone, []))
