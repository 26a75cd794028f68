"""What fogs forward is stored exactly once and acknowledged, whatever lies in between."""

from __future__ import annotations

import json
import queue
import random
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from fog_rows import BOOT, DAY, FOG, filtered, message, raw, stream_of, window
from services import Mosquitto
from store_rows import T0, row

from levada.hil.line.broker import EmbeddedBroker
from levada.hil.line.mqtt_client import MqttClient
from levada.twin.mqtt.delivery import Delivery
from levada.twin.mqtt.messages import Ack, Forwarded, Processed, Relayed, Telemetry, decode
from levada.twin.store.rows import Aggregate, Row, StoreSettings
from levada.twin.store.store import Store
from levada.twin.store.stream_reads import (
    RELAYED,
    aggregates,
    last_values,
    relayed,
    stored_row,
)

if TYPE_CHECKING:
    from conftest import Commits

Broker = EmbeddedBroker | Mosquitto
Deliver = Callable[..., Delivery]
SEED = 20_260


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    """A store that lives on the day after that of the rows."""
    with Store(tmp_path / "store.sqlite", clock_ms=lambda: DAY + 86_400_000) as made:
        yield made


class FogClient:
    """A fog's connection, which hears its acknowledgements."""

    def __init__(self, broker: Broker) -> None:
        self.acks: queue.Queue[Ack] = queue.Queue()
        self._client = MqttClient(
            broker.address,
            subscription=f"ic/{FOG}/ack",
            handler=lambda _topic, payload: self.acks.put(decode(Ack, payload)),
        )

    def send(self, sent: Forwarded) -> None:
        assert self._client.publish(sent.topic.format(node=FOG), sent.encode())

    def publish(self, topic: str, payload: bytes) -> None:
        assert self._client.publish(topic, payload)

    def refused_until(self, seq: int) -> list[str]:
        """Refusals that come before everything up to `seq` is acknowledged."""
        refused = []
        while (ack := self.acks.get(timeout=60)).seq != seq:
            if ack.refused is not None:
                refused.append(ack.refused)
        return refused

    def close(self) -> None:
        self._client.close()


@pytest.fixture
def fog(broker: Broker) -> Iterator[FogClient]:
    made = FogClient(broker)
    yield made
    made.close()


def test_repeated_reordered_and_lost_messages_are_stored_once(
    store: Store, deliver: Deliver, commits: Commits, fog: FogClient
) -> None:
    deliver(fogs=True)
    chance = random.Random(SEED)
    sent = stream_of(60)
    first = [m for m in sent if chance.random() < 0.7]
    first += chance.choices(first, k=40)
    chance.shuffle(first)
    for each in first:
        fog.send(each)
    for each in sent:  # as a fog does whose rows are not acknowledged
        fog.send(each)
    last = 60 * 4 - 1
    assert commits.wait(FOG, BOOT, last)
    assert store.reader.count(FOG) == last + 1
    for node in ("maize", "wheat"):
        window = store.reader.window(node, "raw")
        assert window.value.tolist() == [1_500.0 + n for n in range(60)]
        assert window.time_ms.tolist() == [DAY + n * 60_000 for n in range(60)]
        assert store.reader.window(node, "filt", kind="filtered").total == 60
    assert store.reader.series(FOG) == []


def test_an_acknowledgement_goes_as_far_as_nothing_is_missing(
    store: Store, deliver: Deliver, commits: Commits, fog: FogClient
) -> None:
    deliver(fogs=True)
    fog.send(message(Relayed, 0, [raw(0), raw(1)], sent_us=11))
    assert fog.acks.get(timeout=60).seq == 1
    fog.send(message(Relayed, 4, [raw(4)]))
    fog.send(message(Relayed, 5, [raw(5)]))
    fog.send(message(Processed, 2, [filtered(0), filtered(1)], sent_us=12))
    assert commits.wait(FOG, BOOT, 5)
    seen = []
    while not seen or seen[-1] != 5:
        ack = fog.acks.get(timeout=60)
        assert ack.boot == BOOT
        seen.append(ack.seq)
    assert set(seen) <= {1, 5}


def test_an_acknowledgement_tells_when_the_message_came_and_when_it_goes(
    deliver: Deliver, fog: FogClient
) -> None:
    deliver(fogs=True)
    fog.send(message(Relayed, 0, [raw(0)], sent_us=77))
    ack = fog.acks.get(timeout=60)
    assert ack.echo_us == 77
    assert ack.received_us is not None
    assert ack.sent_us is not None
    assert ack.received_us < ack.sent_us


