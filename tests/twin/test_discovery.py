"""Home Assistant's own rules: https://www.home-assistant.io/integrations/mqtt/#mqtt-discovery."""

from __future__ import annotations

import json
import queue
import re
from collections.abc import Iterator
from concurrent.futures import Future
from datetime import UTC, datetime
from typing import Any

import pytest
from jinja2 import Template
from services import Mosquitto
from small_field import birth
from typer.testing import CliRunner

from levada.guest.exit_codes import Exit
from levada.hil.errors import PayloadError
from levada.hil.line.broker import BrokerAddress, EmbeddedBroker
from levada.hil.line.mqtt_client import MqttClient
from levada.twin.cli.main import app
from levada.twin.mqtt.discovery import (
    Announcer,
    SettableParameter,
    announce,
    availability_topic,
    configurations,
    parameters_topic,
    withdraw,
)
from levada.twin.mqtt.gateway import Gateway
from levada.twin.mqtt.messages import Config, ConfigAck, Status, decode

LIMIT = SettableParameter(name="limit", minimum=0, maximum=4095, unit="counts")


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
    now = datetime(2026, 11, 30, tzinfo=UTC)
    sent = Template(entity["command_template"]).render(value=1650.0, now=lambda: now)
    config = decode(Config, sent.encode())
    assert config.set == {"limit": 1650}
    assert config.id == "home-assistant-1795996800000"  # so the node answers


def entity_of(part: str, node: str = "n") -> dict[str, Any]:
    """The first entity whose topic holds `part`."""
    return next(e for t, e in configurations(node, parameters=(LIMIT,)) if part in t)


def shown(part: str, payload: str) -> str:
    """What Home Assistant makes of a payload, by the template of an entity."""
    return Template(entity_of(part)["value_template"]).render(value_json=json.loads(payload))


@pytest.mark.parametrize(
    ("part", "payload", "expected"),
    [
        # a sensor keeps its value at an empty text, is unknown at None, and refuses other words
        ("/pct/", '{"pct":42}', "42"),
        ("/pct/", '{"pct":0}', "0"),
        ("/pct/", '{"raw":1500}', ""),
        ("/pct/", '{"pct":null}', "None"),
        ("/raw/", '{"raw":1500}', "1500"),
        ("/raw/", '{"raw":0}', "0"),
        ("/raw/", '{"raw":-2}', "None"),  # an error code is no reading
        ("/raw/", '{"umidade":2100}', "2100"),
        ("/raw/", "{}", ""),
        ("/temp_c/", '{"temp_c":-3.5}', "-3.5"),
        ("/temp_c/", '{"temp_c":"unknown"}', "None"),
        ("/battery_mv/", '{"raw":1}', ""),
        ("/irrigar/", '{"irrigar":1}', "1"),
        ("/irrigar/", '{"seco":0}', "0"),
        ("/irrigar/", '{"raw":1500}', ""),
        ("/number/", '{"limit":1650}', "1650"),
        ("/number/", '{"other":1}', "None"),
    ],
)
def test_an_entity_shows_what_was_measured_and_nothing_else(
    part: str, payload: str, expected: str
) -> None:
    assert shown(part, payload) == expected


def test_values_expire_and_every_entity_asks_whether_its_node_is_there() -> None:
    entities = [entity for _, entity in configurations("n", parameters=(LIMIT,))]
    available = {entity["availability_topic"] for entity in entities}
    assert available == {"homeassistant/levada/levada_n/availability"}
    expiring = [e["unique_id"] for e in entities if e.get("expire_after") == 3_600]
    names = ("pct", "raw", "temp_c", "battery_mv", "irrigar")
    assert expiring == [f"levada_n_{name}" for name in names]  # a number has no such key


@pytest.fixture(params=["amqtt", "mosquitto"])
def either(request: pytest.FixtureRequest) -> Iterator[BrokerAddress]:
    if request.param == "mosquitto":
        yield request.getfixturevalue("mosquitto").address
        return
    with EmbeddedBroker() as broker:
        yield broker.address


def test_a_node_is_withdrawn_with_all_that_the_broker_retains_of_it(
    either: BrokerAddress,
) -> None:
    ours = MqttClient(either)
    assert announce(ours, "n", parameters=(LIMIT,))
    assert announce(ours, "n2", parameters=(LIMIT,))
    for topic in (availability_topic("n"), parameters_topic("n")):
        assert ours.retain(topic, b"{}")
    assert retained(either, parameters_topic("n")) == b"{}"  # the last: the broker has them all
    assert withdraw(either, "n") == 8
    assert withdraw(either, "n") == 0
    assert withdraw(either, "n2") == 6
    ours.close()


