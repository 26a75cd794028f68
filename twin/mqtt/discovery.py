"""Home Assistant discovery: a node (or its twin) as one device with its entities, optional.

    with Announcer(broker.address, ["esp32"], parameters):
        ...  # as long as nodes are born

One retained configuration per entity on `homeassistant/<component>/<node>/<entity>/config`
(https://www.home-assistant.io/integrations/mqtt/#mqtt-discovery), sent at birth and again whenever
Home Assistant itself is born (`homeassistant/status`).  The entities read `ic/<node>/data`, and
two retained topics that are kept here: whether the node is there, and its parameters in force.
"""

from __future__ import annotations

import hashlib
import json
import re
import threading
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from levada.guest.lifecycle import Closing
from levada.guest.topic import PREFIX
from levada.hil.errors import BrokerError, PayloadError
from levada.hil.line.broker import BrokerAddress
from levada.hil.line.mqtt_client import MqttClient
from levada.twin.mqtt.messages import (
    Ask,
    Config,
    ConfigAck,
    Status,
    Telemetry,
    check_node,
    decode,
    node_topic,
    split_topic,
)
from levada.twin.mqtt.presence import Presence, PresenceWatch, wall_ms

__all__ = ["Announcer", "SettableParameter", "announce", "configurations", "withdraw"]

BIRTH_TOPIC: Final = "homeassistant/status"
"""Home Assistant says `online` here when it has started."""
_PREFIX: Final = "homeassistant"
_EXPIRE_S: Final = 3_600
"""A value that was not reported for so long is unavailable there; as long as a node of unknown
rhythm may be silent."""
_VALUE: Final = "{%% set v = %s | default('') %%}{{ '' if v == '' else v if %s else 'None' }}"
"""What is not reported leaves the entity as it is (empty); not measured is unknown (None)."""
_COMMAND: Final = (
    '{"id":"home-assistant-{{ (now().timestamp() * 1000) | int }}","set":{%s:{{ value | int }}}}'
)
"""With a name, so that the node answers with what is in force, or why it refuses."""
_ANSWER_S: Final = 10.0
"""How long a broker may take to hand out what it retains."""

_SENSORS: Final[Mapping[str, Mapping[str, Any]]] = {
    "pct": {"name": "Soil moisture", "unit_of_measurement": "%", "device_class": "moisture"},
    "raw": {"name": "Probe reading", "icon": "mdi:counter"},
    "temp_c": {
        "name": "Soil temperature",
        "unit_of_measurement": "°C",
        "device_class": "temperature",
    },
    "battery_mv": {"name": "Battery", "unit_of_measurement": "mV", "device_class": "voltage"},
}


@dataclass(frozen=True, kw_only=True, slots=True)
class SettableParameter:
    """A parameter of the guest that may be set from Home Assistant."""

    name: str
    minimum: int
    maximum: int
    unit: str = ""


def availability_topic(node: str) -> str:
    """Where `online` or `offline` of a node is retained."""
    return f"{_PREFIX}/levada/{_identity(node)}/availability"


def parameters_topic(node: str) -> str:
    """Where the parameters in force of a node are retained, as a JSON object."""
    return f"{_PREFIX}/levada/{_identity(node)}/parameters"


