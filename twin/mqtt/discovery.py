"""Home Assistant discovery: a node (or its twin) as one device with its entities, optional.

    with Announcer(broker.address, ["esp32"], parameters):
        ...  # as long as nodes are born

One retained configuration per entity on `homeassistant/<component>/<node>/<entity>/config`
(https://www.home-assistant.io/integrations/mqtt/#mqtt-discovery), sent at birth and again whenever
Home Assistant itself is born (`homeassistant/status`).  The entities read `ic/<node>/data`.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from levada.guest.lifecycle import Closing
from levada.guest.topic import PREFIX
from levada.hil.errors import PayloadError
from levada.hil.line.broker import BrokerAddress
from levada.hil.line.mqtt_client import MqttClient
from levada.twin.mqtt.messages import (
    Ask,
    Config,
    Status,
    Telemetry,
    decode,
    node_topic,
    split_topic,
)

__all__ = ["Announcer", "Parameter", "announce", "configurations", "withdraw"]

BIRTH_TOPIC: Final = "homeassistant/status"
"""Home Assistant says `online` here when it has started."""
_PREFIX: Final = "homeassistant"

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
class Parameter:
    """A parameter of the guest that may be set from Home Assistant."""

    name: str
    minimum: int
    maximum: int
    unit: str = ""


def configurations(
    node: str, *, firmware: str = "", parameters: tuple[Parameter, ...] = ()
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
                # a device that does not measure it leaves the entity as it is
                "value_template": f"{{{{ value_json.{name} | default(this.state) }}}}",
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
            "value_template": "{{ value_json.irrigar | default(value_json.seco) }}",
            "payload_on": "1",
            "payload_off": "0",
        },
    )
    for parameter in parameters:
        command = json.dumps({"set": {parameter.name: "VALUE"}}).replace(
            '"VALUE"', "{{ value | int }}"
        )
        yield (
            f"{_PREFIX}/number/{identity}/{_slug(parameter.name)}/config",
            {
                **common,
                "name": parameter.name,
                "unique_id": f"{identity}_set_{_slug(parameter.name)}",
                "command_topic": node_topic(Config, node),
                "command_template": command,
                "min": parameter.minimum,
                "max": parameter.maximum,
                "step": 1,
                "mode": "box",
                **({"unit_of_measurement": parameter.unit} if parameter.unit else {}),
            },
        )


class Announcer(Closing):
    """Announces `nodes` when they are heard, and again whenever Home Assistant starts.

    Of `parameters`, those that a node names at birth may be set there.  A node flashed long ago,
    which tells no birth, is announced with its first reading.  Raises BrokerError if the broker
    cannot be reached.
    """

    def __init__(
        self, address: BrokerAddress, nodes: Sequence[str], parameters: tuple[Parameter, ...]
    ) -> None:
        self._nodes = frozenset(nodes)
        self._parameters = parameters
        self._heard: dict[str, tuple[str, tuple[Parameter, ...]]] = {}
        """Firmware and parameters."""
        self._announced: set[str] = set()
        self._client: MqttClient | None = None
        self._client = MqttClient(
            address,
            subscription=[f"{PREFIX}+/status", f"{PREFIX}+/data", BIRTH_TOPIC],
            handler=self._take,
            on_connect=self._connected,
        )
        self._connected()  # what came before is not answered

    def close(self) -> None:
        """Disconnect; what was announced stays, as Home Assistant wants it."""
        if self._client is not None:
            self._client.close()

    def _connected(self) -> None:
        if self._client is None:
            return
        self._announce_all()  # a broker that has started again may have forgotten
        for node in self._nodes:
            self._client.publish(node_topic(Ask, node), Ask(what="birth").encode())

    # In the network thread

    def _take(self, topic: str, payload: bytes) -> None:
        if topic == BIRTH_TOPIC:
            if payload == b"online":
                self._announce_all()
            return
        node, last = split_topic(topic) or ("", "")
        if node not in self._nodes:
            return
        if last == "data":
            self._heard.setdefault(node, ("", ()))
        else:
            self._hear_status(node, payload)
        if node in self._heard and node not in self._announced:
            self._announce(node)

    def _hear_status(self, node: str, payload: bytes) -> None:
        try:
            status = decode(Status, payload)
        except PayloadError:
            return  # who sent it is told by `levada.twin.mqtt.delivery`
        if status.state != "birth":
            return
        theirs = status.parameters or {}
        found = status.firmware or "", tuple(p for p in self._parameters if p.name in theirs)
        if self._heard.get(node) != found:
            self._heard[node] = found
            self._announced.discard(node)

    def _announce_all(self) -> None:
        self._announced.clear()
        for node in list(self._heard):
            self._announce(node)

    def _announce(self, node: str) -> None:
        firmware, parameters = self._heard[node]
        if self._client is not None and announce(
            self._client, node, firmware=firmware, parameters=parameters
        ):
            self._announced.add(node)  # else with its next message


def announce(
    client: MqttClient, node: str, *, firmware: str = "", parameters: tuple[Parameter, ...] = ()
) -> bool:
    """Publish the entities of a node, retained as Home Assistant wants; whether all were sent."""
    return all(
        client.retain(topic, json.dumps(entity).encode())
        for topic, entity in configurations(node, firmware=firmware, parameters=parameters)
    )


def withdraw(client: MqttClient, node: str, *, parameters: tuple[Parameter, ...] = ()) -> int:
    """Remove the entities of a node: an empty configuration; how many were sent."""
    return sum(
        client.retain(topic, b"") for topic, _ in configurations(node, parameters=parameters)
    )


def _slug(name: str) -> str:
    return re.sub(r"[^A-Za-z0-9_-]", "_", name)


def _identity(node: str) -> str:
    """A name that Home Assistant takes; distinct nodes get distinct ones."""
    slug = _slug(node)
    if slug != node:
        slug += "_" + hashlib.sha256(node.encode()).hexdigest()[:8]
    return f"levada_{slug}"
