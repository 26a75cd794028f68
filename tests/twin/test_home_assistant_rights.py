"""What the user of Home Assistant may do with the topic rights that docs/mqtt.md shows."""

from __future__ import annotations

import queue
import threading
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest
from paho.mqtt.client import Client as Paho
from paho.mqtt.enums import CallbackAPIVersion
from services import Mosquitto
from test_delivery import topic_rights

from levada.hil.line.broker import BrokerAddress

OF_A_NODE = ("data", "status", "ack", "ask", "config", "config/ack", "alert", "link/device")
OF_OTHERS = ("ic/fog/processed", "field/n/data", "$SYS/broker/uptime")
READS = ["ic/n/data", "homeassistant/status", "homeassistant/sensor/n/theta/config"]
WRITES = ["ic/n/config", "homeassistant/status", "homeassistant/number/n/on_pct/state"]
LAST = "homeassistant/last"
"""May be written and read by both; comes behind all others of a connection."""


class Client:
    """A client that keeps none of our rules, and what it hears."""

    def __init__(self, address: BrokerAddress, *filters: str) -> None:
        self.heard: queue.Queue[str] = queue.Queue()
        self._paho = Paho(CallbackAPIVersion.VERSION2)
        self._paho.username_pw_set(address.user, address.password)
        self._paho.on_message = lambda _client, _data, message: self.heard.put(message.topic)
        ready = threading.Event()
        self._paho.on_subscribe = lambda *_: ready.set()
        self._paho.connect(address.host, address.port)
        self._paho.subscribe([(name, 0) for name in filters])
        self._paho.loop_start()
        assert ready.wait(60)

    def say(self, *topics: str) -> None:
        for topic in topics:
            self._paho.publish(topic, b"{}")

    def upto_last(self) -> list[str]:
        """What it hears up to `LAST`."""
        return list(iter(lambda: self.heard.get(timeout=60), LAST))

    def close(self) -> None:
        self._paho.disconnect()
        self._paho.loop_stop()


@pytest.fixture
def both(tmp_path: Path) -> Iterator[tuple[Client, Client]]:
    """Twin and Home Assistant."""
    users = ("twin", "homeassistant")
    with (
        closing(Mosquitto(tmp_path, users=users, acl=topic_rights())) as broker,
        closing(Client(broker.address, "ic/#", "homeassistant/#")) as twin,
        closing(Client(replace(broker.address, user="homeassistant"), "#", "$SYS/#")) as assistant,
    ):
        yield twin, assistant


def test_home_assistant_writes_settings_and_its_own_topics_and_nothing_else(
    both: tuple[Client, Client],
) -> None:
    twin, assistant = both
    every = [f"ic/n/{rest}" for rest in OF_A_NODE] + ["ic/fog/processed", "field/n/data", *WRITES]
    assistant.say(*every, LAST)
    assert sorted(twin.upto_last()) == sorted(["ic/n/config", *WRITES])  # the first twice


def test_home_assistant_hears_readings_and_its_own_topics_and_nothing_else(
    both: tuple[Client, Client],
) -> None:
    twin, assistant = both
    twin.say(*(f"ic/n/{rest}" for rest in OF_A_NODE if rest != "data"), *OF_OTHERS, *READS, LAST)
    assert sorted(assistant.upto_last()) == sorted(READS)
