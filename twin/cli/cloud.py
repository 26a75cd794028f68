"""The command `levada cloud`."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from levada.guest.exit_codes import INTERRUPTED
from levada.twin.cli import options
from levada.twin.cli.scenarios import OptionalScenario
from levada.twin.cli.twin import policy

if TYPE_CHECKING:
    from levada.twin.continuum.cloud import RunningCloud

__all__ = ["cloud_app"]

cloud_app = typer.Typer()

RUNS = Path("runs/cloud")

CloudBrokerOption = Annotated[
    str | None,
    typer.Option(
        metavar="mqtt(s)://HOST[:PORT]",
        help="Broker to which fog nodes forward (default: mqtt://127.0.0.1), user and "
        "password in LEVADA_MQTT_USER and LEVADA_MQTT_PASSWORD; or the broker.json of "
        "a `levada broker`.",
    ),
]
EngineOption = Annotated[
    str | None,
    typer.Option(
        metavar="wasm|native|off",
        help="How the cloud runs the guest over the raw readings, to compare with fog "
        "(default: wasm); off: store and compare only.",
    ),
]


@cloud_app.command()
def cloud(
    scenario: OptionalScenario = None,
    config: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="TOML file, see docs/continuum.md; options win over it."),
    ] = None,
    cloud_broker: CloudBrokerOption = None,
    store: Annotated[
        str | None,
        typer.Option(
            metavar="FILE|postgresql://...", help="Where to store (default: a file in --out)."
        ),
    ] = None,
    guest: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Module whose functions the cloud runs (default: the scenario's, or the shipped "
            "one).",
        ),
    ] = None,
    engine: EngineOption = None,
    port: Annotated[
        int | None,
        typer.Option(
            min=0,
            max=65_535,
            help="Port of the page, on 127.0.0.1 (default: 8050); 0: any free one.",
        ),
    ] = None,
    speed: Annotated[
        str,
        typer.Option(
            metavar="1x|60x",
            help="With a SCENARIO: seconds of the boards' time that pass in a second; "
            "the same as that of `levada edge`.",
        ),
    ] = "1x",
    out: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR",
            help="Folder of the store and of the page's address (default: runs/cloud/TIME).",
        ),
    ] = None,
    pki: options.Pki = None,
    host: options.Host = None,
    host_port: options.HostPort = None,
    password_file: options.PasswordFile = None,
    keep: options.Keep = None,
    thin_after: options.ThinAfter = None,
    settings: Annotated[
        list[str] | None,
        typer.Option(
            "--set", metavar="KEY=VALUE", help="Change one value of the scenario; may be repeated."
        ),
    ] = None,
) -> None:
    """Store what fog nodes forward, compare raw with filtered readings, and show both on a page.

    With a SCENARIO, a simulated twin follows its boards as well, with causes,
    alerts and calibration. Runs until Ctrl-C; fog nodes keep what it has not
    acknowledged.
    """
    from levada.sim.run import runner
    from levada.sim.scenario import load as scenarios
    from levada.twin.continuum.cloud import run_cloud
    from levada.twin.continuum.config import CloudFile, read_config

    factor = _factor(speed)
    given = options.given(
        ("--cloud-broker", "cloud_broker", cloud_broker),
        ("--store", "store", store),
        ("--out", "out", out and str(out)),
        ("--port", "port", port),
        ("--guest", "guest", guest and str(guest)),
        ("--pki", "pki", options.text(pki)),
        ("--host", "host", host),
        ("--host-port", "host_port", host_port),
        ("--password-file", "password_file", options.text(password_file)),
        ("--engine", "cloud.engine", engine),
    )
    chosen = read_config(CloudFile, config, given)
    loaded = None
    followed = scenario or (chosen.scenario and Path(chosen.scenario))
    if followed:
        document = scenarios.read(followed, options.overrides(settings))
        runner.check(document)
        loaded = document.scenario
    where = Path(chosen.out or RUNS / f"{datetime.now(UTC):%Y%m%dT%H%M%S}")
    run_cloud(
        chosen,
        where,
        scenario=loaded,
        speed=factor,
        policy=policy(keep, thin_after),
        started=_announce,
        tell=typer.echo,
    )
    raise typer.Exit(INTERRUPTED)


def _announce(running: RunningCloud) -> None:
    typer.echo(f"{running.page.url}  (Ctrl-C ends it; store: {running.store})")
    if running.page.remote_url is not None:
        typer.echo(f"{running.page.remote_url}  for other computers, with the password")
    typer.echo(f"{running.page.link}  opens it once with the right to change something")


def _factor(speed: str) -> float:
    from levada.sim.run.clock import parse_speed

    try:
        factor = parse_speed(speed)
    except ValueError as error:
        raise typer.BadParameter(str(error), param_hint="--speed") from None
    if factor is None:
        raise typer.BadParameter("devices cannot be followed at full speed", param_hint="--speed")
    return factor
