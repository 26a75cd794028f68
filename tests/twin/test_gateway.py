"""The MQTT face of a node that has none."""

from __future__ import annotations

import json
import queue
from collections.abc import Iterator
from concurrent.futures import Future
from typing import Any

import pytest
from services import Mosquitto
from small_field import birth

from levada.hil.line.broker import EmbeddedBroker
from levada.hil.line.mqtt_client import MqttClient
from levada.twin.errors import CalibrationError
from levada.twin.mqtt.gateway import Gateway

Broker = EmbeddedBroker | Mosquitto
COUNTS = (2600, 1400, 2000)
Heard = queue.Queue[tuple[str, dict[str, Any]]]


@pytest.fixture
def heard() -> Heard:
    return queue.Queue()


@pytest.fixture
def listener(broker: Broker, heard: Heard) -> Iterator[MqttClient]:
    def take(topic: str, payload: bytes) -> None:
        heard.put((topic, json.loads(payload)))

    client = MqttClient(broker.address, subscription="ic/n/#", handler=take)
    yield client
    client.close()


class Board:
    """A node with one parameter, which refuses 13."""

    def __init__(self) -> None:
        self.values = {"on_pct": 70}
        self.asked = 0

    def calibrate(self, values: dict[str, int]) -> Future[dict[str, int]]:
        self.asked += 1
        if 13 in values.values():
            raise CalibrationError("on_pct = 13: unlucky")
        self.values |= values
        done: Future[dict[str, int]] = Future()
        done.set_result(values)
        return done


@pytest.fixture
def board() -> Board:
    return Board()


@pytest.fixture
def gateway(broker: Broker, listener: MqttClient, board: Board) -> Iterator[Gateway]:
    with Gateway(broker.address, ["n"]) as made:
        made.serve("n", birth("ab" * 32), COUNTS, lambda: board.values, board.calibrate)
        yield made


def of(heard: Heard, *topics: str) -> dict[str, Any]:
    """The next message on one of these topics."""
    while True:
        topic, message = heard.get(timeout=30)
        if topic in topics:
            return message


def test_a_node_is_born_with_its_guest_and_its_parameters(gateway: Gateway, heard: Heard) -> None:
    born = of(heard, "ic/n/status")
    assert (born["state"], born["guest_sha256"]) == ("birth", "ab" * 32)
    assert born["parameters"] == {"on_pct": 70}
    assert born["counts"] == list(COUNTS)
    assert born["boot"] == gateway.outbox.boot("n")


def test_it_says_its_birth_again_when_asked(
    gateway: Gateway, heard: Heard, listener: MqttClient
) -> None:
    of(heard, "ic/n/status")
    listener.publish("ic/n/ask", b'{"what":"birth"}')
    assert of(heard, "ic/n/status")["state"] == "birth"


def test_telemetry_goes_to_its_topic_and_other_words_to_theirs(
    gateway: Gateway, heard: Heard
) -> None:
    gateway.deliver("n", "ic/esp32/data", 1_000, '{"raw":1}')
    gateway.deliver("n", "pump", 1_000, '{"on":1}')
    found = [heard.get(timeout=30) for _ in range(3)]
    topics = {topic: message for topic, message in found if topic != "ic/n/status"}
    assert topics["ic/n/data"]["raw"] == 1
    assert topics["ic/n/pump"] == {"on": 1}


@pytest.mark.parametrize("topic", ["config", "ack", "status", "link/host", "../m/data", "a/+/b"])
def test_a_guest_cannot_speak_as_its_twin(gateway: Gateway, heard: Heard, topic: str) -> None:
    gateway.deliver("n", topic, 0, '{"forged":1}')
    gateway.deliver("n", "data", 0, "{}")  # comes after it
    seen = []
    while not seen or seen[-1][0] != "ic/n/data":
        seen.append(heard.get(timeout=30))
    assert not any("forged" in message for _, message in seen)


def test_a_calibration_is_answered_with_what_was_read_back(
    gateway: Gateway, heard: Heard, listener: MqttClient, board: Board
) -> None:
    listener.publish("ic/n/config", b'{"id":"a","set":{"on_pct":55}}')
    answer = of(heard, "ic/n/config/ack")
    assert answer == {"id": "a", "ok": True, "values": {"on_pct": 55}, "error": ""}
    # who has not heard the answer asks again under the same name: nothing is done twice
    listener.publish("ic/n/config", b'{"id":"a","set":{"on_pct":55}}')
    assert of(heard, "ic/n/config/ack") == answer
    assert board.asked == 1


def test_old_names_of_counts_are_parameters_of_the_guest(
    gateway: Gateway, heard: Heard, listener: MqttClient, board: Board
) -> None:
    listener.publish("ic/n/config", b'{"id":"a","seco":3000,"molhado":1200,"limiar":2100}')
    assert of(heard, "ic/n/config/ack")["values"] == {
        "dry_counts": 3000,
        "wet_counts": 1200,
        "limit_counts": 2100,
    }


def test_a_refused_calibration_says_why(
    gateway: Gateway, heard: Heard, listener: MqttClient, board: Board
) -> None:
    listener.publish("ic/n/config", b'{"id":"a","set":{"on_pct":13}}')
    answer = of(heard, "ic/n/config/ack")
    assert (answer["ok"], answer["error"]) == (False, "on_pct = 13: unlucky")
    assert board.values == {"on_pct": 70}


def test_a_refusal_is_told_also_to_who_gives_no_name(
    gateway: Gateway, heard: Heard, listener: MqttClient, board: Board
) -> None:
    """As Home Assistant does, and programs that know the old names."""
    listener.publish("ic/n/config", b'{"set":{"on_pct":13}}')
    assert of(heard, "ic/n/ack") == {"refused": "on_pct = 13: unlucky"}
    assert board.values == {"on_pct": 70}


@pytest.mark.parametrize("payload", [b"{", b'{"seet":1}', b'{"set":{"on_pct":"5"}}', b"\xff"])
def test_a_malformed_calibration_is_refused(
    gateway: Gateway, heard: Heard, listener: MqttClient, board: Board, payload: bytes
) -> None:
    while True:
        topic, _ = heard.get(timeout=30)
        if topic == "ic/n/status":
            break
    client = listener._paho  # our own client would not say such a thing
    client.publish("ic/n/config", payload)
    while True:
        topic, message = heard.get(timeout=30)
        if topic == "ic/n/ack":
            break
    assert message["refused"]
    assert board.asked == 0
