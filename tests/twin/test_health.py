"""What makes /health fail, by hand-made looks at a store and at devices."""

from __future__ import annotations

from dataclasses import replace

import pytest

from levada.twin.health import store_part
from levada.twin.store.health import Health, Refusal, State

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
