"""Commands of `levada` for the lower end of the continuum: `broker` and `edge`."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Annotated, Final

import typer

from levada.guest.exit_codes import INTERRUPTED
from levada.twin.cli import options
from levada.twin.cli.options import GuestFile
from levada.twin.cli.scenarios import ScenarioFile
from levada.twin.cli.slow import said_if_slow
from levada.twin.interrupts import interrupts

__all__ = ["edge_app"]

edge_app = typer.Typer()

ADDRESS: Final = "broker.json"
_COMPILING: Final = (
    "edge: the virtual board and the model of the soil are compiled, which takes its time "
    "before the first run"
)
ConfigFile = Annotated[
    Path | None,
    typer.Option(
        "--config", metavar="FILE", help="TOML file, see docs/continuum.md; options win over it."
    ),
]


@edge_app.command("broker")
def start_broker(
    config: ConfigFile = None,
    port: Annotated[
        int | None,
        typer.Option(
            min=0, max=65_535, help="Port, on 127.0.0.1 (default: 1883); 0: any free one."
        ),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR",
            help="Folder of broker.json (default: runs/broker), which has the address and the "
            "password for all clients: that of LEVADA_MQTT_PASSWORD, or else a new one.",
        ),
    ] = None,
) -> None:
    """Start an MQTT broker for this computer alone; other machines need mosquitto.

    Runs until Ctrl-C. Edge, fog and cloud are given its broker.json, such as
    `levada fog --edge-broker runs/broker/broker.json`.
    """
    import os

    from levada.hil.line.broker import EmbeddedBroker, keep_address
    from levada.twin.continuum.config import BrokerFile, read_config

    chosen = read_config(
        BrokerFile,
        config,
        options.given(("--port", "port", port), ("--out", "out", out and str(out))),
    )
    stop = threading.Event()
    with interrupts() as interrupt:
        interrupt.stop_with(stop.set)
        password = os.environ.get("LEVADA_MQTT_PASSWORD") or None
        with EmbeddedBroker(port=chosen.port, password=password) as found:
            file = Path(chosen.out) / ADDRESS
            file.parent.mkdir(parents=True, exist_ok=True)
            keep_address(file, found.address)
            try:
                typer.echo(f"{found.address.url}  user {found.address.user}, password in {file}")
                stop.wait()
            finally:
                file.unlink(missing_ok=True)
    if interrupt.came.is_set():
        raise typer.Exit(INTERRUPTED)


@edge_app.command("edge")
def start_edge(
    scenario: ScenarioFile,
    config: ConfigFile = None,
    broker: Annotated[
        str | None,
        typer.Option(
            metavar="mqtt(s)://HOST",
            help="Broker to which the boards report (default: mqtt://127.0.0.1), user and "
            "password in LEVADA_MQTT_USER and LEVADA_MQTT_PASSWORD; or the broker.json of "
            "a `levada broker`.",
        ),
    ] = None,
    node: Annotated[
        list[str] | None,
        typer.Option(
            metavar="[ZONE=]NODE",
            help="What runs the boards: virtual (default), virtual:ENGINE or serial:PORT; may be "
            "repeated.",
        ),
    ] = None,
    speed: Annotated[
        str | None,
        typer.Option(
            metavar="1x|60x", help="Simulated seconds that pass in a second (default: 1x)."
        ),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR",
            help="Folder of what the boards keep: the flash of virtual ones, and modules that come "
            "over the broker (`levada ota push`); started again with it, the boards go on with "
            "them (default: nothing is kept).",
        ),
    ] = None,
    settings: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="KEY=VALUE", help="Change one value; may be repeated."),
    ] = None,
    overlay: options.Overlays = None,
    strategy: options.Strategy = None,
    guest: GuestFile = None,
    pki: options.Pki = None,
) -> None:
    """Run the boards of a scenario in simulated soil; they report over MQTT as in a real field.

    Runs until Ctrl-C; then valves are closed first.
    """
    from levada.hil.line.broker import check_pki, parse_broker
    from levada.hil.nodes import node_overrides
    from levada.sim.run import runner
    from levada.sim.run.clock import parse_speed
    from levada.sim.scenario import load as scenarios
    from levada.twin.continuum.config import EdgeFile, read_config
    from levada.twin.sources.virtual_field import FieldDevice

    chosen = read_config(
        EdgeFile,
        config,
        options.given(
            ("--broker", "broker", broker),
            ("--speed", "speed", speed),
            ("--pki", "pki", options.text(pki)),
            ("--out", "out", out and str(out)),
        ),
    )
    try:
        factor = parse_speed(chosen.speed)
        if factor is None:
            raise ValueError("speed max: boards that report need a pace, such as 60x")
    except ValueError as error:
        raise typer.BadParameter(str(error), param_hint="--speed") from None
    layers = options.overlays(strategy, overlay)
    overrides = options.overrides(settings, guest)
    overrides += node_overrides(scenario, node or [], layers)
    document = scenarios.read(scenario, overrides, overlays=layers)
    runner.check(document)
    address = parse_broker(chosen.broker, chosen.pki)
    check_pki(chosen.pki, address)
    folder = None if chosen.out is None else Path(chosen.out)
    with (
        said_if_slow(_COMPILING) as ready,
        interrupts() as interrupt,
        FieldDevice(document.scenario, address, speed=factor, folder=folder) as boards,
    ):
        interrupt.stop_with(boards.stop)
        lines = [f"{name} reports to {address.url}/ic/{name}" for name in boards.names]

        def begin() -> None:
            ready()
            typer.echo("\n".join(lines))

        boards.run(begin)
    if interrupt.came.is_set():
        raise typer.Exit(INTERRUPTED)