def test_a_row_that_cannot_be_read_is_refused_and_holds_up_nothing(
    store: Store, deliver: Deliver, commits: Commits, fog: FogClient
) -> None:
    deliver(fogs=True)
    rows = [{"node": "maize", "raw": 1}, {"node": 7}, {"node": "maize", "raw": 3}]
    head = {"boot": BOOT, "seq": 0, "oldest": 0}
    fog.publish(f"ic/{FOG}/relayed", json.dumps({**head, "rows": rows}).encode())
    refused = fog.refused_until(2)
    assert len(refused) == 1
    assert "node = '7'" in refused[0]
    assert store.reader.window("maize", "raw").value.tolist() == [1.0, 3.0]
    assert store.reader.count(FOG) == 3  # what could not be read is kept as it came


def test_rows_of_strangers_are_refused_and_hold_up_nothing(
    store: Store, deliver: Deliver, commits: Commits, fog: FogClient
) -> None:
    deliver(fogs=True, names={"maize": "zone 1"})
    fog.send(message(Relayed, 0, [raw(0, "stranger"), raw(0, "maize")]))
    assert commits.wait(FOG, BOOT, 1)
    assert store.reader.window("zone 1", "raw").value.tolist() == [1_500.0]
    assert {info.name for info in store.reader.nodes()} == {FOG, "zone 1"}
    assert fog.refused_until(1) == ["node stranger: not one of this scenario"]


def test_where_fogs_are_heard_what_nodes_say_themselves_is_left_to_the_fog(
    store: Store, deliver: Deliver, fog: FogClient
) -> None:
    delivery = deliver(fogs=True)
    fog.publish("ic/maize/data", Telemetry(boot=1, seq=0, oldest=0, raw=1).encode())
    fog.send(message(Relayed, 0, [raw(0)]))
    assert fog.acks.get(timeout=60).seq == 0
    assert store.reader.count("maize") == 0
    assert delivery.counters.received == 1


def test_where_nodes_are_heard_what_fogs_forward_is_left_to_the_cloud(
    store: Store, deliver: Deliver, commits: Commits, fog: FogClient
) -> None:
    deliver()
    fog.send(message(Relayed, 0, [raw(0)]))
    fog.publish("ic/maize/data", Telemetry(boot=1, seq=0, oldest=0, raw=1).encode())
    assert commits.wait("maize", 1, 0)
    assert store.reader.count(FOG) == 0
    assert fog.acks.empty()


def test_what_is_relayed_is_heard_as_if_the_node_had_spoken(
    deliver: Deliver, fog: FogClient
) -> None:
    heard: queue.Queue[Row] = queue.Queue()
    deliver(fogs=True, names={"maize": "zone 1"}, shift_ms=-1_000, on_row=heard.put)
    fog.send(message(Relayed, 0, [raw(5), raw(6)]))
    fog.send(message(Processed, 2, [filtered(5)]))
    fog.send(message(Relayed, 3, [raw(7)]))
    rows = [heard.get(timeout=60) for _ in range(3)]
    assert [(r.node, r.boot, r.seq, r.oldest) for r in rows] == [
        ("zone 1", 7, n, 5) for n in (5, 6, 7)
    ]
    assert rows[0].device_ms == DAY + 5 * 60_000 - 1_000
    assert rows[0].signals["raw"] == 1_505.0
    assert all(r.kind == "raw" and r.target == "" for r in rows)


# -- windows -----------------------------------------------------------------------------------


def windows_of(forwarded: Store, *rows: Row) -> list[Aggregate]:
    for each in rows:
        assert forwarded.submit(each)
    assert forwarded.flush()
    return aggregates(forwarded.reader, "maize")


def summed(seq: int, revision: int, mean: float) -> Row:
    aggregate = Aggregate(
        signal="raw", start_ms=T0, length_s=3_600, revision=revision, count=60, mean=mean
    )
    return replace(
        row(seq), node=FOG, target="maize", kind="filtered", signals={}, aggregates=(aggregate,)
    )


def test_a_window_is_replaced_by_a_higher_revision_alone(both: Store) -> None:
    (found,) = windows_of(both, summed(0, 0, 10.0))
    assert (found.revision, found.mean, found.low) == (0, 10.0, None)
    (found,) = windows_of(both, summed(1, 2, 12.0), summed(2, 1, 11.0))
    assert (found.revision, found.mean) == (2, 12.0)
    (found,) = windows_of(both, summed(3, 1, 11.0))
    assert (found.revision, found.mean) == (2, 12.0)
    assert both.reader.series("maize") == []  # a window is no point of a curve


