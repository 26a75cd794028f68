"""What the cloud makes of the streams: in fog's order, each row once, as soon as it is stored."""

from __future__ import annotations

import random
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest
from cloud_chain import Chain
from fog_rows import DAY, FOG, filtered, hear, message, raw, stream_of, window

from levada.guest.shipped import DEFAULT_GUEST
from levada.sim.scenario.continuum import Cloud
from levada.twin.continuum import streams
from levada.twin.continuum.hops import SHARED, ClockOffset, host_id
from levada.twin.continuum.recomputation import LookBack, Recomputation
from levada.twin.mqtt.messages import ForwardedRow, Processed, Relayed, Status

OFF = Cloud(engine="off")


class Heard(Recomputation):
    """Computes nothing, and keeps the order in which rows came."""

    def __init__(self, look_back: LookBack) -> None:
        super().__init__(DEFAULT_GUEST.read_bytes(), OFF, look_back)
        self.order: list[tuple[str, int | None]] = []

    def take(self, rows: object) -> None:
        self.order += [(name, row.seq) for name, row in rows]  # type: ignore[attr-defined]


@pytest.fixture
def order() -> list[Heard]:
    """What the chain computes by."""
    return []


@pytest.fixture
def chain(tmp_path: Path, order: list[Heard]) -> Iterator[Chain]:
    def make(look_back: LookBack) -> Recomputation:
        order.append(Heard(look_back))
        return order[0]

    made = Chain(tmp_path / "s.sqlite", make)
    yield made
    made.close()


def test_rows_are_looked_at_in_fog_s_order_each_once(chain: Chain, order: list[Heard]) -> None:
    chance = random.Random(7)
    sent = stream_of(40)
    shuffled = sent + chance.choices(sent, k=60)
    chance.shuffle(shuffled)
    for each in shuffled:
        chain.take(each)
    view = chain.seen(160)
    assert order[0].order == [(node, n) for n in range(40) for node in ("maize", "wheat")]
    for node in view.nodes:
        found = node.comparison
        assert (found.raw, found.filtered, found.matched) == (40, 40, 40)
        assert found.missing_raw == found.missing_filtered == 0
    (fog,) = view.fogs
    assert (fog.relayed, fog.processed, fog.contiguous, fog.waiting) == (80, 80, 159, 0)


def test_what_is_not_stored_is_not_looked_at(chain: Chain) -> None:
    first, second = message(Relayed, 0, [raw(0)]), message(Relayed, 1, [raw(1)])
    hear(chain.streams.hear, first)
    chain.take(second)
    assert chain.store.flush()
    (fog,) = chain.streams.view.fogs
    assert (fog.relayed, fog.waiting) == (0, 2)  # the second is stored, and waits for the first
    chain.keep(first)
    assert chain.seen(2).fogs[0].waiting == 0


def test_what_a_former_process_has_stored_is_not_looked_at_again(tmp_path: Path) -> None:
    file = tmp_path / "s.sqlite"
    orders: list[Heard] = []

    def make(look_back: LookBack) -> Recomputation:
        orders.append(Heard(look_back))
        return orders[-1]

    sent = [message(Relayed, n, [raw(n)]) for n in range(10)]
    for part in (sent[:6], sent[3:]):
        chain = Chain(file, make)
        for each in part:
            chain.take(each)
        chain.seen(6 if part is sent[:6] else 4)
        chain.close()
    assert [n for heard in orders for _, n in heard.order] == [*range(10)]


def test_rows_that_never_come_are_not_waited_for(chain: Chain) -> None:
    chain.take(message(Relayed, 0, [raw(0)]))
    chain.take(message(Relayed, 5, [raw(5)], oldest=5))
    assert chain.seen(2).fogs[0].contiguous == 5


