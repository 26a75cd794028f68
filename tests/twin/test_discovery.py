"""Home Assistant's own rules: https://www.home-assistant.io/integrations/mqtt/#mqtt-discovery."""

from __future__ import annotations

import json
import queue
import re

import pytest
from services import Mosquitto

from hil.mqtt_client import MqttClient
from twin.discovery import Parameter, announce, configurations, withdraw
from twin.messages import Config, decode

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
    count = announce(ours, "n", parameters=(LIMIT,))
    assert count == 6
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