def configurations(
    node: str, *, firmware: str = "", parameters: tuple[SettableParameter, ...] = ()
) -> Iterator[tuple[str, dict[str, Any]]]:
    """(topic, configuration) of every entity of `node`."""
    data = node_topic(Telemetry, node)
    identity = _identity(node)
    common: dict[str, Any] = {
        "device": {
            "identifiers": [identity],
            "name": node,
            "manufacturer": "levada",
            "sw_version": firmware or "unknown",
        },
        "origin": {"name": "levada"},
        "availability_topic": availability_topic(node),
    }
    for name, entity in _SENSORS.items():
        yield (
            f"{_PREFIX}/sensor/{identity}/{name}/config",
            {
                **common,
                **entity,
                "unique_id": f"{identity}_{name}",
                "state_topic": data,
                "state_class": "measurement",
                "expire_after": _EXPIRE_S,
                "value_template": _value(name),
            },
        )
    yield (
        f"{_PREFIX}/binary_sensor/{identity}/irrigar/config",
        {
            **common,
            "name": "Irrigation",
            "unique_id": f"{identity}_irrigar",
            "device_class": "running",
            "state_topic": data,
            "expire_after": _EXPIRE_S,
            "value_template": "{{ value_json.irrigar | default(value_json.seco | default('')) }}",
            "payload_on": "1",
            "payload_off": "0",
        },
    )
    for parameter in parameters:
        quoted = json.dumps(parameter.name)
        yield (
            f"{_PREFIX}/number/{identity}/{_slug(parameter.name)}/config",
            {
                **common,
                "name": parameter.name,
                "unique_id": f"{identity}_set_{_slug(parameter.name)}",
                "command_topic": node_topic(Config, node),
                "command_template": _COMMAND % quoted,
                "state_topic": parameters_topic(node),
                "value_template": f"{{{{ value_json[{quoted}] | default(none) }}}}",
                "min": parameter.minimum,
                "max": parameter.maximum,
                "step": 1,
                "mode": "box",
                **({"unit_of_measurement": parameter.unit} if parameter.unit else {}),
            },
        )


@dataclass(slots=True)
class _Node:
    """What is known of a node."""

    firmware: str = ""
    parameters: tuple[SettableParameter, ...] = ()
    """Those that may be set."""
    values: dict[str, int] = field(default_factory=dict)
    """Those in force."""
    announced: bool = False
    asked_later: bool = False
    """Somebody has set something without asking for an answer: the node is asked with its next
    message, when it has it."""


class Announcer(Closing):
    """Announces `nodes` when they are heard, and again whenever Home Assistant starts.

    Of `parameters`, those that a node names at birth may be set there.  A node flashed long ago,
    which tells no birth, is announced with its first reading.  Raises BrokerError if the broker
    cannot be reached.
    """

    def __init__(
        self,
        address: BrokerAddress,
        nodes: Sequence[str],
        parameters: tuple[SettableParameter, ...],
    ) -> None:
        self._names = frozenset(nodes)
        self._parameters = parameters
        self._nodes: dict[str, _Node] = {}
        """Those that were heard."""
        self._presence = Presence(self._tell_presence)
        self._client: MqttClient | None = None
        last = ("status", "data", "config", "config/ack")
        self._client = MqttClient(
            address,
            subscription=[*(f"{PREFIX}+/{rest}" for rest in last), BIRTH_TOPIC],
            handler=self._take,
            on_connect=self._connected,
        )
        self._watch = PresenceWatch(self._presence)
        self._connected()  # what came before is not answered

    @property
    def announced(self) -> set[str]:
        """Nodes of which everything was sent."""
        return {name for name, node in list(self._nodes.items()) if node.announced}

    def close(self) -> None:
        """Disconnect; what was announced stays, as Home Assistant wants it."""
        self._watch.close()
        if self._client is not None:
            self._client.close()

    def _connected(self) -> None:
        if self._client is None:
            return
        self._announce_all()  # a broker that has started again may have forgotten
        for node in self._names:
            self._ask(node)

    def _ask(self, node: str) -> None:
        if self._client is not None:
            self._client.publish(node_topic(Ask, node), Ask(what="birth").encode())

    def _tell_presence(self, node: str, online: bool) -> None:
        known = self._nodes.get(node)
        if self._client is not None and known is not None and known.announced:
            self._client.retain(availability_topic(node), b"online" if online else b"offline")

    # In the network thread

    def _take(self, topic: str, payload: bytes) -> None:
        if topic == BIRTH_TOPIC:
            if payload == b"online":
                self._announce_all()
            return
        name, last = split_topic(topic) or ("", "")
        if name not in self._names:
            return
        try:
            self._hear(name, last, payload)
        except PayloadError:
            return  # who sent it is answered by `levada.twin.mqtt.delivery`
        node = self._nodes.get(name)
        if node is not None and not node.announced:
            self._announce(name)

    def _hear(self, name: str, last: str, payload: bytes) -> None:
        match last:
            case "data":
                self._presence.heard(name, wall_ms())
                if self._nodes.setdefault(name, _Node()).asked_later:
                    self._nodes[name].asked_later = False
                    self._ask(name)
            case "status":
                self._hear_status(name, decode(Status, payload))
            case "config/ack":
                self._presence.heard(name, wall_ms())
                answer = decode(ConfigAck, payload)
                if answer.ok and name in self._nodes:
                    self._tell_values(name, answer.values)
            case "config" if name in self._nodes:
                self._nodes[name].asked_later |= decode(Config, payload).id is None

    def _hear_status(self, name: str, status: Status) -> None:
        if status.state == "death":
            self._presence.gone(name)
            return
        self._presence.heard(name, wall_ms(), status.every_ms)
        if status.state != "birth":
            return
        node = self._nodes.setdefault(name, _Node())
        values = status.parameters or {}
        settable = tuple(p for p in self._parameters if p.name in values)
        firmware = status.firmware or ""
        if (node.firmware, node.parameters) != (firmware, settable):
            node.firmware, node.parameters, node.announced = firmware, settable, False
        self._tell_values(name, values)

    def _tell_values(self, name: str, values: Mapping[str, int]) -> None:
        """Retain the parameters in force, if any differs from what was retained before."""
        node = self._nodes[name]
        before, node.values = node.values, {**node.values, **values}
        if node.announced and node.values != before and self._client is not None:
            self._client.retain(parameters_topic(name), json.dumps(node.values).encode())

    def _announce_all(self) -> None:
        for name in list(self._nodes):
            self._announce(name)

    def _announce(self, name: str) -> None:
        node, client = self._nodes[name], self._client
        if client is None:
            return
        here = name in self._presence.present()
        node.announced = (
            announce(client, name, firmware=node.firmware, parameters=node.parameters)
            and client.retain(availability_topic(name), b"online" if here else b"offline")
            and (
                not node.values
                or client.retain(parameters_topic(name), json.dumps(node.values).encode())
            )
        )  # else with its next message


