"""Who may say what at a broker, taken from the scenario: each node on its own topics alone.

A user is the name in a certificate (CN).  Who is not in the scenario may nothing, though the
authority has issued a certificate to it.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final, Literal

from levada.guest.topic import PREFIX
from levada.sim.scenario.continuum import Fog
from levada.sim.scenario.expand import ZoneConfig, expand
from levada.sim.scenario.model import Scenario
from levada.twin.errors import PkiError

__all__ = ["EDGE", "HOME_ASSISTANT", "OTA", "TWIN", "Rights", "Side", "acl", "rights"]

Side = Literal["edge", "cloud", "both"]
"""Which broker: the one of nodes and fog, the one of fog and cloud, or one for all."""
Rights = dict[str, dict[str, str]]
"""User -> topic filter -> read, write or readwrite."""

TWIN: Final = "twin"
"""`levada twin` and `levada cloud`."""
EDGE: Final = "edge"
"""`levada edge`, which speaks for boards without a network of their own."""
HOME_ASSISTANT: Final = "homeassistant"
OTA: Final = "ota"
"""`levada ota`, which sends modules to nodes."""

_SAID: Final = ("data", "status", "config/ack")
"""What a node publishes below its prefix."""
_HEARD: Final = ("ack", "config", "ask")
"""What it is told."""
_OF_FOG: Final = ("relayed", "processed", "status")
_TO_FOG: Final = ("ack", "ask")
_LINE: Final = ("link/device", "link/host")
"""The line of a node in lockstep: what it publishes, what it is told."""
_OTA_SAID: Final = ("ota/want", "ota/state")
"""What a node publishes while it fetches a module."""
_OTA_HEARD: Final = ("ota/request", "ota/chunk/#")
"""What it is told then."""


class _Table:
    """Rights as they are collected."""

    def __init__(self) -> None:
        self.of: Rights = {}

    def add(self, user: str, right: str, *topics: str) -> None:
        """Give `user` a right more."""
        own = self.of.setdefault(user, {})
        for topic in topics:
            own[topic] = right if own.get(topic, right) == right else "readwrite"

    def add_node(self, user: str, prefix: str) -> None:
        """Let `user` speak as the node whose topics begin with `prefix`."""
        said, heard = (*_SAID, _LINE[0], *_OTA_SAID), (*_HEARD, _LINE[1], *_OTA_HEARD)
        self.add(user, "write", *(f"{prefix}/{rest}" for rest in said))
        self.add(user, "read", *(f"{prefix}/{rest}" for rest in heard))

    def add_updates(self, prefix: str) -> None:
        """Let `levada ota` send modules to the node, and hear what comes of it."""
        said, told = ("data", _LINE[0], *_OTA_SAID), (_LINE[1], *_OTA_HEARD)
        self.add(OTA, "read", *(f"{prefix}/{rest}" for rest in said))
        self.add(OTA, "write", *(f"{prefix}/{rest}" for rest in told))


def rights(scenario: Scenario, side: Side = "both") -> Rights:
    """Who may what; raises PkiError if a node has the name of another user."""
    table = _Table()
    fog = (scenario.fog or Fog()).name
    others = (TWIN, EDGE, HOME_ASSISTANT, OTA, fog)
    for zone in expand(scenario):
        name = zone.node.device or zone.name
        if name in others:
            raise PkiError(
                f"zone {zone.name}: a node cannot be called {name}, which is a user of its own"
            )
        prefix = zone.node.topic or f"{PREFIX}{name}"
        if side != "cloud":
            table.add_node(name, prefix)
            if not zone.node.topic:  # no board with a network: one of these speaks for it
                table.add_node(EDGE, prefix)
            table.add_updates(prefix)
            _map(table, scenario, name)
        _add_tiers(table, fog, prefix, side)
        if side != "edge":
            _add_twin(table, zone, prefix, side)
            table.add(HOME_ASSISTANT, "read", f"{prefix}/data")
            table.add(HOME_ASSISTANT, "write", f"{prefix}/config")
    if side != "edge":
        table.add(fog, "write", *(f"{PREFIX}{fog}/{rest}" for rest in _OF_FOG))
        table.add(fog, "read", *(f"{PREFIX}{fog}/{rest}" for rest in _TO_FOG))
        table.add(TWIN, "read", *(f"{PREFIX}{fog}/{rest}" for rest in _OF_FOG))
        table.add(TWIN, "write", *(f"{PREFIX}{fog}/{rest}" for rest in _TO_FOG))
        for user in (TWIN, HOME_ASSISTANT):
            table.add(user, "readwrite", "homeassistant/#")
    return table.of


def _add_tiers(table: _Table, fog: str, prefix: str, side: Side) -> None:
    """Fog takes what nodes say at the one broker, and passes it on at the other."""
    said = tuple(f"{prefix}/{rest}" for rest in _SAID)
    heard = tuple(f"{prefix}/{rest}" for rest in _HEARD)
    match side:
        case "edge":
            table.add(fog, "read", *said)
            table.add(fog, "write", *heard)
        case "cloud":
            table.add(fog, "write", *said[1:])
            table.add(fog, "read", *heard[1:])
        case "both":
            table.add(fog, "read", said[0])
            table.add(fog, "write", heard[0])


def _add_twin(table: _Table, zone: ZoneConfig, prefix: str, side: Side) -> None:
    """The twin hears all and acknowledges; on a bench it also speaks for nodes that it runs."""
    table.add(TWIN, "read", *(f"{prefix}/{rest}" for rest in _SAID))
    table.add(TWIN, "write", *(f"{prefix}/{rest}" for rest in _HEARD))
    table.add(TWIN, "write", f"{PREFIX}{zone.name}/alert")
    if side != "both":
        return
    table.add(TWIN, "read", f"{prefix}/ota/request", f"{prefix}/ota/state")
    table.add(TWIN, "read", f"{prefix}/{_LINE[0]}")
    table.add(TWIN, "write", f"{prefix}/{_LINE[1]}")
    if not zone.node.topic:
        table.add_node(TWIN, prefix)


def _map(table: _Table, scenario: Scenario, name: str) -> None:
    """Topics of devices that speak otherwise (`[[mapping]]`)."""
    for mapping in scenario.mapping:
        if mapping.node in ("", name):
            topic = mapping.topic.replace("+", name)
            table.add(name, "write", topic)
            table.add(TWIN, "read", topic)


def acl(table: Rights) -> str:
    """As mosquitto's `acl_file` has it."""
    return "\n".join(_lines(table)) + "\n"


def _lines(table: Rights) -> Iterator[str]:
    for user, topics in table.items():
        yield f"user {user}"
        yield from (f"topic {right} {topic}" for topic, right in topics.items())
        yield ""
