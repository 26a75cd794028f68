"""A device over MQTT: the virtual board behind a bridge, driven in lockstep through a broker."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from relay import Relay, is_publish
from services import Mosquitto

from hil.errors import LinkError
from hil.link import Link
from hil.mqtt_line import Bridge, MqttLine
from hil.node import DeviceNode
from hil.port import Port
from hil.virtual import VirtualDevice
from sim.runner import DEFAULT_GUEST
from twin.broker import BrokerAddress, EmbeddedBroker

START_MS = 1_700_000_000_000


def _url(address: BrokerAddress) -> str:
    return f"mqtt://{address.user}:{address.password}@{address.host}:{address.port}"


@pytest.fixture
def device(broker: EmbeddedBroker | Mosquitto) -> Iterator[None]:
    """A virtual board behind `ic/esp32`."""
    with (
        VirtualDevice("wasm3") as board,
        Bridge(Port(board.url), MqttLine(_url(broker.address), "ic/esp32", side="device")),
    ):
        yield


def _day(node: DeviceNode) -> list[bytes]:
    tapes = [node.boot(START_MS).tape]
    for step in range(10):
        time_ms = START_MS + (step + 1) * 600_000
        tapes.append(node.step(time_ms, (2_400 - 20 * step, 1_850, 3_900, 0)).tape)
    return tapes


def test_a_device_over_mqtt_does_the_same_as_on_its_own_line(
    broker: EmbeddedBroker | Mosquitto, device: None
) -> None:
    module = DEFAULT_GUEST.read_bytes()
    over_mqtt = DeviceNode(Link(MqttLine(_url(broker.address), "ic/esp32")), module)
    with VirtualDevice("wasm3") as board:
        direct = DeviceNode(Link(Port(board.url)), module)
        assert _day(over_mqtt) == _day(direct)
        direct.close()
    over_mqtt.close()


def test_lost_and_repeated_payloads_change_nothing(
    broker: EmbeddedBroker | Mosquitto, device: None
) -> None:
    relay = Relay(broker.address)
    count = 0

    def spoil(packet: bytes) -> list[bytes]:
        nonlocal count
        if not is_publish(packet):
            return [packet]
        count += 1
        return [] if count % 7 == 0 else [packet, packet] if count % 5 == 0 else [packet]

    relay.up = spoil
    node = DeviceNode(Link(MqttLine(_url(relay.address), "ic/esp32")), DEFAULT_GUEST.read_bytes())
    spoiled = _day(node)
    node.close()
    relay.close()
    with VirtualDevice("wasm3") as board:
        direct = DeviceNode(Link(Port(board.url)), DEFAULT_GUEST.read_bytes())
        assert spoiled == _day(direct)
        direct.close()


def test_a_broker_that_is_not_there_is_a_link_error() -> None:
    with pytest.raises(LinkError, match="refused"):
        MqttLine("mqtt://127.0.0.1:1", "ic/esp32")
