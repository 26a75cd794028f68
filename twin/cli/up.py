"""The command `levada up`."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer

from levada.guest.exit_codes import INTERRUPTED
from levada.twin.cli import options
from levada.twin.cli.scenarios import ScenarioFile

if TYPE_CHECKING:
    from levada.twin.continuum.supervisor import Supervised

__all__ = ["up_app"]

up_app = typer.Typer()

RUNS: Final = Path("runs/up")
STANDARD: Final = "C"
"""Strategy of a scenario that says nothing of fog and cloud."""


@up_app.command()
def up(
    scenario: ScenarioFile,
    strategy: options.Strategy = None,
    speed: Annotated[
        str, typer.Option(metavar="1x|60x", help="Simulated seconds that pass in a second.")
    ] = "1x",
    port: Annotated[
        int,
        typer.Option(min=0, max=65_535, help="Port of the page, on 127.0.0.1; 0: any free one."),
    ] = 8050,
    broker: Annotated[
        str | None,
        typer.Option(
            metavar="mqtt(s)://HOST",
            help="Use this broker instead of starting one; user and password in "
            "LEVADA_MQTT_USER and LEVADA_MQTT_PASSWORD.",
        ),
    ] = None,
    node: Annotated[
        list[str] | None,
        typer.Option(
            metavar="[ZONE=]NODE",
            help="What runs the boards: virtual (default) or virtual:ENGINE, such as "
            "virtual:wasmtime; may be repeated.",
        ),
    ] = None,
    settings: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="KEY=VALUE", help="Change one value; may be repeated."),
    ] = None,
    overlay: options.Overlays = None,
    guest: options.GuestFile = None,
    pki: options.Pki = None,
    out: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR",
            help="Folder for what the tiers keep (default: runs/up/NAME-TIME); given again, "
            "they go on from it.",
        ),
    ] = None,
) -> None:
    """Run edge, fog and cloud of a scenario here, with a page that shows them.

    Starts a broker, the boards of the scenario in simulated soil, a fog node
    and the cloud; Ctrl-C ends all of them. The strategy is C unless --strategy
    or the scenario says another. A [\\[link]] of the scenario delays, loses and
    interrupts what travels, see docs/continuum-links.md.
    """
    import json

    from levada.hil.nodes import node_overrides
    from levada.sim.run import runner
    from levada.sim.run.clock import parse_speed
    from levada.sim.scenario import load as scenarios
    from levada.sim.scenario.source import open_source
    from levada.twin.continuum.up import UpOptions, described, run_up
    from levada.twin.session import ADDRESS

    try:
        if parse_speed(speed) is None:
            raise ValueError("speed max: processes need a pace, such as 60x")
    except ValueError as error:
        raise typer.BadParameter(str(error), param_hint="--speed") from None
    layers = options.overlays(strategy, overlay)
    if not {"fog", "cloud"} & open_source(scenario, layers).data.keys():
        layers = options.overlays(STANDARD, overlay)
    changes = options.overrides(settings, guest)
    changes += node_overrides(scenario, node or [], layers)
    document = scenarios.read(scenario, changes, overlays=layers)
    runner.check(document)
    loaded = document.scenario
    where = out or RUNS / f"{loaded.name}-{datetime.now(UTC):%Y%m%dT%H%M%S}"

    def tell(tier: str, line: str) -> None:
        typer.echo(f"{tier:<10}│ {line}")

    def ready(parts: list[Supervised]) -> None:
        assert loaded.fog is not None and loaded.cloud is not None
        engines = (loaded.edge.engine, loaded.fog.engine, loaded.cloud.engine)
        tell("up", f"edge {engines[0]}, fog {engines[1]}, cloud {engines[2]}")
        tell("up", f"kept in {where}")
        for link in loaded.link:
            tell("up", described(link))
        page = json.loads((where / ADDRESS).read_text("utf-8"))["url"]
        tell("up", f"{len(parts) - len(loaded.link)} tiers are ready; Ctrl-C ends them")
        tell("up", f"{page}/continuum shows the way of a message")

    run_up(
        loaded,
        where.absolute(),
        UpOptions(speed=speed, port=port, broker=broker, pki=options.text(pki)),
        tell=tell,
        ready=ready,
    )
    raise typer.Exit(INTERRUPTED)
