"""From the `node` of a zone to the node itself.

with NodeMaker() as make_node:
    run_scenario(scenario, path, make_node=make_node)
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import TYPE_CHECKING

from levada.guest.lifecycle import Closing
from levada.guest.limits import PROFILES
from levada.guest.topic import PREFIX
from levada.hil.errors import UsageError
from levada.hil.line.broker import BrokerAddress, EmbeddedBroker, parse_broker
from levada.hil.line.mqtt_line import Bridge, MqttLine
from levada.hil.line.serial_port import Port
from levada.hil.link import Link
from levada.hil.node import DeviceNode
from levada.hil.virtual import VirtualDevice, allow_boards
from levada.sim.scenario.diagnostics import ScenarioError
from levada.sim.scenario.expand import expand
from levada.sim.scenario.node_url import NodeUrl, parse_node
from levada.sim.scenario.source import open_source

if TYPE_CHECKING:
    from levada.sim.run.build import NodeSettings

__all__ = ["NodeMaker", "node_overrides", "open_link"]


class NodeMaker(Closing):
    """Makes the nodes of a run that are not simulated; `speed` as the run's, None for max.

    `broker` serves nodes `virtual:mqtt`; without it they get an embedded one when the first of them
    is made.  `pki` is the folder for brokers with TLS (`levada.hil.line.tls`).  What it started
    ends with `close`, also if a run never began.
    """

    def __init__(
        self,
        *,
        speed: float | None = None,
        broker: BrokerAddress | None = None,
        pki: str | None = None,
    ) -> None:
        self._broker = broker
        self._pki = pki
        self._speed = speed
        self._open = ExitStack()
        self._begun = False

    def __call__(self, settings: NodeSettings) -> DeviceNode:
        """The node of a zone.  Raises HilError if it cannot be had."""
        if not self._begun:
            allow_boards(sum(z.node.kind == "virtual" for z in expand(settings.scenario)))
            self._begun = True
        url = settings.zone.node
        name = settings.zone.name
        guest = settings.scenario.guest
        return DeviceNode(
            self._link(url, name),
            settings.module,
            name=name,
            budget=guest.limits(),
            profile=PROFILES[guest.profile],
            config=settings.config,
            parameters=settings.parameters,
            envelope=settings.envelope or _envelope_beside(settings),
            others=settings.others,
            speed=self._speed,
        )

    def _link(self, url: NodeUrl, name: str) -> Link:
        if (url.kind, url.target) == ("virtual", "mqtt") and self._broker is None:
            self._broker = self._open.enter_context(EmbeddedBroker()).address
        return open_link(url, self._open, name=name, broker=self._broker, pki=self._pki)

    def close(self) -> None:
        """End virtual boards and close lines."""
        self._open.close()


def _envelope_beside(settings: NodeSettings) -> bytes:
    """The envelope beside the scenario's module, if that is the node's; ManifestError if it is
    malformed."""
    file = settings.scenario.guest.file
    if file is None:
        return b""
    from levada.guest.signing.module_file import read_envelope  # takes long, and few need it

    found = read_envelope(Path(file))
    if found is None or found.manifest.sha256 != hashlib.sha256(settings.module).digest():
        return b""
    return found.encode()


def node_overrides(
    scenario: Path, choices: Sequence[str], overlays: Sequence[Path] = ()
) -> list[tuple[str, str]]:
    """Changes of a scenario by `--node`: `NODE` for all zones, `ZONE=NODE` for those of a table, or
    for a single one of them, such as `maize-001`.

    The nearer choice counts, in whatever order they come; raises UsageError for two of one kind.
    A file that cannot be read has no zones here; reading it as a scenario says what is wrong.
    """
    chosen = _chosen(choices)
    tables = _zone_tables(scenario, overlays)
    numbered = {str(number): table for number, table in enumerate(tables)}
    known = numbered | {str(table.get("name")): table for table in tables}
    all_zones = chosen.pop("", None)
    of_tables = dict.fromkeys(numbered, all_zones) if all_zones is not None else {}
    of_one = {}
    for zone, node in chosen.items():
        group = zone.rpartition("-")[0]
        if zone not in known and group in known:
            of_one[f"zone.{group}.nodes.{zone}"] = node
        else:
            of_tables[zone] = node
    found = []
    for zone, node in of_tables.items():
        found.append((f"zone.{zone}.node", node))
        if known.get(zone, {}).get("nodes"):
            found.append((f"zone.{zone}.nodes", "{}"))
    return [*found, *of_one.items()]


def _chosen(choices: Sequence[str]) -> dict[str, str]:
    """Zone -> its node, of each `--node`; what is for all zones has no name."""
    chosen: dict[str, str] = {}
    for choice in choices:
        zone, equals, node = choice.partition("=")
        if not equals or ":" in zone or "?" in zone:  # of an address
            zone, node = "", choice
        _check(node)
        if zone in chosen:
            whose = f"zone {zone}" if zone else "all zones"
            raise UsageError(f"--node: {whose} on {chosen[zone]}, and on {node} as well: give one")
        chosen[zone] = node
    return chosen


def _check(node: str) -> None:
    try:
        parse_node(node)
    except ValueError as error:
        raise UsageError(f"--node: {error}") from None


def _zone_tables(scenario: Path, overlays: Sequence[Path]) -> list[dict[str, object]]:
    zones: object = ()
    with suppress(ScenarioError):  # which reading the scenario will tell
        zones = open_source(scenario, overlays).data.get("zone")
    return [z if isinstance(z, dict) else {} for z in zones] if isinstance(zones, list) else []


def open_link(
    url: NodeUrl,
    stack: ExitStack,
    *,
    name: str = "esp32",
    broker: BrokerAddress | None = None,
    pki: str | None = None,
) -> Link:
    """A link to a node; `stack` closes it, and ends what was started for it.

    A node `virtual:mqtt` is called `name` at `broker`, or at an embedded one.  Raises HilError.
    """
    link: Link
    match url.kind, url.target:
        case "virtual", "mqtt":
            if broker is None:
                broker = stack.enter_context(EmbeddedBroker()).address
            topic = f"{PREFIX}{name}"
            device = stack.enter_context(VirtualDevice(trust=url.trust, flash=_flash(url)))
            stack.enter_context(Bridge(device.port(), MqttLine(broker, topic, side="device")))
            link = Link(MqttLine(broker, topic), name=f"virtual:mqtt at {broker.url}/{topic}")
        case "virtual", engine:
            device = stack.enter_context(
                VirtualDevice(engine or "wasm3", trust=url.trust, flash=_flash(url))
            )
            link = Link(device.port(), name=f"virtual:{device.engine}")
        case "serial", port:
            link = Link(Port(port, baud=url.baud))
        case (("mqtt" | "mqtts"), where):
            link = Link(MqttLine(parse_broker(where, pki), url.topic))
        case _:
            raise UsageError(f"node `{url.kind}` runs in this process: there is no link to it")
    stack.callback(link.close)
    return link


def _flash(url: NodeUrl) -> Path | None:
    """File of a virtual board's flash, in a folder that is there; raises UsageError."""
    if not url.flash:
        return None
    path = Path(url.flash)
    if path.is_dir() or not path.absolute().parent.is_dir():
        raise UsageError(f"virtual?flash={path}: must be a file in a folder that is there")
    return path
