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
from levada.twin.interrupts import interrupts

__all__ = ["edge_app"]

edge_app = typer.Typer()

ADDRESS: Final = "broker.json"
Broker = Annotated[
    str,
    typer.Option(
        "--broker",
        metavar="mqtt(s)://HOST",
        help="Broker, password in LEVADA_MQTT_PASSWORD; or the broker.json of a `levada broker`.",
    ),
]


@edge_app.command("broker")
def start_broker(
    port: Annotated[
        int, typer.Option(min=0, max=65_535, help="On 127.0.0.1; 0: any that is free.")
    ] = 1883,
    out: Annotated[
        Path,
        typer.Option(
            metavar="DIR",
            help="Here broker.json is written, with the password that every client needs: that of "
            "LEVADA_MQTT_PASSWORD, or else a new one.",
        ),
    ] = Path("runs/broker"),
) -> None:
    """An MQTT broker for this computer alone, until Ctrl-C; other machines need mosquitto."""
    import os

    from levada.hil.line.broker import EmbeddedBroker, keep_address

    stop = threading.Event()
    with interrupts() as interrupt:
        interrupt.stop_with(stop.set)
        password = os.environ.get("LEVADA_MQTT_PASSWORD") or None
        with EmbeddedBroker(port=port, password=password) as found:
            out.mkdir(parents=True, exist_ok=True)
            file = out / ADDRESS
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
    broker: Broker = "mqtt://127.0.0.1",
    node: Annotated[
        list[str] | None,
        typer.Option(
            metavar="[ZONE=]NODE",
            help="virtual (default), virtual:ENGINE or serial:PORT; may be repeated.",
        ),
    ] = None,
    speed: Annotated[
        str, typer.Option(metavar="1x|60x", help="Simulated seconds a second.")
    ] = "1x",
    settings: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="KEY=VALUE", help="Change one value; may be repeated."),
    ] = None,
    overlay: options.Overlays = None,
    strategy: options.Strategy = None,
    guest: GuestFile = None,
) -> None:
    """The boards of a scenario in simulated soil; they report over MQTT as boards in a field do."""
    from levada.hil.line.broker import parse_broker
    from levada.hil.nodes import node_overrides
    from levada.sim.run import runner
    from levada.sim.run.clock import parse_speed
    from levada.sim.scenario import load as scenarios
    from levada.twin.sources.virtual_field import FieldDevice

    try:
        factor = parse_speed(speed)
        if factor is None:
            raise ValueError("speed max: boards that report need a pace, such as 60x")
    except ValueError as error:
        raise typer.BadParameter(str(error), param_hint="--speed") from None
    layers = options.overlays(strategy, overlay)
    overrides = options.overrides(settings, guest)
    overrides += node_overrides(scenario, node or [], layers)
    document = scenarios.read(scenario, overrides, overlays=layers)
    runner.check(document)
    address = parse_broker(broker)
    with interrupts() as interrupt, FieldDevice(document.scenario, address, speed=factor) as boards:
        interrupt.stop_with(boards.stop)
        topics = [f"{address.url}/ic/{name}" for name in boards.names]
        boards.run(lambda: typer.echo("\n".join(topics)))
    if interrupt.came.is_set():
        raise typer.Exit(INTERRUPTED)