def announce(
    client: MqttClient,
    node: str,
    *,
    firmware: str = "",
    parameters: tuple[SettableParameter, ...] = (),
) -> bool:
    """Publish the entities of a node, retained as Home Assistant wants; whether all were sent."""
    return all(
        client.retain(topic, json.dumps(entity).encode())
        for topic, entity in configurations(node, firmware=firmware, parameters=parameters)
    )


def withdraw(address: BrokerAddress, node: str) -> int:
    """Remove a node from Home Assistant: empty what the broker retains of it; how many topics.

    Raises PayloadError if no node may be called so, BrokerError if the broker cannot be reached or
    does not answer.
    """
    identity = _identity(check_node(node))
    marker = f"{_PREFIX}/levada/{identity}/withdrawn"
    found: set[str] = set()
    marked = threading.Event()

    def take(topic: str, payload: bytes) -> None:
        if topic == marker:
            marked.set()
        elif payload:
            found.add(topic)

    filters = [f"{_PREFIX}/+/{identity}/+/config", f"{_PREFIX}/levada/{identity}/+"]
    client = MqttClient(address, subscription=filters, handler=take)

    def settle() -> None:
        """Wait until the broker has answered all that was sent before."""
        marked.clear()
        if not client.publish(marker, b"") or not marked.wait(_ANSWER_S):
            raise BrokerError(f"broker {address.url}: does not answer within {_ANSWER_S:g} s")

    try:
        settle()  # what is retained comes before
        topics = sorted(found)
        for topic in topics:
            client.retain(topic, b"")
        settle()
    finally:
        client.close()
    return len(topics)


def _value(name: str) -> str:
    """Template of a number that a node tells."""
    if name == "raw":  # negative: an error code
        return _VALUE % ("value_json.raw | default(value_json.umidade)", "v is number and v >= 0")
    return _VALUE % (f"value_json.{name}", "v is number")


def _slug(name: str) -> str:
    return re.sub(r"[^A-Za-z0-9_-]", "_", name)


def _identity(node: str) -> str:
    """A name that Home Assistant takes; distinct nodes get distinct ones."""
    slug = _slug(node)
    if slug != node:
        slug += "_" + hashlib.sha256(node.encode()).hexdigest()[:8]
    return f"levada_{slug}"