def test_the_command_withdraws_a_node(mosquitto: Mosquitto, monkeypatch: Any) -> None:
    monkeypatch.setenv("LEVADA_MQTT_USER", str(mosquitto.address.user))
    monkeypatch.setenv("LEVADA_MQTT_PASSWORD", str(mosquitto.address.password))
    ours = MqttClient(mosquitto.address)
    assert announce(ours, "n")
    assert retained(mosquitto.address, VALVE)  # the last
    command = ["withdraw", "n", "--broker", mosquitto.address.url]
    found = CliRunner().invoke(app, command)
    assert (found.exit_code, found.output) == (0, "n: 5 retained topics emptied\n")
    assert CliRunner().invoke(app, command).exit_code == Exit.NOTHING_RAN
    ours.close()


@pytest.mark.parametrize("name", ["", "+", "#", "a/b", "a\x01", "a" * 65])
def test_a_name_that_no_node_has_is_refused_before_the_broker_is_asked(name: str) -> None:
    command = ["withdraw", "--broker", "mqtt://127.0.0.1:1", "--", name]
    found = CliRunner().invoke(app, command)
    assert isinstance(found.exception, PayloadError)
    assert "permitted are 1 to 64 characters without / + # $" in str(found.exception)


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
        """Topics up to where there was a message on each of `wanted`, without those of states."""
        found: list[str] = []
        while not set(wanted) <= set(found):
            topic, _ = self._heard.get(timeout=30)
            if not topic.startswith("homeassistant/levada/"):
                found.append(topic)
        return found


@pytest.fixture
def assistant(mosquitto: Mosquitto) -> Iterator[Assistant]:
    made = Assistant(mosquitto)
    yield made
    made.close()


AVAILABLE = "homeassistant/levada/levada_n/availability"
IN_FORCE = "homeassistant/levada/levada_n/parameters"
NUMBER = "homeassistant/number/levada_n/limit/config"
MOISTURE = "homeassistant/sensor/levada_n/pct/config"
VALVE = "homeassistant/binary_sensor/levada_n/irrigar/config"
BORN = Status(state="birth", firmware="levada 1.0", parameters={"limit": 1650}).encode()


def test_a_node_is_asked_who_it_is_and_announced_with_what_it_says(
    mosquitto: Mosquitto, assistant: Assistant
) -> None:
    with Announcer(
        mosquitto.address, ["n"], (LIMIT, SettableParameter(name="x", minimum=0, maximum=1))
    ):
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
        entity = json.loads(retained(mosquitto.address, MOISTURE))
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
            # the node may say its birth before it is asked, and is then announced twice
            assert len(set(assistant.until(NUMBER, "ic/n/ask"))) == 7


def retained(address: BrokerAddress, topic: str) -> bytes:
    heard: queue.Queue[bytes] = queue.Queue()
    client = MqttClient(address, subscription=topic, handler=lambda _, load: heard.put(load))
    try:
        return heard.get(timeout=30)
    finally:
        client.close()


def test_what_is_in_force_is_read_back_whoever_has_set_it(
    mosquitto: Mosquitto, assistant: Assistant
) -> None:
    with Announcer(mosquitto.address, ["n"], (LIMIT,)):
        assistant.hear("ic/n/ask")
        assistant.say("ic/n/status", BORN)
        assert json.loads(assistant.hear(IN_FORCE)) == {"limit": 1650}
        answer = ConfigAck(id="home-assistant-1", ok=True, values={"limit": 1700})
        assistant.say("ic/n/config/ack", answer.encode())
        assert json.loads(assistant.hear(IN_FORCE)) == {"limit": 1700}
        # who gives no name gets no answer: the node is asked when it has it
        assistant.say("ic/n/config", Config(set={"limit": 1800}).encode())
        assistant.say("ic/n/data", b'{"raw":1500}')
        assert assistant.hear("ic/n/ask") == b'{"what":"birth"}'
        assistant.say("ic/n/status", BORN.replace(b"1650", b"1800"))
        assert json.loads(assistant.hear(IN_FORCE)) == {"limit": 1800}
        refused = ConfigAck(id="home-assistant-2", ok=False, error="too much")
        assistant.say("ic/n/config/ack", refused.encode())
    assert json.loads(retained(mosquitto.address, IN_FORCE)) == {"limit": 1800}


def test_a_node_is_offline_when_it_says_goodbye_and_online_when_it_speaks(
    mosquitto: Mosquitto, assistant: Assistant
) -> None:
    with Announcer(mosquitto.address, ["n"], (LIMIT,)):
        assistant.hear("ic/n/ask")
        assistant.say("ic/n/status", BORN)
        assert assistant.hear(AVAILABLE) == b"online"
        assistant.say("ic/n/status", Status(state="death").encode())
        assert assistant.hear(AVAILABLE) == b"offline"
        assert retained(mosquitto.address, AVAILABLE) == b"offline"
        assistant.say("ic/n/data", b'{"raw":1500}')
        assert assistant.hear(AVAILABLE) == b"online"
