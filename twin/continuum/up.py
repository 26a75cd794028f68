"""`levada up`: broker, boards, fog and cloud of a scenario as processes on this computer.

Each tier is the command that would run on a machine of its own, with files that could go there as
they are: `scenario.toml`, `fog.toml`, `cloud.toml`.  What one of them keeps stays in the directory,
so that starting it again goes on from there.  A `[[link]]` is a process between a tier and the
broker: of edge and fog at the edge, of fog and cloud at the cloud, so that it is met both ways.
"""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import tomli_w

from levada.hil.errors import UsageError
from levada.hil.line.broker import EmbeddedBroker, check_pki, keep_address, parse_broker
from levada.sim.run.clock import parse_speed
from levada.sim.scenario.continuum import Cloud, Fog, Link
from levada.sim.scenario.dump import dump
from levada.sim.scenario.expand import expand
from levada.sim.scenario.model import Scenario
from levada.twin.continuum.slow_link import BEGAN, SlowLinkSettings
from levada.twin.continuum.supervisor import Supervised
from levada.twin.directory import held
from levada.twin.interrupts import interrupts

__all__ = ["UpOptions", "described", "run_up"]

READY_S: Final = 900.0
"""How long a tier may take to start; the first time, boards and kernels are compiled, half a minute
of processor time that a small or busy computer takes minutes for."""
BROKER: Final = "broker.json"


@dataclass(frozen=True, kw_only=True)
class UpOptions:
    """How the tiers are started."""

    speed: str = "1x"
    """As on the command line."""
    port: int = 8050
    """Of the page; 0: any."""
    broker: str | None = None
    """URL, or file of the address, of a broker instead of an embedded one."""
    pki: str | None = None
    """For a broker with TLS, see `levada.hil.line.tls`."""


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
    if one does not start, StoreBusyError if others run in `where`, UsageError if a node cannot be
    started here.
    """
    _check(scenario)
    where.mkdir(parents=True, exist_ok=True)
    with interrupts() as interrupt, ExitStack() as open_, interrupt.heard():
        interrupt.stop_with(lambda: None)
        busy = f"{where} is in use by another `levada up`: "
        open_.enter_context(held(where, busy + "end that one, or name another directory"))
        broker = _broker(options, where, open_)
        tell("broker", parse_broker(broker).url)
        links = _links(scenario, where, options, broker)
        began = where / BEGAN
        for file in (began, *(Path(link.address) for link in links.values())):
            file.unlink(missing_ok=True)  # of a run before
            open_.callback(file.unlink, missing_ok=True)
        parts = [
            open_.enter_context(_started(name, link.command, tell)) for name, link in links.items()
        ]
        _wait(parts, interrupt.came)  # their addresses are what tiers are given
        if not interrupt.came.is_set():
            for name, command in _commands(scenario, where, options, broker, links).items():
                heard = began.touch if name == "edge" else None
                parts.append(open_.enter_context(_started(name, command, tell, heard)))
            _wait(parts, interrupt.came)
        if not interrupt.came.is_set():
            ready(parts)
        interrupt.came.wait()
    return True


def _started(
    name: str,
    command: Sequence[str],
    tell: Callable[[str, str], None],
    heard: Callable[[], None] | None = None,
) -> Supervised:
    """A part that is supervised; `heard` is called whenever it says something."""

    def hear(line: str) -> None:
        if heard is not None:
            heard()
        tell(name, line)

    return Supervised(name, command, hear)


def _wait(parts: Sequence[Supervised], stop: threading.Event) -> None:
    for part in parts:
        part.wait(READY_S, stop)


def _broker(options: UpOptions, where: Path, open_: ExitStack) -> str:
    """File with the broker's address, which every tier is given: a command line shows no password.

    Without one that is given an embedded broker is started.
    """
    if options.broker is None:
        address = open_.enter_context(EmbeddedBroker()).address
    elif options.broker.endswith(".json") and options.pki is None:
        return str(Path(options.broker).absolute())
    else:
        address = parse_broker(options.broker, options.pki)
    check_pki(options.pki, address)
    file = where / BROKER
    keep_address(file, address)
    open_.callback(file.unlink, missing_ok=True)
    return str(file)


def _check(scenario: Scenario) -> None:
    for zone in expand(scenario):
        if zone.node.kind not in ("sim", "virtual"):
            raise UsageError(
                f"zone {zone.name}: a node `{zone.node.kind}` is not started here; permitted are "
                "sim and virtual; with real boards run `levada fog` and `levada cloud`"
            )


def _links(
    scenario: Scenario, where: Path, options: UpOptions, broker: str
) -> dict[str, SlowLinkSettings]:
    """What slows a hop down, by its name."""
    speed = parse_speed(options.speed) or 1.0
    return {
        link.between: SlowLinkSettings.of(link, scenario, speed=speed, broker=broker, folder=where)
        for link in scenario.link
    }


def described(link: Link) -> str:
    """A link in a line, such as `edge-fog: 80 ms, 2 % lost`."""
    facts = (
        f"{link.delay_ms:g} ms" if link.delay_ms or link.jitter_ms else "",
        f"up to {link.jitter_ms:g} ms more" if link.jitter_ms else "",
        f"{link.loss_pct:g} % lost" if link.loss_pct else "",
        f"{link.rate_kbit_s:g} kbit/s" if link.rate_kbit_s is not None else "",
        f"down {len(link.outage)} times" if len(link.outage) > 1 else "",
        "down once" if len(link.outage) == 1 else "",
    )
    return f"{link.between}: {', '.join(filter(None, facts)) or 'as it is'}"


def _commands(
    scenario: Scenario,
    where: Path,
    options: UpOptions,
    broker: str,
    links: Mapping[str, SlowLinkSettings],
) -> dict[str, list[str]]:
    """Tier -> its command; the boards last, so that somebody listens."""
    of_edge, of_cloud = (
        links[name].address if name in links else broker for name in ("edge-fog", "fog-cloud")
    )
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
            "cloud_broker": of_cloud,
            "port": options.port,
            "cloud": {"parameters": fog.parameters} | cloud.model_dump(exclude_unset=True),
        },
    )
    levada = [sys.executable, "-m", "levada", "--until-eof"]
    speed = ["--speed", options.speed]
    boards = str(where / "boards")
    scenario_file, followed_file = str(where / "scenario.toml"), str(where / "followed.toml")
    return {
        "cloud": [
            *(*levada, "cloud", followed_file, "--config", str(where / "cloud.toml")),
            *("--out", str(where), *speed),
        ],
        "fog": [*levada, "fog", "--config", str(where / "fog.toml")],
        "edge": [*levada, "edge", scenario_file, "--broker", of_edge, "--out", boards, *speed],
    }


def _write(path: Path, data: dict[str, Any]) -> None:
    path.write_text(tomli_w.dumps(data), encoding="utf-8")
