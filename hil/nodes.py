"""From the `node` of a zone to the node itself.

with NodeMaker() as make_node:
    run_scenario(scenario, path, make_node=make_node)
"""

from __future__ import annotations

import tomllib
from collections.abc import Sequence
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Final

from guest.closing import Closing
from guest.limits import PROFILES
from hil.errors import HilError
from hil.link import Link
from hil.node import DeviceNode
from hil.port import Port
from hil.virtual import VirtualDevice

if TYPE_CHECKING:
    from sim.runner import NodeSettings

__all__ = ["NodeMaker", "node_overrides", "open_link"]

LEASE_S: Final = 60.0
"""Silence after which a device closes its outputs by itself, beyond the longest sleep."""
LONGEST_SLEEP_S: Final = 3600.0
"""Virtual time that a run with a wall clock may let pass between two steps."""


class NodeMaker(Closing):
    """Makes the nodes of a run that are not simulated; `speed` as the run's, None for max.

    What it started ends with `close`, also if a run never began.
    """

    def __init__(self, *, speed: float | None = None) -> None:
        silence_s = LEASE_S if speed is None else LEASE_S + LONGEST_SLEEP_S / speed
        self._lease_ms = round(silence_s * 1000.0)
        self._open = ExitStack()
        self._used: dict[str, str] = {}

    def __call__(self, settings: NodeSettings) -> DeviceNode:
        """The node of a zone.  Raises HilError if it cannot be had."""
        url = settings.zone.node
        name = settings.zone.name
        if url.kind == "serial":
            other = self._used.setdefault(url.target, name)
            if other != name:
                raise HilError(f"zones {other} and {name} have one and the same node {url.target}")
        guest = settings.scenario.guest
        return DeviceNode(
            open_link(url.kind, url.target, url.baud, self._open),
            settings.module,
            name=name,
            budget=guest.limits(),
            profile=PROFILES[guest.profile],
            config=settings.config,
            parameters=settings.parameters,
            lease_ms=self._lease_ms,
        )

    def close(self) -> None:
        """End virtual boards and close lines."""
        self._open.close()


def node_overrides(scenario: Path, choices: Sequence[str]) -> list[tuple[str, str]]:
    """Changes of a scenario by `--node`: `NODE` for all zones, `ZONE=NODE` for one.

    A file that cannot be read has no zones here; reading it as a scenario says what is wrong.
    """
    found = []
    zones: list[object] = []
    with suppress(OSError, tomllib.TOMLDecodeError, UnicodeDecodeError):
        zones = tomllib.loads(scenario.read_text("utf-8")).get("zone", [])
    for choice in choices:
        zone, equals, node = choice.partition("=")
        if equals and ":" not in zone:
            found.append((f"zone.{zone}.node", node))
        else:
            found += [(f"zone.{number}.node", choice) for number in range(len(zones))]
    return found


def open_link(kind: str, target: str, baud: int, stack: ExitStack) -> Link:
    """A link to a node; `stack` closes it, and ends the board if one was started."""
    match kind:
        case "virtual":
            engine = target or "wasm3"
            device = stack.enter_context(VirtualDevice(engine))
            link = Link(Port(device.url), name=f"virtual:{engine}")
        case "serial":
            link = Link(Port(target, baud=baud))
        case _:
            raise HilError(f"node `{kind}`: only `virtual` and `serial` have a link here")
    stack.callback(link.close)
    return link