def test_windows_of_fog_come_into_a_table_of_their_own(
    store: Store, deliver: Deliver, commits: Commits, fog: FogClient
) -> None:
    deliver(fogs=True)
    fog.send(message(Processed, 0, [window(0, count=59, mean=1_500.0)]))
    fog.send(message(Processed, 1, [window(1, count=60, mean=1_501.0)]))
    assert commits.wait(FOG, BOOT, 1)
    of_raw, flow = aggregates(store.reader, "maize")
    assert (flow.signal, flow.total) == ("flow", 3.0)
    assert of_raw == Aggregate(
        signal="raw",
        start_ms=DAY,
        length_s=3_600,
        revision=1,
        count=60,
        mean=1_501.0,
        low=1_500.0,
        high=1_502.0,
    )


# -- in the store ------------------------------------------------------------------------------


def test_rows_of_several_clocks_stand_where_they_were_measured(both: Store) -> None:
    """One life of a fog holds rows of many nodes, windows of the past among them."""
    times = [T0, T0 - 3_600_000, T0 - 10, T0 - 86_400_000]
    for seq, time_ms in enumerate(times):
        assert both.submit(replace(row(seq), node=FOG, target=f"n{seq}", device_ms=time_ms))
    assert both.flush()
    for seq, time_ms in enumerate(times):
        assert both.reader.window(f"n{seq}", "raw").time_ms.tolist() == [time_ms]


def test_a_node_for_which_there_is_no_room_holds_up_nothing(
    tmp_path: Path,
) -> None:
    file = tmp_path / "full.sqlite"
    with Store(file, clock_ms=lambda: T0, settings=StoreSettings(nodes=2)) as full:
        for seq, node in enumerate(("a", "b", "a")):
            assert full.submit(replace(row(seq), node=FOG, target=node))
        assert full.flush()
        assert full.reader.acknowledged(FOG) == {1: 2}
        assert full.reader.window("a", "raw").value.tolist() == [0.0, 2.0]
        assert full.health().refusals[FOG]
        assert full.reader.count(FOG) == 3


def test_relayed_messages_of_a_device_are_found_by_its_name(
    store: Store, deliver: Deliver, commits: Commits, fog: FogClient
) -> None:
    deliver(fogs=True)
    names = ["maize", "Maize", "mai%e", 'm"x']
    fog.send(message(Relayed, 0, [raw(n, name) for n, name in enumerate(names)]))
    fog.send(message(Processed, 4, [filtered(n, name) for n, name in enumerate(names)]))
    assert commits.wait(FOG, BOOT, 7)
    for n, name in enumerate(names):
        (found,) = relayed(store.reader, name, start_ms=0, end_ms=1 << 50)
        assert (found.row["node"], found.row["seq"]) == (name, n)
        assert found.time_ms == DAY + n * 60_000


def test_relayed_messages_are_found_page_by_page_on_both_databases(both: Store) -> None:
    for seq in range(6):
        stream = "processed" if seq == 2 else RELAYED
        payload = stored_row(stream, json.dumps({"node": "m_%", "seq": seq}, separators=(",", ":")))
        assert both.submit(replace(row(seq), node=FOG, target="zone 1", payload=payload))
    # of a node that speaks for itself nothing is relayed, whatever it says
    assert both.submit(replace(row(9), payload=stored_row(RELAYED, '{"node":"m_%"}')))
    assert both.flush()
    upto_ms = T0 + 5_000
    found = relayed(both.reader, "m_%", start_ms=T0, end_ms=upto_ms)
    assert [m.row["seq"] for m in found] == [0, 1, 3, 4]
    rest = relayed(both.reader, "m_%", start_ms=T0, end_ms=upto_ms, after_id=found[1].id)
    assert [m.row["seq"] for m in rest] == [3, 4]
    assert relayed(both.reader, "mx%", start_ms=T0, end_ms=upto_ms) == []


def test_the_last_values_before_a_time(both: Store) -> None:
    for seq in range(5):
        assert both.submit(replace(row(seq), received_ms=T0 + seq * 1_000))
    assert both.flush()
    found = last_values(both.reader, "n", "raw", kind="raw", before_ms=T0 + 3_000, count=2)
    assert found == [(T0 + 1_000, 1.0), (T0 + 2_000, 2.0)]