def test_more_than_can_be_looked_at_is_stored_and_said(
    chain: Chain, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(streams, "_MOST_ROWS", 0)
    chain.take(message(Relayed, 0, [raw(0), raw(1)]))
    assert chain.store.flush()
    assert chain.streams.view.skipped == 2
    assert chain.store.reader.count(FOG) == 2
    assert "2 rows were stored and not compared" in chain.streams.parts["streams"]().detail


def test_windows_are_counted_and_no_part_of_a_stream(chain: Chain) -> None:
    chain.take(message(Processed, 0, [filtered(0), window(0, count=1, mean=1.0)]))
    (node,) = chain.seen(2).nodes
    assert (node.windows, node.comparison.filtered) == (1, 1)


def test_times_are_those_of_the_store(tmp_path: Path) -> None:
    """Devices keep UTC; the store is in the field's local time."""
    chain = Chain(tmp_path / "s.sqlite", Heard, shift_ms=-7 * 3_600_000)
    try:
        chain.take(message(Relayed, 0, [raw(0)]))
        bad = filtered(0).model_copy(update={"anomaly": 1})
        assert bad.model_extra is not None
        del bad.model_extra["filt"]
        chain.take(message(Processed, 1, [bad]))
        (node,) = chain.seen(2).nodes
        local_ms = DAY - 7 * 3_600_000
        assert node.t_ms == local_ms
        assert node.comparison.newest_suppressed[0].t_ms == local_ms
    finally:
        chain.close()


def test_a_journey_is_told_stage_by_stage(chain: Chain) -> None:
    chain.streams.on_message(FOG, Status(state="birth", host=host_id(), buffer_rows=0))
    row = ForwardedRow(node="maize", boot=7, seq=0, t=DAY, up_ms=1, received_us=1_500, raw=1)  # type: ignore[call-arg]
    chain.streams.on_message("maize", Status(state="birth", host=host_id()))
    chain.take(message(Relayed, 0, [row], sent_us=1_900), received_us=2_500)
    view = chain.seen(1)
    assert view.fogs[0].offset == SHARED
    (journey,) = view.journeys
    commit_us = journey.stages_us["commit_us"]
    assert journey.stages_us == {
        "edge_us": 500,
        "fog_us": 400,
        "uplink_us": 600,
        "commit_us": commit_us,
    }
    assert view.total is not None
    assert view.total.p50 == 1_500 + commit_us


def test_a_fog_elsewhere_has_a_clock_of_its_own(chain: Chain) -> None:
    """It is 1,000,000 us ahead; the acknowledgement took 40 us, the message 60."""
    chain.streams.on_message(FOG, Status(state="birth", host="elsewhere", buffer_rows=0))
    first = message(Relayed, 0, [raw(0)], sent_us=1_001_000)
    chain.take(first, received_us=1_060)
    assert chain.seen(1).fogs[0].offset is None
    assert "uplink_us" not in chain.streams.view.stages
    times = {"echo_us": 2_000, "heard_us": 1_002_040, "sent_us": 1_005_000}
    chain.take(message(Relayed, 1, [raw(1)], **times), received_us=5_060)
    view = chain.seen(2)
    # ((1,002,040 - 2,000) + (1,005,000 - 5,060)) / 2, and half of the round trip of 100
    assert view.fogs[0].offset == ClockOffset(999_990, 50)
    assert view.journeys[-1].stages_us["uplink_us"] == 50


def test_a_clock_that_says_zero_is_a_clock(chain: Chain) -> None:
    """Whoever acknowledges with `sent_us` 0 is echoed by fog in every message from then on: none
    of them would have been stored."""
    times = {"echo_us": 0, "heard_us": 0, "sent_us": 0}
    chain.take(message(Relayed, 0, [raw(0)], **times), received_us=60)
    assert chain.seen(1).fogs[0].offset == ClockOffset(-30, 30)


def test_a_fog_tells_what_it_keeps(chain: Chain) -> None:
    birth = Status(
        state="birth", engine="native", guest_sha256="a" * 64, buffer_rows=7, buffer_limit_rows=100
    )
    chain.streams.on_message(FOG, birth)
    chain.streams.on_message(FOG, Status(state="alive", buffer_rows=9, dropped_rows=1))
    (fog,) = chain.streams.view.fogs
    assert (fog.tier.engine, fog.tier.guest_sha256) == ("native", "a" * 64)
    assert (fog.buffer_rows, fog.buffer_limit_rows, fog.dropped_rows) == (9, 100, 1)
    assert not chain.streams.parts["fogs"]().ok  # the store has not heard of it


def test_a_node_s_clock_that_nobody_knows_is_not_guessed(chain: Chain) -> None:
    row = ForwardedRow(node="maize", boot=7, seq=0, t=DAY, up_ms=1, received_us=1_500, raw=1)  # type: ignore[call-arg]
    chain.take(message(Relayed, 0, [row], sent_us=1_900), received_us=2_500)
    (journey,) = chain.seen(1).journeys
    assert set(journey.stages_us) == {"fog_us", "commit_us"}
    assert chain.streams.view.total is None


# -- the guest once more -----------------------------------------------------------------------


def test_the_newest_reading_is_put_through_process(tmp_path: Path) -> None:
    """`docs/abi.md`: bits 0 to 7 percent, bit 8 whether to water; 1,500 of 2,500 to 500 is half."""
    file = tmp_path / "s.sqlite"
    cloud = Cloud(engine="wasm")
    chain = Chain(file, partial(Recomputation, DEFAULT_GUEST.read_bytes(), cloud))
    try:
        chain.streams.on_message("maize", Status(state="birth", counts=(2_500, 500, 1_400)))
        chain.take(message(Relayed, 0, [raw(0)]))
        (node,) = chain.seen(1).nodes
        assert (node.pct, node.irrigate) == (50, True)
    finally:
        chain.close()
