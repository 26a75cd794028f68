"""A device over MQTT: the virtual board behind a bridge, driven in lockstep through a broker."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from relay import Relay, is_publish
from services import Mosquitto

from levada.guest.shipped import DEFAULT_GUEST
from levada.hil.errors import LinkError
from levada.hil.line.broker import BrokerAddress, EmbeddedBroker
from levada.hil.line.mqtt_line import Bridge, MqttLine
from levada.hil.line.serial_port import Port
from levada.hil.link import Link
from levada.hil.node import DeviceNode
from levada.hil.nodes import NodeMaker, node_overrides
from levada.hil.virtual import VirtualDevice
from levada.sim.run.runner import run_scenario
from levada.sim.scenario import load as scenario

QUICKSTART = Path(__file__).parents[2] / "levada/scenarios" / "quickstart.toml"
START_MS = 1_700_000_000_000


@pytest.fixture
def device(broker: EmbeddedBroker | Mosquitto) -> Iterator[None]:
    """A virtual board behind `ic/esp32`."""
    with (
        VirtualDevice("wasm3") as board,
        Bridge(Port(board.url), MqttLine(broker.address, "ic/esp32", side="device")),
    ):
        yield


def _day(node: DeviceNode) -> list[bytes]:
    tapes = [node.boot(START_MS).tape]
    for step in range(10):
        time_ms = START_MS + (step + 1) * 600_000
        tapes.append(node.step(time_ms, (2_400 - 20 * step, 1_850, 3_900, 0)).tape)
    return tapes


@pytest.mark.usefixtures("no_repair")
def test_a_device_over_mqtt_does_the_same_as_on_its_own_line(
    broker: EmbeddedBroker | Mosquitto, device: None
) -> None:
    module = DEFAULT_GUEST.read_bytes()
    over_mqtt = DeviceNode(Link(MqttLine(broker.address, "ic/esp32")), module)
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
    node = DeviceNode(Link(MqttLine(relay.address, "ic/esp32")), DEFAULT_GUEST.read_bytes())
    spoiled = _day(node)
    node.close()
    relay.close()
    with VirtualDevice("wasm3") as board:
        direct = DeviceNode(Link(Port(board.url)), DEFAULT_GUEST.read_bytes())
        assert spoiled == _day(direct)
        direct.close()


def test_a_broker_that_is_not_there_is_a_link_error() -> None:
    with pytest.raises(LinkError, match="refused"):
        MqttLine(BrokerAddress(host="127.0.0.1", port=1), "ic/esp32")


def _week(out: Path, node: str, broker: BrokerAddress | None = None) -> dict[str, Any]:
    week = [("period.start", "2023-07-01"), ("period.end", "2023-07-07")]
    document = scenario.read(QUICKSTART, [*week, *node_overrides(QUICKSTART, [node])])
    with NodeMaker(broker=broker) as make_node:
        return run_scenario(document.scenario, out, make_node=make_node, report=False).summary


@pytest.mark.usefixtures("no_repair")
def test_a_run_over_mqtt_is_that_of_the_simulated_node(
    broker: EmbeddedBroker | Mosquitto,
    device: None,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    address = broker.address
    assert address.password is not None
    monkeypatch.setenv("LEVADA_MQTT_PASSWORD", address.password)
    node = f"mqtt://{address.user}@{address.host}:{address.port}/ic/esp32"
    over_mqtt, simulated = _week(tmp_path / "mqtt", node), _week(tmp_path / "sim", "sim")
    assert over_mqtt["tape_digest"] == simulated["tape_digest"]
    link = over_mqtt["link"]["maize"]
    assert link["void"] is None
    assert link["requests"] > over_mqtt["steps"] > 1_000


@pytest.mark.usefixtures("no_repair")
def test_virtual_mqtt_brings_its_own_broker(tmp_path: Path) -> None:
    over_mqtt, simulated = _week(tmp_path / "mqtt", "virtual:mqtt"), _week(tmp_path / "sim", "sim")
    assert over_mqtt["tape_digest"] == simulated["tape_digest"]
    assert over_mqtt["link"]["maize"]["url"].startswith("virtual:mqtt at mqtt://127.0.0.1:")
