"""Messages that come behind later ones, and whether who sends is shown as online."""

from __future__ import annotations

import pytest

from levada.twin.store.rows import Flag, PresenceChange, Row
from levada.twin.store.store import Store

T0 = 1_700_000_000_000


def row(seq: int, device_ms: int, received_ms: int) -> Row:
    return Row(
        node="n",
        boot=7,
        seq=seq,
        oldest=4,
        device_ms=device_ms,
        received_ms=received_ms,
        payload="{}",
        signals={"raw": 1.0},
    )


@pytest.mark.parametrize("by_ms", [1_001, 30_000])
def test_a_late_message_is_historical_and_its_clock_believed(store: Store, by_ms: int) -> None:
    """It is older than the one before it by more than a clock may step back."""
    store.submit(row(4, T0, T0))
    store.submit(row(6, T0 + 60_000, T0 + 60_000))
    store.submit(row(5, T0 + 60_000 - by_ms, T0 + 60_000))
    store.submit(row(7, T0 + 60_000 - by_ms, T0 + 60_500))
    assert store.flush()
    found = {m.seq: (m.time_ms - T0, m.flags) for m in store.reader.messages("n")}
    assert found[5] == (60_000 - by_ms, Flag.HISTORICAL)
    assert found[6] == (60_000, Flag.NONE)
    assert found[7] == (60_500, Flag.CLOCK)  # the newest steps back: that is the clock


def test_a_node_that_sends_is_online_again(store: Store) -> None:
    store.submit(row(4, T0, T0))
    store.submit(PresenceChange(node="n", online=False, time_ms=T0 + 1))
    assert store.flush()
    (node,) = store.reader.nodes()
    assert not node.online
    store.submit(row(5, T0 + 2_000, T0 + 2_000))
    assert store.flush()
    (node,) = store.reader.nodes()
    assert node.online and node.last_ms == T0 + 2_000
