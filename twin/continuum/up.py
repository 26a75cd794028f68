"""`levada up`: broker, boards, fog and cloud of a scenario as processes on this computer.

Each tier is the command that would run on a machine of its own, with files that could go there as
they are: `scenario.toml`, `fog.toml`, `cloud.toml`.  What one of them keeps stays in the directory,
so that starting it again goes on from there.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import tomli_w

from levada.hil.errors import UsageError
from levada.hil.line.broker import EmbeddedBroker, keep_address
from levada.sim.scenario.continuum import Cloud, Fog
from levada.sim.scenario.dump import dump
from levada.sim.scenario.expand import expand
from levada.sim.scenario.model import Scenario
from levada.twin.continuum.supervisor import Supervised
from levada.twin.interrupts import interrupts

__all__ = ["UpOptions", "run_up"]

READY_S: Final = 120.0
"""How long a tier may take to start; the first time, boards and kernels are compiled."""
BROKER: Final = "broker.json"


@dataclass(frozen=True, kw_only=True)
class UpOptions:
    """How the tiers are started."""

    speed: str = "1x"
    """As on the command line."""
    port: int = 8050
    """Of the page; 0: any."""
    broker: str | None = None
    """URL of a broker instead of an embedded one."""


def run_up(
    scenario: Scenario,
    where: Path,
    options: UpOptions,
    *,
    tell: Callable[[str, str], None],
    ready: Callable[[list[Supervised]], None] = lambda _parts: None,
) -> bool:
    """Run all tiers until interrupted; true.

    `tell(tier, line)` gets what they say, `ready` is called when all of them are.  Raises TwinError
    if one does not start, UsageError if a node cannot be started here.
    """
    _check(scenario)
    where.mkdir(parents=True, exist_ok=True)
    with interrupts() as interrupt, ExitStack() as open_:
        interrupt.stop_with(lambda: None)
        broker = options.broker
        if broker is None:
            embedded = open_.enter_context(EmbeddedBroker())
            broker = str(where / BROKER)
            keep_address(where / BROKER, embedded.address)
            open_.callback((where / BROKER).unlink, missing_ok=True)
            tell("broker", embedded.address.url)
        commands = _commands(scenario, where, options, broker)
        parts: list[Supervised] = []
        for name, command in commands.items():
            part = Supervised(name, command, lambda line, name=name: tell(name, line))  # type: ignore[misc]
            parts.append(open_.enter_context(part))
        for part in parts:
            part.wait(READY_S, interrupt.came)
        if not interrupt.came.is_set():
            ready(parts)
        interrupt.came.wait()
    return True


def _check(scenario: Scenario) -> None:
    for zone in expand(scenario):
        if zone.node.kind not in ("sim", "virtual"):
            raise UsageError(
                f"zone {zone.name}: a node `{zone.node.kind}` is not started here; permitted are "
                "sim and virtual; with real boards run `levada fog` and `levada cloud`"
            )


def _commands(
    scenario: Scenario, where: Path, options: UpOptions, broker: str
) -> dict[str, list[str]]:
    """Tier -> its command; the boards last, so that somebody listens."""
    fog, cloud = scenario.fog or Fog(), scenario.cloud or Cloud()
    (where / "scenario.toml").write_text(dump(scenario, where), encoding="utf-8")
    followed = scenario.model_copy(
        update={
            "zone": tuple(
                zone.model_copy(update={"node": "virtual:mqtt", "nodes": {}})
                for zone in scenario.zone
            )
        }
    )
    (where / "followed.toml").write_text(dump(followed, where), encoding="utf-8")
    guest = {"guest": scenario.guest.file} if scenario.guest.file is not None else {}
    _write(
        where / "fog.toml",
        {
            **guest,
            "edge_broker": broker,
            "buffer": "fog.sqlite",
            "health_port": 0,
            "fog": fog.model_dump(exclude_unset=True),
        },
    )
    _write(
        where / "cloud.toml",
        {
            **guest,
            "cloud_broker": broker,
            "port": options.port,
            "cloud": {"parameters": fog.parameters} | cloud.model_dump(exclude_unset=True),
        },
    )
    levada = [sys.executable, "-m", "levada", "--until-eof"]
    speed = ["--speed", options.speed]
    scenario_file, followed_file = str(where / "scenario.toml"), str(where / "followed.toml")
    return {
        "cloud": [
            *(*levada, "cloud", followed_file, "--config", str(where / "cloud.toml")),
            *("--out", str(where), *speed),
        ],
        "fog": [*levada, "fog", "--config", str(where / "fog.toml")],
        "edge": [*levada, "edge", scenario_file, "--broker", broker, *speed],
    }


def _write(path: Path, data: dict[str, Any]) -> None:
    path.write_text(tomli_w.dumps(data), encoding="utf-8")
