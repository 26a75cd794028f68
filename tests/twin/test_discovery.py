"""Home Assistant's own rules: https://www.home-assistant.io/integrations/mqtt/#mqtt-discovery."""

from __future__ import annotations

import json
import queue
import re
from collections.abc import Iterator
from concurrent.futures import Future

import pytest
from services import Mosquitto
from small_field import birth

from levada.hil.line.mqtt_client import MqttClient
from levada.twin.mqtt.discovery import Announcer, Parameter, announce, configurations, withdraw
from levada.twin.mqtt.gateway import Gateway
from levada.twin.mqtt.messages import Config, Status, decode

LIMIT = Parameter(name="limit", minimum=0, maximum=4095, unit="counts")


@pytest.mark.parametrize("node", ["esp32", "esp32-twin", "horta 1 🌱", "<script>"])
def test_topics_and_ids_are_such_as_home_assistant_takes(node: str) -> None:
    found = list(configurations(node, parameters=(LIMIT,)))
    pattern = r"homeassistant/(sensor|binary_sensor|number)/[A-Za-z0-9_-]+/[A-Za-z0-9_-]+/config"
    assert all(re.fullmatch(pattern, topic) for topic, _ in found)
    ids = [entity["unique_id"] for _, entity in found]
    assert len(set(ids)) == len(ids)
    assert {entity["device"]["name"] for _, entity in found} == {node}


def test_nodes_that_differ_in_forbidden_characters_stay_apart() -> None:
    first, second = ([t for t, _ in configurations(node)] for node in ("a b", "açb"))
    assert not set(first) & set(second)


def test_a_number_entity_sends_a_calibration_that_the_node_understands() -> None:
    entity = next(e for t, e in configurations("n", parameters=(LIMIT,)) if "/number/" in t)
    assert entity["command_topic"] == "ic/n/config"
    assert (entity["min"], entity["max"]) == (0, 4095)
    sent = entity["command_template"].replace("{{ value | int }}", "1650")
    assert decode(Config, sent.encode()).set == {"limit": 1650}


def test_entities_are_retained_and_can_be_withdrawn(mosquitto: Mosquitto) -> None:
    ours = MqttClient(mosquitto.address)
    count = len(list(configurations("n", parameters=(LIMIT,))))
    assert count == 6
    assert announce(ours, "n", parameters=(LIMIT,))
    heard: queue.Queue[tuple[str, bytes]] = queue.Queue()
    assistant = MqttClient(
        mosquitto.address,
        subscription="homeassistant/#",
        handler=lambda topic, payload: heard.put((topic, payload)),
    )
    retained = dict(heard.get(timeout=10) for _ in range(count))
    assert all("unique_id" in json.loads(payload) for payload in retained.values())
    assert withdraw(ours, "n", parameters=(LIMIT,)) == count
    assert {heard.get(timeout=10) for _ in range(count)} == {(t, b"") for t in retained}
    assistant.close()
    ours.close()


class Assistant:
    """Home Assistant, and nodes that speak as a test has it."""

    def __init__(self, mosquitto: Mosquitto) -> None:
        self._heard: queue.Queue[tuple[str, bytes]] = queue.Queue()
        filters = ["homeassistant/#", "ic/+/ask"]
        self._client = MqttClient(
            mosquitto.address,
            subscription=filters,
            handler=lambda topic, payload: self._heard.put((topic, payload)),
        )
        self.close = self._client.close

    def say(self, topic: str, payload: bytes) -> None:
        assert self._client.publish(topic, payload)

    def hear(self, topic: str) -> bytes:
        """The payload of the next message on `topic`."""
        while True:
            found, payload = self._heard.get(timeout=30)
            if found == topic:
                return payload

    def until(self, *wanted: str) -> list[str]:
        """Topics up to where there was a message on each of `wanted`."""
        found: list[str] = []
        while not set(wanted) <= set(found):
            found.append(self._heard.get(timeout=30)[0])
        return found


@pytest.fixture
def assistant(mosquitto: Mosquitto) -> Iterator[Assistant]:
    made = Assistant(mosquitto)
    yield made
    made.close()


NUMBER = "homeassistant/number/levada_n/limit/config"
MOISTURE = "homeassistant/sensor/levada_n/pct/config"
VALVE = "homeassistant/binary_sensor/levada_n/irrigar/config"
BORN = Status(state="birth", firmware="levada 1.0", parameters={"limit": 1650}).encode()


def test_a_node_is_asked_who_it_is_and_announced_with_what_it_says(
    mosquitto: Mosquitto, assistant: Assistant
) -> None:
    with Announcer(mosquitto.address, ["n"], (LIMIT, Parameter(name="x", minimum=0, maximum=1))):
        assert assistant.hear("ic/n/ask") == b'{"what":"birth"}'
        assistant.say("ic/other/status", BORN)
        assistant.say("ic/n/status", b"{")
        assistant.say("ic/n/status", BORN)
        first = assistant.until(NUMBER)
        assert len(first) == 6  # it has no `x`, and nobody knows the other
        assistant.say("ic/n/status", BORN)  # started again: nothing is new
        assistant.say("homeassistant/status", b"online")
        assert assistant.until(NUMBER) == ["homeassistant/status", *first]


def test_a_node_flashed_long_ago_is_announced_without_parameters_until_it_is_another(
    mosquitto: Mosquitto, assistant: Assistant
) -> None:
    with Announcer(mosquitto.address, ["n"], (LIMIT,)):
        assistant.say("ic/n/data", b'{"umidade":2100,"seco":1,"pct":18}')
        assert len(assistant.until(VALVE)) == 6  # asked, and five entities
        assistant.say("ic/n/data", b'{"umidade":2100,"seco":1,"pct":18}')
        assistant.say("ic/n/status", BORN)
        assert len(assistant.until(NUMBER)) == 6
        entity = json.loads(retained(mosquitto, MOISTURE))
        assert entity["device"]["sw_version"] == "levada 1.0"
        assert entity["state_topic"] == "ic/n/data"


def test_what_the_connection_did_not_take_is_announced_with_the_next_message(
    mosquitto: Mosquitto, assistant: Assistant, monkeypatch: pytest.MonkeyPatch
) -> None:
    retain, refused = MqttClient.retain, queue.Queue[str]()

    def full(_client: MqttClient, topic: str, _payload: bytes) -> bool:
        refused.put(topic)
        return False

    monkeypatch.setattr(MqttClient, "retain", full)
    with Announcer(mosquitto.address, ["n"], (LIMIT,)):
        assistant.say("ic/n/status", BORN)
        refused.get(timeout=30)
        monkeypatch.setattr(MqttClient, "retain", retain)
        assistant.say("ic/n/status", Status(state="alive").encode())
        assert len(assistant.until(NUMBER)) == 7  # with the question


def test_a_node_that_speaks_through_the_gateway_is_announced(
    mosquitto: Mosquitto, assistant: Assistant
) -> None:
    with Gateway(mosquitto.address, ["n"]) as gateway:
        gateway.serve("n", birth("ab" * 32), (0, 0, 0), lambda: {"limit": 1}, lambda _: Future())
        with Announcer(mosquitto.address, ["n"], (LIMIT,)):
            # the node may say its birth before it is asked
            assert len(assistant.until(NUMBER, "ic/n/ask")) == 7


def retained(mosquitto: Mosquitto, topic: str) -> bytes:
    heard: queue.Queue[bytes] = queue.Queue()
    client = MqttClient(
        mosquitto.address, subscription=topic, handler=lambda _, payload: heard.put(payload)
    )
    try:
        return heard.get(timeout=30)
    finally:
        client.close()
