"""Devices that number nothing: legacy payloads and mapped ones, more of them than the store's
window is wide.  What a client hands over is handed over here by the test; there is no broker."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest

from levada.hil.line.broker import BrokerAddress
from levada.sim.scenario.mapping import PayloadMapping
from levada.twin.mqtt import delivery as module
from levada.twin.mqtt.delivery import Delivery
from levada.twin.mqtt.mapping import PayloadMap
from levada.twin.mqtt.sequence import WINDOW
from levada.twin.store.rows import StoreSettings
from levada.twin.store.store import Store

ADDRESS = BrokerAddress(host="127.0.0.1", port=1883)


class Line:
    """A client without a broker: what it is given goes to whoever subscribed."""

    hear: Callable[[str, bytes], object]

    def __init__(self, _address: BrokerAddress, **options: object) -> None:
        Line.hear = options["handler"]  # type: ignore[assignment]
        self.sent: list[tuple[str, bytes]] = []

    def on_oversized(self, _tell: Callable[[str, int], None]) -> None:
        """Nothing is too large here."""

    def publish(self, topic: str, payload: bytes) -> bool:
        self.sent.append((topic, payload))
        return True

    def close(self) -> None:
        """There is no connection."""


@pytest.fixture
def store(memory_folder: Path) -> Iterator[Store]:
    settings = StoreSettings(group_rows=5_000, queue_rows=20_000)
    with Store(memory_folder / "store.sqlite", settings=settings) as made:
        yield made


def test_more_messages_than_the_window_is_wide_are_all_stored(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "MqttClient", Line)
    field = {"signal": "raw", "pointer": "/A0"}
    table = PayloadMapping.model_validate({"topic": "tele/+/SENSOR", "field": [field]})
    nodes = ["legacy-1", "legacy-2", "mapped-1", "mapped-2"]
    each = WINDOW // len(nodes) + 2_000
    with closing(Delivery(store, ADDRESS, maps=[PayloadMap(table)])):
        for number in range(each):
            for node in nodes:
                if node.startswith("legacy"):
                    Line.hear(f"ic/{node}/data", json.dumps({"umidade": number % 4_000}).encode())
                else:
                    Line.hear(f"tele/{node}/SENSOR", json.dumps({"A0": number % 4_000}).encode())
            if number % 2_000 == 0:
                assert store.flush(120)
        assert store.flush(120)
        assert {node: store.reader.count(node) for node in nodes} == dict.fromkeys(nodes, each)
        assert store.health().refused == 0
        assert store.reader.events(kind="gap") == []


def test_what_a_full_queue_refused_is_not_said_to_have_been_lost_on_the_way(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "MqttClient", Line)
    with (
        Store(tmp_path / "store.sqlite", settings=StoreSettings(queue_rows=4)) as store,
        closing(Delivery(store, ADDRESS)),
    ):
        Line.hear("ic/legacy/data", b'{"umidade":1}')
        assert store.flush()
        with store._database.lock:
            while not store.health().refused:
                Line.hear("ic/legacy/data", b'{"umidade":2}')
        assert store.flush()
        Line.hear("ic/legacy/data", b'{"umidade":3}')
        assert store.flush()
        (told,) = store.reader.events(kind="gap")
        assert told["text"] == (
            "1 messages without numbers came and were refused here, not lost on the way: "
            "counted in /health"
        )
        assert store.health().refusals == {"legacy": {"the queue is full": 1}}
